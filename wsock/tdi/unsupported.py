# Requests that a type of file does not have: asked all the same, they end as TDI says.
#
# Rule 1: no state. A provider's files take these as a base and override what they can do; so a
#         stream asked for a datagram fails in one way on every provider.
# ruff: noqa: D102  (the requests are documented in provider.py)
"""What a file answers to the requests of other types of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .status import Status, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .provider import BytesLike, TransportFile

__all__ = ["UnsupportedRequests"]


def _invalid() -> StatusError:
    return StatusError(Status.INVALID_DEVICE_REQUEST)


class UnsupportedRequests:
    """Every optional request, refused or, where nothing is asked for, ignored."""

    __slots__ = ()

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        raise _invalid()

    def has_peer(self) -> bool:
        return False

    def is_bound(self) -> bool:
        return False

    def is_listening(self) -> bool:
        return False

    def as_listener(self) -> TransportFile:
        raise _invalid()

    def start_listen(self, backlog: int) -> TransportFile:
        raise _invalid()

    def start_connect(self, remote: bytes) -> None:
        raise _invalid()

    def begin(self) -> None:
        """Nothing has to be begun."""

    def begin_telling(self, *, room: bool) -> bool:
        return False

    def offer_next(self) -> None:
        raise _invalid()

    def defer_offers(self, delay: Callable[[], float] | None) -> None:
        """Nobody else could take them."""

    def stop_offers(self) -> None:
        raise _invalid()

    def keep(self, data: BytesLike, done: int) -> None:
        raise _invalid()

    def refused(self) -> None:
        """Nobody asks."""

    def queue(self, data: BytesLike) -> int:
        raise _invalid()

    def has_room(self) -> bool:
        return True

    def at_mark(self) -> bool:
        return False

    def urgent_received(self) -> None:
        """Nothing to do: a mark is no hindrance."""

    def skip_mark(self) -> None:
        """Nothing to do: no urgent byte comes twice."""

    def send_datagram(self, data: BytesLike, remote: bytes, flags: int) -> int:
        raise _invalid()

    def receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        raise _invalid()

    def has_datagram(self) -> bool:
        return False

    def set_peer(self, remote: bytes) -> None:
        raise _invalid()

    def resume_receive(self, capacity: int) -> None:
        """Nothing was refused."""

    def flush_receive(self) -> None:
        """Nothing is outstanding."""

    def stop_receive(self) -> None:
        """Nothing has to be told."""

    def start_disconnect(self, flags: int, *, final: bool, timeout: float | None) -> None:
        raise _invalid()

    def finish_release(self, timeout: float | None) -> None:
        """Nothing was released."""

    def close_address(self) -> None:
        """The address goes with the file."""

    def drop_rest(self) -> int:
        """Nothing is kept."""
        return 0

    def register(self) -> None:
        """Everything is reported anyway."""

    def watch_urgent(self, *, on: bool) -> None:
        """Urgent data is told of anyway, or does not exist."""
