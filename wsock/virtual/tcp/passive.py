# LISTEN: what a segment does that has a listener and no connection.
#
#   layer             finds the listener
# > passive           THIS FILE: LISTEN (3.10.7.2), and a SYN for a pair in TIME-WAIT
#   listener          decides who takes the connection
#
# Rule 1: the listener stays as it is; each SYN makes a connection that starts in LISTEN.
# Rule 2: a connection that nobody takes was never in a table: it leaves no trace but a counter.
#
# Sources: RFC 9293 section 3.10.7.2, 3.6.1 (MAY-2); RFC 6191.

"""Segment arrival in LISTEN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual.tcp import arrival, ending
from wsock.virtual.tcp.client import ConnectAnswer
from wsock.virtual.tcp.listener import UNCLAIMED
from wsock.virtual.tcp.segment import ACK, RST, SYN
from wsock.virtual.tcp.seq import HALF, MASK, distance
from wsock.virtual.tcp.states import Event

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tcp.layer import TcpLayer
    from wsock.virtual.tcp.listener import Listener
    from wsock.virtual.tcp.segment import Segment

#: How far a connection that reopens a pair in TIME-WAIT stays clear of the old numbers.
_REOPEN_DISTANCE: Final = 0x1_0000


def reopens(layer: TcpLayer, connection: Connection, segment: Segment) -> bool:
    """Whether a SYN may end TIME-WAIT: it is newer than all that was received (RFC 6191)."""
    if segment.flags & (SYN | ACK | RST) != SYN:
        return False
    if layer.listener_for(segment) is None:
        return False
    stamp = segment.options.timestamp
    if connection.timestamps_on and stamp is not None and stamp[0] != connection.ts_recent:
        return not (stamp[0] - connection.ts_recent) & HALF
    return distance(connection.rcv_nxt, segment.seq) > 0


def segment_in_listen(
    layer: TcpLayer, listener: Listener, segment: Segment, old: Connection | None
) -> None:
    """Process a segment in LISTEN; ``old`` is a connection in TIME-WAIT that it takes over."""
    after = None
    if old is not None:
        after = old.snd_nxt
        ending.finish(old, Event.DELETE, "a new SYN takes the pair over")
    flags = segment.flags
    if flags & ACK and not flags & RST:
        layer.reset_for(segment)
        return
    if flags & RST or not flags & SYN:
        layer.counters.count("tcp dropped in LISTEN")
        return
    local = (segment.destination, segment.destination_port)
    remote = (segment.source, segment.source_port)
    connection = layer.make(UNCLAIMED, listener.settings.copy(), local, remote)
    connection.change(Event.PASSIVE_OPEN)
    answer = listener.decide(connection)
    if isinstance(answer, ConnectAnswer):
        layer.counters.count("tcp refused" if answer is ConnectAnswer.REFUSE else "tcp backlog")
        if answer is ConnectAnswer.REFUSE or layer.profile.full_backlog == "refuse":
            layer.reset_for(segment)
        return
    connection.client = answer
    connection.listener = listener
    if after is not None and distance(after, connection.iss) <= 0:
        connection.iss = (after + _REOPEN_DISTANCE) & MASK
    arrival.take_syn(connection, segment)
    connection.change(Event.RCV_SYN)
    layer.start(connection)
    listener.began(connection)
    arrival.keep_text_of_syn(connection, segment)
