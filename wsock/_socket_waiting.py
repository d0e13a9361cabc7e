# What waiting on a socket takes: who waits, how long, on which bytes, for which address.
#
#   socket           the calls                      use these
# > socket waiting   parts of them                  THIS FILE: small things that own no socket
#   afd              endpoints                      call a waiter once
#
# A blocking echo passes Trio's scheduler twice for each message, so what a pass costs here counts.
# Three things make it 1.0 us cheaper (of 2.4, two passes, CPython 3.11):
#
# - A task that is woken gets WOKEN, one object for all; Trio would make a Value each time.
# - ``suspend`` and ``let_others_run`` yield to the run loop what Trio's wait_task_rescheduled and
#   cancel_shielded_checkpoint yield, without the two coroutines around it.
# - What a wait yields is made once for a socket, and kept with its Waiter.
"""Parts of the waiting calls."""

from __future__ import annotations

import math
import socket as std
import types
from typing import TYPE_CHECKING, Any, Final

import outcome
import trio
from trio.lowlevel import (
    Abort,
    cancel_shielded_checkpoint,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from . import errors
from .afd import RELEASED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType

__all__ = [
    "RestWaiter", "TimeOut", "Waiter", "flat", "let_others_run", "resolve", "sent", "suspend",
    "writable",
]  # fmt: skip


class _Woken(outcome.Outcome[None]):
    """The outcome None, for any number of wake-ups."""

    __slots__ = ()

    def unwrap(self) -> None:
        pass

    def send(self, gen: Generator[Any, None, Any]) -> Any:  # noqa: ANN401
        return gen.send(None)

    async def asend(self, agen: Any) -> Any:  # noqa: ANN401
        return await agen.asend(None)


WOKEN: Final = _Woken()


def _yielded_by(trap: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:  # noqa: ANN401
    """What one of Trio's traps says to the run loop."""
    coroutine = trap(*arguments)
    message = coroutine.send(None)
    coroutine.close()
    return message


_LET_OTHERS_RUN: Final = _yielded_by(cancel_shielded_checkpoint)


@types.coroutine
def let_others_run() -> Generator[Any, Any, None]:
    """Pass the scheduler, whatever is cancelled: Trio's cancel_shielded_checkpoint."""
    yield _LET_OTHERS_RUN


@types.coroutine
def suspend(trap: Any) -> Generator[Any, Any, None]:  # noqa: ANN401
    """Sleep until the waiter that this is the trap of is called. Always a checkpoint."""
    (yield trap).unwrap()


class Waiter:
    """A task that waits on an endpoint: called once when it is worth another try.

    Args:
      endpoint: the one that it is entered with.
    """

    __slots__ = ("endpoint", "task")

    def __init__(self, endpoint: Any) -> None:  # noqa: ANN401
        self.endpoint = endpoint
        self.task = current_task()

    def trap(self) -> Any:  # noqa: ANN401
        """What ``suspend`` yields; it may be kept (not here: that would be a cycle)."""
        return _yielded_by(wait_task_rescheduled, self.abort)

    def __call__(self) -> None:
        reschedule(self.task, WOKEN)

    def abort(self, _: object) -> Abort:
        self.endpoint.forget_waiter(self)
        return Abort.SUCCEEDED


class RestWaiter(Waiter):
    """A task whose send was accepted, and is to return when all of it is with the system.

    ``done``: it was called because that is so. This is noted here and not when the task runs: until
    then another task may have sent, too, and even closed; neither is this send's business.
    """

    __slots__ = ("done",)

    def __init__(self, endpoint: Any) -> None:  # noqa: ANN401
        super().__init__(endpoint)
        self.done = False

    def __call__(self) -> None:
        endpoint = self.endpoint
        self.done = (
            endpoint.unsent <= endpoint.send_limit
            and not endpoint.attention & RELEASED
            and not endpoint.reset_code
        )
        super().__call__()


async def sent(endpoint: Any, call: str) -> None:  # noqa: ANN401
    """Wait until the send that was just accepted is with the system; close then drops its rest.

    Any number of tasks may (the C face's threads). A checkpoint if it waits.

    Raises:
      WSAEINTR: closed before that. WSAECONNRESET, WSAECONNABORTED: the connection is gone.
    """
    endpoint.tie()
    while endpoint.unsent > endpoint.send_limit:
        waiter = RestWaiter(endpoint)
        endpoint.wait_send(waiter)
        await suspend(waiter.trap())
        if waiter.done:
            return
        if endpoint.attention & RELEASED:
            raise errors.WSAEINTR(call, endpoint.state, "the socket was closed meanwhile")
        if endpoint.reset_code:
            raise errors.error_class(endpoint.reset_code)(call, endpoint.state)


class TimeOut:
    """SO_RCVTIMEO or SO_SNDTIMEO around a waiting call: costs nothing where none is set."""

    __slots__ = ("call", "endpoint", "scope", "seconds")

    def __init__(self, call: str, endpoint: Any, milliseconds: int) -> None:  # noqa: ANN401
        self.call = call
        self.endpoint = endpoint
        self.seconds = milliseconds / 1000 if milliseconds else math.inf
        self.scope: trio.CancelScope | None = None

    def __enter__(self) -> None:
        if self.seconds != math.inf:
            self.scope = trio.move_on_after(self.seconds)
            self.scope.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self.scope is None:
            return False
        swallowed = self.scope.__exit__(kind, error, trace)
        if self.scope.cancelled_caught:
            raise errors.WSAETIMEDOUT(self.call, self.endpoint.state)
        return bool(swallowed)


def flat(data: bytes | bytearray | memoryview) -> bytes | memoryview:
    """Return a flat view of bytes (or the bytes themselves)."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    return view if view.ndim == 1 and view.format == "B" else view.cast("B")


def writable(buffer: bytearray | memoryview, max_bytes: int) -> memoryview:
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError("recv_into: the buffer is read only")
    if view.ndim != 1 or view.format != "B":
        view = view.cast("B")
    if max_bytes < 0 or max_bytes > len(view):
        raise ValueError(f"recv_into: max_bytes {max_bytes}, but the buffer has {len(view)}")
    return view[:max_bytes] if max_bytes else view


async def resolve(
    host: str | None,
    port: int | str,
    *,
    family: int = 0,
    type: int = std.SOCK_STREAM,  # noqa: A002
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    """Resolve a name without blocking the loop. A checkpoint.

    Returns:
      Addresses, best first, in the form that ``connect`` and ``bind`` take.

    Raises:
      WSAHOST_NOT_FOUND, WSATRY_AGAIN, WSANO_RECOVERY, WSANO_DATA: by what the resolver says.
      WSAEFAULT: a port that no address can have; the resolver would answer with another one.
    """
    if str(port).lstrip("-").isdecimal() and not 0 <= int(port) <= 65535:
        raise errors.WSAEFAULT("resolve", "", f"port {port!r}: expected 0 to 65535")
    try:
        found = await trio.socket.getaddrinfo(host, port, family, type, proto, flags)
    except UnicodeError as error:  # too long for a label, say: such a name exists nowhere
        raise errors.WSAHOST_NOT_FOUND("resolve", "", f"{host!r}, {port!r}: {error}") from None
    except std.gaierror as error:
        raise errors.error_class(errors.code_from_gaierror(error.errno or 0))(
            "resolve", "", f"{host!r}, {port!r}: {error.strerror}"
        ) from None
    return [entry[4] for entry in found]
