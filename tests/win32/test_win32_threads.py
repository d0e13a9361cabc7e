"""run, start, threads, waits, critical sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from ported import program, until_others_wait

from wsock import win32 as w

if TYPE_CHECKING:
    from trio.testing import MockClock


def test_run_returns_what_main_returns() -> None:
    """With arguments, and ExitThread's code."""
    assert w.run(lambda a, b: a + b, 2, 3) == 5
    assert w.run(lambda: w.ExitThread(7)) == 7


def test_an_exception_leaves_as_itself() -> None:
    """Not in a group; of a thread too; two are a group."""

    def thread_fails() -> None:
        w.CreateThread(lambda _: 1 // 0, None)
        w.Sleep(w.INFINITE)

    def both_fail() -> None:
        w.CreateThread(lambda _: 1 // 0, None)
        try:
            w.Sleep(w.INFINITE)
        finally:
            raise KeyError("main")

    with pytest.raises(ZeroDivisionError):
        w.run(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        w.run(thread_fails)
    with pytest.raises(BaseExceptionGroup) as caught:
        w.run(both_fail)
    assert {type(each) for each in caught.value.exceptions} == {ZeroDivisionError, KeyError}


def test_outside_a_program_the_error_says_what_to_do() -> None:
    """Both ways in are named."""
    with pytest.raises(RuntimeError, match=r"win32\.run\(main\)"):
        w.GetLastError()


async def test_inside_trio_run_says_start_and_start_works() -> None:
    """``await win32.start(main)``, two programs at once."""
    with pytest.raises(RuntimeError, match=r"await win32\.start"):
        w.run(lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(w.start, w.Sleep, 1)
        assert await w.start(lambda: w.GetTickCount64() > 0)


async def test_cancelling_start_ends_main_and_threads() -> None:
    """Where they wait."""
    ended = []

    def sleeper(name: str) -> None:
        try:
            w.Sleep(w.INFINITE)
        finally:
            ended.append(name)

    def main() -> None:
        w.CreateThread(sleeper, "thread")
        sleeper("main")

    with trio.move_on_after(0.05):
        await w.start(main)
    assert sorted(ended) == ["main", "thread"]


def test_the_end_of_main_ends_all_threads() -> None:
    """As the end of a process."""
    ended = []

    def thread(_: object) -> None:
        try:
            w.Sleep(w.INFINITE)
        finally:
            ended.append(1)

    def main() -> None:
        w.CreateThread(thread, None)
        w.Sleep(0)

    w.run(main)
    assert ended == [1]


@program
def test_create_thread_asks_only() -> None:
    """The thread runs when the caller waits; both forms; the id comes back."""
    ran = []
    identifier = w.DWORD()
    w.CreateThread(ran.append, "short")
    w.CreateThread(None, 0, ran.append, "long", 0, identifier)
    assert ran == []
    until_others_wait()
    assert sorted(ran) == ["long", "short"]
    assert identifier.value
    assert w.CreateThread(None, 0, None, None, 0, None) is None
    assert w.GetLastError() == w.ERROR_INVALID_PARAMETER


@program
def test_exit_codes() -> None:
    """STILL_ACTIVE, then what the function returned or ExitThread said."""
    code = w.DWORD()
    gate = w.CreateEvent(None, True, False, None)
    waits = w.CreateThread(lambda _: w.WaitForSingleObject(gate, w.INFINITE) or 42, None)
    leaves = w.CreateThread(lambda _: w.ExitThread(9), None)
    w.WaitForSingleObject(leaves, w.INFINITE)
    assert w.GetExitCodeThread(leaves, code)
    assert code.value == 9
    assert w.GetExitCodeThread(waits, code)
    assert code.value == w.STILL_ACTIVE
    w.SetEvent(gate)
    w.WaitForSingleObject(waits, w.INFINITE)
    w.GetExitCodeThread(waits, code)
    assert code.value == 42
    assert w.CloseHandle(waits)
    assert not w.GetExitCodeThread(waits, code)
    assert w.GetLastError() == w.ERROR_INVALID_HANDLE


@program
def test_suspended_threads_start_with_resume() -> None:
    """1 for the one that was suspended, then 0."""
    ran = []
    thread = w.CreateThread(None, 0, ran.append, 1, w.CREATE_SUSPENDED, None)
    until_others_wait()
    assert ran == []
    assert w.ResumeThread(thread) == 1
    assert w.ResumeThread(thread) == 0
    w.WaitForSingleObject(thread, w.INFINITE)
    assert ran == [1]
    assert w.ResumeThread(4) == 0xFFFFFFFF


@program
def test_beginthreadex_is_create_thread() -> None:
    """The handle can be waited for."""
    thread = w._beginthreadex(None, 0, lambda _: 3, None, 0, None)
    assert w.WaitForSingleObject(thread, 1000) == w.WAIT_OBJECT_0


@program
def test_last_errors_are_per_thread() -> None:
    """And GetLastError is WSAGetLastError."""
    seen = []
    w.SetLastError(5)
    other = w.CreateThread(lambda _: seen.append(w.WSAGetLastError()), None)
    w.WaitForSingleObject(other, w.INFINITE)
    assert seen == [0]
    assert w.WSAGetLastError() == 5


@program
def test_waits_on_threads_and_events_together() -> None:
    """The lowest index; wait for all; a timeout."""
    never = w.CreateEvent(None, True, False, None)
    thread = w.CreateThread(lambda _: 0, None)
    assert w.WaitForMultipleObjects(2, [never, thread], False, 1000) == w.WAIT_OBJECT_0 + 1
    assert w.WaitForMultipleObjects(2, [never, thread], True, 10) == w.WAIT_TIMEOUT
    w.SetEvent(never)
    assert w.WaitForMultipleObjects(2, [never, thread], True, 1000) == w.WAIT_OBJECT_0
    assert w.WaitForSingleObject(12, 0) == w.WAIT_FAILED
    assert w.GetLastError() == w.ERROR_INVALID_HANDLE


@program
def test_named_events_are_found_again() -> None:
    """ERROR_ALREADY_EXISTS and the same object."""
    first = w.CreateEvent(None, True, False, "ready")
    again = w.CreateEvent(None, True, False, "ready")
    assert w.GetLastError() == w.ERROR_ALREADY_EXISTS
    w.SetEvent(again)
    assert w.WaitForSingleObject(first, 0) == w.WAIT_OBJECT_0


@program
def test_critical_sections_exclude_and_nest() -> None:
    """One thread inside, however often; the next when it has left."""
    section, order = w.CRITICAL_SECTION(), []
    w.InitializeCriticalSection(section)

    def other(_: object) -> None:
        assert not w.TryEnterCriticalSection(section)
        w.EnterCriticalSection(section)
        order.append("other")
        w.LeaveCriticalSection(section)

    w.EnterCriticalSection(section)
    w.EnterCriticalSection(section)
    thread = w.CreateThread(other, None)
    until_others_wait()
    order.append("main")
    w.LeaveCriticalSection(section)
    until_others_wait()
    order.append("main again")
    w.LeaveCriticalSection(section)
    w.WaitForSingleObject(thread, w.INFINITE)
    w.DeleteCriticalSection(section)
    assert order == ["main", "main again", "other"]


async def test_time_is_trios(autojump_clock: MockClock) -> None:
    """Sleep and GetTickCount follow a virtual clock."""

    def main() -> int:
        before = w.GetTickCount64()
        w.Sleep(60_000)
        return w.GetTickCount64() - before

    assert await w.start(main) == pytest.approx(60_000, abs=1)


@program
def test_error_texts() -> None:
    """FormatMessage into a buffer, or into a pointer; none for an unknown number."""
    buffer = bytearray(200)
    length = w.FormatMessage(
        w.FORMAT_MESSAGE_FROM_SYSTEM, None, w.WSAEWOULDBLOCK, 0, buffer, 200, None
    )
    assert length == w.strlen(buffer) > 10
    pointer = w.LPSTR()
    flags = w.FORMAT_MESSAGE_ALLOCATE_BUFFER | w.FORMAT_MESSAGE_FROM_SYSTEM
    language = w.MAKELANGID(w.LANG_NEUTRAL, w.SUBLANG_DEFAULT)
    assert w.FormatMessage(flags, None, w.ERROR_PIPE_BUSY, language, w.byref(pointer), 0, None)
    assert b"pipe" in (pointer.value or b"")
    w.LocalFree(pointer)
    assert w.FormatMessage(flags, None, 123456, 0, pointer, 0, None) == 0
    assert w.FormatMessage(w.FORMAT_MESSAGE_FROM_SYSTEM, None, 10035, 0, buffer, 3, None) == 0
    assert w.GetLastError() == w.ERROR_INSUFFICIENT_BUFFER
