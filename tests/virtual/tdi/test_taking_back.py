"""A send that is taken back, because the task that waits for it is sent away (B6)."""

from __future__ import annotations

import wsock
from wsock.virtual import Host, Network


def test_what_was_taken_back_is_taken_back_once() -> None:
    """Not the send before it instead, which was accepted for good."""
    net = Network(seed=3)
    host = net.host("host")
    assert isinstance(host, Host)

    async def main() -> None:
        with host, wsock.create_server(("127.0.0.1", 7)) as listener, wsock.socket() as near:
            await near.connect(("127.0.0.1", 7))
            far, _ = await listener.accept()
            with far:
                near.send_nowait(b"accepted")
                near.send_nowait(b"taken")
                for _ in range(2):
                    near._endpoint.interrupt_send()
                    assert near.unsent == len(b"accepted")
                near.shutdown(wsock.SD_SEND)
                assert await far.recv(99) == b"accepted"

    net.run(main)
