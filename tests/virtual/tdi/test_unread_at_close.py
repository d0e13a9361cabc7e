"""What closesocket does with bytes that nobody has read, by profile (design 6, ruling R17)."""

from __future__ import annotations

import socket as std

import pytest

import wsock
from wsock.virtual import Host, Network

PROFILES = pytest.mark.parametrize("profile", ["rfc", "linux", "windows2000"])
SIDES = pytest.mark.parametrize("closer", ["client", "server"])
#: A few bytes are in AFD's buffer; more than that has waits in TCP, too.
LENGTHS = pytest.mark.parametrize("length", [1, 5000, 30_000])


@PROFILES
@SIDES
@LENGTHS
@pytest.mark.parametrize("half_closed", [False, True])
def test_unread_bytes_at_close(profile: str, closer: str, length: int, half_closed: bool) -> None:
    """A reset under rfc and linux (SHLD-3), a release under windows2000; nothing is left."""
    net = Network(seed=3)
    lan = net.segment("lan", "192.0.2.0/24", latency=0.01)
    hosts = [net.host(name, lan, profile=profile) for name in ("server", "client")]

    async def main() -> None:
        server, client = hosts
        assert isinstance(server, Host)
        assert isinstance(client, Host)
        with (
            wsock.socket(stack=server.stack) as listener,
            wsock.socket(stack=client.stack) as dialled,
        ):
            listener.bind(("192.0.2.1", 7))
            listener.listen(1)
            await dialled.connect(("192.0.2.1", 7))
            accepted, _ = await listener.accept()
            near, far = (dialled, accepted) if closer == "client" else (accepted, dialled)
            with accepted:
                cap = net.capture(hosts[closer == "client"])
                far.send_nowait(bytes(length))
                await net.settle()
                if half_closed:
                    near.shutdown(std.SHUT_WR)
                    await net.settle()
                near.close()
                await net.settle()
                resets = [p for p in cap.packets if p.outgoing and "RST" in p.name]
                released = profile == "windows2000" and length < 30_000
                assert bool(resets) != released
                far.close()
        await net.settle(bound=300.0)
        for host in (server, client):
            assert host.stack.endpoints == {}
            assert host.stack.device.live_connections == 0

    net.run(main)
