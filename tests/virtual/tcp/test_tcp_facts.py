"""The story of a connection as it is taught, step by step, on the wire and in the TCBs."""

from __future__ import annotations

import errno

import pytest
from tcp_wire import MS, A, B, Client, Host, Pair, Script, Wire, brief, listen

from wsock.virtual.tcp import Connection
from wsock.virtual.tcp.segment import ACK, FIN, SYN
from wsock.virtual.tcp.states import State


def controls(pair: Pair) -> list[tuple[str, str]]:
    """Who sent which control bits, in order."""
    names = {A: "client", B: "server"}
    return [(names[sent.segment.source], brief(sent.segment)[0]) for sent in pair.wire.log]


def test_a_connection_is_set_up_by_the_three_way_handshake() -> None:
    """Facts S1-25, S4-11: SYN, SYN+ACK, ACK, none of them with data."""
    pair = Pair(establish=False)
    pair.connect()
    pair.wire.run(0.1)
    assert controls(pair) == [("client", "SYN"), ("server", "SYN,ACK"), ("client", "ACK")]
    assert [len(sent.segment.data) for sent in pair.wire.log] == [0, 0, 0]


def test_the_nine_steps_of_connecting() -> None:
    """Fact S4-14: who knows what, and in which state, at each step of the handshake.

    Fact S4-9: before, peer and numbers are unknown on both sides; after, both know both.
    """
    pair = Pair(establish=False)
    pair.client_settings.iss, pair.server_settings.iss = 100, 300
    assert pair.b.tcp.connections() == []  # the server cannot know the client before
    pair.connect()
    near = pair.near
    assert (near.state, near.irs, near.rcv_nxt) == (State.SYN_SENT, 0, 0)
    pair.wire.run(0)  # 1, 2: a header with both ports, SYN, number and window goes to IP alone
    (syn,) = (sent.segment for sent in pair.wire.log)
    assert brief(syn) == ("SYN", 100, 0, 0)
    assert (syn.source_port, syn.destination_port) == (near.local_port, 80)
    assert syn.window > 0
    pair.wire.run(0.010)  # 3, 4: it is across; the socket of the port stores what it says
    (far,) = pair.b.tcp.connections()
    assert (far.state, far.irs, far.remote, far.remote_port) == (
        State.SYN_RECEIVED, 100, A, near.local_port,
    )  # fmt: skip
    assert pair.server.events == []
    synack = pair.wire.log[-1].segment  # 5, 6: the ports swapped, SYN and ACK
    assert brief(synack) == ("SYN,ACK", 300, 101, 0)
    assert (synack.source_port, synack.destination_port) == (80, near.local_port)
    assert near.state is State.SYN_SENT
    pair.wire.run(0.010)  # 7, 8: SYN is success; stored, connected
    assert (near.state, near.irs) == (State.ESTABLISHED, 300)
    assert pair.client.events == ["connected"]
    assert far.state is State.SYN_RECEIVED
    assert brief(pair.wire.log[-1].segment) == ("ACK", 101, 301, 0)  # 9
    pair.wire.run(0.010)
    assert far.state is State.ESTABLISHED
    assert pair.server.events == ["accepted"]


def test_a_new_connection_is_an_empty_vessel() -> None:
    """Fact S4-7: nothing is known but its own ends; the state says that it is nowhere yet."""
    script = Script()
    connection = Connection(script.host.tcp, script.client, script.settings, (B, 1), (A, 2))
    status = connection.status()
    assert status.state is State.CLOSED
    assert (status.snd_una, status.snd_nxt, status.rcv_nxt, status.irs) == (0, 0, 0, 0)
    assert (status.unsent, status.unread, status.srtt) == (0, 0, None)
    assert connection.trace == []
    assert connection.send(b"x") == errno.ENOTCONN


def test_control_information_changes_along_the_connection() -> None:
    """Facts S4-5, S4-6: the control block is what the stack acts on; it can be watched."""
    pair = Pair()
    before = pair.near.status()
    pair.near.send(b"x" * 100)
    pair.wire.run(0.01)
    flying = pair.near.status()
    pair.wire.run(1)
    after = pair.near.status()
    assert (before.flight_size, flying.flight_size, after.flight_size) == (0, 100, 0)
    assert after.snd_una == flying.snd_nxt == before.snd_nxt + 100
    assert pair.far.status().rcv_nxt == after.snd_nxt


