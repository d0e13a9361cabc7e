# Endings: every way in which a connection stops being one.
#
# Rule 1: a TCB leaves the layer's table here and nowhere else, together with its timers and bytes.
# Rule 2: the client hears one last upcall: ``failed`` before the handshake was done, ``reset`` when
#         something was lost, ``closed`` when both sides ended in order. After its own ABORT: none.
#
# Sources: RFC 9293 sections 3.6, 3.10.5 (ABORT), 3.10.7.4; RFC 5461 (soft errors).

"""Ends of connections: TIME-WAIT, resets, failures."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from wsock.virtual.tcp.states import Event, State
from wsock.virtual.tcp.tcb import OPENING

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection


def delete(connection: Connection, event: Event, cause: str) -> None:
    """Forget the connection; tells nobody."""
    connection.change(event, cause)
    connection.timers.stop()
    connection.send_buffer.clear()
    connection.reassembly.clear()
    connection.scoreboard.clear()
    connection.release_done = None
    connection.layer.remove(connection)


def fail(connection: Connection, error: int, cause: str) -> None:
    """End the connection with an error: ``failed`` in the handshake, ``reset`` after it."""
    opening = connection.state in OPENING
    delete(connection, Event.DELETE, cause)
    connection.error = error
    if opening:
        connection.client.failed(connection, error)
    else:
        connection.client.reset(connection, error)


def time_out(connection: Connection, cause: str) -> None:
    """Give up (R2): ETIMEDOUT, or the reason that ICMP gave for it meanwhile."""
    fail(connection, connection.soft_error or errno.ETIMEDOUT, cause)


def finish(connection: Connection, event: Event, cause: str) -> None:
    """End the connection in order: both FINs are acknowledged, or nobody waits any more."""
    delete(connection, event, cause)
    connection.client.closed(connection)


def enter_time_wait(connection: Connection, event: Event) -> None:
    """Keep the pair of addresses for 2 MSL, and nothing else."""
    connection.change(event)
    timers = connection.timers
    timers.resend = timers.keep_alive = None
    start_time_wait(connection)
    connection.send_buffer.clear()


def start_time_wait(connection: Connection) -> None:
    """Begin, or begin anew, to wait for 2 MSL."""
    connection.timers.ending = connection.now + connection.profile.time_wait_ns


def start_fin_wait_2_limit(connection: Connection) -> None:
    """Do not wait for ever for the FIN of a peer that nobody listens to any more."""
    limit = connection.profile.fin_wait_2_ns
    if connection.state is State.FIN_WAIT_2 and connection.application_gone and limit is not None:
        connection.timers.ending = connection.now + limit


def owe_reset(connection: Connection) -> None:
    """Have the next flush send <SEQ=SND.NXT><CTL=RST> (RFC 9293 section 3.10.5)."""
    connection.reset_owed = (connection.acceptable_seq, connection.rcv_nxt)
    connection.layer.mark_dirty(connection)
