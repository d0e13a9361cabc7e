# Making sockets: new ones, listening ones, and those that exist already.
#
#   __init__         the public names
# > socket making    THIS FILE: functions that return a Socket, or speak of all of them
#   socket           Socket                         what they make
#
# Rule 1: whatever fails here leaves nothing open.
"""Functions that make sockets."""

from __future__ import annotations

import logging
import socket as std
from typing import TYPE_CHECKING, Any, Final

from . import _handles, _stack, afd, errors
from ._socket import Socket

if TYPE_CHECKING:
    from ._stack import Stack
    from ._window import Message

__all__ = ["create_server", "from_stdlib_socket", "netstat", "reset_client", "socket"]

_logger: Final = logging.getLogger("wsock")


def socket(
    family: int = std.AF_INET,
    type: int = std.SOCK_STREAM,  # noqa: A002
    proto: int = 0,
    *,
    fileno: int | None = None,
    stack: Stack | None = None,
) -> Socket:
    """Make a socket, in the standard library's numbers.

    Args:
      family, type, proto: as in ``socket.socket``; 0 as type or protocol takes the other's.
      fileno: adopt this open descriptor (family, type and protocol are then its own).
      stack: the host to live on; by default the current one (``with host:``), else the machine.

    Raises:
      WSAEAFNOSUPPORT, WSAESOCKTNOSUPPORT, WSAEPROTONOSUPPORT: there is no such socket.
      WSAEMFILE, WSAENOBUFS: out of descriptors or memory. WSAENOTSOCK: ``fileno`` is no socket.
      WSAEINVAL: a Socket has ``fileno`` already. A ``fileno`` that is refused stays open.
    """
    if stack is None:
        stack = _stack.current_stack()
    if fileno is not None:
        return _adopt(stack, fileno)
    return Socket(stack.open(int(family), int(type), int(proto)))


def create_server(
    address: Any,  # noqa: ANN401
    *,
    family: int = std.AF_INET,
    backlog: int = 128,
    stack: Stack | None = None,
) -> Socket:
    """Make a stream socket that is bound to ``address`` and listens; as in the standard library.

    Raises:
      WSAEADDRINUSE, WSAEADDRNOTAVAIL, WSAEACCES, WSAEINVAL: as ``bind``; nothing is left open.
    """
    sock = socket(family, std.SOCK_STREAM, stack=stack)
    try:
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def reset_client(error: Exception, message: Message) -> None:
    """Serve ``Window.run`` as ``on_error``: one client's failure ends that client alone.

    A would-block (a message that came true and was served meanwhile) is no failure. A listening
    socket is kept. Every other socket is reset; a reset or a close by the peer is logged at level
    INFO, anything else at ERROR with its traceback, to the logger "wsock".
    """
    sock = message.socket
    if sock is None or isinstance(error, errors.WSAEWOULDBLOCK):
        return
    if isinstance(error, errors.WSAError):
        _logger.info("%r: %s", sock, error)
    else:
        _logger.error("%r: what served it raised", sock, exc_info=error)
    if sock.state != "LISTENING" and not sock.closed:
        sock.reset()


def from_stdlib_socket(sock: std.socket, *, stack: Stack | None = None) -> Socket:
    """Take over a socket of the standard library: bound, listening or connected as it is.

    ``sock`` is detached, once all has gone well: it must not be used afterwards.

    Raises:
      As ``socket`` with ``fileno``; then ``sock`` is as it was.
    """
    if stack is None:
        stack = _stack.current_stack()
    adopted = _adopt(stack, sock.fileno())
    sock.detach()
    return adopted


_FAMILIES: Final = {std.AF_INET, std.AF_INET6, getattr(std, "AF_UNIX", std.AF_INET)}


def _adopt(stack: Stack, descriptor: int) -> Socket:
    """Take over a descriptor; whatever fails leaves it open, and the caller's."""
    try:
        probe = std.socket(fileno=descriptor)
    except (OSError, ValueError) as error:  # ValueError: a negative number
        raise errors.WSAENOTSOCK("socket", "", f"descriptor {descriptor}: {error}") from None
    family, kind, proto = int(probe.family), int(probe.type), probe.proto
    probe.detach()
    if family not in _FAMILIES:
        raise errors.WSAEAFNOSUPPORT("socket", "", f"descriptor {descriptor}: family {family}")
    if kind not in (std.SOCK_STREAM, std.SOCK_DGRAM):
        raise errors.WSAESOCKTNOSUPPORT("socket", "", f"descriptor {descriptor}: type {kind}")
    if any(endpoint.file.number() == descriptor for endpoint in stack.endpoints.values()):
        raise errors.WSAEINVAL("socket", "", f"descriptor {descriptor} belongs to a Socket already")
    file = stack.provider.adopt(descriptor, family, kind, proto)
    endpoint = stack.endpoint(family, kind, proto, file)
    sock = Socket(endpoint)
    try:
        afd.adopt(endpoint)
    except BaseException:
        endpoint.give_away()
        raise
    return sock


def netstat(stack: Stack | None = None) -> list[dict[str, Any]]:
    """Return one dictionary for each open socket of ``stack`` (by default the current one).

    For people and logs: ``handle`` (None for a socket that was never asked for its number, and
    outside a Trio run), ``state``, ``local``, ``remote``, ``unread``, ``unsent``, ``mask`` and
    ``target`` (the selection), ``receive_waiters``, ``send_waiters``.
    """
    stack = stack or _stack.current_stack()
    handles = _handles_by_endpoint()
    return [
        {"handle": handles.get(id(endpoint)), **endpoint.statistics()}
        for endpoint in list(stack.endpoints.values())
    ]


def _handles_by_endpoint() -> dict[int, int]:
    try:
        table = _handles.current_table()
    except RuntimeError:  # outside a Trio run there are no handles
        return {}
    return {id(thing._endpoint): handle for handle, thing in table if isinstance(thing, Socket)}
