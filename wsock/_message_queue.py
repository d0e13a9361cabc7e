# The queue that messages wait in.
#
#   window           who may be told              hands out what is taken here
# > message_queue    MessageQueue                 THIS FILE: order, filters, limit, quit, timers
#   timers           one wake-up per deadline
#
# One queue may serve several windows (in wsock.win32 all windows of a thread share one, as on
# Windows); a Python Window has one of its own.
#
# Rule 1: posted messages come first, in the order of posting, whatever window they are for; then
#         WM_QUIT, once nothing that passes the filter is left (the filter does not hold it back);
#         then WM_TIMER, which exists only in the moment somebody looks.
# Rule 2: the limit counts what programs post. Notifications are always queued: each is owed to a
#         selection or to a call that asked for the next one, and losing one would stall its socket.
# Rule 3: post, post_quit and wake may be called from any thread, and from a signal handler: no
#         locks. Everything else belongs to the thread of the loop.
# Rule 4: one reader. It sleeps with ``_sleeper`` set, and is rescheduled once per sleep.
# Rule 5: ``put`` queues a notification: the deque's own append, but while the reader sleeps a
#         method that also wakes it. So whoever puts need not ask, and most puts are one C call.
#
# Sources: learn.microsoft.com, GetMessage, PeekMessage, PostMessage, PostQuitMessage, SetTimer,
# "About Messages and Message Queues".

from __future__ import annotations

