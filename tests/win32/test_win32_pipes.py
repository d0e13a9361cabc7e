"""Named pipes and anonymous ones (facts S1-1 to S1-3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ported import program, until_others_wait

from wsock import win32 as w

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = r"\\.\pipe\lesson"


def server(instances: int = 1, mode: int = w.PIPE_TYPE_BYTE, size: int = 512) -> int:
    """CreateNamedPipe with what a lesson uses."""
    return w.CreateNamedPipe(
        NAME, w.PIPE_ACCESS_DUPLEX, mode | w.PIPE_WAIT, instances, size, size, 0, None
    )


def client(access: int = w.GENERIC_READ | w.GENERIC_WRITE) -> int:
    """CreateFile on the pipe."""
    return w.CreateFile(NAME, access, 0, None, w.OPEN_EXISTING, 0, None)


def write(handle: int, data: bytes) -> int:
    """WriteFile; how many bytes, or -1."""
    written = w.DWORD()
    done = w.WriteFile(handle, data, len(data), written, None)
    return written.value if done else -1


def read(handle: int, room: int = 64) -> bytes | None:
    """ReadFile; the bytes, or None."""
    buffer, count = bytearray(room), w.DWORD()
    done = w.ReadFile(handle, buffer, room, count, None)
    more = w.GetLastError() == w.ERROR_MORE_DATA
    return bytes(buffer[: count.value]) if done or (more and count.value) else None


def in_thread(function: Callable[[], object]) -> int:
    """Run it in another thread; its handle."""
    handle = w.CreateThread(lambda _: bool(function()))
    assert handle is not None
    return handle


@program
def test_first_and_second_call_give_instances() -> None:
    """S1-1: both are server handles; one more than the limit is refused."""
    first, second = server(2), server(2)
    assert w.INVALID_HANDLE_VALUE not in (first, second)
    assert server(2) == w.INVALID_HANDLE_VALUE
    assert w.GetLastError() == w.ERROR_PIPE_BUSY


@program
def test_connect_waits_until_a_client_comes() -> None:
    """S1-2: it returns TRUE then; both sides read what the other wrote."""
    pipe = server()
    connected = w.CreateEvent(None, True, False, None)
    waiting = in_thread(lambda: w.ConnectNamedPipe(pipe, None) and w.SetEvent(connected))
    assert w.WaitForSingleObject(connected, 20) == w.WAIT_TIMEOUT
    other = client()
    assert w.WaitForSingleObject(waiting, 1000) == w.WAIT_OBJECT_0
    assert w.WaitForSingleObject(connected, 0) == w.WAIT_OBJECT_0
    assert write(other, b"question") == 8
    assert read(pipe) == b"question"
    assert write(pipe, b"answer") == 6
    assert read(other) == b"answer"


@program
def test_a_client_before_connect() -> None:
    """ERROR_PIPE_CONNECTED: as good as TRUE."""
    pipe = server()
    client()
    assert not w.ConnectNamedPipe(pipe, None)
    assert w.GetLastError() == w.ERROR_PIPE_CONNECTED


@program
def test_disconnect_readies_the_instance_for_the_next_client() -> None:
    """S1-3: with it a second client is served; without it ConnectNamedPipe fails."""
    pipe = server()
    first = client()
    w.CloseHandle(first)
    assert not w.ConnectNamedPipe(pipe, None)
    assert w.GetLastError() == w.ERROR_NO_DATA
    assert client() == w.INVALID_HANDLE_VALUE
    assert w.GetLastError() == w.ERROR_PIPE_BUSY
    assert w.DisconnectNamedPipe(pipe)
    waiting = in_thread(lambda: w.ConnectNamedPipe(pipe, None))
    until_others_wait()
    second = client()
    assert second != w.INVALID_HANDLE_VALUE
    assert w.WaitForSingleObject(waiting, 1000) == w.WAIT_OBJECT_0
    write(second, b"next")
    assert read(pipe) == b"next"


@program
def test_closing_the_last_instance_takes_the_name_away() -> None:
    """S1-3: ERROR_FILE_NOT_FOUND then."""
    pipe = server()
    assert w.CloseHandle(pipe)
    assert client() == w.INVALID_HANDLE_VALUE
    assert w.GetLastError() == w.ERROR_FILE_NOT_FOUND
    assert not w.WaitNamedPipe(NAME, 10)
    assert w.GetLastError() == w.ERROR_FILE_NOT_FOUND


@program
def test_wait_named_pipe() -> None:
    """Until an instance is free; ERROR_SEM_TIMEOUT if none becomes free."""
    pipe = server()
    assert w.WaitNamedPipe(NAME, 0)
    first = client()
    assert not w.WaitNamedPipe(NAME, 10)
    assert w.GetLastError() == w.ERROR_SEM_TIMEOUT
    waiting = in_thread(lambda: w.WaitNamedPipe(NAME, w.NMPWAIT_WAIT_FOREVER))
    until_others_wait()
    w.CloseHandle(first)
    w.DisconnectNamedPipe(pipe)
    serving = in_thread(lambda: w.ConnectNamedPipe(pipe, None))
    assert w.WaitForSingleObject(waiting, 1000) == w.WAIT_OBJECT_0
    client()
    assert w.WaitForSingleObject(serving, 1000) == w.WAIT_OBJECT_0


@program
def test_a_client_that_closes_leaves_its_bytes() -> None:
    """The server reads them, then ERROR_BROKEN_PIPE; its writes say ERROR_NO_DATA."""
    pipe = server()
    other = client()
    write(other, b"last words")
    w.CloseHandle(other)
    assert read(pipe) == b"last words"
    assert read(pipe) is None
    assert w.GetLastError() == w.ERROR_BROKEN_PIPE
    assert write(pipe, b"x") == -1
    assert w.GetLastError() == w.ERROR_NO_DATA


@program
def test_disconnect_throws_unread_bytes_away() -> None:
    """The client finds ERROR_PIPE_NOT_CONNECTED."""
    pipe = server()
    other = client()
    write(pipe, b"unread")
    assert w.DisconnectNamedPipe(pipe)
    assert read(other) is None
    assert w.GetLastError() == w.ERROR_PIPE_NOT_CONNECTED
    assert read(pipe) is None
    assert w.GetLastError() == w.ERROR_PIPE_NOT_CONNECTED


@program
def test_a_server_without_a_client() -> None:
    """ERROR_PIPE_LISTENING for reading, writing and sending away."""
    pipe = server()
    for call in (
        lambda: read(pipe) is None,
        lambda: write(pipe, b"x") == -1,
        lambda: not w.DisconnectNamedPipe(pipe),
    ):
        assert call()
        assert w.GetLastError() == w.ERROR_PIPE_LISTENING


@program
def test_a_stream_joins_writes_and_messages_keep_their_bounds() -> None:
    """Byte mode fills the buffer; message mode says ERROR_MORE_DATA for the rest."""
    pipe = server()
    other = client()
    write(other, b"abc")
    write(other, b"def")
    assert read(pipe, 4) == b"abcd"
    assert read(pipe, 4) == b"ef"
    w.CloseHandle(other)
    w.CloseHandle(pipe)
    pipe = server(mode=w.PIPE_TYPE_MESSAGE | w.PIPE_READMODE_MESSAGE)
    other = client()
    write(other, b"abc")
    write(other, b"def")
    w.SetLastError(0)
    assert read(pipe, 2) == b"ab"
    assert w.GetLastError() == w.ERROR_MORE_DATA
    assert read(pipe, 10) == b"c"
    assert read(pipe, 10) == b"def"


@program
def test_a_full_pipe_makes_the_writer_wait() -> None:
    """And FlushFileBuffers waits until all is read."""
    pipe = server(size=8)
    other = client()
    assert write(pipe, b"12345678") == 8
    writing = in_thread(lambda: write(pipe, b"more") == 4)
    assert w.WaitForSingleObject(writing, 20) == w.WAIT_TIMEOUT
    assert read(other) == b"12345678"
    assert w.WaitForSingleObject(writing, 1000) == w.WAIT_OBJECT_0
    flushing = in_thread(lambda: w.FlushFileBuffers(pipe))
    assert w.WaitForSingleObject(flushing, 20) == w.WAIT_TIMEOUT
    assert read(other) == b"more"
    assert w.WaitForSingleObject(flushing, 1000) == w.WAIT_OBJECT_0


@program
def test_one_way_pipes() -> None:
    """The wrong direction is ERROR_INVALID_PARAMETER."""
    inbound = w.CreateNamedPipe(NAME, w.PIPE_ACCESS_INBOUND, 0, 1, 0, 0, 0, None)
    other = client(w.GENERIC_WRITE)
    assert write(other, b"in") == 2
    assert read(inbound) == b"in"
    assert write(inbound, b"out") == -1
    assert w.GetLastError() == w.ERROR_INVALID_PARAMETER
    assert read(other) is None


@program
def test_anonymous_pipes() -> None:
    """CreatePipe: one end to read, one to write."""
    reading, writing = w.HANDLE(), w.HANDLE()
    assert w.CreatePipe(w.byref(reading), w.byref(writing), None, 0)
    assert write(writing.value, b"through") == 7
    assert read(reading.value) == b"through"
    assert w.CloseHandle(writing.value)
    assert read(reading.value) is None
    assert w.GetLastError() == w.ERROR_BROKEN_PIPE


@pytest.mark.parametrize("name", ["lesson", r"C:\file", r"\\server\pipe\x"])
def test_other_names(name: str) -> None:
    """Only local pipes."""

    @program
    def check() -> None:
        made = w.CreateNamedPipe(name, w.PIPE_ACCESS_DUPLEX, 0, 1, 0, 0, 0, None)
        assert made == w.INVALID_HANDLE_VALUE
        assert w.GetLastError() == w.ERROR_INVALID_PARAMETER
        opened = w.CreateFile(name, w.GENERIC_READ, 0, None, w.OPEN_EXISTING, 0, None)
        assert opened == w.INVALID_HANDLE_VALUE
        assert w.GetLastError() == w.ERROR_FILE_NOT_FOUND

    check()


@program
def test_bad_handles() -> None:
    """ERROR_INVALID_HANDLE from every call."""
    for call in (
        lambda: w.ConnectNamedPipe(8, None),
        lambda: w.DisconnectNamedPipe(8),
        lambda: w.ReadFile(8, bytearray(1), 1, None, None),
        lambda: w.WriteFile(8, b"x", 1, None, None),
        lambda: w.FlushFileBuffers(8),
        lambda: w.CloseHandle(8),
    ):
        w.SetLastError(0)
        assert not call()
        assert w.GetLastError() == w.ERROR_INVALID_HANDLE


@program
def test_nowait_pipes_are_not_there() -> None:
    """ERROR_NOT_SUPPORTED, said clearly."""
    assert server(mode=w.PIPE_NOWAIT) == w.INVALID_HANDLE_VALUE
    assert w.GetLastError() == w.ERROR_NOT_SUPPORTED
