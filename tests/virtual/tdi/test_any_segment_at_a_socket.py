"""Any segments and ICMP errors at a host with sockets, between any calls of their programs.

The TCP below is asked the same elsewhere; here endpoints, connections and their buffers stand
above it. Nothing raises but Winsock's errors, nothing hangs, and at the end nothing is left.
"""

from __future__ import annotations

import socket as std
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from wsock import Stack, errors
from wsock.afd import StreamEndpoint
from wsock.tdi import addresses
from wsock.virtual.layers import PROTOCOL_ICMP, PROTOCOL_TCP
from wsock.virtual.network import Network
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import build
from wsock.virtual.tdi_provider import VirtualProvider
from wsock.virtual.wire import icmp, ipv4

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
PORT, CLIENT_PORT = 7, 1000
SIDES = ("server", "client")


def at(host: str, port: int) -> bytes:
    return addresses.pack(std.AF_INET, (host, port))


class World:
    """A listener, a connection to it that is accepted, and one more client."""

    def __init__(self, profile: str) -> None:
        self.net = Network(seed=1)
        lan = self.net.segment("lan", "192.0.2.0/24", latency=0.001)
        self.hosts = {
            side: self.net.host(side, lan, address, profile=profile)
            for side, address in (("server", SERVER), ("client", CLIENT))
        }
        self.stacks = {
            side: Stack(side, provider=VirtualProvider(host)) for side, host in self.hosts.items()
        }
        self.listener = self.socket("server")
        self.listener.bind(at(SERVER, PORT))
        self.listener.listen(2)
        client = self.socket("client")
        client.bind(at(CLIENT, CLIENT_PORT))
        client.connect(at(SERVER, PORT))
        self.net.run_for(0.1)
        self.sockets = [self.listener, client, self.listener.accept(), self.socket("client")]
        for sock in self.sockets:
            sock.nonblocking = True

    def socket(self, side: str) -> StreamEndpoint:
        endpoint = self.stacks[side].open(std.AF_INET, std.SOCK_STREAM, 0)
        assert isinstance(endpoint, StreamEndpoint)
        return endpoint

    def numbers(self, side: str) -> tuple[int, int, int]:
        """A sequence number and an acknowledgement that fit this side's connection, and a port."""
        for connection in self.hosts[side].tcp.connections():
            return connection.rcv_nxt, connection.snd_nxt, connection.remote_port
        return 1, 1, CLIENT_PORT

    def inject(self, side: str, protocol: int, payload: bytes) -> None:
        source, destination = (CLIENT, SERVER) if side == "server" else (SERVER, CLIENT)
        packet = ipv4.build(packed(source), packed(destination), protocol, payload)
        self.hosts[side].ipv4.receive(bytes(packet), self.hosts[side].interfaces["eth0"])


def packed(address: str) -> bytes:
    return std.inet_aton(address)


