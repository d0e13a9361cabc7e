# The endpoint: what Winsock knows of one socket, whatever its type.
#
#   window, event    messages, event objects        who is told, and how
#   socket           recv, send, accept             where tasks wait; the only caller of this layer
# > afd              state, buffers, FD_ record     THIS FILE: what stream and datagram share
#   tdi              addresses, connections         asked by requests, heard through handlers
#
# Rule 1: nothing here waits. A caller that must wait leaves a plain callable with ``wait_...`` and
#         is called once when it is worth looking again; waiters are served first come, first
#         served (ruling B5).
# Rule 2: a failed call raises the WSAError of Winsock; what tdi and the transport say
#         (StatusError, OSError) never leaves this layer.
# Rule 3: errno, descriptors and epoll are below, tasks are above; neither has a name here.
#
# Memory: an idle connection of a server is one Socket, one StreamEndpoint, one connection object
# and one file, so what most sockets never use (options, codes, buffers) is None until used.
"""The base of stream and datagram endpoints."""

from __future__ import annotations

import socket as std
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Protocol

from .. import errors
from ..constants import (
    FD_ACCEPT,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    SO_EXCLUSIVEADDRUSE,
)
from ..tdi import STATUS_TO_WSA, EventKind, Status, StatusError, addresses
from .notify import Notifier
from .states import NOT_CONNECTED, OPEN, RELEASED, RUN_OVER, TRANSITIONS

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from ..tdi import AddressObject, Device
    from .states import State, Trigger

__all__ = ["RECEIVABLE", "SENDABLE", "Endpoint", "EndpointHost", "Watcher"]

FD_READ_OOB: Final = FD_READ | FD_OOB

#: What a receive may be asked for. (MSG_DONTROUTE means nothing to it; the C face takes it.)
RECEIVABLE: Final = int(std.MSG_PEEK | std.MSG_OOB | std.MSG_WAITALL | std.MSG_DONTROUTE)

#: What a send may be asked for.
SENDABLE: Final = int(std.MSG_OOB | std.MSG_DONTROUTE)


class EndpointHost(Protocol):
    """What an endpoint asks of the stack that it lives on."""

    device: Device
    windows_rules: bool
    #: Bytes that a fresh socket may have unread before flow control (eager providers).
    default_receive_buffer: int
    default_send_buffer: int

    def opened(self, endpoint: Endpoint) -> None:
        """``endpoint`` exists: count it and show it in netstat."""

    def given_back(self, endpoint: Endpoint) -> None:
        """Nothing of ``endpoint`` is left, neither here nor in the transport."""

    def turn(self) -> bool:
        """Look once, without waiting, what has happened below; whether anything had."""


class Watcher:
    """A waiter that only looks (select): it is told, and whoever waits behind it is told too.

    Args:
      wake: a plain callable; called at most once for each time that this is entered.
    """

    __slots__ = ("wake",)

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake

    def __call__(self) -> None:
        """Tell."""
        self.wake()


