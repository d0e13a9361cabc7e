"""Error codes by call and state, and select's table (pages of each call)."""

from __future__ import annotations

import socket as std

import pytest
import trio

import wsock
from tests.providers import RESET_AT_CLOSE, World, fill


def code_of(call: object, *arguments: object) -> str:
    """The name of the WSAError that a call raises, "" for none."""
    try:
        call(*arguments)  # type: ignore[operator]
    except wsock.WSAError as error:
        return error.name
    return ""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((12345,), "WSAEAFNOSUPPORT"),
        ((std.AF_INET, 77), "WSAESOCKTNOSUPPORT"),
        ((std.AF_INET, std.SOCK_STREAM, 77), "WSAEPROTONOSUPPORT"),
        ((std.AF_INET, std.SOCK_STREAM, std.IPPROTO_UDP), "WSAEPROTONOSUPPORT"),
    ],
)
def test_socket_refuses(arguments: tuple[int, ...], name: str) -> None:
    """S1-7, S1-8: a combination that does not exist gives its code, and no socket."""
    assert code_of(wsock.socket, *arguments) == name


def test_socket_chooses(world_free: World) -> None:
    """S2-4, S1-12: protocol 0 takes the type's, type 0 the protocol's, both 0 is TCP."""
    make = world_free.socket
    assert make(std.AF_INET, std.SOCK_STREAM, 0).type == std.SOCK_STREAM
    assert make(std.AF_INET, 0, std.IPPROTO_UDP).type == std.SOCK_DGRAM
    assert make(std.AF_INET, 0, 0).type == std.SOCK_STREAM
    assert make(std.AF_INET, 0, std.IPPROTO_TCP).type == std.SOCK_STREAM


def test_a_refused_bind_says_which_address_it_was(world_free: World) -> None:
    """A server with several of them is told which one to look for."""
    sock = world_free.socket()
    sock.bind(("127.0.0.1", 0))
    host, port = sock.getsockname()
    with pytest.raises(wsock.WSAEADDRINUSE, match=f"{host}:{port}"):
        world_free.socket().bind((host, port))


def test_bind(world_free: World) -> None:
    """S1-15, S2-5: bind needs an unbound socket and an address of this host."""
    sock = world_free.socket()
    assert code_of(sock.getsockname) == "WSAEINVAL"
    assert code_of(sock.bind, ("localhost", 0)) == "WSAEINVAL"
    assert code_of(sock.bind, ("127.0.0.1",)) == "WSAEFAULT"
    assert code_of(sock.bind, ("127.0.0.1", 65536)) == "WSAEFAULT"
    assert code_of(sock.bind, None) == "WSAEFAULT"
    assert code_of(sock.bind, ("192.0.2.1", 0)) == "WSAEADDRNOTAVAIL"
    sock.bind(("127.0.0.1", 0))
    assert code_of(sock.bind, ("127.0.0.1", 0)) == "WSAEINVAL"
    assert code_of(world_free.socket().bind, sock.getsockname()) == "WSAEADDRINUSE"
    host, port = sock.getsockname()
    assert host == "127.0.0.1"
    assert port >= 1024, "S1-13: the automatic choice is never a well-known port"


def test_listen(world_free: World) -> None:
    """S1-16, S1-17, S2-6: listen needs a bound stream; again is fine; any backlog is taken."""
    assert code_of(world_free.socket().listen) == "WSAEINVAL"
    assert code_of(world_free.socket().listen, -1) == "WSAEINVAL"
    assert code_of(world_free.socket(kind=std.SOCK_DGRAM).listen) == "WSAEOPNOTSUPP"
    assert code_of(world_free.bound_datagram().listen) == "WSAEOPNOTSUPP"
    for backlog in (0, 1, wsock.SOMAXCONN, -1):
        listener = world_free.listener(backlog)
        listener.listen(backlog)
        assert listener.state == "LISTENING"


@pytest.mark.parametrize("backlog", ["5", None, 1.5])
def test_listen_with_what_is_no_number(world_free: World, backlog: object) -> None:
    """A TypeError, and the socket does not listen."""
    sock = world_free.socket()
    sock.bind(("127.0.0.1", 0))
    with pytest.raises(TypeError):
        sock.listen(backlog)
    assert sock.state == "BOUND"
    assert not sock.getsockopt(std.SOL_SOCKET, std.SO_ACCEPTCONN)
    assert code_of(sock.accept_nowait) == "WSAEINVAL"
    sock.listen(5)
    assert sock.state == "LISTENING"


