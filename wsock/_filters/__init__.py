# Filters: Wireshark's display-filter language, compiled to one Python callable.
#
#   virtual, tdimon  packets, trace records     bring their fields and a getter
# > _filters         tokens, operands, grammar  THIS FOLDER: makes one test of a text
#
# Rule 1: nothing else of wsock is imported: one grammar for packets and for traces.
# Rule 2: whatever the text is, compiling it gives a filter or a FilterSyntaxError that points at
#         the place. A compiled filter never fails because a field is absent: the test is false.
# Rule 3: where Wireshark surprises, we do the same, since people bring its filters along: a field
#         alone asks whether it is *there* (``tcp.flags.syn == 1`` asks whether it is set); ``!=``
#         holds when no value is equal (its reading since 3.6); ``matches`` ignores case.
#
# Grammar, loosest first:
#   or ||    xor ^^    and &&    not !    == != < <= > >= === !== contains matches in    &
# An operand is a field, a literal, a slice ``field[0:3]`` or len() count() lower() upper() of one.
#
# Sources: wireshark-filter(4); the release notes of Wireshark 3.6 and 4.0 on != and precedence.
"""Wireshark's display-filter language for packets and trace records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from wsock._filters.grammar import Parser
from wsock._filters.tokens import FilterSyntaxError
from wsock._filters.values import FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FieldType", "Filter", "FilterSyntaxError", "compile_filter"]

R = TypeVar("R")


class Filter(Generic[R]):
    """A compiled filter: call it with a record. ``text`` is its source, ``fields`` what it asks."""

    __slots__ = ("_test", "fields", "text")

    def __init__(self, text: str, fields: frozenset[str], test: Callable[[R], bool]) -> None:
        self.text = text
        self.fields = fields
        self._test = test

    def __call__(self, record: R) -> bool:
        """Return whether the record passes."""
        return self._test(record)

    def __repr__(self) -> str:
        return f"<Filter {self.text!r}>"


def compile_filter(
    text: str, fields: Mapping[str, FieldType], getter: Callable[[R, str], object]
) -> Filter[R]:
    """Compile a display filter; never a checkpoint.

    Args:
      text: the filter; one of blanks only passes everything.
      fields: every name that may stand in it, with its type.
      getter: called as ``getter(record, name)``; returns the value, a tuple of values, or ``None``
        when the record has no such field. Addresses may be text, numbers, packed or objects.

    Returns:
      A callable that takes a record and tells whether it passes.

    Raises:
      FilterSyntaxError: the text is no filter over these fields.
    """
    if not text.strip():
        return Filter(text, frozenset(), lambda record: True)
    parser = Parser(text, fields, getter)
    test = parser.whole()
    return Filter(text, frozenset(parser.used), test)
