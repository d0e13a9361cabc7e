# Text: the bytes of an arriving segment, its urgent pointer and its FIN.
#
#   acknowledgement   the fifth check
# > text              THIS FILE: the sixth to eighth, and the way to the client
#   receive_buffer    what must wait
#
# Rule 1: bytes go to the client in order, each once, in the pieces in which they came. When it
#         refuses, they wait here, the window closes, and nothing is offered until it says resume.
# Rule 2: the FIN is told only when everything before it has been taken.
# Rule 3: the urgent byte leaves the stream when it is in order, also while the stream is refused:
#         that is what urgent means.
#
# Sources: RFC 9293 section 3.10.7.4, sixth to eighth; 3.8.5 (urgent); RFC 5681 section 4.2 (when an
# acknowledgement may wait); RFC 1122 section 4.2.2.13 (data after the application closed).

"""Processing of SEG.UP, the segment text and FIN."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from wsock.virtual.tcp import ending
from wsock.virtual.tcp.output import send_ack
from wsock.virtual.tcp.segment import FIN, PSH
from wsock.virtual.tcp.seq import MASK, distance
from wsock.virtual.tcp.states import Event, State
from wsock.virtual.tcp.tcb import RECEIVING

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tcp.segment import Segment


def check_urgent(tcb: Connection, segment: Segment) -> None:
    """Sixth: tell the client once for each pointer that reaches further (MUST-31, 32)."""
    if tcb.state not in RECEIVING:
        return
    pointer = (segment.seq + segment.urgent) & MASK
    ahead = distance(tcb.rcv_nxt, pointer)
    if ahead <= 0 or (tcb.rcv_up is not None and distance(tcb.rcv_up, pointer) <= 0):
        return
    tcb.rcv_up = pointer
    tcb.urgent_position = tcb.rcv_position + ahead
    tcb.client.urgent(tcb, ahead + tcb.queue.bytes)


def hold(tcb: Connection, segment: Segment) -> None:
    """Keep the text of a SYN: it counts from behind the SYN, and only once established."""
    data = segment.data[: tcb.settings.receive_buffer]
    if data:
        tcb.reassembly.insert(tcb.rcv_position, data, bool(segment.flags & PSH))
    if segment.flags & FIN and len(data) == len(segment.data):
        tcb.fin_position = tcb.rcv_position + len(data)
    if tcb.state is State.ESTABLISHED:
        take_in_order(tcb)


def process(tcb: Connection, segment: Segment) -> None:
    """Seventh and eighth: take the text and the FIN."""
    fin = bool(segment.flags & FIN)
    if tcb.state not in RECEIVING:
        if fin:
            _fin_again(tcb)
        return  # after the peer's FIN nothing can be new
    data = segment.data
    push = bool(segment.flags & PSH)
    offset = distance(tcb.rcv_nxt, segment.seq)
    if offset < 0:
        data = data[-offset:]
        offset = 0
    room = tcb.rcv_wnd - offset
    if len(data) + fin > room:
        push = push and len(data) <= room
        data = data[:room]
        fin = False
    if tcb.application_gone and data:
        tcb.layer.reset_for(segment)
        ending.fail(tcb, errno.ECONNABORTED, "data after the application closed")
        return
    if fin:
        tcb.fin_position = tcb.rcv_position + offset + len(data)
    if offset:
        if data:
            tcb.reassembly.insert(tcb.rcv_position + offset, data, push)
        send_ack(tcb)  # a duplicate ACK, at once: the sender counts them
        return
    _in_order(tcb, data, push)


def _fin_again(tcb: Connection) -> None:
    """Eighth, after the peer's FIN: a further one is acknowledged and changes no state.

    RCV.NXT stays behind the first. A FIN that is merely repeated lies left of the window and never
    comes here; this is a peer's that has lost count, and whatever it is told, it is told at once.
    """
    if tcb.state is State.TIME_WAIT:
        ending.start_time_wait(tcb)
    send_ack(tcb)


def _in_order(tcb: Connection, data: memoryview, push: bool) -> None:
    """Take bytes at RCV.NXT, then what they connect to, then the FIN."""
    count = len(data)
    if count:
        _accept(tcb, data, push)
        if tcb.state is State.CLOSED:
            return
        if count > tcb.peer_segment:
            tcb.peer_segment = count
        tcb.unacked_bytes += count
        if tcb.unacked_bytes >= 2 * tcb.peer_segment:
            tcb.ack_now = True
        elif tcb.timers.delayed_ack is None:
            tcb.timers.delayed_ack = tcb.now + tcb.profile.delayed_ack_ns
    if tcb.reassembly or tcb.fin_position is not None:
        take_in_order(tcb)
    tcb.layer.mark_dirty(tcb)


def take_in_order(tcb: Connection) -> None:
    """Take from the out-of-order store what has come in order, and the FIN behind it."""
    if tcb.reassembly:
        tcb.ack_now = True  # a gap was filled, wholly or in part
        while (piece := tcb.reassembly.take(tcb.rcv_position)) is not None:
            _accept(tcb, memoryview(piece[0]), piece[1])
            if tcb.state is State.CLOSED:
                return
    if tcb.fin_position is not None and tcb.fin_position <= tcb.rcv_position:
        _take_fin(tcb)


def _take_fin(tcb: Connection) -> None:
    """Eighth: the peer's FIN is in order."""
    state = tcb.state
    if state not in RECEIVING:
        return
    tcb.rcv_nxt = (tcb.rcv_nxt + 1) & MASK
    tcb.rcv_wnd = max(tcb.rcv_wnd - 1, 0)
    tcb.ack_now = True
    tcb.fin_received = True
    tcb.reassembly.clear()
    if state is State.FIN_WAIT_2:
        ending.enter_time_wait(tcb, Event.RCV_FIN)
    else:
        tcb.change(Event.RCV_FIN)
    tell_fin(tcb)


