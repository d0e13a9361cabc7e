"""A connection from beginning to end, and the stack inside: facts of S3 and S4, on plain sockets.

Segment by segment, in the transmission control blocks, they are tested in tests/virtual/tcp; here a
program sees them: through its socket, through netstat, and through a capture. 10 ms one way.
"""

from __future__ import annotations

import ast
import socket as std
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from the_story import CLIENT, SERVER, World

import wsock
from wsock import tdimon, win32
from wsock.virtual import Network

LATENCY_S = 0.010
ONE_WAY_S = LATENCY_S * 1.2  # a moment after what was sent has arrived
TWO_MSL_S = 240.0
EITHER = pytest.mark.parametrize("first", ["client", "server"])
ROOT = Path(__file__).parents[2]


def far_apart(*, seed: int = 1) -> World:
    return World(latency=LATENCY_S, seed=seed)


# Closing, and why the socket stays


@EITHER
def test_fin_ack_fin_ack(first: str) -> None:
    """S3-1, S3-2, S3-3, S3-4, S3-5, S3-18: who closes first, and what each side notes."""

    async def program(world: World) -> None:
        here = await world.connected()
        second = "server" if first == "client" else "client"
        sockets = {"client": here.client, "server": here.accepted}
        before = len(world.segments())
        async with wsock.Window() as window:
            sockets[second].async_select(window, wsock.WM_USER, wsock.FD_CLOSE)
            sockets[first].close()  # either side may; it notes that closing has begun
            await trio.lowlevel.checkpoint()
            assert world.tcp_state(first) == "FIN-WAIT-1"
            assert world.tcp_state(second) == "ESTABLISHED"
            await trio.sleep(ONE_WAY_S)
            assert world.tcp_state(second) == "CLOSE-WAIT"  # it notes that the peer is closing
            message = await window.get()
            assert (message.event, message.error) == (wsock.FD_CLOSE, 0)
            assert sockets[second].recv_nowait(9) == b""
            await trio.sleep(ONE_WAY_S)
            assert world.tcp_state(first) == "FIN-WAIT-2"
            sockets[second].close()
            await trio.lowlevel.checkpoint()
            assert world.tcp_state(second) == "LAST-ACK"
        await world.network.settle()
        assert (world.tcp_state(first), world.tcp_state(second)) == ("TIME-WAIT", "")
        packets = [packet.tcp for packet in world.capture.packets if packet.tcp is not None]
        fin, ack, fin2, ack2 = packets[before:]
        assert [p.flag_names for p in packets[before:]] == ["FIN-ACK", "ACK", "FIN-ACK", "ACK"]
        assert (ack.ack, ack2.ack) == (fin.seq + 1, fin2.seq + 1)
        assert fin.source_port == ack2.source_port == {"client": 100, "server": 10000}[first]

    far_apart().run(program)


@EITHER
def test_the_first_to_close_waits_two_msl(first: str) -> None:
    """S3-6, S3-8: TIME-WAIT is on the side that closed first, for 2 MSL, and then gone."""

    async def program(world: World) -> None:
        here = await world.connected()
        sockets = [here.client, here.accepted]
        for sock in sockets if first == "client" else reversed(sockets):
            sock.close()
            await world.network.settle()
        second = "server" if first == "client" else "client"
        assert (world.tcp_state(first), world.tcp_state(second)) == ("TIME-WAIT", "")
        await trio.sleep(TWO_MSL_S - 5)
        assert world.tcp_state(first) == "TIME-WAIT"
        await trio.sleep(10)
        assert world.tcp_state(first) == ""

    far_apart().run(program)


