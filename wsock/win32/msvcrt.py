# msvcrt: the few functions of the C runtime that every textbook program uses.
#
# printf and its kin write to Python's sys.stdout; what reads the keyboard does so in a worker
# thread and suspends only the calling thread. Strings of C are bytes that end at the first NUL:
# str, bytes, bytearray and ctypes' character arrays all serve.
#
# Rule 1: sys.stdin and sys.stdout are looked up at each call, so that redirecting them works.
#
# Sources: learn.microsoft.com, C run-time library reference.

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import trio

from wsock.win32 import _threads
from wsock.win32._buffers import c_string
from wsock.win32.kernel32 import CreateThread, ExitThread

if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTIVE: Final = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+))?"
    r"(?:hh|h|ll|l|I64|I32|I|L|z|t|j|w)?(?P<kind>[diouxXeEfFgGcsSpn%])"
)


async def _read_line() -> str:
    # A worker that sits in readline cannot be stopped: a program that ends leaves it behind.
    return await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


class _Stream:
    """A standard stream; for input it keeps what fgets and getchar have not taken yet."""

    __slots__ = ("name", "rest")

    def __init__(self, name: str) -> None:
        self.name = name
        self.rest = b""

    def __repr__(self) -> str:
        return self.name

    def line(self) -> bytes:
        """What is left of the line, or the next one; empty at the end of input."""
        if not self.rest:
            self.rest = _threads.wait(_read_line).encode()
        return self.rest


stdin: Final = _Stream("stdin")
stdout: Final = _Stream("stdout")
stderr: Final = _Stream("stderr")


# -------------------------------------------------------------------------------------- writing


def _next(arguments: list[Any]) -> Any:
    if not arguments:
        raise TypeError("the format asks for more arguments than were given")
    value = arguments.pop(0)
    return getattr(value, "value", value)


def _directive(match: re.Match[str], arguments: list[Any]) -> str:
    kind = match["kind"]
    if kind == "%":
        return "%"
    width = str(_next(arguments)) if match["width"] == "*" else match["width"] or ""
    precision = match["precision"]
    if precision == "*":
        precision = str(_next(arguments))
    value = _next(arguments)
    spec = "%" + match["flags"] + width + ("" if precision is None else "." + precision)
    if kind in "sS":
        text = "(null)" if value is None else c_string(value).decode(errors="replace")
        return (spec + "s") % text
    if kind == "c":
        return (spec + "s") % (chr(value) if isinstance(value, int) else c_string(value).decode())
    if kind == "p":
        return (spec + "s") % f"{int(value or 0):016X}"
    if kind in "uoxX" and value < 0:
        value &= 0xFFFFFFFF
    return str((spec + ("d" if kind in "iu" else kind)) % value)


def _formatted(format: object, arguments: tuple[Any, ...]) -> str:  # noqa: A002
    rest = list(arguments)
    text = c_string(format).decode()
    return _DIRECTIVE.sub(lambda match: _directive(match, rest), text)


def _write(stream: _Stream, text: str) -> int:
    target = getattr(sys, stream.name)
    target.write(text)
    target.flush()
    return len(text)


def printf(format: str | bytes, *arguments: object) -> int:  # noqa: A002
    """int printf(const char *format, ...): how many characters were written."""
    return _write(stdout, _formatted(format, arguments))


def fprintf(stream: _Stream, format: str | bytes, *arguments: object) -> int:  # noqa: A002
    """int fprintf(FILE *stream, const char *format, ...): to stdout or stderr only."""
    return _write(stream, _formatted(format, arguments))


def sprintf(buffer: bytearray, format: str | bytes, *arguments: object) -> int:  # noqa: A002
    """int sprintf(char *buffer, const char *format, ...).

    The buffer is a bytearray with room; unlike C it raises ValueError when the text and its NUL
    do not fit.
    """
    text = _formatted(format, arguments).encode()
    strcpy(buffer, text)
    return len(text)


def puts(text: object) -> int:
    """int puts(const char *text): writes the text and a new line."""
    _write(stdout, c_string(text).decode(errors="replace") + "\n")
    return 0


def putchar(character: int) -> int:
    """int putchar(int character)."""
    _write(stdout, chr(character))
    return character


# -------------------------------------------------------------------------------------- reading


def fgets(buffer: bytearray, n: int, stream: _Stream) -> bytearray | None:
    """char *fgets(char *buffer, int n, FILE *stream): stdin only.

    Suspends only the calling thread. Reads up to the end of the line, which stays in the buffer,
    but at most n - 1 bytes, and puts a NUL behind them.

    Returns:
      the buffer; None (NULL) at the end of input.
    """
    if n < 1:
        return None
    line = stream.line()
    if not line:
        return None
    taken, stream.rest = line[: n - 1], line[n - 1 :]
    buffer[: len(taken) + 1] = taken + b"\0"
    return buffer


def getchar() -> int:
    """int getchar(void): one byte of the keyboard, -1 (EOF) at the end of input."""
    line = stdin.line()
    if not line:
        return -1
    stdin.rest = line[1:]
    return line[0]


# -------------------------------------------------------------------------------------- strings


def strlen(text: object) -> int:
    """size_t strlen(const char *text): bytes up to the NUL (a str counts its UTF-8 bytes)."""
    return len(c_string(text))


def strcmp(one: object, other: object) -> int:
    """int strcmp(const char *one, const char *other): 0, -1 or 1."""
    a, b = c_string(one), c_string(other)
    return (a > b) - (a < b)


def strcpy(destination: bytearray, source: object) -> bytearray:
    """char *strcpy(char *destination, const char *source); ValueError instead of an overflow."""
    text = c_string(source)
    if len(text) + 1 > len(destination):
        raise ValueError(f"{len(text) + 1} bytes do not fit into {len(destination)}")
    destination[: len(text) + 1] = text + b"\0"
    return destination


def _bytes_of(thing: Any) -> memoryview:
    return memoryview(thing).cast("B")


def memset(destination: Any, value: int, count: int) -> Any:
    """void *memset(void *destination, int value, size_t count): on a structure or a buffer."""
    if isinstance(destination, (bytearray, memoryview)) or hasattr(destination, "_fields_"):
        _bytes_of(destination)[:count] = bytes([value & 0xFF]) * count
    elif value == 0:
        destination.__init__()  # a plain class with C's fields: all back to zero
    return destination


def memcpy(destination: Any, source: Any, count: int) -> Any:
    """void *memcpy(void *destination, const void *source, size_t count)."""
    _bytes_of(destination)[:count] = _bytes_of(source)[:count]
    return destination


def ZeroMemory(destination: Any, count: int) -> None:
    """void ZeroMemory(PVOID destination, SIZE_T count)."""
    memset(destination, 0, count)


def _beginthreadex(
    security: None,
    stack_size: int,
    start_address: Callable[[Any], object],
    arglist: object,
    initflag: int = 0,
    thrdaddr: object = None,
) -> int:
    """uintptr_t _beginthreadex(security, stack_size, start_address, arglist, initflag, thrdaddr).

    The C runtime's CreateThread: the same here, with 0 instead of NULL for a failure.
    """
    return CreateThread(security, stack_size, start_address, arglist, initflag, thrdaddr) or 0


_endthreadex = ExitThread

__all__ = [
    "ZeroMemory", "_beginthreadex", "_endthreadex", "fgets", "fprintf", "getchar", "memcpy",
    "memset", "printf", "putchar", "puts", "sprintf", "stderr", "stdin", "stdout", "strcmp",
    "strcpy", "strlen",
]  # fmt: skip
