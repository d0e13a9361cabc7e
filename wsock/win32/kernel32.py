# kernel32: threads, critical sections, time, last errors, error texts.
#
# Its events and waits are in _waits.py, its pipes in _pipe_calls.py; their names are here too.
#
# Rule 1: results and codes are C's: BOOL as 0 or 1, handles as ints, GetLastError's code set by the
#         calls that fail and by no other.
# Rule 2: a handle is any number. What it names is looked up at each call; a stale one is
#         ERROR_INVALID_HANDLE, never an exception.
#
# Sources: learn.microsoft.com on each function; B23 for the two forms of CreateThread.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio
from trio.lowlevel import ParkingLot

from wsock import errors
from wsock.win32 import _threads
from wsock.win32._buffers import number, store, target
from wsock.win32._pipe_calls import *  # noqa: F403
from wsock.win32._pipe_calls import __all__ as _pipe_names
from wsock.win32._threads import Thread, ThreadExit, current, failed
from wsock.win32._waits import *  # noqa: F403
from wsock.win32._waits import __all__ as _wait_names
from wsock.win32.constants import (
    CREATE_SUSPENDED,
    ERROR_INSUFFICIENT_BUFFER,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    FALSE,
    TRUE,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from wsock.win32.types import CRITICAL_SECTION


# ---------------------------------------------------------------------------------- last error


def GetLastError() -> int:
    """DWORD GetLastError(void): the code of this thread's last call that failed.

    The same value as WSAGetLastError's.
    """
    return current().last_error


def SetLastError(code: int) -> None:
    """void SetLastError(DWORD code)."""
    current().last_error = code


# -------------------------------------------------------------------------------------- threads


def CreateThread(*arguments: Any) -> int | None:
    """HANDLE CreateThread(attributes, stack_size, function, parameter, flags, LPDWORD id).

    A thread is a task: it runs when the caller waits, and only one runs at a time. A short form
    too: CreateThread(function), CreateThread(function, parameter). The function's int result is
    the exit code. Attributes and stack size mean nothing here. Threads end when main ends.

    Returns:
      the thread's handle, for CloseHandle and the waits; NULL if there is no function.
    """
    if arguments and callable(arguments[0]):
        function, parameter = (*arguments, None)[:2]
        flags, identifier = 0, None
    else:
        _, _, function, parameter, flags, identifier = (*arguments, *[None] * 6)[:6]
    creator = current()
    if not callable(function):
        failed(ERROR_INVALID_PARAMETER)
        return None
    thread = Thread(creator.process, creator.program, function, parameter)
    store(identifier, thread.identifier)
    if not number(flags) & CREATE_SUSPENDED:
        thread.start()
    return creator.process.add_object(thread)


def _thread(handle: int) -> Thread | None:
    found = current().process.objects.get(handle)
    return found if isinstance(found, Thread) else None


def ResumeThread(hThread: int) -> int:
    """DWORD ResumeThread(HANDLE): 1 if it started a suspended thread, 0 if it ran already."""
    thread = _thread(hThread)
    if thread is None:
        failed(ERROR_INVALID_HANDLE)
        return 0xFFFFFFFF
    suspended = not thread.started
    thread.start()
    return int(suspended)


def ExitThread(code: int) -> NoReturn:
    """void ExitThread(DWORD code): ends the calling thread; in main, the program.

    Unlike C, ``finally`` blocks on the way run.
    """
    raise ThreadExit(code & 0xFFFFFFFF)


def GetExitCodeThread(hThread: int, lpExitCode: object) -> int:
    """BOOL GetExitCodeThread(HANDLE, LPDWORD): the code, or STILL_ACTIVE (259)."""
    thread = _thread(hThread)
    if thread is None:
        return failed(ERROR_INVALID_HANDLE)
    store(lpExitCode, thread.exit_code)
    return TRUE


def GetCurrentThreadId() -> int:
    """DWORD GetCurrentThreadId(void): what PostThreadMessage asks for."""
    return current().identifier


def CloseHandle(hObject: int) -> int:
    """BOOL CloseHandle(HANDLE): of an event, a thread or a pipe.

    Closing a thread's handle does not end the thread. An event that a socket is selected on
    lives on for the socket.
    """
    thing = current().process.objects.pop(hObject, None)
    if thing is None:
        return failed(ERROR_INVALID_HANDLE)
    close = getattr(thing, "close", None)
    if close is not None:
        close()
    return TRUE


# ----------------------------------------------------------------------------------------- time


def GetTickCount64() -> int:
    """ULONGLONG GetTickCount64(void): milliseconds on Trio's clock, also when that is virtual."""
    return int(trio.current_time() * 1000)


def GetTickCount() -> int:
    """DWORD GetTickCount(void): the same, and begins again after 49.7 days."""
    return GetTickCount64() & 0xFFFFFFFF


# ---------------------------------------------------------------------------- critical sections


def InitializeCriticalSection(lpCriticalSection: CRITICAL_SECTION) -> None:
    """void InitializeCriticalSection(LPCRITICAL_SECTION)."""
    section = target(lpCriticalSection)
    section.owner, section.depth, section.lot = None, 0, ParkingLot()


def TryEnterCriticalSection(lpCriticalSection: CRITICAL_SECTION) -> int:
    """BOOL TryEnterCriticalSection(LPCRITICAL_SECTION): never waits."""
    section, thread = target(lpCriticalSection), current()
    if section.owner not in (None, thread):
        return FALSE
    section.owner = thread
    section.depth += 1
    return TRUE


def EnterCriticalSection(lpCriticalSection: CRITICAL_SECTION) -> None:
    """void EnterCriticalSection(LPCRITICAL_SECTION): waits until no other thread is inside.

    Threads here only change over where a call waits, so it is needed around those alone.
    """
    section = target(lpCriticalSection)
    while not TryEnterCriticalSection(section):
        _threads.wait(section.lot.park)


def LeaveCriticalSection(lpCriticalSection: CRITICAL_SECTION) -> None:
    """void LeaveCriticalSection(LPCRITICAL_SECTION)."""
    section = target(lpCriticalSection)
    section.depth -= 1
    if not section.depth:
        section.owner = None
        section.lot.unpark()


def DeleteCriticalSection(lpCriticalSection: CRITICAL_SECTION) -> None:
    """void DeleteCriticalSection(LPCRITICAL_SECTION)."""
    section = target(lpCriticalSection)
    section.owner, section.depth = None, 0


# ---------------------------------------------------------------------------------- error texts

_SYSTEM_TEXTS: Final = {
    0: "The operation completed successfully.",
    2: "The system cannot find the file specified.",
    6: "The handle is invalid.",
    50: "The request is not supported.",
    87: "The parameter is incorrect.",
    109: "The pipe has been ended.",
    121: "The semaphore timeout period has expired.",
    122: "The data area passed to a system call is too small.",
    183: "Cannot create a file when that file already exists.",
    230: "The pipe state is invalid.",
    231: "All pipe instances are busy.",
    232: "The pipe is being closed.",
    233: "No process is on the other end of the pipe.",
    234: "More data is available.",
    535: "There is a process on other end of the pipe.",
    536: "Waiting for a process to open the other end of the pipe.",
    1400: "Invalid window handle.",
    1407: "Cannot find window class.",
    1410: "Class already exists.",
    1411: "Class does not exist.",
    1444: "Invalid thread identifier.",
    1816: "Not enough quota is available to process this command.",
}


def error_text(code: int) -> str:
    """A code of GetLastError in a sentence; empty for a number that nobody gave out."""
    if code in _SYSTEM_TEXTS:
        return _SYSTEM_TEXTS[code]
    return errors.text(code) if code in errors.CODES.values() else ""


def FormatMessage(
    dwFlags: int,
    lpSource: None,
    dwMessageId: int,
    dwLanguageId: int,
    lpBuffer: Any,
    nSize: int = 0,
    Arguments: None = None,
) -> int:
    """DWORD FormatMessage(flags, source, id, language, buffer, size, arguments).

    The text of a system error, always in English. The buffer is a bytearray; or, with
    FORMAT_MESSAGE_ALLOCATE_BUFFER, an LPSTR() whose ``value`` becomes the text.

    Returns:
      how many bytes the text has; 0 if there is none (ERROR_INVALID_PARAMETER).
    """
    text = error_text(dwMessageId).encode()
    if not text:
        return failed(ERROR_INVALID_PARAMETER)
    text += b"\r\n"
    out = target(lpBuffer)
    if isinstance(out, (bytearray, memoryview)):
        if len(text) + 1 > nSize:
            return failed(ERROR_INSUFFICIENT_BUFFER)
        out[: len(text) + 1] = text + b"\0"
    else:
        out.value = text
    return len(text)


def LocalFree(hMem: object) -> None:
    """HLOCAL LocalFree(HLOCAL): nothing to do, Python frees; answers NULL."""


def thread_function(function: Callable[[Any], object]) -> Callable[[Any], object]:
    """``DWORD WINAPI`` before a function: marks it for the reader, and changes nothing."""
    return function


WINAPI = thread_function
CALLBACK = thread_function

__all__ = [
    "CALLBACK",
    "WINAPI",
    "CloseHandle",
    "CreateThread",
    "DeleteCriticalSection",
    "EnterCriticalSection",
    "ExitThread",
    "FormatMessage",
    "GetCurrentThreadId",
    "GetExitCodeThread",
    "GetLastError",
    "GetTickCount",
    "GetTickCount64",
    "InitializeCriticalSection",
    "LeaveCriticalSection",
    "LocalFree",
    "ResumeThread",
    "SetLastError",
    "TryEnterCriticalSection",
]  # fmt: skip
__all__ += _pipe_names
__all__ += _wait_names
