# Filter tokens: the words of a display filter, and the error that points at one of them.
#
# Rule: lexing never guesses. What is no token is a FilterSyntaxError at its column; a word is an
#       operator only where no field has that name.
"""Tokens of display filters."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsock._filters.values import FieldType

__all__ = ["FilterSyntaxError", "Token", "tokens_of"]


class FilterSyntaxError(ValueError):
    """A filter text that means nothing; its text shows where, with a caret.

    Attributes:
      text: the whole filter. column: of the bad place, from 1. token: what stands there, ``""`` at
      the end of the text. reason: one sentence. suggestion: the nearest field's name, or ``None``.
    """

    def __init__(
        self, text: str, start: int, end: int, reason: str, suggestion: str | None = None
    ) -> None:
        super().__init__(text, start, end, reason, suggestion)
        self.text = text
        self.column = start + 1
        self.token = text[start:end]
        self.reason = reason
        self.suggestion = suggestion

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        shown = "".join(" " if c.isspace() or not c.isprintable() else c for c in self.text)
        before = _width(shown[: self.column - 1])
        marks = "^" + "~" * (_width(self.token) - 1)
        return f"{self.reason}{hint}\n  {shown}\n  {' ' * before}{marks}"


def _width(text: str) -> int:
    """Return how many columns of a terminal ``text`` fills."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Token(NamedTuple):
    kind: str  # "word", "string", "regex" (a raw string), "operator", "end"
    text: str  # a string's contents, an operator's one spelling
    start: int
    end: int


_LEXER: Final = re.compile(
    r"""(?P<blank>\s+)
      | (?P<regex>[rR]"[^"]*")
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator>===|!==|==|!=|<=|>=|&&|\|\||\^\^|\.\.|[<>!&~(){}\[\],])
      | (?P<word>(?:[\w:/+-]|\.(?!\.))+)""",
    re.VERBOSE | re.DOTALL,
)

#: Words that are operators wherever no field has that name.
_WORDS: Final = {
    "eq": "==", "any_eq": "==", "ne": "!=", "all_ne": "!=", "all_eq": "===", "any_ne": "!==",
    "gt": ">", "lt": "<", "ge": ">=", "le": "<=", "bitwise_and": "&",
    "and": "&&", "or": "||", "xor": "^^", "not": "!",
    "contains": "contains", "matches": "~", "in": "in",
}  # fmt: skip

_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_PLAIN_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f"}
_HINTS: Final = {"=": "; write '=='", "|": "; write '||'", "^": "; write '^^'"}


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] == "x" and len(code) == 3:
        return chr(int(code[1:], 16))
    if code.isascii() and code.isdigit() and code[0] < "8":
        return chr(int(code, 8) & 0xFF)
    return _PLAIN_ESCAPES.get(code, code)


def tokens_of(text: str, fields: Mapping[str, FieldType]) -> list[Token]:
    found: list[Token] = []
    place = 0
    while place < len(text):
        match = _LEXER.match(text, place)
        if match is None:
            bad = text[place]
            quote = "this string has no end" if bad in "\"'" else f"{bad!r} means nothing here"
            raise FilterSyntaxError(text, place, place + 1, quote + _HINTS.get(bad, ""))
        kind, word = str(match.lastgroup), match[0]
        if kind == "string":
            word = _ESCAPE.sub(_unescape, word[1:-1])
        elif kind == "regex":
            word = word[2:-1]
        elif kind == "word" and word not in fields and word.lower() in _WORDS:
            kind, word = "operator", _WORDS[word.lower()]
        if kind != "blank":
            found.append(Token(kind, word, place, match.end()))
        place = match.end()
    found.append(Token("end", "", len(text), len(text)))
    return found
