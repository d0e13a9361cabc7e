"""printf and the keyboard."""

from __future__ import annotations

import io
import threading
import time

import pytest
from ported import program

from wsock import win32 as w


@pytest.mark.parametrize(
    ("format_", "arguments", "text"),
    [
        ("%d bytes\n", (5,), "5 bytes\n"),
        ("%s", (bytearray(b"hello\0junk"),), "hello"),
        ("%-5s|%5d|%05d", ("ab", 7, 7), "ab   |    7|00007"),
        ("%x %X %o %%", (255, 255, 8), "ff FF 10 %"),
        ("%lu %llu %I64d", (1, 2, 3), "1 2 3"),
        ("%u", (-1,), "4294967295"),
        ("%c%c", (65, "B"), "AB"),
        ("%.2f", (1.005,), "1.00"),
        ("%*d", (4, 7), "   7"),
        ("%.*s", (2, b"abc"), "ab"),
        ("%s", (None,), "(null)"),
        ("%p", (16,), "0000000000000010"),
    ],
)
def test_printf(
    format_: str, arguments: tuple[object, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """C's directives, with C's strings."""
    assert w.printf(format_, *arguments) == len(text)
    assert capsys.readouterr().out == text


def test_printf_without_an_argument() -> None:
    """What is undefined in C raises."""
    with pytest.raises(TypeError, match="more arguments"):
        w.printf("%d")


def test_fprintf_puts_sprintf(capsys: pytest.CaptureFixture[str]) -> None:
    """To stderr, with a new line, and into a buffer."""
    w.fprintf(w.stderr, "error %d\n", 10035)
    w.puts(b"line\0rest")
    shown = capsys.readouterr()
    assert (shown.err, shown.out) == ("error 10035\n", "line\n")
    buffer = bytearray(16)
    assert w.sprintf(buffer, "n=%d", 42) == 4
    assert w.strlen(buffer) == 4
    with pytest.raises(ValueError, match="do not fit"):
        w.strcpy(bytearray(3), "four")


def test_strings_and_memory() -> None:
    """strcmp, memset, memcpy, ZeroMemory, on buffers and structures."""
    assert w.strcmp("abc", b"abc\0") == 0
    assert w.strcmp("abc", "abd") == -1
    buffer = bytearray(b"xxxx")
    w.memset(buffer, 0, 2)
    assert buffer == b"\0\0xx"
    w.memcpy(buffer, b"ab", 2)
    assert buffer == b"abxx"
    address = w.sockaddr_in(sin_family=2, sin_port=7)
    w.ZeroMemory(address, w.sizeof(address))
    assert bytes(address) == bytes(16)
    described = w.WNDCLASS()
    described.lpszClassName = "x"
    w.memset(described, 0, w.sizeof(w.WNDCLASSEX()))
    assert described.lpszClassName is None


@program
def test_fgets_and_getchar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line with its end and a NUL; what does not fit waits; NULL and EOF at the end."""
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\nlonger line\nx"))
    buffer = bytearray(8)
    assert w.fgets(buffer, 8, w.stdin) is buffer
    assert buffer == b"hello\n\0\0"
    w.fgets(buffer, 8, w.stdin)
    assert buffer == b"longer \0"
    w.fgets(buffer, 8, w.stdin)
    assert buffer[:6] == b"line\n\0"
    assert w.getchar() == ord("x")
    assert w.getchar() == -1
    assert w.fgets(buffer, 8, w.stdin) is None


@program
def test_the_keyboard_suspends_only_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread reads, another runs."""
    release = w.CreateEvent(None, True, False, None)

    class Slow:
        def readline(self) -> str:
            assert woken.wait(30)
            return "typed\n"

    woken = threading.Event()
    monkeypatch.setattr("sys.stdin", Slow())
    buffer = bytearray(8)
    reader = w.CreateThread(lambda _: w.fgets(buffer, 8, w.stdin) and 0, None)
    w.CreateThread(lambda _: w.SetEvent(release), None)
    assert w.WaitForSingleObject(release, 2000) == w.WAIT_OBJECT_0
    woken.set()
    assert w.WaitForSingleObject(reader, 2000) == w.WAIT_OBJECT_0
    assert buffer[:7] == b"typed\n\0"


def test_input_and_time_sleep_warn_once_and_name_the_replacement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only inside a program; outside both are as they were."""

    def main() -> str:
        with pytest.warns(RuntimeWarning, match="Sleep"):
            time.sleep(0)
        time.sleep(0)  # a second warning would fail the test
        with pytest.warns(RuntimeWarning, match="fgets"):
            return input()

    monkeypatch.setattr("sys.stdin", io.StringIO("typed\n"))
    before = time.sleep
    assert w.run(main) == "typed"
    assert time.sleep is before
    time.sleep(0)