@pytest.mark.parametrize("backlog", [1 << 40, -(1 << 40)])
async def test_listen_with_more_than_any_backlog(world: World, backlog: int) -> None:
    """A backlog that no system can hold is the largest (or the smallest) there is."""
    sock = world.socket()
    sock.bind(("127.0.0.1", 0))
    for _ in range(2):
        sock.listen(backlog)
    await world.connected(sock)
    await world.accept(sock)


async def test_listen_on_a_connected_socket(world: World) -> None:
    """S1-16: a connected socket cannot listen: WSAEISCONN."""
    pair = await world.pair()
    assert code_of(pair.far.listen) == "WSAEISCONN"


def test_accept(world_free: World) -> None:
    """accept: not listening WSAEINVAL, a datagram socket WSAEOPNOTSUPP."""
    assert code_of(world_free.socket().accept_nowait) == "WSAEINVAL"
    assert code_of(world_free.bound_datagram().accept_nowait) == "WSAEOPNOTSUPP"


async def test_accept_without_a_client(world: World) -> None:
    """S1-27: accept with an empty queue answers WSAEWOULDBLOCK at once."""
    assert code_of(world.listener().accept_nowait) == "WSAEWOULDBLOCK"


async def test_connect(world: World) -> None:
    """S1-19, S2-8: connect needs an unconnected stream and a real address."""
    listener = world.listener()
    address = listener.getsockname()
    assert listener.connect_ex(address) == wsock.WSAEINVAL.winerror
    for bad in (("0.0.0.0", address[1]), ("127.0.0.1", 0)):
        assert world.socket().connect_ex(bad) == wsock.WSAEADDRNOTAVAIL.winerror
    assert world.socket().connect_ex(("localhost", 80)) == wsock.WSAEINVAL.winerror
    pair = await world.pair()
    assert pair.far.connect_ex(address) == wsock.WSAEISCONN.winerror
    with pytest.raises(wsock.WSAEISCONN):
        await pair.far.connect(address)
    with pytest.raises(wsock.WSAEADDRNOTAVAIL):
        await world.socket().connect(("127.0.0.1", 0))


async def test_connect_resolves(world: World) -> None:
    """The waiting connect resolves names without blocking the loop."""
    listener = world.listener()
    client = world.socket()
    await client.connect(("localhost", listener.getsockname()[1]))
    assert client.getpeername() == listener.getsockname()
    with pytest.raises(wsock.WSAError):
        await world.socket().connect(("name.invalid", 80))


@pytest.mark.parametrize("port", [65536, 99999, -1, "99999", "-1"])
async def test_no_name_is_resolved_with_a_port_that_cannot_be(port: int | str) -> None:
    """A resolver takes such a port modulo 65536; nobody is connected to a port not asked for."""
    with pytest.raises(wsock.WSAEFAULT, match=f"port {port!r}: expected 0 to 65535"):
        await wsock.resolve("localhost", port)
    if isinstance(port, int):
        with pytest.raises(wsock.WSAEFAULT):
            await wsock.open_tcp_listeners(port)
        with pytest.raises(wsock.WSAEFAULT):
            await wsock.open_tcp_stream("localhost", port)


@pytest.mark.parametrize("name", ["a" * 64, "a" * 300, "a..b"])
async def test_connect_to_what_can_be_no_name(world: World, name: str) -> None:
    """A name that the name service cannot even be asked for: WSAHOST_NOT_FOUND."""
    with pytest.raises(wsock.WSAHOST_NOT_FOUND):
        await world.socket().connect((name, 80))
    with pytest.raises(wsock.WSAHOST_NOT_FOUND):
        await world.socket(kind=std.SOCK_DGRAM).sendto(b"x", (name, 80))


async def test_refused_and_again_on_the_same_socket(world: World) -> None:
    """S4-15: refused, and connect again on the same socket: port and options stay."""
    sock, accepted = await connected_after_refusals(world)
    assert sock.getsockopt(std.IPPROTO_TCP, std.TCP_NODELAY)
    assert sock.getsockopt(std.SOL_SOCKET, std.SO_KEEPALIVE)
    accepted.send_nowait(b"abc")
    assert await sock.recv(9) == b"abc"


