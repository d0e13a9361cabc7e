"""A thread for each client: blocking calls, the echo server that everybody writes first.

Run ``python -m examples.win32.thread_server`` and talk to it with ``nc 127.0.0.1 10001``, several
at once. Watch that a client that says nothing holds up nobody. Needs the extra ``win32``.
"""

from __future__ import annotations

from wsock.win32 import *  # as a C program includes winsock2.h

BUFSIZE = 512  # #define BUFSIZE 512


def serve(client: int) -> int:  # DWORD WINAPI serve(LPVOID arg)
    """One client, until it ends."""
    buffer = bytearray(BUFSIZE)  # char buffer[BUFSIZE];
    while True:  # while (1) {
        count = recv(client, buffer, BUFSIZE, 0)  # int count = recv(client, buffer, BUFSIZE, 0);
        if count == SOCKET_ERROR:
            printf("recv: %d\n", WSAGetLastError())
            break
        if count == 0:  # if (count == 0) break;
            break
        if send(client, buffer, count, 0) == SOCKET_ERROR:  # send(client, buffer, count, 0)
            printf("send: %d\n", WSAGetLastError())
            break
    closesocket(client)  # closesocket(client);
    return 0


def main(port: int = 10001, clients: int = 0) -> int:  # int main(void)
    """Accept for ever, or so many clients."""
    WSAStartup(MAKEWORD(2, 2), WSADATA())
    server = socket(AF_INET, SOCK_STREAM, 0)
    local = SOCKADDR_IN()
    local.sin_family = AF_INET
    local.sin_port = htons(port)
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    if bind(server, local, sizeof(local)) == SOCKET_ERROR:
        printf("bind: %d\n", WSAGetLastError())
        return 1
    listen(server, SOMAXCONN)
    threads = []
    while not clients or len(threads) < clients:  # while (1) {
        client = accept(server, NULL, NULL)  # SOCKET client = accept(server, NULL, NULL);
        # HANDLE thread = CreateThread(NULL, 0, serve, (LPVOID)client, 0, NULL);
        thread = CreateThread(NULL, 0, serve, client, 0, NULL)
        threads.append(thread)
    WaitForMultipleObjects(len(threads), threads, TRUE, INFINITE)
    closesocket(server)
    WSACleanup()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
