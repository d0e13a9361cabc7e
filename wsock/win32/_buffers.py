# Buffers: the memory that a C call writes to or reads from.
#
# Rule 1: a buffer is used in place, never copied; whatever the program passes as ``char *`` (a
#         bytearray, a memoryview, a ctypes array or structure) becomes a view of bytes.

from __future__ import annotations

import ctypes
from typing import Any


def view(thing: Any) -> memoryview:
    """The bytes of a buffer or a ctypes object.

    Raises:
      TypeError: the object has no memory to show.
    """
    return memoryview(thing).cast("B")


def target(out: Any) -> Any:
    """What an out-parameter points to: ctypes' byref() and pointer() are looked through."""
    if out is None:
        return None
    pointed = getattr(out, "_obj", None)
    if pointed is not None:
        return pointed
    if isinstance(out, ctypes._Pointer):
        return out.contents if out else None
    return out


def number(value: Any) -> int:
    """An integer argument: an int, or a ctypes integer."""
    found = target(value)
    if found is None:
        return 0
    return int(getattr(found, "value", found))


def store(out: Any, value: int) -> None:
    """Write an integer through an out-parameter; None (NULL) is nobody's wish."""
    found = target(out)
    if found is not None:
        found.value = value


def c_string(text: object) -> bytes:
    """The bytes of a C string: up to the first NUL, or all of them if there is none.

    Raises:
      TypeError: no str, no buffer, no LPSTR.
    """
    if isinstance(text, ctypes.c_char_p):
        return text.value or b""
    if isinstance(text, str):
        return text.encode().split(b"\0", 1)[0]
    raw = getattr(text, "raw", text)
    if not isinstance(raw, (bytes, bytearray, memoryview)):
        raise TypeError(f"a string or a buffer is needed, not {type(text).__name__}")
    return bytes(raw).split(b"\0", 1)[0]
