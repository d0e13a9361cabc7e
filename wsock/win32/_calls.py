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
from wsock.constants import FD_OOB, FD_READ, FD_WRITE
from wsock.win32 import _reactor, _threads
from wsock.win32._border import RECEIVE_TIMEOUT, SEND_TIMEOUT, SOL_SOCKET
from wsock.win32._threads import current
from wsock.win32.constants import SOCKET_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")

# The options that bound a wait; accept is bounded by none.
_TIMEOUTS = {FD_READ: RECEIVE_TIMEOUT, FD_OOB: RECEIVE_TIMEOUT, FD_WRITE: SEND_TIMEOUT}


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
    event: int,
    action: Callable[..., _T],
    *args: object,
) -> _T:
    """Carry out a call that may have to wait, in the socket's mode.

    Args:
      event: what the call waits for: FD_READ, FD_OOB, FD_ACCEPT or FD_WRITE.
      action: says WSAEWOULDBLOCK where it would wait.
    """
    try:
        return action(*args)
    except errors.WSAEWOULDBLOCK:
        return attempt_again(sock, name, event, action, *args)


def attempt_again(
    sock: Socket,
    name: str,
    event: int,
    action: Callable[..., _T],
    *args: object,
) -> _T:
    """What follows a first attempt that said WSAEWOULDBLOCK: wait, or turn the reactor and look."""
    endpoint = sock._endpoint
    if not endpoint.nonblocking:
        option = _TIMEOUTS.get(event)
        limit = 0 if option is None else endpoint.option(SOL_SOCKET, option)
        waiting = (sock, name, limit / 1000, event == FD_WRITE, action, *args)
        return cast("_T", _threads.wait(_in_turn, *waiting))
    if event == FD_WRITE:
        # The refusal above armed FD_WRITE. If the next attempt succeeds there was none, as far as
        # the program can tell, and no message may follow.
        was_armed = endpoint.armed & FD_WRITE
        endpoint.armed &= ~FD_WRITE
        _reactor.turn()
        endpoint.armed |= was_armed
    else:
        # The refusal above has re-enabled what the call re-enables. A further one for the same call
        # would do so twice: no attempt without something to take.
        _reactor.turn()
        if not endpoint.select_state()[2 if event == FD_OOB else 0]:
            _threads.pass_scheduler()
            raise errors.WSAEWOULDBLOCK(name, sock.state)
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
