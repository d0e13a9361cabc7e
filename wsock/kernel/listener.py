# Listening files: the machine's TCP offers a connection.
#
#   tdi              address objects                carry the offer up, TDI_ACCEPT down
# > kernel           the machine's sockets          THIS FILE: accept4, one connection in hand
#
# Rule 1: one connection at most is taken from the kernel and not yet accepted. So FD_ACCEPT is
#         posted only with a connection in hand, at as many system calls as accepting until
#         EWOULDBLOCK, and the kernel's queue keeps the rest (ruling A9).
# Rule 2: out of descriptors or memory: try again after 100 ms, log once a second, never spin.
# Rule 3: where several processes share a listening socket, one may leave a connection to the
#         others for a moment; then it takes it, for they may be busy.
# Rule 4: an error of the connection that was about to come (ECONNABORTED, EPROTO, ENETDOWN ...) is
#         skipped; the next one may be well.
#
# Sources: accept(2) on errors already pending on the new socket; Trio's pause on EMFILE.
"""Listening files of the kernel provider."""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from .. import _timers
from ..tdi import SUCCESS, Status, StatusError, addresses, status_from_errno
from .files import KernelFile, system_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from .provider import KernelProvider
    from .stream import KernelStream

__all__ = ["KernelListener"]

#: Out of something that may come back.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Errors of one connection, which say nothing of the next.
_OF_THE_CONNECTION: Final = frozenset(
    number
    for name in (
        "ECONNABORTED",
        "EPROTO",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "EPERM",
        "EINTR",
    )
    if (number := getattr(errno, name, None)) is not None
)

PAUSE_S: Final = 0.1
LOG_EVERY_S: Final = 1.0

_logger: Final = logging.getLogger("wsock")


class KernelListener(KernelFile):
    """One listening socket of the machine."""

    __slots__ = ("_bound_by", "_delay", "_logged_at", "_pause", "holding", "stopped")

    def __init__(self, provider: KernelProvider, stream: KernelStream) -> None:
        """Take over the descriptor of ``stream``, which listens already."""
        family, kind, proto = stream.family, stream.type, stream.proto
        self._bound_by = stream
        super().__init__(provider, family, kind, proto, stream.detach())
        self.recorded = stream.recorded
        #: A connection was offered and nobody has asked for the next yet.
        self.holding = False
        #: No further connection is taken from the kernel; other processes may go on with it.
        self.stopped = False
        self._pause: _timers.Timer | None = None
        self._delay: Callable[[], float] | None = None
        self._logged_at = -LOG_EVERY_S

    @property
    def bound(self) -> tuple[int, bytes, int] | None:  # type: ignore[override]  # only read here
        """What the stream that bound this address holds in the table of bindings."""
        return self._bound_by.bound

    def start_listen(self, backlog: int) -> KernelListener:
        """Listen again with another backlog."""
        with system_errors():
            self.listen(backlog)
        self.stopped = False
        self.register()
        return self

    def ready(self, events: int) -> None:
        """Somebody connects: offer it, if the last one was accepted."""
        del events
        if self.holding:
            owner = None if self.address is None else self.address.owner
            if owner is not None:
                owner.on_offer_behind()
        elif self._pause is None:
            self._offer_or_pause()

    def fail(self) -> None:
        """Serving this listener raised: it listens no more, and its endpoint is told."""
        address = self.address
        self.abandon()
        if address is not None:
            address.event_error(Status.NETWORK_DOWN)

    def offer_next(self) -> None:
        """Offer the next connection if one waits.

        Raises:
          StatusError: out of descriptors or memory; it is tried again after 100 ms.
            NETWORK_DOWN: this listener has failed.
        """
        if self.reactor is None and self.fileno() < 0:
            raise StatusError(Status.NETWORK_DOWN)
        self.holding = False
        if self.stopped:
            return
        if self.reactor is None:
            self.register()
        if self._pause is None:
            self._offer_or_pause(tell=True)
        elif self._delay is None:
            raise StatusError(Status.TOO_MANY_OPENED_FILES)

    def defer_offers(self, delay: Callable[[], float] | None) -> None:
        """Ask ``delay`` before each connection for how many seconds others may take it instead."""
        self._delay = delay
        if delay is None and self._pause is not None and not self.holding:
            self._stop_pause()
            self._offer_or_pause()

    def stop_offers(self) -> None:
        """Leave what waits in the kernel's queue to whoever else holds this listening socket."""
        self.stopped = True
        self._stop_pause()
        self.unregister()

    def _offer_or_pause(self, *, tell: bool = False, at_once: bool = False) -> None:
        if self._delay is not None and not at_once and self.reactor is not None:
            delay = self._delay()
            if delay > 0:
                self._pause = _timers.call_later(delay, self._pause_over)
                return
        try:
            self._offer()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                return  # the descriptor was closed below us, or never listened
            self._start_pause(error)
            if tell:
                raise StatusError(status_from_errno(error.errno)) from None

    def _start_pause(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            _logger.error(
                "accept on %s: %s; trying again every %.0f ms",
                addresses.show(self.family, self.local_address()),
                os.strerror(error.errno or 0),
                PAUSE_S * 1000,
            )
        if self.reactor is not None:
            self._pause = _timers.call_later(PAUSE_S, self._pause_over)

    def _pause_over(self) -> None:
        self._pause = None
        if self.fileno() >= 0 and not self.holding:
            self._offer_or_pause(at_once=True)

    def _offer(self) -> None:
        """Take one connection from the kernel and offer it."""
        while True:
            try:
                # The C type's own accept: number and address, no second socket object.
                number, peer = self._accept()  # type: ignore[attr-defined]  # of the C type
            except BlockingIOError:
                if self.reactor is not None:
                    self.reactor.want_read(self)
                return
            except OSError as error:
                if error.errno in _OF_THE_CONNECTION:
                    continue
                raise
            break
        provider, family = self.provider, self.family
        make = provider.stream_type
        stream = make(provider, family, self.type, self.proto, number)
        remote = addresses.pack(family, peer)
        address = self.address
        assert address is not None
        try:
            status, connection = address.event_connect(remote, stream)
        except Exception:
            stream.reset()
            raise
        if connection is None:
            del status
            stream.reset()
            return
        self.holding = True
        connection.accept(remote, stream)
        connection.complete_accept(SUCCESS)

    def give_away(self) -> int:
        """Unregister and return the descriptor, which goes on listening for somebody else."""
        self._stop_pause()
        return super().give_away()

    def abandon(self) -> None:
        """Stop listening."""
        self._stop_pause()
        super().abandon()

    def _stop_pause(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.cancel()

    def _forget_binding(self) -> None:
        self._bound_by._forget_binding()
