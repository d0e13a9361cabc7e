# Testing: a network for tests of Trio programs that know nothing of it.
#
#   pytest_wsock          the fixture                           (another file, without Trio)
# > testing               THIS FILE: localhost, the refusals, what a failing test wants to know
#   pump                  Network under Trio
#
# Rule 1: knows no test framework: a plugin for any of them is thin.
# Rule 2: what would make a test pass or fail by the machine is refused, and says why: real time,
#         real connections.
# Rule 3: Trio runs the tasks of one pass in random order. That hardly reaches a wire, but who
#         connects first gets the first port. Trio has a switch for tests with hypothesis, without a
#         public name: used where it is there, and the report says if it is not.

# ruff: noqa: ANN401  (a runner returns whatever it returns)

"""A virtual network for tests."""

from __future__ import annotations

import random
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.testing import MockClock

from wsock.virtual.pump import Network
from wsock.virtual.real_connections import Allowed, RealConnectionError, refused
from wsock.virtual.recording import Recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from wsock.virtual.host import Host
    from wsock.virtual.interfaces import Interface

__all__ = ["LocalNetwork", "RealClockError", "RealConnectionError"]


_SWITCH: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"


class RealClockError(RuntimeError):
    """A network for tests was to be attached to a Trio run in real time."""


class LocalNetwork(Network):
    """A network with one host, ``localhost``, that is current wherever no other is.

    So a program that serves and connects on ``localhost`` or 127.0.0.1 runs on it unchanged. It can
    be built further like any network. Everything that crosses it is recorded. Under a real clock it
    cannot be attached, and while it is attached real connections of this thread fail.

    Args:
      seed: of all chance in it.
      profile: whose TCP/IP localhost has: "rfc", "linux", "windows2000".

    Attributes:
      localhost: the host.
      recording: everything that was sent and received.
    """

    def __init__(self, seed: int | str = 0, *, profile: str = "rfc") -> None:
        super().__init__(seed)
        self._allowed = Allowed()
        #: Whether Trio's order of tasks could not be fixed by the seed, when it was attached last.
        self.order_is_random = False
        self.recording = Recording(self)
        self.captures.append(self.recording)
        self.localhost: Host = self.host("localhost", profile=profile)  # type: ignore[assignment]
        self.default_host = self.localhost

    def interface_added(self, interface: Interface) -> None:
        """Record what crosses it."""
        self.recording.watch(interface)

    # What is refused

    def allow_real(self, *peers: str) -> None:
        """Let real connections to these peers pass; to all, if none is named.

        Args:
          peers: an address, a prefix (``"10.0.0.0/8"``), a host name as the program gives it, or
            the path of a Unix socket.
        """
        self._allowed.add(*peers)

    @contextmanager
    def without_real_connections(self) -> Iterator[None]:
        """Have real connections of this thread raise RealConnectionError while the block runs."""
        with refused(self._allowed):
            yield

    @asynccontextmanager
    async def attach(self) -> AsyncIterator[LocalNetwork]:
        """As ``Network.attach``, in virtual time alone, and without real connections.

        Raises:
          RealClockError: the run has a clock that goes by itself.
          RuntimeError: it is attached already.
        """
        clock = trio.lowlevel.current_clock()
        if not isinstance(clock, MockClock) or clock.rate:
            raise RealClockError(
                f"the virtual network needs virtual time, and this Trio run has {clock!r}: the "
                "test would wait for every delay, and pass or fail by the speed of the machine. "
                "Under pytest-trio use no clock fixture, or autojump_clock; under anyio's plugin "
                "let the fixture anyio_backend return ('trio', {'clock': MockClock()}); elsewhere "
                "trio.run(..., clock=MockClock()). MockClock is trio.testing's, with its rate 0"
            )
        with self.without_real_connections(), self._repeatable_order():
            async with super().attach():
                yield self

    @contextmanager
    def _repeatable_order(self) -> Iterator[None]:
        """Have Trio shuffle its tasks by the seed while the block runs."""
        run = sys.modules.get("trio._core._run")
        shuffler = getattr(run, "_r", None)
        self.order_is_random = not (hasattr(run, _SWITCH) and isinstance(shuffler, random.Random))
        if self.order_is_random:
            yield
            return
        before, state = getattr(run, _SWITCH), shuffler.getstate()  # type: ignore[union-attr]
        setattr(run, _SWITCH, True)
        shuffler.seed(f"{self.seed}/trio")  # type: ignore[union-attr]
        try:
            yield
        finally:
            setattr(run, _SWITCH, before)
            shuffler.setstate(state)  # type: ignore[union-attr]

    def run_by(
        self,
        run: Callable[..., Any],
        fn: Callable[..., Awaitable[Any]],
        *args: object,
        clock: trio.abc.Clock | None = None,
        **options: Any,
    ) -> Any:
        """Run a program on this network by a function such as ``trio.run``.

        Args:
          run: called with the program and the keywords.
          fn, args: the main task.
          clock: None for a new MockClock.
          options: others of ``run``.
        """
        __tracebackhide__ = True

        async def attached() -> Any:
            __tracebackhide__ = True
            async with self.attach():
                return await fn(*args)

        return run(attached, clock=MockClock() if clock is None else clock, **options)

    # What a failing test wants to know

    def report(self, lines: int = 40) -> str:
        """Return seed, virtual time, digest, what is out of order, and the end of the ladder."""
        parts = [f"seed {self.seed!r}, {self.time:.6f} s of virtual time, digest {self.digest()}"]
        if self.order_is_random:
            parts.append("this version of Trio runs tasks in an order that no seed can fix")
        parts += [f"in force: {fault.text}" for fault in self.faults]
        parts += [f"{host.name} is off" for host in self.hosts.values() if host.is_off]
        if not len(self.recording):
            return "\n".join([*parts, "no packet was sent"])
        seen = len(self.recording) + self.recording.forgotten
        parts.append(f"{seen} packets seen; the last {lines} lines of what was sent:")
        return "\n".join([*parts, self.recording.ladder_of_sent(lines)])

    def save(self, folder: Path) -> None:
        """Write what was recorded into a folder: pcapng files, the whole ladder, the log.

        Raises:
          OSError: it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.recording.save_each(folder)
        report = self.report(lines=len(self.recording) * 10)
        (folder / "ladder.txt").write_text(report + "\n", encoding="utf-8")
        log = "".join(f"{entry}\n" for entry in self.log)
        (folder / "log.txt").write_text(log, encoding="utf-8")
