"""Sockets, their modes and buffers, and the functions of the reference: facts of S1 and S2.

Those that stand where the rule is tested anyway (tests/notification, tests/socket, tests/win32) are
not repeated here; docs/facts.md says where each one is.
"""

from __future__ import annotations

import socket as std
import struct
from pathlib import Path

import pytest
import trio
from the_story import SERVER, World

import wsock
from tests.providers import World as ProviderWorld
from tests.providers import fill
from tests.win32.ported import listener as listening_socket
from tests.win32.ported import loopback, pair, program, winsock_program
from wsock import win32 as w

FAMILIES = {
    "AF_INET": 2, "AF_IPX": 6, "AF_APPLETALK": 16, "AF_NETBIOS": 17, "AF_INET6": 23, "AF_IRDA": 26,
    "AF_BTH": 32,
}  # fmt: skip


@program
def test_createthread_only_asks() -> None:
    """S1-5: a thread has not run when CreateThread returns; it runs once its creator waits."""
    ran: list[str] = []
    thread = w.CreateThread(None, 0, ran.append, "started", 0, None)
    assert ran == []
    assert w.WaitForSingleObject(thread, w.INFINITE) == w.WAIT_OBJECT_0
    assert ran == ["started"]


@winsock_program
def test_address_families() -> None:
    """S1-8: the families have Windows' numbers; one that is not there is WSAEAFNOSUPPORT."""
    for name, number in FAMILIES.items():
        assert getattr(w, name) == number
    for name in ("AF_IPX", "AF_APPLETALK", "AF_NETBIOS", "AF_IRDA", "AF_BTH"):
        assert w.socket(getattr(w, name), w.SOCK_STREAM, 0) == w.INVALID_SOCKET
        assert w.WSAGetLastError() == w.WSAEAFNOSUPPORT
    for family in (w.AF_INET, w.AF_INET6):
        assert w.closesocket(w.socket(family, w.SOCK_STREAM, 0)) == 0


def test_what_is_lost_of_datagrams_stays_lost() -> None:
    """S1-10: no handshake, no repair: of three datagrams one is dropped, and two arrive."""

    async def exchange(world: World) -> None:
        server, client = (world.socket(side, type=std.SOCK_DGRAM) for side in ("server", "client"))
        server.bind(SERVER)
        await client.sendto(b"one", SERVER)
        await world.network.settle()
        with world.network.drop("udp", count=1):
            await client.sendto(b"two", SERVER)
            await world.network.settle()
        await client.sendto(b"three", SERVER)
        await world.network.settle(bound=600)
        assert [server.recv_nowait(9) for _ in range(2)] == [b"one", b"three"]
        with pytest.raises(wsock.WSAEWOULDBLOCK):
            server.recv_nowait(9)
        assert [p.name for p in world.capture.packets if p.arp is None] == ["UDP"] * 3

    World().run(exchange)


def test_protocol_numbers() -> None:
    """S1-12: TCP is 6, UDP is 17; so it stands in the packets too."""
    assert (w.IPPROTO_TCP, w.IPPROTO_UDP) == (std.IPPROTO_TCP, std.IPPROTO_UDP) == (6, 17)


@pytest.mark.skipif(not Path("/etc/services").exists(), reason="this machine has no services file")
@winsock_program
def test_well_known_ports() -> None:
    """S1-13: 21 ftp, 23 telnet, 25 smtp, 80 http, found by name; well-known is 0 to 1023."""
    for name, port in {"ftp": 21, "telnet": 23, "smtp": 25, "http": 80}.items():
        service = w.getservbyname(name, "tcp")
        assert service is not None
        assert w.ntohs(service.s_port) == port < 1024


def test_no_chosen_port_is_a_well_known_one(provider: object) -> None:
    """S1-13: a hundred times port 0, and never one below 1024."""
    world = ProviderWorld(provider)  # type: ignore[arg-type]
    assert all(world.bound_datagram().getsockname()[1] > 1023 for _ in range(100))
    world.close()


