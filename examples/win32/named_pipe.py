r"""Named pipes: a server thread that serves one client after the other on one instance.

Run ``python -m examples.win32.named_pipe``. Watch what DisconnectNamedPipe is for: without it the
second client would find the pipe busy. Needs the extra ``win32``.
"""

from __future__ import annotations

from wsock.win32 import *  # as a C program includes windows.h

NAME = r"\\.\pipe\lesson"  # #define NAME "\\\\.\\pipe\\lesson"
BUFSIZE = 128


def server(pipe: int) -> int:  # DWORD WINAPI server(LPVOID pipe)
    """Two clients, one after the other."""
    for _ in range(2):
        ConnectNamedPipe(pipe, NULL)  # ConnectNamedPipe(pipe, NULL);       waits for a client
        buffer, count = bytearray(BUFSIZE), DWORD()  # char buffer[BUFSIZE]; DWORD count;
        while ReadFile(pipe, buffer, BUFSIZE, byref(count), NULL):  # ReadFile(pipe, ..., &count, 0)
            answer = bytes(buffer[: count.value]).upper()
            WriteFile(pipe, answer, len(answer), byref(count), NULL)  # WriteFile(pipe, answer, ...)
        DisconnectNamedPipe(pipe)  # DisconnectNamedPipe(pipe);          ready for the next one
    CloseHandle(pipe)  # CloseHandle(pipe);
    return 0


def client(text: bytes) -> None:
    """Ask once."""
    WaitNamedPipe(NAME, NMPWAIT_WAIT_FOREVER)  # WaitNamedPipe(NAME, NMPWAIT_WAIT_FOREVER);
    access = GENERIC_READ | GENERIC_WRITE
    # HANDLE pipe = CreateFile(NAME, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    pipe = CreateFile(NAME, access, 0, NULL, OPEN_EXISTING, 0, NULL)
    if pipe == INVALID_HANDLE_VALUE:
        printf("CreateFile: %d\n", GetLastError())
        return
    buffer, count = bytearray(BUFSIZE), DWORD()
    WriteFile(pipe, text, len(text), byref(count), NULL)
    ReadFile(pipe, buffer, BUFSIZE, byref(count), NULL)
    printf("%s -> %s\n", text, buffer)  # printf("%s -> %s\n", text, buffer);
    CloseHandle(pipe)


def main() -> int:  # int main(void)
    """The pipe, the thread, two clients."""
    pipe = CreateNamedPipe(NAME, PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE, 1, 512, 512, 0, NULL)
    thread = CreateThread(NULL, 0, server, pipe, 0, NULL)  # CreateThread(NULL, 0, server, ...);
    client(b"first")
    client(b"second")
    WaitForSingleObject(thread, INFINITE)  # WaitForSingleObject(thread, INFINITE);
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
