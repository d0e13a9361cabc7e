"""Windows, messages, timers, sending across threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ported import pair, program, until_others_wait, winsock_program

from wsock import win32 as w

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

WM_MINE = w.WM_USER + 1


def window(procedure: Callable[..., Any] = w.DefWindowProc, name: str = "test") -> int:
    """A message-only window of a class with this procedure."""
    described = w.WNDCLASS()
    described.lpfnWndProc = procedure
    described.lpszClassName = name
    w.RegisterClass(described)
    made = w.CreateWindow(name, "title", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    assert made is not None
    return made


@program
def test_a_procedure_gets_dispatched_messages() -> None:
    """Parameters as posted; its result comes back; WM_CREATE carries the parameter."""
    seen = []

    def procedure(hwnd: int, message: int, wparam: Any, lparam: Any) -> int:
        seen.append((message, wparam, lparam.lpCreateParams if message == 1 else lparam))
        return 77

    described = w.WNDCLASSEX()
    described.lpfnWndProc, described.lpszClassName = procedure, "Mine"
    atom = w.RegisterClassEx(described)
    hwnd = w.CreateWindowEx(0, "MINE", "t", 0, 0, 0, 0, 0, None, None, None, "parameter")
    w.PostMessage(hwnd, WM_MINE, 3, -4)
    message = w.MSG()
    assert w.GetMessage(message, None, 0, 0) == w.TRUE
    assert not w.TranslateMessage(message)
    assert w.DispatchMessage(message) == 77
    assert seen == [(w.WM_CREATE, 0, "parameter"), (WM_MINE, 3, -4)]
    assert w.CreateWindow(atom, None, 0, 0, 0, 0, 0, None, None, None, None)
    assert w.RegisterClass(described) == 0
    assert w.GetLastError() == w.ERROR_CLASS_ALREADY_EXISTS


@program
def test_unknown_classes_and_refused_windows() -> None:
    """NULL; -1 from WM_CREATE too; a class needs name and procedure."""
    assert w.CreateWindow("nothing", "", 0, 0, 0, 0, 0, None, None, None, None) is None
    assert w.GetLastError() == w.ERROR_CANNOT_FIND_WND_CLASS
    assert w.RegisterClass(w.WNDCLASS()) == 0
    described = w.WNDCLASS()
    described.lpfnWndProc, described.lpszClassName = (lambda *_: -1), "refuses"
    w.RegisterClass(described)
    assert w.CreateWindow("refuses", "", 0, 0, 0, 0, 0, None, None, None, None) is None
    assert w.CreateWindow("STATIC", "", 0, 0, 0, 0, 0, None, None, None, None)


@program
def test_destroying_a_window() -> None:
    """WM_DESTROY, its messages are gone, its handle is stale; only its own thread may."""
    seen = []
    hwnd = window(lambda _, message, *__: seen.append(message))
    w.PostMessage(hwnd, WM_MINE, 0, 0)
    refused = []
    other = w.CreateThread(lambda _: refused.append((w.DestroyWindow(hwnd), w.GetLastError())))
    w.WaitForSingleObject(other, w.INFINITE)
    assert refused == [(0, w.ERROR_ACCESS_DENIED)]
    assert w.IsWindow(hwnd)
    assert w.DestroyWindow(hwnd)
    assert seen[-2:] == [w.WM_DESTROY, w.WM_NCDESTROY]
    assert not w.IsWindow(hwnd)
    assert not w.PeekMessage(w.MSG(), None, 0, 0, w.PM_REMOVE)
    assert not w.PostMessage(hwnd, WM_MINE, 0, 0)
    assert w.GetLastError() == w.ERROR_INVALID_WINDOW_HANDLE


@program
def test_close_destroys_by_default() -> None:
    """DefWindowProc on WM_CLOSE."""
    hwnd = window()
    assert w.SendMessage(hwnd, w.WM_CLOSE, 0, 0) == 0
    assert not w.IsWindow(hwnd)


@program
def test_a_textbook_loop_ends_with_the_exit_code() -> None:
    """WM_QUIT after everything posted; GetMessage says FALSE."""
    handled = []

    def procedure(_: int, message: int, wparam: Any, __: Any) -> int:
        if message == WM_MINE:
            handled.append(wparam)
        return 0

    hwnd = window(procedure)
    w.PostQuitMessage(5)
    w.PostMessage(hwnd, WM_MINE, 1, 0)
    message = w.MSG()
    while w.GetMessage(message, None, 0, 0):
        w.TranslateMessage(message)
        w.DispatchMessage(message)
    assert (handled, message.message, message.wParam) == ([1], w.WM_QUIT, 5)


@program
def test_what_a_procedure_raises_leaves_dispatch_message() -> None:
    """In the thread that dispatched."""

    def procedure(_: int, message: int, *__: Any) -> int:
        if message == WM_MINE:
            raise KeyError("mine")
        return 0

    hwnd = window(procedure)
    with pytest.raises(KeyError, match="mine"):
        w.SendMessage(hwnd, WM_MINE, 0, 0)


@program
def test_thread_messages() -> None:
    """PostThreadMessage: hwnd NULL, found by the filter -1, not by a window's."""
    hwnd = window()
    message = w.MSG()
    assert w.PostThreadMessage(w.GetCurrentThreadId(), WM_MINE, 1, 2)
    assert not w.PeekMessage(message, hwnd, 0, 0, w.PM_REMOVE)
    assert w.PeekMessage(message, -1, 0, 0, w.PM_REMOVE)
    assert (message.hwnd, message.message) == (0, WM_MINE)
    assert not w.PostThreadMessage(4, WM_MINE, 0, 0)
    assert w.GetLastError() == w.ERROR_INVALID_THREAD_ID