async def test_refused_and_again_the_new_descriptor_has_the_options(world: World) -> None:
    """What stands below is a new socket of the system: it got the options, and is not inherited."""
    sock, _ = await connected_after_refusals(world)
    with std.socket(fileno=sock.fileno()) as raw:
        assert raw.getsockopt(std.IPPROTO_TCP, std.TCP_NODELAY)
        assert raw.getsockopt(std.SOL_SOCKET, std.SO_KEEPALIVE)
        assert not raw.get_inheritable()
        raw.detach()


async def connected_after_refusals(world: World) -> tuple[wsock.Socket, wsock.Socket]:
    """A socket that was refused three times and is connected now, and its peer."""
    sock = world.socket()
    sock.setsockopt(std.IPPROTO_TCP, std.TCP_NODELAY, 1)
    sock.setsockopt(std.SOL_SOCKET, std.SO_KEEPALIVE, 1)
    sock.bind(("127.0.0.1", 0))
    number, name = sock.fileno(), sock.getsockname()
    for _ in range(3):
        with pytest.raises(wsock.WSAECONNREFUSED) as caught:
            await sock.connect(world.free_port())
        assert isinstance(caught.value, ConnectionRefusedError)
        assert sock.state == "BOUND"
        assert code_of(sock.recv_nowait, 1) == "WSAENOTCONN"
    listener = world.listener()
    await sock.connect(listener.getsockname())
    accepted = await world.accept(listener)
    assert sock.getsockname() == accepted.getpeername() == name
    assert sock.fileno() == number
    return sock, accepted


async def test_connect_that_fails_at_once(world: World) -> None:
    """A connect that the system refuses at once raises; SO_ERROR stays 0; it may be tried again."""
    sock = world.socket()
    for _ in range(2):
        with pytest.raises(wsock.WSAError):
            await sock.connect(("255.255.255.255", 9))
        assert sock.getsockopt(std.SOL_SOCKET, std.SO_ERROR) == 0
    await sock.connect(world.listener().getsockname())


async def test_shared_port_after_a_refusal(world: World) -> None:
    """A socket that shares its port keeps it for the next connect, also while it is shared."""
    holder, sock = world.socket(), world.socket()
    for each in (holder, sock):
        each.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    sock.bind(holder.getsockname())
    holder.listen()
    with pytest.raises(wsock.WSAECONNREFUSED):
        await sock.connect(world.free_port())
    await sock.connect(world.listener().getsockname())
    assert sock.getsockname() == holder.getsockname()


def test_unconnected_stream(world_free: World) -> None:
    """S1-6: send, recv, shutdown, getpeername of a stream that is not connected: WSAENOTCONN."""
    sock = world_free.socket()
    for bound in (False, True):
        if bound:
            sock.bind(("127.0.0.1", 0))
        assert code_of(sock.send_nowait, b"x") == "WSAENOTCONN"
        assert code_of(sock.send_all_nowait, b"x") == "WSAENOTCONN"
        assert code_of(sock.recv_nowait, 1) == "WSAENOTCONN"
        assert code_of(sock.recv_into_nowait, bytearray(1)) == "WSAENOTCONN"
        assert code_of(sock.shutdown, wsock.SD_BOTH) == "WSAENOTCONN"
        assert code_of(sock.getpeername) == "WSAENOTCONN"
    listener = world_free.listener()
    assert code_of(listener.shutdown, wsock.SD_SEND) == "WSAENOTCONN"
    assert code_of(listener.recv_nowait, 1) == "WSAENOTCONN"


async def test_connected_stream(world: World) -> None:
    """S1-23, S1-27, S2-9: codes and counts of a connected stream."""
    pair = await world.pair()
    near = pair.near
    assert code_of(near.recv_nowait, 1) == "WSAEWOULDBLOCK"
    assert near.send_nowait(b"") == 0
    assert near.send_nowait(memoryview(b"abc")) == 3
    assert near.sendto_nowait(b"def", ("192.0.2.9", 9)) == 3
    assert await pair.far.recvfrom(3) == (b"abc", None)
    assert await pair.far.recv(9) == b"def"
    assert code_of(near.shutdown, 77) == "WSAEINVAL"
    assert code_of(near.ioctl, 0x1234) == "WSAEOPNOTSUPP"
    assert code_of(near.send_nowait, b"x", std.MSG_PEEK) == "WSAEINVAL"
    assert code_of(near.bind, ("127.0.0.1", 0)) == "WSAEINVAL"
    near.shutdown(wsock.SD_SEND)
    assert code_of(near.send_nowait, b"x") == "WSAESHUTDOWN"
    with pytest.raises(wsock.WSAESHUTDOWN):
        await near.send(b"x")
    near.shutdown(wsock.SD_RECEIVE)
    assert code_of(near.recv_nowait, 1) == "WSAESHUTDOWN"
    assert near.getpeername() == pair.far.getsockname()


