"""Scripted endpoints: what a window sees of a socket, without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsock import _handles
from wsock.constants import WM_USER

if TYPE_CHECKING:
    from wsock._window import Message, Window


class Handler:
    """Stands for an AsyncSocket: keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[Message] = []

    def dispatch(self, message: Message) -> None:
        self.got.append(message)


class FakeSocket:
    def __init__(self) -> None:
        self.handler: Handler | None = None

    @property
    def handle(self) -> int:
        return _handles.handle_of(self)


class FakeEndpoint:
    """An endpoint that reports what a test tells it to."""

    def __init__(self, window: Window, message: int = WM_USER) -> None:
        self.socket = FakeSocket()
        self.target: Window | None = None
        self.owner: Any = None
        self.message = 0
        self.host: Any = None
        self.notice: Message | None = None
        self.select(window, message, 1, self.socket)

    def select(self, target: Window | None, message: int, mask: int, owner: Any, /) -> None:
        """As an endpoint does: the target is told when it changes."""
        old, self.target = self.target, target
        self.message, self.owner, self.notice = message, owner, None
        if target is not old and target is not None:
            target.selected(self)
        if target is not old and old is not None:
            old.deselected(self)

    def report(self, bit: int, code: int = 0) -> None:
        assert self.target is not None
        self.target.report(self, bit, code)

    def turn(self) -> bool:
        """As the stack looks at its sockets: nothing new here."""
        return False