@program
def test_broadcast_reaches_every_window() -> None:
    """Of all threads."""
    windows = {window(), window()}
    assert w.PostMessage(w.HWND_BROADCAST, WM_MINE, 0, 0)
    message, reached = w.MSG(), set()
    while w.PeekMessage(message, None, 0, 0, w.PM_REMOVE):
        reached.add(message.hwnd)
    assert reached == windows


@program
def test_two_threads_have_two_queues() -> None:
    """Messages go to the window's thread and wake it there."""
    got, ready = [], w.CreateEvent(None, True, False, None)
    made: list[int] = []

    def reader(_: object) -> None:
        made.append(window())
        w.SetEvent(ready)
        message = w.MSG()
        w.GetMessage(message, None, 0, 0)
        got.append(message.wParam)

    thread = w.CreateThread(reader, None)
    w.WaitForSingleObject(ready, w.INFINITE)
    w.PostMessage(made[0], WM_MINE, 9, 0)
    assert not w.PeekMessage(w.MSG(), None, 0, 0, w.PM_REMOVE)
    w.WaitForSingleObject(thread, w.INFINITE)
    assert got == [9]


@program
def test_two_threads_that_send_to_each_other_do_not_lock() -> None:
    """A waiting SendMessage answers what is sent to its own thread."""
    handles: dict[str, int] = {}
    results = []

    def ask_back(name: str) -> Callable[..., int]:
        def procedure(_: int, message: int, wparam: int, lparam: Any) -> int:
            if message == WM_MINE and wparam:
                return int(w.SendMessage(handles[name], WM_MINE, wparam - 1, 0)) + 1
            return 0

        return procedure

    def other(_: object) -> None:
        handles["there"] = window(ask_back("here"), "there")
        message = w.MSG()
        w.GetMessage(message, None, 0, 0)

    handles["here"] = window(ask_back("there"), "here")
    thread = w.CreateThread(other, None)
    until_others_wait()
    results.append(w.SendMessage(handles["there"], WM_MINE, 5, 0))
    w.PostMessage(handles["there"], WM_MINE, 0, 0)
    w.WaitForSingleObject(thread, w.INFINITE)
    assert results == [5]


def test_a_procedure_that_fails_for_another_thread() -> None:
    """It leaves in the receiver; the sender gets 0."""
    results: list[Any] = []

    def procedure(_: int, message: int, *__: Any) -> int:
        if message == WM_MINE:
            raise KeyError("in the receiver")
        return 0

    def main() -> None:
        hwnd = window(procedure)
        w.CreateThread(lambda _: results.append(w.SendMessage(hwnd, WM_MINE, 0, 0)), None)
        message = w.MSG()
        with pytest.raises(KeyError):
            w.GetMessage(message, None, 0, 0)
        until_others_wait()

    w.run(main)
    assert results == [0]


@program
def test_sending_to_a_thread_that_ends() -> None:
    """The sender gets 0 and goes on."""
    made: list[int] = []
    gate = w.CreateEvent(None, True, False, None)

    def short_lived(_: object) -> None:
        made.append(window(lambda *_: 1))
        w.WaitForSingleObject(gate, w.INFINITE)

    w.CreateThread(short_lived, None)
    until_others_wait()
    w.CreateThread(lambda _: w.SetEvent(gate), None)
    assert w.SendMessage(made[0], WM_MINE, 0, 0) == 0


async def test_timers(autojump_clock: MockClock) -> None:
    """Repeated, replaced, with a TIMERPROC, killed."""

    def main() -> None:
        hwnd, calls = window(), []
        assert w.SetTimer(hwnd, 3, 1000, None) == 3
        message = w.MSG()
        start = w.GetTickCount64()
        w.GetMessage(message, hwnd, 0, 0)
        assert (message.message, message.wParam) == (w.WM_TIMER, 3)
        assert w.GetTickCount64() - start == pytest.approx(1000, abs=2)
        w.SetTimer(hwnd, 3, 5000, lambda *parameters: calls.append(parameters))
        w.Sleep(1500)
        assert not w.PeekMessage(message, None, 0, 0, w.PM_REMOVE)
        w.GetMessage(message, None, 0, 0)
        w.DispatchMessage(message)
        assert [call[:3] for call in calls] == [(hwnd, w.WM_TIMER, 3)]
        assert w.KillTimer(hwnd, 3)
        assert not w.KillTimer(hwnd, 3)
        first, second = w.SetTimer(None, 0, 10, None), w.SetTimer(None, 0, 10, None)
        assert first != second
        w.GetMessage(message, None, 0, 0)
        assert message.hwnd == 0
        assert w.KillTimer(None, first)
        assert w.KillTimer(None, second)
        assert w.SetTimer(12, 1, 10, None) == 0

    await w.start(main)


