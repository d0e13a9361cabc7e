# Hosts with a Winsock and with tasks.
#
# > host                  THIS FILE: HostCore, its Stack, and which tasks belong to it
#   pump                  moves the network while tasks are blocked
#   node                  interfaces and layers
#
# Which host does a task belong to: a context variable says, set by ``with host:``, ``start_soon``
# and ``running``; children inherit it, since Trio copies the context.
#
# Rule 1: the token of a ``with`` is kept per entry, not on the host: any number of tasks may be
#         inside (ruling B21).
# Rule 2: a crash makes the stack dark before tasks are cancelled, so that no FIN and no RST leaves.

"""Virtual hosts under Trio."""

from __future__ import annotations

import contextvars
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import trio

from wsock import _stack
from wsock._stack import Stack
from wsock.virtual.node import HostCore
from wsock.virtual.tdi_provider import VirtualProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from wsock.virtual.building import Building
    from wsock.virtual.profile import TcpProfile

__all__ = ["Host", "current_host"]

_Entry = tuple["Host", "contextvars.Token[Stack | None]", "_Entry | None"]

#: The ``with host:`` blocks that this context is in, the innermost first.
_entries: Final[contextvars.ContextVar[Any]] = contextvars.ContextVar("wsock_hosts", default=None)


class Host(HostCore):
    """A host on which Trio programs run.

    Attributes:
      stack: its Winsock; ``wsock.socket(stack=host.stack)``, or ``with host:`` around a plain
        ``wsock.socket()``. (And all of HostCore.)
    """

    stack: Stack

    def __init__(
        self, network: Building, name: str, profile: TcpProfile, *, forwarding: bool = False
    ) -> None:
        super().__init__(network, name, profile, forwarding=forwarding)
        self._scopes: set[trio.CancelScope] = set()
        self.stack = self._new_stack()

    def _new_stack(self) -> Stack:
        return Stack(
            self.name,
            provider=VirtualProvider(self),
            receive_buffer=self.profile.receive_buffer,
            send_buffer=self.profile.send_buffer,
        )

    # Tasks

    def __enter__(self) -> Self:
        token = _stack.current.set(self.stack)
        _entries.set((self, token, _entries.get()))
        return self

    def __exit__(self, *_: object) -> None:
        entry = _entries.get()
        if entry is None or entry[0] is not self:
            inner = "no host" if entry is None else repr(entry[0].name)
            raise RuntimeError(
                f"with {self.name}: left while {inner} is the innermost; leave hosts in the order "
                "in which they were entered, the last one first"
            )
        _entries.set(entry[2])
        _stack.current.reset(entry[1])

    def start_soon(
        self, nursery: trio.Nursery, fn: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        """Start a task of this host: what it and its children open is on this host."""
        nursery.start_soon(self._run, fn, args, name=f"{self.name}: {_name_of(fn)}")

    async def _run(self, fn: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                with self:
                    await fn(*args)
            finally:
                self._scopes.discard(scope)

    @asynccontextmanager
    async def running(
        self, fn: Callable[..., Awaitable[object]], *args: object
    ) -> AsyncIterator[Host]:
        """Run ``fn(*args)`` on this host while the block runs; then cancel it.

        An exception of the block leaves as itself; one of ``fn`` as Trio's nurseries raise it.
        """
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            self.start_soon(nursery, fn, *args)
            try:
                yield self
            except BaseException as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # Power

    def crash(self) -> None:
        """Cut the power: the stack goes dark, then the host's tasks are cancelled."""
        super().crash()
        for scope in list(self._scopes):
            scope.cancel()
        for endpoint in list(self.stack.endpoints.values()):
            endpoint.vanish()

    def restart(self) -> None:
        """Switch on again, with a new stack that remembers nothing."""
        super().restart()
        self.stack = self._new_stack()


def _name_of(fn: object) -> str:
    return getattr(fn, "__qualname__", repr(fn))


def current_host() -> Host | None:
    """Return the host of this task, None outside any."""
    entry = _entries.get()
    return None if entry is None else entry[0]
