"""Loss recovery and congestion: checklist lines 31 to 44."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcp_wire import MS, SECOND, A, B, Pair, Script, brief

from wsock.virtual.profile import LINUX, RFC
from wsock.virtual.tcp.congestion import Congestion
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.round_trip import RoundTrip
from wsock.virtual.tcp.scoreboard import Scoreboard
from wsock.virtual.tcp.segment import ACK, FIN, RST, SYN, Segment
from wsock.virtual.tcp.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcp_wire import Sent

    from wsock.virtual.tcp import Connection

MSS = Options(mss=1000)
SACK = Options(mss=1000, sack_permitted=True)


def data(count: int) -> bytes:
    return bytes(n % 251 for n in range(count))


def dropping(pair: Pair, chosen: Callable[[Segment], bool], times: int = 1) -> None:
    """Lose the first ``times`` segments that are ``chosen``."""
    left = [times]

    def judge(sent: Sent) -> list[int]:
        if left[0] and chosen(sent.segment):
            left[0] -= 1
            return []
        return [pair.wire.latency]

    pair.wire.filter = judge


# 31 to 34: the retransmission timer


@pytest.mark.parametrize(
    ("samples_ms", "srtt_us", "rttvar_us", "rto_us"),
    [
        ([100], 100_000, 50_000, 300_000),
        ([100, 100], 100_000, 37_500, 300_000),
        ([100, 200], 112_500, 62_500, 362_500),
        ([100, 200, 100], 110_937, 50_000, 310_937),
        ([500, 100], 450_000, 287_500, 1_600_000),
        ([1], 1_000, 500, 201_000),
        ([60_000, 1], 52_500_125, 37_499_750, 120_000_000),
    ],
)
def test_31_rto_from_samples(
    samples_ms: list[int], srtt_us: int, rttvar_us: int, rto_us: int
) -> None:
    """RFC 6298 section 2 worked by hand, to 1 us; bounds of the profile linux.

    Its minimum of 200 ms stands beside SRTT, not above the sum: an ACK may be delayed that long.
    """
    estimate = RoundTrip(LINUX)
    for sample in samples_ms:
        estimate.sample(sample * MS)
    assert estimate.srtt is not None
    assert abs(estimate.srtt - srtt_us * 1000) <= 1000
    assert abs(estimate.rttvar - rttvar_us * 1000) <= 1000
    assert abs(estimate.rto - rto_us * 1000) <= 1000


def test_31_initial_minimum_and_maximum() -> None:
    """1 s before any sample; never under the profile's minimum, nor over its maximum of 60 s."""
    estimate = RoundTrip(RFC)
    assert estimate.rto == SECOND
    estimate.sample(1)
    assert estimate.rto == SECOND
    for _ in range(10):
        estimate.back_off()
    assert estimate.rto == 60 * SECOND


def test_31_samples_are_taken_from_the_wire() -> None:
    """The handshake and the data of a 50 ms path give SRTT 100 ms."""
    pair = Pair(latency=50 * MS, profile="linux")
    assert pair.near.status().srtt == 100 * MS
    pair.near.send(data(2 * 1448))  # two full segments are acknowledged at once
    pair.wire.run(1)
    assert pair.near.status().srtt == 100 * MS


@pytest.mark.parametrize("profile", ["rfc", "linux", "windows2000"])
@pytest.mark.parametrize("peer", ["rfc", "linux", "windows2000"])
def test_31_a_delayed_acknowledgement_is_no_loss(profile: str, peer: str) -> None:
    """Odd segments, whose ACK waits, are not resent: between any two profiles."""
    pair = Pair(latency=1 * MS, profile=profile, server_profile=peer)
    for count in (1000, 1000, 5000, 1, 30_000):
        pair.near.send(data(count))
        pair.wire.run(3)
    assert pair.a.counters["tcp retransmissions"] == 0