import math
import weakref
from collections import deque
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.lowlevel import (
    Abort,
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from . import _timers
from ._message import MadeMessage, Message, PostedMessage, QueueStatistics
from ._window_timers import EVERY_WINDOW, WindowTimers, passes
from .constants import WM_QUIT, WM_TIMER
from .errors import WSAENOBUFS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._window import Window
    from ._window_timers import Filters, _EveryWindow

__all__ = ["EVERY_WINDOW", "MessageQueue", "QueueStatistics"]

ALL_MESSAGES: Final = (EVERY_WINDOW, 0, 0)

BATCH: Final = 256
"""Messages taken without a checkpoint in between: at 10 us each this is 2.6 ms."""


class MessageQueue:
    """Where messages wait until a task takes them, one at a time and in order.

    Args:
      max_messages: how many messages that programs post may wait (Windows: 10,000).
    """

    __slots__ = (
        "__weakref__",
        "_attempts",
        "_closed",
        "_home",
        "_hosts",
        "_messages",
        "_owner",
        "_posted_taken",
        "_quit",
        "_refusals",
        "_refused",
        "_sleeper",
        "_sources",
        "_taken",
        "_timers",
        "max_messages",
        "put",
    )

    def __init__(self, max_messages: int = 10_000) -> None:
        if max_messages < 1:
            raise ValueError(f"max_messages must be at least 1, not {max_messages}")
        self.max_messages: Final = max_messages
        self._messages: deque[Message] = deque()
        #: Queue a notification; in the thread of the loop.
        self.put: Callable[[Message], None] = self._messages.append
        self._quit: Any = None  # what PostQuitMessage left: a one-element tuple with the code
        self._timers = WindowTimers()
        self._closed = False
        self._sleeper: trio.lowlevel.Task | None = None
        self._owner: trio.lowlevel.Task | None = None  # the task inside run()
        self._home: tuple[int, trio.lowlevel.TrioToken] | None = None
        # Counted without a lock: next() of a counter is one step, whichever thread does it.
        self._attempts = count(1)
        self._refusals = count(1)
        self._refused = 0
        self._posted_taken = 0
        self._taken = 0
        self._sources: tuple[Callable[[], bool], ...] = ()
        self._hosts: tuple[Any, ...] = ()
        queues.add(self)
        for hook in new_queue_hooks:
            hook(self)

    def __len__(self) -> int:
        return len(self._messages)

    # Putting in

    def post(self, window: Window | None, message: int, wparam: Any = 0, lparam: Any = 0) -> None:
        """Append a message of the program; from any thread. Never a checkpoint.

        Raises:
          WSAENOBUFS: ``max_messages`` posted messages wait already; nothing was queued.
          trio.ClosedResourceError: the queue has ended.
        """
        if self._closed:
            raise trio.ClosedResourceError("this message queue has ended")
        waiting = next(self._attempts) - self._refused - self._posted_taken
        if waiting > self.max_messages:
            self._refused = next(self._refusals)
            raise WSAENOBUFS("post", "", f"{self.max_messages} posted messages wait already")
        self._messages.append(PostedMessage(window, message, wparam, lparam))
        self._wake_from_anywhere()

    def post_quit(self, code: Any = 0) -> None:
        """Leave the mark that makes WM_QUIT, after what is posted; from any thread."""
        self._quit = (code,)
        self._wake_from_anywhere()

    def wake(self) -> None:
        """Let the reader look again, if it sleeps."""
        sleeper = self._sleeper
        if sleeper is not None:
            self._awake()
            reschedule(sleeper)

    def _awake(self) -> None:
        self._sleeper = None
        self.put = self._messages.append

    def _put_and_wake(self, message: Message) -> None:
        append = self.put = self._messages.append
        append(message)
        sleeper = self._sleeper
        if sleeper is not None:  # ``wake`` in place
            self._sleeper = None
            reschedule(sleeper)

    def _wake_from_anywhere(self) -> None:
        home = self._home
        if self._sleeper is None or home is None:
            return
        if home[0] == get_ident():
            self.wake()
        else:
            try:
                home[1].run_sync_soon(self.wake, idempotent=True)
            except trio.RunFinishedError:
                return  # nobody will read

    # Where messages come from

    def add_source(self, turn: Callable[[], bool], host: Any) -> None:
        """Sockets of ``host`` report here, and ``turn`` looks what has happened below them."""
        if turn not in self._sources:
            self._sources = (*self._sources, turn)
        if host not in self._hosts:
            self._hosts = (*self._hosts, host)

    def turn(self) -> None:
        """Look once, without waiting, whether something is to be reported.

        A loop that has served all its messages looks before it sleeps. Under load there is more,
        and a scheduler pass for the reactor and one to wake this task are saved for each batch.
        """
        for turn in self._sources:
            turn()

    # Taking out

    def take(
        self,
        window: Window | _EveryWindow | None = EVERY_WINDOW,
        minimum: int = 0,
        maximum: int = 0,
    ) -> Message | None:
        """The next message that passes the filter, taken out; None if there is none.

        Never a checkpoint. See :meth:`get` for the arguments. RuntimeError in another thread than
        the one that reads.
        """
        self.refuse_other_thread()
        return self._look((window, minimum, maximum), remove=True)

    def peek(
        self,
        window: Window | _EveryWindow | None = EVERY_WINDOW,
        minimum: int = 0,
        maximum: int = 0,
    ) -> Message | None:
        """The same, left where it is."""
        self.refuse_other_thread()
        return self._look((window, minimum, maximum), remove=False)

    def _look(self, filters: Filters, *, remove: bool) -> Message | None:
        if self._closed:
            raise trio.ClosedResourceError("this message queue has ended")
        position = self._find(filters)
        if position is not None:
            message = self._messages[position]
            if remove:
                del self._messages[position]
                self.count_taken(message)
            return message
        if self._quit is not None:
            message = MadeMessage(None, WM_QUIT, self._quit[0], 0)
            if remove:
                self._quit = None
                self.count_taken(message)
            return message
        return self._look_at_timers(filters, remove=remove)

    def _find(self, filters: Filters) -> int | None:
        messages = self._messages
        if filters[0] is EVERY_WINDOW and not (filters[1] or filters[2]):
            return 0 if messages else None
        # A copy, since another thread may append meanwhile; positions stay right.
        for position, message in enumerate(messages.copy()):
            if passes(filters, message.window, message.message):
                return position
        return None

    def _look_at_timers(self, filters: Filters, *, remove: bool) -> Message | None:
        timer = self._timers.elapsed(filters)
        if timer is None:
            return None
        message = MadeMessage(timer.window, WM_TIMER, timer.identifier, 0)
        if remove:
            self._timers.restart(timer)
            self.count_taken(message)
        return message

    def bring_timer(self) -> None:
        """Put the WM_TIMER that is due into the queue: run() serves what lies there."""
        timer = self._timers.elapsed(ALL_MESSAGES)
        if timer is not None:
            self._timers.restart(timer)
            self._messages.appendleft(MadeMessage(timer.window, WM_TIMER, timer.identifier, 0))

    def count_taken(self, message: Message) -> None:
        """Keep the counts right for a message that a reader has taken."""
        self._taken += 1
        if message.__class__ is PostedMessage:
            self._posted_taken += 1

    def dispatching(
        self, procedure: Callable[[Message], object] | None
    ) -> Callable[[Message], object] | None:
        """What run() calls for each message: a queue that is watched puts itself in between."""
        return procedure

    async def get(
        self,
        window: Window | _EveryWindow | None = EVERY_WINDOW,
        minimum: int = 0,
        maximum: int = 0,
    ) -> Message:
        """Wait for the next message that passes the filter, and take it.

        Always a checkpoint. A cancelled call has taken nothing.

        Args:
          window: only messages to this window; None: only those posted to no window.
          minimum, maximum: only these numbers, both included; 0 and 0 stand for all. WM_QUIT
            passes every filter.

        Raises:
          trio.BusyResourceError: another task reads this queue.
          trio.ClosedResourceError: the queue has ended, before or during the wait.
        """
        filters = (window, minimum, maximum)
        await checkpoint_if_cancelled()
        self._refuse_second_reader()
        message = self._look(filters, remove=True)
        if message is not None:
            await cancel_shielded_checkpoint()
            return message
        while True:
            await self._sleep(filters)
            message = self._look(filters, remove=True)
            if message is not None:
                return message
            self._refuse_second_reader()

    async def wait(
        self,
        window: Window | _EveryWindow | None = EVERY_WINDOW,
        minimum: int = 0,
        maximum: int = 0,
    ) -> None:
        """Wait until it is worth looking: a message that passes, WM_QUIT, or :meth:`wake`.

        Always a checkpoint; takes nothing. Arguments and errors as :meth:`get`.
        """
        self.refuse_closed()
        self._refuse_second_reader()
        await self._sleep((window, minimum, maximum))
        self.refuse_closed()

    def refuse_closed(self) -> None:
        """Raise trio.ClosedResourceError once the queue has ended."""
        if self._closed:
            raise trio.ClosedResourceError("this message queue has ended")

    def refuse_other_thread(self) -> None:
        """Raise RuntimeError in another thread than the one that reads."""
        if self._home is not None and self._home[0] != get_ident():
            raise RuntimeError(
                "messages are read in the thread of the Trio run that waits for them; "
                "from other threads only post and post_quit may be called"
            )

    def tie(self) -> None:
        """From now on this queue belongs to the Trio run that is calling."""
        if self._home is None:
            self._home = (get_ident(), trio.lowlevel.current_trio_token())

    def _refuse_second_reader(self) -> None:
        if self._sleeper is not None or (
            self._owner is not None and self._owner is not current_task()
        ):
            raise trio.BusyResourceError("another task reads this message queue")

    async def _sleep(self, filters: Filters) -> None:
        """:meth:`wait` of a task that is known to be the one reader; a checkpoint.

        Each wake-up comes through here: attributes are looked at, where a method would do.
        """
        if self._home is None:
            self.tie()
        self._sleeper = current_task()
        # A thread appends first and then looks for a sleeper; here it is the other way round, so
        # one of the two sees the other.
        timers = self._timers
        something = self._messages or self._quit is not None or timers.table
        if something and self._look(filters, remove=False) is not None:
            self._awake()
            await checkpoint()
            return
        timer = None
        if timers.table:
            due = timers.next_due(filters)
            if due != math.inf:
                timer = _timers.call_at(due, self.wake)
        self.put = self._put_and_wake
        try:
            await wait_task_rescheduled(self._abort)
        finally:
            if timer is not None:
                timer.cancel()

    def _abort(self, _: object) -> Abort:
        self._awake()
        return Abort.SUCCEEDED

    # Timers

    def set_timer(self, window: Window | None, identifier: Any, seconds: float) -> None:
        """Make WM_TIMER, with ``identifier`` as wparam, every ``seconds``; replaces a timer."""
        if self._closed:
            raise trio.ClosedResourceError("this message queue has ended")
        self._timers.set(window, identifier, seconds, trio.current_time())
        self.wake()  # a sleeping reader has to look when it is due

    def kill_timer(self, window: Window | None, identifier: Any) -> bool:
        """End a timer; False if there is none. A message not yet taken is gone, too."""
        self.refuse_other_thread()
        return self._timers.kill(window, identifier)

    # Ending

    def discard(self, window: Window) -> None:
        """Drop the messages and timers of a window that ends."""
        self._timers.discard(window)
        messages = self._messages
        # Only what is there now is moved, and back to the left: other threads may append.
        taken = [messages.popleft() for _ in range(len(messages))]
        messages.extendleft(message for message in reversed(taken) if message.window is not window)
        for message in taken:
            if message.window is window:
                MessageQueue.count_taken(self, message)  # dropped: no reader, so no row of it

    def close(self) -> None:
        """End the queue: what is in it is dropped, a waiting reader gets ClosedResourceError."""
        self.refuse_other_thread()
        self._closed = True
        self._messages.clear()
        self._timers.clear()
        self._quit = None
        self.wake()

    def statistics(self, selected: int = 0) -> QueueStatistics:
        """Figures at this moment. Never a checkpoint."""
        messages = self._messages.copy()
        return QueueStatistics(
            queued=len(messages),
            posted=sum(type(message) is PostedMessage for message in messages),
            max_messages=self.max_messages,
            refused=self._refused,
            taken=self._taken,
            timers=len(self._timers.table),
            selected=selected,
            reader_waiting=self._sleeper is not None,
        )


#: Every queue there is, and who wants to hear of new ones: a monitor that watches them.
queues: Final[weakref.WeakSet[MessageQueue]] = weakref.WeakSet()
new_queue_hooks: Final[list[Callable[[MessageQueue], None]]] = []
