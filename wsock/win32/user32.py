# user32: the message loop and timers; classes and windows are in _windows.py.
#
# Rule 1: a call that finds its answer awaits nothing, except every 256th in a row; "no message"
#         turns the reactor, looks again and passes the scheduler.
# Rule 2: window procedures are plain functions of the program; what they raise leaves through the
#         call that ran them (DispatchMessage, SendMessage, GetMessage for a sent one).
#
# Sources: learn.microsoft.com on each function.

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import trio

from wsock import errors
from wsock._event import wait_for_multiple_events
from wsock._message import Message
from wsock._message_queue import EVERY_WINDOW
from wsock.win32 import _reactor, _threads
from wsock.win32._queues import ThreadQueue, Window, queue_of
from wsock.win32._threads import current, failed
from wsock.win32._waits import seconds, take_set, waitables
from wsock.win32._windows import *  # noqa: F403
from wsock.win32._windows import __all__ as _window_names
from wsock.win32._windows import atom_of, window_of
from wsock.win32.constants import (
    ERROR_INVALID_PARAMETER,
    ERROR_INVALID_THREAD_ID,
    ERROR_INVALID_WINDOW_HANDLE,
    ERROR_NOT_ENOUGH_QUOTA,
    FALSE,
    HWND_BROADCAST,
    MAXIMUM_WAIT_OBJECTS,
    PM_REMOVE,
    TRUE,
    WAIT_FAILED,
    WAIT_OBJECT_0,
    WAIT_TIMEOUT,
    WM_QUIT,
    WM_TIMER,
)
from wsock.win32.kernel32 import GetTickCount

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsock._event import Event
    from wsock._window_timers import Filters
    from wsock.win32._threads import Thread
    from wsock.win32.types import MSG

_THREAD_MESSAGES: Final = -1  # hWnd of GetMessage: only what was posted to no window

# The memory of a MSG from hwnd to time, and to lParam.
_write_message: Final = Struct("@NINnI").pack_into
_read_message: Final = Struct("@NINn").unpack_from


def _fill(msg: MSG, message: Message, thread: Thread, queue: ThreadQueue) -> None:
    window: Any = message.window
    if message.__class__ is Message:  # a notification: the common case, without its properties
        sock = message.socket
        handle = thread.process.handles.get(sock) or sock.handle
        event = message.event | message.error << 16
        # All in one write: 0.17 us against 0.30 us for the five fields.
        _write_message(msg, 0, window.number, message.message, handle, event, queue.tick)
    else:
        msg.hwnd = 0 if window is None else window.number
        msg.message = message.message
        msg.wParam = message.wparam
        msg.lParam = message.lparam
        msg.time = queue.tick


def _filter(hWnd: int | None) -> Any:
    """What the queue is to look for; False for a window that does not exist."""
    if hWnd is None or hWnd == 0:
        return EVERY_WINDOW
    if hWnd == _THREAD_MESSAGES:
        return None
    return window_of(hWnd) or False


def GetMessage(lpMsg: MSG, hWnd: int | None, wMsgFilterMin: int, wMsgFilterMax: int) -> int:
    """BOOL GetMessage(LPMSG, HWND, UINT min, UINT max): waits for the thread's next message.

    Sockets' and posted messages in the order of their coming, then WM_QUIT, then WM_TIMER.

    Returns:
      TRUE; FALSE for WM_QUIT (wParam is the exit code); -1 if there is no such window.
    """
    thread = current()
    queue = thread.queue or queue_of(thread)
    posted = queue.messages._messages
    if not posted:
        # Under load something has come meanwhile: then no pass of the scheduler is needed.
        queue.messages.turn()
        queue.tick = GetTickCount()
    if posted and hWnd is None and not (wMsgFilterMin or wMsgFilterMax or queue.sent):
        message = posted.popleft()
        queue.messages.count_taken(message)
    else:
        window = _filter(hWnd)
        if window is False:
            failed(ERROR_INVALID_WINDOW_HANDLE)
            return -1
        message = _wait_for_message(queue, (window, wMsgFilterMin, wMsgFilterMax))
    _fill(lpMsg, message, thread, queue)
    thread.calls_left -= 1
    if not thread.calls_left:
        _threads.pass_scheduler()
    return FALSE if message.message == WM_QUIT else TRUE


def _wait_for_message(queue: ThreadQueue, filters: Filters) -> Message:
    while True:
        if queue.sent:
            queue.serve_sent()
        message = queue.messages.take(*filters)
        if message is not None:
            return message
        _threads.wait(queue.messages.wait, *filters)
        queue.tick = GetTickCount()


