"""SO_LINGER bounds the sending of what is unsent (ruling B17), and nothing after it."""

from __future__ import annotations

import socket as std

import pytest
import trio

import wsock
from wsock.virtual import Host, Network
from wsock.virtual.tdi_ending import RELEASE_PATIENCE_NS, REST_PATIENCE_NS

LINGER_S = 5


async def connected(net: Network) -> tuple[wsock.Socket, wsock.Socket]:
    """A client's socket that lingers, and the server's."""
    server, client = net.host("server"), net.host("client")
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    net.link(server, client, latency=0.01)
    with server, wsock.create_server(("0.0.0.0", 7)) as listener:
        with client:
            near = wsock.socket()
        await near.connect((str(server.address), 7))
        far, _ = await listener.accept()
    near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, LINGER_S))
    return near, far


@pytest.mark.parametrize("shutdown_first", [False, True])
def test_what_is_out_is_not_reset_when_the_time_is_over(shutdown_first: bool) -> None:
    """A peer that reads late and closes late gets everything, and the end."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        with near, far:
            near.send_nowait(b"all")
            if shutdown_first:
                near.shutdown(wsock.SD_SEND)
            near.close()
            await trio.sleep(4 * LINGER_S)
            assert [await far.recv(9), await far.recv(9)] == [b"all", b""]
        await net.settle()
        assert [row.state for row in net.hosts["client"].netstat()] == ["TIME-WAIT"]

    net.run(main)


def test_what_is_unsent_is_reset_when_the_time_is_over() -> None:
    """A peer that takes nothing for so long is reset."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        with near, far:
            near.send_nowait(bytes(1_000_000))
            near.close()
            await trio.sleep(LINGER_S - 1)
            assert net.hosts["client"].netstat()
            await trio.sleep(2)
            assert net.hosts["client"].netstat() == []

    net.run(main)


@pytest.mark.parametrize("linger", [0, LINGER_S])
def test_the_peers_end_is_waited_for_so_long_and_no_longer(linger: int) -> None:
    """NOTES R8: a peer that never closes is reset in the end, with lingering or without."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (bool(linger), linger))
        with near, far:
            near.close()
            await trio.sleep(RELEASE_PATIENCE_NS / 1e9 - 1)
            assert net.hosts["client"].netstat()
            await trio.sleep(2)
            assert net.hosts["client"].netstat() == []

    net.run(main)


@pytest.mark.parametrize("shutdown_first", [False, True])
def test_what_is_unsent_goes_out_however_long_it_takes(shutdown_first: bool) -> None:
    """Ruling A1: a slow line is no reason to cut off what was accepted, as long as it moves."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (0, 0))
        net.bandwidth(50_000, net.hosts["client"], net.hosts["server"])
        with far:
            near.send_nowait(bytes(2_000_000))  # more than five minutes
            if shutdown_first:
                near.shutdown(wsock.SD_SEND)
            near.close()
            got = 0
            while data := await far.recv(65_536):
                got += len(data)
            assert got == 2_000_000

    net.run(main)


def test_what_is_unsent_is_reset_when_nothing_moves() -> None:
    """Ruling A1: a peer that lives and takes nothing does not hold it for ever."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (0, 0))
        with far:
            near.send_nowait(bytes(1_000_000))
            near.close()
            await trio.sleep(REST_PATIENCE_NS / 1e9 - 1)
            assert net.hosts["client"].netstat()
            await trio.sleep(REST_PATIENCE_NS / 1e9 + 2)
            assert net.hosts["client"].netstat() == []

    net.run(main)