def test_the_server_waits_first_the_client_comes_when_it_needs_to() -> None:
    """Fact S3-9: without the waiting server the same connect is refused."""
    wire = Wire()
    a, b = Host(wire, "a", A), Host(wire, "b", B)
    early, late = Client(), Client()
    a.tcp.connect(early, B, 80)
    wire.run(1)
    listen(b, 80)
    a.tcp.connect(late, B, 80)
    wire.run(1)
    assert early.events == [("failed", errno.ECONNREFUSED)]
    assert late.events == ["connected"]


def test_initial_numbers_are_not_fixed() -> None:
    """Fact S3-13: two connections differ, both directions; a seed repeats them."""

    def numbers(seed: int) -> list[int]:
        wire = Wire(seed=seed)
        a, b = Host(wire, "a", A), Host(wire, "b", B)
        listen(b, 80)
        for _ in range(2):
            a.tcp.connect(Client(), B, 80)
        wire.run(1)
        return [sent.segment.seq for sent in wire.log if sent.segment.flags & SYN]

    assert len(set(numbers(1))) == 4
    assert numbers(1) == numbers(1)
    assert set(numbers(1)).isdisjoint(numbers(2))


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_request_and_its_answer(first: str) -> None:
    """Facts S3-14, S3-17: the client asks first as on the web, the answer goes the same way.

    With the roles exchanged the wire shows the same exchange, mirrored.
    """
    pair = Pair()
    asking, answering = (pair.near, pair.far) if first == "client" else (pair.far, pair.near)
    heard = pair.server if first == "client" else pair.client
    asking.send(b"GET /")
    pair.wire.run(0.015)
    assert heard.data == b"GET /"
    answering.send(b"200 OK")
    pair.wire.run(1)
    other = "server" if first == "client" else "client"
    assert controls(pair) == [(first, "PSH,ACK"), (other, "PSH,ACK"), (first, "ACK")]
    assert pair.wire.log[1].segment.ack == pair.wire.log[0].segment.seq + 5


@pytest.mark.parametrize("first", ["client", "server"])
def test_either_side_may_end_the_connection(first: str) -> None:
    """Facts S3-1, S3-2 to S3-6, S3-8, S3-18: FIN, ACK, FIN, ACK; who began waits."""
    pair = Pair()
    one, other = (pair.near, pair.far) if first == "client" else (pair.far, pair.near)
    told = pair.server if first == "client" else pair.client
    second = "server" if first == "client" else "client"
    one.close()
    assert one.state is State.FIN_WAIT_1  # it notes that closing has begun
    pair.wire.run(0.010)
    assert other.state is State.CLOSE_WAIT
    assert told.events == ["peer_closed"]
    pair.wire.run(0.010)
    assert one.state is State.FIN_WAIT_2
    other.close()
    assert other.state is State.LAST_ACK
    pair.wire.run(1)
    assert controls(pair) == [
        (first, "FIN,ACK"), (second, "ACK"), (second, "FIN,ACK"), (first, "ACK"),
    ]  # fmt: skip
    fin, ack, fin2, ack2 = (sent.segment for sent in pair.wire.log)
    assert (ack.ack, ack2.ack) == (fin.seq + 1, fin2.seq + 1)
    assert (one.state, other.state) == (State.TIME_WAIT, State.CLOSED)


def test_a_stream_is_ordered_reliable_and_two_way() -> None:
    """Fact S1-9, in small: segments arrive in the wrong order, one twice, one not at all."""
    pair = Pair(sack=False)
    seen: dict[int, int] = {}

    def judge(sent: object) -> list[int]:
        count = len(seen)
        seen[count] = count
        return {0: [30 * MS], 1: [10 * MS], 2: [10 * MS, 15 * MS], 3: []}.get(count, [10 * MS])

    pair.wire.filter = judge
    text = bytes(n % 251 for n in range(10_000))
    pair.near.send(text)
    pair.wire.run(0.05)
    pair.far.send(text[::-1])
    pair.wire.run(10)
    assert pair.server.data == text
    assert pair.client.data == text[::-1]


def test_an_idle_connection_lives_until_it_is_closed() -> None:
    """Fact S4-16: a week later data still flows, and nothing was sent meanwhile."""
    pair = Pair()
    pair.wire.run(7 * 24 * 3600)
    assert pair.wire.log == []
    pair.far.send(b"good morning")
    pair.wire.run(1)
    assert pair.client.data == b"good morning"


def test_an_answer_without_syn_means_failure() -> None:
    """Fact S4-15: a RST for a SYN; and a bare ACK for a SYN is no success either."""
    script = Script()
    connection = script.connect()
    script.outputs()
    assert script.inject(ACK, 5000, 7001) == []
    assert script.inject(ACK | FIN, 5000, 7001) == []
    assert connection.state is State.SYN_SENT
    assert script.client.events == []
