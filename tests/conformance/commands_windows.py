# Commands of a scenario: windows, messages, timers, and the pump that shows what has come.
"""Windows and their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock import win32 as w

from . import language
from .language import error_name, message, number, result, truth

if TYPE_CHECKING:
    from .names import Names

CLASS_NAME = "conformance"
# Windows answers WM_USER+500 to +599 with the sum of the parameters, so that a message that was
# sent can be told from one that nobody handled.
_ANSWERED = range(w.WM_USER + 500, w.WM_USER + 600)
_LAST_OF_A_PROGRAM = 0xC000
_NAP_MS = 5


def procedure(hwnd: int, number: int, wparam: int, lparam: int) -> int:
    if number in _ANSWERED:
        return wparam + lparam
    return w.DefWindowProc(hwnd, number, wparam, lparam)


class Desktop:
    """The windows of a scenario, and which messages tell of sockets."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.socket_messages: set[int] = set()
        self.registered = False

    # Selection and windows

    def select(self, name: str, window: str, number: str, mask: str) -> str:
        code = message(number)
        if code:
            self.socket_messages.add(code)
        names = self.names
        return result(
            w.WSAAsyncSelect(names.handle(name), names.window(window), code, language.events(mask))
        )

    def create(self, name: str) -> str:
        if not self.registered:
            described = w.WNDCLASS()
            described.lpfnWndProc = procedure
            described.lpszClassName = CLASS_NAME
            w.RegisterClass(described)
            self.registered = True
        handle = w.CreateWindow(
            CLASS_NAME, name, 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None
        )
        if not handle:
            return "NULL"
        self.names.windows[name] = handle
        return "ok"

    def destroy(self, name: str) -> str:
        return truth(w.DestroyWindow(self.names.window(name)))

    # Messages

    def post(self, name: str, number_: str, wparam: str, lparam: str) -> str:
        window = self.names.window(name)
        return truth(w.PostMessage(window, message(number_), number(wparam), number(lparam)))

    def send(self, name: str, number_: str, wparam: str, lparam: str) -> str:
        window = self.names.window(name)
        return str(w.SendMessage(window, message(number_), number(wparam), number(lparam)))

    def flood(self, name: str, number_: str, count: str) -> str:
        window, code = self.names.window(name), message(number_)
        for posted in range(number(count)):
            if not w.PostMessage(window, code, posted, 0):
                return f"{posted} posted then {truth(0)}"
        return f"{count} posted"

    def peek(self, name: str, low: str, high: str, how: str) -> str:
        window, bounds = self._filter(name), (message(low), message(high))
        found = w.MSG()
        while w.PeekMessage(found, window, *bounds, getattr(w, how)):
            if self._of_interest(found):
                return "TRUE " + self.shown(found)
            if how != "PM_REMOVE":
                w.PeekMessage(found, window, *bounds, w.PM_REMOVE)
            w.DispatchMessage(found)
        return "FALSE"

    def get(self, name: str, low: str, high: str) -> str:
        window, bounds = self._filter(name), (message(low), message(high))
        found = w.MSG()
        while True:
            answer = w.GetMessage(found, window, *bounds)
            if answer == -1:
                return f"-1 {error_name(w.WSAGetLastError())}"
            if self._of_interest(found):
                return ("TRUE " if answer else "FALSE ") + self.shown(found)
            w.DispatchMessage(found)

    def _filter(self, name: str) -> int | None:
        return None if name == "*" else self.names.window(name)

    # Timers and the end

    def post_quit(self, code: str) -> str:
        w.PostQuitMessage(number(code))
        return "ok"

    def set_timer(self, name: str, identifier: str, ms: str) -> str:
        window = self.names.window(name)
        return "ok" if w.SetTimer(window, number(identifier), number(ms), None) else "0"

    def kill_timer(self, name: str, identifier: str) -> str:
        return "TRUE" if w.KillTimer(self.names.window(name), number(identifier)) else "FALSE"

    # What a transcript shows

    @staticmethod
    def _of_interest(found: w.MSG) -> bool:
        code = found.message
        return code in (w.WM_QUIT, w.WM_TIMER) or w.WM_USER <= code < _LAST_OF_A_PROGRAM

    def _source(self, found: w.MSG) -> str:
        """The socket that a message tells of; messages are grouped by it."""
        if found.message in self.socket_messages:
            return self.names.name_of_socket(found.wParam)
        return ""

    def shown(self, found: w.MSG) -> str:
        if found.message == w.WM_QUIT:
            return f"WM_QUIT {found.wParam}"
        window = self.names.name_of_window(found.hwnd)
        if found.message == w.WM_TIMER:
            return f"{window} WM_TIMER {found.wParam}"
        start = f"{window} U+{found.message - w.WM_USER}"
        if found.message not in self.socket_messages:
            return f"{start} wp={found.wParam} lp={found.lParam}"
        event = language.event_name(w.WSAGETSELECTEVENT(found.lParam))
        error = error_name(w.WSAGETSELECTERROR(found.lParam))
        return f"{start} {self._source(found)} {event} {error}"

    def pump(self, quiet_ms: int, order: str) -> list[str]:
        """Take messages until none has come for ``quiet_ms``; a timer's repeats count once."""
        got: list[tuple[str, str]] = []
        start = last = w.GetTickCount64()
        while True:
            found = w.MSG()
            while w.PeekMessage(found, None, 0, 0, w.PM_REMOVE):
                entry = (self._source(found), self.shown(found))
                repeated = found.message == w.WM_TIMER and entry in got
                if self._of_interest(found) and not repeated:
                    last = w.GetTickCount64()
                    got.append(entry)
                if found.message != w.WM_QUIT:
                    w.DispatchMessage(found)
            now = w.GetTickCount64()
            if now - last >= quiet_ms or now - start > 20 * quiet_ms:
                break
            w.Sleep(_NAP_MS)
        if order == "set":
            got.sort()
        elif order != "raw":
            got.sort(key=lambda entry: entry[0])
        return [text for _, text in got]

    def commands(self) -> dict[str, object]:
        return {
            "WSAAsyncSelect": self.select,
            "window": self.create,
            "DestroyWindow": self.destroy,
            "PostMessage": self.post,
            "SendMessage": self.send,
            "flood": self.flood,
            "PeekMessage": self.peek,
            "GetMessage": self.get,
            "PostQuitMessage": self.post_quit,
            "SetTimer": self.set_timer,
            "KillTimer": self.kill_timer,
        }
