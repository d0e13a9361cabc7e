# Hosts with a Winsock and with tasks.
#
# > host                  THIS FILE: HostCore, its Stack, and which tasks belong to it
#   pump                  moves the network while tasks are blocked
#   node                  interfaces and layers
#
# Which host does a task belong to: a context variable says, set by ``with host:``, ``start_soon``
# and ``running``; children inherit it, since Trio copies the context. Where it says nothing, the
# network that is attached to the run may have a host for that.
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
    from wsock.virtual.fault import Fault
    from wsock.virtual.probes import Ping, Traceroute
    from wsock.virtual.profile import TcpProfile

__all__ = ["Host", "current_host", "host_of_the_run"]

_Entry = tuple["Host", "contextvars.Token[Stack | None]", "_Entry | None"]

#: The ``with host:`` blocks that this context is in, the innermost first.
_entries: Final[contextvars.ContextVar[Any]] = contextvars.ContextVar("wsock_hosts", default=None)


class _TrioProvider(VirtualProvider):
    """A virtual host's transport, where tasks call."""

    def task_name(self) -> str:
        """Return the name of the task that runs now, for a tracer; ``""`` outside of tasks."""
        try:
            return trio.lowlevel.current_task().name
        except RuntimeError:
            return ""


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
            provider=_TrioProvider(self),
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

    # Probes

    async def ping(
        self,
        destination: str,
        *,
        count: int = 4,
        size: int = 56,
        interval: float = 1.0,
        timeout: float = 1.0,  # noqa: ASYNC109 (of one request, as ping has it)
    ) -> Ping:
        """Ping a host by name or address, to the end; a checkpoint. Cancelled, it stops.

        Args:
          destination: a name of the network, or an address.
          count: how many requests.
          size: bytes of data in each.
          interval: seconds from one to the next.
          timeout: seconds to wait for each answer.

        Returns:
          the replies, in ``.replies``; as text it is what a ping program prints.

        Raises:
          socket.gaierror: no host has this name.
        """
        done = trio.Event()
        address = self.network.names.resolve(destination, self)[0]
        probe = self.start_ping(
            address, count=count, size=size, interval=interval, timeout=timeout, on_done=done.set
        )
        await _finished(probe, done)
        return probe

    async def traceroute(
        self,
        destination: str,
        *,
        max_hops: int = 30,
        probes: int = 3,
        timeout: float = 1.0,  # noqa: ASYNC109 (of one request, as traceroute has it)
    ) -> Traceroute:
        """Find the routers on the way to a host, to the end; a checkpoint. Cancelled, it stops.

        Args:
          destination: a name of the network, or an address.
          max_hops: the last TTL.
          probes: how many for each TTL.
          timeout: seconds to wait for each answer.

        Returns:
          the hops, in ``.hops`` and ``.path``; as text it is what traceroute prints.

        Raises:
          socket.gaierror: no host has this name.
        """
        done = trio.Event()
        address = self.network.names.resolve(destination, self)[0]
        probe = self.start_traceroute(
            address, max_hops=max_hops, probes=probes, timeout=timeout, on_done=done.set
        )
        await _finished(probe, done)
        return probe

    # Power

    def crash(self) -> Fault:
        """Cut the power: the stack goes dark, then the host's tasks are cancelled.

        The fault that is returned switches the host on again when it ends; its tasks are gone.
        """
        fault = super().crash()
        for scope in list(self._scopes):
            scope.cancel()
        for endpoint in list(self.stack.endpoints.values()):
            endpoint.vanish()
        return fault

    def restart(self) -> None:
        """Switch on again, with a new stack that remembers nothing."""
        super().restart()
        self.stack = self._new_stack()


async def _finished(probe: Ping | Traceroute, done: trio.Event) -> None:
    try:
        await done.wait()
    finally:
        probe.stop()


def _name_of(fn: object) -> str:
    return getattr(fn, "__qualname__", repr(fn))


#: What ``current_host`` says in this Trio run where no host is entered.
host_of_the_run: Final[trio.lowlevel.RunVar[Callable[[], Host | None] | None]] = (
    trio.lowlevel.RunVar("wsock host of the run", default=None)
)


def current_host() -> Host | None:
    """Return the host of this task.

    Outside of all hosts: the ``default_host`` of the network that is attached, or the only host it
    has; None if there is no such host, or no network.
    """
    entry = _entries.get()
    if entry is not None:
        return entry[0]  # type: ignore[no-any-return]
    try:
        found = host_of_the_run.get()
    except RuntimeError:  # outside of Trio
        return None
    return None if found is None else found()


def _fallback() -> Stack | None:
    host = current_host()
    return None if host is None else host.stack


_stack.fallback = _fallback
