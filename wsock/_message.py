# Messages: what a window gets.
#
# Rule 1: a notification is the common case, so its fields are stored as they come, and wparam and
#         lparam are made when somebody asks. Slotted and mutable: 0.14 us here, a frozen dataclass
#         costs 0.38 us.
# Rule 2: a message that a program posts may speak of a socket, too (``post(WM_SOCKET, sock.handle,
#         FD_READ)`` is a textbook idiom). Whether it does is found out when somebody asks.
#
# Sources: learn.microsoft.com, WSAAsyncSelect (wParam, lParam), MSG.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _handles

if TYPE_CHECKING:
    from ._window import Window

__all__ = ["MadeMessage", "Message", "PostedMessage", "QueueStatistics"]


class Message:
    """One message: from the network, posted by a program, or made by the queue.

    Attributes:
      window: where it was sent; None for one posted to the queue alone, and for WM_QUIT.
      message: its number, WM_something.
      socket: the socket that it is about, or None.
      event: which one FD_ event, or 0.
      error: the event's error code, 0 for success.
      wparam, lparam: as on Windows; for a notification the socket's handle, and the event with
        the error code in the upper half. What programs post may be any object.

    A message that a program posts reads as a notification (has a socket) if its number is that of
    a selection on its window and wparam is the handle of an open socket.
    """

    __slots__ = ("error", "event", "message", "socket", "window")

    def __init__(
        self, window: Window | None, message: int, socket: Any, event: int, error: int
    ) -> None:
        self.window = window
        self.message = message
        self.socket = socket
        self.event = event
        self.error = error

    @property
    def wparam(self) -> Any:
        """The socket's handle; of a posted message what was posted."""
        return _handles.handle_of(self.socket)

    @property
    def lparam(self) -> Any:
        """``event | error << 16``; of a posted message what was posted."""
        return self.event | self.error << 16

    def __repr__(self) -> str:
        if self.socket is None:
            return f"<Message {self.message:#06x} {self.wparam!r} {self.lparam!r}>"
        return f"<Message {self.message:#06x} event {self.event:#x} error {self.error}>"


class PostedMessage(Message):
    """A message with parameters of its own. Whether it is about a socket is found out if asked."""

    __slots__ = ("lparam", "wparam")

    def __init__(self, window: Window | None, message: int, wparam: Any, lparam: Any) -> None:
        self.window = window
        self.message = message
        self.wparam = wparam  # type: ignore[misc]  # a slot here, a property in the base class
        self.lparam = lparam  # type: ignore[misc]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # The slots of the base class are empty at first, so the first question comes here.
            if name not in ("socket", "event", "error"):
                raise AttributeError(name)
            self._find_socket()
            return getattr(self, name)

    def _find_socket(self) -> None:
        self.socket = None
        self.event = self.error = 0
        if self.window is not None and isinstance(self.wparam, int):
            self.socket = self.window.selected_socket(self.message, self.wparam)
            if self.socket is not None and isinstance(self.lparam, int):
                self.event = self.lparam & 0xFFFF
                self.error = self.lparam >> 16 & 0xFFFF


class MadeMessage(PostedMessage):
    """WM_TIMER or WM_QUIT: made when taken, so it does not count as posted."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """Figures of a queue, for logs and curious people.

    Attributes:
      queued: messages waiting, of programs and of the network.
      posted: of these, posted by programs; never above ``max_messages``.
      max_messages: how many a program may have waiting.
      refused: posts that were refused since the queue was made, because it was full.
      taken: messages taken since the queue was made.
      timers: timers set.
      selected: sockets whose notifications come here.
      reader_waiting: whether a task waits for the next message.
    """

    queued: int
    posted: int
    max_messages: int
    refused: int
    taken: int
    timers: int
    selected: int
    reader_waiting: bool
