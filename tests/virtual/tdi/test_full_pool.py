"""What a SYN meets when AFD's pool is full: each profile's own answer (checklist line 8, R4)."""

from __future__ import annotations

import pytest
import trio

import wsock
from wsock.virtual import Host, Network


def world(profile: str) -> tuple[Network, Host, Host]:
    """A server of that profile, and a client."""
    net = Network(seed=3)
    server, client = net.host("server", profile=profile), net.host("client")
    net.link(server, client, latency=0.01)
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    return net, server, client


@pytest.mark.parametrize("profile", ["rfc", "windows2000"])
def test_08_a_full_pool_refuses(profile: str) -> None:
    """R4: a RST at once."""
    net, server, client = world(profile)

    async def main() -> None:
        with server, wsock.create_server(("0.0.0.0", 7), backlog=1):
            with client:
                first, second = wsock.socket(), wsock.socket()
            with first, second:
                await first.connect((str(server.address), 7))
                with pytest.raises(wsock.WSAECONNREFUSED):
                    await second.connect((str(server.address), 7))

    net.run(main)


def test_08_a_full_pool_drops_the_syn_under_linux_until_there_is_room() -> None:
    """The client asks again after its RTO, and by then somebody has accepted."""
    net, server, client = world("linux")

    async def main() -> None:
        cap = net.capture(client)
        with server, wsock.create_server(("0.0.0.0", 7), backlog=1) as listener:
            with client:
                first, second = wsock.socket(), wsock.socket()
            with first, second:
                await first.connect((str(server.address), 7))

                async def accept() -> None:
                    await trio.sleep(0.5)
                    (await listener.accept())[0].close()

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(accept)
                    await second.connect((str(server.address), 7))
            assert len([p for p in cap.packets if p.name == "SYN"]) == 3
            assert [p for p in cap.packets if "RST" in p.name] == []

    net.run(main)