@winsock_program
def test_sockaddr_in() -> None:
    """S1-14: family, port by htons, address, eight bytes that nobody looks at: 16 in all."""
    address = w.sockaddr_in()
    address.sin_family = w.AF_INET
    address.sin_port = w.htons(10000)
    address.sin_addr.s_addr = w.inet_addr("127.0.0.1")
    packed = bytes(address)
    assert packed == struct.pack("<H", 2) + struct.pack("!H4s8x", 10000, b"\x7f\0\0\1")
    assert address.sin_addr.s_addr == w.htonl(w.INADDR_LOOPBACK)
    garbage = w.sockaddr_in.from_buffer_copy(packed[:2] + b"\0\0" + packed[4:8] + b"ignored!")
    s = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    assert w.bind(s, garbage, 16) == 0
    found = w.sockaddr_in()
    assert w.getsockname(s, found, w.INT(16)) == 0
    assert bytes(found)[4:] == packed[4:8] + bytes(8)
    wrong = w.sockaddr_in.from_buffer_copy(b"\x63\0" + packed[2:])
    assert w.bind(w.socket(w.AF_INET, w.SOCK_STREAM, 0), wrong, 16) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEAFNOSUPPORT


@pytest.mark.parametrize(("backlog", "admitted"), [(0, 1), (1, 1), (2, 2)])
def test_the_waiting_list_is_as_long_as_the_backlog(backlog: int, admitted: int) -> None:
    """S1-17: so many clients are let in unaccepted, the next is refused; 0 counts as 1."""

    async def crowd(world: World) -> None:
        listener = world.socket("server")
        listener.bind(SERVER)
        listener.listen(backlog)
        for _ in range(admitted):
            await world.socket("client").connect(SERVER)
        with pytest.raises(wsock.WSAECONNREFUSED):
            await world.socket("client").connect(SERVER)
        (await world.accept(listener)).close()
        await world.socket("client").connect(SERVER)

    World().run(crowd)


@winsock_program
def test_accept_waits_and_gives_the_peers_address() -> None:
    """S1-18: it returns when a client comes; with addrlen too small it is WSAEFAULT."""
    listening, address = listening_socket()
    accepted: list[tuple[int, int]] = []

    def waiting(_: object) -> int:
        peer, length = w.sockaddr_in(), w.INT(16)
        accepted.append((w.accept(listening, peer, length), w.ntohs(peer.sin_port)))
        assert length.value == 16
        return 0

    thread = w.CreateThread(None, 0, waiting, None, 0, None)
    assert w.WaitForSingleObject(thread, 20) == w.WAIT_TIMEOUT
    assert accepted == []
    client, mine = w.socket(w.AF_INET, w.SOCK_STREAM, 0), w.sockaddr_in()
    assert w.connect(client, address, 16) == 0
    assert w.WaitForSingleObject(thread, w.INFINITE) == w.WAIT_OBJECT_0
    assert w.getsockname(client, mine, w.INT(16)) == 0
    assert accepted[0][0] != w.INVALID_SOCKET
    assert accepted[0][1] == w.ntohs(mine.sin_port)
    assert w.connect(w.socket(w.AF_INET, w.SOCK_STREAM, 0), address, 16) == 0
    assert w.accept(listening, w.sockaddr_in(), w.INT(4)) == w.INVALID_SOCKET
    assert w.WSAGetLastError() == w.WSAEFAULT


@winsock_program
def test_connect_needs_an_unconnected_socket_and_a_listener() -> None:
    """S1-19: 0 at first, WSAEISCONN then; WSAECONNREFUSED where nobody listens."""
    listening, address = listening_socket()
    client = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    assert w.connect(client, address, 16) == 0
    assert w.connect(client, address, 16) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEISCONN
    assert w.closesocket(listening) == 0
    assert w.connect(w.socket(w.AF_INET, w.SOCK_STREAM, 0), address, 16) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAECONNREFUSED


async def test_recv_ends_with_0_after_a_graceful_close(world: ProviderWorld) -> None:
    """S1-23: what was sent, then 0 bytes; on a bound datagram socket recv gives a datagram."""
    pair = await world.pair()
    await pair.far.send(b"last")
    pair.far.close()
    assert [await pair.near.recv(9) for _ in range(3)] == [b"last", b"", b""]
    near, far = world.bound_datagram(), world.bound_datagram()
    far.sendto_nowait(b"datagram", near.getsockname())
    assert await near.recv(9) == b"datagram"


@winsock_program
def test_closesocket_once() -> None:
    """S1-24: closesocket gives 0; a second one is WSAENOTSOCK."""
    s = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    assert w.closesocket(s) == 0
    assert w.closesocket(s) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAENOTSOCK


async def test_nonblocking_calls_answer_at_once(world: ProviderWorld) -> None:
    """S1-27: recv of nothing, accept of nobody, send into a full buffer, and a connect."""
    listener = world.listener()
    pair = await world.pair()
    fill(pair.near)
    sock = world.socket()
    for call in (
        lambda: pair.near.recv_nowait(1),
        listener.accept_nowait,
        lambda: pair.near.send_nowait(b"x"),
    ):
        with pytest.raises(wsock.WSAEWOULDBLOCK):
            call()
    assert sock.connect_ex(listener.getsockname()) == wsock.WSAEWOULDBLOCK.winerror == 10035
    await sock.wait_connected()


async def test_send_puts_into_a_buffer_and_recv_takes_from_one(world: ProviderWorld) -> None:
    """S1-30: send returns before anybody reads; the bytes are at the peer before its recv."""
    pair = await world.pair()
    assert await pair.far.send(b"abc") == 3
    await pair.settle(unread=3)
    assert pair.near.ioctl(wsock.FIONREAD) == 3
    assert pair.near.recv_nowait(9) == b"abc"
    assert pair.near.ioctl(wsock.FIONREAD) == 0


def test_names_follow_winsock2_h() -> None:
    """S2-2: the C face has the header's names: functions, types, macros and constants."""
    for name in (
        "WSAStartup", "WSACleanup", "WSAGetLastError", "socket", "bind", "listen", "accept",
        "connect", "send", "recv", "sendto", "recvfrom", "closesocket", "shutdown", "ioctlsocket",
        "WSAAsyncSelect", "WSAEventSelect", "WSAEnumNetworkEvents", "WSAWaitForMultipleEvents",
        "WSADATA", "SOCKADDR_IN", "SOCKADDR", "INVALID_SOCKET", "SOCKET_ERROR", "MAKEWORD",
        "WSAGETSELECTEVENT", "WSAGETSELECTERROR", "FD_READ", "SOMAXCONN", "htons", "inet_addr",
    ):  # fmt: skip
        assert name in w.__all__
    assert (w.INVALID_SOCKET, w.SOCKET_ERROR) == (0xFFFFFFFFFFFFFFFF, -1)


@program
def test_wsastartup_comes_first() -> None:
    """S2-3: before it every call is WSANOTINITIALISED; it answers a version; calls balance."""
    assert w.socket(w.AF_INET, w.SOCK_STREAM, 0) == w.INVALID_SOCKET
    assert w.WSAGetLastError() == w.WSANOTINITIALISED == 10093
    data = w.WSADATA()
    assert w.WSAStartup(w.MAKEWORD(1, 1), data) == 0
    assert data.wVersion == w.MAKEWORD(1, 1) == 0x0101
    assert data.wHighVersion == w.MAKEWORD(2, 2)
    assert w.WSAStartup(w.MAKEWORD(2, 2), data) == 0
    assert w.WSACleanup() == 0
    assert w.socket(w.AF_INET, w.SOCK_STREAM, 0) != w.INVALID_SOCKET
    assert w.WSACleanup() == 0
    assert w.WSACleanup() == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSANOTINITIALISED


