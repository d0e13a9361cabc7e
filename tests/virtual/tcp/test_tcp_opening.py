"""Opening connections: checklist lines 7 to 16."""

from __future__ import annotations

import errno

import pytest
from tcp_wire import (
    BROADCAST,
    MS,
    MULTICAST,
    NOBODY,
    A,
    B,
    Client,
    Host,
    Packet,
    Pair,
    Script,
    Wire,
    brief,
    listen,
)  # fmt: skip

from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.profile import RFC, SECOND
from wsock.virtual.tcp import ConnectAnswer, Connection
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, PSH, RST, SYN, build
from wsock.virtual.tcp.states import State


def test_07_three_way_handshake_has_exact_numbers() -> None:
    """SYN; SYN,ACK of ISS+1; ACK of IRS+1 (section 3.5). Facts S3-10, S3-11, S3-12, S4-11."""
    pair = Pair(establish=False)
    pair.client_settings.iss, pair.server_settings.iss = 100, 300
    pair.connect()
    pair.wire.run(0.1)
    assert [brief(sent.segment) for sent in pair.wire.log] == [
        ("SYN", 100, 0, 0),
        ("SYN,ACK", 300, 101, 0),
        ("ACK", 101, 301, 0),
    ]
    assert all(sent.segment.window for sent in pair.wire.log)
    assert pair.client.events == ["connected"]
    assert pair.server.events == ["accepted"]


def test_07_nothing_is_sent_before_the_instant_is_over() -> None:
    """OPEN marks the connection; the SYN leaves with the flush."""
    script = Script()
    script.connect()
    assert script.wire.log == []
    assert [brief(s)[0] for s in script.outputs()] == ["SYN"]


def test_08_passive_open_queues_connections_for_accept() -> None:
    """Without a handler, accept hands out the oldest; its data waits for it meanwhile."""
    wire = Wire()
    a, b = Host(wire, "a", A), Host(wire, "b", B)
    ready: list[int] = []
    listener = listen(b, 80, on_ready=lambda: ready.append(listener.waiting))
    assert listener.accept(Client()) is None
    made = [a.tcp.connect(Client(), B, 80) for _ in range(2)]
    wire.run(0.1)
    assert ready == [1, 2]
    for connection, text in zip(made, (b"one", b"two"), strict=True):
        assert isinstance(connection, Connection)
        connection.send(text)
        connection.close()
    wire.run(1)
    # both SYNs left in one instant; which is first is the order of flushing, by port
    order = sorted(made, key=lambda c: c.local_port)
    for connection in order:
        server = Client()
        accepted = listener.accept(server)
        assert accepted is not None
        assert accepted.remote_port == connection.local_port
        assert server.data == (b"one" if connection is made[0] else b"two")
        assert server.events == ["peer_closed"]


@pytest.mark.parametrize(("profile", "answer"), [("rfc", ["RST,ACK"]), ("linux", [])])
def test_08_full_backlog_refuses_or_drops_per_profile(profile: str, answer: list[str]) -> None:
    """Half-open and waiting together are at most the backlog; then the profile decides."""
    script = Script(profile)
    listener = listen(script.host, 80, backlog=2)
    script.inject(SYN, 1000)
    script.peer_port = 5556
    synack = script.inject(SYN, 1000)[0]
    script.inject(ACK, 1001, synack.seq + 1)
    assert (listener.half_open, listener.waiting) == (1, 1)
    script.peer_port = 5557
    assert [brief(s)[0] for s in script.inject(SYN, 2000)] == answer
    assert script.host.counters["tcp backlog"] == 1
    listener.accept(Client())  # a place is free
    assert [brief(s)[0] for s in script.inject(SYN, 2000)] == ["SYN,ACK"]


def test_08_a_handler_may_refuse_on_purpose() -> None:
    """REFUSE is a RST under every profile, FULL is what the profile says."""
    for answer, expected in ((ConnectAnswer.REFUSE, ["RST,ACK"]), (ConnectAnswer.FULL, [])):
        script = Script("linux")
        seen: list[tuple[bytes, int]] = []

        def handler(offer: Connection, answer: ConnectAnswer = answer) -> ConnectAnswer:
            seen.append((offer.remote, offer.remote_port))  # noqa: B023
            return answer

        listen(script.host, 80, handler)
        assert [brief(s)[0] for s in script.inject(SYN, 1000)] == expected
        assert seen == [(A, Script.PORT)]
        assert script.host.tcp.connections() == []


