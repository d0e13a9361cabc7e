"""Two TCPs over a bad wire, and any bytes at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tcp_wire import MS, SECOND, A, B, Packet, Pair, Script, Sent

from wsock.virtual.checksum import transport_checksum
from wsock.virtual.profile import PROFILES
from wsock.virtual.tcp.states import State

LIMIT = 60_000  # virtual seconds; Karn without timestamps and an RTO of up to 240 s take long


def bad_wire(pair: Pair, seed: int, loss: float, duplicate: float, jitter: int) -> None:
    """Lose, repeat and reorder, from a seed."""
    chance = random.Random(seed)

    def judge(_: Sent) -> list[int]:
        lost, twice, first, second = (chance.random() for _ in range(4))
        delays = [] if lost < loss else [pair.wire.latency + int(first * jitter)]
        if twice < duplicate:
            delays.append(pair.wire.latency + int(second * jitter))
        return delays

    pair.wire.filter = judge


def text(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("order", ["near first", "far first", "together"])
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.25),
    duplicate=st.floats(0, 0.2),
    jitter_ms=st.integers(0, 60),
    sizes=st.tuples(st.integers(0, 60_000), st.integers(0, 60_000)),
    sack=st.booleans(),
    stamps=st.booleans(),
)
def test_a_lossy_reordering_duplicating_wire_delivers_exactly_the_bytes(
    profile: str,
    order: str,
    seed: int,
    loss: float,
    duplicate: float,
    jitter_ms: int,
    sizes: tuple[int, int],
    sack: bool,
    stamps: bool,
) -> None:
    """Both directions at once, then both FINs, in either order. Fact S1-9."""
    pair = Pair(
        profile=profile, establish=True, sack=sack, data_resends=None, data_timeout_ns=None,
        timestamps="offer" if stamps else "accept",
        time_wait_ns=2 * LIMIT * SECOND,  # longer than any run of lost ACKs
    )  # fmt: skip
    bad_wire(pair, seed, loss, duplicate, jitter_ms * MS)
    up, down = text(seed, sizes[0]), text(seed + 1, sizes[1])
    for start in range(0, len(up), 7000):
        pair.near.send(up[start : start + 7000])
    pair.far.send(down)
    first, second = (pair.far, pair.near) if order == "far first" else (pair.near, pair.far)
    first.close()
    if order == "together":
        second.close()
    waited = 0
    while pair.near.state not in (State.CLOSED, State.TIME_WAIT) or pair.far.state not in (
        State.CLOSED, State.TIME_WAIT,
    ):  # fmt: skip
        pair.wire.run(5)
        waited += 5
        assert waited < LIMIT, (pair.near, pair.far)
        if second.state is State.CLOSE_WAIT:
            second.close()
    assert pair.server.data == up
    assert pair.client.data == down
    assert pair.client.events[0] == pair.server.events[0] == "peer_closed"
    assert pair.client.acknowledged == len(up)
    assert pair.server.acknowledged == len(down)
    assert len(pair.wire.log) < 20_000  # no two ends answering each other for ever
    pair.wire.run(3 * LIMIT)
    assert pair.client.events == pair.server.events == ["peer_closed", "closed"]
    assert pair.a.tcp.connections() == pair.b.tcp.connections() == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.2), buffer=st.integers(500, 20_000))
def test_a_slow_reader_over_a_bad_wire_gets_every_byte(seed: int, loss: float, buffer: int) -> None:
    """Closed windows, probes, lost updates: nothing is lost and nothing stands still."""

    def small(chosen: object) -> None:
        chosen.receive_buffer = buffer  # type: ignore[attr-defined]

    pair = Pair(settings=small, data_resends=None, data_timeout_ns=None)
    bad_wire(pair, seed, loss, 0.1, 20 * MS)
    chance = random.Random(seed)
    up = text(seed, 40_000)
    pair.server.room = 0
    pair.near.send(up)
    pair.near.close()
    waited = 0.0
    while pair.server.events != ["peer_closed"]:
        pair.wire.run(chance.random() * 3)
        waited += 1.5
        assert waited < LIMIT
        pair.server.room = chance.choice((0, 10, 700, 5000))
        pair.far.resume()
    assert pair.server.data == up


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.4))
def test_a_handshake_over_a_bad_wire_succeeds_or_fails_on_both_sides(
    seed: int, loss: float
) -> None:
    """No half of a connection is left behind, whatever was lost."""
    pair = Pair(establish=False)
    bad_wire(pair, seed, loss, 0.3, 300 * MS)
    pair.connect()
    pair.wire.run(400)
    if pair.client.events == ["connected"]:
        pair.near.send(b"hello")
        pair.near.close()
        pair.wire.run(400)
        assert pair.server.data == b"hello" or pair.client.events[-1] != "connected"
    else:
        assert pair.near.state is State.CLOSED
        pair.wire.run(400)
    assert pair.a.tcp.connections() == [] or pair.near.state is State.FIN_WAIT_2


def test_the_same_seed_gives_the_same_packets() -> None:
    """Every byte at every time, twice."""

    def run() -> list[tuple[int, bytes]]:
        pair = Pair(establish=False)
        bad_wire(pair, 7, 0.1, 0.1, 30 * MS)
        pair.connect()
        pair.near.send(text(1, 50_000))
        pair.near.close()
        pair.wire.run(100)
        return [(sent.time, sent.raw) for sent in pair.wire.log]

    assert run() == run()


ADDRESSES = (A, B, bytes((192, 0, 2, 77)), bytes((224, 0, 0, 1)), bytes(4), b"\xff" * 4)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(ADDRESSES), st.binary(max_size=120)), max_size=5))
def test_any_bytes_are_survived(packets: list[tuple[bytes, bytes]]) -> None:
    """A counter, or an answer; never an exception."""
    script = Script()
    connection = script.open()
    for source, raw in packets:
        script.host.tcp.receive(Packet(source, B, memoryview(raw)))
        script.host.tcp.icmp_error(3, len(raw) % 20, memoryview(raw), memoryview(raw), 0)
    script.wire.run(0)
    assert connection.state is State.ESTABLISHED
    assert sum(script.host.counters.values()) >= len(packets)


STATES = st.sampled_from(["listen", "syn-sent", "open", "half-closed", "closed", "time-wait"])


@settings(max_examples=400, deadline=None)
@given(
    where=STATES,
    segments=st.lists(
        st.tuples(
            st.integers(-3, 3) | st.integers(-(2**31), 2**31),  # from the peer's next number
            st.integers(-3, 3) | st.integers(-(2**31), 2**31),  # from what was sent
            st.integers(0, 255),
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFF),
            st.binary(max_size=24),
            st.binary(max_size=30),
        ),
        max_size=8,
    ),
)
def test_any_segment_with_a_right_checksum_is_survived(
    where: str, segments: list[tuple[int, int, int, int, int, bytes, bytes]]
) -> None:
    """Any flags, numbers, options and urgent pointers, in any state, then an hour of timers."""
    script = Script()
    if where == "syn-sent":
        script.connect()
        script.outputs()
    elif where == "listen":
        script.listen()
    else:
        connection = script.open()
        if where != "open":
            connection.send(b"some data")
            connection.close(final=where != "half-closed")
            script.outputs()
        if where in ("closed", "time-wait"):
            script.inject(0x10, 1001, 7011)
        if where == "time-wait":
            script.inject(0x11, 1001, 7011)
    for seq, ack, flags, window, urgent, options, data in segments:
        padded = options + b"\0" * (-len(options) % 4)
        script.inject(
            flags, 1001 + seq, 7001 + ack, data, window=window, options=padded, urgent=urgent
        )
    script.wire.run(3600)
    for connection in script.host.tcp.connections():
        assert connection.rcv_wnd >= 0
        assert 0 <= connection.flight < 2**31
        assert connection.timers._timer.deadline is None or (
            connection.timers._timer.deadline > script.wire.scheduler.now
        )


@given(st.binary(min_size=20, max_size=60))
def test_any_header_with_a_right_checksum_is_survived(raw: bytes) -> None:
    """Random headers whose checksum was repaired reach the state machine."""
    script = Script()
    script.listen()
    fixed = bytearray(raw)
    fixed[2:4] = (80).to_bytes(2, "big")
    fixed[16:18] = b"\0\0"
    fixed[16:18] = transport_checksum(A, B, 6, fixed).to_bytes(2, "big")
    script.host.tcp.receive(Packet(A, B, memoryview(bytes(fixed))))
    script.wire.run(400)
    assert script.host.counters or script.wire.log


def test_a_thousand_idle_connections_cost_nothing() -> None:
    """No timer runs on an idle connection: the heap stays empty for an hour."""
    pair = Pair(establish=False)
    for _ in range(1000):
        pair.a.tcp.connect(pair.client, B, 80)
    pair.wire.run(5)
    assert len(pair.a.tcp.connections()) == 1000
    pair.wire.clear()
    pair.wire.run_until(3600 * SECOND)
    assert pair.wire.log == []
    assert pair.wire.scheduler.next_time() is None
