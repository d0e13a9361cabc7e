# Message loops: a batch for each wake-up.
#
#   window           run(), batches()             offers them
# > message_loop     one batch                    THIS FILE: taking, calling, exceptions
#   message_queue    order, filters, limit
#
# Rule 1: messages are taken from the live queue one at a time, so that nested pumps, peeks, posts
#         and exceptions see the true queue: what was not handed out is still there.
# Rule 2: a batch is what waited at the wake-up, at most 256, and no checkpoint is passed inside; a
#         procedure that posts to itself lets the others run all the same.
# Rule 3: no procedure (None) stands for ``dispatch``, which the loop then has in place: it is the
#         loop of every AsyncSocket, and a frame is 3 % of an echoed message's instructions.
"""The loops of a window."""

from __future__ import annotations

import inspect
from itertools import repeat
from operator import length_hint
from typing import TYPE_CHECKING

from ._message import Message, PostedMessage
from ._message_queue import BATCH, MessageQueue
from .constants import WM_QUIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Batches", "dispatch", "serve_until_idle"]


class Batches:
    """The iterator of :meth:`Window.batches`."""

    __slots__ = ("_queue",)

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> Iterator[Message]:
        queue = self._queue
        while True:
            if not queue._messages:
                queue.turn()
            await queue.wait()
            message = queue.peek()
            if message is None:
                continue
            if message.message == WM_QUIT:
                queue.take()
                raise StopAsyncIteration
            return self._batch(max(1, min(len(queue), BATCH)))

    def _batch(self, size: int) -> Iterator[Message]:
        queue = self._queue
        for _ in range(size):
            message = queue.peek()
            if message is None or message.message == WM_QUIT:
                return  # taken by the body already, or the end: that is for __anext__ to say
            taken = queue.take()
            if taken is None:
                return
            yield taken


class _AwaitableResultError(TypeError):
    pass


def dispatch(message: Message) -> object:
    """What run() does without a procedure: give the message to the AsyncSocket that it is about."""
    socket = message.socket
    if socket is None or (handler := socket.handler) is None:
        return None
    result: object = handler.dispatch(message)
    return result


def serve_until_idle(
    queue: MessageQueue,
    procedure: Callable[[Message], object] | None,
    on_error: Callable[[Exception, Message], object] | None,
) -> Message | None:
    """Batch after batch, at most 256 messages in all, as long as a look finds what came meanwhile.

    What the procedure posted itself waits for the checkpoint; else it could keep others out.
    Returns WM_QUIT if a program posted that itself.
    """
    left = BATCH
    procedure = queue.dispatching(procedure)
    messages = queue._messages
    while True:
        size = min(len(messages), BATCH)
        left -= size
        turns = repeat(None, size)
        try:
            quit_message = _serve(queue, turns, procedure, on_error)
        finally:
            queue._taken += size - length_hint(turns)
        if quit_message is not None or left <= 0:
            return quit_message
        if not messages:
            queue.turn()
        if not messages or messages[0].__class__ is not Message:
            return None


def _serve(
    queue: MessageQueue,
    turns: Iterator[None],
    procedure: Callable[[Message], object] | None,
    on_error: Callable[[Exception, Message], object] | None,
) -> Message | None:
    messages = queue._messages
    while length_hint(turns):  # once, and again behind each call of on_error
        try:
            for _ in turns:
                try:
                    message = messages.popleft()
                except IndexError:  # a nested pump has taken the rest
                    return None
                if message.__class__ is PostedMessage and _ends_loop(queue, message):
                    return message
                if procedure is not None:
                    result = procedure(message)
                else:  # ``dispatch`` in place
                    socket = message.socket
                    if socket is None or (handler := socket.handler) is None:
                        continue
                    result = handler.dispatch(message)
                if result is not None:
                    _refuse_awaitable(result)
        except Exception as error:
            if on_error is None or isinstance(error, _AwaitableResultError):
                raise
            on_error(error, message)
    return None


def _ends_loop(queue: MessageQueue, posted: Message) -> bool:
    queue._posted_taken += 1
    return posted.message == WM_QUIT


def _refuse_awaitable(result: object) -> None:
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise _AwaitableResultError(
            "a window procedure is a plain function and returns at once; this one returned "
            f"{type(result).__name__}. To await, write: async for message in window"
        )
