"""Fine points of the checklist's lines: each is a place where an easier stack goes wrong unseen."""

from __future__ import annotations

import errno

import pytest
from tcp_wire import MS, SECOND, Pair, Script, brief, data, reach

from wsock.virtual.profile import PROFILES
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, SYN, URG
from wsock.virtual.tcp.states import State

MSS = Options(mss=1000)


def test_12_a_syn_that_was_refused_is_not_counted_as_lost() -> None:
    """More retries than SYN resends: none is a timeout, nothing is backed off."""
    retries = PROFILES["windows2000"].syn_resends
    assert retries is not None
    pair = Pair(establish=False, profile="windows2000", syn_retries_on_reset=retries + 2)
    made = pair.a.tcp.connect(pair.client, pair.b.address, 81)
    pair.wire.run(30)
    syns = [sent.time for sent in pair.wire.log if sent.segment.flags & SYN]
    assert syns == [520 * MS * n for n in range(retries + 3)]
    assert pair.client.events == [("failed", errno.ECONNREFUSED)]
    assert made.round_trip.backoff == 0  # type: ignore[union-attr]
    assert pair.a.counters["tcp retransmissions"] == 0


def test_25_the_largest_window_is_the_largest_ever_seen() -> None:
    """Half of it is worth a segment: the window may have grown since the handshake (rule 3)."""
    script = Script()
    connection = script.open(options=Options(mss=1400), window=1000)
    connection.settings.no_delay = True
    script.inject(ACK, 1001, 7001, window=2000)
    script.inject(ACK, 1001, 7001, window=700)
    connection.send(data(3000))
    assert script.outputs() == []  # half of the first window, a third of the largest
    sent = script.inject(ACK, 1001, 7001, window=1000)
    assert [len(s.data) for s in sent] == [1000]


def test_26_a_gap_that_is_filled_in_part_is_acknowledged_at_once() -> None:
    """The sender is in a recovery and waits (RFC 5681 section 4.2)."""
    script = Script()
    script.open()
    script.inject(ACK, 1011, 7001, b"second")
    script.inject(ACK, 1031, 7001, b"third")
    assert [s.ack for s in script.inject(ACK, 1001, 7001, data(10))] == [1017]


def test_29_one_refusal_arms_one_wake_up() -> None:
    """What is acknowledged later, with room all the time, wakes nobody."""
    script = Script()
    connection = script.open(options=MSS)
    connection.settings.send_buffer = 1000
    connection.send(b"x" * 1500)
    assert connection.send(b"z") == errno.EWOULDBLOCK
    script.outputs()
    script.inject(ACK, 1001, 8001)
    assert script.client.events == ["send_possible"]
    script.inject(ACK, 1001, 8501)
    connection.send(b"a")
    script.outputs()
    script.inject(ACK, 1001, 8502)
    assert script.client.events == ["send_possible"]


def test_30_urgent_data_longer_than_the_pointer_reaches() -> None:
    """Any length (MUST-31): 65,535 while the end is farther away, then exact (MUST-30)."""
    script = Script()
    connection = script.open(options=Options(mss=1000, window_shift=3), window=20_000)
    connection.settings.no_delay = True
    script.inject(ACK, 1001, 7001, window=20_000)
    connection.congestion.cwnd = 200_000
    length = 100_000
    connection.send(data(length), urgent=True)
    segments = script.outputs()
    assert len(segments) == 100
    end = 7001 + length
    for segment in segments:
        assert segment.flags & URG
        assert segment.urgent == min(end - segment.seq, 0xFFFF)


def test_31_the_timer_of_the_syn_is_not_that_of_the_data() -> None:
    """RFC 6298 5.1: what is sent right after the handshake has a whole RTO."""
    script = Script(timestamps="accept")
    connection = script.connect()
    script.outputs()
    script.wait(0.9)
    connection.send(b"x")
    script.inject(SYN | ACK, 1000, 7001, options=MSS)
    assert connection.timers.resend == 900 * MS + connection.round_trip.rto
    assert connection.round_trip.rto > 1 * SECOND


@pytest.mark.parametrize("profile", ["linux", "windows2000"])
def test_33_progress_starts_the_count_of_resends_again(profile: str) -> None:
    """R2 by count: two resends of each of many segments are not many of one."""
    script = Script(profile, minimum_rto_ns=1 * SECOND)
    connection = script.open(options=MSS)
    for n in range(20):
        connection.send(b"x")
        script.outputs()
        assert len(script.wait(3.5 * connection.round_trip.rto / SECOND)) >= 1
        script.inject(ACK, 1001, 7002 + n)
    assert connection.state is State.ESTABLISHED
    assert connection.resends == 0


@pytest.mark.parametrize(("seq", "restarted"), [(1001, True), (1000, False), (900, False)])
def test_49_only_the_fin_that_was_received_restarts_the_wait(seq: int, restarted: bool) -> None:
    """A FIN of an older connection is answered, but it is not the peer's that waits for our ACK."""
    script = Script()
    connection = reach(script, State.TIME_WAIT)
    before = connection.timers.ending
    script.wire.run(10)
    assert [brief(s) for s in script.inject(ACK | FIN, seq, 7002)] == [("ACK", 7002, 1002, 0)]
    assert connection.timers.ending is not None
    assert before is not None
    assert connection.timers.ending - before == (10 * SECOND if restarted else 0)


def test_49_old_text_does_not_restart_the_wait() -> None:
    """RFC 9293 names the FIN alone."""
    script = Script()
    connection = reach(script, State.TIME_WAIT)
    before = connection.timers.ending
    script.wire.run(10)
    script.inject(ACK, 991, 7002, data(11))  # it ends where the FIN does
    assert connection.timers.ending == before


def test_57_idleness_begins_with_the_handshake() -> None:
    """Not with the time that the network was made at."""
    script = Script()
    script.settings.keep_alive = True
    script.wire.run(5000)
    start = script.wire.scheduler.now
    connection = script.connect()
    script.outputs()
    script.inject(SYN | ACK, 1000, 7001, options=MSS)
    assert connection.state is State.ESTABLISHED
    assert script.wait(7199) == []
    assert len(script.wait(2)) == 1
    assert script.wire.log[0].time - start == 7200 * SECOND
