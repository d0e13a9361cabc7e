"""The server of the first lesson: socket, bind, listen, accept, closesocket.

Run ``python -m examples.win32.lesson_server``, then ``python -m examples.win32.lesson_client`` in
another terminal, and press Enter here. Watch that the client's data arrives although nobody calls
recv (``wsock tdimon -m examples.win32.lesson_server`` shows it). Needs the extra ``win32``.
"""

from __future__ import annotations

from wsock.win32 import *  # as a C program includes winsock2.h


def main(port: int = 10000) -> int:  # int main(void)
    """Serve one client."""
    data = WSADATA()  # WSADATA data;
    WSAStartup(MAKEWORD(2, 2), data)  # WSAStartup(MAKEWORD(2, 2), &data);

    server = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)  # SOCKET server = socket(...);
    local = SOCKADDR_IN()  # SOCKADDR_IN local;
    ZeroMemory(local, sizeof(local))  # ZeroMemory(&local, sizeof(local));
    local.sin_family = AF_INET  # local.sin_family = AF_INET;
    local.sin_port = htons(port)  # local.sin_port = htons(10000);
    local.sin_addr.s_addr = 0x6900007F  # 127.0.0.105, as it stands in memory
    if bind(server, local, sizeof(local)) == SOCKET_ERROR:  # bind(server, (SOCKADDR*)&local, ...)
        printf("bind: %d\n", WSAGetLastError())
        return 1
    listen(server, 2)  # listen(server, 2);
    printf("waiting on %s:%d\n", inet_ntoa(local.sin_addr), ntohs(local.sin_port))

    peer, size = SOCKADDR_IN(), INT(sizeof(SOCKADDR_IN))  # int size = sizeof(peer);
    client = accept(server, peer, byref(size))  # accept(server, (SOCKADDR*)&peer, &size);
    printf("client %s:%d\n", inet_ntoa(peer.sin_addr), ntohs(peer.sin_port))

    getchar()  # getchar();
    closesocket(client)  # closesocket(client);
    closesocket(server)  # closesocket(server);
    WSACleanup()  # WSACleanup();
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