def test_08_a_connection_reset_while_it_waits_is_handed_out_with_its_error() -> None:
    """Accept gives it; its bytes are readable, then the reset is told."""
    script = Script()
    listener = listen(script.host, 80)
    synack = script.inject(SYN, 1000)[0]
    script.inject(ACK | PSH, 1001, synack.seq + 1, b"last words")
    script.inject(RST, 1011)
    client = Client()
    assert listener.accept(client) is not None
    assert client.data == b"last words"
    assert client.events == [("reset", errno.ECONNRESET)]


def test_08_closing_a_listener_resets_what_nobody_took() -> None:
    """Half-open and waiting connections are aborted; accepted ones go on."""
    script = Script()
    listener = listen(script.host, 80)
    numbers = {}
    for script.peer_port in (1, 2, 3):
        numbers[script.peer_port] = script.inject(SYN, 1000)[0].seq + 1
    for script.peer_port in (1, 2):
        script.inject(ACK, 1001, numbers[script.peer_port])
    taken = listener.accept(Client())
    listener.close()
    resets = script.outputs()
    assert [(s.destination_port, bool(s.flags & RST)) for s in resets] == [(2, True), (3, True)]
    assert script.host.tcp.connections() == [taken]


def test_09_simultaneous_open_makes_one_connection() -> None:
    """Two SYNs cross: both ends go SYN-SENT, SYN-RECEIVED, ESTABLISHED (MUST-10)."""
    wire = Wire()
    a, b = Host(wire, "a", A), Host(wire, "b", B)
    ends = []
    for host, address, peer in ((a, A, B), (b, B, A)):
        binding = host.tcp.bind(address, 4000)
        assert not isinstance(binding, LocalError)
        client = Client()
        ends.append((client, host.tcp.connect(client, peer, 4000, binding=binding)))
    wire.run(0.2)
    for client, connection in ends:
        assert isinstance(connection, Connection)
        assert client.events == ["connected"]
        assert [change.new for change in connection.trace] == [
            State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED,
        ]  # fmt: skip
    assert len(a.tcp.connections()) == len(b.tcp.connections()) == 1
    ends[0][1].send(b"hello")
    wire.run(0.2)
    assert ends[1][0].data == b"hello"


def test_10_a_reset_in_passive_syn_received_returns_to_listen() -> None:
    """The handshake is forgotten, the listener goes on (MUST-11, section 3.10.7.4)."""
    script = Script()
    listener = listen(script.host, 80)
    script.inject(SYN, 1000)
    assert listener.half_open == 1
    assert script.inject(RST, 1001) == []
    assert (listener.half_open, script.host.tcp.connections()) == (0, [])
    assert [brief(s)[0] for s in script.inject(SYN, 3000)] == ["SYN,ACK"]


def test_10_a_reset_in_active_syn_received_is_refused() -> None:
    """After a simultaneous open the user is told "connection refused"."""
    script = Script()
    connection = script.connect()
    script.outputs()
    script.inject(SYN, 1000)
    assert connection.state is State.SYN_RECEIVED
    script.inject(RST, 1001)
    assert script.client.events == [("failed", errno.ECONNREFUSED)]