offsets = st.sampled_from([0, 0, 0, 0, 1, 5, -1, -7, 1000, 70_000, 1 << 31])
segments = st.fixed_dictionaries(
    {
        "side": st.sampled_from(SIDES),
        "new_port": st.sampled_from([False, False, False, True]),
        "seq": offsets,
        "ack": offsets,
        "flags": st.one_of(st.sampled_from([2, 4, 16, 17, 24, 48]), st.integers(0, 63)),
        "window": st.sampled_from([0, 1, 500, 65535]),
        "urgent": st.sampled_from([0, 1, 3, 2000]),
        "data": st.sampled_from([b"", b"x", b"0123456789", bytes(1400)]),
        "options": st.sampled_from([Options(), Options(mss=100), Options(timestamp=(5, 0))]),
    }
)
quotes = st.tuples(
    st.sampled_from(SIDES),
    st.sampled_from([(3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (11, 0), (12, 0), (4, 0)]),
    offsets,
)
calls = st.tuples(
    st.integers(0, 3),
    st.sampled_from([
        "recv", "peek", "oob", "send", "send oob", "send much", "shut read", "shut write",
        "connect", "accept", "close", "reset", "turn", "wait",
    ]),
)  # fmt: skip


def deliver(world: World, drawn: dict[str, object]) -> None:
    side = str(drawn["side"])
    seq, ack, port = world.numbers(side)
    if drawn["new_port"]:
        port = 4444
    there, here = (CLIENT, SERVER) if side == "server" else (SERVER, CLIENT)
    source, destination = (port, PORT) if side == "server" else (PORT, CLIENT_PORT)
    raw = build(
        packed(there), packed(here), source, destination,
        (seq + drawn["seq"]) % 2**32, (ack + drawn["ack"]) % 2**32, drawn["flags"],  # type: ignore[operator]
        drawn["window"], drawn["urgent"], drawn["options"].encode(), drawn["data"],  # type: ignore[attr-defined, arg-type]
    )  # fmt: skip
    world.inject(side, PROTOCOL_TCP, bytes(raw))


def complain(world: World, side: str, kind: tuple[int, int], offset: int) -> None:
    _, snd_nxt, port = world.numbers(side)
    here, there = (SERVER, CLIENT) if side == "server" else (CLIENT, SERVER)
    ports = (PORT, port) if side == "server" else (CLIENT_PORT, PORT)
    quoted = build(packed(here), packed(there), *ports, (snd_nxt + offset) % 2**32, 0, 16, 0)
    packet = ipv4.build(packed(here), packed(there), PROTOCOL_TCP, bytes(quoted))
    world.inject(side, PROTOCOL_ICMP, icmp.build(*kind, 0, packet[:28]))


def call(world: World, number: int, what: str) -> None:
    sock = world.sockets[number % len(world.sockets)]
    actions = {
        "recv": lambda: sock.recv(4000),
        "peek": lambda: sock.recv(10, std.MSG_PEEK),
        "oob": lambda: sock.recv(10, std.MSG_OOB),
        "send": lambda: sock.send(b"hello"),
        "send oob": lambda: sock.send(b"!", std.MSG_OOB),
        "send much": lambda: sock.send(bytes(30_000)),
        "shut read": lambda: sock.shutdown(std.SHUT_RD),
        "shut write": lambda: sock.shutdown(std.SHUT_WR),
        "connect": lambda: sock.connect(at(SERVER, PORT)),
        "accept": lambda: world.sockets.append(world.listener.accept()),
        "close": lambda: sock.close(),
        "reset": lambda: sock.close(abort=True),
        "turn": lambda: world.net.run_for(0.01),
        "wait": lambda: world.net.run_for(5.0),
    }
    with suppress(errors.WSAError):
        actions[what]()


@settings(max_examples=300)
@given(
    st.sampled_from(["rfc", "linux", "windows2000"]),
    st.lists(
        st.one_of(
            segments.map(lambda drawn: (deliver, drawn)),
            quotes.map(lambda drawn: (complain, *drawn)),
            calls.map(lambda drawn: (call, *drawn)),
        ),
        max_size=25,
    ),
)
def test_sockets_survive_whatever_comes_and_leave_nothing(
    profile: str, steps: list[tuple[object, ...]]
) -> None:
    """Then everything is closed: no object, no connection and no port is left."""
    world = World(profile)
    for step, *drawn in steps:
        step(world, *drawn)  # type: ignore[operator]
    for sock in world.sockets:
        with suppress(errors.WSAENOTSOCK):
            sock.close()
    world.net.run_for(10_000.0)
    for side in SIDES:
        stack, host = world.stacks[side], world.hosts[side]
        assert stack.endpoints == {}
        assert stack.device.live_connections == 0
        assert stack.device.live_addresses == 0
        again = stack.open(std.AF_INET, std.SOCK_STREAM, 0)
        again.bind(at("0.0.0.0", PORT if side == "server" else CLIENT_PORT))
        again.close()
        assert [c for c in host.tcp.connections() if str(c.state) != "FIN-WAIT-2"] == []
