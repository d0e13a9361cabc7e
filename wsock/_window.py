# Windows: where sockets send messages, and the loop that hands them out.
#
#   async_socket     on_receive ...               told through here
#   socket           async_select                 names the window that an endpoint reports to
# > window, event    messages, event objects      THIS FILE: who is told, and how
#   afd              FD_ record                   decides when something is to be told
#
# Rule 1: ``report`` is called by endpoints on the loop's thread; it never waits and runs no user
#         code. What it costs, every message costs: one Message, one append, and one reschedule
#         for each time the reader slept.
# Rule 2: a program's exception leaves through ``run``, in the task that called it.
#
# Report, take and call of an empty procedure cost 0.15 us a message here (CPython 3.11); a pass
# through the scheduler costs 3.5 us, so run() and batches() make one after a batch.
#
# Sources: learn.microsoft.com, WSAAsyncSelect, "Using Messages and Message Queues".

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, Self

import trio

from . import _handles
from ._message import Message
from ._message_loop import Batches, serve_until_idle
from ._message_queue import ALL_MESSAGES, EVERY_WINDOW, MessageQueue, QueueStatistics
from .constants import FD_ACCEPT, FD_READ, WM_QUIT
from .errors import WSAEWOULDBLOCK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Message", "MessageQueue", "QueueStatistics", "Window"]


class Selectable(Protocol):
    """What a window needs of an endpoint whose notifications it gets.

    Attributes:
      owner: the socket, while the selection lasts. It has an attribute ``handler``: None, or
        an object whose ``dispatch(message)`` serves the socket under ``Window.run()``.
      message: the number that messages about it carry.
      host: the stack that it lives on.
    """

    owner: Any
    message: int
    host: Any
    notice: Message | None

    def turn(self) -> bool:
        """Look once, without waiting, what has happened below; whether anything had."""

    def select(self, target: None, message: int, mask: int, owner: None, /) -> None:
        """With these arguments: cancel the selection."""


