# The stack: one host's Winsock.
#
#   socket           the calls                      finds its stack here
# > stack            one host's Winsock             THIS FILE: provider, open endpoints, tracer
#   afd, tdi         endpoints, transport objects   made here, counted here
#
# Rule 1: the machine itself is the default stack; a virtual host is another. Everything that two
#         hosts do not share hangs on a stack and nowhere else.
# Rule 2: a stack works through whatever provider it is given. The one import of the kernel provider
#         stands inside a function, so that a virtual network needs none of it.
# Rule 3: no Trio here: which stack is current is a context variable, which tasks inherit.
"""Stack: providers, open sockets, and who watches them."""

from __future__ import annotations

import contextvars
import socket as std
import weakref
from typing import TYPE_CHECKING, Any, Final, Literal

from . import afd, errors, tdi
from .afd import DatagramEndpoint, StreamEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from .afd import Endpoint

__all__ = ["Stack", "current_stack"]

Notifications = Literal["documented", "windows"]

#: AFD's rule for a host of that time; where the kernel keeps the bytes they bound nothing.
DEFAULT_BUFFER: Final = 8192


class Stack:
    """One host's Winsock: its transport, its open sockets, its way of notifying.

    Args:
      name: shown in traces; a host's name, else "local".
      provider: the transport; by default the machine's sockets.
      engine: how the machine's readiness is learnt, "epoll" or "waits"; by default what
        ``WSOCK_ENGINE`` says, else epoll where there is one. Only without ``provider``.
      notifications: "documented" follows Microsoft's pages, "windows" what Windows does where the
        two differ (winsock semantics, section 12). "windows" needs epoll or a virtual network.
      flush_timeout: seconds without progress after which a closed socket with bytes unsent is
        aborted (and counted in ``provider.flushes_given_up``); 60 unless the provider has another.
      exit_flush_timeout: the same at the end of the Trio run, 2; not on a virtual network, which
        ends with its run.
      receive_buffer, send_buffer: SO_RCVBUF and SO_SNDBUF of fresh sockets on providers that push.

    Raises:
      ValueError: an unknown engine or way of notifying, or one that the other excludes; a timeout
        that the provider does not have.
    """

    __slots__ = (
        "__weakref__",
        "datagram_class",
        "default_receive_buffer",
        "default_send_buffer",
        "device",
        "endpoints",
        "name",
        "opened_in_all",
        "provider",
        "stream_class",
        "windows_rules",
    )

    def __init__(
        self,
        name: str = "local",
        *,
        provider: Any = None,  # noqa: ANN401  (a tdi.Provider; the engine-only keywords differ)
        engine: str | None = None,
        notifications: Notifications = "documented",
        flush_timeout: float | None = None,
        exit_flush_timeout: float | None = None,
        receive_buffer: int = DEFAULT_BUFFER,
        send_buffer: int = DEFAULT_BUFFER,
    ) -> None:
        if notifications not in ("documented", "windows"):
            raise ValueError(
                f"Stack: notifications={notifications!r}: expected 'documented' or 'windows'"
            )
        if provider is None:
            provider = _kernel_provider(engine)
        elif engine is not None:
            raise ValueError("Stack: engine is the machine's; it does not go with a provider")
        if notifications == "windows" and getattr(provider, "engine", "") == "waits":
            raise ValueError(
                "Stack: notifications='windows' needs epoll or a virtual network: with 'waits' a "
                "release or an arrival behind unread data gives no wake-up"
            )
        _set_timeouts(provider, flush_timeout=flush_timeout, exit_flush_timeout=exit_flush_timeout)
        self.name = name
        self.provider = provider
        self.device = tdi.Device(name, provider)
        self.windows_rules = notifications == "windows"
        self.default_receive_buffer = receive_buffer
        self.default_send_buffer = send_buffer
        #: Every endpoint that is not closed yet, also those that only send their rest, by number.
        self.endpoints: dict[int, Endpoint] = {}
        self.opened_in_all = 0
        self.stream_class: type[StreamEndpoint] = StreamEndpoint
        self.datagram_class: type[DatagramEndpoint] = DatagramEndpoint
        stacks.add(self)
        for hook in new_stack_hooks:
            hook(self)

    @staticmethod
    def default() -> Stack:
        """Return the machine itself, made at its first use."""
        global _default
        if _default is None:
            _default = Stack()
        return _default

    def __repr__(self) -> str:
        return f"<Stack {self.name!r}, {len(self.endpoints)} sockets>"

    # For sockets

    def open(self, family: int, type: int, proto: int) -> StreamEndpoint | DatagramEndpoint:  # noqa: A002
        """Make an endpoint with a new file.

        Raises:
          WSAEAFNOSUPPORT, WSAESOCKTNOSUPPORT, WSAEPROTONOSUPPORT: this combination does not exist.
          WSAEMFILE, WSAENOBUFS, WSAEACCES: the system refuses.
        """
        if family not in getattr(self.provider, "families", _FAMILIES):
            raise errors.WSAEAFNOSUPPORT("socket", "", f"address family {family}")
        type, proto = _checked(type, proto)  # noqa: A001
        try:
            file = self.provider.open(family, type, proto)
        except tdi.StatusError as error:
            code = tdi.STATUS_TO_WSA.get(error.status, errors.WSAEINVAL.winerror)
            raise errors.error_class(code)("socket") from None
        return self.endpoint(family, type, proto, file)

    def endpoint(
        self,
        family: int,
        type: int,  # noqa: A002
        proto: int,
        file: Any,  # noqa: ANN401
    ) -> StreamEndpoint | DatagramEndpoint:
        """Make an endpoint around a file."""
        if type == std.SOCK_STREAM:
            return self.stream_class(self, family, proto, file)
        return self.datagram_class(self, family, proto, file, type)

    def opened(self, endpoint: Endpoint) -> None:
        """Count ``endpoint`` among the open ones."""
        self.opened_in_all += 1
        endpoint.number = self.opened_in_all
        self.endpoints[endpoint.number] = endpoint

    def given_back(self, endpoint: Endpoint) -> None:
        """Nothing of ``endpoint`` is left."""
        self.endpoints.pop(endpoint.number, None)

    def turn(self) -> bool:
        """Look once, without waiting, what has happened below; whether anything had.

        For programs that poll: an answer that means "not now" is given only after a look
        (ruling B10). Runs no user code; never a checkpoint.
        """
        looked: bool = self.provider.turn()
        return looked

    def accepted_connections(self) -> int:
        """Return how many connections that clients made to this host are not over.

        Those that were closed here and still send what they had promised count, too.
        """
        return sum(
            endpoint.pool is None
            and endpoint.connection is not None
            and not endpoint.connection.active
            for endpoint in self.endpoints.values()
        )

    # For people

    def netstat(self) -> list[dict[str, Any]]:
        """Return one dictionary per open socket: state, addresses, unread, unsent, selection."""
        return [endpoint.statistics() for endpoint in list(self.endpoints.values())]

    # For a tracer

    def attach(self, tracer: tdi.Tracer) -> None:
        """Have everything of this stack write records to ``tracer``, also what is open already."""
        tdi.attach(self.device, tracer)
        self.stream_class = afd.TracedStreamEndpoint
        self.datagram_class = afd.TracedDatagramEndpoint
        for endpoint in self.endpoints.values():
            afd.trace_endpoint(endpoint, on=True)

    def detach(self) -> None:
        """End that: the plain classes again, as if nobody had watched."""
        tdi.detach(self.device)
        self.stream_class = StreamEndpoint
        self.datagram_class = DatagramEndpoint
        for endpoint in self.endpoints.values():
            afd.trace_endpoint(endpoint, on=False)


