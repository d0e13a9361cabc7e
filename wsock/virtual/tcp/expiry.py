# Expiry: what happens when one of a connection's deadlines comes.
#
#   timers            the deadlines
# > expiry            THIS FILE: RTO, probes, delayed ACK, keep-alive, 2 MSL, and giving up
#   output            sends what is decided here, at the end of the instant
#
# Rule 1: nothing is sent here except a keep-alive; the TCB is changed and marked dirty.
# Rule 2: R2 is the count or the time that the settings say, TCP_USER_TIMEOUT in place of both
#         (RFC 9293 section 3.8.3). A peer that answers probes of its closed window is alive, and is
#         asked for ever (MUST-37).
#
# Sources: RFC 9293 sections 3.8.3, 3.8.4, 3.8.6.1, 3.10.8; RFC 6298 section 5; RFC 5681.

"""Timeouts of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual.tcp import ending
from wsock.virtual.tcp.output import send_keep_alive
from wsock.virtual.tcp.states import Event, State
from wsock.virtual.tcp.tcb import OPENING
from wsock.virtual.tcp.timers import Purpose

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection

#: Resends after which the route is doubted (RFC 9293 MUST-20: at least 3).
R1: Final = 3


def expire(tcb: Connection) -> None:
    """Deal with every deadline that has come."""
    now = tcb.now
    timers = tcb.timers
    if timers.ending is not None and timers.ending <= now:
        _end(tcb)
        return
    if timers.delayed_ack is not None and timers.delayed_ack <= now:
        timers.delayed_ack = None
        tcb.ack_now = True
    if timers.resend is not None and timers.resend <= now:
        timers.resend = None
        if timers.purpose is Purpose.RETRANSMIT:
            _retransmit(tcb)
        elif timers.purpose is Purpose.PERSIST:
            _probe(tcb)
        else:
            tcb.force = True
            tcb.send_buffer.push_all()
    if timers.keep_alive is not None and timers.keep_alive <= now:
        _keep_alive(tcb)
    if tcb.state is not State.CLOSED:
        tcb.layer.mark_dirty(tcb)


def _end(tcb: Connection) -> None:
    """2 MSL are over, or the peer of a forgotten connection never sent its FIN."""
    if tcb.state is State.TIME_WAIT:
        ending.finish(tcb, Event.TIMEOUT_2MSL, "")
    else:
        ending.finish(tcb, Event.DELETE, "FIN-WAIT-2 limit")


def _given_up(tcb: Connection) -> bool:
    """Whether R2 is reached; if so the connection is over."""
    settings = tcb.settings
    waited = tcb.now - tcb.unanswered_since
    opening = tcb.state in OPENING
    resends = settings.syn_resends if opening else settings.data_resends
    limit = settings.syn_timeout_ns if opening else settings.data_timeout_ns
    if settings.user_timeout_ns is not None:
        resends, limit = None, settings.user_timeout_ns
    if (resends is not None and tcb.resends >= resends) or (limit is not None and waited >= limit):
        ending.time_out(tcb, f"no answer to {tcb.resends} resends in {waited / 1e9:.3f} s")
        return True
    return False


def _retransmit(tcb: Connection) -> None:
    """Retransmission timeout (RFC 9293 section 3.10.8, RFC 6298 sections 5.4 to 5.7)."""
    if tcb.syn_refused:
        tcb.syn_refused = False
        tcb.syn_owed = True
        return
    if _given_up(tcb):
        return
    tcb.resends += 1
    tcb.round_trip.back_off()
    tcb.timed_end = None  # Karn
    counters = tcb.layer.counters
    counters.count("tcp retransmissions")
    if tcb.resends == R1:
        counters.count("tcp R1 reached")
    backoff = 1 << tcb.round_trip.backoff
    tcb.remark(f"RTO {tcb.resends}, backoff x{backoff}")
    if tcb.state in OPENING:
        tcb.syn_lost = True
        tcb.syn_owed = True
        return
    tcb.congestion.time_out(tcb.flight, tcb.sent_position, first=tcb.resends == 1)
    tcb.scoreboard.clear()
    tcb.resend_first = False
    tcb.next_to_send = tcb.snd_una
    tcb.force = True


def _probe(tcb: Connection) -> None:
    """The peer's window is closed: look whether it still is (RFC 9293 MUST-36)."""
    settings = tcb.settings
    if tcb.unanswered_probes == 0:
        tcb.unanswered_since = tcb.now
    waited = tcb.now - tcb.unanswered_since
    limits = (settings.data_resends, settings.data_timeout_ns)
    too_many = limits[0] is not None and tcb.unanswered_probes >= limits[0]
    if too_many or (limits[1] is not None and waited >= limits[1]):
        ending.time_out(tcb, f"no answer to {tcb.unanswered_probes} window probes")
        return
    tcb.unanswered_probes += 1
    tcb.persist_count += 1
    tcb.timed_end = None
    tcb.next_to_send = tcb.snd_una
    tcb.force = True
    tcb.layer.counters.count("tcp window probes")


def _keep_alive(tcb: Connection) -> None:
    """Ask an idle peer whether it is there (RFC 9293 section 3.8.4)."""
    settings = tcb.settings
    timers = tcb.timers
    timers.keep_alive = None
    if not settings.keep_alive or tcb.state is State.CLOSED:
        return
    due = tcb.last_heard + settings.keep_alive_idle_ns
    if tcb.flight or tcb.now < due:  # the RTO looks after what is in flight (MUST-26)
        timers.keep_alive = max(due, tcb.now + settings.keep_alive_interval_ns)
        return
    if tcb.keep_alive_sent >= settings.keep_alive_probes:
        ending.time_out(tcb, f"no answer to {tcb.keep_alive_sent} keep-alive probes")
        return
    tcb.keep_alive_sent += 1
    timers.keep_alive = tcb.now + settings.keep_alive_interval_ns
    send_keep_alive(tcb)
