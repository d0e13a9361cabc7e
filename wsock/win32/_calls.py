# ws2_32: how a call finds its socket, fails, and waits.
#
#   ws2_32           the calls, by C's rules
# > calls            THIS FILE: handles to sockets, WSAError to last error, blocking to waiting
#   _socket, afd     what is called
#
# Rule 1: no WSAError leaves a call: it becomes the thread's last error and the call's failure
#         value. Wrong types and ended Trio runs are the program's mistake and do raise.
# Rule 2: the order of checks is Winsock's: not initialised, then the handle, then the rest.
# Rule 3: "not now" turns the reactor and looks again, and then either waits (a blocking socket) or
#         passes the scheduler and says WSAEWOULDBLOCK.

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import trio

from wsock import _handles, errors
from wsock._socket import Socket
from wsock.constants import FD_WRITE
from wsock.win32 import _reactor, _threads
from wsock.win32._border import SOL_SOCKET
from wsock.win32._threads import current
from wsock.win32.constants import SOCKET_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


def winsock_call(function: Callable[_P, int]) -> Callable[_P, int]:
    """Decorate a call that answers SOCKET_ERROR when it fails, and clears the last error else.

    Which calls clear it and which keep it is not documented; it was observed (scenario
    err_last_error). Those that keep it are decorated with ``keeping_last_error``.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> int:
        try:
            result = function(*args, **kwargs)
        except errors.WSAError as error:
            return failed(error)
        current().last_error = 0
        return result

    return call


def keeping_last_error(function: Callable[_P, int]) -> Callable[_P, int]:
    """Decorate a call that answers SOCKET_ERROR when it fails, and else keeps the last error."""

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> int:
        try:
            return function(*args, **kwargs)
        except errors.WSAError as error:
            return failed(error)

    return call


def failed(error: errors.WSAError) -> int:
    """Keep the code of a failed call; SOCKET_ERROR."""
    current().last_error = error.winerror
    return SOCKET_ERROR


def socket_of(s: int) -> Socket:
    """The socket behind a handle; also one that the Python face has made.

    Raises:
      WSANOTINITIALISED: no WSAStartup is in force. WSAENOTSOCK: no socket, or a closed one.
    """
    process = current().process
    sock = process.sockets.get(s)
    if sock is not None and not sock.closed:
        return sock
    if not process.startups:
        raise errors.WSANOTINITIALISED("WSAStartup")
    found = _handles.object_of(s) if isinstance(s, int) else None
    if isinstance(found, Socket) and not found.closed:
        return found
    raise errors.WSAENOTSOCK("handle", "", f"{s!r} is no socket")


def check_started() -> None:
    """Raise WSANOTINITIALISED unless WSAStartup is in force."""
    if not current().process.startups:
        raise errors.WSANOTINITIALISED("WSAStartup")


def socket_object(s: int) -> Socket:
    """The Socket of the Python face behind a SOCKET; the way back is ``sock.handle``.

    Raises:
      KeyError: no open socket has this number in this Trio run.
    """
    try:
        return socket_of(s)
    except errors.WSAError:
        raise KeyError(s) from None


def attempt(
    sock: Socket,
    name: str,
    option: int | None,
    action: Callable[..., _T],
    *args: object,
    send: bool = False,
) -> _T:
    """Carry out a call that may have to wait, in the socket's mode.

    Args:
      option: the time-out that bounds a blocking call (RECEIVE_TIMEOUT, SEND_TIMEOUT;
        None: nothing does).
      action: says WSAEWOULDBLOCK where it would wait.
    """
    try:
        return action(*args)
    except errors.WSAEWOULDBLOCK:
        endpoint = sock._endpoint
        if not endpoint.nonblocking:
            limit = 0 if option is None else endpoint.option(SOL_SOCKET, option)
            waiting = (sock, name, limit / 1000, send, action, *args)
            return cast("_T", _threads.wait(_in_turn, *waiting))
    if send:
        # The refusal above armed FD_WRITE. If the next attempt succeeds there was none, as far as
        # the program can tell, and no message may follow.
        was_armed = endpoint.armed & FD_WRITE
        endpoint.armed &= ~FD_WRITE
    _reactor.turn()
    if send:
        endpoint.armed |= was_armed
    try:
        return action(*args)
    except errors.WSAEWOULDBLOCK:
        _threads.pass_scheduler()
        raise


async def _in_turn(
    sock: Socket, name: str, limit: float, send: bool, action: Callable[..., _T], *args: Any
) -> _T:
    """Wait in line and try, until it succeeds or the time is over (0: without end)."""
    with trio.move_on_after(limit or float("inf")):
        while True:
            await sock.wait_turn(name, send=send)
            try:
                return action(*args)
            except errors.WSAEWOULDBLOCK:
                continue
    raise errors.WSAETIMEDOUT(name, sock.state)


def look_first(sock: Socket, events: int) -> None:
    """Let what has arrived be reported before a call takes it away.

    On Windows an arrival is posted, or recorded, when it arrives. Here it is when the reactor
    turns; for an event that is selected and not reported yet that has to be now.
    """
    endpoint = sock._endpoint
    if endpoint.mask & endpoint.armed & events:
        _reactor.turn()
