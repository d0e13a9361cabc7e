# What a socket does without moving data: names, options, selections, the end.
#
#   async_socket     on_receive ...                 has a Socket
# > socket           the calls                      THIS FILE: the calls that never wait
#   afd              endpoints                      asked by every one of them
#
# Rule 1: nothing here is a checkpoint.
# Rule 2: addresses are the standard library's tuples here, packed below. Plain functions take
#         numeric addresses alone; names are resolved by the calls that may wait (ruling B15).
# Rule 3: a socket is tied to a Trio run by its first wait, selection or registration (ruling B16).
"""The part of Socket that controls: bind, listen, options, selections, close."""

from __future__ import annotations

import socket as std
import warnings
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self

import trio

from . import _handles, _hints, afd, errors
from ._socket_waiting import RestWaiter
from .constants import FD, FD_ALL_EVENTS, FIONBIO, FIONREAD, SIOCATMARK
from .tdi import addresses

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ._event import Event
    from ._socket_waiting import Waiter
    from ._stack import Stack
    from ._window import Window

__all__ = ["NetworkEvents", "NotificationState", "SocketControl"]


#: ``send_all_nowait`` refuses once more than this would be unsent.
MAX_UNSENT: Final = 1 << 20


class NetworkEvents(NamedTuple):
    """What WSAEnumNetworkEvents took: the events, and each one's error code (0 for success)."""

    events: FD
    errors: dict[FD, int]


class NotificationState(NamedTuple):
    """Where one event of one socket stands; a row of ``Socket.notifications()``.

    ``state`` is

    * "idle": armed. It is reported as soon as it is selected and its condition holds;
    * "posted": reported, and not taken yet: its message is in the queue, or it is recorded for
      ``enum_network_events``;
    * "disabled": reported and taken. ``re_enabled_by`` says which call arms it again.

    ``last_posted`` is when it was last posted (or recorded), in the seconds of
    ``trio.current_time``. It is noted with ``WSOCK_HINTS=1`` alone, since noting it would cost
    every message something; else it is None, as for an event that was never posted.
    """

    event: FD
    selected: bool
    condition: bool
    state: Literal["idle", "posted", "disabled"]
    re_enabled_by: str
    last_posted: float | None


