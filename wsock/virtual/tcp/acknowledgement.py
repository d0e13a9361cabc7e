# Acknowledgements: the fifth check of an arriving segment, and all that follows from it.
#
#   arrival           checks one to four
# > acknowledgement   THIS FILE: SND.UNA, windows, round trips, congestion, our own FIN
#   text              checks six to eight
#
# Rule 1: the TCB is in order before the client hears of anything, because an upcall may call back.
# Rule 2: what is a duplicate ACK is for RFC 5681 section 2 to say, five conditions; with SACK, for
#         RFC 6675 section 2: news in a SACK block.
#
# Sources: RFC 9293 section 3.10.7.4, fifth; RFC 5961 section 5; RFC 6298; RFC 6582; RFC 6675.

"""Processing of SEG.ACK, SEG.WND and SACK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.virtual.tcp import ending, text
from wsock.virtual.tcp.segment import FIN
from wsock.virtual.tcp.seq import HALF, MASK, distance
from wsock.virtual.tcp.states import Event, State
from wsock.virtual.tcp.tcb import OPENING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tcp.segment import Segment


def process(tcb: Connection, segment: Segment) -> bool:
    """Take SEG.ACK; whether the rest of the segment is to be processed."""
    if tcb.state is State.SYN_RECEIVED and not _complete_handshake(tcb, segment):
        return False
    advance = (segment.ack - tcb.snd_una) & MASK
    outstanding = (tcb.snd_nxt - tcb.snd_una) & MASK
    if advance > outstanding:
        return _out_of_range(tcb, advance)
    window = segment.window << tcb.send_shift
    sack_news = _note_sack(tcb, segment) if segment.options.sack else False
    if advance:
        _advance(tcb, segment, advance)
    elif outstanding:
        _count_duplicate(tcb, segment, window, sack_news)
    _update_window(tcb, segment, window)
    return tcb.state is not State.CLOSED


def _out_of_range(tcb: Connection, advance: int) -> bool:
    """Judge an ACK outside of SND.UNA..SND.NXT (RFC 5961 section 5).

    It is an old one within MAX.SND.WND, but never below what was sent at all, the SYN, the stream
    and the FIN: nobody who saw our bytes acknowledges others. (Linux has the same bound.)
    """
    known = min(tcb.max_snd_wnd, tcb.send_buffer.start + 2)
    too_old = advance & HALF and MASK + 1 - advance > known
    if not advance & HALF or too_old:
        tcb.layer.challenge(tcb, "tcp ack out of range")
        return False
    return True  # an old duplicate: its text may be new


def establish(tcb: Connection, segment: Segment, event: Event) -> None:
    """Enter ESTABLISHED: our SYN is acknowledged by ``segment``."""
    tcb.snd_una = (tcb.iss + 1) & MASK
    tcb.snd_wnd = segment.window << (0 if event is Event.RCV_SYN_ACK else tcb.send_shift)
    tcb.snd_wl1 = segment.seq
    tcb.snd_wl2 = segment.ack
    tcb.max_snd_wnd = max(tcb.max_snd_wnd, tcb.snd_wnd)
    tcb.timers.resend = None
    tcb.resends = 0
    tcb.soft_error = 0
    _measure(tcb, segment)
    if tcb.syn_lost:  # RFC 6298 section 5.7
        tcb.round_trip.forget(max(tcb.profile.rto_after_lost_syn_ns, tcb.profile.initial_rto_ns))
    tcb.congestion.open(tcb.effective_mss, syn_was_lost=tcb.syn_lost)
    tcb.change(event)
    tcb.start_keep_alive()
    tcb.layer.mark_dirty(tcb)


def _complete_handshake(tcb: Connection, segment: Segment) -> bool:
    """In SYN-RECEIVED: enter ESTABLISHED, or answer a wrong ACK by a RST."""
    if segment.ack != (tcb.iss + 1) & MASK:
        tcb.layer.reset_for(segment)
        return False
    establish(tcb, segment, Event.RCV_ACK_OF_SYN)
    tcb.layer.completed(tcb)
    if tcb.reassembly or tcb.fin_position is not None:
        text.take_in_order(tcb)  # what came with the SYN
    return tcb.state is not State.CLOSED


def _advance(tcb: Connection, segment: Segment, advance: int) -> None:
    """Take an ACK of something new."""
    buffer = tcb.send_buffer
    flight = tcb.flight
    data_acked = min(advance, len(buffer))
    tcb.snd_una = segment.ack
    completions = buffer.acknowledge(buffer.start + data_acked)
    if distance(tcb.next_to_send, tcb.snd_una) > 0:
        tcb.next_to_send = tcb.snd_una
    if tcb.snd_up is not None and distance(tcb.snd_up, tcb.snd_una) >= 0:
        tcb.snd_up = None
    _measure(tcb, segment)
    if tcb.scoreboard:
        tcb.scoreboard.acknowledge(buffer.start)
    _congestion_on_advance(tcb, advance, flight)
    tcb.resends = 0
    tcb.unanswered_since = tcb.now
    tcb.soft_error = 0
    timers = tcb.timers
    timers.resend = None  # output starts it again if something is still in flight
    tcb.layer.mark_dirty(tcb)
    _tell(tcb, data_acked, completions)
    if tcb.fin_sent and tcb.snd_una == tcb.snd_nxt:
        _fin_acknowledged(tcb)


def _tell(tcb: Connection, data_acked: int, completions: list[Callable[[], object]]) -> None:
    """Let the client know what was acknowledged, and that there is room."""
    if data_acked:
        tcb.client.sent(tcb, data_acked)
    for on_done in completions:
        on_done()
    if tcb.send_waits and tcb.writable and tcb.state is not State.CLOSED:
        tcb.send_waits = False
        tcb.client.send_possible(tcb)
    if tcb.release_done is not None:
        tcb.check_release()


def _measure(tcb: Connection, segment: Segment) -> None:
    """Take a round-trip sample if Karn or a timestamp allows one."""
    if tcb.timed_end is not None:
        if distance(tcb.timed_end, segment.ack) >= 0:
            tcb.round_trip.sample(tcb.now - tcb.timed_at)
            tcb.timed_end = None
    elif tcb.timestamps_on and segment.options.timestamp is not None:
        age = (tcb.timestamp_clock - segment.options.timestamp[1]) & MASK
        if age < HALF:
            tcb.round_trip.sample(age * 1_000_000)


def _congestion_on_advance(tcb: Connection, advance: int, flight: int) -> None:
    """Grow, or go on with a recovery."""
    congestion = tcb.congestion
    if not congestion.in_recovery:
        congestion.grow(advance)
    elif tcb.send_buffer.start >= congestion.recover or tcb.snd_una == tcb.snd_nxt:
        congestion.leave_recovery(flight - advance, inflated=not tcb.sack_on)
        tcb.remark("recovery complete")
    elif not tcb.sack_on:
        congestion.deflate(advance)
        tcb.resend_first = True
    elif not tcb.scoreboard:
        tcb.resend_first = True  # nothing is known above the hole, so it is at the left edge


def _note_sack(tcb: Connection, segment: Segment) -> bool:
    """Put the SACK blocks on the scoreboard; whether any was news."""
    if not tcb.sack_on:
        return False
    news = False
    outstanding = tcb.flight
    for left, right in segment.options.sack:
        start, end = (left - tcb.snd_una) & MASK, (right - tcb.snd_una) & MASK
        if start < end <= outstanding:  # else a D-SACK, or a block that cannot be
            base = tcb.send_buffer.start
            news |= tcb.scoreboard.add(base + start, base + end)
    return news


def _count_duplicate(tcb: Connection, segment: Segment, window: int, sack_news: bool) -> None:
    """Count a duplicate ACK; the third (or the profile's) starts fast recovery."""
    if tcb.sack_on:
        if not sack_news:
            return
    elif segment.data or segment.flags & FIN or window != tcb.snd_wnd:
        return
    if tcb.persist_count or not tcb.snd_wnd:
        return  # an answer to a window probe
    congestion = tcb.congestion
    congestion.duplicate_acks += 1
    tcb.layer.mark_dirty(tcb)
    una = tcb.send_buffer.start
    if congestion.in_recovery:
        if not tcb.sack_on:
            congestion.inflate()
    elif congestion.duplicate_acks >= congestion.threshold and una > congestion.recover:
        congestion.enter_recovery(tcb.flight, tcb.sent_position, inflate=not tcb.sack_on)
        tcb.scoreboard.resent = una
        tcb.resend_first = True
        tcb.remark(f"fast retransmit after {congestion.duplicate_acks} duplicate ACKs")


def _update_window(tcb: Connection, segment: Segment, window: int) -> None:
    """Take SEG.WND if the segment is newer than the one the window came from."""
    newer = distance(tcb.snd_wl1, segment.seq)
    if newer < 0 or (newer == 0 and distance(tcb.snd_wl2, segment.ack) < 0):
        return
    before = tcb.snd_wnd
    tcb.snd_wnd = window
    tcb.snd_wl1 = segment.seq
    tcb.snd_wl2 = segment.ack
    tcb.unanswered_probes = 0
    if window == before:
        return
    if window > tcb.max_snd_wnd:
        tcb.max_snd_wnd = window
    if not before and tcb.state not in OPENING:
        # What was sent into the closed window as a probe was thrown away: begin again there.
        tcb.persist_count = 0
        tcb.next_to_send = tcb.snd_una
    tcb.layer.mark_dirty(tcb)


def _fin_acknowledged(tcb: Connection) -> None:
    """Our FIN is acknowledged: the second half of closing."""
    state = tcb.state
    if state is State.FIN_WAIT_1:
        tcb.change(Event.RCV_ACK_OF_FIN)
        ending.start_fin_wait_2_limit(tcb)
    elif state is State.CLOSING:
        ending.enter_time_wait(tcb, Event.RCV_ACK_OF_FIN)
    elif state is State.LAST_ACK:
        ending.finish(tcb, Event.RCV_ACK_OF_FIN, "")
