# Connections: the user calls of RFC 9293 section 3.10, as thin plain functions.
#
#   tdi face          TDI_SEND, TDI_DISCONNECT ... over these
# > connection        THIS FILE: SEND, RECEIVE, CLOSE, ABORT, STATUS
#   tcb               the variables;  output, arrival, expiry: what is done with them
#
# Rule 1: no call emits and none waits. It changes the TCB, marks it dirty, and returns an errno (0
#         for success): only the layer above knows which exception that is.
# Rule 2: OPEN is the layer's (``TcpLayer.connect``, ``TcpLayer.listen``): it needs the port table.

"""The user interface of a TCP connection."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from wsock.virtual.layers import PROTOCOL_TCP
from wsock.virtual.tcp import ending, expiry, output, text
from wsock.virtual.tcp.seq import MASK
from wsock.virtual.tcp.states import Event, State
from wsock.virtual.tcp.tcb import CLOSED_BY_USER, OPENING, SYNCHRONIZED, Tcb
from wsock.virtual.tcp.timers import TcbTimers

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.tcp.client import TcpClient
    from wsock.virtual.tcp.layer import TcpLayer
    from wsock.virtual.tcp.settings import TcpSettings


class TcbStatus(NamedTuple):
    """STATUS: a connection's variables at one moment. Times are nanoseconds, sizes bytes."""

    state: State
    local: tuple[bytes, int]
    remote: tuple[bytes, int]
    snd_una: int
    snd_nxt: int
    snd_wnd: int
    snd_up: int | None
    snd_wl1: int
    snd_wl2: int
    iss: int
    rcv_nxt: int
    rcv_wnd: int
    rcv_up: int | None
    irs: int
    smss: int
    rmss: int
    cwnd: int
    ssthresh: int
    flight_size: int
    srtt: int | None
    rttvar: int
    rto: int
    resends: int
    #: bytes queued and not sent; sent and not acknowledged; received and not taken; out of order.
    unsent: int
    unacknowledged: int
    unread: int
    out_of_order: int
    error: int