#: Bits that no system gives to what Winsock knows.
UNKNOWN_FLAGS = [1 << 20, 1 << 30, std.MSG_PEEK | 1 << 20, std.MSG_WAITALL | 1 << 20, -1]


@pytest.mark.parametrize("flags", UNKNOWN_FLAGS)
async def test_a_flag_that_no_receive_knows(world: World, flags: int) -> None:
    """Every receiving call: WSAEINVAL, which names call and value; nothing is taken."""
    pair = await world.pair()
    udp, other = world.bound_datagram(), world.socket(kind=std.SOCK_DGRAM)
    pair.far.send_nowait(b"abc")
    other.sendto_nowait(b"abc", udp.getsockname())
    for near, call in ((pair.near, "recv"), (udp, "recvfrom")):
        await world.settle(near, unread=3)
        for receive in (
            lambda near=near: near.recv_nowait(9, flags),
            lambda near=near: near.recvfrom_nowait(9, flags),
            lambda near=near: near.recv_into_nowait(bytearray(9), 0, flags),
        ):
            with pytest.raises(wsock.WSAEINVAL) as caught:
                receive()
            assert f": {call} on a " in str(caught.value)
            assert f"flags {flags:#x}: MSG_PEEK, MSG_OOB or MSG_WAITALL is" in str(caught.value)
        with pytest.raises(wsock.WSAEINVAL):
            await near.recv(9, flags)
        with pytest.raises(wsock.WSAEINVAL):
            await near.recv_into(bytearray(9), 0, flags)
        with pytest.raises(wsock.WSAEINVAL):
            await near.recvfrom(9, flags)
        assert near.recv_nowait(9) == b"abc"


@pytest.mark.parametrize("flags", [1 << 20, std.MSG_PEEK, std.MSG_OOB | 1 << 20, -1])
async def test_a_flag_that_no_send_knows(world: World, flags: int) -> None:
    """Every sending call: WSAEINVAL, which names call and value; nothing is sent."""
    pair = await world.pair()
    udp, other = world.bound_datagram(), world.socket(kind=std.SOCK_DGRAM)
    address = udp.getsockname()
    other.connect_ex(address)
    for near, far, call in ((pair.near, pair.far, "send"), (other, udp, "sendto")):
        for send in (
            lambda near=near: near.send_nowait(b"x", flags),
            lambda near=near: near.sendto_nowait(b"x", address, flags),
        ):
            with pytest.raises(wsock.WSAEINVAL) as caught:
                send()
            assert f": {call} on a " in str(caught.value)
            assert f"flags {flags:#x}: MSG_OOB or MSG_DONTROUTE is" in str(caught.value)
        with pytest.raises(wsock.WSAEINVAL):
            await near.send(b"x", flags)
        with pytest.raises(wsock.WSAEINVAL):
            await near.sendto(b"x", address, flags)
        near.send_nowait(b"abc", std.MSG_DONTROUTE)
        await world.settle(far, unread=3)
        assert far.recv_nowait(9) == b"abc"


def test_a_flag_that_no_send_knows_is_told_before_the_state(world_free: World) -> None:
    """As with recv: WSAEINVAL on an unconnected socket, WSAENOTSOCK on a closed one."""
    for kind in (std.SOCK_STREAM, std.SOCK_DGRAM):
        sock = world_free.socket(kind=kind)
        assert code_of(sock.send_nowait, b"x", std.MSG_PEEK) == "WSAEINVAL"
        sock.close()
        assert code_of(sock.send_nowait, b"x", std.MSG_PEEK) == "WSAENOTSOCK"


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.bind(("127.0.0.1", 0)),
        lambda s: s.listen(),
        lambda s: s.accept_nowait(),
        lambda s: s.recv_nowait(1),
        lambda s: s.recvfrom_nowait(1),
        lambda s: s.recv_into_nowait(bytearray(1)),
        lambda s: s.send_nowait(b"x"),
        lambda s: s.send_all_nowait(b"x"),
        lambda s: s.sendto_nowait(b"x", ("127.0.0.1", 9)),
        lambda s: s.shutdown(2),
        lambda s: s.getsockname(),
        lambda s: s.getpeername(),
        lambda s: s.setsockopt(std.SOL_SOCKET, std.SO_KEEPALIVE, 1),
        lambda s: s.getsockopt(std.SOL_SOCKET, std.SO_KEEPALIVE),
        lambda s: s.ioctl(wsock.FIONREAD),
        lambda s: s.detach(),
    ],
)
@pytest.mark.parametrize("kind", [std.SOCK_STREAM, std.SOCK_DGRAM])
def test_closed(world_free: World, call: object, kind: int) -> None:
    """S1-24, S4-8: every call on a closed socket is WSAENOTSOCK."""
    sock = world_free.socket(kind=kind)
    sock.close()
    if kind == std.SOCK_DGRAM and code_of(call, sock) == "WSAEOPNOTSUPP":
        pytest.fail("the handle is checked before the type")
    assert code_of(call, sock) == "WSAENOTSOCK"
    assert sock.connect_ex(("127.0.0.1", 9)) == wsock.WSAENOTSOCK.winerror
    assert sock.fileno() == -1


