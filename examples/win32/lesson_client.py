"""The client of the first lesson: bind, connect, send 1000 and 2000 bytes, closesocket.

Run it after ``python -m examples.win32.lesson_server``. Needs the extra ``win32``.
"""

from __future__ import annotations

from wsock.win32 import *  # as a C program includes winsock2.h


def main(port: int = 10000) -> int:  # int main(void)
    """Send to the server and close."""
    WSAStartup(MAKEWORD(2, 2), WSADATA())
    client = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)  # SOCKET client = socket(...);

    local = SOCKADDR_IN()  # SOCKADDR_IN local;
    local.sin_family = AF_INET
    local.sin_port = htons(0)  # local.sin_port = htons(0);      any port
    local.sin_addr.s_addr = 0x6700007F  # 127.0.0.103, as it stands in memory
    bind(client, local, sizeof(local))  # bind(client, (SOCKADDR*)&local, sizeof(local));

    server = SOCKADDR_IN()  # SOCKADDR_IN server;
    server.sin_family = AF_INET
    server.sin_port = htons(port)  # server.sin_port = htons(10000);
    server.sin_addr.s_addr = inet_addr("127.0.0.105")  # inet_addr("127.0.0.105");
    if connect(client, server, sizeof(server)) == SOCKET_ERROR:
        printf("connect: %d\n", WSAGetLastError())  # printf("connect: %d\n", WSAGetLastError());
        return 1

    buffer = bytearray(2000)  # char buffer[2000];
    printf("sent %d\n", send(client, buffer, 1000, 0))  # send(client, buffer, 1000, 0);
    printf("sent %d\n", send(client, buffer, 2000, 0))  # send(client, buffer, 2000, 0);
    closesocket(client)  # closesocket(client);
    WSACleanup()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