def test_32_karn_no_sample_from_a_segment_sent_twice() -> None:
    """The ACK of a resend says nothing about the path; the backed-off RTO stays (MUST-18)."""
    script = Script(timestamps="accept")
    connection = script.open(options=MSS)
    connection.send(b"x")
    script.outputs()
    srtt = connection.status().srtt
    assert len(script.wait(1.5)) == 1  # resent
    script.inject(ACK, 1001, 7002)
    assert connection.status().srtt == srtt
    assert connection.status().rto == 2 * SECOND
    connection.send(b"y")
    script.outputs()
    script.wait(0.1)
    script.inject(ACK, 1001, 7003)
    assert connection.status().srtt != srtt
    assert connection.status().rto == SECOND


def test_32_timestamps_allow_a_sample_after_a_resend() -> None:
    """TSecr tells which sending was answered (RFC 7323 section 4)."""
    script = Script()
    connection = script.open(options=Options(mss=1000, timestamp=(50, 0)))
    connection.send(b"x")
    script.outputs()
    (resent,) = script.wait(1.5)
    assert connection.status().rto == 2 * SECOND
    assert resent.options.timestamp is not None
    script.inject(ACK, 1001, 7002, options=Options(timestamp=(51, resent.options.timestamp[0])))
    assert connection.status().rto == SECOND
    assert connection.round_trip.backoff == 0


