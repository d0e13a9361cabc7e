# user32, first part: classes and windows.
#
# A window here is a place that messages go to: it has a class with a procedure, an owner (the
# thread that made it) and nothing to show.
#
# Rule 1: nothing here waits, and nothing here touches what is queued, except that a destroyed
#         window takes its messages along.
#
# Sources: learn.microsoft.com on each function.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wsock.win32._buffers import c_string
from wsock.win32._queues import Window, queue_of
from wsock.win32._threads import current, failed
from wsock.win32.constants import (
    ERROR_ACCESS_DENIED,
    ERROR_CANNOT_FIND_WND_CLASS,
    ERROR_CLASS_ALREADY_EXISTS,
    ERROR_INVALID_PARAMETER,
    ERROR_INVALID_WINDOW_HANDLE,
    FALSE,
    GWLP_USERDATA,
    IDOK,
    TRUE,
    WM_CLOSE,
    WM_CREATE,
    WM_DESTROY,
    WM_NCDESTROY,
)

if TYPE_CHECKING:
    from wsock.win32._queues import Procedure
    from wsock.win32.types import WNDCLASS

_FIRST_ATOM: Final = 0xC000


def atom_of(name: str) -> int:
    atoms = current().process.atoms
    return atoms.setdefault(name.lower(), _FIRST_ATOM + len(atoms))


def RegisterClass(lpWndClass: WNDCLASS) -> int:
    """ATOM RegisterClass(const WNDCLASS *): 0 with ERROR_CLASS_ALREADY_EXISTS for a known name."""
    name, procedure = lpWndClass.lpszClassName, lpWndClass.lpfnWndProc
    if not name or procedure is None:
        return failed(ERROR_INVALID_PARAMETER)
    classes = current().process.classes
    if name.lower() in classes:
        return failed(ERROR_CLASS_ALREADY_EXISTS)
    classes[name.lower()] = procedure
    return atom_of(name)


RegisterClassEx = RegisterClass


class CREATESTRUCT:
    """What WM_CREATE carries in lParam: the object itself, not its address."""

    __slots__ = ("hInstance", "hwndParent", "lpCreateParams", "lpszClass", "lpszName")

    def __init__(self, params: object, instance: object, parent: object, names: list[str]) -> None:
        self.lpCreateParams = params
        self.hInstance = instance
        self.hwndParent = parent
        self.lpszClass, self.lpszName = names


def _procedure(name: str | int) -> tuple[str, Procedure | None]:
    process = current().process
    if isinstance(name, int):
        name = next((known for known, atom in process.atoms.items() if atom == name), "")
    if name.lower() in ("static", "message"):  # classes that Windows brings
        return name, process.classes.get(name.lower(), DefWindowProc)
    return name, process.classes.get(name.lower())


def CreateWindow(
    lpClassName: str | int,
    lpWindowName: str | None,
    dwStyle: int,
    x: int,
    y: int,
    nWidth: int,
    nHeight: int,
    hWndParent: int | None,
    hMenu: object,
    hInstance: object,
    lpParam: object,
) -> int | None:
    """HWND CreateWindow(class, title, style, x, y, width, height, parent, menu, instance, param).

    The window belongs to the calling thread, and its messages to that thread's queue. The
    procedure gets WM_CREATE, with a CREATESTRUCT as lParam; if it answers -1 there is no window.

    Returns:
      the window; NULL with ERROR_CANNOT_FIND_WND_CLASS if the class was not registered.
    """
    thread = current()
    name, procedure = _procedure(lpClassName)
    if procedure is None:
        failed(ERROR_CANNOT_FIND_WND_CLASS)
        return None
    window = Window(thread, procedure, lpWindowName or "")
    thread.process.windows[window.number] = window
    queue_of(thread).windows.add(window)
    made = CREATESTRUCT(lpParam, hInstance, hWndParent, [name, window.title])
    if window.call(WM_CREATE, 0, made) == -1:
        _remove(window)
        return None
    return window.number


def CreateWindowEx(dwExStyle: int, *arguments: Any) -> int | None:
    """HWND CreateWindowEx(ex_style, ...): CreateWindow with one more argument in front."""
    return CreateWindow(*arguments)


