# ws2_32: select and WSAPoll.
#
# Rule 1: both only look. They re-enable nothing, record nothing and set no event object; whoever
#         waits in a recv behind them is served as if they were not there (afd.Watcher).
# Rule 2: the reactor is turned before the first look, so that one answer tells of one moment.
# Rule 3: a wait is one park of the task, however many sockets there are.
#
# Sources: learn.microsoft.com, select, WSAPoll.

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort, reschedule, wait_task_rescheduled

from wsock import afd, errors
from wsock.afd.states import PEER_RELEASED, RELEASED, RESET
from wsock.win32 import _reactor, _threads
from wsock.win32._border import STREAM
from wsock.win32._buffers import target
from wsock.win32._calls import check_started, socket_of, winsock_call
from wsock.win32._threads import current
from wsock.win32.constants import (
    INFINITE,
    INVALID_SOCKET,
    POLLERR,
    POLLHUP,
    POLLNVAL,
    POLLRDBAND,
    POLLRDNORM,
    POLLWRNORM,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wsock._socket import Socket
    from wsock.win32.types import WSAPOLLFD, fd_set, timeval

_READ, _WRITE, _EXCEPT = 0, 1, 2


class _Look:
    """Waits for a change on any of some sockets."""

    __slots__ = ("endpoints", "news", "task", "urgent", "watcher")

    def __init__(self, sockets: Iterable[Socket], urgent: Iterable[Socket]) -> None:
        self.endpoints = list({id(sock._endpoint): sock._endpoint for sock in sockets}.values())
        self.urgent = [sock._endpoint for sock in urgent if sock.type == STREAM]
        self.watcher = afd.Watcher(self._woken)
        self.task: trio.lowlevel.Task | None = None
        self.news = False

    def _woken(self) -> None:
        self.news = True
        task, self.task = self.task, None
        if task is not None:
            reschedule(task)

    def enter(self) -> None:
        """Be told of changes from now on."""
        self.news = False
        for endpoint in self.endpoints:
            if not endpoint.attention & RELEASED:
                endpoint.tie()
                endpoint.wait_receive(self.watcher)
                endpoint.wait_send(self.watcher)
        for endpoint in self.urgent:
            if not endpoint.attention & RELEASED:
                endpoint.file.watch_urgent(on=True)

    def leave(self) -> None:
        """No longer."""
        for endpoint in self.endpoints:
            endpoint.forget_waiter(self.watcher)
        for endpoint in self.urgent:
            if not endpoint.attention & RELEASED and not endpoint.mask:
                endpoint.file.watch_urgent(on=False)

    async def change(self) -> None:
        """Wait until something changed since ``enter``."""
        if self.news:
            await trio.lowlevel.checkpoint()
            return
        self.task = trio.lowlevel.current_task()

        def abort(_: object) -> Abort:
            self.task = None
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)


async def _until(look: _Look, found: Callable[[], int], limit: float) -> int:
    """Look again after each change, until something is found or the time is over."""
    with trio.move_on_after(limit):
        while True:
            look.enter()
            try:
                count = found()
                if count:
                    return count
                await look.change()
            finally:
                look.leave()
    return found()


# --------------------------------------------------------------------------------------- select


@winsock_call
def select(
    nfds: int,
    readfds: fd_set | None,
    writefds: fd_set | None,
    exceptfds: fd_set | None,
    timeout: timeval | None,
) -> int:
    """int select(nfds, fd_set *read, fd_set *write, fd_set *except, const timeval *timeout).

    nfds means nothing, as on Windows. Waits until a socket is in one of its sets; timeout NULL
    waits for ever, 0 looks once. The sets then hold what was found, and are empty after a time-out.

    Returns:
      how many sockets are in the sets, a socket once per set; 0 after the time; SOCKET_ERROR with
      WSAEINVAL (no set, or only empty ones) or WSAENOTSOCK, then the sets are as they were. A
      socket that another thread closes meanwhile is found in the read set; one that is not in that
      ends the wait with WSAENOTSOCK.
    """
    check_started()
    sets = [target(each) for each in (readfds, writefds, exceptfds)]
    members = [[] if each is None else list(each) for each in sets]
    sockets = {s: socket_of(s) for part in members for s in part}
    if not sockets:
        raise errors.WSAEINVAL("select", "", "no socket in any set")
    found: list[list[int]] = []

    def look() -> int:
        found[:] = _in_sets(members, sockets)
        count = sum(map(len, found))
        if not count and any(sock.closed for sock in sockets.values()):
            raise errors.WSAENOTSOCK("select", "", "closed meanwhile")
        return count

    _reactor.turn()
    count = look()
    limit = _seconds(target(timeout))
    if count:
        _threads.succeeded(current())
    elif limit:
        urgent = [sockets[s] for s in members[_EXCEPT]]
        count = _threads.wait(_until, _Look(sockets.values(), urgent), look, limit)
    else:
        _threads.pass_scheduler()
    for each, now_in in zip(sets, found, strict=True):
        if each is not None:
            each.clear()
            each |= now_in
    return count


