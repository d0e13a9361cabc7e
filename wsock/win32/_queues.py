# Queues: the message queue of a thread, its windows, and messages sent across threads.
#
#   user32          the calls
# > queues          THIS FILE: one MessageQueue for all windows of a thread
#   _window         Window and MessageQueue of the Python face
#
# Rule 1: posted messages, WM_QUIT, timers and socket notifications are _window's. Here is what only
#         Windows has: procedures, and SendMessage, which waits until the receiver looks.
# Rule 2: a thread answers messages sent to it in GetMessage, PeekMessage, MsgWait... and while its
#         own SendMessage waits, so two threads that send to each other never block each other;
#         in a blocking recv or in Sleep it does not (as on Windows).
# Rule 3: a procedure runs in the thread that owns the window. What it raises leaves there; a sender
#         in another thread gets 0.
#
# Sources: learn.microsoft.com, SendMessage, "About Messages and Message Queues".

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import ParkingLot

from wsock import _window
from wsock.win32 import _threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.win32._threads import Thread

    Procedure = Callable[[int, int, Any, Any], Any]


class Window(_window.Window):
    """A window: what it is to sockets and the queue, and its procedure."""

    __slots__ = ("number", "procedure", "thread", "title", "user_data")

    def __init__(self, thread: Thread, procedure: Procedure, title: str) -> None:
        super().__init__(queue=queue_of(thread).messages)
        self.thread = thread
        self.procedure = procedure
        self.title = title
        self.user_data: Any = 0
        self.number = self.handle

    def call(self, message: int, wparam: Any, lparam: Any) -> Any:
        """Call the procedure, in the thread that is running now."""
        result = self.procedure(self.number, message, wparam, lparam)
        return 0 if result is None else result


class SentMessage:
    """A SendMessage from another thread, until it is answered."""

    __slots__ = ("done", "lparam", "message", "result", "sender", "window", "wparam")

    def __init__(
        self, sender: ThreadQueue, window: Window, message: int, wparam: Any, lparam: Any
    ) -> None:
        self.sender = sender
        self.window = window
        self.message = message
        self.wparam = wparam
        self.lparam = lparam
        self.result: Any = 0
        self.done = False

    def serve(self) -> None:
        """Call the procedure, in the receiving thread."""
        try:
            self.result = self.window.call(self.message, self.wparam, self.lparam)
        finally:
            self.finish()

    def finish(self) -> None:
        """Let the sender go on."""
        self.done = True
        self.sender.wake()


class ThreadQueue:
    """The queue of one thread."""

    __slots__ = ("lot", "messages", "sent", "tick", "timer_procedures", "windows")

    def __init__(self) -> None:
        self.messages = _window.MessageQueue()
        self.sent: deque[SentMessage] = deque()
        self.windows: set[Window] = set()
        self.timer_procedures: dict[tuple[Window | None, int], Callable[..., object]] = {}
        self.tick = 0  # when the thread was last woken: the ``time`` of what it takes then
        self.lot = ParkingLot()  # a SendMessage of this thread waits here

    def wake(self) -> None:
        """Let the thread look again, whichever of its calls waits."""
        self.messages.wake()
        self.lot.unpark_all()

    def serve_sent(self) -> None:
        """Answer everything that was sent here."""
        while self.sent:
            self.sent.popleft().serve()

    def send(self, window: Window, message: int, wparam: Any, lparam: Any) -> Any:
        """Send to a window of another thread, and wait for the answer."""
        record = SentMessage(self, window, message, wparam, lparam)
        receiver = queue_of(window.thread)
        receiver.sent.append(record)
        receiver.wake()
        try:
            while not record.done:
                self.serve_sent()
                if not record.done:
                    _threads.wait(self.lot.park)
        except trio.Cancelled:
            if record in receiver.sent:
                receiver.sent.remove(record)
            raise
        return record.result

    def close(self) -> None:
        """The thread has ended: so have its windows; who sent here gets 0."""
        for window in list(self.windows):
            window.thread.process.windows.pop(window.number, None)
            window.close()
        self.windows.clear()
        self.messages.close()
        while self.sent:
            self.sent.popleft().finish()


def queue_of(thread: Thread) -> ThreadQueue:
    """The queue of a thread; made when first asked for, as Windows does."""
    queue = thread.queue
    if queue is None:
        queue = thread.queue = ThreadQueue()
    return queue
