# The interpreter: runs a scenario against wsock.win32 and gives its transcript.
"""Scenario in, transcript out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wsock import win32 as w

from . import commands_notification, commands_sockets, language
from .commands_windows import Desktop
from .language import Malformed, number
from .names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

# Loopback delivers within the call that sends, so a short silence shows that nothing more comes.
# The recorded transcripts were taken with 200 ms.
QUIET_MS = 40
JOIN_MS = 3000
WATCHDOG_S = 25.0


@dataclass(slots=True)
class SpawnedThread:
    """A thread of the scenario: one command, and what it printed."""

    line: str
    handle: int = 0
    output: list[str] = field(default_factory=list)


class Interpreter:
    """One run of one scenario."""

    def __init__(self) -> None:
        self.names = Names()
        self.desktop = Desktop(self.names)
        self.threads: dict[str, SpawnedThread] = {}
        self.commands: dict[str, Callable[..., str]] = {
            **{name: self._on_names(command) for name, command in self._plain_commands().items()},
            **self.desktop.commands(),  # type: ignore[dict-item]
            "WSAStartup": self._startup,
            "WSACleanup": lambda: language.result(w.WSACleanup()),
            "WSAGetLastError": lambda: language.error_name(w.WSAGetLastError()),
            "WSASetLastError": self._set_last_error,
            "sleep": self._sleep,
            "calc": self._calculate,
        }

    @staticmethod
    def _plain_commands() -> dict[str, Callable[..., str]]:
        return {**commands_sockets.COMMANDS, **commands_notification.COMMANDS}

    def _on_names(self, command: Callable[..., str]) -> Callable[..., str]:
        return lambda *arguments: command(self.names, *arguments)

    # Commands that need nothing else

    def _startup(self, major: str, minor: str) -> str:
        data = w.WSADATA()
        code = w.WSAStartup(w.MAKEWORD(number(major), number(minor)), data)
        if code:
            return language.error_name(code)
        return f"0 version {w.LOBYTE(data.wVersion)}.{w.HIBYTE(data.wVersion)}"

    def _set_last_error(self, code: str) -> str:
        w.WSASetLastError(language.error_code(code))
        return "ok"

    def _sleep(self, ms: str) -> str:
        w.Sleep(number(ms))
        return "ok"

    def _calculate(self, function: str, *arguments: str) -> str:
        if function == "inet_addr":
            return f"0x{w.ntohl(w.inet_addr(arguments[0])):08x}"
        values = [int(argument, 0) for argument in arguments]
        if function == "inet_ntoa":
            address = w.in_addr()
            address.s_addr = w.htonl(values[0])
            return w.inet_ntoa(address)
        digits = 8 if function in ("htonl", "ntohl", "MAKELONG") else 4
        call: Callable[..., int] = getattr(w, function)
        return f"0x{call(*values):0{digits}x}"

    # Lines

    def run(self, scenario: str) -> str:
        """Run all lines; the transcript.

        Raises:
          Malformed: the scenario is not in the language.
          trio.TooSlowError: it did not end within the watchdog's time.
        """
        lines = [line.strip() for line in scenario.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if lines[:1] == ["nostartup"]:
            del lines[0]
        else:
            w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
        output: list[str] = []
        for line in lines:
            self.run_line(line, output)
        return "".join(output)

    def run_line(self, line: str, output: list[str]) -> None:
        """Run one line and append what it prints."""
        hushed = line.startswith("~")
        command, *arguments = language.words(line.removeprefix("~"))
        if command == "say":
            output.append(f"-- {line[4:]}\n")
        elif hushed:
            self._result(command, arguments, line)
            output.append(f"{line} -> *\n")
        else:
            output.append(f"{line} ->{self._result(command, arguments, line)}")

    def _result(self, command: str, arguments: list[str], line: str) -> str:
        """What stands behind the arrow, up to the end of the line or lines."""
        if command == "pump":
            return self._pump(arguments)
        if command == "spawn":
            return self._spawn(arguments[0], line.split(None, 2)[2])
        if command == "join":
            return self._join(*arguments)
        if command == "outcome":
            return f" {self._outcome(*arguments)}\n"
        if command not in self.commands:
            raise Malformed(f"unknown command: {line}")
        return f" {self.commands[command](*arguments)}\n"

    def _pump(self, arguments: list[str]) -> str:
        quiet = next((int(word) for word in arguments if word.isdigit()), QUIET_MS)
        order = next((word for word in arguments if not word.isdigit()), "")
        lines = self.desktop.pump(quiet, order) or ["(none)"]
        return "\n" + "".join(f"  | {text}\n" for text in lines)

    # Threads

    def _spawn(self, name: str, line: str) -> str:
        thread = self.threads[name] = SpawnedThread(line)
        thread.handle = w.CreateThread(self._thread, thread) or 0
        return " ok\n"

    def _thread(self, thread: SpawnedThread) -> int:
        self.run_line(thread.line, thread.output)
        return 0

    def _ended(self, name: str, ms: str | None) -> SpawnedThread | None:
        thread = self.threads[name]
        limit = JOIN_MS if ms is None else number(ms)
        ended = w.WaitForSingleObject(thread.handle, limit) == w.WAIT_OBJECT_0
        return thread if ended else None

    def _join(self, name: str, ms: str | None = None) -> str:
        thread = self._ended(name, ms)
        return " still running\n" if thread is None else " " + "".join(thread.output)

    def _outcome(self, name: str, ms: str | None = None) -> str:
        thread = self._ended(name, ms)
        if thread is None:
            return "still running"
        printed = "".join(thread.output)
        failed = any(word in printed for word in ("SOCKET_ERROR", "INVALID_SOCKET", "FAILED"))
        return "ended with an error" if failed else "ended well"


async def transcript(scenario: str) -> Any:
    """Run a scenario inside this Trio run."""
    return await w.start(Interpreter().run, scenario)
