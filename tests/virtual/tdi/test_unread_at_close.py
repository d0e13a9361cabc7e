"""What closesocket does with bytes that nobody has read, by profile (NOTES R17, SHLD-3)."""

from __future__ import annotations

import contextlib
import socket as std

import pytest
import trio

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


REST = 200_000


async def connected(net: Network, profile: str) -> tuple[wsock.Socket, wsock.Socket]:
    """The sockets of a client and of a server."""
    server, client = net.host("server", profile=profile), net.host("client", profile=profile)
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    net.link(server, client, latency=0.01)
    with server, wsock.create_server(("0.0.0.0", 7)) as listener:
        with client:
            dialled = wsock.socket()
        await dialled.connect((str(server.address), 7))
        accepted, _ = await listener.accept()
    return dialled, accepted


async def received(sock: wsock.Socket) -> int:
    """How many bytes come before the end, or before a reset."""
    count = 0
    with contextlib.suppress(wsock.WSAECONNRESET):
        while data := await sock.recv(65_536):
            count += len(data)
    return count


@PROFILES
@SIDES
@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize("deaf", [False, True])
def test_what_arrives_while_the_rest_goes_out_is_thrown_away(
    profile: str, closer: str, half_closed: bool, deaf: bool
) -> None:
    """Ruling A1: what was accepted is delivered, whatever the peer sends meanwhile."""
    net = Network(seed=3)

    async def main() -> None:
        dialled, accepted = await connected(net, profile)
        near, far = (dialled, accepted) if closer == "client" else (accepted, dialled)
        with far:
            near.send_nowait(bytes(REST))
            if half_closed:
                near.shutdown(std.SHUT_WR)
            if deaf:
                near.shutdown(std.SHUT_RD)
            near.close()
            for _ in range(3):
                far.send_nowait(bytes(1000))
                await trio.sleep(0.05)
            assert await received(far) == REST
        await net.settle(bound=300.0)
        for host in net.hosts.values():
            assert isinstance(host, Host)
            assert host.stack.endpoints == {}
            assert host.stack.device.live_connections == 0

    net.run(main)


@PROFILES
@pytest.mark.parametrize("half_closed", [False, True])
def test_data_behind_the_rest_is_reset(profile: str, half_closed: bool) -> None:
    """Checklist line 56: nothing is left to be cut off, and the peer must learn that it is lost."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net, profile)
        with far:
            near.send_nowait(bytes(REST))
            if half_closed:
                near.shutdown(std.SHUT_WR)
            near.close()
            assert await received(far) == REST
            far.send_nowait(b"too late")
            await net.settle()
            with pytest.raises(wsock.WSAECONNABORTED):  # what Winsock calls a reset behind the end
                await far.recv(1)

    net.run(main)


@PROFILES
@pytest.mark.parametrize("buffer", [0, 8192])
def test_what_was_unread_at_close_resets_at_once_also_with_a_rest(
    profile: str, buffer: int
) -> None:
    """SHLD-3 is about bytes that had come, to AFD or to TCP alone; R17 lets the rest go out."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net, profile)
        near.setsockopt(std.SOL_SOCKET, std.SO_RCVBUF, buffer)
        with far:
            far.send_nowait(b"unread")
            await net.settle()
            near.send_nowait(bytes(REST))
            near.close()
            assert (await received(far) == REST) == (profile == "windows2000")

    net.run(main)


def test_a_peer_that_sends_for_ever_is_reset_when_it_has_everything() -> None:
    """Only the rest is protected: nobody is listened to any longer than it takes."""
    net = Network(seed=3)

    async def main() -> None:
        near, far = await connected(net, "rfc")
        with far:
            near.send_nowait(bytes(REST))
            near.close()
            got = 0
            with contextlib.suppress(wsock.WSAECONNABORTED), trio.fail_after(60):
                while True:
                    far.send_nowait(b"more")
                    await trio.sleep(0.01)
                    with contextlib.suppress(wsock.WSAEWOULDBLOCK):
                        while data := far.recv_nowait(65_536):
                            got += len(data)
            assert got == REST

    net.run(main)


def test_a_closed_trio_socket_is_reset_by_the_first_byte_as_a_kernels_is() -> None:
    """Line 56 as it stands: what a kernel has accepted is cut off there, too."""
    net = Network(seed=3)
    server, client = net.host("server"), net.host("client")
    net.link(server, client, latency=0.01)
    assert isinstance(server, Host)
    assert isinstance(client, Host)

    async def main() -> None:
        with server:
            listener = trio.socket.socket()
            await listener.bind(("0.0.0.0", 7))
            listener.listen()
        with client:
            far = trio.socket.socket()
            await far.connect((str(server.address), 7))
        near, _ = await listener.accept()
        with listener, near, far:
            assert await near.send(bytes(60_000)) == 60_000
            near.close()
            await far.send(b"x")
            await net.settle()
            got = 0
            with contextlib.suppress(ConnectionResetError):
                while data := await far.recv(65_536):
                    got += len(data)
            assert got < 60_000

    net.run(main)