async def test_select_state_table(world: World) -> None:
    """select's table: which set a socket is in, by its state."""
    state = lambda sock: sock._endpoint.select_state()  # noqa: E731
    assert state(world.socket()) == (False, False, False)
    listener = world.listener()
    assert state(listener) == (False, False, False)
    far = await world.connected(listener)
    await world.until(lambda: state(listener) == (True, False, False))
    near = await world.accept(listener)
    assert state(near) == (False, True, False)
    far.send_nowait(b"a")
    await world.settle(near, unread=1)
    assert state(near) == (True, True, False)
    near.recv_nowait(9)
    fill(near)
    assert state(near) == (False, False, False)
    far.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
    far.close()
    await world.until(lambda: state(near) == (True, True, False))
    refused = world.socket()
    refused.connect_ex(world.free_port())
    await world.until(lambda: state(refused) == (False, False, True))
    assert state(world.socket(kind=std.SOCK_DGRAM)) == (False, True, False)
    datagram, other = world.bound_datagram(), world.bound_datagram()
    assert state(datagram) == (False, True, False)
    other.sendto_nowait(b"", datagram.getsockname())
    await world.until(lambda: state(datagram) == (True, True, False))


async def test_select_state_after_the_peers_end(world: World) -> None:
    """Closed by the peer: in the read and the write set."""
    pair = await world.pair()
    pair.far.close()
    await pair.settle(ended=True)
    await world.until(lambda: pair.near._endpoint.select_state() == (True, True, False))


async def test_wait_connected(world: World) -> None:
    """wait_connected: the end of a connect_ex that is under way; raises its reason."""
    listener, sock = world.listener(), world.socket()
    sock.connect_ex(listener.getsockname())
    with trio.fail_after(5):
        await sock.wait_connected()
    assert sock.state == "CONNECTED"
    failing = world.socket()
    failing.connect_ex(world.free_port())
    with pytest.raises(wsock.WSAECONNREFUSED), trio.fail_after(5):
        await failing.wait_connected()


async def test_struct_bytes_round_trip(world: World) -> None:
    """S2-1, S1-9: any bytes go through, in order."""
    pair = await world.pair()
    data = bytes(range(256)) * 4000
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.far.send_all, data)
        while len(got) < len(data):
            got += await pair.near.recv(12345)
    assert got == data


async def test_send_waits_until_the_peer_reads(world: World) -> None:
    """S1-31: with a full buffer a blocking send waits, and goes on when the peer reads."""
    pair = await world.pair()
    sent = await world.fill(pair.near)
    done = []

    async def sender() -> None:
        done.append(await pair.near.send(b"end"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        await trio.testing.wait_all_tasks_blocked()
        assert done == []
        got = 0
        while got < sent + 3:
            got += len(await pair.far.recv(1 << 20))
    assert done == [3]


async def test_a_task_for_each_client(world: World) -> None:
    """S2-11, S1-5: one-to-one many times: a task per client serves many at once."""
    listener = world.listener(backlog=20)
    answers: list[bytes] = []

    async def serve(sock: wsock.Socket) -> None:
        with sock:
            while data := await sock.recv(64):
                await sock.send(data.upper())

    async def client(number: int) -> None:
        sock = await world.connected(listener)
        await sock.send(b"client %d" % number)
        answers.append(await sock.recv(64))
        sock.close()

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(client, number)
        for _ in range(20):
            nursery.start_soon(serve, await world.accept(listener))
    assert sorted(answers) == sorted(b"CLIENT %d" % number for number in range(20))