def test_11_syn_is_resent_with_backoff_and_gives_up_after_three_minutes() -> None:
    """1, 2, 4 ... seconds, at least 180 s in profile rfc, then ETIMEDOUT (MUST-22, 23)."""
    script = Script()
    script.connect()
    script.wire.run(400)
    times = [sent.time // SECOND for sent in script.wire.log]
    assert times == [0, 1, 3, 7, 15, 31, 63, 123]
    assert all(brief(sent.segment)[0] == "SYN" for sent in script.wire.log)
    assert script.client.events == [("failed", errno.ETIMEDOUT)]
    assert script.connection is not None
    assert script.connection.trace[-1].time_ns == 183 * SECOND


def test_11_profiles_count_syn_resends() -> None:
    """Six resends under linux, two under windows2000."""
    for profile, times in (("linux", [0, 1, 3, 7, 15, 31, 63]), ("windows2000", [0, 3, 9])):
        script = Script(profile)
        script.connect()
        script.wire.run(400)
        assert [sent.time // SECOND for sent in script.wire.log] == times
        assert script.client.events == [("failed", errno.ETIMEDOUT)]


def test_11_syn_ack_is_resent_too() -> None:
    """A handshake whose third segment never comes ends by itself."""
    script = Script("linux")
    listener = listen(script.host, 80)
    script.inject(SYN, 1000)
    script.wire.run(300)
    assert [sent.time // SECOND for sent in script.wire.log] == [0, 1, 3, 7, 15, 31, 63]
    assert listener.half_open == 0


def test_11_a_repeated_syn_is_answered_by_the_syn_ack_again() -> None:
    """Its sender missed the first: a bare ACK would mean nothing to it. No sample is taken."""
    script = Script(timestamps="accept")
    script.listen()
    first = script.inject(SYN, 1000)
    script.wire.run(0.5)
    assert [brief(s) for s in script.inject(SYN, 1000)] == [brief(s) for s in first]
    connection = script.connection
    assert connection is not None
    before = connection.round_trip.rto
    script.inject(ACK, 1001, 7001)
    assert (str(connection.state), connection.round_trip.rto) == ("ESTABLISHED", before)


def test_11_rto_is_three_seconds_after_a_lost_syn() -> None:
    """And the window one segment (RFC 6298 section 5.7, RFC 5681 section 3.1)."""
    script = Script(timestamps="accept")
    connection = script.connect()
    script.wait(1.5)
    script.inject(SYN | ACK, 1000, 7001, options=Options(mss=1000))
    assert connection.state is State.ESTABLISHED
    assert connection.status().rto == 3 * SECOND
    connection.send(b"x" * 5000)
    assert len(script.outputs()) == 1


def test_12_closed_port_answers_rst_ack_and_connect_is_refused() -> None:
    """RST,ACK with SEQ 0 and ACK = SEG.SEQ + SEG.LEN (section 3.5.2). Fact S4-15."""
    pair = Pair(establish=False)
    connection = pair.a.tcp.connect(pair.client, B, 81)
    assert isinstance(connection, Connection)
    pair.wire.run(1)
    syn, answer = (sent.segment for sent in pair.wire.log)
    assert brief(answer) == ("RST,ACK", 0, syn.seq + 1, 0)
    assert pair.client.events == [("failed", errno.ECONNREFUSED)]
    assert connection.state is State.CLOSED
    script = Script()
    assert brief(script.inject(SYN | FIN, 1000, data=b"abc")[0]) == ("RST,ACK", 0, 1005, 0)


def test_12_windows_repeats_the_syn_after_a_reset_if_asked() -> None:
    """``syn_retries_on_reset``: the SYN again, half a second later, then refused."""
    pair = Pair(establish=False, profile="windows2000", syn_retries_on_reset=2)
    pair.a.tcp.connect(pair.client, B, 81)
    pair.wire.run(5)
    syns = [sent.time for sent in pair.wire.log if sent.segment.flags & SYN]
    assert syns == [0, 520 * MS, 1040 * MS]
    assert pair.client.events == [("failed", errno.ECONNREFUSED)]


def test_13_an_old_duplicate_syn_recovers_by_reset() -> None:
    """The peer's RST for our SYN,ACK brings the listener back (section 3.5, figure 9)."""
    wire = Wire()
    a, b = Host(wire, "a", A), Host(wire, "b", B)
    server = Client()
    listen(b, 80, lambda _: server)
    old = build(A, B, 49152, 80, 90, 0, SYN, 1000)
    b.tcp.receive(Packet(A, B, memoryview(bytes(old))))
    wire.run(0.1)
    assert [brief(sent.segment)[0] for sent in wire.log] == ["SYN,ACK", "RST"]
    assert b.tcp.connections() == []
    assert a.tcp.connections() == []


def test_13_a_half_open_peer_that_restarted_recovers() -> None:
    """A crashed and came back: its SYN is challenged, it resets, a new one connects (3.5.1)."""
    pair = Pair()
    old = pair.far
    pair.a.tcp = type(pair.a.tcp)(pair.a)  # power cut: all state is gone
    pair.a.counters.clear()
    again = Client()
    binding = pair.a.tcp.bind(A, old.remote_port)
    assert not isinstance(binding, LocalError)
    pair.a.tcp.connect(again, B, 80, binding=binding)
    pair.wire.run(3)
    assert again.events == ["connected"]
    assert pair.server.events == [("reset", errno.ECONNRESET), "accepted"]
    names = [brief(sent.segment)[0] for sent in pair.wire.log]
    assert names[:3] == ["SYN", "ACK", "RST"]


def test_13_data_for_a_connection_that_the_peer_forgot_is_reset() -> None:
    """The side that still believes in it learns when it sends (section 3.5.1, figure 11)."""
    pair = Pair()
    pair.a.tcp = type(pair.a.tcp)(pair.a)
    pair.far.send(b"are you there")
    pair.wire.run(1)
    assert pair.server.events == [("reset", errno.ECONNRESET)]


def test_14_data_and_fin_on_a_syn_are_kept_until_established() -> None:
    """The SYN,ACK acknowledges the SYN alone; text and FIN follow the ACK (section 3.10.7.2)."""
    script = Script()
    script.listen()
    synack = script.inject(SYN | FIN | PSH, 1000, data=b"early")[0]
    assert brief(synack) == ("SYN,ACK", 7000, 1001, 0)
    assert script.client.data == b""
    answer = script.inject(ACK, 1001, 7001)
    assert script.client.events == ["accepted", "peer_closed"]
    assert script.client.data == b"early"
    assert [brief(s) for s in answer] == [("ACK", 7001, 1007, 0)]


def test_14_data_on_a_syn_ack_is_taken_at_once() -> None:
    """In SYN-SENT a SYN,ACK with text establishes first, then delivers."""
    script = Script()
    script.connect()
    script.outputs()
    answer = script.inject(SYN | ACK, 1000, 7001, b"banner")
    assert script.client.events == ["connected"]
    assert script.client.data == b"banner"
    assert [brief(s) for s in answer] == [("ACK", 7001, 1007, 0)]


@pytest.mark.parametrize("address", [MULTICAST, BROADCAST, NOBODY])
def test_15_connect_to_broadcast_multicast_or_nowhere_is_refused(address: bytes) -> None:
    """An error of the call, not a packet (MUST-46)."""
    script = Script()
    assert script.host.tcp.connect(Client(), address, 80) is LocalError.ENETUNREACH
    assert script.outputs() == []


@pytest.mark.parametrize("ends", [(A, MULTICAST), (A, BROADCAST), (MULTICAST, B)])
def test_15_segments_to_or_from_a_group_are_dropped(ends: tuple[bytes, bytes]) -> None:
    """No answer of any kind (MUST-57, 63)."""
    script = Script()
    script.listen()
    raw = build(*ends, 5, 80, 1, 0, SYN, 100)
    script.host.tcp.receive(Packet(*ends, memoryview(bytes(raw))))
    assert script.outputs() == []
    assert script.host.counters == {"tcp not unicast": 1}


def test_16_the_listener_of_the_exact_address_is_asked_before_the_wildcard() -> None:
    """Several listeners on one port (MUST-41, 42)."""
    wire = Wire()
    a, b = Host(wire, "a", A), Host(wire, "b", B)
    second = bytes((192, 0, 2, 3))
    wire.hosts[second] = b  # the same host, another address
    wildcard, exact = Client(), Client()
    listen(b, 80, lambda _: wildcard)
    listen(b, 80, lambda _: exact, address=B)
    a.tcp.connect(Client(), B, 80)
    a.tcp.connect(Client(), second, 80)
    wire.run(0.1)
    assert exact.connection is not None
    assert exact.connection.local == B
    assert wildcard.connection is not None
    assert wildcard.connection.local == second


def test_16_local_address_is_the_routes_or_the_given_one_and_stays() -> None:
    """MUST-43 to 45."""
    script = Script()
    free = script.host.tcp.connect(Client(), A, 80)
    assert isinstance(free, Connection)
    assert free.local == B
    assert free.local_port in range(RFC.ephemeral_ports[0], RFC.ephemeral_ports[1] + 1)
    binding = script.host.tcp.bind(ANY_ADDRESS, 2222)
    assert not isinstance(binding, LocalError)
    bound = script.host.tcp.connect(Client(), A, 80, binding=binding)
    assert isinstance(bound, Connection)
    assert (bound.local, bound.local_port) == (B, 2222)


def test_16_the_same_pair_twice_is_in_use_another_peer_is_not() -> None:
    """A connection is its two ends: port to port. Fact S1-20."""
    script = Script()
    binding = script.host.tcp.bind(ANY_ADDRESS, 2222)
    assert not isinstance(binding, LocalError)
    first = script.host.tcp.connect(Client(), A, 80, binding=binding)
    assert script.host.tcp.connect(Client(), A, 80, binding=binding) is LocalError.EADDRINUSE
    second = script.host.tcp.connect(Client(), A, 81, binding=binding)
    assert isinstance(first, Connection)
    assert isinstance(second, Connection)
    assert first.key != second.key


def test_16_two_connections_to_one_port_stay_apart() -> None:
    """Fact S1-20: two clients' ports at one address, each byte at its own connection."""
    wire = Wire()
    a, b = Host(wire, "a", A), Host(wire, "b", B)
    servers: list[Client] = []

    def take(_: Connection) -> Client:
        servers.append(Client())
        return servers[-1]

    listen(b, 80, take)
    ends = [a.tcp.connect(Client(), B, 80) for _ in range(2)]
    wire.run(0.1)
    for number, end in enumerate(ends):
        assert isinstance(end, Connection)
        end.send(b"%d" % number * 10)
    wire.run(1)
    for server in servers:
        assert server.connection is not None
        mine = [end.local_port for end in ends].index(server.connection.remote_port)
        assert server.data == b"%d" % mine * 10
