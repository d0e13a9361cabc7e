# Filter values: the types of fields, how a literal is read, how two values are compared.
#
# Rule 1: a literal is read once, when the filter is compiled, by the type of the field that stands
#         on the other side; a bad one is a ``LiteralError``, never a test that silently fails.
# Rule 2: what a getter returns is brought into one form here (an address to a pair of numbers), so
#         getters may return whatever their records hold.
"""Types, literals and comparisons of display filters."""

from __future__ import annotations

import functools
import ipaddress
import operator
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

__all__ = ["FieldType", "LiteralError", "Order", "in_range", "normalise", "read_literal", "same"]

Order = Callable[[Any, Any], bool]


class FieldType(Enum):
    """What a field holds, and so which literals and operators go with it."""

    NUMBER = "number"
    BOOL = "truth value"
    STRING = "string"
    ADDRESS = "address"
    BYTES = "byte sequence"
    PROTOCOL = "protocol"


class LiteralError(ValueError):
    """A literal that is no value of the wanted type; the text says of which."""


#: Types whose values may stand on the two sides of one comparison.
_FAMILY: Final = {
    FieldType.NUMBER: "number",
    FieldType.BOOL: "number",
    FieldType.STRING: "string",
    FieldType.ADDRESS: "address",
    FieldType.BYTES: "bytes",
    FieldType.PROTOCOL: "bytes",
}

_BYTES_LIKE: Final = (bytes, bytearray, memoryview)
_INTEGER: Final = re.compile(r"-?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|[0-9]+)\Z")
_DECIMAL: Final = re.compile(r"-?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\Z")
_BYTES: Final = re.compile(r"[0-9a-fA-F]{2}(?:[:.-]?[0-9a-fA-F]{2})*\Z")
_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}


def same(left: FieldType, right: FieldType) -> bool:
    """Return whether values of the two types can be compared with each other."""
    return _FAMILY[left] == _FAMILY[right]


def _number(text: str, quoted: bool) -> float:
    if quoted:
        if len(text) == 1:
            return ord(text)
    elif _INTEGER.match(text):
        digits = text.lstrip("-")
        # C's leading zero, which Wireshark reads as octal and int(x, 0) refuses.
        base = 8 if len(digits) > 1 and digits.isdigit() and digits[0] == "0" else 0
        return int(text, base)
    elif _DECIMAL.match(text):
        return float(text)
    raise LiteralError("a number: 80, 0x50, -1, 2.5")


def _truth(text: str, quoted: bool) -> float:
    if not quoted and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if not quoted and _INTEGER.match(text):
        return _number(text, quoted)
    raise LiteralError("a truth value: 1, 0, true, false")


def _string(text: str, quoted: bool) -> str:
    if quoted or "." not in text:
        return text
    raise LiteralError('a quoted string: "text"')


def _bytes(text: str, quoted: bool) -> bytes:
    if quoted:
        return text.encode("utf-8", "surrogateescape")
    if _BYTES.match(text):
        return bytes.fromhex(re.sub("[:.-]", "", text))
    raise LiteralError('bytes: 47:45:54 or "GET"')


def _network(text: str, quoted: bool) -> tuple[int, int, int]:
    """Read ``10.0.0.0/8``: version, network as a number, mask. Without a prefix all bits count."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise LiteralError("an address: 10.0.0.1, 10.0.0.0/8, fe80::1") from error
    return network.version, int(network.network_address), int(network.netmask)


_READERS: Final[dict[FieldType, Callable[[str, bool], Any]]] = {
    FieldType.NUMBER: _number,
    FieldType.BOOL: _truth,
    FieldType.STRING: _string,
    FieldType.ADDRESS: _network,
    FieldType.BYTES: _bytes,
    FieldType.PROTOCOL: _bytes,
}


def read_literal(text: str, quoted: bool, kind: FieldType) -> Any:  # noqa: ANN401
    """Return the value that ``text`` means beside a field of type ``kind``.

    Raises:
      LiteralError: it means none; the text names what would.
    """
    try:
        return _READERS[kind](text, quoted)
    except LiteralError:
        raise
    except (ValueError, OverflowError) as error:  # 08, or more than the 4,300 digits int() takes
        raise LiteralError("a decimal, hexadecimal or octal number") from error


@functools.lru_cache(maxsize=1024)
def _address_from_text(text: str) -> tuple[int, int] | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.version, int(address)


def _address(value: Any) -> tuple[int, int] | None:  # noqa: ANN401
    """Bring an address in any usual form to (version, number)."""
    if isinstance(value, str):
        return _address_from_text(value)
    if isinstance(value, int):
        return 4, value
    if isinstance(value, _BYTES_LIKE):
        return (4 if len(value) == 4 else 6), int.from_bytes(value, "big")
    return value.version, int(value)


def normalise(found: Any, kind: FieldType) -> tuple[Any, ...]:  # noqa: ANN401
    """Return what a getter found as a tuple of comparable values: empty when the field is absent.

    A tuple or list is a field with several values. A protocol's value counts only as bytes.
    """
    if found is None:
        return ()
    values = found if isinstance(found, (tuple, list)) else (found,)
    if kind is FieldType.ADDRESS:
        return tuple(one for one in map(_address, values) if one is not None)
    if kind is FieldType.STRING:
        return tuple(one if isinstance(one, str) else str(one) for one in values)
    if kind in (FieldType.BYTES, FieldType.PROTOCOL):
        return tuple(bytes(one) for one in values if isinstance(one, _BYTES_LIKE))
    return tuple(values)


def _inside(value: Any, network: Any) -> bool:  # noqa: ANN401
    version, base, mask = network
    return bool(value[0] == version and value[1] & mask == base)


def equal_to_literal(kind: FieldType) -> Order:
    """Return the test for equality with a literal of that type (an address: within its prefix)."""
    return _inside if kind is FieldType.ADDRESS else operator.eq


def full_address(literal: Any) -> tuple[int, int]:  # noqa: ANN401
    """Return an address literal as a value that has an order.

    Raises:
      LiteralError: it has a prefix, and a network is neither above nor below an address.
    """
    version, base, mask = literal
    if mask != (1 << (32 if version == 4 else 128)) - 1:
        raise LiteralError("an address without /prefix, as it is put in order")
    return version, base


def in_range(low: Any, high: Any, kind: FieldType) -> Callable[[Any], bool]:  # noqa: ANN401
    """Return the test for ``low <= value <= high``; addresses of one version only."""
    if kind is FieldType.ADDRESS:
        first, last = full_address(low), full_address(high)
        return lambda value: value[0] == first[0] and first <= value <= last
    return lambda value: bool(low <= value <= high)