def _kernel_provider(engine: str | None) -> Any:  # noqa: ANN401
    from .kernel import KernelProvider

    return KernelProvider(engine)


def _set_timeouts(provider: Any, **timeouts: float | None) -> None:  # noqa: ANN401
    given = {name: value for name, value in timeouts.items() if value is not None}
    for name in given:
        if not hasattr(provider, name):
            raise ValueError(f"Stack: {provider!r} has no {name}")
    for name, value in given.items():
        setattr(provider, name, value)


_default: Stack | None = None

#: Every stack there is, and who wants to hear of new ones: a monitor that watches everything.
stacks: Final[weakref.WeakSet[Stack]] = weakref.WeakSet()
new_stack_hooks: Final[list[Callable[[Stack], None]]] = []

#: The stack of the host that this task runs on; none: the machine.
current: Final[contextvars.ContextVar[Stack | None]] = contextvars.ContextVar(
    "wsock_stack", default=None
)


#: Asked where no host is current: a virtual network that runs this program may have one for that.
fallback: Callable[[], Stack | None] | None = None


def current_stack() -> Stack:
    """Return the stack that a plain ``wsock.socket()`` would use here."""
    found = current.get()
    if found is None and fallback is not None:
        found = fallback()
    return Stack.default() if found is None else found


_FAMILIES: Final = frozenset(
    family
    for name in ("AF_INET", "AF_INET6", "AF_UNIX")
    if (family := getattr(std, name, None)) is not None
)
_TYPES: Final = frozenset({std.SOCK_STREAM, std.SOCK_DGRAM, std.SOCK_RAW})
_TYPE_OF_PROTOCOL: Final = {std.IPPROTO_TCP: std.SOCK_STREAM, std.IPPROTO_UDP: std.SOCK_DGRAM}


def _checked(type: int, proto: int) -> tuple[int, int]:  # noqa: A002
    """Return type and protocol, each chosen by the other where it is 0 (winsock 10)."""
    if not type:
        type = _TYPE_OF_PROTOCOL.get(proto, std.SOCK_STREAM)  # noqa: A001
    if type not in _TYPES:
        raise errors.WSAESOCKTNOSUPPORT("socket", "", f"type {type}")
    if proto and type != std.SOCK_RAW and _TYPE_OF_PROTOCOL.get(proto) != type:
        raise errors.WSAEPROTONOSUPPORT("socket", "", f"protocol {proto} with type {type}")
    return type, proto
