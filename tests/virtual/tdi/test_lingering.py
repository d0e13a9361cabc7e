"""SO_LINGER bounds the sending of what is unsent (ruling B17), and nothing after it."""

from __future__ import annotations

import math
import socket as std

import pytest
import trio

import wsock
from wsock._stack import Stack
from wsock.virtual import Host, Network
from wsock.virtual.tdi_ending import RELEASE_PATIENCE_NS

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


async def until_the_end(sock: wsock.Socket) -> int:
    """Receive all there is; how many bytes that were."""
    count = 0
    while data := await sock.recv(65_536):
        count += len(data)
    return count


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
            assert near.stack.provider.flushes_given_up == 1

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
            assert near.stack.provider.flushes_given_up == 0  # nothing was left to send

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
            assert await until_the_end(far) == 2_000_000

    net.run(main)


@pytest.mark.parametrize("shutdown_first", [False, True])
@pytest.mark.parametrize("flush_timeout", [60.0, 7.0])
def test_what_is_unsent_is_reset_when_nothing_moves(
    flush_timeout: float, shutdown_first: bool
) -> None:
    """Ruling A1: a peer that takes nothing for flush_timeout is reset, and that is counted."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        provider = near.stack.provider
        assert provider.flush_timeout == 60.0
        provider.flush_timeout = flush_timeout
        near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (0, 0))
        with far:
            near.send_nowait(bytes(1_000_000))
            await net.settle()
            if shutdown_first:
                near.shutdown(wsock.SD_SEND)
            near.close()
            await trio.sleep(flush_timeout - 0.1)
            assert [row["state"] for row in near.stack.netstat()] == ["CLOSING"]
            assert provider.flushes_given_up == 0
            await trio.sleep(0.2)
            assert near.state == "CLOSED"
            assert near.stack.netstat() == []
            assert net.hosts["client"].netstat() == []
            assert provider.flushes_given_up == 1
            with pytest.raises(wsock.WSAECONNRESET):
                await until_the_end(far)

    net.run(main)


def test_the_flush_timeout_counts_from_the_last_progress() -> None:
    """Not from the close, and not from the time of a look."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        near.stack.provider.flush_timeout = 7.0
        near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (0, 0))
        with far:
            near.send_nowait(bytes(10_000_000))
            await net.settle()
            near.close()
            for _ in range(3):
                await trio.sleep(6)
                await far.recv(1 << 20)
            await trio.sleep(6.9)
            assert near.state == "CLOSING"
            await trio.sleep(0.8)  # the last bytes went 0.5 s after that recv: a probe's
            assert near.state == "CLOSED"
            assert near.stack.provider.flushes_given_up == 1

    net.run(main)


def test_a_flush_timeout_that_never_ends() -> None:
    """math.inf: the rest stays until the peer takes it."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net)
        near.stack.provider.flush_timeout = math.inf
        near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (0, 0))
        with far:
            near.send_nowait(bytes(1_000_000))
            near.close()
            await trio.sleep(10_000)
            assert near.state == "CLOSING"
            assert await until_the_end(far) == 1_000_000

    net.run(main)


def test_a_stack_on_a_providers_network_takes_a_flush_timeout() -> None:
    """Stack(provider=..., flush_timeout=...): the provider's; what it has not is refused."""
    host = Network(seed=3).host("alone")
    assert isinstance(host, Host)
    provider = host.stack.provider
    Stack("alone", provider=provider)
    assert provider.flush_timeout == 60.0
    Stack("alone", provider=provider, flush_timeout=3.0)
    assert provider.flush_timeout == 3.0
    with pytest.raises(ValueError, match="exit_flush_timeout"):
        Stack("alone", provider=provider, exit_flush_timeout=3.0)
