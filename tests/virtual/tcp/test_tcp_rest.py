"""Keep-alive, ICMP, socket options: checklist lines 57 to 59; and ports."""

from __future__ import annotations

import errno

import pytest
from tcp_wire import SECOND, A, B, Client, Pair, Script, brief

from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.profile import PROFILES
from wsock.virtual.tcp import Connection, TcpSettings
from wsock.virtual.tcp.listener import Listener
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.port_table import Binding, PortTable
from wsock.virtual.tcp.segment import ACK, SYN, Segment
from wsock.virtual.tcp.states import State

MSS = Options(mss=1000)


def keep_alive(settings: TcpSettings) -> None:
    settings.keep_alive = True


def test_57_keep_alive_is_off_by_default_and_waits_two_hours() -> None:
    """MUST-24, 25, 28: nothing on an idle connection, whatever the profile. Fact S4-16."""
    for profile in PROFILES.values():
        settings = TcpSettings(profile)
        assert not settings.keep_alive
        assert settings.keep_alive_idle_ns >= 7200 * SECOND
    pair = Pair()
    pair.wire.run(100_000)
    assert pair.wire.log == []
    pair.near.send(b"still there")
    pair.wire.run(1)
    assert pair.server.data == b"still there"


def test_57_an_idle_peer_is_asked_and_answers() -> None:
    """SEG.SEQ = SND.NXT - 1, no data; the answer is an ACK (SHLD-27)."""
    pair = Pair(settings=keep_alive)
    pair.server_settings.keep_alive = False
    pair.far.settings.keep_alive = False
    pair.far.start_keep_alive()
    pair.wire.run(7201)
    probe, answer = (sent.segment for sent in pair.wire.log)
    assert brief(probe) == ("ACK", pair.near.snd_nxt - 1, pair.near.rcv_nxt, 0)
    assert brief(answer) == ("ACK", pair.far.snd_nxt, pair.near.snd_nxt, 0)
    pair.wire.run(100_000)
    assert pair.states() == ("ESTABLISHED", "ESTABLISHED")


def test_57_a_thousand_connections_that_ask_at_once_are_all_answered() -> None:
    """A probe is no attack: its answer is not rationed with the host's challenge ACKs."""
    pair = Pair(establish=False)
    for _ in range(1000):
        made = pair.a.tcp.connect(pair.client, B, 80)
        assert isinstance(made, Connection)
        made.settings.keep_alive = True
    pair.wire.run(5)
    pair.wire.run(7200)
    pair.wire.clear()
    pair.wire.run(2000)  # all nine probes' time, had the first not been answered
    assert len(pair.a.tcp.connections()) == 1000
    assert pair.wire.log == []


def test_57_two_ends_that_disagree_do_not_answer_each_other_for_ever() -> None:
    """A bare ACK outside of the window is answered twice a second, for each connection."""
    script = Script()
    script.open()
    assert [brief(sent) for sent in script.inject(ACK, 900, 7001)] == [("ACK", 7001, 1001, 0)]
    assert script.inject(ACK, 900, 7001) == []
    script.wire.run(0.5)
    assert len(script.inject(ACK, 900, 7001)) == 1


def test_57_one_lost_answer_is_no_death() -> None:
    """MUST-29: so many probes, so far apart, then ETIMEDOUT. All settable."""
    pair = Pair(settings=keep_alive)
    for connection in (pair.near, pair.far):
        connection.settings.keep_alive_idle_ns = 100 * SECOND
        connection.settings.keep_alive_interval_ns = 10 * SECOND
        connection.settings.keep_alive_probes = 3
    pair.near.start_keep_alive()
    pair.far.settings.keep_alive = False
    pair.far.start_keep_alive()
    lost = [2]

    def judge(_: object) -> list[int]:
        lost[0] -= 1
        return [] if lost[0] >= 0 else [pair.wire.latency]

    pair.wire.filter = judge
    pair.wire.run(125)
    assert pair.client.events == []
    assert pair.near.keep_alive_sent == 0
    pair.wire.filter = lambda _: []
    pair.wire.clear()
    pair.wire.run(200)
    assert len(pair.wire.log) == 3
    assert pair.client.events == [("reset", errno.ETIMEDOUT)]


def test_57_traffic_puts_the_question_off() -> None:
    """What is heard counts (MUST-26)."""
    pair = Pair(settings=keep_alive)
    for _ in range(10):
        pair.wire.run(6000)
        pair.far.send(b"x")
        pair.near.send(b"y")
    pair.wire.run(10)
    assert all(sent.segment.data or sent.time % SECOND for sent in pair.wire.log)
    assert pair.near.keep_alive_sent == 0
    lengths = [len(sent.segment.data) for sent in pair.wire.log]
    assert sum(lengths) == 20


