"""An accept that fails half-way leaves nobody behind."""

from __future__ import annotations

import pytest
import trio

import wsock
from wsock.afd import StreamEndpoint


async def test_a_client_whose_accept_fails_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong after the connection was taken resets it: nobody would ever serve it."""

    def begin(_: StreamEndpoint) -> None:
        raise LookupError("in between")

    with wsock.create_server(("127.0.0.1", 0)) as listener, wsock.socket() as client:
        await client.connect(listener.getsockname())
        monkeypatch.setattr(StreamEndpoint, "begin", begin)
        with trio.fail_after(10):
            with pytest.raises(LookupError, match="in between"):
                await listener.accept()
            with pytest.raises(wsock.WSAECONNRESET):
                await client.recv(1)
        assert [row["state"] for row in wsock.netstat()].count("CONNECTED") <= 1
