"""select: one thread, many clients, and a set that is made anew for each call.

Run ``python -m examples.win32.select_server`` and talk to it with ``nc 127.0.0.1 10002``. Watch
that the sets come back changed: what is in them then is what is ready. Needs the extra ``win32``.
"""

from __future__ import annotations

from wsock.win32 import *  # as a C program includes winsock2.h

BUFSIZE = 512


def echo(s: int) -> bool:
    """Send back what came; False when the client has gone."""
    buffer = bytearray(BUFSIZE)
    count = recv(s, buffer, BUFSIZE, 0)  # int count = recv(s, buffer, BUFSIZE, 0);
    return count > 0 and send(s, buffer, count, 0) != SOCKET_ERROR


def main(port: int = 10002, clients: int = 0) -> int:  # int main(void)
    """Serve for ever, or until so many clients have gone."""
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
    served, gone = [], 0
    while not clients or gone < clients:
        reads = fd_set()  # fd_set reads;
        FD_ZERO(reads)  # FD_ZERO(&reads);
        FD_SET(server, reads)  # FD_SET(server, &reads);
        for s in served:  # for (i = 0; i < count; i++)
            FD_SET(s, reads)  # FD_SET(served[i], &reads);
        if select(0, reads, NULL, NULL, NULL) == SOCKET_ERROR:  # select(0, &reads, NULL, ...)
            printf("select: %d\n", WSAGetLastError())
            return 1
        if FD_ISSET(server, reads):  # if (FD_ISSET(server, &reads))
            served.append(accept(server, NULL, NULL))  # served[count++] = accept(server, ...);
        for s in [s for s in served if FD_ISSET(s, reads)]:
            if not echo(s):
                closesocket(s)  # closesocket(s);
                served.remove(s)
                gone += 1
    closesocket(server)
    WSACleanup()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