def icmp(
    script: Script, icmp_type: int, code: int, segment: Segment, seq: int | None = None
) -> None:
    header = bytearray(20)
    header[12:16], header[16:20] = B, A
    quoted = (
        segment.source_port.to_bytes(2, "big")
        + segment.destination_port.to_bytes(2, "big")
        + (segment.seq if seq is None else seq).to_bytes(4, "big")
    )
    script.host.tcp.icmp_error(icmp_type, code, memoryview(header), memoryview(quoted), 0)


SOFT = [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)]


@pytest.mark.parametrize(("icmp_type", "code"), SOFT)
def test_58_soft_errors_do_not_end_a_connection(icmp_type: int, code: int) -> None:
    """3/0, 1, 5, 11 and 12 are noted; the connection lives, before and after (MUST-56)."""
    script = Script()
    connection = script.connect()
    icmp(script, icmp_type, code, script.outputs()[0])
    assert connection.state is State.SYN_SENT
    script.inject(SYN | ACK, 1000, 7001)
    connection.send(b"x")
    icmp(script, icmp_type, code, script.outputs()[-1])
    assert connection.state is State.ESTABLISHED
    assert connection.soft_error


def test_58_a_soft_error_is_the_reason_when_the_connection_is_given_up() -> None:
    """EHOSTUNREACH says more than ETIMEDOUT."""
    script = Script()
    script.connect()
    icmp(script, 3, 1, script.outputs()[0])
    script.wait(400)
    assert script.client.events == [("failed", errno.EHOSTUNREACH)]


@pytest.mark.parametrize(
    ("code", "error"), [(2, errno.ENOPROTOOPT), (3, errno.ECONNREFUSED), (4, errno.EMSGSIZE)]
)
def test_58_hard_errors_end_the_handshake_only(code: int, error: int) -> None:
    """3/2 to 4 while connecting; afterwards they are soft (RFC 5461)."""
    script = Script()
    script.settings.path_mtu_discovery = False
    script.connect()
    icmp(script, 3, code, script.outputs()[0])
    assert script.client.events == [("failed", error)]
    script = Script()
    script.settings.path_mtu_discovery = False
    connection = script.open(options=MSS)
    connection.send(b"x")
    icmp(script, 3, code, script.outputs()[0])
    assert connection.state is State.ESTABLISHED


def test_58_quoted_seq_must_be_in_flight() -> None:
    """RFC 5927: whoever does not know the numbers cannot end the handshake."""
    script = Script()
    connection = script.connect()
    (syn,) = script.outputs()
    for seq in (6999, 7001, 0):
        icmp(script, 3, 3, syn, seq)
    assert connection.state is State.SYN_SENT
    assert script.host.counters["tcp icmp not in flight"] == 3


def test_58_source_quench_and_short_quotes_are_ignored() -> None:
    """MUST-55; and what cannot be read is counted."""
    script = Script()
    connection = script.connect()
    (syn,) = script.outputs()
    icmp(script, 4, 0, syn)
    script.host.tcp.icmp_error(3, 3, memoryview(b"short"), memoryview(b""), 0)
    assert (connection.state, connection.soft_error) == (State.SYN_SENT, 0)
    assert script.host.counters == {"tcp icmp ignored": 1, "tcp icmp too short": 1}


def test_59_ttl_and_dscp_are_settable_per_connection() -> None:
    """MUST-48, 49; an accepted connection inherits its listener's."""
    pair = Pair(establish=False)
    for settings in (pair.client_settings, pair.server_settings):
        settings.ttl, settings.dscp = 7, 46
    pair.connect()
    pair.wire.run(1)
    pair.near.settings.ttl = 3
    pair.near.send(b"x")
    pair.wire.run(1)
    ttls = [(sent.segment.source, sent.ttl, sent.dscp) for sent in pair.wire.log]
    assert ttls == [(A, 7, 46), (B, 7, 46), (A, 7, 46), (A, 3, 46), (B, 7, 46)]


# Ports


