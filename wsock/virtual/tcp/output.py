# Output: what a connection makes of itself when the instant is over.
#
#   connection, arrival, expiry   change the TCB and mark it dirty
# > output                        THIS FILE: from the TCB's variables to segments
#   segment, layer                bytes, checksum; on to IP
#
# Rule 1: ``flush`` looks at the TCB alone. Nobody tells it what to send; they only change what
#         there is to be sent. So acknowledgements of one instant are one (RFC 9293 MUST-58, 59),
#         and one segment carries all that is due.
# Rule 2: what a segment demands at once (a duplicate ACK, a challenge ACK) leaves by ``send_ack``
#         during the arrival: a sender counts those one by one (RFC 5681 section 4.2).
# Rule 3: the right edge of the window never moves left (SHLD-14), and moves right only by steps
#         that are worth a segment (MUST-39).
#
# Three ways to send data: ``_send_next`` from ``next_to_send`` on, new or after a timeout once
# more; ``_resend`` one segment anywhere (fast retransmit, holes); ``_send_by_pipe`` chooses between
# these two in a SACK recovery (RFC 6675 section 5).
#
# Sources: RFC 9293 sections 3.7.4 (Nagle), 3.8.6 (windows, SWS, delayed ACKs); RFC 7323; RFC 2018.