@winsock_program
def test_protocol_0_lets_the_system_choose() -> None:
    """S2-4: SOCK_STREAM with protocol 0 is TCP, SOCK_DGRAM is UDP."""
    for kind, proto in ((w.SOCK_STREAM, w.IPPROTO_TCP), (w.SOCK_DGRAM, w.IPPROTO_UDP)):
        plain, named = w.socket(w.AF_INET, kind, 0), w.socket(w.AF_INET, kind, proto)
        for s in (plain, named):
            found = w.INT()
            assert w.getsockopt(s, w.SOL_SOCKET, w.SO_TYPE, found, w.INT(4)) == 0
            assert found.value == kind
            assert w.bind(s, loopback(), 16) == 0


def test_bind_enters_the_socket_in_the_hosts_table() -> None:
    """S2-5: what arrives is compared with the table; another port's traffic is not delivered."""

    async def exchange(world: World) -> None:
        server, client = (world.socket(side, type=std.SOCK_DGRAM) for side in ("server", "client"))
        assert world.hosts["server"].netstat() == []
        server.bind(SERVER)
        assert [(row.protocol, row.local) for row in world.hosts["server"].netstat()] == [
            ("udp", "100.100.100.105:10000")
        ]
        await client.sendto(b"elsewhere", (SERVER[0], SERVER[1] + 1))
        await client.sendto(b"here", SERVER)
        await world.network.settle()
        assert server.recv_nowait(99) == b"here"
        with pytest.raises(wsock.WSAEWOULDBLOCK):
            server.recv_nowait(99)

    World().run(exchange)


async def test_each_accept_takes_one_from_the_queue(world: ProviderWorld) -> None:
    """S2-7: three clients wait; three accepts, in the order of coming, and then nobody."""
    listener = world.listener()
    clients = [await world.connected(listener) for _ in range(3)]
    for client in clients:
        accepted, peer = listener.accept_nowait()
        world.keep(accepted)
        assert peer == client.getsockname()
        assert accepted.getsockname() == listener.getsockname()
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        listener.accept_nowait()


@winsock_program
def test_peek_copies_and_leaves() -> None:
    """S2-10: peek twice and read: three times the same bytes; then nothing is left."""
    near, far = pair()
    assert w.send(far, b"leave me", 8, 0) == 8
    got = []
    for flags in (w.MSG_PEEK, w.MSG_PEEK, 0):
        room = bytearray(16)
        assert w.recv(near, room, 16, flags) == 8
        got.append(bytes(room[:8]))
    assert got == [b"leave me"] * 3
    assert w.ioctlsocket(near, w.FIONBIO, w.ULONG(1)) == 0
    assert w.recv(near, bytearray(1), 1, 0) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEWOULDBLOCK


@winsock_program
def test_urgent_data_alone() -> None:
    """S2-12: MSG_OOB takes the urgent byte and none of the normal ones that wait before it."""
    near, far = pair()
    assert w.ioctlsocket(near, w.FIONBIO, w.ULONG(1)) == 0
    assert w.send(far, b"normal", 6, 0) == 6
    assert w.select(0, w.fd_set([near]), None, None, None) == 1
    assert w.recv(near, bytearray(9), 9, w.MSG_OOB) == w.SOCKET_ERROR
    assert w.WSAGetLastError() in (w.WSAEINVAL, w.WSAEWOULDBLOCK)
    assert w.send(far, b"!", 1, w.MSG_OOB) == 1
    assert w.select(0, None, None, w.fd_set([near]), None) == 1
    room = bytearray(9)
    assert w.recv(near, room, 9, w.MSG_OOB) == 1
    assert room[:1] == b"!"
    assert w.recv(near, room, 9, 0) == 6
    assert room[:6] == b"normal"


async def test_a_blocking_call_stops_its_task_alone(world: ProviderWorld) -> None:
    """S1-26, S1-32: recv of an empty buffer waits while another task goes on, and then ends."""
    pair = await world.pair()
    steps: list[object] = []

    async def reader() -> None:
        steps.append("waits")
        steps.append(await pair.near.recv(9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        for number in range(3):
            await trio.testing.wait_all_tasks_blocked()
            steps.append(number)
        await pair.far.send(b"end")
    assert steps == ["waits", 0, 1, 2, b"end"]