def PeekMessage(
    lpMsg: MSG, hWnd: int | None, wMsgFilterMin: int, wMsgFilterMax: int, wRemoveMsg: int
) -> int:
    """BOOL PeekMessage(LPMSG, HWND, UINT min, UINT max, UINT remove): never waits.

    With PM_NOREMOVE the message stays. FALSE lets the reactor and every other task run once.
    """
    thread = current()
    queue = queue_of(thread)
    window = _filter(hWnd)
    if window is False:
        return failed(ERROR_INVALID_WINDOW_HANDLE)
    look = queue.messages.take if wRemoveMsg & PM_REMOVE else queue.messages.peek
    queue.serve_sent()
    message = look(window, wMsgFilterMin, wMsgFilterMax)
    if message is None:
        _reactor.turn()
        message = look(window, wMsgFilterMin, wMsgFilterMax)
        if message is None:
            _threads.pass_scheduler()
            return FALSE
    queue.tick = GetTickCount()
    _fill(lpMsg, message, thread, queue)
    _threads.succeeded(thread)
    return TRUE


def TranslateMessage(lpMsg: MSG) -> int:
    """BOOL TranslateMessage(const MSG *): there are no keys to translate; FALSE."""
    return FALSE


def DispatchMessage(lpMsg: MSG) -> Any:
    """LRESULT DispatchMessage(const MSG *): calls the procedure of the message's window."""
    hwnd, number, wparam, lparam = _read_message(lpMsg)
    window = current().process.windows.get(hwnd)
    if number == WM_TIMER:
        procedures = queue_of(current()).timer_procedures
        timer = procedures.get((window, wparam))
        if timer is not None:
            timer(hwnd, WM_TIMER, wparam, lpMsg.time)
            return 0
    if window is None:
        return 0
    result = window.procedure(hwnd, number, wparam, lparam)  # Window.call, in place
    return 0 if result is None else result


def PostQuitMessage(nExitCode: int) -> None:
    """void PostQuitMessage(int): WM_QUIT comes when no posted message is left."""
    queue_of(current()).messages.post_quit(nExitCode)


def _post(thread: Thread, window: Window | None, message: int, wParam: int, lParam: int) -> int:
    queue = queue_of(thread)
    if any(each._endpoints for each in queue.windows):
        _reactor.turn()  # what has arrived before this post comes before it
    try:
        queue.messages.post(window, message, wParam, lParam)
    except errors.WSAENOBUFS:
        return failed(ERROR_NOT_ENOUGH_QUOTA)
    _threads.succeeded(current())
    return TRUE


def PostMessage(hWnd: int | None, Msg: int, wParam: int, lParam: int) -> int:
    """BOOL PostMessage(HWND, UINT, WPARAM, LPARAM): appends to the queue of the window's thread.

    To NULL: to the calling thread itself. FALSE with ERROR_INVALID_WINDOW_HANDLE, or with
    ERROR_NOT_ENOUGH_QUOTA when 10,000 posted messages wait.
    """
    if not hWnd:
        return _post(current(), None, Msg, wParam, lParam)
    if hWnd == HWND_BROADCAST:
        for each in list(current().process.windows.values()):
            _post(each.thread, each, Msg, wParam, lParam)
        return TRUE
    window = window_of(hWnd)
    if window is None:
        return failed(ERROR_INVALID_WINDOW_HANDLE)
    return _post(window.thread, window, Msg, wParam, lParam)


def PostThreadMessage(idThread: int, Msg: int, wParam: int, lParam: int) -> int:
    """BOOL PostThreadMessage(DWORD id, UINT, WPARAM, LPARAM).

    Unlike on Windows the thread need not have asked for messages before. FALSE with
    ERROR_INVALID_THREAD_ID if there is no such thread, or it has ended.
    """
    thread = current().process.threads.get(idThread)
    if thread is None:
        return failed(ERROR_INVALID_THREAD_ID)
    return _post(thread, None, Msg, wParam, lParam)


def SendMessage(hWnd: int | None, Msg: int, wParam: Any, lParam: Any) -> Any:
    """LRESULT SendMessage(HWND, UINT, WPARAM, LPARAM): calls the window's procedure.

    In the own thread at once. For a window of another thread it waits until that thread looks
    for messages; meanwhile messages sent to the own thread are answered. 0 for no window, and
    when the procedure fails.
    """
    window = window_of(hWnd)
    if window is None:
        return failed(ERROR_INVALID_WINDOW_HANDLE)
    thread = current()
    if window.thread is thread:
        return window.call(Msg, wParam, lParam)
    return queue_of(thread).send(window, Msg, wParam, lParam)


def RegisterWindowMessage(lpString: str) -> int:
    """UINT RegisterWindowMessage(name): a number from 0xC000 up, the same for the same name."""
    return atom_of("message " + lpString)


# --------------------------------------------------------------------------------------- timers


