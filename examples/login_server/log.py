# The log: one JSON object a line, ASCII only.
#
# Rule 1: a line is one event. json.dumps with ensure_ascii turns line feeds, escape sequences and
#         direction overrides into \u escapes, so no name can forge a line or colour a terminal.
# Rule 2: no password and no token ever gets here, and no text of an unexpected exception either:
#         such a text may repeat what the client sent. Type and place are logged instead.
# Rule 3: a log that cannot be written never stops the server; what was lost is counted.
"""Structured log lines."""

from __future__ import annotations

import json
import logging
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

Value = str | int | float | bool | list[str] | None
_FRAMES: Final = 12  # the innermost ones of a traceback


class Log:
    """Writes events to a stream, a line each."""

    def __init__(self, stream: TextIO, wall: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._wall = wall
        self.lost = 0

    def write(self, event: str, **fields: Value) -> None:
        """Write one line: the time in UTC, the event's name, then the fields as given."""
        moment = datetime.fromtimestamp(self._wall(), UTC)
        line = {"time": moment.isoformat(timespec="milliseconds"), "event": event, **fields}
        try:
            self._stream.write(json.dumps(line, ensure_ascii=True) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.lost += 1

    def failure(self, event: str, error: BaseException, **fields: Value) -> None:
        """Write one line about an exception: what it is and where it came from.

        An OSError's own text is kept (it names the call); any other may carry a client's input.
        """
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        text = str(error) if isinstance(error, OSError) else ""
        self.write(event, **fields, error=type(error).__name__, text=text, trace=places)


class LibraryHandler(logging.Handler):
    """Writes what the wsock library logs (out of descriptors, say) as events of a Log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; its text is the library's own."""
        self._log.write("wsock", level=record.levelname, text=record.getMessage())