class SocketControl:
    """The calls of a socket that never wait."""

    __slots__ = (
        "__weakref__",
        "_busy",
        "_endpoint",
        "_receive_trap",
        "_receiver",
        "data",
        "handler",
        "max_unsent",
    )

    def __init__(self, endpoint: Any) -> None:  # noqa: ANN401
        self._endpoint = endpoint
        #: Which directions a task waits on, and whether the transport reports to this run.
        self._busy = 0
        #: A slot for the program; None at first.
        self.data: Any = None
        #: Who serves this socket's messages under ``Window.run()``: an AsyncSocket, or None.
        self.handler: Any = None
        self.max_unsent = MAX_UNSENT
        #: Who waits to receive, and what a wait yields: made at the first wait, and kept.
        self._receiver: Waiter | None = None
        self._receive_trap: Any = None

    # What it is

    @property
    def stack(self) -> Stack:
        """The host that it lives on."""
        return self._endpoint.host  # type: ignore[no-any-return]

    @property
    def family(self) -> int:
        """The address family, as in the standard library."""
        return self._endpoint.family  # type: ignore[no-any-return]

    @property
    def type(self) -> int:
        """The type, as in the standard library."""
        return self._endpoint.type  # type: ignore[no-any-return]

    @property
    def proto(self) -> int:
        """The protocol, as in the standard library."""
        return self._endpoint.protocol  # type: ignore[no-any-return]

    @property
    def state(self) -> str:
        """OPEN, BOUND, LISTENING, CONNECTING, CONNECTED, CLOSING or CLOSED."""
        return self._endpoint.state  # type: ignore[no-any-return]

    @property
    def closed(self) -> bool:
        """Whether this socket was closed (or detached) here."""
        return bool(self._endpoint.attention & afd.RELEASED)

    @property
    def unsent(self) -> int:
        """Bytes accepted by sends and not yet with the system."""
        return self._endpoint.unsent  # type: ignore[no-any-return]

    @property
    def _has_send_room(self) -> bool:
        """Whether earlier sends leave room for another one; the system is not asked."""
        return bool(self._endpoint.unsent <= self._endpoint.send_limit)

    def _owe_send_room(self) -> None:
        """Have FD_WRITE told when there is room again, as a send that was refused does."""
        self._endpoint.owe_room()

    @property
    def handle(self) -> int:
        """The SOCKET number in this Trio run: a multiple of 4, given at first use, never reused."""
        return _handles.handle_of(self)

    def fileno(self) -> int:
        """Return the descriptor (on a virtual network a number that stands for one); -1 closed."""
        return -1 if self.closed else int(self._endpoint.file.number())

    def __repr__(self) -> str:
        endpoint = self._endpoint
        if self.closed:
            return f"<Socket {endpoint.state}>"
        local, remote = endpoint.shown_addresses()
        parts = [endpoint.state, local or "unbound"]
        if remote:
            parts.append(f"<-> {remote}")
        if endpoint.unsent:
            parts.append(f"{endpoint.unsent} bytes unsent")
        return f"<Socket {' '.join(parts)}>"

    # Names

    def bind(self, address: Any) -> None:  # noqa: ANN401
        """Give the socket a local address; port 0 and host 0.0.0.0 leave the choice to the system.

        Args:
          address: ``(host, port)`` with a numeric host; "" is the wildcard.

        Raises:
          WSAEINVAL: bound already, or no numeric address. WSAEADDRINUSE, WSAEACCES,
          WSAEADDRNOTAVAIL, WSAEFAULT, WSAENOTSOCK.
        """
        endpoint = self._endpoint
        endpoint.check_open("bind")
        endpoint.bind(endpoint.packed("bind", _with_wildcard(endpoint.family, address)))

    def listen(self, backlog: int = 128) -> None:
        """Wait for connections: ``backlog`` connection objects (1 to 200) are made at once.

        The kernel gets the backlog as given. Again: only the pool is adjusted.

        Raises:
          WSAEINVAL: not bound. WSAEISCONN: connected. WSAEOPNOTSUPP: a datagram socket.
        """
        endpoint = self._endpoint
        endpoint.check_open("listen")
        if not isinstance(endpoint, afd.StreamEndpoint):
            raise errors.WSAEOPNOTSUPP("listen", endpoint.state, "a datagram socket")
        endpoint.listen(backlog)
        if _in_trio():
            endpoint.tie()

    def defer_accepting(self, delay: Callable[[], float] | None) -> None:
        """Leave connections to other processes that share this listening socket, for a moment.

        The kernel tells all of them of each connection, and the first to come takes it: one that is
        idle gets nearly all. With this a busy one can stand back.

        Args:
          delay: called before a connection is taken from the system; returns for how many seconds
            the others may take it instead, 0 for not at all. After that it is taken if it is still
            there. None: no longer. On a virtual network it is never called.

        Raises:
          WSAEINVAL: not listening. WSAENOTSOCK: the socket is closed.
        """
        self._listening("defer_accepting").defer_accepting(delay)

    def _listening(self, call: str) -> Any:  # noqa: ANN401
        endpoint = self._endpoint
        endpoint.check_open(call)
        if endpoint.pool is None:
            raise errors.WSAEINVAL(call, endpoint.state, "the socket is not listening")
        return endpoint

    def stop_accepting(self) -> int:
        """Take no further connection from the system, and go on with those that were taken.

        For a server that ends, or hands its listening socket to its successor: closing the socket
        would reset a connection that was taken from the system and not yet accepted. What waits in
        the kernel's queue stays for other processes that hold the same listening socket; a virtual
        host refuses new clients. ``listen`` again takes connections again.

        Returns:
          how many connections wait still for ``accept``.

        Raises:
          WSAEINVAL: not listening. WSAENOTSOCK: the socket is closed.
        """
        return int(self._listening("stop_accepting").stop_accepting())

    def getsockname(self) -> Any:  # noqa: ANN401
        """Return the local address; WSAEINVAL while the socket is not bound."""
        return addresses.unpack(self._endpoint.family, self._endpoint.getsockname())

    def getpeername(self) -> Any:  # noqa: ANN401
        """Return the peer's address, also after a reset; WSAENOTCONN without one."""
        return addresses.unpack(self._endpoint.family, self._endpoint.getpeername())

    # Options

    def setsockopt(self, level: int, option: int, value: int | bytes | tuple[int, int]) -> None:
        """Set an option, by the standard library's numbers, with Winsock's meaning.

        SO_LINGER takes ``struct.pack("ii", on, seconds)`` or the tuple; SO_RCVTIMEO and SO_SNDTIMEO
        take milliseconds and bound the waiting calls (WSAETIMEDOUT). SO_EXCLUSIVEADDRUSE and
        SO_DONTLINGER are wsock's.

        Raises:
          WSAENOPROTOOPT: unknown or read only. WSAEINVAL, WSAEFAULT: the value does not fit.
        """
        afd.set_option(self._endpoint, level, option, value)

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        """Return an option: as it was set, not as the system rounds it. SO_LINGER is 8 bytes."""
        return afd.get_option(self._endpoint, level, option, size)

    def ioctl(self, command: int, value: int = 0) -> int:
        """ioctlsocket: FIONBIO, FIONREAD or SIOCATMARK.

        Returns:
          FIONREAD: bytes that can be received now. SIOCATMARK: 1 unless urgent data is unread
          ahead. FIONBIO: 0.

        Raises:
          WSAEINVAL: FIONBIO 0 while a selection is in force, SIOCATMARK on a datagram socket.
          WSAEOPNOTSUPP: another command.
        """
        endpoint = self._endpoint
        endpoint.check_open("ioctlsocket")
        if command == FIONBIO:
            if not value and endpoint.mask:
                raise errors.WSAEINVAL("ioctlsocket", endpoint.state, "a selection is in force")
            endpoint.nonblocking = bool(value)
            return 0
        if command == FIONREAD:
            return int(endpoint.unread())
        if command == SIOCATMARK:
            if not isinstance(endpoint, afd.StreamEndpoint):
                raise errors.WSAEINVAL("ioctlsocket", endpoint.state, "datagrams have no mark")
            return int(endpoint.at_mark())
        raise errors.WSAEOPNOTSUPP("ioctlsocket", endpoint.state, f"command {command:#x}")

    # Selections

    def async_select(self, window: Window | None, message: int, events: int) -> None:
        """WSAAsyncSelect: have ``events`` of this socket posted to ``window`` as ``message``.

        Replaces any earlier selection. What holds already is posted now. ``events`` 0 cancels
        (then ``window`` may be None). The socket becomes nonblocking.

        Raises:
          WSAEINVAL: events without a window, a window that has ended, or a bit that is no event
          (FD_ALL_EVENTS has them all). TypeError: another object than a Window, or than an int.
          WSAENOTSOCK. The selection there was stays in force.
        """
        self._select("WSAAsyncSelect", window, message, events)

    def event_select(self, event: Event | None, events: int) -> None:
        """WSAEventSelect: record ``events`` of this socket and set ``event`` when one happens.

        Replaces any earlier selection; ``events`` 0 cancels (then ``event`` may be None). The
        socket becomes nonblocking. ``enum_network_events`` takes what was recorded.

        Raises:
          WSAEINVAL: events without an event object, or a bit that is no event. TypeError: another
          object than an Event, or than an int. WSAENOTSOCK. The selection there was stays in force.
        """
        self._select("WSAEventSelect", event, 0, events)

    def _select(self, call: str, target: Any, message: int, events: int) -> None:  # noqa: ANN401
        endpoint = self._endpoint
        endpoint.check_open(call)
        check_selection(call, endpoint.state, target, message, events)
        if not _in_trio():
            raise RuntimeError(f"{call}: call it from the thread of a Trio run, inside that run")
        endpoint.tie()
        endpoint.nonblocking = True
        endpoint.select(target, message, events, self if events else None)

    def enum_network_events(self, event: Event | None = None) -> NetworkEvents:
        """WSAEnumNetworkEvents: take what was recorded since the last time.

        Args:
          event: is reset at the same moment, also if it is another one than the selected.

        Raises:
          WSAENOTSOCK: the socket is closed. TypeError: ``event`` is no Event. Then nothing is taken
          or reset.
        """
        endpoint = self._endpoint
        if endpoint.attention:
            endpoint.check_open("WSAEnumNetworkEvents")
        elif event is None or event is not endpoint.target:
            endpoint.check_thread("WSAEnumNetworkEvents")
        if event is not None:
            try:
                event.reset()  # first: it looks at the thread, too, and may refuse
            except AttributeError:
                raise _no_target("WSAEnumNetworkEvents", event) from None
        events, codes = endpoint.enumerate_events()
        if codes is None:
            return NetworkEvents(_FLAGS[events], _SUCCESSES[events].copy())
        return NetworkEvents(_FLAGS[events], {_FLAGS[bit]: codes[bit] for bit in codes})

    @property
    def _record(self) -> afd.Notifier:
        """What decides which notification is due: the endpoint, or what encrypts above it."""
        return self._endpoint  # type: ignore[no-any-return]

    def notifications(self) -> list[NotificationState]:
        """Say for each event where it stands: why is no message coming?

        Looks and takes nothing; re-enables nothing. Never a checkpoint. ``WSOCK_HINTS=1`` has the
        answer printed when a window goes idle while an event waits for its re-enabling call.

        Returns:
          One row per event; see ``NotificationState``.
        """
        record = self._record
        return [
            NotificationState(
                FD(bit),
                selected,
                condition,
                state,
                afd.RE_ENABLED_BY[bit],
                _hints.last_reported(record, bit),
            )
            for bit, selected, condition, state in record.notification_states()
        ]

    # The end

    def shutdown(self, how: int) -> None:
        """End sending (SD_SEND 1: after what was accepted), receiving (SD_RECEIVE 0), both (2).

        Raises:
          WSAENOTCONN: not connected. WSAEINVAL: another direction. WSAENOTSOCK.
        """
        self._endpoint.shutdown(how)

    def close(self) -> None:
        """closesocket: never waits, never fails (but in a foreign thread); closing twice is fine.

        What was accepted by sends is still sent (SO_LINGER with seconds bounds that; with 0
        seconds the connection is reset). Who waits on this socket gets WSAEINTR.
        """
        endpoint = self._endpoint
        if not endpoint.attention & afd.RELEASED:
            if endpoint.file.thread != get_ident():
                endpoint.check_thread("closesocket")
            waiters = endpoint.send_waiters
            if waiters and any(isinstance(waiter, RestWaiter) for waiter in waiters):
                endpoint.interrupt_send()
            endpoint.close()

    def reset(self) -> None:
        """Close with a reset, as SO_LINGER with 0 seconds does: what is unsent is dropped."""
        endpoint = self._endpoint
        if not endpoint.attention & afd.RELEASED:
            endpoint.check_thread("closesocket")
            endpoint.close(abort=True)

    def detach(self) -> int:
        """Give the open descriptor away; this socket is closed.

        Raises:
          WSAEINVAL: bytes are unsent. WSAENOTSOCK: closed already.
        """
        return int(self._endpoint.give_away())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: object,  # not type[BaseException]: here ``type`` is the property
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> str:
        raise TypeError("a Socket belongs to a process and a Trio run; it does not pickle")

    def __del__(self) -> None:
        try:
            endpoint = self._endpoint
        except AttributeError:  # a subclass's __init__ has failed
            return
        if endpoint.attention & afd.RELEASED:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        close_collected(endpoint)