def SetTimer(
    hWnd: int | None, nIDEvent: int, uElapse: int, lpTimerFunc: Callable[..., object] | None
) -> int:
    """UINT_PTR SetTimer(HWND, UINT_PTR id, UINT milliseconds, TIMERPROC).

    Replaces the timer of the same window and id. With hWnd NULL the id is chosen here. A
    TIMERPROC is called by DispatchMessage as (hwnd, WM_TIMER, id, time).

    Returns:
      the timer's id; 0 with ERROR_INVALID_WINDOW_HANDLE.
    """
    thread = current()
    queue = queue_of(thread)
    window = None
    if hWnd:
        window = window_of(hWnd)
        if window is None:
            return failed(ERROR_INVALID_WINDOW_HANDLE)
        queue = queue_of(window.thread)
    elif (None, nIDEvent) not in queue.timer_procedures:
        nIDEvent = 1 + max((key[1] for key in queue.timer_procedures), default=0)
    if lpTimerFunc is not None or window is None:
        queue.timer_procedures[window, nIDEvent] = lpTimerFunc or (lambda *_: None)
    else:
        queue.timer_procedures.pop((window, nIDEvent), None)
    queue.messages.set_timer(window, nIDEvent, uElapse / 1000)
    return nIDEvent or 1


def KillTimer(hWnd: int | None, uIDEvent: int) -> int:
    """BOOL KillTimer(HWND, UINT_PTR id): FALSE if there is no such timer."""
    window = window_of(hWnd)
    queue = queue_of(current() if window is None else window.thread)
    queue.timer_procedures.pop((window, uIDEvent), None)
    if hWnd and window is None:
        return failed(ERROR_INVALID_WINDOW_HANDLE)
    return TRUE if queue.messages.kill_timer(window, uIDEvent) else failed(ERROR_INVALID_PARAMETER)


# ------------------------------------------------------------------------ messages or objects


def MsgWaitForMultipleObjects(
    nCount: int, pHandles: Sequence[int] | None, fWaitAll: int, dwMilliseconds: int, dwWakeMask: int
) -> int:
    """DWORD MsgWaitForMultipleObjects(count, handles, BOOL wait_all, milliseconds, wake_mask).

    Waits until an event or a thread's end, or until the thread's queue has a message. With
    wait_all, until all are set *and* a message is there. The wake mask is not looked at: every
    kind of message counts. Messages that were left in the queue count too (as MWMO_INPUTAVAILABLE).

    Returns:
      WAIT_OBJECT_0 + index; WAIT_OBJECT_0 + nCount for a message; WAIT_TIMEOUT; WAIT_FAILED.
    """
    handles = list(pHandles or ())[:nCount]
    thread = current()
    queue = queue_of(thread)
    events: list[Event] = []
    if handles:
        if len(handles) >= MAXIMUM_WAIT_OBJECTS:
            failed(ERROR_INVALID_PARAMETER)
            return WAIT_FAILED
        found = waitables(handles, bool(fWaitAll))
        if isinstance(found, int):
            failed(found)
            return WAIT_FAILED
        events = found
    index = _look(queue, events, bool(fWaitAll))
    if index is None:
        _reactor.turn()
        index = _look(queue, events, bool(fWaitAll))
    if index is None:
        index = _threads.wait(_either, queue, events, bool(fWaitAll), seconds(dwMilliseconds))
    return WAIT_TIMEOUT if index is None else WAIT_OBJECT_0 + index


def _look(queue: ThreadQueue, events: list[Event], wait_all: bool) -> int | None:
    queue.serve_sent()
    waiting = queue.messages.peek() is not None
    if wait_all:
        ready = waiting and (not events or take_set(events, True) is not None)
        return 0 if ready else None
    index = take_set(events, False) if events else None
    if index is None and waiting:
        return len(events)
    return index


async def _either(
    queue: ThreadQueue, events: list[Event], wait_all: bool, limit: float
) -> int | None:
    with trio.move_on_after(limit):
        while True:
            async with trio.open_nursery() as nursery:
                if not (wait_all and queue.messages.peek() is not None):
                    nursery.start_soon(_until, nursery, queue.messages.wait)
                if events and not (wait_all and all(event.is_set() for event in events)):
                    nursery.start_soon(_until, nursery, _set_again, events, wait_all)
            index = _look(queue, events, wait_all)
            if index is not None:
                return index
    return _look(queue, events, wait_all)


async def _until(nursery: trio.Nursery, function: Callable[..., Any], *args: object) -> None:
    await function(*args)
    nursery.cancel_scope.cancel()


async def _set_again(events: list[Event], wait_all: bool) -> None:
    """Wait as asked, but leave the events set: the caller looks, and takes, in one step."""
    index = await wait_for_multiple_events(events, wait_all)
    for event in events if index is None else [events[index]]:
        event.set()


__all__ = [
    "DispatchMessage", "GetMessage", "KillTimer", "MsgWaitForMultipleObjects", "PeekMessage",
    "PostMessage", "PostQuitMessage", "PostThreadMessage", "RegisterWindowMessage", "SendMessage",
    "SetTimer", "TranslateMessage",
]  # fmt: skip
__all__ += _window_names