def _seconds(timeout: timeval | None) -> float:
    if timeout is None:
        return math.inf
    return max(0.0, timeout.tv_sec + timeout.tv_usec / 1e6)


def _state(sock: Socket) -> tuple[bool, bool, bool]:
    if sock.closed:  # by another thread, meanwhile: a receive would not wait (recorded)
        return True, False, False
    state: tuple[bool, bool, bool] = sock._endpoint.select_state()
    return state


def _in_sets(members: list[list[int]], sockets: dict[int, Socket]) -> list[list[int]]:
    states = {s: _state(sock) for s, sock in sockets.items()}
    return [[s for s in part if states[s][which]] for which, part in enumerate(members)]


# -------------------------------------------------------------------------------------- WSAPoll

_ASKED = POLLRDNORM | POLLRDBAND | POLLWRNORM


@winsock_call
def WSAPoll(fdArray: Sequence[WSAPOLLFD], fds: int, timeout: int) -> int:
    """int WSAPoll(WSAPOLLFD *array, ULONG count, INT milliseconds).

    ``events`` may ask for POLLRDNORM, POLLRDBAND (urgent data) and POLLWRNORM. ``revents`` also
    tells POLLERR, POLLHUP and POLLNVAL. An fd of INVALID_SOCKET is passed over.

    Returns:
      how many entries have something; 0 after the time; SOCKET_ERROR with WSAEINVAL: no entry, or
      POLLPRI (as on Windows) or another bit was asked for.
    """
    check_started()
    entries = [target(entry) for entry in list(fdArray)[:fds]]
    if not entries or any(entry.events & 0xFFFF & ~_ASKED for entry in entries):
        raise errors.WSAEINVAL("WSAPoll", "", "no entry, or events that cannot be asked for")
    _reactor.turn()
    sockets = {entry.fd: _socket_or_none(entry.fd) for entry in entries}
    known = [sock for sock in sockets.values() if sock is not None]

    def look() -> int:
        for entry in entries:
            entry.revents = _revents(entry, sockets[entry.fd])
        return sum(entry.revents != 0 for entry in entries)

    count = look()
    limit = math.inf if timeout < 0 or timeout == INFINITE else timeout / 1000
    if count:
        _threads.succeeded(current())
    elif limit:
        urgent = [sock for sock in known if sock.type == STREAM]
        count = _threads.wait(_until, _Look(known, urgent), look, limit)
    else:
        _threads.pass_scheduler()
    return count


def _socket_or_none(s: int) -> Socket | None:
    try:
        return socket_of(s)
    except errors.WSAENOTSOCK:
        return None


def _revents(entry: WSAPOLLFD, sock: Socket | None) -> int:
    if sock is None or sock.closed:
        return 0 if entry.fd == INVALID_SOCKET else POLLNVAL
    endpoint: Any = sock._endpoint
    readable, writable, exceptional = endpoint.select_state()
    found = 0
    if readable:
        found |= POLLRDNORM
    if writable:
        found |= POLLWRNORM
    if exceptional:
        found |= POLLRDBAND if endpoint.has_urgent() else POLLERR | POLLHUP
    found &= entry.events | POLLERR | POLLHUP
    if endpoint.attention & RESET:
        found |= POLLERR | POLLHUP
    elif endpoint.attention & PEER_RELEASED:
        found |= POLLHUP
    return found


__all__ = ["WSAPoll", "select"]
