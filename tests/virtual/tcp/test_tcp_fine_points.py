"""Fine points of the checklist's lines: each is a place where an easier stack goes wrong unseen."""

from __future__ import annotations

import errno

import pytest
from tcp_wire import MS, SECOND, A, Client, Pair, Script, brief, data, reach

from wsock.virtual.profile import PROFILES
from wsock.virtual.tcp import Binding, Connection
from wsock.virtual.tcp.congestion import Congestion
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, PSH, SYN, URG
from wsock.virtual.tcp.states import State

MSS = Options(mss=1000)


def test_08_a_listener_that_closes_leaves_a_handshake_to_who_took_it() -> None:
    """A handler has given the connection a client: it is that client's to end."""
    script = Script()
    listener = script.listen()
    script.inject(SYN, 1000)
    listener.close()
    assert script.outputs() == []
    script.inject(ACK, 1001, 7001)
    assert script.client.events == ["accepted"]


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


def test_14_text_on_a_syn_is_taken_as_far_as_the_buffer_goes() -> None:
    """What does not fit was never in the window, nor the FIN behind it."""
    script = Script()
    script.settings.receive_buffer = 4
    script.listen()
    script.inject(SYN | FIN, 1000, data=b"0123456789")
    answer = script.inject(ACK, 1001, 7001)
    assert script.client.data == b"0123"
    assert script.client.events == ["accepted"]
    assert [s.ack for s in answer] == [1005]


def test_16_a_given_local_address_is_kept_whatever_the_route_says() -> None:
    """MUST-44: what the user has bound is the source."""
    script = Script()
    own = bytes((198, 51, 100, 7))
    binding = Binding(own, 2222, reuse=False, exclusive=False)
    made = script.host.tcp.connect(Client(), A, 80, binding=binding)
    assert isinstance(made, Connection)
    assert made.local == own


def test_18_close_pushes_what_was_not_pushed() -> None:
    """Nothing more will come to wait for (section 3.9.1.2)."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"part", push=False)
    connection.close()
    (segment,) = script.outputs()
    assert segment.flags & (PSH | FIN) == PSH | FIN


def test_23_the_right_edge_of_a_scaled_window_is_never_pulled_back() -> None:
    """What is lost by shifting is rounded up (RFC 7323 section 2.3)."""
    script = Script()
    script.settings.receive_buffer = 1 << 20
    connection = script.open(options=Options(mss=1000, window_shift=2))
    shift = connection.receive_shift
    assert shift > 3
    script.client.room = 0
    edge = 1001 + connection.rcv_wnd
    for _ in range(40):
        for segment in script.inject(ACK, connection.rcv_nxt, 7001, data(999)):
            assert segment.ack + (segment.window << shift) >= edge
            edge = segment.ack + (segment.window << shift)


def test_23_a_fin_takes_its_place_in_the_window() -> None:
    """The right edge stays where it is."""
    script = Script()
    script.open()
    assert [(s.ack, s.window) for s in script.inject(ACK | FIN, 1001, 7001)] == [(1002, 65534)]


def test_24_half_of_a_small_buffer_is_worth_an_update() -> None:
    """Also while the peer could still send a segment."""
    script = Script()
    script.settings.receive_buffer = 4000
    connection = script.open()
    script.client.room = 0
    script.inject(ACK, 1001, 7001, data(1460))
    script.inject(ACK, 2461, 7001, data(1040))
    assert connection.rcv_wnd == 1500
    script.client.room = None
    connection.resume()
    assert [(s.ack, s.window) for s in script.outputs()] == [(3501, 4000)]


def test_24_after_the_peers_fin_nobody_needs_an_update() -> None:
    """Nothing more can come: reading is no reason to send."""
    script = Script()
    connection = script.open()
    script.client.room = 0
    script.inject(ACK, 1001, 7001, data(40_000))
    script.inject(ACK | FIN, 41_001, 7001)
    script.client.room = None
    connection.resume()
    assert script.outputs() == []
    assert script.client.events == ["peer_closed"]


def test_25_a_resend_is_not_cut_to_a_small_window() -> None:
    """After a timeout: full segments again, and no crumb at the edge of the window."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(data(3000))
    script.outputs()
    script.wait(1.1)
    again = script.inject(ACK, 1001, 8001, window=1300)
    assert [(s.seq, len(s.data)) for s in again] == [(8001, 1000)]


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