def window_of(hwnd: int | None) -> Window | None:
    return current().process.windows.get(hwnd or 0)


def _remove(window: Window) -> None:
    window.thread.process.windows.pop(window.number, None)
    queue = queue_of(window.thread)
    queue.windows.discard(window)
    for key in [key for key in queue.timer_procedures if key[0] is window]:
        del queue.timer_procedures[key]
    window.close()


def DestroyWindow(hWnd: int | None) -> int:
    """BOOL DestroyWindow(HWND): only by the thread that made it.

    Its procedure gets WM_DESTROY. Messages that wait for it are dropped; sockets that are
    selected on it work on without notifications.
    """
    window = window_of(hWnd)
    if window is None:
        return failed(ERROR_INVALID_WINDOW_HANDLE)
    if window.thread is not current():
        return failed(ERROR_ACCESS_DENIED)
    window.call(WM_DESTROY, 0, 0)
    window.call(WM_NCDESTROY, 0, 0)
    _remove(window)
    return TRUE


def DefWindowProc(hWnd: int, Msg: int, wParam: Any, lParam: Any) -> int:
    """LRESULT DefWindowProc(HWND, UINT, WPARAM, LPARAM): WM_CLOSE destroys, all else is 0."""
    if Msg == WM_CLOSE:
        DestroyWindow(hWnd)
    return 0


def IsWindow(hWnd: int | None) -> int:
    """BOOL IsWindow(HWND): whether there is such a window."""
    return int(window_of(hWnd) is not None)


def ShowWindow(hWnd: int | None, nCmdShow: int) -> int:
    """BOOL ShowWindow(HWND, int): nothing is shown; FALSE, it was hidden before."""
    return FALSE if window_of(hWnd) is not None else failed(ERROR_INVALID_WINDOW_HANDLE)


def UpdateWindow(hWnd: int | None) -> int:
    """BOOL UpdateWindow(HWND): there is nothing to draw."""
    return TRUE if window_of(hWnd) is not None else failed(ERROR_INVALID_WINDOW_HANDLE)


def SetWindowLongPtr(hWnd: int, nIndex: int, dwNewLong: Any) -> Any:
    """LONG_PTR SetWindowLongPtr(HWND, GWLP_USERDATA, value): any object; answers the old one."""
    window = window_of(hWnd)
    if window is None or nIndex != GWLP_USERDATA:
        return failed(ERROR_INVALID_PARAMETER if window else ERROR_INVALID_WINDOW_HANDLE)
    before, window.user_data = window.user_data, dwNewLong
    return before


def GetWindowLongPtr(hWnd: int, nIndex: int) -> Any:
    """LONG_PTR GetWindowLongPtr(HWND, GWLP_USERDATA): what SetWindowLongPtr left, or 0."""
    window = window_of(hWnd)
    if window is None or nIndex != GWLP_USERDATA:
        return failed(ERROR_INVALID_PARAMETER if window else ERROR_INVALID_WINDOW_HANDLE)
    return window.user_data


def _shown(text: object) -> str:
    return "" if text is None else c_string(text).decode(errors="replace")


def MessageBox(hWnd: int | None, lpText: object, lpCaption: object, uType: int) -> int:
    """int MessageBox(HWND, text, caption, type): prints both; answers IDOK.

    Each may be a str, an LPSTR, or a buffer with text up to its NUL, as FormatMessage fills it.
    """
    caption = "Error" if lpCaption is None else lpCaption
    print(f"[{_shown(caption)}] {_shown(lpText)}")
    return IDOK


def GetModuleHandle(lpModuleName: str | None) -> int:
    """HMODULE GetModuleHandle(name): a number to pass on as hInstance."""
    return 0x400000


__all__ = [
    "CREATESTRUCT", "CreateWindow", "CreateWindowEx", "DefWindowProc", "DestroyWindow",
    "GetModuleHandle", "GetWindowLongPtr", "IsWindow", "MessageBox", "RegisterClass",
    "RegisterClassEx", "SetWindowLongPtr", "ShowWindow", "UpdateWindow",
]  # fmt: skip