def table(
    lingering: set[tuple[bytes, int]] | None = None, ports: tuple[int, int] = (50, 52)
) -> PortTable:
    held = lingering or set()

    def lingers(address: bytes, port: int, unshared: bool) -> bool:
        del unshared
        return any(p == port and address in (ANY_ADDRESS, a) for a, p in held)

    script = Script()
    return PortTable(ports, script.host.random("ports"), lingers, lambda *_: False)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((A, {}), (A, {}), errno.EADDRINUSE),
        ((A, {}), (B, {}), None),
        ((ANY_ADDRESS, {}), (A, {}), None),
        ((ANY_ADDRESS, {}), (ANY_ADDRESS, {}), errno.EADDRINUSE),
        ((A, {"reuse": True}), (A, {"reuse": True}), None),
        ((A, {}), (A, {"reuse": True}), errno.EACCES),
        ((A, {"reuse": True}), (A, {}), errno.EADDRINUSE),
        ((A, {"exclusive": True}), (A, {"reuse": True}), errno.EACCES),
        ((ANY_ADDRESS, {"exclusive": True}), (A, {}), errno.EACCES),
        ((A, {}), (ANY_ADDRESS, {"exclusive": True}), errno.EADDRINUSE),
    ],
)
def test_ports_who_may_share(
    first: tuple[bytes, dict[str, bool]],
    second: tuple[bytes, dict[str, bool]],
    expected: int | None,
) -> None:
    """Exact twins only with SO_REUSEADDR on both; exclusively means exclusively."""
    ports = table()
    held = ports.bind(first[0], 1000, **first[1])
    assert isinstance(held, Binding)
    result = ports.bind(second[0], 1000, **second[1])
    assert result == expected if expected else isinstance(result, Binding)
    ports.release(held)
    ports.release(held)
    if isinstance(result, Binding):
        ports.release(result)
    assert isinstance(ports.bind(ANY_ADDRESS, 1000, exclusive=True), Binding)


def test_ports_are_chosen_until_none_is_left() -> None:
    """Port 0: one of the profile's, each once (RFC 6056)."""
    ports = table({(A, 51)})
    chosen = [ports.bind(ANY_ADDRESS, 0) for _ in range(3)]
    numbers = [binding.port for binding in chosen if isinstance(binding, Binding)]
    assert sorted(numbers) == [50, 52]
    assert chosen[-1] is LocalError.ENOBUFS


def test_ports_only_own_addresses_can_be_bound() -> None:
    """EADDRNOTAVAIL otherwise."""
    script = Script()
    for address in (A, bytes((255, 255, 255, 255)), bytes((224, 0, 0, 1))):
        assert script.host.tcp.bind(address, 80) is LocalError.EADDRNOTAVAIL


def test_ports_a_second_listener_at_one_place_is_in_use() -> None:
    """One binding carries one listener, unless it is shared (SO_REUSEADDR)."""
    script = Script()
    binding = script.host.tcp.bind(ANY_ADDRESS, 80)
    assert isinstance(binding, Binding)
    assert isinstance(script.host.tcp.listen(binding, 1), Listener)
    assert script.host.tcp.listen(binding, 1) is LocalError.EADDRINUSE
    assert len(script.host.tcp.listeners()) == 1


def test_ports_listeners_that_share_a_place_share_the_clients() -> None:
    """Each client is for one of them, always the same one; one that closes leaves its place."""
    pair = Pair(establish=False)
    bindings = [pair.b.tcp.bind(ANY_ADDRESS, 90, reuse=True) for _ in range(2)]
    first, second = [
        pair.b.tcp.listen(binding, 40) for binding in bindings if isinstance(binding, Binding)
    ]
    assert isinstance(first, Listener)
    assert isinstance(second, Listener)
    for _ in range(40):
        assert isinstance(pair.a.tcp.connect(Client(), B, 90), Connection)
    pair.wire.run(1)
    assert first.waiting + second.waiting == 40
    assert min(first.waiting, second.waiting) > 5
    first.close()
    second.close()
    assert pair.b.tcp.listeners() == [pair.listener]


def test_ports_past_connections_that_nobody_holds() -> None:
    """A face may let a binder past the connections of others, as Winsock does."""
    ports = table({(A, 1000)})
    assert ports.bind(A, 1000) is LocalError.EADDRINUSE
    assert isinstance(ports.bind(A, 1000, past_connections=True), Binding)


def test_ephemeral_ports_are_repeatable_and_differ_by_destination() -> None:
    """The same seed, the same ports; a counter for each destination."""

    def ports() -> list[int]:
        pair = Pair(establish=False)
        made = [pair.a.tcp.connect(pair.client, B, 80 + n % 2) for n in range(6)]
        return [connection.local_port for connection in made]  # type: ignore[union-attr]

    first = ports()
    assert first == ports()
    assert first[2] == first[0] + 1
    assert first[3] == first[1] + 1
