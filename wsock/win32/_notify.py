# ws2_32: WSAAsyncSelect, WSAEventSelect, and Winsock's names for event objects.
#
# Rule 1: the reactor is turned before a selection and before the record is enumerated: what has
#         arrived on this machine has arrived, whether or not a task has run since.
# Rule 2: an event object given to a call must exist; the null handle is None.
#
# Sources: learn.microsoft.com on each function.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsock import errors
from wsock.win32 import _reactor
from wsock.win32._buffers import target
from wsock.win32._calls import check_started, failed, socket_of, winsock_call
from wsock.win32._threads import current
from wsock.win32._waits import ResetEvent, SetEvent, event_of, wait_for
from wsock.win32.constants import TRUE, WSA_INVALID_EVENT
from wsock.win32.kernel32 import CloseHandle, CreateEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock._event import Event
    from wsock.win32.types import WSANETWORKEVENTS


@winsock_call
def WSAAsyncSelect(s: int, hWnd: int | None, wMsg: int, lEvent: int) -> int:
    """int WSAAsyncSelect(SOCKET s, HWND, unsigned wMsg, long lEvent).

    Each event that happens is posted to the window as wMsg, with the socket as wParam and
    WSAGETSELECTEVENT and WSAGETSELECTERROR in lParam. Replaces any earlier selection; lEvent 0
    cancels, whatever window is named. The socket becomes nonblocking. FD_CLOSE comes once
    everything before it is read.

    Returns:
      0; SOCKET_ERROR with WSAEINVAL (no such window to post to, a bit that is no event),
      WSAENOTSOCK.
    """
    sock = socket_of(s)
    window = current().process.windows.get(hWnd or 0)
    if window is None and lEvent:
        raise errors.WSAEINVAL("WSAAsyncSelect", sock.state, f"{hWnd!r} is no window")
    _reactor.turn()
    sock.async_select(window, wMsg, lEvent)
    return 0


def _event(call: str, handle: int | None) -> Event | None:
    """The event object behind a handle; None for the null handle."""
    if not handle:
        return None
    event = event_of(handle)
    if event is None:
        raise errors.WSAEINVAL(call, "", f"{handle!r} is no event object")
    return event


@winsock_call
def WSAEventSelect(s: int, hEventObject: int | None, lNetworkEvents: int) -> int:
    """int WSAEventSelect(SOCKET s, WSAEVENT, long lNetworkEvents).

    Each event that happens is recorded, and sets the event object; WSAEnumNetworkEvents tells
    which it was. Replaces any earlier selection; 0 cancels. The socket becomes nonblocking.

    Returns:
      0; SOCKET_ERROR with WSAEINVAL (no such event object, a bit that is no event), WSAENOTSOCK.
    """
    sock = socket_of(s)
    event = _event("WSAEventSelect", hEventObject)
    _reactor.turn()
    sock.event_select(event, lNetworkEvents)
    return 0


@winsock_call
def WSAEnumNetworkEvents(
    s: int, hEventObject: int | None, lpNetworkEvents: WSANETWORKEVENTS
) -> int:
    """int WSAEnumNetworkEvents(SOCKET s, WSAEVENT, LPWSANETWORKEVENTS).

    Takes what was recorded and selected, and resets the event object that is given. Only the
    entries of iErrorCode that belong to reported events are written.
    """
    sock = socket_of(s)
    out: Any = target(lpNetworkEvents)
    if out is None:
        raise errors.WSAEFAULT("WSAEnumNetworkEvents", sock.state, "no room for the events")
    _reactor.turn()
    found, codes = sock._endpoint.enumerate_events()
    event = event_of(hEventObject)
    if event is not None:
        event.reset()
    out.lNetworkEvents = found
    for position in range(found.bit_length()):
        if found >> position & 1:
            out.iErrorCode[position] = 0 if codes is None else codes[1 << position]
    return 0


# --------------------------------------------------------------------------------- event objects


def WSACreateEvent() -> int | None:
    """WSAEVENT WSACreateEvent(void): manual reset, not set; NULL without WSAStartup."""
    try:
        check_started()
    except errors.WSAError as error:
        failed(error)
        return WSA_INVALID_EVENT
    return CreateEvent(None, TRUE, 0, None)


def WSACloseEvent(hEvent: int | None) -> int:
    """BOOL WSACloseEvent(WSAEVENT): FALSE with WSA_INVALID_HANDLE."""
    return CloseHandle(hEvent or 0)


def WSASetEvent(hEvent: int | None) -> int:
    """BOOL WSASetEvent(WSAEVENT): FALSE with WSA_INVALID_HANDLE."""
    return SetEvent(hEvent or 0)


def WSAResetEvent(hEvent: int | None) -> int:
    """BOOL WSAResetEvent(WSAEVENT): FALSE with WSA_INVALID_HANDLE."""
    return ResetEvent(hEvent or 0)


def WSAWaitForMultipleEvents(
    cEvents: int,
    lphEvents: Sequence[int],
    fWaitAll: int,
    dwTimeout: int,
    fAlertable: int = 0,
) -> int:
    """DWORD WSAWaitForMultipleEvents(count, events, BOOL wait_all, milliseconds, BOOL alertable).

    At most 64 events, as in C. There are no completion routines, so an alertable wait is like any.

    Returns:
      WSA_WAIT_EVENT_0 + the lowest index that is set (0 for wait_all); WSA_WAIT_TIMEOUT;
      WSA_WAIT_FAILED with WSA_INVALID_HANDLE or WSA_INVALID_PARAMETER.
    """
    return wait_for(list(lphEvents)[:cEvents], bool(fWaitAll), dwTimeout)


__all__ = [
    "WSAAsyncSelect", "WSACloseEvent", "WSACreateEvent", "WSAEnumNetworkEvents", "WSAEventSelect",
    "WSAResetEvent", "WSASetEvent", "WSAWaitForMultipleEvents",
]  # fmt: skip
