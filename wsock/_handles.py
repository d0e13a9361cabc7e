# Handles: a number for every object that a C program, or a wParam, can name.
#
# Rule 1: one table for each Trio run. Numbers are multiples of 4, as on Windows, given at the first
#         question and never given again in that run: a stale wParam finds nothing rather than a
#         stranger.
# Rule 2: references are weak. A handle keeps nothing alive; who needs that (wsock.win32) keeps the
#         object too.
#
# Source: learn.microsoft.com, "Handles and Objects".

from __future__ import annotations

import weakref
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HandleTable", "forget", "handle_of", "object_of"]

FIRST_HANDLE: Final = 0x44


class _Reference(weakref.ref[Any]):
    """A weak reference that knows under which numbers the table has it."""

    __slots__ = ("handle", "identity")

    handle: int
    identity: int


class HandleTable:
    """Numbers and the objects they name, for one Trio run."""

    __slots__ = ("__weakref__", "_collected", "_names", "_numbers", "_objects")

    def __init__(self) -> None:
        self._numbers = count(FIRST_HANDLE, 4)
        # By identity: an object's own ``==`` has no say in what its handle is.
        names: dict[int, _Reference] = {}
        objects: dict[int, _Reference] = {}

        def collected(reference: weakref.ref[Any]) -> None:  # one function for all: 0.2 KiB each
            assert isinstance(reference, _Reference)
            objects.pop(reference.handle, None)
            if names.get(reference.identity) is reference:  # else the address is used again
                del names[reference.identity]

        self._names = names
        self._objects = objects
        self._collected = collected

    def handle_of(self, thing: object) -> int:
        """The number of ``thing``, made now if it has none."""
        reference = self._names.get(id(thing))
        if reference is None or reference() is not thing:
            reference = _Reference(thing, self._collected)
            reference.identity = id(thing)
            reference.handle = next(self._numbers)
            self._names[reference.identity] = self._objects[reference.handle] = reference
        return reference.handle

    def object_of(self, handle: int) -> object | None:
        """What ``handle`` names; None for a number never given, or whose object is gone."""
        reference = self._objects.get(handle)
        return None if reference is None else reference()

    def forget(self, thing: object) -> None:
        """Let the handle of ``thing`` name nothing from now on; the object got closed."""
        reference = self._names.get(id(thing))
        if reference is not None and reference() is thing:
            self._objects.pop(reference.handle, None)

    def __iter__(self) -> Iterator[tuple[int, object]]:
        """Every handle that names something, and what it names."""
        for handle, reference in list(self._objects.items()):
            thing = reference()
            if thing is not None:
                yield handle, thing

    def __len__(self) -> int:
        return len(self._objects)


_table: Final[trio.lowlevel.RunVar[HandleTable]] = trio.lowlevel.RunVar("wsock handles")


def current_table() -> HandleTable:
    """The table of the Trio run that is calling.

    Raises:
      RuntimeError: called outside a Trio run.
    """
    try:
        return _table.get()
    except LookupError:
        table = HandleTable()
        _table.set(table)
        return table


def handle_of(thing: object) -> int:
    """The handle of ``thing`` in this run; the same number every time, also after ``forget``.

    Raises:
      RuntimeError: called outside a Trio run.
    """
    return current_table().handle_of(thing)


def object_of(handle: int) -> object | None:
    """The object with this handle in this run, or None: closed, collected, or never there."""
    return current_table().object_of(handle)


def forget(thing: object) -> None:
    """Take the handle of a closed object out of use; its number is not given to another."""
    current_table().forget(thing)
