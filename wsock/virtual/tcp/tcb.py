# The transmission control block: everything TCP knows of one connection.
#
#   connection        user calls, on top of this
#   arrival, output   what segments do to it, what it makes of itself
# > tcb               THIS FILE: the variables of RFC 9293, and the one way to change the state
#   buffers           bytes by offset; the TCB maps offsets to sequence numbers
#
# Rule 1: names are the RFC's (section 3.3.1). Where the RFC has one variable and an implementation
#         needs two, the RFC's name keeps the RFC's meaning: ``snd_nxt`` is the highest sequence
#         number in use and never goes back; ``next_to_send`` does, after a timeout.
# Rule 2: ``change`` is the only place that sets ``state``; it walks states.TRANSITIONS and writes
#         the trace.
# Rule 3: nothing here emits, waits, or calls the client.

"""The TCB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual.tcp.congestion import Congestion
from wsock.virtual.tcp.options import TIMESTAMPS_LENGTH
from wsock.virtual.tcp.receive_buffer import Reassembly, ReceiveQueue
from wsock.virtual.tcp.round_trip import RoundTrip
from wsock.virtual.tcp.scoreboard import Scoreboard
from wsock.virtual.tcp.send_buffer import SendBuffer
from wsock.virtual.tcp.seq import MASK, distance
from wsock.virtual.tcp.states import TRANSITIONS, Event, State, StateChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.layers import FlushKey
    from wsock.virtual.profile import TcpProfile
    from wsock.virtual.tcp.client import TcpClient
    from wsock.virtual.tcp.layer import TcpLayer
    from wsock.virtual.tcp.listener import Listener
    from wsock.virtual.tcp.settings import TcpSettings
    from wsock.virtual.tcp.timers import TcbTimers

#: The send MSS of a peer that named none (RFC 9293 MUST-15).
DEFAULT_MSS: Final = 536
#: Lines of a trace after which only changes of state are added: a connection that loses a packet
#: every second for a day should not fill the memory with remarks.
TRACE_LIMIT: Final = 1_000
#: IP and TCP headers without options.
FIXED_HEADERS: Final = 40
#: No path is narrower, so that a lying ICMP message cannot make segments vanish (RFC 791).
MINIMUM_MTU: Final = 68

#: The states in which a FIN of ours has been asked for.
CLOSED_BY_USER: Final = frozenset(
    {State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSING, State.LAST_ACK, State.TIME_WAIT}
)
#: The states in which the peer may still send data.
RECEIVING: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
#: The states in which both SYNs have been acknowledged.
SYNCHRONIZED: Final = frozenset(State) - {
    State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED,
}  # fmt: skip
#: The states before them.
OPENING: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})


class Tcb:
    """The variables of one connection. The calls are in its subclass Connection."""

    timers: TcbTimers
    flush_key: FlushKey

    __slots__ = (  # noqa: RUF023 (by subject, like the methods below)
        # Who
        "active", "client", "flush_key", "key", "layer", "listener", "local", "local_port",
        "profile", "remote", "remote_port", "scheduler", "settings", "state", "trace",
        # Send sequence space
        "iss", "next_to_send", "snd_nxt", "snd_una", "snd_up", "snd_wl1", "snd_wl2", "snd_wnd",
        "max_snd_wnd", "send_shift", "send_buffer", "fin_sent", "fin_wanted", "release_done",
        "send_waits",
        # Receive sequence space
        "irs", "rcv_nxt", "rcv_up", "rcv_wnd", "receive_shift", "rcv_position", "reassembly",
        "queue", "fin_position", "urgent_position", "refused", "delivering", "fin_received",
        "fin_told", "application_gone", "discarding", "receive_room",
        # Segment sizes and options
        "path_mtu", "peer_mss", "peer_segment", "rcv_mss", "sack_on", "scoreboard",
        "timestamps_on", "ts_offset", "ts_recent", "ts_recent_time", "last_ack_sent",
        # Round trips, loss, congestion
        "congestion", "round_trip", "timed_at", "timed_end", "resends", "unanswered_since",
        "syn_lost", "syn_refused", "resets_answered", "last_send", "force", "resend_first",
        "persist_count", "unanswered_probes", "soft_error",
        # Acknowledgements, timers, ends
        "ack_now", "syn_owed", "unacked_bytes", "timers", "last_heard", "keep_alive_sent",
        "next_bare_answer", "reset_owed",
    )  # fmt: skip

    def __init__(
        self,
        layer: TcpLayer,
        client: TcpClient,
        settings: TcpSettings,
        local: tuple[bytes, int],
        remote: tuple[bytes, int],
    ) -> None:
        self.layer = layer
        self.scheduler = layer.scheduler
        self.profile: TcpProfile = layer.profile
        self.client = client
        self.settings = settings
        self.listener: Listener | None = None
        self.local, self.local_port = local
        self.remote, self.remote_port = remote
        self.key = (self.local, self.local_port, self.remote, self.remote_port)
        #: whether this side sent the first SYN of its own accord.
        self.active = False
        self.state = State.CLOSED
        self.trace: list[StateChange] = []
        self._clear_send()
        self._clear_receive()
        self._clear_options()
        self._clear_loss()
        self._clear_ends()

    def _clear_send(self) -> None:
        self.iss = 0
        self.snd_una = self.snd_nxt = self.next_to_send = 0
        self.snd_wnd = self.snd_wl1 = self.snd_wl2 = self.max_snd_wnd = 0
        #: SND.UP: just after the last urgent byte; None while nothing is urgent.
        self.snd_up: int | None = None
        self.send_shift = 0
        self.send_buffer = SendBuffer()
        self.fin_wanted = False
        self.fin_sent = False
        self.release_done: Callable[[], object] | None = None
        self.send_waits = False  # a send found no room

    def _clear_receive(self) -> None:
        self.irs = 0
        self.rcv_nxt = self.rcv_wnd = 0
        #: RCV.UP; None while nothing is urgent.
        self.rcv_up: int | None = None
        self.receive_shift = 0
        self.rcv_position = 0  # RCV.NXT as an offset in the stream
        self.reassembly = Reassembly()
        self.queue = ReceiveQueue()
        self.fin_position: int | None = None  # where the peer's FIN stands
        self.urgent_position = -1  # just after the urgent byte, as an offset
        self.refused = False
        self.delivering = False
        self.fin_received = False
        self.fin_told = False
        #: closed for good: bytes that come now are answered by RST.
        self.application_gone = False
        #: receiving was shut down: bytes are acknowledged and thrown away.
        self.discarding = False
        self.receive_room: Callable[[], int] | None = None

    def _clear_options(self) -> None:
        self.path_mtu = DEFAULT_MSS + FIXED_HEADERS
        self.peer_mss = DEFAULT_MSS
        #: RMSS: what the MSS option of this side says.
        self.rcv_mss = DEFAULT_MSS
        #: what a full segment of the peer seems to be: the longest yet, for delayed ACKs.
        self.peer_segment = DEFAULT_MSS
        self.sack_on = False
        self.scoreboard = Scoreboard()
        self.timestamps_on = False
        self.ts_offset = 0
        self.ts_recent = 0
        self.ts_recent_time = 0
        self.last_ack_sent = 0

    def _clear_loss(self) -> None:
        profile = self.profile
        self.congestion = Congestion(
            profile.initial_window_segments, profile.duplicate_ack_threshold
        )
        self.round_trip = RoundTrip(profile)
        #: the segment being timed: where it ends, and when it was sent (Karn).
        self.timed_end: int | None = None
        self.timed_at = 0
        self.resends = 0
        self.unanswered_since = 0
        self.syn_lost = False
        self.syn_refused = False  # a RST came, and the SYN will be sent again
        self.resets_answered = 0
        self.last_send = 0
        self.force = False  # send one segment whatever the windows and Nagle say
        self.resend_first = False  # fast retransmit: the segment at SND.UNA again
        self.persist_count = 0
        self.unanswered_probes = 0
        self.soft_error = 0

    def _clear_ends(self) -> None:
        self.ack_now = False
        self.syn_owed = False
        self.unacked_bytes = 0  # received since the last ACK
        self.last_heard = 0
        self.next_bare_answer = 0
        self.keep_alive_sent = 0
        self.reset_owed: tuple[int, int | None] | None = None

    @property
    def now(self) -> int:
        """The time of the event being run, nanoseconds."""
        return self.scheduler.now

    def change(self, event: Event, cause: str = "") -> None:
        """Follow ``event``; write the trace. The cause defaults to the event's name."""
        old = self.state
        self.state = TRANSITIONS[old][event]
        self.trace.append(StateChange(self.now, old, self.state, cause or event.value))

    def remark(self, text: str) -> None:
        """Write a line into the trace that is no change of state, if there is room."""
        if len(self.trace) >= TRACE_LIMIT:
            return
        self.trace.append(StateChange(self.now, self.state, self.state, text))

    @property
    def flight(self) -> int:
        """FlightSize: sequence numbers sent and not acknowledged."""
        return (self.snd_nxt - self.snd_una) & MASK

    @property
    def acceptable_seq(self) -> int:
        """SND.NXT, or the right edge of the peer's window where a probe has gone past it.

        A peer drops an empty segment from beyond its window, and with it the ACK that it carries.
        """
        edge = (self.snd_una + self.snd_wnd) & MASK
        if self.state not in OPENING and distance(edge, self.snd_nxt) > 0:
            return edge
        return self.snd_nxt

    @property
    def sent_position(self) -> int:
        """SND.NXT as an offset in the send stream (a FIN counts as one byte)."""
        return self.send_buffer.start + self.flight

    def position(self, seq: int) -> int:
        """Return a sequence number from SND.UNA on as an offset in the send stream."""
        return self.send_buffer.start + ((seq - self.snd_una) & MASK)

    @property
    def effective_mss(self) -> int:
        """Eff.snd.MSS: bytes of data in a full segment (RFC 9293 section 3.7.1)."""
        mss = min(self.peer_mss, self.path_mtu - FIXED_HEADERS)
        return mss - TIMESTAMPS_LENGTH if self.timestamps_on else mss

    @property
    def unsent(self) -> int:
        """Bytes of data that have not been sent once."""
        if self.state in OPENING:
            return len(self.send_buffer)
        return max(self.send_buffer.end - self.sent_position, 0)

    @property
    def timestamp_clock(self) -> int:
        """TSval: milliseconds, from an offset of this connection (RFC 7323 section 5.4)."""
        return (self.ts_offset + self.now // 1_000_000) & MASK