@program
def test_user_data_and_registered_messages() -> None:
    """GWLP_USERDATA keeps any object; a name has one number."""
    hwnd = window()
    assert w.SetWindowLongPtr(hwnd, w.GWLP_USERDATA, {"state": 1}) == 0
    assert w.GetWindowLongPtr(hwnd, w.GWLP_USERDATA) == {"state": 1}
    assert not w.GetWindowLongPtr(12, w.GWLP_USERDATA)
    number = w.RegisterWindowMessage("lesson")
    assert number >= 0xC000
    assert w.RegisterWindowMessage("lesson") == number != w.RegisterWindowMessage("other")


@program
def test_get_message_on_a_window_that_does_not_exist() -> None:
    """-1."""
    assert w.GetMessage(w.MSG(), 12, 0, 0) == -1
    assert w.GetLastError() == w.ERROR_INVALID_WINDOW_HANDLE


@program
def test_msg_wait_for_events_and_messages() -> None:
    """An event's index; the count for a message; both for wait-all; a time-out."""
    hwnd, event = window(), w.CreateEvent(None, False, False, None)
    wait = w.MsgWaitForMultipleObjects
    assert wait(1, [event], False, 10, w.QS_ALLINPUT) == w.WAIT_TIMEOUT
    w.PostMessage(hwnd, WM_MINE, 0, 0)
    assert wait(1, [event], False, 1000, w.QS_ALLINPUT) == w.WAIT_OBJECT_0 + 1
    assert wait(1, [event], True, 10, w.QS_ALLINPUT) == w.WAIT_TIMEOUT
    w.SetEvent(event)
    assert wait(1, [event], False, 1000, w.QS_ALLINPUT) == w.WAIT_OBJECT_0
    w.SetEvent(event)
    assert wait(1, [event], True, 1000, w.QS_ALLINPUT) == w.WAIT_OBJECT_0
    w.PeekMessage(w.MSG(), None, 0, 0, w.PM_REMOVE)
    later = w.CreateThread(lambda _: w.PostMessage(hwnd, WM_MINE, 0, 0), None)
    assert wait(1, [event], False, 1000, w.QS_ALLINPUT) == w.WAIT_OBJECT_0 + 1
    w.WaitForSingleObject(later, w.INFINITE)
    assert wait(0, None, False, 0, w.QS_ALLINPUT) == w.WAIT_OBJECT_0
    assert wait(1, [12], False, 0, w.QS_ALLINPUT) == w.WAIT_FAILED


@winsock_program
def test_socket_messages_and_posts_keep_their_order() -> None:
    """What has arrived before a post comes before it, though no task has run since."""
    hwnd = window()
    near, far = pair()
    assert w.WSAAsyncSelect(far, hwnd, WM_MINE, w.FD_READ) == 0
    w.PostMessage(hwnd, WM_MINE + 1, 1, 0)
    w.send(near, b"x", 1, 0)
    w.PostMessage(hwnd, WM_MINE + 2, 2, 0)
    message, order = w.MSG(), []
    while w.PeekMessage(message, None, 0, 0, w.PM_REMOVE):
        order.append(message.message - WM_MINE)
    assert order == [1, 0, 2]


@winsock_program
def test_message_boxes_print(capsys: pytest.CaptureFixture[str]) -> None:
    """And answer IDOK."""
    assert w.MessageBox(None, "text", "caption", w.MB_OK) == w.IDOK
    text = bytearray(80)
    w.FormatMessage(w.FORMAT_MESSAGE_FROM_SYSTEM, None, w.WSAECONNREFUSED, 0, text, 80, None)
    assert w.MessageBox(None, text, None, w.MB_OK) == w.IDOK
    allocated = w.LPSTR()
    flags = w.FORMAT_MESSAGE_FROM_SYSTEM | w.FORMAT_MESSAGE_ALLOCATE_BUFFER
    w.FormatMessage(flags, None, w.WSAECONNREFUSED, 0, allocated, 0, None)
    assert w.MessageBox(None, allocated, None, w.MB_OK) == w.IDOK
    expected = bytes(text).split(b"\0")[0].decode()
    assert capsys.readouterr().out == "[caption] text\n" + f"[Error] {expected}\n" * 2
