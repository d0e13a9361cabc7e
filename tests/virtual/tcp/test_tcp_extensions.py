"""SACK, window scale, timestamps, path MTU: checklist lines 41 to 44."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from tcp_wire import A, B, Pair, Script, brief, data

from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.scoreboard import Scoreboard
from wsock.virtual.tcp.segment import ACK, RST, SYN, Segment
from wsock.virtual.tcp.states import State

if TYPE_CHECKING:
    from tcp_wire import Sent

    from wsock.virtual.tcp import Connection

MSS = Options(mss=1000)
SACK = Options(mss=1000, sack_permitted=True)


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
