# Which names and passwords there are, and when two of them are the same.
#
# Rule 1: a name is compared in one form only, the one this file returns. Tables, throttles and
#         logs see no other.
# Rule 2: what is returned is stable: cleaning it again changes nothing, also under a later Unicode
#         version (unassigned characters are refused, assigned ones keep their normal form).
#
# Names: NFKC_Casefold of Unicode (chapter 3.13, R5 and D146), so "Alice", "ALICE" and "alice" in
# full-width letters are one account; then only letters, marks, decimal digits and . _ - @ + remain
# allowed. That refuses spaces, controls, direction overrides, zero-width characters and emoji.
# Look-alikes of different scripts (Latin a, Cyrillic a) stay different names: telling those apart
# is the work of a registration policy, not of an example.
#
# Passwords: RFC 8265 OpaqueString in spirit: NFC, so that two keyboards which compose an accent
# differently give the same password; case and everything else is kept.
"""Normal forms of names and passwords."""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_NAME: Final = 64
MIN_PASSWORD: Final = 8  # NIST SP 800-63B, 5.1.1.1
MAX_PASSWORD: Final = 128

_NAME_CATEGORIES: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})
_NAME_SIGNS: Final = frozenset("._-@+")

# Letters and marks that are invisible (Default_Ignorable_Code_Point within the categories above);
# the standard library does not have the property.
_INVISIBLE: Final = frozenset(
    char
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for char in map(chr, range(first, last + 1))
)


class NotAllowedError(ValueError):
    """The text cannot be a name, or cannot be a password. Its message never repeats the text."""


def clean_name(text: str) -> str:
    """The one form of a name.

    Returns:
      1 to 64 letters, marks, digits and ``._-@+``, folded and composed.

    Raises:
      NotAllowedError: too long, empty, or with a character no name may have.
    """
    if len(text) > MAX_NAME:  # before the work: NFKC makes 18 characters of one
        raise NotAllowedError(f"a name has at most {MAX_NAME} characters")
    name = unicodedata.normalize("NFD", text)
    for _ in range(2):  # folding can leave what is not composed, and the reverse
        name = unicodedata.normalize("NFKC", name.casefold())
    if not 1 <= len(name) <= MAX_NAME:
        raise NotAllowedError(f"a name has 1 to {MAX_NAME} characters")
    if not all(_allowed_in_name(char) for char in name):
        raise NotAllowedError("a name has letters, digits and . _ - @ + only")
    if unicodedata.category(name[0]) in {"Mn", "Mc"}:
        raise NotAllowedError("a name does not begin with a combining mark")
    return name


def _allowed_in_name(char: str) -> bool:
    if char in _NAME_SIGNS:
        return True
    return unicodedata.category(char) in _NAME_CATEGORIES and char not in _INVISIBLE


def clean_password(text: str) -> str:
    """The form in which a password is hashed and compared; says nothing about its strength."""
    return unicodedata.normalize("NFC", text)


def check_new_password(password: str, name: str) -> None:
    """Refuse a password that nobody should have. Old ones are never judged.

    Args:
      password: as ``clean_password`` returned it.
      name: the account's, as ``clean_name`` returned it.

    Raises:
      NotAllowedError: shorter than 8 or longer than 128 characters, one character repeated, or
        the name itself.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise NotAllowedError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    if len(set(password)) == 1:
        raise NotAllowedError("a password is more than one character repeated")
    if password.casefold() == name:
        raise NotAllowedError("a password is not the name")