class Connection(Tcb):
    """One TCP connection. Made by the layer; used by whoever is its client."""

    __slots__ = ("error", "timestamps_wanted", "urgent_waiting")

    def __init__(
        self,
        layer: TcpLayer,
        client: TcpClient,
        settings: TcpSettings,
        local: tuple[bytes, int],
        remote: tuple[bytes, int],
    ) -> None:
        super().__init__(layer, client, settings, local, remote)
        #: why the connection failed: an errno, 0 while it has not.
        self.error = 0
        #: whether timestamps are used if the peer's SYN offers them too.
        self.timestamps_wanted = True
        #: the urgent byte that came before anybody had accepted the connection.
        self.urgent_waiting = b""
        self.flush_key = (layer.name, PROTOCOL_TCP, *self.key)
        self.timers = TcbTimers(layer.scheduler, layer.owner, self._expire)

    def _expire(self) -> None:
        expiry.expire(self)

    def flush(self) -> None:
        """Send what is due. The network's to call, when the instant is over."""
        output.flush(self)

    # SEND

    def send(
        self,
        data: bytes | bytearray | memoryview,
        *,
        push: bool = True,
        urgent: bool = False,
        on_done: Callable[[], object] | None = None,
    ) -> int:
        """Queue ``data``, all of it or nothing.

        Args:
          data: ``bytes`` are kept by reference, any other buffer is copied.
          push: the send ends here: its last segment carries PSH. Without it TCP may wait for more,
            at most the override timeout of 0.2 s.
          urgent: the urgent pointer will stand behind the last byte.
          on_done: called when the last byte is acknowledged; never, if the connection fails first.

        Returns:
          0, or EWOULDBLOCK (no room: nothing was taken, ``send_possible`` will follow), EPIPE
          (closed by this side), ENOTCONN, or the errno with which the connection failed: that one
          once, then EPIPE (RFC 9293 MUST-47).
        """
        problem = self._send_problem()
        if problem:
            return problem
        if not self.writable:
            self.send_waits = True
            return errno.EWOULDBLOCK
        buffer = self.send_buffer
        buffer.append(data, push, on_done)
        if urgent and data:
            unsent_from = self.snd_una if self.state not in OPENING else self.iss + 1
            self.snd_up = (unsent_from + len(buffer)) & MASK
        self.layer.mark_dirty(self)
        return 0

    def unsend(self, count: int) -> int:
        """Take back as much as never went out of the last ``count`` bytes that were queued.

        Returns:
          how many bytes were taken back.
        """
        buffer = self.send_buffer
        sent = buffer.start if self.state in OPENING else self.sent_position
        offset = max(sent, buffer.end - count)
        if self.fin_wanted or offset >= buffer.end:
            return 0
        dropped = buffer.cut(offset)
        if self.snd_up is not None:
            self.snd_up = None if not len(buffer) else (self.snd_up - dropped) & MASK
        return dropped

    def _send_problem(self) -> int:
        """Return why nothing may be sent, or 0."""
        if self.error:
            error, self.error = self.error, errno.EPIPE
            return error
        if self.state in (State.CLOSED, State.LISTEN):
            return errno.ENOTCONN
        if self.fin_wanted or self.state in CLOSED_BY_USER:
            return errno.EPIPE
        return 0

    @property
    def writable(self) -> bool:
        """Whether a ``send`` would be taken, as far as room goes."""
        settings = self.settings
        if settings.send_buffer is not None and len(self.send_buffer) >= settings.send_buffer:
            return False
        low_water = settings.not_sent_low_water
        return low_water is None or self.unsent < low_water

    # RECEIVE

    def resume(self, capacity: int | None = None) -> None:
        """Offer again what waits; to be called once the client that refused has room.

        Args:
          capacity: how many bytes may be handed over by this call; if more wait, they go on
            waiting for the next one. None: as many as the client takes.
        """
        self.refused = False
        self.layer.mark_dirty(self)  # the window may open
        text.drain(self, capacity)

    def window_changed(self) -> None:
        """Say that ``receive_room`` or the receive buffer has grown: the peer may be told."""
        self.layer.mark_dirty(self)

    def stop_receive(self) -> None:
        """Throw away what waits and what will come; the peer may go on sending."""
        self.discarding = True
        self.queue.clear()
        self.refused = False
        self.layer.mark_dirty(self)
        text.tell_fin(self)

    def attach(self, client: TcpClient) -> None:
        """Hand the connection, as it is, to another client; what waits is offered to it."""
        self.client = client
        if self.urgent_waiting:
            urgent, self.urgent_waiting = self.urgent_waiting, b""
            client.deliver_urgent(self, urgent)
        self.resume()
        if self.state is State.CLOSED:
            client.reset(self, self.error or errno.ECONNABORTED)

    # CLOSE, ABORT

    def close(
        self,
        *,
        final: bool = False,
        unread: int = 0,
        on_done: Callable[[], object] | None = None,
    ) -> int:
        """CLOSE: no more will be sent. What is queued goes out first, then the FIN.

        Args:
          final: the application is gone for receiving too: data that comes now is answered by RST,
            and the profile's limit for FIN-WAIT-2 holds. May follow an earlier plain close.
          unread: received bytes that the client holds and the application never read. With those,
            or with bytes waiting here, ``final`` resets the connection if the profile says so.
          on_done: called when all sends are acknowledged and the FIN is out.

        Returns:
          0, or ENOTCONN when there is no connection (any more).
        """
        if self.state is State.CLOSED:
            return errno.ENOTCONN
        if final and self._close_for_good(unread):
            return 0
        if self.fin_wanted:
            return 0
        if self.state is State.SYN_SENT:
            ending.delete(self, Event.CLOSE, "")
            return 0
        self.fin_wanted = True
        self.release_done = on_done
        self.send_buffer.push_all()
        if self.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            self.change(Event.CLOSE)
        self.layer.mark_dirty(self)
        return 0

    def _close_for_good(self, unread: int) -> bool:
        """Note that nobody reads any more; whether that ended the connection by a RST."""
        unread += self.queue.bytes
        self.application_gone = True
        self.queue.clear()
        self.refused = False
        ending.start_fin_wait_2_limit(self)
        self.layer.mark_dirty(self)
        if unread and self.profile.reset_on_unread_data and self.state in SYNCHRONIZED:
            ending.owe_reset(self)
            ending.delete(self, Event.DELETE, f"CLOSE with {unread} bytes unread")
            return True
        return False

    def abort(self) -> int:
        """ABORT: forget everything and reset the peer. No upcall follows.

        Returns:
          0, or ENOTCONN when there is no connection (any more).
        """
        state = self.state
        if state is State.CLOSED:
            return errno.ENOTCONN
        done = state in (State.CLOSING, State.LAST_ACK, State.TIME_WAIT)
        if state is not State.SYN_SENT and not (done and not len(self.send_buffer)):
            ending.owe_reset(self)
        ending.delete(self, Event.DELETE, "ABORT")
        self.error = errno.ECONNABORTED
        return 0

    def check_release(self) -> None:
        """Run what waits for the release: all is acknowledged, and the FIN is out."""
        if self.release_done is not None and self.fin_sent and not len(self.send_buffer):
            on_done, self.release_done = self.release_done, None
            on_done()

    # Settings

    def start_keep_alive(self) -> None:
        """Begin to watch an idle peer, if the settings say so; call after changing them."""
        if self.settings.keep_alive and self.state in SYNCHRONIZED:
            self.timers.keep_alive = self.now + self.settings.keep_alive_idle_ns
        else:
            self.timers.keep_alive = None
        self.layer.mark_dirty(self)

    # STATUS

    @property
    def available(self) -> int:
        """Bytes in order that wait here because the client refused them."""
        return self.queue.bytes

    def status(self) -> TcbStatus:
        """Return the variables as they are now."""
        round_trip = self.round_trip
        return TcbStatus(
            self.state, (self.local, self.local_port), (self.remote, self.remote_port),
            self.snd_una, self.snd_nxt, self.snd_wnd, self.snd_up, self.snd_wl1, self.snd_wl2,
            self.iss, self.rcv_nxt, self.rcv_wnd, self.rcv_up, self.irs, self.effective_mss,
            self.rcv_mss, self.congestion.cwnd, self.congestion.ssthresh, self.flight,
            round_trip.srtt, round_trip.rttvar, round_trip.rto, self.resends, self.unsent,
            min(self.flight, len(self.send_buffer)), self.queue.bytes, self.reassembly.bytes,
            self.error,
        )  # fmt: skip

    def __repr__(self) -> str:
        def text_of(address: bytes, port: int) -> str:
            return f"{'.'.join(map(str, address))}:{port}"

        arrow = "->" if self.active else "<-"
        ends = f"{text_of(*self.key[:2])} {arrow} {text_of(*self.key[2:])}"
        return f"<Connection {self.state} {ends}, {self.queue.bytes} bytes unread>"
