"""The log: one JSON object a line, nothing forged, nothing secret."""

from __future__ import annotations

import io
import json
import logging

from examples.login_server.log import LibraryHandler, Log


def caught_from(error: Exception) -> Exception:
    """The exception after it was raised, traceback included."""

    def fail() -> None:
        raise error

    try:
        fail()
    except type(error) as caught:
        return caught
    raise AssertionError


def test_a_line_is_one_json_object_with_time_and_event() -> None:
    """Fields follow as given; the time is UTC."""
    stream = io.StringIO()
    Log(stream, lambda: 0.0).write("connection", id=7, reason="quit", name=None)
    assert json.loads(stream.getvalue()) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "event": "connection",
        "id": 7,
        "reason": "quit",
        "name": None,
    }


def test_a_field_cannot_forge_a_line_or_reach_the_terminal() -> None:
    """Line feeds, escapes and direction overrides leave as ASCII escapes."""
    stream = io.StringIO()
    evil = '\n{"event":"forged"}\r\x1b[31m\u202e\u2028\x85'
    Log(stream).write("connection", name=evil)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text[:-1].isprintable()
    assert text.isascii()
    assert json.loads(text)["name"] == evil


def test_an_exceptions_text_stays_out_unless_the_system_wrote_it() -> None:
    """A ValueError may repeat a password; an OSError names the call."""
    stream = io.StringIO()
    log = Log(stream)
    for error in (ValueError("hunter2"), ConnectionResetError(104, "reset by peer")):
        log.failure("error", caught_from(error), id=3)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["error"] == "ValueError"
    assert first["text"] == ""
    assert "test_login_log.py" in first["trace"][-1]
    assert "hunter2" not in stream.getvalue()
    assert "reset by peer" in second["text"]


def test_a_log_that_cannot_be_written_is_counted() -> None:
    """A closed or full log never reaches the caller."""
    stream = io.StringIO()
    stream.close()
    log = Log(stream)
    log.write("connection")
    assert log.lost == 1


def test_what_the_library_logs_is_a_line_like_any_other() -> None:
    """Warnings and errors; not its chatter."""
    stream = io.StringIO()
    handler = LibraryHandler(Log(stream))
    logger = logging.Logger("wsock")
    logger.addHandler(handler)
    logger.info("chatter")
    logger.warning("out of %s", "descriptors")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"]) == ("wsock", "WARNING")
    assert line["text"] == "out of descriptors"
