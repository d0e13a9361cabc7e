# Filter operands: fields, literals, slices, bit masks and functions of a display filter.
#
# > operands   THIS FILE: reads what stands on one side of a comparison
#   grammar    comparisons and logic over it
#
# Rule: an operand gives a tuple of values for a record, empty when the field is absent; nothing
#       above this file knows how a field is fetched.
"""The operands of display filters."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from wsock._filters.tokens import FilterSyntaxError, Token, tokens_of
from wsock._filters.values import FieldType, LiteralError, normalise, read_literal

__all__ = ["Operand", "OperandParser", "Test", "Values"]

Test = Callable[[Any], bool]
Values = Callable[[Any], tuple[Any, ...]]


class Operand(NamedTuple):
    """One side of a comparison: a field's values, or a literal whose type the other side gives."""

    token: Token
    kind: FieldType | None  # None: a literal
    values: Values
    present: Test


def _literal(token: Token) -> Operand:
    return Operand(token, None, lambda record: (), lambda record: False)


_FUNCTIONS: Final[dict[str, tuple[FieldType | None, Callable[[Any], Any]]]] = {
    "len": (FieldType.NUMBER, len),
    "count": (FieldType.NUMBER, len),
    "lower": (FieldType.STRING, str.lower),
    "upper": (FieldType.STRING, str.upper),
}


class OperandParser:
    """The token cursor, and the parsing of one operand; the grammar is built on it."""

    def __init__(
        self, text: str, fields: Mapping[str, FieldType], getter: Callable[[Any, str], object]
    ) -> None:
        self.text = text
        self.fields = fields
        self.getter = getter
        self.tokens = tokens_of(text, fields)
        self.place = 0
        self.used: set[str] = set()

    # -- tokens

    @property
    def now(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.tokens[self.place]
        self.place += 1
        return token

    def at(self, *operators: str) -> bool:
        return self.now.kind == "operator" and self.now.text in operators

    def expect(self, text: str, why: str) -> None:
        if not self.at(text):
            self.fail(self.now, f"{self.name(self.now)} where {text!r} {why} was expected")
        self.take()

    def name(self, token: Token) -> str:
        return "the end" if token.kind == "end" else repr(self.text[token.start : token.end])

    def fail(self, token: Token, reason: str, suggestion: str | None = None) -> NoReturn:
        raise FilterSyntaxError(self.text, token.start, token.end, reason, suggestion)

    # -- operands

    def literal_token(self) -> Token:
        if self.now.kind in ("end", "operator"):
            self.fail(self.now, f"{self.name(self.now)} where a value was expected")
        return self.take()

    def operand(self) -> Operand:
        operand = self.primary()
        while self.at("&", "["):
            operand = self.masked(operand) if self.take().text == "&" else self.sliced(operand)
        return operand

    def primary(self) -> Operand:
        token = self.now
        if token.kind in ("end", "operator"):
            self.fail(token, f"{self.name(token)} where a field or a value was expected")
        self.take()
        if token.kind != "word":
            return _literal(token)
        if token.text in self.fields:
            return self.field(token, self.fields[token.text])
        if token.text in _FUNCTIONS and self.at("("):
            return self.function(token)
        return _literal(token)

    def field(self, token: Token, kind: FieldType) -> Operand:
        self.used.add(token.text)
        getter, name = self.getter, token.text
        return Operand(
            token,
            kind,
            lambda record: normalise(getter(record, name), kind),
            lambda record: getter(record, name) not in (None, (), []),
        )

    def function(self, token: Token) -> Operand:
        self.take()
        inner = self.operand()
        self.expect(")", f"to close {token.text}(")
        if inner.kind is None:
            self.fail_literal(inner.token)
        result, call = _FUNCTIONS[token.text]
        values = inner.values
        if token.text == "count":
            return Operand(token, result, lambda record: (call(values(record)),), inner.present)
        if inner.kind is not FieldType.STRING and (token.text != "len" or not _sliced(inner.kind)):
            self.fail(inner.token, f"{token.text}() of a {inner.kind.value} means nothing")
        return Operand(
            token, result, lambda record: tuple(map(call, values(record))), inner.present
        )

    def masked(self, left: Operand) -> Operand:
        """``tcp.flags & 0x12``; alone it asks whether any of these bits is set."""
        token = self.literal_token()
        if left.kind is not FieldType.NUMBER:
            self.fail(left.token, f"'&' needs a number, and {self.name(left.token)} is none")
        mask = self.value(token, FieldType.NUMBER)
        if not isinstance(mask, int):
            self.fail(token, "a bit mask is a whole number")
        found = left.values
        return Operand(
            left.token,
            left.kind,
            lambda record: tuple(value & mask for value in found(record)),
            lambda record: any(value & mask for value in found(record)),
        )

    def sliced(self, left: Operand) -> Operand:
        """``eth.src[0:3]``, ``[1-2]``, ``[:4]``, ``[4:]``, ``[-1]``; several with commas."""
        if left.kind is None or not _sliced(left.kind):
            name = self.name(left.token)
            self.fail(left.token, f"only text and bytes have parts, {name} is none")
        parts = [self.part()]
        while self.at(","):
            self.take()
            parts.append(self.part())
        self.expect("]", "to close the slice")
        values, empty = left.values, "" if left.kind is FieldType.STRING else b""

        def cut(record: Any) -> tuple[Any, ...]:  # noqa: ANN401
            pieces = (empty.join(value[p] for p in parts) for value in values(record))
            return tuple(piece for piece in pieces if piece)

        kind = FieldType.STRING if left.kind is FieldType.STRING else FieldType.BYTES
        return Operand(left.token, kind, cut, lambda record: bool(cut(record)))

    def part(self) -> slice:
        token = self.literal_token()
        match = re.fullmatch(r"(-?\d{1,9})?(?:([:-])(-?\d{1,9})?)?", token.text, re.ASCII)
        if not match or token.text in ("", "-", ":"):
            self.fail(token, "a slice is [offset:length], [first-last], [:length], [offset:], [n]")
        start = int(match[1] or 0)
        if match[2] is None:
            return slice(start, None if start == -1 else start + 1)
        if match[3] is None:
            return slice(start, None)
        end = start + int(match[3]) if match[2] == ":" else int(match[3]) + 1
        return slice(start, None if start < 0 <= end else end)

    # -- literals

    def value(self, token: Token, kind: FieldType) -> Any:  # noqa: ANN401
        quoted = token.kind != "word"
        return self.checked(token, kind, functools.partial(read_literal, token.text, quoted, kind))

    def checked(self, token: Token, kind: FieldType, make: Callable[[], Any]) -> Any:  # noqa: ANN401
        try:
            return make()
        except LiteralError as error:
            near = self.nearest(token)
            self.fail(token, f"{self.name(token)} where {_a(kind.value)} must stand; "
                      f"write {error}", near)  # fmt: skip

    def fail_literal(self, token: Token) -> NoReturn:
        if token.kind != "word":
            self.fail(token, f"{self.name(token)} is a value; a test needs a field")
        near = self.nearest(token)
        self.fail(token, f"{token.text!r} is not a field", near)

    def nearest(self, token: Token) -> str | None:
        if token.kind != "word":
            return None
        lowered = {name.lower(): name for name in self.fields}
        close = difflib.get_close_matches(token.text.lower(), lowered, n=1, cutoff=0.6)
        return lowered[close[0]] if close else None


def _sliced(kind: FieldType) -> bool:
    return kind in (FieldType.STRING, FieldType.BYTES, FieldType.PROTOCOL)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
