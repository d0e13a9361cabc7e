# Traced message queues: rows for what is posted, taken and handed to a procedure.
#
#   tdimon           rings, filters, views          who reads records; has queues traced
# > message_trace    TracedMessageQueue             THIS FILE: rows of kind "message"
#   message_queue    order, filters, limit          never knows that it is watched
#
# Rule 1: as in tdi/trace.py: a class swap, no slots, nothing on the way of a message while nobody
#         watches. Window, whose class programs extend, is never touched. The posting of a
#         notification is the endpoint's row (kind "fd").
# Rule 2: a queue belongs to no host, a message does: to its socket's, else to the host of the task
#         that posts or takes it. Its record goes to that host's tracer, if there is one.
# Rule 3: watching must not answer a question before the program asks it (which socket a posted
#         message is about), nor keep what the program posts alive: of wparam and lparam only
#         numbers are kept, of other objects the name of their type.
# Rule 4: post may be called from any thread, so a record may be made in any; and a procedure may
#         detach, or another thread, so nothing is looked up in self that only a traced queue has.
"""Message queues that write down their traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from . import _message_queue
from ._message import Message
from ._message_loop import dispatch
from ._message_queue import MessageQueue
from ._stack import Stack, current
from .constants import WM_QUIT
from .errors import WSAError
from .tdi import Status, TraceRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._window import Window
    from .tdi import Device

__all__ = ["TracedMessageQueue", "trace_queues"]


def _device(queue: MessageQueue) -> Device:
    """The host of the task that is calling; in another thread that of the queue's sockets."""
    stack = current.get()
    for host in queue._hosts if stack is None else ():
        if isinstance(host, Stack):
            stack = host
            break
    return (stack or Stack.default()).device


def _post_row(
    queue: MessageQueue, request: str, window: Window | None, message: int, *parameters: Any
) -> TraceRecord | None:
    """Write a row about a message of the program, or one made by the queue."""
    device = _device(queue)
    if device.tracer is None:
        return None
    record = TraceRecord("message", request, Status.SUCCESS, device.provider.clock())
    record.object_kind = "queue" if window is None else "window"
    record.object_id = id(queue) if window is None else id(window)
    record.extra = {"message": message}
    for name, value in zip(("wparam", "lparam"), parameters, strict=False):
        record.extra[name] = value if type(value) is int else f"<{type(value).__name__}>"
    return _emitted(device, record)


def _take_row(queue: MessageQueue, request: str, message: Message) -> TraceRecord | None:
    """Write a row about a message that leaves the queue."""
    if message.__class__ is not Message:
        parameters = (message.wparam, message.lparam)
        return _post_row(queue, request, message.window, message.message, *parameters)
    endpoint = getattr(message.socket, "_endpoint", None)
    if endpoint is None:  # not one of a stack
        return _post_row(queue, request, message.window, message.message)
    device: Device = endpoint.host.device
    if device.tracer is None:
        return None
    record = TraceRecord("message", request, Status.SUCCESS, device.provider.clock())
    record.object_kind = "socket"
    record.object_id = id(endpoint)
    record.socket = endpoint.number
    record.protocol = endpoint.type
    record.family = endpoint.family
    if endpoint.address is not None:
        record.local = endpoint.address.local
    record.remote = endpoint.peer_address()
    record.flags = message.event
    record.extra = {"code": message.error, "message": message.message}
    return _emitted(device, record)


def _emitted(device: Device, record: TraceRecord) -> TraceRecord:
    record.host = device.host
    task_name = getattr(device.provider, "task_name", None)
    if task_name is not None:  # a transport that knows of tasks
        record.task = task_name()
    tracer = device.tracer
    if tracer is not None:
        tracer.emit(record)
    return record


def _clock(message: Message, queue: MessageQueue) -> Callable[[], int]:
    """The clock of the host that the message's row is of."""
    endpoint = None
    if message.__class__ is Message:
        endpoint = getattr(message.socket, "_endpoint", None)
    device: Device = _device(queue) if endpoint is None else endpoint.host.device
    return device.provider.clock


class TracedMessageQueue(MessageQueue):
    """A queue whose messages are written down."""

    __slots__ = ()

    def post(self, window: Window | None, message: int, wparam: Any = 0, lparam: Any = 0) -> None:
        """Write the row first: another thread may take the message before this returns."""
        record = _post_row(self, "PostMessage", window, message, wparam, lparam)
        try:
            MessageQueue.post(self, window, message, wparam, lparam)
        except WSAError as error:
            if record is not None and record.extra is not None:
                record.extra["error"] = error.name
            raise

    def post_quit(self, code: Any = 0) -> None:
        """The same for the mark that makes WM_QUIT."""
        _post_row(self, "PostQuitMessage", None, WM_QUIT, code)
        MessageQueue.post_quit(self, code)

    def count_taken(self, message: Message) -> None:
        """A reader has taken ``message``."""
        MessageQueue.count_taken(self, message)
        _take_row(self, "GetMessage", message)

    def dispatching(
        self, procedure: Callable[[Message], object] | None
    ) -> Callable[[Message], object]:
        """The procedure of run() between two looks at its host's clock."""
        call = dispatch if procedure is None else procedure

        def watched(message: Message) -> object:
            record = _take_row(self, "DispatchMessage", message)
            if record is None:
                return call(message)
            clock = _clock(message, self)
            try:
                return call(message)
            except BaseException as error:
                assert record.extra is not None
                record.extra["raised"] = type(error).__name__
                raise
            finally:
                record.duration_ns = max(clock() - record.time_ns, 0)

        return watched


_watchers: Final[set[int]] = set()


def _trace(queue: MessageQueue) -> None:
    if type(queue) is MessageQueue:  # a program's own kind of queue is left alone
        queue.__class__ = TracedMessageQueue


def trace_queues(watcher: object, *, on: bool) -> None:
    """Swap the class of every queue, and of those to come, while some watcher wants it."""
    before = bool(_watchers)
    if on:
        _watchers.add(id(watcher))
    else:
        _watchers.discard(id(watcher))
    if bool(_watchers) == before:
        return
    if on:
        _message_queue.new_queue_hooks.append(_trace)
    else:
        _message_queue.new_queue_hooks.remove(_trace)
    queues: list[Any] = list(_message_queue.queues)
    for queue in queues:
        if on:
            _trace(queue)
        elif type(queue) is TracedMessageQueue:
            setattr(queue, "__class__", MessageQueue)  # noqa: B010  (mypy narrows the type)
