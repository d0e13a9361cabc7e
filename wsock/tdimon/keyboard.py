# The keyboard of a live table: single keys, while the program below goes on.
#
# Rule 1: keys are read from the controlling terminal, never from standard input, which belongs to
#         the program. Where there is no such terminal, no key is ever pressed.
# Rule 2: the terminal's mode is given back in each case; Ctrl-C stays Ctrl-C.
"""Single keys from the terminal."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any, Final

try:
    import termios
    import tty
except ImportError:  # a system without POSIX terminals: the table is shown, keys do nothing
    termios = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Keyboard", "names_of"]

_SEQUENCES: Final = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[5~": "pageup", b"\x1b[6~": "pagedown",
    b"\x1b[H": "home", b"\x1b[F": "end", b"\x1bOA": "up", b"\x1bOB": "down",
    b" ": "space", b"\r": "enter", b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace",
    b"\x1b": "escape",
}  # fmt: skip
_LONGEST_FIRST: Final = sorted(_SEQUENCES, key=len, reverse=True)


def names_of(data: bytes) -> Iterator[str]:
    """Yield the names of the keys that a terminal sent: "up", "space", "a" ..."""
    while data:
        known = next((code for code in _LONGEST_FIRST if data.startswith(code)), None)
        if known is not None:
            yield _SEQUENCES[known]
            data = data[len(known) :]
            continue
        size = 1
        while size < len(data) and data[size] & 0xC0 == 0x80:
            size += 1
        letter = data[:size].decode("utf-8", "replace")
        if letter.isprintable():
            yield letter
        data = data[size:]


class Keyboard:
    """Reads keys between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self._terminal = -1
        self._mode: list[Any] | None = None

    def start(self) -> None:
        """Begin to read single keys, if there is a terminal."""
        if termios is None:
            return
        try:
            self._terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NONBLOCK)
            self._mode = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
        except (OSError, termios.error):
            self.stop()

    def pressed(self) -> Iterator[str]:
        """Yield the keys pressed since the last time; never waits."""
        if self._terminal < 0 or not select.select([self._terminal], [], [], 0)[0]:
            return
        try:
            data = os.read(self._terminal, 1024)
        except OSError:
            return
        yield from names_of(data)

    def stop(self) -> None:
        """Give the terminal back as it was."""
        if self._terminal >= 0:
            if self._mode is not None:
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._mode)
            os.close(self._terminal)
        self._terminal, self._mode = -1, None