#: Every combination of events, made once: ``FD(n)`` costs 0.5 us.
_FLAGS: Final = tuple(FD(value) for value in range(64))

#: And the error codes where all of them succeeded.
_SUCCESSES: Final = tuple(dict.fromkeys(flags, 0) for flags in _FLAGS)

#: Bits of ``_busy``: which directions a task waits on.
RECEIVING: Final = 1
SENDING: Final = 2
#: The transport has been asked to report to this Trio run.
TIED: Final = 8


#: Who is told by which call: the ``kind`` of the target, and what it is called.
_TARGETS: Final = {
    "WSAAsyncSelect": ("message", "a Window"),
    "WSAEventSelect": ("event", "an Event"),
    "WSAEnumNetworkEvents": ("event", "an Event"),
}


def _no_target(call: str, target: object) -> TypeError:
    return TypeError(f"{call}: {_TARGETS[call][1]} is expected, not {target!r}")


def check_selection(call: str, state: str, target: Any, message: int, events: int) -> None:  # noqa: ANN401
    """Raise for what WSAAsyncSelect or WSAEventSelect (``call``) cannot do.

    Raises:
      WSAEINVAL: events without a target, a target that has ended, a bit that is no event.
      TypeError: a target of another kind, or a number that is none.
    """
    for name, number in (("message", message), ("events", events)):
        if not isinstance(number, int):
            raise TypeError(f"{call}: {name} is expected as an int, not {number!r}")
    if events & ~FD_ALL_EVENTS:
        text = f"events {events:#x}: FD_ bits within {FD_ALL_EVENTS:#x} are expected"
        raise errors.WSAEINVAL(call, state, text)
    if target is None:
        if events:
            raise errors.WSAEINVAL(call, state, "events are selected, but nobody is told")
    elif getattr(target, "kind", None) != _TARGETS[call][0]:
        raise _no_target(call, target)
    elif getattr(target, "closed", False):
        raise errors.WSAEINVAL(call, state, f"{target!r} has ended")


def close_collected(endpoint: Any) -> None:  # noqa: ANN401
    """Close an endpoint whose socket nobody refers to; in the loop's thread (ruling B16)."""
    reactor = getattr(endpoint.file, "reactor", None)
    token = getattr(reactor, "token", None)
    if token is None or _is_current(token):
        endpoint.close()
        return
    try:
        token.run_sync_soon(endpoint.close)
    except trio.RunFinishedError:
        endpoint.close()


def _is_current(token: trio.lowlevel.TrioToken) -> bool:
    try:
        return trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        return False


def _in_trio() -> bool:
    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        return False
    return True


def _with_wildcard(family: int, address: Any) -> Any:  # noqa: ANN401
    """Read an empty host as the wildcard, as the standard library does."""
    if isinstance(address, tuple) and address and address[0] == "":
        host = "::" if family == std.AF_INET6 else "0.0.0.0"
        return (host, *address[1:])
    return address
