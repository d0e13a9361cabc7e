# A fault in force: what every verb that breaks something returns.
#
#   faults, node          the verbs: partition, loss, ... pause, crash
# > fault                 THIS FILE: how one ends
#
# Rule: it ends once, by its ``with`` block, by ``end``, or by the script that began it.

"""One fault, until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from wsock.virtual.network_base import NetworkBase


class Fault:
    """A fault that is in force. As a context manager it ends with the block."""

    def __init__(self, network: NetworkBase, text: str, undo: Callable[[], object]) -> None:
        self._network = network
        self._undo = undo
        self.text = text
        self.active = True
        #: called after the fault has ended.
        self.on_end: Callable[[], object] | None = None
        network.faults.append(self)
        network.note("faults", f"begin: {text}")

    def end(self) -> None:
        """Take the fault back. Ending it twice is no error."""
        if self.active:
            self.active = False
            self._network.faults.remove(self)
            self._undo()
            self._network.note("faults", f"end: {self.text}")
            if self.on_end is not None:
                self.on_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<Fault {self.text}{'' if self.active else ', ended'}>"