def test_a_lost_last_ack_is_why() -> None:
    """S3-7: the repeated FIN is answered from TIME-WAIT, and the pair cannot be had meanwhile."""

    async def program(world: World) -> None:
        here = await world.connected()
        here.client.close()
        await world.network.settle()
        with world.network.drop("ip.src == 100.100.100.103 && tcp.flags.ack == 1", count=1):
            here.accepted.close()
            await trio.sleep(ONE_WAY_S * 3)
            assert world.tcp_state("server") == "LAST-ACK"
            assert world.tcp_state("client") == "TIME-WAIT"
        early = world.socket("client")
        early.bind(CLIENT)
        with pytest.raises(wsock.WSAEADDRINUSE):
            await early.connect(SERVER)
        early.close()
        await trio.sleep(5)
        assert world.segments()[-4:] == ["FIN-ACK", "ACK", "FIN-ACK", "ACK"]
        assert world.tcp_state("server") == ""
        await trio.sleep(TWO_MSL_S + 5)
        later = world.socket("client")
        later.bind(CLIENT)
        await later.connect(SERVER)

    far_apart().run(program)


# Making the connection, and data


def test_the_server_waits_and_the_client_comes() -> None:
    """S3-9: the server makes its socket at the start; the client's exists when it needs it."""

    async def program(world: World) -> None:
        early = world.socket("client")
        with pytest.raises(wsock.WSAECONNREFUSED):
            await early.connect(SERVER)
        listener = world.listener()
        await trio.sleep(3600)
        assert listener.state == "LISTENING"
        late = world.socket("client")
        await late.connect(SERVER)
        assert late.state == "CONNECTED"

    far_apart().run(program)


def test_the_three_segments_of_the_handshake() -> None:
    """S3-10, S3-11, S3-12, S4-11: control bits, numbers, windows; none of them carries data."""

    async def program(world: World) -> None:
        await world.connected()
        syn, syn_ack, ack = [p.tcp for p in world.capture.packets if p.tcp is not None]
        assert [p.flag_names for p in (syn, syn_ack, ack)] == ["SYN", "SYN-ACK", "ACK"]
        assert (syn.source_port, syn.destination_port) == (100, 10000)
        assert syn.window > 0
        assert syn_ack.window > 0
        assert syn_ack.ack == syn.seq + 1
        assert (ack.seq, ack.ack) == (syn.seq + 1, syn_ack.seq + 1)
        assert [len(p.data) for p in (syn, syn_ack, ack)] == [0, 0, 0]

    far_apart().run(program)


def test_initial_numbers_differ() -> None:
    """S3-13: from connection to connection and side to side; the same seed repeats them."""

    def numbers(seed: int) -> list[int]:
        found: list[int] = []

        async def program(world: World) -> None:
            world.listener()
            for _ in range(2):
                await world.socket("client").connect(SERVER)
            await world.network.settle()
            segments = [p.tcp for p in world.capture.packets if p.tcp is not None]
            found.extend(segment.seq for segment in segments if segment.has("SYN"))

        far_apart(seed=seed).run(program)
        return found

    first = numbers(1)
    assert len(set(first)) == 4
    assert numbers(1) == first
    assert set(numbers(2)).isdisjoint(first)


@EITHER
def test_question_and_answer(first: str) -> None:
    """S3-14, S3-17: on the web the client asks first; the answer goes the same way back."""

    async def program(world: World) -> None:
        here = await world.connected()
        sides = [here.client, here.accepted]
        asking, answering = sides if first == "client" else reversed(sides)
        before = len(world.segments())
        await asking.send(b"GET / HTTP/1.0\r\n\r\n")
        assert await answering.recv(100) == b"GET / HTTP/1.0\r\n\r\n"
        await answering.send(b"HTTP/1.0 200 OK\r\n\r\n")
        assert await asking.recv(100) == b"HTTP/1.0 200 OK\r\n\r\n"
        await world.network.settle()
        assert world.segments()[before:] == ["PSH-ACK", "PSH-ACK", "ACK"]
        ports = [p.ports[0] for p in world.capture.packets if p.tcp is not None][before:]
        assert ports == ([100, 10000, 100] if first == "client" else [10000, 100, 10000])

    far_apart().run(program)


def test_data_is_cut_into_segments() -> None:
    """S3-15: no piece exceeds the MSS; numbers follow on; together they are the data."""

    async def program(world: World) -> None:
        here = await world.connected()
        text = bytes(n % 251 for n in range(6000))
        await here.client.send(text)
        await world.network.settle()
        pieces = [
            p.tcp for p in world.capture.packets if p.tcp is not None and p.outgoing and p.tcp.data
        ]
        assert [len(p.data) for p in pieces] == [1452, 1452, 1452, 1452, 192]
        for one, following in pairwise(pieces):
            assert following.seq == one.seq + len(one.data)
        assert b"".join(bytes(p.data) for p in pieces) == text

    far_apart().run(program)