# To the client


def _accept(tcb: Connection, data: memoryview, push: bool) -> None:
    """Move RCV.NXT over ``data`` and hand it on, without the urgent byte."""
    start = tcb.rcv_position
    count = len(data)
    tcb.rcv_position += count
    tcb.rcv_nxt = (tcb.rcv_nxt + count) & MASK
    tcb.rcv_wnd -= count
    if tcb.discarding:
        return
    mark = tcb.urgent_position - start  # just after the urgent byte
    if not 0 < mark <= count or tcb.settings.oob_inline:
        _hand_over(tcb, data, push)
        return
    byte = bytes(data[mark - 1 : mark])
    if mark > 1:
        _hand_over(tcb, data[: mark - 1], push and mark == count)
    if tcb.state is not State.CLOSED:
        tcb.client.deliver_urgent(tcb, byte)
    if mark < count and tcb.state is not State.CLOSED:
        _hand_over(tcb, data[mark:], push)


def _hand_over(tcb: Connection, data: memoryview, push: bool) -> None:
    """Offer bytes to the client; what it does not take waits."""
    if not (tcb.refused or tcb.queue or tcb.delivering):
        tcb.delivering = True
        taken = tcb.client.deliver(tcb, data, push)
        tcb.delivering = False
        if taken == len(data):
            return
        if tcb.state is State.CLOSED or tcb.discarding:
            return
        tcb.refused = taken == 0
        data = data[taken:]
    tcb.queue.append(data, push)
    drain(tcb)


def drain(tcb: Connection, capacity: int | None = None) -> None:
    """Offer what waits until the client refuses, or until ``capacity`` bytes are gone."""
    if tcb.delivering:
        return
    tcb.delivering = True
    while tcb.queue and not tcb.refused:
        data, push = tcb.queue.first()
        if capacity is not None and len(data) > capacity:
            data, push = data[:capacity], False
        taken = tcb.client.deliver(tcb, data, push) if data else 0
        if not tcb.queue:  # the client dropped it all meanwhile
            break
        tcb.queue.consume(taken)
        tcb.refused = taken == 0
        if capacity is not None:
            capacity -= taken
    tcb.delivering = False
    tell_fin(tcb)


def tell_fin(tcb: Connection) -> None:
    """Tell the client of the FIN, once, when nothing stands before it any more."""
    waiting = tcb.queue or tcb.refused or tcb.delivering
    if tcb.fin_received and not (tcb.fin_told or waiting or tcb.state is State.CLOSED):
        tcb.fin_told = True
        tcb.client.peer_closed(tcb)
