# Arrival: what a segment does to a connection, in the order of RFC 9293 section 3.10.7.
#
#   layer             finds the connection; CLOSED and LISTEN are answered there
# > arrival           THIS FILE: SYN-SENT (3.10.7.3); checks one to four of the rest (3.10.7.4)
#   acknowledgement   the fifth check
#   text              the sixth to eighth
#
# Rule 1: the order of the checks is the RFC's; each is one function with its number.
# Rule 2: a segment that fails a check changes nothing, apart from the answer that the RFC asks for.
# Rule 3: nothing here raises, whatever the segment says.
#
# Where RFC 5961 and RFC 9293 leave a choice, the defensive one: challenge ACKs, counted per second.
#
# Sources: RFC 9293 section 3.10.7; RFC 5961 sections 3, 4; RFC 1337; RFC 6191; RFC 7323 section 5.

"""Segment arrival in SYN-SENT and all later states."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from wsock.virtual.tcp import acknowledgement, ending, text
from wsock.virtual.tcp.output import send_ack
from wsock.virtual.tcp.segment import ACK, FIN, RST, SYN, URG, flags_text
from wsock.virtual.tcp.seq import HALF, MASK, distance
from wsock.virtual.tcp.states import Event, State

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tcp.segment import Segment

#: How long TS.Recent stays valid on an idle connection (RFC 7323 section 5.5).
TIMESTAMP_LIFETIME_NS = 24 * 24 * 3600 * 1_000_000_000

#: How often a bare ACK outside of the window is answered (Linux' tcp_invalid_ratelimit).
BARE_ANSWER_NS = 500_000_000

#: The smallest MSS that is believed: below it a peer could make headers of all our bandwidth.
SMALLEST_MSS = 48


def segment_arrives(tcb: Connection, segment: Segment) -> None:
    """Process a segment in any state but CLOSED and LISTEN."""
    if tcb.state is State.SYN_SENT:
        _in_syn_sent(tcb, segment)
        return
    if not (_check_with_timestamp if tcb.timestamps_on else _check_sequence)(tcb, segment):
        return
    tcb.last_heard = tcb.now
    tcb.keep_alive_sent = 0
    flags = segment.flags
    if flags & (RST | SYN):
        if flags & RST:
            _check_reset(tcb, segment)
        else:
            _check_syn(tcb, segment)
        return
    if not flags & ACK:  # fifth: "if the ACK bit is off, drop the segment"
        tcb.layer.counters.count("tcp segment without ack")
        return
    window_open = tcb.rcv_wnd > 0
    if not acknowledgement.process(tcb, segment):
        return
    if flags & URG:
        text.check_urgent(tcb, segment)
    if window_open and (flags & FIN or segment.data):
        text.process(tcb, segment)


# SYN-SENT


def _in_syn_sent(tcb: Connection, segment: Segment) -> None:
    """Process a segment in SYN-SENT (section 3.10.7.3)."""
    flags = segment.flags
    if flags & ACK and segment.ack != (tcb.iss + 1) & MASK:  # first
        if not flags & RST:
            tcb.layer.reset_for(segment)
        return
    if flags & RST:  # second; without an acceptable ACK it may be anybody's
        if flags & ACK:
            _refused(tcb)
        return
    if not flags & SYN:  # fifth
        tcb.layer.counters.count("tcp dropped in SYN-SENT")
        return
    take_syn(tcb, segment)  # fourth
    if flags & ACK:
        acknowledgement.establish(tcb, segment, Event.RCV_SYN_ACK)
        if segment.length == 1:
            # At once, not with the flush: what the application sends in this very instant goes in
            # a segment of its own, so that the handshake ends as it is always drawn, without data.
            send_ack(tcb)
        else:
            tcb.ack_now = True  # one ACK for the SYN and the text behind it
        tcb.layer.completed(tcb)
        if tcb.state is State.CLOSED:
            return
    else:
        tcb.change(Event.RCV_SYN)
        tcb.syn_owed = True
    keep_text_of_syn(tcb, segment)
    tcb.layer.mark_dirty(tcb)


def _refused(tcb: Connection) -> None:
    """An active OPEN met a RST: fail, or try again as Windows does."""
    if tcb.resets_answered < tcb.profile.syn_retries_on_reset:
        tcb.resets_answered += 1
        tcb.syn_refused = True
        tcb.timers.resend = tcb.now + tcb.profile.syn_retry_on_reset_delay_ns
        tcb.remark("rcv RST, SYN will be repeated")
        tcb.layer.mark_dirty(tcb)
        return
    ending.fail(tcb, errno.ECONNREFUSED, "rcv RST")


def take_syn(tcb: Connection, segment: Segment) -> None:
    """Note IRS and the options of a SYN, sent to a listener or to a connection in SYN-SENT."""
    tcb.irs = segment.seq
    tcb.rcv_nxt = (segment.seq + 1) & MASK
    tcb.last_ack_sent = tcb.rcv_nxt
    tcb.last_heard = tcb.now
    profile = tcb.profile
    options = segment.options
    if options.mss is not None:
        tcb.peer_mss = max(options.mss, SMALLEST_MSS)
    tcb.sack_on = options.sack_permitted and profile.sack
    if options.window_shift is not None and tcb.receive_shift >= 0:
        tcb.send_shift = options.window_shift
    else:
        tcb.send_shift = 0
        tcb.receive_shift = -1
        tcb.rcv_wnd = min(tcb.rcv_wnd, 0xFFFF)
    if options.timestamp is not None and tcb.timestamps_wanted:
        tcb.timestamps_on = True
        tcb.ts_recent = options.timestamp[0]
        tcb.ts_recent_time = tcb.now


def keep_text_of_syn(tcb: Connection, segment: Segment) -> None:
    """Keep data and FIN that came with a SYN until the connection is established."""
    if segment.data or segment.flags & FIN:
        text.hold(tcb, segment)


# The other states, checks one to four


def _check_with_timestamp(tcb: Connection, segment: Segment) -> bool:
    """First, where timestamps are in use: PAWS, the sequence, then TS.Recent (RFC 7323, 5.3)."""
    if not _check_timestamp(tcb, segment) or not _check_sequence(tcb, segment):
        return False
    _note_timestamp(tcb, segment)
    return True


def _check_timestamp(tcb: Connection, segment: Segment) -> bool:
    """PAWS (RFC 7323 section 5.3): drop what is older than what was already seen."""
    stamp = segment.options.timestamp
    if stamp is None:
        # Section 3.2: without its timestamp a segment is dropped, but a RST is processed.
        if segment.flags & RST:
            return True
        tcb.layer.counters.count("tcp timestamp missing")
        return False
    behind = (stamp[0] - tcb.ts_recent) & HALF
    valid = tcb.now - tcb.ts_recent_time <= TIMESTAMP_LIFETIME_NS
    if behind and valid and not segment.flags & RST:
        tcb.layer.counters.count("tcp paws")
        if segment.length:
            send_ack(tcb)  # never for a bare ACK: two ends would answer each other for ever
        return False
    return True


def _note_timestamp(tcb: Connection, segment: Segment) -> None:
    """Update TS.Recent from a segment that spans what was acknowledged last (section 4.3)."""
    stamp = segment.options.timestamp
    if stamp is None or (stamp[0] - tcb.ts_recent) & HALF:
        return
    if distance(segment.seq, tcb.last_ack_sent) >= 0:
        tcb.ts_recent = stamp[0]
        tcb.ts_recent_time = tcb.now


def _check_sequence(tcb: Connection, segment: Segment) -> bool:
    """First: is any of the segment inside the window (table 6)?"""
    offset = (segment.seq - tcb.rcv_nxt) & MASK
    length = segment.length
    window = tcb.rcv_wnd
    if length == 0:
        if offset < window or offset == 0:
            return True
    elif window == 0:
        # "If the RCV.WND is zero, no segments will be acceptable, but special allowance should be
        # made to accept valid ACKs, URGs, and RSTs."
        if offset == 0:
            if not segment.flags & (RST | SYN):
                send_ack(tcb)
            return True
    elif offset < window or (offset + length - 1) & MASK < window:
        return True
    _unacceptable(tcb, segment)
    return False


def _unacceptable(tcb: Connection, segment: Segment) -> None:
    """Answer a segment outside of the window by an ACK, unless it is a RST."""
    layer = tcb.layer
    if segment.flags & RST:
        layer.counters.count("tcp reset outside window")
        return
    if tcb.state is State.SYN_RECEIVED and _syn_again(tcb, segment):
        return
    if tcb.state is State.TIME_WAIT:
        end = (segment.seq + segment.length) & MASK
        if segment.flags & FIN and end == tcb.rcv_nxt:
            # Our last ACK was lost: once more, and 2 MSL from now on.
            ending.start_time_wait(tcb)
            tcb.ack_now = True
            layer.mark_dirty(tcb)
            return
    layer.counters.count("tcp segment outside window")
    end = (segment.seq + segment.length) & MASK
    if tcb.timestamps_on and (tcb.rcv_nxt - end) & MASK < tcb.settings.receive_buffer:
        # Our ACK was lost and the peer asks again. Its new timestamp must be echoed, or the sample
        # it takes from our answer is as long as its RTO was, and the RTO feeds on itself. Only
        # just left of the window, where a stranger hits as rarely as inside of it.
        _note_timestamp(tcb, segment)
    if segment.length:
        send_ack(tcb)
    else:
        _answer_bare_ack(tcb)


def _syn_again(tcb: Connection, segment: Segment) -> bool:
    """Answer a repeated SYN by the SYN,ACK that its sender waits for; whether it was one.

    A bare ACK, the answer to any other segment outside of the window, would mean nothing to it.
    """
    repeated = segment.flags & (SYN | ACK) == SYN and segment.seq == tcb.irs
    if repeated and not tcb.active:
        tcb.layer.counters.count("tcp syn repeated")
        tcb.syn_owed = True
        tcb.layer.mark_dirty(tcb)
        return True
    return False


def _answer_bare_ack(tcb: Connection) -> None:
    """Answer a bare ACK outside of the window, now and then.

    Two ends that disagree would answer each other for ever. The limit is the connection's own, not
    the host's share of challenges: a keep-alive probe is such an ACK (SHLD-27), and a thousand live
    connections that ask in one second must all be answered.
    """
    counters = tcb.layer.counters
    counters.count("tcp ack outside window")
    if tcb.now < tcb.next_bare_answer:
        counters.count("tcp answer withheld")
        return
    tcb.next_bare_answer = tcb.now + BARE_ANSWER_NS
    send_ack(tcb)


def _check_reset(tcb: Connection, segment: Segment) -> None:
    """Second: a RST counts at RCV.NXT exactly, else it is challenged (RFC 5961 section 3)."""
    if tcb.state is State.TIME_WAIT:
        tcb.layer.counters.count("tcp reset in TIME-WAIT")  # RFC 1337
        return
    if segment.seq != tcb.rcv_nxt:
        tcb.layer.challenge(tcb, "tcp reset challenged")
        return
    if tcb.state is State.SYN_RECEIVED:
        # Passive: as if the SYN had never come, the listener goes on.
        error = errno.ECONNREFUSED if tcb.active else errno.ECONNRESET
        ending.fail(tcb, error, "rcv RST")
    elif tcb.state in (State.CLOSING, State.LAST_ACK) and not len(tcb.send_buffer):
        ending.finish(tcb, Event.DELETE, "rcv RST")
    else:
        ending.fail(tcb, errno.ECONNRESET, "rcv RST")


def _check_syn(tcb: Connection, segment: Segment) -> None:
    """Fourth: a SYN in the window of a connection that exists (RFC 5961 section 4)."""
    if tcb.state is State.SYN_RECEIVED and not tcb.active:
        ending.fail(tcb, errno.ECONNRESET, "rcv " + flags_text(segment.flags))
        return
    tcb.layer.challenge(tcb, "tcp syn challenged")