def test_the_window_follows_the_reader() -> None:
    """S3-16: it shrinks while nobody reads, and recv that makes room sends the new value along."""

    async def program(world: World) -> None:
        here = await world.connected()
        await here.client.send(bytes(8000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.client.send_all, bytes(40_000))
            await trio.sleep(2)
            windows = [p.tcp.window for p in world.capture.packets if p.tcp and not p.outgoing]
            assert sorted(windows[1:], reverse=True) == windows[1:]
            assert windows[-1] < 1452
            seen = len(world.capture.packets)
            got = 0
            while got < 48_000:
                got += len(await here.accepted.recv(8192))
            updates = [p.tcp for p in world.capture.packets[seen:] if p.tcp and not p.outgoing]
            assert max(update.window for update in updates) > windows[-1]
            assert not any(len(update.data) for update in updates)

    far_apart().run(program)


# The stack


def test_programs_see_the_socket_interface_alone() -> None:
    """S4-1: no example reaches past sockets into the stack below."""
    below = {"afd", "tdi", "kernel", "_stack", "_socket"}
    for path in (ROOT / "examples").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                package, _, rest = name.partition(".")
                assert package != "wsock" or rest.partition(".")[0] not in below, (path, name)


def test_a_look_up_is_one_packet_each_way() -> None:
    """S4-2: UDP for a short question; the same over TCP takes a handshake and a close besides."""

    async def program(world: World) -> None:
        server, client = (world.socket(side, type=std.SOCK_DGRAM) for side in ("server", "client"))
        server.bind(SERVER)
        await client.sendto(b"server.example?", SERVER)
        question, peer = await server.recvfrom(512)
        assert question == b"server.example?"
        await server.sendto(b"100.100.100.105", peer)
        assert await client.recv(512) == b"100.100.100.105"
        await world.network.settle()
        assert [p.name for p in world.capture.packets if p.arp is None] == ["UDP", "UDP"]

    far_apart().run(program)


def test_icmp_tells_and_arp_finds() -> None:
    """S4-3: port unreachable comes to the socket; a neighbour is asked for once."""

    async def program(world: World) -> None:
        sock = world.socket("client", type=std.SOCK_DGRAM)
        await sock.sendto(b"anybody?", SERVER)
        with pytest.raises(wsock.WSAECONNRESET):
            await sock.recv(100)
        await sock.sendto(b"really?", SERVER)
        await world.network.settle()
        assert [p.name for p in world.capture.packets] == [
            "ARP request", "ARP reply", "UDP", "ICMP port unreachable", "UDP",
            "ICMP port unreachable",
        ]  # fmt: skip

    far_apart().run(program)


def test_icmp_tells_of_a_host_that_is_not_there() -> None:
    """S4-3: a router's host unreachable fails the connect that asked for the host."""
    net = Network(seed=1)
    near_lan, far_lan = net.segment("near", "192.0.2.0/24"), net.segment("far", "198.51.100.0/24")
    client, router = net.host("client", near_lan), net.router("router", near_lan)
    net.join(router, far_lan)
    net.host("somebody", far_lan)
    net.fill_routes()
    capture = net.capture(client)

    async def main() -> None:
        with wsock.socket(stack=client.stack) as sock, pytest.raises(wsock.WSAEHOSTUNREACH):
            await sock.connect(("198.51.100.99", 80))

    net.run(main)
    assert "ICMP host unreachable" in [packet.name for packet in capture.packets]


def test_netstat_shows_what_a_socket_knows() -> None:
    """S4-5: peer, port and progress of each socket, as they change along a connection."""

    async def program(world: World) -> None:
        client, host = world.socket("client"), world.hosts["client"]
        assert [(row["state"], row["remote"]) for row in host.stack.netstat()] == [("OPEN", "")]
        world.listener()
        client.bind(CLIENT)
        states = [host.stack.netstat()[0]["state"]]
        assert client.connect_ex(SERVER) == wsock.WSAEWOULDBLOCK.winerror
        await trio.lowlevel.checkpoint()
        states += [host.stack.netstat()[0]["state"], world.tcp_state("client")]
        await client.wait_connected()
        (row,) = host.stack.netstat()
        states += [row["state"], world.tcp_state("client")]
        assert states == ["BOUND", "CONNECTING", "SYN-SENT", "CONNECTED", "ESTABLISHED"]
        assert (row["local"], row["remote"]) == ("100.100.100.103:100", "100.100.100.105:10000")
        await client.send(bytes(500))
        (progress,) = host.netstat()
        assert (progress.remote, progress.unsent) == ("100.100.100.105:10000", 500)
        await world.network.settle()
        assert host.netstat()[0].unsent == 0

    far_apart().run(program)


def test_what_is_not_acknowledged_is_sent_again() -> None:
    """S4-6: after a time, each time twice as long; at the limit the call fails: WSAETIMEDOUT."""

    async def program(world: World) -> None:
        here = await world.connected()
        seen = len(world.capture.packets)
        with world.network.partition("client", "server"):
            await here.client.send(b"is anybody there?")
            with pytest.raises(wsock.WSAETIMEDOUT):
                await here.client.recv(100)
        sent = [p for p in world.capture.packets[seen:] if p.outgoing and p.tcp and p.tcp.data]
        assert {bytes(p.tcp.data) for p in sent} == {b"is anybody there?"}
        assert len({p.tcp.seq for p in sent}) == 1
        pauses = [b.time - a.time for a, b in pairwise(sent)]
        assert len(pauses) == 5
        for one, following in pairwise(pauses):
            assert following == pytest.approx(2 * one)

    far_apart().run(program)


def test_a_new_socket_is_empty() -> None:
    """S4-7: memory for one socket, and nothing in it: no address, no peer, no connection."""

    async def program(world: World) -> None:
        sock = world.socket("client")
        assert sock.state == "OPEN"
        (row,) = world.hosts["client"].stack.netstat()
        assert (row["local"], row["remote"], row["unread"], row["unsent"]) == ("", "", 0, 0)
        assert world.hosts["client"].netstat() == []
        with pytest.raises(wsock.WSAEINVAL):
            sock.getsockname()
        with pytest.raises(wsock.WSAENOTCONN):
            sock.getpeername()

    far_apart().run(program)


def test_descriptors_name_sockets() -> None:
    """S4-8: each open socket has its own; a number that names none is WSAENOTSOCK."""
    codes: list[int] = []

    def program() -> None:
        win32.WSAStartup(win32.MAKEWORD(2, 2), win32.WSADATA())
        handles = [win32.socket(win32.AF_INET, win32.SOCK_STREAM, 0) for _ in range(50)]
        assert len(set(handles)) == 50
        win32.closesocket(handles[7])
        for wrong in (handles[7], max(handles) + 4, 3):
            assert win32.listen(wrong, 5) == win32.SOCKET_ERROR
            codes.append(win32.WSAGetLastError())

    win32.run(program)
    assert codes == [win32.WSAENOTSOCK] * 3


def test_what_connecting_means() -> None:
    """S4-9, S4-14: who knows whom, and in which state, while the three segments cross."""

    async def program(world: World) -> None:
        listener = world.listener()
        client = world.socket("client")
        client.bind(CLIENT)
        assert (world.tcp_state("client"), world.tcp_state("server")) == ("", "")
        assert client.connect_ex(SERVER) == wsock.WSAEWOULDBLOCK.winerror
        await trio.lowlevel.checkpoint()
        assert (world.tcp_state("client"), world.tcp_state("server")) == ("SYN-SENT", "")
        await trio.sleep(3 * ONE_WAY_S)  # ARP's question and answer, then the SYN
        assert (world.tcp_state("client"), world.tcp_state("server")) == (
            "SYN-SENT", "SYN-RECEIVED",
        )  # fmt: skip
        (row,) = [row for row in world.hosts["server"].netstat() if row.remote != "*:*"]
        assert row.remote == "100.100.100.103:100"
        with pytest.raises(wsock.WSAEWOULDBLOCK):
            listener.accept_nowait()
        await trio.sleep(ONE_WAY_S * 0.8)
        assert (world.tcp_state("client"), world.tcp_state("server")) == (
            "ESTABLISHED", "SYN-RECEIVED",
        )  # fmt: skip
        await trio.sleep(ONE_WAY_S)
        assert (world.tcp_state("client"), world.tcp_state("server")) == (
            "ESTABLISHED", "ESTABLISHED",
        )  # fmt: skip
        accepted = await world.accept(listener)
        assert (client.getpeername(), accepted.getpeername()) == (SERVER, CLIENT)
        assert all(
            sock.getsockopt(std.SOL_SOCKET, option) > 0
            for sock in (client, accepted)
            for option in (std.SO_SNDBUF, std.SO_RCVBUF)
        )

    far_apart().run(program)


def test_headers_carry_what_the_sockets_hold() -> None:
    """S4-10: ports, numbers and window of a header are those in the two control blocks."""

    async def program(world: World) -> None:
        here = await world.connected()
        await here.client.send(b"x" * 100)
        await world.network.settle()
        near, far = (world.hosts[side].tcp.connections()[0].status() for side in world.hosts)
        header, answer = [p.tcp for p in world.capture.packets if p.tcp is not None][-2:]
        assert (header.source_port, header.destination_port) == (near.local[1], near.remote[1])
        assert (far.local[1], far.remote[1]) == (near.remote[1], near.local[1])
        assert header.seq + 100 == near.snd_nxt == far.rcv_nxt == answer.ack
        assert header.ack == near.rcv_nxt == far.snd_nxt
        assert answer.window == near.snd_wnd == far.rcv_wnd

    far_apart().run(program)


def test_the_frame_around_it_all() -> None:
    """S4-12: MAC header, IP header, TCP header, in this order in the bytes of a frame."""

    async def program(world: World) -> None:
        await world.connected()
        (syn,) = [p for p in world.capture.packets if p.name == "SYN"]
        assert syn.link_type == 1
        assert syn.data[12:14] == b"\x08\x00"  # behind two MAC addresses: IPv4 follows
        assert syn.data[14] >> 4 == 4
        assert syn.data[14 + 9] == 6  # TCP follows
        assert syn.data[34:38] == (100).to_bytes(2, "big") + (10000).to_bytes(2, "big")

    far_apart().run(program)


def test_connect_goes_down_to_the_stack() -> None:
    """S4-13: the call, and below it TDI_CONNECT, which carries the server's address and port."""

    async def program(world: World) -> None:
        world.listener()
        client = world.socket("client")
        client.bind(CLIENT)
        with tdimon.watch(client) as trace:
            await client.connect(SERVER)
        rows = trace.rows(profile="calls")
        (call,) = [row for row in rows if row.request == "connect"]
        below = rows[rows.index(call) + 1 :]
        (request,) = [row for row in below if row.request.strip() == "TDI_CONNECT"]
        assert "100.100.100.105:10000" in request.remote

    far_apart().run(program)


def test_an_answer_without_syn_is_a_failure() -> None:
    """S4-15: nobody listens, a RST comes, connect fails with 10061."""

    async def program(world: World) -> None:
        client = world.socket("client")
        with pytest.raises(wsock.WSAECONNREFUSED) as caught:
            await client.connect(SERVER)
        assert caught.value.winerror == 10061
        assert world.segments()[0] == "SYN"
        assert world.segments()[-1] == "RST-ACK"

    far_apart().run(program)


def test_a_connection_lasts_until_it_is_closed() -> None:
    """S4-16: after a month of silence, in which no packet crossed, data flows at once."""

    async def program(world: World) -> None:
        here = await world.connected()
        await world.network.settle()
        before = len(world.segments())
        await trio.sleep(30 * 24 * 3600)
        assert len(world.segments()) == before
        await here.accepted.send(b"still here")
        assert await here.client.recv(100) == b"still here"

    far_apart().run(program)