def test_33_timer_starts_restarts_stops_and_backs_off() -> None:
    """RFC 6298 sections 5.1 to 5.6, at the second. Fact S4-6."""
    script = Script(timestamps="accept")
    connection = script.open(options=MSS)
    connection.settings.no_delay = True
    base = script.wire.scheduler.now
    connection.send(b"a")
    script.outputs()
    script.wait(0.5)
    connection.send(b"b")
    script.outputs()
    assert connection.timers.resend == base + SECOND  # 5.1: started by the first, left alone
    script.inject(ACK, 1001, 7002)
    assert connection.timers.resend == base + 1500 * MS  # 5.3: restarted, b is in flight
    times = [(sent.time - base) // (100 * MS) for sent in (script.wait(8), script.wire.log)[1]]
    assert times == [15, 35, 75]  # 5.4, 5.5: resent, doubled
    script.inject(ACK, 1001, 7003)
    assert connection.timers.resend is None  # 5.2: nothing in flight


def test_33_r1_is_noted_and_r2_gives_up() -> None:
    """R1 after 3 resends, R2 after 100 s or more: ETIMEDOUT (MUST-20, 21). Fact S4-6."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"x")
    script.outputs()
    start = script.wire.scheduler.now
    script.wait(10)
    assert script.host.counters["tcp R1 reached"] == 1
    script.wait(200)
    assert script.client.events == [("reset", errno.ETIMEDOUT)]
    assert 100 * SECOND <= connection.trace[-1].time_ns - start <= 200 * SECOND


def test_33_r2_by_count_and_user_timeout() -> None:
    """Five resends under windows2000; TCP_USER_TIMEOUT in place of R2, to the instant."""
    script = Script("windows2000")
    connection = script.open(options=MSS)
    connection.send(b"x")
    script.outputs()
    assert len(script.wait(500)) == 5
    script = Script()
    connection = script.open(options=MSS)
    connection.settings.user_timeout_ns = 5 * SECOND
    connection.send(b"x")
    script.outputs()
    start = script.wire.scheduler.now
    script.wait(30)
    assert script.client.events == [("reset", errno.ETIMEDOUT)]
    assert connection.trace[-1].time_ns - start == 5 * SECOND


def test_33_progress_starts_the_count_again() -> None:
    """R2 is about silence, not about the age of the connection."""
    script = Script()
    connection = script.open(options=MSS)
    for n in range(20):
        connection.send(b"x")
        script.outputs()
        script.wait(20)  # several resends
        script.inject(ACK, 1001, 7002 + n)
    assert connection.state is State.ESTABLISHED


def test_34_on_timeout_the_first_unacknowledged_segment_is_resent() -> None:
    """One segment, the oldest; the rest follows as the window grows again (section 3.10.8)."""
    script = Script()
    connection = script.open(options=MSS)
    text = data(5000)
    connection.send(text)
    assert len(script.outputs()) == 5
    resent = script.wait(1.5)
    assert [(s.seq, bytes(s.data)) for s in resent] == [(7001, text[:1000])]
    answer = script.inject(ACK, 1001, 8001)
    assert [s.seq for s in answer] == [8001, 9001]
    script.inject(ACK, 1001, 12001)
    assert connection.flight == 0


def test_34_resegmenting_keeps_the_bytes() -> None:
    """After a smaller MTU the same bytes go out in other pieces."""
    script = Script()
    connection = script.open(options=MSS)
    text = data(3000)
    connection.send(text)
    script.outputs()
    connection.path_mtu = 440
    got = bytearray()
    for _ in range(20):
        for segment in script.wait(1.2):
            assert len(segment.data) <= 400
            offset = segment.seq - 7001
            got[offset : offset + len(segment.data)] = bytes(segment.data)
        script.inject(ACK, 1001, 7001 + len(got))
    assert got == text


def test_34_a_lost_segment_is_repaired_end_to_end() -> None:
    """Drop one of three: resent after the timeout, delivered in order. Facts S4-6, S1-9."""
    pair = Pair(sack=False)
    dropping(pair, lambda s: len(s.data) > 0)
    text = data(4000)
    pair.near.send(text)
    pair.wire.run(5)
    assert pair.server.data == text
    assert pair.a.counters["tcp retransmissions"] >= 1


# 35 to 40: congestion control


def test_35_slow_start_adds_a_segment_for_each_ack() -> None:
    """cwnd += min(N, SMSS), up to ssthresh (MUST-19; RFC 5681 equation 2)."""
    congestion = Congestion(10, 3)
    congestion.open(1000, syn_was_lost=False)
    assert congestion.cwnd == 10_000
    congestion.grow(1000)
    congestion.grow(300)
    congestion.grow(5000)
    assert congestion.cwnd == 12_300


def test_35_avoidance_adds_a_segment_for_each_window() -> None:
    """One SMSS for cwnd bytes acknowledged (RFC 5681 section 3.1)."""
    congestion = Congestion(10, 3)
    congestion.open(1000, syn_was_lost=False)
    congestion.ssthresh = 10_000
    for _ in range(9):
        congestion.grow(1000)
    assert congestion.cwnd == 10_000
    congestion.grow(1000)
    assert congestion.cwnd == 11_000


def test_35_initial_window_by_profile() -> None:
    """Ten segments (RFC 6928) or two, seen on the wire; a small MSS is bounded by bytes."""
    for profile, count in (("rfc", 10), ("linux", 10), ("windows2000", 2)):
        script = Script(profile)
        connection = script.open(options=MSS)
        connection.send(data(30_000))
        assert len(script.outputs()) == count
    congestion = Congestion(10, 3)
    congestion.open(8960, syn_was_lost=False)
    assert congestion.cwnd == 17_920


def test_38_deflation_leaves_at_least_a_segment() -> None:
    """However much a partial ACK covers."""
    congestion = Congestion(10, 3)
    congestion.open(1000, syn_was_lost=False)
    congestion.enter_recovery(6000, 6000, inflate=True)
    assert congestion.cwnd == 6000
    congestion.deflate(2500)
    assert congestion.cwnd == 4500
    congestion.deflate(9000)
    assert congestion.cwnd == 1000
    congestion.cwnd = 5000
    congestion.deflate(100)
    assert congestion.cwnd == 4900


def test_36_timeout_halves_ssthresh_and_leaves_one_segment() -> None:
    """ssthresh = max(FlightSize/2, 2 SMSS), once for a segment; cwnd = 1 SMSS (equation 4)."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(data(8000))
    script.outputs()
    script.wait(1.1)
    assert (connection.congestion.ssthresh, connection.congestion.cwnd) == (4000, 1000)
    script.wait(2.1)  # the same segment again
    assert connection.congestion.ssthresh == 4000
    small = Congestion(10, 3)
    small.open(1000, syn_was_lost=False)
    small.time_out(1500, 0, first=True)
    assert small.ssthresh == 2000


def test_37_third_duplicate_ack_resends_at_once() -> None:
    """The segment at SND.UNA, without waiting for the timer (RFC 5681 section 3.2)."""
    script = Script(sack=False)
    connection = script.open(options=MSS)
    connection.send(data(10_000))
    assert len(script.outputs()) == 10
    assert [s.seq for s in script.inject(ACK, 1001, 8001)] == []
    assert script.inject(ACK, 1001, 8001) == []
    assert script.inject(ACK, 1001, 8001) == []
    assert [s.seq for s in script.inject(ACK, 1001, 8001)] == [8001]
    assert connection.congestion.ssthresh == 4500
    assert connection.congestion.cwnd == 7500


def test_37_what_is_no_duplicate_ack() -> None:
    """With data, with FIN, with another window, with nothing in flight: not one (section 2)."""
    script = Script(sack=False)
    connection = script.open(options=MSS)
    for _ in range(5):
        script.inject(ACK, 1001, 7001)
    assert connection.congestion.duplicate_acks == 0  # nothing is in flight
    connection.send(data(5000))
    script.outputs()
    script.inject(ACK, 1001, 7001, b"data")
    script.inject(ACK, 1005, 7001, window=60_000)
    assert connection.congestion.duplicate_acks == 0
    script.inject(ACK, 1005, 7001, window=60_000)
    assert connection.congestion.duplicate_acks == 1
    script.inject(ACK | FIN, 1005, 7001, window=60_000)
    assert connection.congestion.duplicate_acks == 1


def test_37_two_are_enough_under_windows2000() -> None:
    """TcpMaxDupAcks 2."""
    script = Script("windows2000")
    connection = script.open(options=MSS)
    connection.congestion.cwnd = 10_000
    connection.send(data(5000))
    script.outputs()
    assert script.inject(ACK, 1001, 7001) == []
    assert [s.seq for s in script.inject(ACK, 1001, 7001)] == [7001]


def test_38_newreno_partial_ack_resends_the_next_hole() -> None:
    """Two segments lost: one round trip each, no timeout (RFC 6582 section 3.2)."""
    script = Script(sack=False)
    connection = script.open(options=MSS)
    connection.send(data(10_000))
    script.outputs()
    for _ in range(3):
        resent = script.inject(ACK, 1001, 7001)
    assert [s.seq for s in resent] == [7001]
    assert connection.congestion.recover == 10_000
    partial = script.inject(ACK, 1001, 12_001)
    assert partial[0].seq == 12_001
    assert connection.congestion.in_recovery


def test_38_newreno_full_ack_ends_recovery_and_deflates() -> None:
    """cwnd = min(ssthresh, max(FlightSize, SMSS) + SMSS)."""
    script = Script(sack=False)
    connection = script.open(options=MSS)
    connection.send(data(10_000))
    script.outputs()
    for _ in range(3):
        script.inject(ACK, 1001, 7001)
    script.inject(ACK, 1001, 17_001)
    assert not connection.congestion.in_recovery
    assert connection.congestion.ssthresh == 5000
    assert connection.congestion.cwnd == 2000


def test_38_no_second_halving_for_the_same_window() -> None:
    """Duplicate ACKs below ``recover`` after a timeout do not count as another loss."""
    script = Script(sack=False)
    connection = script.open(options=MSS)
    connection.send(data(10_000))
    script.outputs()
    script.wait(1.1)
    ssthresh = connection.congestion.ssthresh
    for _ in range(5):
        script.inject(ACK, 1001, 7001)
    assert connection.congestion.ssthresh == ssthresh
    assert not connection.congestion.in_recovery


def test_39_limited_transmit_sends_new_data_on_the_first_two_duplicates() -> None:
    """One new segment each, beyond cwnd; cwnd itself stays (RFC 3042)."""
    script = Script(sack=False, initial_window_segments=4)
    connection = script.open(options=MSS)
    connection.send(data(10_000))
    assert len(script.outputs()) == 4
    assert [s.seq for s in script.inject(ACK, 1001, 7001)] == [11_001]
    assert [s.seq for s in script.inject(ACK, 1001, 7001)] == [12_001]
    assert connection.congestion.cwnd == 4000
    assert [s.seq for s in script.inject(ACK, 1001, 7001)] == [7001]


def test_40_restart_after_idle() -> None:
    """Nothing sent for more than an RTO: back to the initial window (RFC 5681 section 4.1)."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(data(10_000))
    script.outputs()
    connection.congestion.cwnd = 40_000
    script.inject(ACK, 1001, 17_001)
    script.wait(5)
    connection.send(data(30_000))
    assert len(script.outputs()) == 10


# 41: SACK


def test_41_sack_is_negotiated_on_the_syn() -> None:
    """Offered if the profile has it, answered if it was offered (RFC 2018 section 2)."""
    for mine, theirs in ((True, True), (True, False), (False, True)):
        script = Script(sack=mine)
        script.listen()
        (synack,) = script.inject(SYN, 1000, options=Options(sack_permitted=theirs))
        assert synack.options.sack_permitted == (mine and theirs)
        script = Script(sack=mine)
        script.connect()
        assert script.outputs()[0].options.sack_permitted == mine


def test_41_newest_block_first_and_at_most_four() -> None:
    """Sections 3 and 4: the block of the segment that caused the ACK leads."""
    script = Script()
    script.open(options=SACK)
    for seq in (2001, 4001, 6001, 8001, 10_001):
        (answer,) = script.inject(ACK, seq, 7001, data(1000))
        assert answer.options.sack[0] == (seq, seq + 1000)
        assert len(answer.options.sack) <= 4
    assert answer.options.sack == (
        (10_001, 11_001), (8001, 9001), (6001, 7001), (4001, 5001),
    )  # fmt: skip
    (answer,) = script.inject(ACK, 5001, 7001, data(1000))  # joins two blocks
    assert answer.options.sack[0] == (4001, 7001)


def test_41_three_blocks_beside_timestamps() -> None:
    """40 bytes of options hold no more."""
    script = Script()
    script.open(options=Options(mss=1000, sack_permitted=True, timestamp=(1, 0)))
    for seq in (2001, 4001, 6001, 8001):
        (answer,) = script.inject(ACK, seq, 7001, data(1000), options=Options(timestamp=(2, 0)))
    assert len(answer.options.sack) == 3


def test_41_only_holes_are_resent() -> None:
    """What the peer reported is not sent again (RFC 6675)."""
    script = Script()
    connection = script.open(options=SACK)
    connection.send(data(10_000))
    script.outputs()
    holes = []
    for edge in (9001, 10_001, 11_001):  # 7001 and 8001 are missing
        holes += script.inject(ACK, 1001, 7001, options=Options(sack=((9001, edge),)))
    holes += script.inject(ACK, 1001, 7001, options=Options(sack=((9001, 14_001),)))
    assert [s.seq for s in holes] == [7001, 8001]
    script.inject(ACK, 1001, 17_001)
    assert not connection.congestion.in_recovery
    assert connection.congestion.cwnd == connection.congestion.ssthresh == 5000


def test_41_a_timeout_forgets_what_was_reported() -> None:
    """The peer may have thrown it away (RFC 2018 section 8)."""
    script = Script()
    connection = script.open(options=SACK)
    connection.send(data(3000))
    script.outputs()
    script.inject(ACK, 1001, 7001, options=Options(sack=((8001, 10_001),)))
    script.wait(1.1)
    assert [s.seq for s in script.inject(ACK, 1001, 8001)] == [8001, 9001]


def test_41_blocks_that_cannot_be_are_ignored() -> None:
    """Reversed, empty, below SND.UNA, above SND.NXT."""
    script = Script()
    connection = script.open(options=SACK)
    connection.send(data(3000))
    script.outputs()
    for block in ((9001, 8001), (8001, 8001), (6001, 7001), (9001, 99_001), (0, 2**32 - 1)):
        script.inject(ACK, 1001, 7001, options=Options(sack=(block,)))
    assert not connection.scoreboard


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 15)), max_size=25), st.data())
def test_41_scoreboard_against_a_set_of_bytes(
    blocks: list[tuple[int, int]], drawn: st.DataObject
) -> None:
    """Holes, counts and skips are those of a plain set."""
    board, held = Scoreboard(), set[int]()
    for start, length in blocks:
        news = {*range(start, start + length)} - held
        assert board.add(start, start + length) == bool(news)
        held |= news
        if drawn.draw(st.booleans()):
            una = drawn.draw(st.integers(0, 40))
            board.acknowledge(una)
            held -= {*range(una)}
    start, end = sorted(drawn.draw(st.tuples(st.integers(0, 100), st.integers(0, 100))))
    assert board.received(start, end) == len(held & {*range(start, end)})
    position, hole_end = board.skip(start)
    assert position == next(n for n in range(start, 200) if n not in held)
    later = [n for n in held if n > position]
    assert hole_end == (min(later) if later else None)
    hole = board.hole_from(start)
    assert hole == ((position, min(later)) if later else None)


def test_41_a_hole_is_lost_when_enough_was_received_above_it() -> None:
    """IsLost: three ranges, or more than two segments' bytes (RFC 6675 section 4)."""
    board = Scoreboard()
    board.add(1000, 3000)
    assert board.lost_before(3, 1000) == 0
    board.add(3000, 3001)
    assert board.lost_before(3, 1000) == 1000
    board = Scoreboard()
    board.add(1000, 1010)
    board.add(2000, 2010)
    assert board.lost_before(3, 1000) == 0
    board.add(3000, 3010)
    assert board.lost_before(3, 1000) == 1000


def test_41_pipe_counts_what_is_in_the_network() -> None:
    """SetPipe: not reported and not lost once, sent again once more (section 4)."""
    board = Scoreboard()
    board.add(3000, 6001)
    assert board.pipe(0, 10_000, board.lost_before(3, 1000)) == 10_000 - 6001
    board.resent = 1000
    assert board.pipe(0, 10_000, 3000) == 10_000 - 6001 + 1000


def test_41_several_losses_in_one_window_are_repaired_without_timeout() -> None:
    """End to end: five of forty segments lost, delivered within a few round trips."""
    pair = Pair(profile="linux")
    pair.near.congestion.cwnd = 60_000
    count = [0]

    def judge(sent: Sent) -> list[int]:
        if sent.segment.data:
            count[0] += 1
            if count[0] in (3, 4, 9, 17, 30):
                return []
        return [pair.wire.latency]

    pair.wire.filter = judge
    text = data(58_000)
    pair.near.send(text)
    pair.wire.run(0.15)
    assert pair.server.data == text
    assert pair.a.counters["tcp retransmissions"] == 5


# 42, 43: window scale and timestamps


def test_42_window_scale_only_on_syn_and_unscaled_there() -> None:
    """RFC 7323 section 2.2; afterwards the field is shifted."""
    pair = Pair(establish=False, receive_window=1_000_000)
    pair.connect()
    pair.wire.run(0.1)
    syn, synack, ack = (sent.segment for sent in pair.wire.log)
    assert (syn.options.window_shift, synack.options.window_shift) == (4, 4)
    assert syn.window == synack.window == 65535
    assert ack.options.window_shift is None
    assert ack.window << 4 >= 1_000_000 - 16
    assert pair.far.snd_wnd == ack.window << 4


def test_42_a_shift_above_fourteen_counts_as_fourteen() -> None:
    """Section 2.3."""
    script = Script()
    connection = script.open(options=Options(mss=1000, window_shift=40), window=1)
    assert connection.send_shift == 14
    assert connection.snd_wnd == 1 << 14


def test_42_without_an_answer_nothing_is_scaled() -> None:
    """The window then is at most 65,535, also what this side accepts."""
    script = Script(receive_window=1_000_000)
    connection = script.connect()
    script.outputs()
    (ack,) = script.inject(SYN | ACK, 1000, 7001, options=MSS)
    assert ack.window == 65535
    assert connection.rcv_wnd == 65535


def test_42_windows2000_scales_only_when_asked() -> None:
    """Tcp1323Opts of that time: off unless the peer asks."""
    script = Script("windows2000")
    script.connect()
    options = script.outputs()[0].options
    assert (options.window_shift, options.timestamp) == (None, None)
    script = Script("windows2000")
    script.listen()
    asked = Options(mss=1460, window_shift=2, timestamp=(9, 0))
    options = script.inject(SYN, 1000, options=asked)[0].options
    assert options.window_shift == 0
    assert options.timestamp is not None
    assert options.timestamp[1] == 9


def test_42_a_large_window_is_filled() -> None:
    """More than 65,535 bytes in flight."""
    pair = Pair(receive_window=1_000_000)
    pair.near.congestion.cwnd = 500_000
    pair.far.send(b"the window of the SYN,ACK is not scaled, this one's is")
    pair.wire.run(0.5)
    pair.near.send(data(400_000))
    pair.wire.flush()
    assert pair.near.flight > 390_000
    pair.wire.run(2)
    assert len(pair.server.data) == 400_000


def test_43_timestamps_are_on_every_segment_once_negotiated() -> None:
    """And echo the peer's (RFC 7323 section 3.2)."""
    pair = Pair(establish=False)
    pair.connect()
    pair.near.send(data(3000))
    pair.wire.run(1)
    stamps = [sent.segment.options.timestamp for sent in pair.wire.log]
    assert None not in stamps
    assert stamps[1] is not None
    assert stamps[0] is not None
    assert stamps[1][1] == stamps[0][0]


def test_43_paws_drops_what_is_older() -> None:
    """TSval left of TS.Recent: ACK and drop, but never a RST (section 5.3)."""
    script = Script()
    script.open(options=Options(mss=1000, timestamp=(1000, 0)))
    (answer,) = script.inject(ACK, 1001, 7001, b"old", options=Options(timestamp=(999, 0)))
    assert brief(answer) == ("ACK", 7001, 1001, 0)
    assert script.client.data == b""
    assert script.host.counters["tcp paws"] == 1
    script.inject(RST, 1001, options=Options(timestamp=(1, 0)))
    assert script.client.events == [("reset", errno.ECONNRESET)]


def test_43_a_bare_ack_that_is_older_is_not_answered() -> None:
    """Answers would be overtaken on a reordering wire and answered again: an ACK storm."""
    script = Script()
    script.open(options=Options(mss=1000, timestamp=(1000, 0)))
    assert script.inject(ACK, 1001, 7001, options=Options(timestamp=(999, 0))) == []
    assert script.host.counters["tcp paws"] == 1


def test_43_ts_recent_follows_only_what_spans_the_last_ack() -> None:
    """A segment beyond a gap does not move TS.Recent (section 4.3)."""
    script = Script()
    connection = script.open(options=Options(mss=1000, timestamp=(1000, 0)))
    (answer,) = script.inject(ACK, 2001, 7001, b"gap", options=Options(timestamp=(1005, 0)))
    assert connection.ts_recent == 1000
    assert answer.options.timestamp is not None
    assert answer.options.timestamp[1] == 1000
    script.inject(ACK, 1001, 7001, b"x", options=Options(timestamp=(1003, 0)))
    assert connection.ts_recent == 1003


def test_43_a_resend_whose_ack_was_lost_is_echoed_with_its_own_timestamp() -> None:
    """The sample that the peer takes is of the last sending, not of the first."""
    script = Script()
    script.open(options=Options(mss=1000, timestamp=(1000, 0)))
    script.inject(ACK, 1001, 7001, b"data", options=Options(timestamp=(1001, 0)))
    script.wait(0.5)  # acknowledged; suppose that is lost
    (answer,) = script.inject(ACK, 1001, 7001, b"data", options=Options(timestamp=(4000, 0)))
    assert answer.options.timestamp is not None
    assert answer.options.timestamp[1] == 4000
    far = 1001 - 100_000
    (answer,) = script.inject(ACK, far, 7001, b"guessed", options=Options(timestamp=(5000, 0)))
    assert answer.options.timestamp is not None
    assert answer.options.timestamp[1] == 4000


def test_43_a_segment_without_its_timestamp_is_dropped() -> None:
    """Section 3.2: once negotiated, every segment must have one; RST apart."""
    script = Script()
    script.open(options=Options(mss=1000, timestamp=(1000, 0)))
    assert script.inject(ACK, 1001, 7001, b"bare") == []
    assert script.client.data == b""


def test_43_timestamps_outlive_idleness_of_24_days() -> None:
    """TS.Recent older than that no longer judges (section 5.5)."""
    script = Script()
    connection = script.open(options=Options(mss=1000, timestamp=(1000, 0)))
    script.wait(25 * 24 * 3600)
    script.inject(ACK, 1001, 7001, b"back", options=Options(timestamp=(999, 0)))
    assert script.client.data == b"back"
    assert connection.state is State.ESTABLISHED


# 44: path MTU


def icmp_too_big(script: Script, segment: Segment, mtu: int) -> None:
    header = bytearray(20)
    header[12:16], header[16:20] = B, A
    quoted = (
        segment.source_port.to_bytes(2, "big")
        + segment.destination_port.to_bytes(2, "big")
        + segment.seq.to_bytes(4, "big")
    )
    script.host.tcp.icmp_error(3, 4, memoryview(header), memoryview(quoted), mtu)


def opened_with_flight() -> tuple[Script, Connection, list[Segment]]:
    script = Script()
    connection = script.open(options=Options(mss=1460))
    connection.send(data(5000))
    return script, connection, script.outputs()


def test_44_segments_have_df_and_shrink_on_icmp() -> None:
    """ICMP 3/4 with a next-hop MTU: the same bytes again, in smaller segments (RFC 1191)."""
    script, connection, segments = opened_with_flight()
    assert all(sent.dont_fragment for sent in script.wire.log)
    assert len(segments[0].data) == 1460
    icmp_too_big(script, segments[0], 1006)
    resent = script.outputs()
    assert (resent[0].seq, len(resent[0].data)) == (7001, 966)
    assert connection.effective_mss == 966
    assert connection.congestion.smss == 966


def test_44_a_router_that_does_not_say_its_mtu() -> None:
    """The next plateau below (RFC 1191 section 7.1)."""
    script, connection, segments = opened_with_flight()
    icmp_too_big(script, segments[0], 0)
    assert connection.path_mtu == 1492
    icmp_too_big(script, script.outputs()[0], 0)
    assert connection.path_mtu == 1006


def test_44_a_lie_cannot_make_segments_larger_or_vanish() -> None:
    """Larger is ignored; below 68 is 68; not in flight is ignored (RFC 5927)."""
    script, connection, segments = opened_with_flight()
    for mtu in (9000, 1500):
        icmp_too_big(script, segments[0], mtu)
        assert connection.path_mtu == 1500
        assert script.outputs() == []
    icmp_too_big(script, segments[0], 20)
    assert connection.path_mtu == 68
    script, connection, segments = opened_with_flight()
    segments[0].seq += 100_000
    icmp_too_big(script, segments[0], 500)
    assert connection.path_mtu == 1500


def test_44_black_hole_when_icmp_is_filtered() -> None:
    """Small segments pass, full ones vanish, nobody says why: the connection times out."""
    pair = Pair()
    pair.wire.filter = lambda sent: [] if len(sent.raw) > 1000 else [pair.wire.latency]
    pair.near.send(b"small")
    pair.wire.run(1)
    assert pair.server.data == b"small"
    pair.near.send(data(3000))
    pair.wire.run(300)
    assert ("reset", errno.ETIMEDOUT) in pair.client.events
    assert pair.server.data == b"small"


def test_44_without_path_mtu_discovery_df_is_off() -> None:
    """The setting leaves fragmenting to the routers."""
    script = Script()
    script.settings.path_mtu_discovery = False
    connection = script.open(options=MSS)
    connection.send(b"x")
    script.outputs()
    assert not script.wire.log[0].dont_fragment
