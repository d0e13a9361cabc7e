# kernel32, second part: the calls on pipes.
#
# Rule 1: translation only. What a pipe does is in _pipes.py; here are C's arguments, results and
#         codes.
#
# Sources: learn.microsoft.com on each function.

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import trio

from wsock.win32 import _threads
from wsock.win32._buffers import store, target, view
from wsock.win32._pipes import End, Instance, NamedPipe, PipeError, PipeTable, anonymous
from wsock.win32._threads import current, failed
from wsock.win32.constants import (
    ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    ERROR_MORE_DATA,
    ERROR_NOT_SUPPORTED,
    GENERIC_READ,
    GENERIC_WRITE,
    INVALID_HANDLE_VALUE,
    NMPWAIT_USE_DEFAULT_WAIT,
    NMPWAIT_WAIT_FOREVER,
    PIPE_NOWAIT,
    PIPE_TYPE_MESSAGE,
    PIPE_UNLIMITED_INSTANCES,
    TRUE,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PREFIX: Final = "\\\\.\\pipe\\"
_DEFAULT_WAIT: Final = 0.05  # CreateNamedPipe's nDefaultTimeOut of 0 means 50 ms

_tables: Final[trio.lowlevel.RunVar[PipeTable]] = trio.lowlevel.RunVar("wsock.win32 pipes")


def _table() -> PipeTable:
    try:
        return _tables.get()
    except LookupError:
        table = PipeTable()
        _tables.set(table)
        return table


def _end(handle: int) -> End | None:
    found = current().process.objects.get(handle)
    return found if isinstance(found, End) else None


def _done(call: Callable[..., Awaitable[None]], *args: object) -> int:
    """Wait for a pipe's call: TRUE, or FALSE with its code as the last error."""
    try:
        _threads.wait(call, *args)
    except PipeError as error:
        return failed(error.code)
    return TRUE


def CreateNamedPipe(
    lpName: str,
    dwOpenMode: int,
    dwPipeMode: int,
    nMaxInstances: int,
    nOutBufferSize: int,
    nInBufferSize: int,
    nDefaultTimeOut: int,
    lpSecurityAttributes: None,
) -> int:
    r"""HANDLE CreateNamedPipe(name, open_mode, pipe_mode, max_instances, out, in, timeout, NULL).

    The first call for a name (``\\.\pipe\something``) makes the pipe, further ones make further
    instances of it, each for one client at a time. The pipe is known within the process only.
    Byte and message mode; PIPE_NOWAIT and overlapped I/O are not there.

    Returns:
      the server's handle of the new instance; INVALID_HANDLE_VALUE with ERROR_PIPE_BUSY when
      there are nMaxInstances, ERROR_INVALID_PARAMETER for a bad name or mode.
    """
    access = dwOpenMode & 3
    if not lpName.lower().startswith(_PREFIX) or not access or not 1 <= nMaxInstances <= 255:
        failed(ERROR_INVALID_PARAMETER)
        return INVALID_HANDLE_VALUE
    if dwPipeMode & PIPE_NOWAIT:
        failed(ERROR_NOT_SUPPORTED)
        return INVALID_HANDLE_VALUE
    limit = nMaxInstances if nMaxInstances < PIPE_UNLIMITED_INSTANCES else 1 << 30
    messages = bool(dwPipeMode & PIPE_TYPE_MESSAGE)
    pipe = NamedPipe(lpName, access, messages, limit, (nOutBufferSize, nInBufferSize))
    try:
        instance = _table().create(pipe)
    except PipeError as error:
        failed(error.code)
        return INVALID_HANDLE_VALUE
    return current().process.add_object(instance)


def _instance(handle: int) -> Instance | None:
    found = _end(handle)
    return found if isinstance(found, Instance) else None


def ConnectNamedPipe(hNamedPipe: int, lpOverlapped: None = None) -> int:
    """BOOL ConnectNamedPipe(HANDLE, NULL): waits until a client opens this instance.

    FALSE with ERROR_PIPE_CONNECTED if one came before the call, which is as good; FALSE with
    ERROR_NO_DATA if the last client went and DisconnectNamedPipe was not called.
    """
    instance = _instance(hNamedPipe)
    if instance is None:
        return failed(ERROR_INVALID_HANDLE)
    return _done(instance.connect)


def DisconnectNamedPipe(hNamedPipe: int) -> int:
    """BOOL DisconnectNamedPipe(HANDLE): sends the client away; what it has not read is lost."""
    instance = _instance(hNamedPipe)
    if instance is None:
        return failed(ERROR_INVALID_HANDLE)
    try:
        instance.disconnect()
    except PipeError as error:
        return failed(error.code)
    return TRUE


def WaitNamedPipe(lpNamedPipeName: str, nTimeOut: int) -> int:
    """BOOL WaitNamedPipe(name, milliseconds): until an instance is free for a client."""
    seconds = nTimeOut / 1000
    if nTimeOut == NMPWAIT_WAIT_FOREVER:
        seconds = math.inf
    elif nTimeOut == NMPWAIT_USE_DEFAULT_WAIT:
        seconds = _DEFAULT_WAIT
    return _done(_table().wait_free, lpNamedPipeName, seconds)


def CreateFile(
    lpFileName: str,
    dwDesiredAccess: int,
    dwShareMode: int,
    lpSecurityAttributes: None,
    dwCreationDisposition: int,
    dwFlagsAndAttributes: int,
    hTemplateFile: None,
) -> int:
    r"""HANDLE CreateFile(name, access, share, NULL, disposition, flags, NULL).

    Opens pipes (``\\.\pipe\something``) and nothing else. INVALID_HANDLE_VALUE with
    ERROR_FILE_NOT_FOUND without such a pipe, with ERROR_PIPE_BUSY when every instance has a
    client: then WaitNamedPipe.
    """
    if not lpFileName.lower().startswith(_PREFIX):
        failed(ERROR_FILE_NOT_FOUND)
        return INVALID_HANDLE_VALUE
    readable, writable = dwDesiredAccess & GENERIC_READ, dwDesiredAccess & GENERIC_WRITE
    try:
        client = _table().open(lpFileName, bool(readable), bool(writable))
    except PipeError as error:
        failed(error.code)
        return INVALID_HANDLE_VALUE
    return current().process.add_object(client)


def ReadFile(
    hFile: int,
    lpBuffer: Any,
    nNumberOfBytesToRead: int,
    lpNumberOfBytesRead: object,
    lpOverlapped: None = None,
) -> int:
    """BOOL ReadFile(HANDLE, buffer, count, LPDWORD read, NULL): from a pipe.

    Waits for at least a byte. FALSE with ERROR_MORE_DATA when the rest of a message is still
    there, ERROR_BROKEN_PIPE when the other side has closed and all is read.
    """
    end = _end(hFile)
    if end is None:
        return failed(ERROR_INVALID_HANDLE)
    try:
        data, more = _threads.wait(end.read, nNumberOfBytesToRead)
    except PipeError as error:
        store(lpNumberOfBytesRead, 0)
        return failed(error.code)
    store(lpNumberOfBytesRead, len(data))
    view(lpBuffer)[: len(data)] = data
    return failed(ERROR_MORE_DATA) if more else TRUE


def WriteFile(
    hFile: int,
    lpBuffer: Any,
    nNumberOfBytesToWrite: int,
    lpNumberOfBytesWritten: object,
    lpOverlapped: None = None,
) -> int:
    """BOOL WriteFile(HANDLE, buffer, count, LPDWORD written, NULL): to a pipe.

    Waits while the pipe is full. FALSE with ERROR_NO_DATA when the other side has closed.
    """
    end = _end(hFile)
    if end is None:
        return failed(ERROR_INVALID_HANDLE)
    raw = lpBuffer.encode() if isinstance(lpBuffer, str) else lpBuffer
    data = bytes(view(raw)[:nNumberOfBytesToWrite])
    written = _done(end.write, data)
    store(lpNumberOfBytesWritten, len(data) if written else 0)
    return written


def FlushFileBuffers(hFile: int) -> int:
    """BOOL FlushFileBuffers(HANDLE): waits until the other side has read everything."""
    end = _end(hFile)
    if end is None:
        return failed(ERROR_INVALID_HANDLE)
    return _done(end.flush)


def CreatePipe(hReadPipe: object, hWritePipe: object, lpPipeAttributes: None, nSize: int) -> int:
    """BOOL CreatePipe(PHANDLE read, PHANDLE write, NULL, size): a pipe without a name.

    The handles come back in the ``value`` of two HANDLE() objects.
    """
    reading, writing = anonymous(nSize)
    process = current().process
    target(hReadPipe).value = process.add_object(reading)
    target(hWritePipe).value = process.add_object(writing)
    return TRUE


__all__ = [
    "ConnectNamedPipe", "CreateFile", "CreateNamedPipe", "CreatePipe", "DisconnectNamedPipe",
    "FlushFileBuffers", "ReadFile", "WaitNamedPipe", "WriteFile",
]  # fmt: skip
