# One client's conversation: which command is next, what it may still do, when its time is over.
#
#   server        sockets, messages             who sends and who waits
# > session       order and limits of a client   THIS FILE: no socket, time is an argument
#   protocol      lines, commands, replies
#
# Rule 1: one command at a time. While one is being executed, and while its reply has not gone out,
#         nothing more is read: what the client sends ahead waits in its own TCP. That keeps the
#         replies in order and is the whole of the back-pressure.
# Rule 2: only a complete line counts as a sign of life. A byte a second keeps nobody connected.
# Rule 3: a command that the end of the input cut off is never executed.
"""The state of one connection, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .protocol import Code, LineParser, ProtocolError, Quit, Reply, parse_command

if TYPE_CHECKING:
    from .limits import Limits
    from .protocol import Command
    from .service import Answer


@dataclass(slots=True)
class Counts:
    """What the log line of a connection tells about it."""

    commands: int = 0
    ok: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Session:
    """Takes bytes, gives commands and replies, in order.

    The owner calls ``feed`` with what arrived and then ``next`` until it gives None; a command it
    gave is answered with ``answer``. When ``closing`` is true the last reply has been given.
    """

    __slots__ = (
        "_active_at",
        "_ended",
        "_limits",
        "_opened_at",
        "_parser",
        "_wrong_lines",
        "busy",
        "closing",
        "counts",
        "name",
        "reason",
        "stopping",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._parser = LineParser(limits.line_bytes)
        self._opened_at = now
        self._active_at = now
        self._wrong_lines = 0
        self._ended = False
        self.busy = False
        self.stopping = False
        self.closing = False
        self.reason = ""
        self.name: str | None = None
        self.counts = Counts()

    @property
    def wants_data(self) -> bool:
        """Whether to read more now. True only after ``next`` gave None."""
        return not (self.busy or self.closing or self._ended or self.stopping)

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self.counts.bytes_in += len(data)
        self._parser.feed(data)

    def end(self) -> None:
        """The client sends no more. What it sent before is still answered."""
        self._ended = True

    def stop(self) -> None:
        """The server stops: the command under way is answered, later ones are refused."""
        self.stopping = True

    def next(self, now: float) -> Command | Reply | None:
        """What to do next: execute a command, send a reply, or (None) nothing until more comes."""
        if self.busy or self.closing:
            return None
        try:
            line = self._parser.next_line()
            if line is not None:
                self._active_at = now
                return self._begin(line)
        except ProtocolError as problem:
            return self._refuse(problem.reply)
        return self._at_end()

    def answer(self, answer: Answer, now: float) -> Reply:
        """The command that ``next`` gave has come to this. Returns the reply to send."""
        self.busy = False
        self._active_at = now
        if answer.name is not None:
            self.name = answer.name
        if answer.reply.ok:
            self.counts.ok += 1
        else:
            self.counts.failed += 1
        return answer.reply

    def deadline(self) -> float:
        """When the client's time is over, unless something happens before."""
        if self.busy:
            return float("inf")  # not the client's fault
        idle = self._active_at + self._limits.idle_seconds
        if self.name is not None:
            return idle
        return min(idle, self._opened_at + self._limits.login_seconds)

    def time_out(self) -> Reply:
        """The client's time is over. Returns the last thing to tell it."""
        waited_for = "a login" if self.name is None else "a command"
        return self._close("timeout", Reply(Code.TIMEOUT, f"waited too long for {waited_for}"))

    def _begin(self, line: bytes) -> Command | Reply:
        if self.stopping:
            return Reply(Code.STOPPING, "the server is stopping, try again soon")
        command = parse_command(line)
        self.counts.commands += 1
        if isinstance(command, Quit):
            self.counts.ok += 1
            return self._close("quit", Reply(Code.OK, "bye"))
        self.busy = True
        return command

    def _refuse(self, reply: Reply) -> Reply:
        self.counts.failed += 1
        self._wrong_lines += 1
        if self._wrong_lines < self._limits.bad_lines:
            return reply
        return self._close("bad lines", Reply(Code.TOOMANY, "too many lines that are no command"))

    def _at_end(self) -> Reply | None:
        if self._ended:
            if self._parser.end():
                text = "the last line has no end and was not read"
                return self._close("closed", Reply(Code.SYNTAX, text))
            self.closing = True
            self.reason = "closed"
        elif self.stopping:
            self.closing = True
            self.reason = "stop"
        return None

    def _close(self, reason: str, reply: Reply) -> Reply:
        self.closing = True
        self.reason = reason
        return reply