"""Sending: data, acknowledgements, SYN, FIN, probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual.tcp.options import MAX_OPTIONS_LENGTH, Options, encode_sack, encode_timestamps
from wsock.virtual.tcp.segment import ACK, FIN, PSH, RST, SYN, URG
from wsock.virtual.tcp.seq import MASK, distance
from wsock.virtual.tcp.states import State
from wsock.virtual.tcp.tcb import OPENING
from wsock.virtual.tcp.timers import Purpose

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tcp.tcb import Tcb

#: How long SWS avoidance and a missing PUSH may hold data back: RFC 9293 section 3.8.6.2.1 allows
#: 0.1 to 1 second.
OVERRIDE_NS: Final = 200_000_000


def flush(tcb: Connection) -> None:
    """Send whatever is due."""
    if tcb.reset_owed is not None:
        _send_reset(tcb)
    state = tcb.state
    if state is State.CLOSED:
        return
    if state in OPENING:
        if tcb.syn_owed:
            _send_syn(tcb)
    else:
        sent = False
        if tcb.send_buffer.end != tcb.send_buffer.start or (
            tcb.fin_wanted and not (tcb.fin_sent and tcb.snd_una == tcb.snd_nxt)
        ):
            sent = _send_data(tcb)
        if tcb.ack_now or (not sent and _window_update_due(tcb)):
            send_ack(tcb)
    _set_resend_timer(tcb)
    tcb.timers.arm()
    if tcb.release_done is not None:
        tcb.check_release()


def send_ack(tcb: Tcb) -> None:
    """Send <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> now."""
    _emit(tcb, tcb.acceptable_seq, ACK, b"", _options(tcb))


def send_keep_alive(tcb: Tcb) -> None:
    """Send a segment that the peer must answer: SEG.SEQ = SND.NXT - 1, no data (SHLD-27)."""
    _emit(tcb, (tcb.snd_nxt - 1) & MASK, ACK, b"", _options(tcb))


def _send_reset(tcb: Tcb) -> None:
    """Send the RST of an ABORT, or of a close that lost data."""
    assert tcb.reset_owed is not None
    seq, ack = tcb.reset_owed
    tcb.reset_owed = None
    flags = RST if ack is None else RST | ACK
    tcb.layer.transmit(tcb, seq, ack or 0, flags, 0)


def _send_syn(tcb: Tcb) -> None:
    """Send SYN or SYN,ACK, again as the case may be, with the options that are offered."""
    tcb.syn_owed = False
    answering = tcb.state is State.SYN_RECEIVED
    profile = tcb.profile
    offer_timestamps = tcb.timestamps_on if answering else profile.timestamps == "offer"
    offer_scale = tcb.receive_shift >= 0
    options = Options(
        mss=tcb.rcv_mss,
        sack_permitted=tcb.sack_on if answering else profile.sack,
        timestamp=(tcb.timestamp_clock, tcb.ts_recent) if offer_timestamps else None,
        window_shift=tcb.receive_shift if offer_scale else None,
    )
    again = tcb.snd_nxt != tcb.iss
    tcb.snd_nxt = tcb.next_to_send = (tcb.iss + 1) & MASK
    if again:
        tcb.timed_end = None  # Karn: which of them is acknowledged, nobody knows
    else:
        tcb.timed_end, tcb.timed_at = tcb.snd_nxt, tcb.now
    _emit(tcb, tcb.iss, SYN | ACK if answering else SYN, b"", options.encode())


def _emit(
    tcb: Tcb, seq: int, flags: int, data: bytes | memoryview, options: bytes, urgent: int = 0
) -> None:
    """Send one segment with the window of now; everything owed to the peer goes with it."""
    if flags & SYN:
        # The window of a SYN is never scaled, and nothing has been offered before.
        tcb.rcv_wnd = _room(tcb)
        window = min(tcb.rcv_wnd, 0xFFFF)
    else:
        _advance_window(tcb)
        shift = tcb.receive_shift
        if shift > 0:
            window = (tcb.rcv_wnd + (1 << shift) - 1) >> shift
            tcb.rcv_wnd = window << shift
        else:
            window = tcb.rcv_wnd
    tcb.layer.transmit(tcb, seq, tcb.rcv_nxt, flags, window, urgent, options, data)
    if flags & ACK:
        tcb.ack_now = False
        tcb.unacked_bytes = 0
        tcb.timers.delayed_ack = None
        tcb.last_ack_sent = tcb.rcv_nxt


def _options(tcb: Tcb) -> bytes:
    """Return what every segment of this connection carries: timestamps, and SACK when due."""
    options = b""
    if tcb.timestamps_on:
        options = encode_timestamps(tcb.timestamp_clock, tcb.ts_recent)
    if tcb.sack_on and tcb.reassembly:
        limit = (MAX_OPTIONS_LENGTH - len(options) - 4) // 8
        offset = tcb.rcv_nxt - tcb.rcv_position
        options += encode_sack(
            ((start + offset) & MASK, (end + offset) & MASK)
            for start, end in tcb.reassembly.blocks(min(limit, 4))
        )
    return options


# The receive window


def _room(tcb: Tcb) -> int:
    """Return how much this side could take now."""
    if tcb.receive_room is not None:
        room = tcb.receive_room() - tcb.queue.bytes
    else:
        room = tcb.settings.receive_buffer - tcb.queue.bytes
    return max(0, min(room, 0xFFFF << max(tcb.receive_shift, 0)))


def _advance_window(tcb: Tcb) -> None:
    """Move the right edge if that gains a full segment or half the buffer (MUST-39)."""
    room = _room(tcb)
    gain = room - tcb.rcv_wnd
    if gain > 0 and gain >= min(tcb.settings.receive_buffer >> 1, tcb.rcv_mss):
        shift = max(tcb.receive_shift, 0)
        tcb.rcv_wnd = max(tcb.rcv_wnd, room >> shift << shift)


def _window_update_due(tcb: Tcb) -> bool:
    """Whether a segment is worth sending for its window alone.

    Twice the step of SWS avoidance, so that a program that reads at once causes no more segments
    than the acknowledgements that are due anyway; the single step if the peer may be stuck.
    """
    if tcb.fin_position is not None and tcb.fin_position <= tcb.rcv_position:
        return False  # nothing more can come
    half = tcb.settings.receive_buffer >> 1
    gain = _room(tcb) - tcb.rcv_wnd
    if gain >= min(half, 2 * tcb.rcv_mss):
        return gain > 0
    return tcb.rcv_wnd < tcb.rcv_mss and gain >= min(half, tcb.rcv_mss) and gain > 0


# Data


def _send_data(tcb: Tcb) -> bool:
    """Send as many segments as the windows allow; whether there was any."""
    congestion = tcb.congestion
    buffer = tcb.send_buffer
    sent = False
    if tcb.resend_first:
        tcb.resend_first = False
        una = buffer.start
        tcb.scoreboard.resent = una + _resend(tcb, una, tcb.sent_position)
        sent = True
    elif tcb.snd_nxt == tcb.snd_una and tcb.now - tcb.last_send > tcb.round_trip.rto:
        congestion.idle()
    if congestion.in_recovery and tcb.sack_on:
        return _send_by_pipe(tcb) or sent
    while _send_next(tcb, congestion.allowance()):
        sent = True
        if (tcb.next_to_send - tcb.snd_una) & MASK >= buffer.end - buffer.start + tcb.fin_wanted:
            break  # that was all there is
    tcb.force = False
    return sent


def _send_next(tcb: Tcb, allowance: int) -> bool:
    """Send the segment at ``next_to_send``, if there is one and it may go.

    Args:
      tcb: the connection.
      allowance: bytes from SND.UNA on that congestion control lets out.
    """
    buffer = tcb.send_buffer
    start = tcb.next_to_send
    resending = start != tcb.snd_nxt
    position = tcb.position(start)
    if resending and tcb.scoreboard:
        position, hole_end = tcb.scoreboard.skip(position)
        start = tcb.next_to_send = (tcb.snd_una + position - buffer.start) & MASK
    else:
        hole_end = None
    left = buffer.end - position
    if left < 0 or (left == 0 and not tcb.fin_wanted):
        return False
    ahead = position - buffer.start
    options = _options(tcb)
    mss = _segment_size(tcb, options)
    window = max(tcb.snd_wnd - ahead, 0)
    most = left if hole_end is None else min(left, hole_end - position)
    if tcb.force:
        length = min(most, mss, max(window, 1))
        fin = tcb.fin_wanted and length == left
    else:
        length = min(most, mss, window, max(allowance - ahead, 0))
        fin = tcb.fin_wanted and length == left and length < window
        if not _worth_sending(tcb, length, most, mss, position, fin):
            return False
    tcb.force = False
    _send_text(tcb, position, length, fin, options)
    end = (start + length + fin) & MASK
    if not resending and tcb.timed_end is None:
        tcb.timed_end, tcb.timed_at = end, tcb.now
    tcb.next_to_send = end
    if distance(tcb.snd_nxt, end) > 0:
        tcb.snd_nxt = end
    return True


def _segment_size(tcb: Tcb, options: bytes) -> int:
    """Return how many bytes of data fit beside these options (RFC 9293 section 3.7.1)."""
    if not options:
        return tcb.effective_mss
    return max(min(tcb.peer_mss, tcb.path_mtu - 40) - len(options), 1)


def _worth_sending(tcb: Tcb, length: int, most: int, mss: int, position: int, fin: bool) -> bool:
    """Sender's SWS avoidance and Nagle (RFC 9293 section 3.8.6.2.1, rules 1 to 3)."""
    if not length:
        return fin
    if length >= mss:
        return True
    sent = tcb.sent_position
    if position < sent:  # a resend: all of it, or at least up to what was new then
        return length >= min(most, sent - position) or position == tcb.send_buffer.start
    if fin:
        return True
    buffer = tcb.send_buffer
    if length == buffer.end - position and tcb.snd_up is not None:
        return True  # urgent data does not wait for Nagle
    if tcb.snd_nxt != tcb.snd_una and not tcb.settings.no_delay:
        return False
    if length == buffer.end - position:
        return buffer.last_push >= buffer.end
    return 2 * length >= tcb.max_snd_wnd


