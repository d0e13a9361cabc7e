# The scenario language: words, data, numbers, names of flags and errors, and how results print.
#
#   test_scenarios     runs every scenario and compares transcripts
#   interpreter        lines, threads, the pump
#   commands_...       one function for each command
# > language           THIS FILE: text to values, values to text; no call of wsock.win32
#
# A scenario is one command per line; a transcript repeats each command, " -> " and its result,
# without port numbers, handles or times, so two of them can be compared as text. The language is
# described in README.md of this folder.
"""Text to values and values to text."""

from __future__ import annotations

import re

from wsock import errors
from wsock import win32 as w

_WORD = re.compile(r'"(?:\\.|[^"\\])*"|[^\s"]\S*|"')
_REPEATED = re.compile(r"(\d+)\*(.)", re.DOTALL)
_ESCAPE = re.compile(r"\\(n|0|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LONGEST_SPELT_OUT = 48

_NUMBERS = {
    name: getattr(w, name)
    for name in (
        "AF_UNSPEC", "AF_INET", "SOCK_STREAM", "SOCK_DGRAM", "IPPROTO_TCP", "IPPROTO_UDP",
        "SD_RECEIVE", "SD_SEND", "SD_BOTH", "SOMAXCONN",
    )
} | dict.fromkeys(("AF_BAD", "SOCK_BAD", "IPPROTO_BAD", "SD_BAD"), 0xDEAD)  # fmt: skip

_MESSAGES = {"WM_TIMER": w.WM_TIMER, "WM_QUIT": w.WM_QUIT}

_FLAGS = {
    name: getattr(w, name) for name in ("MSG_OOB", "MSG_PEEK", "MSG_DONTROUTE", "MSG_WAITALL")
} | {"MSG_BAD": 0x4000000}

EVENTS = {
    name: getattr(w, name)
    for name in (
        "FD_READ", "FD_WRITE", "FD_OOB", "FD_ACCEPT", "FD_CONNECT", "FD_CLOSE", "FD_QOS",
        "FD_GROUP_QOS", "FD_ROUTING_INTERFACE_CHANGE", "FD_ADDRESS_LIST_CHANGE",
    )
}  # fmt: skip

_ERROR_NAMES = {code: name for name, code in errors.CODES.items()} | {
    0: "0",
    w.ERROR_INVALID_WINDOW_HANDLE: "ERROR_INVALID_WINDOW_HANDLE",
    w.ERROR_NOT_ENOUGH_QUOTA: "ERROR_NOT_ENOUGH_QUOTA",
}


class Malformed(Exception):
    """The scenario is not in the language."""


def words(line: str) -> list[str]:
    """The words of a command; a string in quotes is one word, with its quotes."""
    found: list[str] = _WORD.findall(line)
    if '"' in found:
        raise Malformed(f"a string without its end: {line}")
    return found


def data(word: str) -> bytes:
    """``"text"`` with escapes, or ``5000*x``."""
    repeated = _REPEATED.fullmatch(word)
    if repeated:
        return repeated[2].encode() * int(repeated[1])
    if len(word) < 2 or not (word.startswith('"') and word.endswith('"')):
        raise Malformed(f'data is "text" or COUNT*character, not {word}')

    def meant(escape: re.Match[str]) -> str:
        text = escape[1]
        if text[0] == "x" and len(text) == 3:
            return chr(int(text[1:], 16))
        return {"n": "\n", "0": "\0"}.get(text, text)

    return _ESCAPE.sub(meant, word[1:-1]).encode("latin-1")


def shown(received: bytes) -> str:
    """Data as a transcript has it."""
    if len(received) > _LONGEST_SPELT_OUT and len(set(received)) == 1:
        return f"{len(received)}*{chr(received[0])}"
    return '"' + "".join(map(_shown_byte, received)) + '"'


def _shown_byte(byte: int) -> str:
    character = chr(byte)
    if character in '"\\':
        return "\\" + character
    if character == "\n":
        return "\\n"
    return character if " " <= character <= "~" else f"\\x{byte:02x}"


def number(word: str) -> int:
    """A number, or the name of a family, type, protocol or direction."""
    if word in _NUMBERS:
        return int(_NUMBERS[word])
    try:
        return int(word, 0)
    except ValueError:
        raise Malformed(f"a number was expected: {word}") from None


def message(word: str) -> int:
    """A message number: ``U+3`` is WM_USER + 3."""
    if word.startswith("U+"):
        return w.WM_USER + number(word[2:])
    return _MESSAGES[word] if word in _MESSAGES else number(word)


def _mask(word: str, table: dict[str, int]) -> int:
    mask = 0
    for name in word.split("|"):
        if name == "0":
            continue
        if name not in table:
            raise Malformed(f"unknown flag: {name}")
        mask |= table[name]
    return mask


def events(word: str) -> int:
    """``FD_READ|FD_CLOSE`` or 0."""
    return _mask(word, EVENTS)


def flags(word: str) -> int:
    """``MSG_PEEK|MSG_OOB`` or 0."""
    return _mask(word, _FLAGS)


def error_name(code: int) -> str:
    """An error code by its name; 0 as 0."""
    return _ERROR_NAMES.get(code, f"error({code})")


def error_code(word: str) -> int:
    """The other way round: a name or a number."""
    codes = {name: code for code, name in _ERROR_NAMES.items()}
    return codes[word] if word in codes else number(word)


def event_name(event: int) -> str:
    """One FD_ event by its name."""
    return next((name for name, value in EVENTS.items() if value == event), "FD_?")


# ------------------------------------------------------------------------- results of C functions


def result(value: int) -> str:
    """What an int function of Winsock returned: the value, or SOCKET_ERROR and why."""
    if value == w.SOCKET_ERROR:
        return f"SOCKET_ERROR {error_name(w.WSAGetLastError())}"
    return str(value)


def truth(value: int) -> str:
    """What a BOOL function returned: TRUE, or FALSE and why."""
    return "TRUE" if value else f"FALSE {error_name(w.WSAGetLastError())}"