class Endpoint(Notifier):
    """State and notification record of one socket.

    Args:
      host: the stack.
      family, protocol: of the socket, in the standard library's numbers.
      file: the transport's half.
    """

    __slots__ = (
        "address",
        "attention",
        "connection",
        "family",
        "file",
        "host",
        "nonblocking",
        "number",
        "options",
        "pool",
        "protocol",
        "readable",
        "reset_code",
        "rx",
        "rx_count",
        "send_limit",
        "send_waiters",
        "socket_error",
        "state",
        "timed",
        "told_unread",
        "unsent",
        "urgent",
        "waiters",
    )

    type: ClassVar[int]

    # Any: see ConnectionObject; a None check for every message would be paid by everyone.
    connection: Any
    file: Any

    def __init__(self, host: EndpointHost, family: int, protocol: int, file: Any) -> None:  # noqa: ANN401
        Notifier.__init__(self)  # (``super()`` costs 500 instructions in CPython 3.11)
        self.host = host
        #: Which socket of its host, in the order of opening, from 1; the host's to set.
        self.number = 0
        self.family = family
        self.protocol = protocol
        self.file = file
        self.address: AddressObject | None = None
        self.connection = None
        self.state: State = OPEN
        self.attention = NOT_CONNECTED
        self.nonblocking = False
        #: Worth a system call: false only after a short read or a would-block (design 3).
        self.readable = True
        #: Bytes accepted and not yet done with below.
        self.unsent = 0
        #: A send is taken while ``unsent`` is not above this.
        self.send_limit = 0
        self.rx: deque[Any] | None = None
        self.rx_count = 0
        #: How much was unread when FD_READ was last recorded for an event object (Windows' rules).
        self.told_unread = 0
        #: Urgent bytes taken from a transport that would lose them to a normal read.
        self.urgent = b""
        self.waiters: list[Any] | None = None
        self.send_waiters: list[Any] | None = None
        #: Why the connection is reset, as a WSA code; 0 while it is not.
        self.reset_code = 0
        #: SO_ERROR: the reason of a failed nonblocking connect.
        self.socket_error: int = 0
        self.options: dict[tuple[int, int], Any] | None = None
        #: Whether SO_RCVTIMEO or SO_SNDTIMEO was ever set; asked by each waiting call.
        self.timed = False
        #: The places of a listening socket.
        self.pool: Any = None
        host.opened(self)

    def __repr__(self) -> str:
        local, remote = self.shown_addresses()
        peer = f" <-> {remote}" if remote else ""
        return f"<{type(self).__name__} {self.state} {local or 'unbound'}{peer}>"

    # States

    def step(self, trigger: Trigger) -> None:
        """Walk one step of TRANSITIONS."""
        self.state = TRANSITIONS[self.state, trigger]

    def check_open(self, call: str) -> None:
        """Raise WSAENOTSOCK once the application has closed the socket.

        Raises RuntimeError where the Trio run that moved the socket's bytes is over, and in another
        thread than that run's. (A ``recv`` or ``send`` on a connected stream with nothing unusual
        about it does not come here: a look costs 0.12 us, and an echoed message would have two.)
        """
        attention = self.attention
        if attention & RELEASED:
            raise errors.WSAENOTSOCK(call, self.state, "the socket is closed")
        if attention & RUN_OVER:
            raise RuntimeError(f"{call}: the Trio run that this socket belonged to has ended")
        thread = self.file.thread
        if thread and thread != get_ident():
            self._refuse_thread(call)

    def check_thread(self, call: str) -> None:
        """Raise RuntimeError in another thread than that of the run which moves the bytes."""
        thread = self.file.thread
        if thread and thread != get_ident():
            self._refuse_thread(call)

    def _refuse_thread(self, call: str) -> NoReturn:
        raise RuntimeError(
            f"{call}: this socket belongs to the thread of its Trio run; from other threads "
            "only window.post, window.post_quit and event.set may be called"
        )

    def check_receive_flags(self, call: str, flags: int) -> None:
        """Raise WSAEINVAL for a flag that no receive knows (recv page)."""
        if flags & ~RECEIVABLE:
            text = f"flags {flags:#x}: MSG_PEEK, MSG_OOB or MSG_WAITALL is expected"
            raise errors.WSAEINVAL(call, self.state, text)

    def check_send_flags(self, call: str, flags: int) -> None:
        """Raise WSAEINVAL for a flag that no send knows (send page)."""
        if flags & ~SENDABLE:
            text = f"flags {flags:#x}: MSG_OOB or MSG_DONTROUTE is expected"
            raise errors.WSAEINVAL(call, self.state, text)

    def failure(self, call: str, error: StatusError | Status | OSError) -> errors.WSAError:
        """Return the WSAError for what the transport answered."""
        if isinstance(error, OSError):
            code = errors.code_from_errno(error.errno or 0)
        else:
            status = error.status if isinstance(error, StatusError) else error
            code = STATUS_TO_WSA.get(status, errors.WSAEINVAL.winerror)
        return errors.error_class(code)(call, self.state)

    @property
    def turn(self) -> Callable[[], bool]:
        """The transport's ``turn``: equal for all sockets of one stack."""
        return self.host.device.provider.turn

    def asked_in_vain(self) -> None:
        """Tell a transport that pushes of an answer "not now" which it had no part in.

        A virtual network must know of programs that poll: they never let idleness come.
        """
        if self.host.device.provider.eager:
            self.host.turn()

    def forget_urgent(self) -> None:
        """The transport need not look for urgent data any more."""
        self.file.watch_urgent(on=False)

    # Options

    @property
    def windows_rules(self) -> bool:
        """Whether notifications follow Windows where that differs from its pages."""
        return self.host.windows_rules

    @property
    def reuse(self) -> bool:
        """SO_REUSEADDR."""
        return bool(self.option(std.SOL_SOCKET, std.SO_REUSEADDR))

    @property
    def exclusive(self) -> bool:
        """SO_EXCLUSIVEADDRUSE."""
        return bool(self.option(std.SOL_SOCKET, SO_EXCLUSIVEADDRUSE))

    @property
    def linger(self) -> int | None:
        """SO_LINGER: None is off, else seconds."""
        if self.options is None:
            return None
        return self.options.get((std.SOL_SOCKET, std.SO_LINGER))

    def option(self, level: int, option: int) -> Any:  # noqa: ANN401
        """Return the value that the program set for an option, 0 if it set none."""
        return self.options.get((level, option), 0) if self.options is not None else 0

    # Addresses

    def packed(self, call: str, address: Any) -> bytes:  # noqa: ANN401
        """Return ``address`` packed, or raise what Winsock answers to a bad one."""
        try:
            return addresses.pack(self.family, address)
        except (TypeError, ValueError, OverflowError) as error:
            reason = addresses.why_bad(address, error)
            raise errors.WSAEFAULT(
                call, self.state, f"{address!r} is no address: {reason}"
            ) from None
        except OSError:
            raise errors.WSAEINVAL(
                call,
                self.state,
                f"{address!r} is no numeric address of this family; await wsock.resolve(...) first",
            ) from None

    def bind(self, local: bytes, *, implicit: bool = False) -> None:
        """Open an address object and register the handlers (bind; fact S0-10).

        ``implicit``: connect or sendto needs some address; the transport may choose later.
        """
        self.check_open("bind")
        if self.state != OPEN:
            raise errors.WSAEINVAL("bind", self.state, "the socket is bound already")
        address = self.host.device.open_address(self.file, self.protocol_type(), self.family)
        try:
            address.create(local, reuse=self.reuse, exclusive=self.exclusive, implicit=implicit)
        except StatusError as error:
            raise self.bind_failure(error.status, local) from None
        self.address = address
        for kind, handler in self.handlers():
            address.set_event_handler(kind, handler)
        address.query_information()
        self.step("bind")

    def open_existing_address(self) -> None:
        """Make the address object of a file that is bound already (adopting)."""
        address = self.host.device.open_address(self.file, self.protocol_type(), self.family)
        address.adopt()
        address.owner = self
        self.address = address
        for kind, handler in self.handlers():
            address.set_event_handler(kind, handler)
        address.query_information()
        self.step("bind")

    def bind_failure(self, status: Status, local: bytes) -> errors.WSAError:
        """Return the WSAError of a refused address; its text says which one.

        A port in use that this socket would share, but its holder would not, is WSAEACCES. A path
        where no file can be made is no address of this host.
        """
        if status == Status.ADDRESS_ALREADY_EXISTS and self.reuse:
            status = Status.ACCESS_DENIED
        if status == Status.OBJECT_NAME_NOT_FOUND:
            status = Status.INVALID_ADDRESS
        refusal = type(self.failure("bind", status))
        return refusal("bind", self.state, addresses.show(self.family, local))

    def handlers(self) -> tuple[tuple[EventKind, Callable[..., Any]], ...]:
        """The event handlers to register on an address, in order."""
        return ()

    def protocol_type(self) -> int:
        """The protocol of the address object: TCP and UDP are named by the socket's type."""
        return self.type

    def getsockname(self) -> bytes:
        """Return the packed local address; WSAEINVAL while there is none."""
        self.check_open("getsockname")
        if self.state == OPEN:
            raise errors.WSAEINVAL("getsockname", self.state, "the socket is not bound")
        return self.local_address()

    def local_address(self) -> bytes:
        """Return the packed local address as the transport knows it, ``b""`` for none."""
        if self.connection is not None and self.connection.local:
            return self.connection.local  # type: ignore[no-any-return]
        try:
            local: bytes = self.file.local_address()
        except OSError:  # the transport forgot it: after a reset, say
            return self.address.local if self.address is not None else b""
        if self.connection is not None:
            self.connection.local = local
        return local

    def peer_address(self) -> bytes:
        """Return the packed peer address, ``b""`` for none."""
        return b""

    def shown_addresses(self) -> tuple[str, str]:
        """Return local and peer address as text, for people."""
        local = b"" if self.state == OPEN else self.local_shown()
        return addresses.show(self.family, local), addresses.show(self.family, self.peer_address())

    def local_shown(self) -> bytes:
        """The local address without asking anything that may fail."""
        try:
            return self.local_address()
        except (OSError, StatusError):
            return b""

    # Who waits

    def wait_receive(self, waiter: Any, *, first: bool = False) -> None:  # noqa: ANN401
        """Have ``waiter`` called once when a receive (or an accept) is worth another try."""
        queue = self.waiters
        if queue is None:
            queue = self.waiters = []
        if first:
            queue.insert(0, waiter)
        else:
            queue.append(waiter)

    def wait_send(self, waiter: Any, *, first: bool = False) -> None:  # noqa: ANN401
        """Have ``waiter`` called once when a send is worth another try, or a connect has ended."""
        queue = self.send_waiters
        if queue is None:
            queue = self.send_waiters = []
        if first:
            queue.insert(0, waiter)
        else:
            queue.append(waiter)

    def forget_waiter(self, waiter: Any) -> None:  # noqa: ANN401
        """``waiter`` does not want to be called any more (it was cancelled)."""
        for queue in (self.waiters, self.send_waiters):
            if queue is not None and waiter in queue:
                queue.remove(waiter)
        self._drop_empty_queues()

    def _drop_empty_queues(self) -> None:
        if not self.waiters:
            self.waiters = None
        if not self.send_waiters:
            self.send_waiters = None

    def wake_receiver(self) -> bool:
        """Call the first waiting receiver; whether there was one. Watchers before it are told."""
        queue = self.waiters
        if queue is None:
            return False
        while queue:
            waiter = queue.pop(0)
            if not queue:
                self.waiters = None
            waiter()
            if waiter.__class__ is not Watcher:
                return True
        return False

    def wake_sender(self) -> bool:
        """Call the first waiting sender; whether there was one. Watchers before it are told."""
        queue = self.send_waiters
        if queue is None:
            return False
        while queue:
            waiter = queue.pop(0)
            if not queue:
                self.send_waiters = None
            waiter()
            if waiter.__class__ is not Watcher:
                return True
        return False

    def wake_all(self) -> None:
        """Call everybody: closed, reset, or the peer is gone."""
        while (self.waiters is not None and self.wake_receiver()) or (
            self.send_waiters is not None and self.wake_sender()
        ):
            pass

    # Conditions, as far as every type has them

    def condition(self, bit: int) -> bool:
        """Whether what ``bit`` stands for is true now."""
        if self.attention & RELEASED:
            return False
        if bit == FD_READ:
            return self.can_receive()
        if bit == FD_CLOSE:
            return self.is_closed_by_peer()
        if bit == FD_WRITE:
            return self.can_send()
        if bit == FD_CONNECT:
            return self.connect_code >= 0
        if bit == FD_OOB:
            return self.has_urgent()
        return bit == FD_ACCEPT and self.pool is not None and bool(self.pool.pending)

    def close_code(self) -> int:
        """The error code of FD_CLOSE: for a reset Windows says aborted, its page says reset."""
        if self.reset_code == errors.WSAECONNRESET.winerror and self.windows_rules:
            return errors.WSAECONNABORTED.winerror
        return self.reset_code

    def select_state(self) -> tuple[bool, bool, bool]:
        """Whether select would put this socket into its read, write and except set (winsock 10)."""
        return False, False, False

    def can_receive(self) -> bool:
        """FD_READ's condition."""
        return False

    def can_send(self) -> bool:
        """FD_WRITE's condition at a selection: connected (or a datagram socket) with room."""
        return False

    def send_buffer_changed(self) -> None:
        """SO_SNDBUF was set."""

    def owe_room(self) -> None:
        """A send was refused for lack of room: FD_WRITE is owed from now on."""
        self.armed |= FD_WRITE
        self.record &= ~FD_WRITE

    def has_urgent(self) -> bool:
        """FD_OOB's condition."""
        return False

    def is_closed_by_peer(self) -> bool:
        """FD_CLOSE's condition."""
        return False

    def fills(self) -> tuple[int, int, int, int]:
        """Bytes buffered for receiving and sending, free and pending places of the pool."""
        pool = self.pool
        if pool is None:
            return self.rx_count, self.unsent, 0, 0
        return self.rx_count, self.unsent, len(pool.free), len(pool.pending)

    def vanish(self) -> None:
        """The host lost its power: closed, without a word to the transport."""
        if self.attention & RELEASED:
            return
        self.attention |= RELEASED
        if self.target is not None:
            self.deselect()
        self.wake_all()
        self.host.given_back(self)

    def on_run_over(self) -> None:
        """The Trio run that moved the bytes has ended: close works, all else is an error (B16)."""
        self.attention |= RUN_OVER

    # What the transport says of the address as a whole

    def on_error(self, status: Status) -> None:
        """TDI_EVENT_ERROR: by default it concerns nobody."""

    def give_back_address(self) -> None:
        """This endpoint is done with its address; the last user ends the object (NOTES R10)."""
        address, self.address = self.address, None
        if address is None:
            return
        address.users -= 1
        if address.users == 0:
            for kind, _ in self.handlers():
                address.set_event_handler(kind, None)
            address.cleanup()

    def tie(self) -> bool:
        """Have the transport report from now on: a wait or a selection needs it (B16).

        Returns whether there was anything to ask.
        """
        if self.state == OPEN:
            return False
        self.file.register()
        return True

    def finish(self) -> None:
        """The last step: nothing of this endpoint is left below."""
        self.step("given back")
        if self.waiters is not None or self.send_waiters is not None:
            self.wake_all()
        self.host.given_back(self)

    def statistics(self) -> dict[str, Any]:
        """Return what netstat shows of this endpoint."""
        local, remote = self.shown_addresses()
        unread = 0
        if self.state not in {OPEN, "CLOSED", "LISTENING"}:
            unread = self.unread()
        return {
            "state": self.state,
            "local": local,
            "remote": remote,
            "unread": unread,
            "unsent": self.unsent,
            "mask": self.mask,
            "target": self.target.kind if self.target is not None else None,
            "receive_waiters": len(self.waiters or ()),
            "send_waiters": len(self.send_waiters or ()),
        }

    def unread(self) -> int:
        """Return how many bytes could be received now (FIONREAD)."""
        return self.rx_count
