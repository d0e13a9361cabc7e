# Blocking calls: input() and time.sleep() stop every thread of a program, and say so.
#
# A ported program reaches for them out of habit. They belong to the interpreter, not to this
# package, so they go on working as ever; while a program runs the first call of each warns and
# names the C call that suspends only its own thread.
#
# Rule 1: replaced while a start() is under way, put back with the last one; importing does nothing.
# Rule 2: only calls from a thread of a program warn; the rest of the process is left in peace.

from __future__ import annotations

import builtins
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INSTEAD: Final = {
    "input": "fgets(buffer, n, stdin)",
    "sleep": "Sleep(milliseconds)",
}


class _Replaced:
    """One of the two functions while it is replaced."""

    def __init__(self, module: object, name: str) -> None:
        self.module = module
        self.name = name
        self.users = 0
        self.warned = False
        self.original: Callable[..., Any] = getattr(module, name)

    def begin(self, in_program: Callable[[], bool]) -> None:
        self.users += 1
        if self.users > 1:
            return
        self.warned = False
        original = self.original = getattr(self.module, self.name)

        def warning_first(*args: Any, **kwargs: Any) -> Any:
            if not self.warned and in_program():
                self.warned = True
                warnings.warn(
                    f"{self.name}() stops every thread of the program while it waits; "
                    f"{INSTEAD[self.name]} stops only the one that calls it",
                    RuntimeWarning,
                    stacklevel=2,
                )
            return original(*args, **kwargs)

        setattr(self.module, self.name, warning_first)

    def end(self) -> None:
        self.users -= 1
        if not self.users:
            setattr(self.module, self.name, self.original)


_REPLACED: Final = (_Replaced(builtins, "input"), _Replaced(time, "sleep"))


@contextmanager
def warned_of(in_program: Callable[[], bool]) -> Iterator[None]:
    """Within this, ``input`` and ``time.sleep`` warn once when ``in_program()`` holds."""
    for replaced in _REPLACED:
        replaced.begin(in_program)
    try:
        yield
    finally:
        for replaced in _REPLACED:
            replaced.end()