class Window:
    """A queue of messages, from sockets that selected it and from whoever posts.

    An async context manager; leaving it ends the window: waiting tasks get
    :exc:`trio.ClosedResourceError`, messages not taken are dropped, sockets work on without
    notifications. One task at a time reads.

    Args:
      max_messages: how many messages that programs post may wait (Windows: 10,000). Notifications
        are always queued.
      queue: share this queue, with its limit, instead of having one. Then what reads here also
        gets the messages of the other windows, and ending this window leaves the queue alone.
    """

    __slots__ = ("__weakref__", "_closed", "_endpoints", "_owns_queue", "queue")

    kind: ClassVar[Literal["message"]] = "message"

    def __init__(self, max_messages: int = 10_000, *, queue: MessageQueue | None = None) -> None:
        self._owns_queue = queue is None
        self.queue: Final = MessageQueue(max_messages) if queue is None else queue
        self._endpoints: dict[Selectable, None] = {}
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self.queue)} queued"
        return f"<Window {state}, {len(self._endpoints)} sockets>"

    def __reduce__(self) -> str:
        raise TypeError("a Window belongs to a process and a Trio run; it does not pickle")

    @property
    def closed(self) -> bool:
        """Whether the window has ended."""
        return self._closed

    @property
    def handle(self) -> int:
        """The window's number in this Trio run."""
        return _handles.handle_of(self)

    # Posting

    def post(self, message: int, wparam: Any = 0, lparam: Any = 0) -> None:
        """Append a message to the queue; from any thread. Never a checkpoint.

        Args:
          message: its number; WM_USER and up are a program's own.
          wparam, lparam: any objects.

        Raises:
          WSAENOBUFS: ``max_messages`` posted messages wait already; nothing was queued.
          trio.ClosedResourceError: the window has ended.
        """
        if self._closed:
            raise trio.ClosedResourceError("this window has ended")
        self.queue.post(self, message, wparam, lparam)

    def post_quit(self, code: int = 0) -> None:
        """Ask the loop to end with ``code``, after every posted message; from any thread.

        WM_QUIT is delivered once the queue has no posted message left, also none posted later.
        """
        self.queue.post_quit(code)

    def set_timer(self, identifier: Any, seconds: float) -> None:
        """Get WM_TIMER with ``identifier`` as wparam every ``seconds``, from now on.

        Of lowest priority, and at most one per timer waits, however often it elapsed. A timer with
        the same identifier is replaced. Under 10 ms counts as 10 ms.
        """
        self.queue.set_timer(self, identifier, seconds)

    def kill_timer(self, identifier: Any) -> bool:
        """End a timer; False if this window has none with that identifier."""
        return self.queue.kill_timer(self, identifier)

    # Reading

    async def get(self, minimum: int = 0, maximum: int = 0) -> Message:
        """Wait for the next message and take it: GetMessage.

        Always a checkpoint. A cancelled call has taken nothing. WM_QUIT is a message here, its
        wparam is the code.

        Args:
          minimum, maximum: only these numbers, both included; 0 and 0 stand for all. WM_QUIT
            passes every filter.

        Raises:
          trio.BusyResourceError: another task reads.
          trio.ClosedResourceError: the window has ended, before or during the wait.
        """
        return await self.queue.get(EVERY_WINDOW, minimum, maximum)

    def get_nowait(self, minimum: int = 0, maximum: int = 0) -> Message:
        """Take the next message, without waiting. Arguments as :meth:`get`; never a checkpoint.

        Where none is queued it looks once what has happened meanwhile, as PeekMessage does.

        Raises:
          WSAEWOULDBLOCK: there is none.
          trio.ClosedResourceError: the window has ended.
        """
        queue = self.queue
        message = queue.take(EVERY_WINDOW, minimum, maximum)
        if message is None:
            queue.turn()
            message = queue.take(EVERY_WINDOW, minimum, maximum)
        if message is None:
            raise WSAEWOULDBLOCK("get_nowait")
        return message

    def peek(self, minimum: int = 0, maximum: int = 0) -> Message | None:
        """The next message, left where it is, or None. As :meth:`get_nowait`."""
        message = self.queue.peek(EVERY_WINDOW, minimum, maximum)
        if message is None:
            self.queue.turn()
            message = self.queue.peek(EVERY_WINDOW, minimum, maximum)
        return message

    def __aiter__(self) -> Window:
        """Messages one by one, until WM_QUIT; each step is a checkpoint."""
        return self

    async def __anext__(self) -> Message:
        message = await self.queue.get()
        if message.message == WM_QUIT:
            raise StopAsyncIteration
        return message

    def batches(self) -> Batches:
        """Iterate over batches of messages, until WM_QUIT::

            async for batch in window.batches():
                for message in batch:
                    ...

        Each step waits, and is a checkpoint. A batch takes from the live queue, one message at a
        time, and ends after as many as waited at the wake-up, at most 256. What a loop that breaks
        off did not take, waits on.
        """
        return Batches(self.queue)

    async def run(
        self,
        procedure: Callable[[Message], object] | None = None,
        on_error: Callable[[Exception, Message], object] | None = None,
    ) -> int:
        """Hand every message to ``procedure``, until WM_QUIT; the fast way to read.

        Waits, and is a checkpoint, once per batch: as many messages as waited at the wake-up, at
        most 256.

        Args:
          procedure: a plain function. (To await, use ``async for message in window``.) None: each
            notification goes to the on_... method of its AsyncSocket, the rest is dropped.
          on_error: called with what the procedure raised and the message; then the loop goes on.
            None: the exception leaves through run(), with every other message still in the queue.

        Returns:
          the code given to post_quit.

        Raises:
          TypeError: ``procedure`` returned an awaitable.
          trio.BusyResourceError: another task reads.
          trio.ClosedResourceError: the window has ended.
          what ``procedure`` or ``on_error`` raises.
        """
        queue = self.queue
        queue._refuse_second_reader()
        outer, queue._owner = queue._owner, trio.lowlevel.current_task()
        try:
            while True:
                queue.refuse_closed()
                await queue._sleep(ALL_MESSAGES)
                if not queue._messages:
                    made = queue.peek()
                    if made is None:
                        continue
                    if made.message == WM_QUIT:
                        return _quit_code(queue.take() or made)
                    queue.bring_timer()  # served as a batch of one
                quit_message = serve_until_idle(queue, procedure, on_error)
                if quit_message is not None:
                    return _quit_code(quit_message)
        finally:
            queue._owner = outer

    # The target of selections

    def report(self, endpoint: Selectable, bit: int, code: int) -> None:
        """Queue the notification of ``bit`` with its error code."""
        notice = Message(self, endpoint.message, endpoint.owner, bit, code)
        if bit & _REPEATED and not code and type(self).report is _REPORT:
            # They are all alike: the endpoint puts this one again, as long as the selection lasts,
            # and does not come here (8 % of the instructions of an echoed message, counted). A
            # subclass, or hints, that have their own report go on to hear of each.
            endpoint.notice = notice
        put = self.queue.put  # (called as a method it would be looked up as one, in vain)
        put(notice)

    def selected(self, endpoint: Selectable) -> None:
        """From now on ``endpoint`` reports here; keep it alive.

        Raises:
          trio.ClosedResourceError: the window has ended.
        """
        if self._closed:
            raise trio.ClosedResourceError("this window has ended")
        self._endpoints[endpoint] = None
        self.queue.tie()
        self.queue.add_source(endpoint.turn, endpoint.host)

    def inherited(self, endpoint: Selectable) -> None:
        """The same for a socket that was accepted: its listener reports here already."""
        self._endpoints[endpoint] = None

    def deselected(self, endpoint: Selectable) -> None:
        """``endpoint`` no longer reports here. Its messages stay in the queue."""
        self._endpoints.pop(endpoint, None)

    def waiting(self, endpoint: Selectable) -> int:
        """The events of ``endpoint`` whose messages are in the queue."""
        events = 0
        # A notification is a plain Message; a posted one finds out about its socket only if asked.
        for message in self.queue._messages.copy():
            if message.__class__ is Message and message.socket is endpoint.owner:
                events |= message.event
        return events

    def selected_socket(self, message: int, handle: int) -> Any:
        """The open socket with this handle, if ``message`` is a selection's number here."""
        if not any(endpoint.message == message for endpoint in self._endpoints):
            return None
        found = _handles.object_of(handle)
        return found if hasattr(found, "handler") else None

    # Ending

    def close(self) -> None:
        """End the window; closing again does nothing. Never a checkpoint."""
        if self._closed:
            return
        self.queue.refuse_other_thread()
        self._closed = True
        for endpoint in list(self._endpoints):
            endpoint.select(None, 0, 0, None)
        self._endpoints.clear()
        if self._owns_queue:
            self.queue.close()
        else:
            self.queue.discard(self)

    async def aclose(self) -> None:
        """:meth:`close`, and a checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def statistics(self) -> QueueStatistics:
        """Figures at this moment. Never a checkpoint."""
        return self.queue.statistics(len(self._endpoints))


_REPORT: Final = Window.report

#: What a socket is told of again and again; it is never both for one.
_REPEATED: Final = FD_READ | FD_ACCEPT


def _quit_code(message: Message) -> int:
    code: int = message.wparam
    return code
