# The line protocol: bytes in, commands out; replies in, bytes out.
#
#   server        sockets, messages          who sends and who waits
#   session       order, limits of one client
# > protocol      lines, commands, replies    THIS FILE: knows no socket, no clock, no account
#
# Rule 1: nothing here trusts its input. Whatever bytes come, the answer is a command or a
#         ProtocolError with one of the codes below, and the memory used is bounded by the limit.
# Rule 2: the codes are the interface. Programs compare the first word (and after ERR the second);
#         the text behind is for people and may change. README.md lists them.
# Rule 3: no repr shows a password or a token, so that no traceback or log can.
"""Lines, commands and replies of the login protocol, without I/O."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


DEFAULT_PORT: Final = 7023


class Code(StrEnum):
    """What a reply line says first: ``OK``, or ``ERR`` and one of the other words."""

    OK = "OK"
    SYNTAX = "SYNTAX"
    CHARS = "CHARS"
    TOOLONG = "TOOLONG"
    TOOMANY = "TOOMANY"
    NAME = "NAME"
    PASSWORD = "PASSWORD"
    TAKEN = "TAKEN"
    DENIED = "DENIED"
    TOKEN = "TOKEN"
    RETRY = "RETRY"
    BUSY = "BUSY"
    LIMIT = "LIMIT"
    TIMEOUT = "TIMEOUT"
    STOPPING = "STOPPING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply line. ``text`` is the value after ``OK``, or the words after the code."""

    code: Code
    text: str = field(default="", repr=False)

    @property
    def ok(self) -> bool:
        """Whether the command did what it says."""
        return self.code is Code.OK

    def encode(self) -> bytes:
        """The line as it goes to the client, line feed included."""
        words = [str(self.code)] if self.ok else ["ERR", str(self.code)]
        if self.text:
            words.append(self.text)
        return " ".join(words).encode() + b"\n"


class ProtocolError(ValueError):
    """A line that is no command. ``reply`` tells the client what was wrong with it."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.reply: Final = Reply(code, text)


@dataclass(frozen=True, slots=True)
class Register:
    """``REGISTER name password``: make an account."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """``LOGIN name password``: prove the password, get a token."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """``WHOAMI token``: whose token is it?"""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Logout:
    """``LOGOUT token``: end the token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """``PASSWD token old new``: change the password, end all tokens, get a new one."""

    token: str = field(repr=False)
    old: str = field(repr=False)
    new: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Quit:
    """``QUIT``: say good-bye and close."""


Command = Register | Login | WhoAmI | Logout | ChangePassword | Quit

# word -> (maker, the fields behind the word). The one place that knows the grammar.
COMMANDS: Final[dict[str, tuple[Callable[..., Command], tuple[str, ...]]]] = {
    "REGISTER": (Register, ("name", "password")),
    "LOGIN": (Login, ("name", "password")),
    "WHOAMI": (WhoAmI, ("token",)),
    "LOGOUT": (Logout, ("token",)),
    "PASSWD": (ChangePassword, ("token", "old", "new")),
    "QUIT": (Quit, ()),
}


def parse_command(line: bytes) -> Command:
    """Read one line, without its line feed.

    Fields are separated by spaces, so none can contain one; the command word may have any case.

    Returns:
      The command, its fields as the client sent them (names and passwords are judged later).

    Raises:
      ProtocolError: with code CHARS or SYNTAX. Its text never repeats the input.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        # "from None": the original error carries the bytes, passwords among them.
        raise ProtocolError(Code.CHARS, "the line is not UTF-8") from None
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise ProtocolError(Code.CHARS, "the line has a control character")
    word, *fields = [part for part in text.split(" ") if part] or [""]
    known = COMMANDS.get(word.upper()) if word.isascii() else None
    if known is None:
        raise ProtocolError(Code.SYNTAX, "commands: " + " ".join(COMMANDS))
    make, names = known
    if len(fields) != len(names):
        usage = " ".join([word.upper(), *names])
        raise ProtocolError(Code.SYNTAX, f"usage: {usage}")
    return make(*fields)


class LineParser:
    """Cuts a stream of bytes into lines of at most ``limit`` bytes.

    A line ends with LF; a CR before it is dropped. A longer line is answered once, at the moment
    it passes the limit (its end may never come), and then skipped up to its line feed, so that the
    rest of it is not taken for commands. Between two calls the parser holds at most
    ``limit + 2`` bytes more than what one ``feed`` brought.
    """

    __slots__ = ("_buffer", "_limit", "_scanned", "_skipping")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0  # no line feed before this place: each byte is looked at once
        self._skipping = False

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self._buffer += data
        if self._skipping:
            self._skip()

    def next_line(self) -> bytes | None:
        """Take the next complete line, without its end; None when there is none yet.

        Raises:
          ProtocolError: TOOLONG, once per line that is too long.
        """
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if len(self._buffer) > self._limit + 1:  # one more: it may be the CR of CR LF
                self._skipping = True
                self._skip()
                raise self._too_long()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        line = line.removesuffix(b"\r")
        if len(line) > self._limit:
            raise self._too_long()
        return line

    def end(self) -> bool:
        """The input has ended: forget what is left. True if that was the start of a line."""
        cut = bool(self._buffer) and not self._skipping
        self._buffer.clear()
        self._scanned = 0
        return cut

    def _skip(self) -> None:
        end = self._buffer.find(b"\n")
        if end < 0:
            self._buffer.clear()
        else:
            del self._buffer[: end + 1]
            self._skipping = False
        self._scanned = 0

    def _too_long(self) -> ProtocolError:
        return ProtocolError(Code.TOOLONG, f"a line may have {self._limit} bytes")