def test_28_each_closing_of_the_window_begins_with_one_rto() -> None:
    """The intervals double while it stays closed, not for the life of the connection."""
    script = Script()
    connection = script.open(options=MSS)
    for _ in range(2):
        script.inject(ACK, connection.rcv_nxt, connection.snd_nxt, window=0)
        connection.send(b"x")
        script.outputs()
        start = script.wire.scheduler.now
        times = []
        for _ in range(3):
            script.wire.clear()
            while not script.wire.log:
                script.wire.run(0.5)
            times.append((script.wire.log[0].time - start) // SECOND)
            script.inject(ACK, 1001, connection.snd_una, window=0)
        assert times == [1, 3, 7]
        script.inject(ACK, 1001, connection.snd_una, window=1000)
        script.inject(ACK, 1001, connection.snd_nxt, window=1000)


def test_28_probes_that_nobody_answers_are_counted_where_r2_is_a_count() -> None:
    """Five under windows2000."""
    script = Script("windows2000")
    connection = script.open(options=MSS)
    script.inject(ACK, 1001, 7001, window=0)
    connection.send(b"waiting")
    assert len(script.wait(5000)) == 5
    assert script.client.events == [("reset", errno.ETIMEDOUT)]


def test_28_answers_to_probes_are_no_duplicate_acks() -> None:
    """A closed window is no loss: nothing is resent because of them."""
    script = Script()
    connection = script.open(options=MSS, window=2000)
    connection.send(data(2000))
    assert len(script.outputs()) == 2
    for _ in range(5):
        assert script.inject(ACK, 1001, 7001, window=0) == []
    assert connection.congestion.duplicate_acks == 0


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


def test_30_the_application_is_told_once_for_each_pointer() -> None:
    """MUST-32: again only when it reaches further."""
    script = Script()
    script.open()
    script.client.room = 0
    script.inject(ACK | URG, 1011, 7001, b"behind", urgent=3)  # 1014
    script.inject(ACK | URG, 1012, 7001, b"ehind", urgent=2)
    script.inject(ACK | URG, 1011, 7001, b"behind", urgent=1)
    assert script.client.events == [("urgent", 13)]
    script.inject(ACK | URG, 1011, 7001, b"behind", urgent=5)
    assert script.client.events == [("urgent", 13), ("urgent", 15)]


def test_30_after_the_peers_fin_nothing_is_urgent() -> None:
    """Section 3.10.7.4, sixth: CLOSE-WAIT and later ignore it."""
    script = Script()
    reach(script, State.CLOSE_WAIT)
    script.inject(ACK | URG, 1002, 7001, urgent=5)
    assert script.client.events == []


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


def test_32_no_sample_from_a_fast_retransmit() -> None:
    """Karn, without timestamps: the timed segment was sent twice."""
    script = Script(timestamps="accept", sack=False)
    connection = script.open(options=MSS)
    connection.send(data(5000))
    script.outputs()
    before = connection.round_trip.srtt
    script.wait(0.5)
    for _ in range(3):
        script.inject(ACK, 1001, 7001)
    assert [s.seq for s in script.wire.sent_by(script.host.address)] == [7001]
    script.inject(ACK, 1001, 12001)
    assert connection.round_trip.srtt == before


def test_32_no_sample_from_a_probed_byte() -> None:
    """The window closed over a byte in flight; the probe is the same byte again."""
    script = Script(timestamps="accept")
    connection = script.open(options=MSS)
    connection.send(b"x")
    script.outputs()
    before = connection.round_trip.srtt
    script.inject(ACK, 1001, 7001, window=0)
    assert len(script.wait(1.5)) == 1
    script.inject(ACK, 1001, 7002, window=0)
    assert connection.round_trip.srtt == before


def test_33_silence_is_counted_from_what_is_unanswered() -> None:
    """R2 by time: an hour of idleness before a loss is no hour without an answer."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"x")
    script.outputs()
    script.inject(ACK, 1001, 7002)
    script.wait(3600)
    connection.send(b"y")
    script.outputs()
    assert len(script.wait(50)) == 5
    assert connection.state is State.ESTABLISHED


def test_33_the_user_timeout_takes_the_place_of_the_count_too() -> None:
    """TCP_USER_TIMEOUT may be longer than R2 (RFC 5482)."""
    script = Script("windows2000")
    connection = script.open(options=MSS)
    connection.settings.user_timeout_ns = 1000 * SECOND
    connection.send(b"x")
    script.outputs()
    start = script.wire.scheduler.now
    assert len(script.wait(2000)) > 5
    assert connection.trace[-1].time_ns - start == 1000 * SECOND


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


def test_35_avoidance_counts_every_byte() -> None:
    """What is over when the window grows counts for the next time (RFC 5681 section 3.1)."""
    congestion = Congestion(10, 3)
    congestion.open(1000, syn_was_lost=False)
    congestion.ssthresh = congestion.cwnd
    windows = []
    for acked in (6000, 6000, 8000, 1000):
        congestion.grow(acked)
        windows.append(congestion.cwnd)
    assert windows == [10_000, 11_000, 11_000, 12_000]


@pytest.mark.parametrize(("waited", "restarted"), [(0.9, False), (1.5, True)])
def test_40_idleness_is_more_than_one_rto(waited: float, restarted: bool) -> None:
    """RFC 5681 section 4.1."""
    script = Script()
    connection = script.open(options=MSS)
    connection.congestion.cwnd = 50_000
    connection.send(b"x")
    script.outputs()
    script.inject(ACK, 1001, 7002)
    connection.congestion.cwnd = 50_000
    script.wait(waited)
    connection.send(b"y")
    script.outputs()
    assert (connection.congestion.cwnd < 50_000) == restarted


def test_48_what_lies_behind_a_fin_is_forgotten() -> None:
    """Nobody can have sent it."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK, 1010, 7001, b"behind the end")
    script.inject(ACK | FIN, 1001, 7001, b"end")
    assert (script.client.data, script.client.events) == (b"end", ["peer_closed"])
    assert connection.reassembly.bytes == 0


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


@pytest.mark.parametrize("seq", [1002, 1102])
def test_49_a_further_fin_inside_of_the_window_restarts_the_wait(seq: int) -> None:
    """RFC 9293 section 3.10.7.4, eighth: "Restart the 2 MSL time-wait timeout", and acknowledge."""
    script = Script()
    connection = reach(script, State.TIME_WAIT)
    before = connection.timers.ending
    script.wire.run(10)
    assert [brief(s) for s in script.inject(ACK | FIN, seq, 7002)] == [("ACK", 7002, 1002, 0)]
    assert connection.state is State.TIME_WAIT
    assert connection.timers.ending is not None
    assert before is not None
    assert connection.timers.ending - before == 10 * SECOND


@pytest.mark.parametrize("state", [State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING])
def test_48_a_further_fin_is_acknowledged_and_does_not_move_rcv_nxt(state: State) -> None:
    """3.10.7.4, eighth: remain in the state; the stream has ended only once."""
    script = Script()
    connection = reach(script, state)
    acked = connection.snd_una
    assert [s.ack for s in script.inject(ACK | FIN, 1002, acked)] == [1002]
    assert connection.state is state
    assert script.client.events == []


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


def test_56_old_text_with_a_new_fin_is_no_new_data() -> None:
    """After the final close: the FIN is taken, and nobody is reset."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK, 1001, 7001, b"taken")
    connection.close(final=True)
    script.outputs()
    answer = script.inject(ACK | FIN, 1001, 7002, b"taken")
    assert [brief(s) for s in answer] == [("ACK", 7002, 1007, 0)]
    assert connection.state is State.TIME_WAIT


def test_57_what_is_in_flight_is_question_enough() -> None:
    """MUST-26: no probe beside data that waits for its acknowledgement."""
    script = Script()
    connection = script.open(options=MSS)
    connection.settings.keep_alive = True
    connection.settings.keep_alive_idle_ns = 10 * SECOND
    connection.settings.keep_alive_interval_ns = 1 * SECOND
    connection.start_keep_alive()
    script.wait(9)
    connection.send(b"x")
    script.outputs()
    assert {(s.seq, len(s.data)) for s in script.wait(20)} == {(7001, 1)}


def test_57_nobody_is_asked_in_time_wait() -> None:
    """The peer has gone, as it should."""
    script = Script()
    script.settings.keep_alive = True
    script.settings.keep_alive_idle_ns = 10 * SECOND
    reach(script, State.TIME_WAIT)
    assert script.wait(239) == []


def test_58_a_quote_that_ends_within_the_numbers_is_too_short() -> None:
    """Eight bytes of TCP's header are the least."""
    script = Script()
    script.connect()
    script.outputs()
    script.host.tcp.icmp_error(3, 3, memoryview(bytes(20)), memoryview(bytes(7)), 0)
    assert script.host.counters == {"tcp icmp too short": 1}


def test_59_a_connection_has_its_own_copy_of_the_listeners_settings() -> None:
    """Inherited when it is made; what is set later is the connection's alone."""
    pair = Pair()
    pair.far.settings.ttl = 9
    assert pair.listener.settings.ttl is None
