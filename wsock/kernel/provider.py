# The kernel provider: tdi's transport on the machine's sockets.
#
#   tdi              addresses, connections         verbs and events
# > kernel           the machine's sockets          THIS FILE: makes files
#
# Rule 1: it knows tdi and nothing above. Which engine reports readiness is fixed when the provider
#         is made; files of both engines behave alike.
"""The kernel provider."""

from __future__ import annotations

import os
import select
import socket as std
import time
from threading import get_ident
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import trio

from .datagram import KernelDatagram
from .files import system_errors
from .gated import GatedDatagram, GatedStream
from .listener import KernelListener
from .reactor import current_reactor
from .stream import KernelStream

if TYPE_CHECKING:
    from .files import KernelFile
    from .reactor import Reactor

__all__ = ["Engine", "KernelProvider", "default_engine"]

Engine = Literal["epoll", "waits"]

#: Lookahead of a receive indication: one segment on the test network of the traces (NOTES R5).
LOOKAHEAD: Final = 1452


def default_engine() -> Engine:
    """Return ``WSOCK_ENGINE`` if it is set, else epoll where the system has it.

    Raises:
      ValueError: ``WSOCK_ENGINE`` names no engine, or epoll on a system without it.
    """
    name = os.environ.get("WSOCK_ENGINE") or ("epoll" if hasattr(select, "epoll") else "waits")
    return check_engine(name)


def check_engine(name: str) -> Engine:
    """Return ``name`` if it is an engine that this system has, else raise ValueError."""
    if name not in ("epoll", "waits"):
        raise ValueError(f"engine {name!r}: expected 'epoll' or 'waits'")
    if name == "epoll" and not hasattr(select, "epoll"):
        raise ValueError("engine 'epoll': this system has no epoll; use 'waits'")
    return "epoll" if name == "epoll" else "waits"


class KernelProvider:
    """Makes files on the machine's sockets.

    Args:
      engine: "epoll" or "waits"; None: as ``default_engine`` says.
      flush_timeout: seconds that a closed socket's rest may make no progress before it is aborted.
      exit_flush_timeout: the same at the end of the run.
    """

    lookahead: ClassVar[int] = LOOKAHEAD
    eager: ClassVar[bool] = False
    waits_for_release: ClassVar[bool] = False

    def __init__(
        self,
        engine: str | None = None,
        *,
        flush_timeout: float = 60.0,
        exit_flush_timeout: float = 2.0,
    ) -> None:
        self.engine: Engine = default_engine() if engine is None else check_engine(engine)
        self.flush_timeout = flush_timeout
        self.exit_flush_timeout = exit_flush_timeout
        self._reactor: Reactor | None = None
        #: Closed sockets whose rest was given up because the peer read nothing.
        self.flushes_given_up = 0
        gated = self.engine == "waits"
        self.stream_type: type[KernelStream] = GatedStream if gated else KernelStream
        self.datagram_type: type[KernelDatagram] = GatedDatagram if gated else KernelDatagram

    def open(self, family: int, type: int, proto: int) -> KernelFile:  # noqa: A002
        """Make a socket of the system, nonblocking, not inherited by children."""
        with system_errors():
            file = self._file(family, type, proto, None)
            if family == std.AF_INET6:
                file.set_option(std.IPPROTO_IPV6, std.IPV6_V6ONLY, 1)
            return file

    def adopt(self, descriptor: int, family: int, type: int, proto: int) -> KernelFile:  # noqa: A002
        """Make a file around a descriptor; from now on it is the file's to close."""
        with system_errors():
            return self._file(family, type, proto, descriptor)

    def _file(self, family: int, type: int, proto: int, fileno: int | None) -> KernelFile:  # noqa: A002
        made = self.stream_type if type == std.SOCK_STREAM else self.datagram_type
        return made(self, family, type, proto, fileno)

    def listener(self, stream: KernelStream) -> KernelListener:
        """Make the listening file that takes over the descriptor of ``stream``."""
        return KernelListener(self, stream)

    def turn(self) -> bool:
        """Look once, without waiting, what is ready in this Trio run; whether anything was."""
        reactor = self._reactor
        if reactor is None or reactor.dead or reactor.thread != get_ident():
            # The one found last goes on: a loop asks before each sleep, and to find it takes 1 us.
            reactor = self._reactor = current_reactor(self.engine)
        return reactor is not None and reactor.turn()

    def clock(self) -> int:
        """Return the time in nanoseconds that trace records carry."""
        return time.perf_counter_ns()

    def task_name(self) -> str:
        """Return the name of the task that runs now, for a tracer; ``""`` outside of tasks."""
        try:
            return trio.lowlevel.current_task().name
        except RuntimeError:
            return ""