def _send_text(tcb: Tcb, position: int, length: int, fin: bool, options: bytes) -> None:
    """Build and send one segment of the stream, with the control bits that belong to it."""
    buffer = tcb.send_buffer
    seq = (tcb.snd_una + position - buffer.start) & MASK
    flags = ACK
    urgent = 0
    if tcb.snd_up is not None:
        urgent = distance(seq, tcb.snd_up)
        if urgent > 0:
            flags |= URG
            urgent = min(urgent, 0xFFFF)
        else:
            urgent = 0
    if length:
        data = buffer.view(position, length)
        if buffer.pushed_within(position, position + length):
            flags |= PSH
    else:
        data = b""
    if fin:
        flags |= FIN
        tcb.fin_sent = True
    tcb.last_send = tcb.now
    _emit(tcb, seq, flags, data, options, urgent)


def _resend(tcb: Tcb, position: int, hole_end: int) -> int:
    """Send one segment at ``position`` again, at most up to ``hole_end``; return its bytes."""
    buffer = tcb.send_buffer
    options = _options(tcb)
    end = min(buffer.end, hole_end, position + _segment_size(tcb, options))
    fin = tcb.fin_sent and end == buffer.end
    tcb.timed_end = None  # Karn: an acknowledgement could be of either sending
    tcb.timers.purpose = Purpose.RETRANSMIT
    tcb.timers.resend = tcb.now + tcb.round_trip.rto
    tcb.layer.counters.count("tcp retransmissions")
    _send_text(tcb, position, end - position, fin, options)
    return end - position


def _send_by_pipe(tcb: Tcb) -> bool:
    """Fill the pipe in a SACK recovery: lost holes, then new data, then other holes.

    Returns whether anything was sent.
    """
    sent = False
    congestion = tcb.congestion
    board = tcb.scoreboard
    una = tcb.send_buffer.start
    lost_before = board.lost_before(congestion.threshold, congestion.smss)
    while True:
        pipe = board.pipe(una, tcb.sent_position, lost_before)
        spare = congestion.cwnd - pipe
        if spare < congestion.smss:
            return sent
        hole = board.hole_from(board.resent)
        if hole is not None and hole[0] < lost_before:
            board.resent = hole[0] + _resend(tcb, *hole)
        elif tcb.next_to_send == tcb.snd_nxt and _send_next(tcb, tcb.flight + spare):
            pass
        elif hole is not None:
            board.resent = hole[0] + _resend(tcb, *hole)
        else:
            return sent
        sent = True


def _set_resend_timer(tcb: Tcb) -> None:
    """Run the one timer that looks after what was, or could not be, sent."""
    timers = tcb.timers
    buffer = tcb.send_buffer
    outstanding = tcb.snd_nxt != tcb.snd_una
    delay = tcb.round_trip.rto
    if outstanding and (tcb.snd_wnd or tcb.state in OPENING):
        purpose = Purpose.RETRANSMIT
    elif not (outstanding or buffer.end > buffer.start or (tcb.fin_wanted and not tcb.fin_sent)):
        timers.resend = None
        return
    elif tcb.snd_wnd:
        purpose = Purpose.OVERRIDE
        delay = OVERRIDE_NS
    else:
        purpose = Purpose.PERSIST
        delay = min(delay << tcb.persist_count, tcb.profile.maximum_rto_ns)
    if timers.resend is None or timers.purpose is not purpose:
        timers.purpose = purpose
        timers.resend = tcb.now + delay
        if purpose is Purpose.RETRANSMIT:
            if not tcb.resends:
                tcb.unanswered_since = tcb.now
            limit = tcb.settings.user_timeout_ns
            if limit is not None:
                timers.resend = min(timers.resend, tcb.unanswered_since + limit)
