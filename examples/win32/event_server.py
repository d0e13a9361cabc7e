"""WSAEventSelect: an event object for each socket, and one wait for all of them.

Run ``python -m examples.win32.event_server`` and talk to it with ``nc 127.0.0.1 10004``. Watch
that the wait tells which socket, and WSAEnumNetworkEvents what. Needs the extra ``win32``.
"""

from __future__ import annotations

from wsock.win32 import *  # as a C program includes winsock2.h

BUFSIZE = 512


class Server:
    """The two arrays of the C program: sockets[i] belongs to events[i]."""

    def __init__(self) -> None:
        self.sockets: list[int] = []  # SOCKET sockets[WSA_MAXIMUM_WAIT_EVENTS];
        self.events: list[int] = []  # WSAEVENT events[WSA_MAXIMUM_WAIT_EVENTS];
        self.gone = 0

    def add(self, s: int, mask: int) -> None:
        """Select a socket on an event object of its own."""
        event = WSACreateEvent()  # events[count] = WSACreateEvent();
        WSAEventSelect(s, event, mask)  # WSAEventSelect(s, events[count], mask);
        self.sockets.append(s)
        self.events.append(event)

    def remove(self, i: int) -> None:
        """A client has gone."""
        closesocket(self.sockets.pop(i))
        WSACloseEvent(self.events.pop(i))
        self.gone += 1

    def serve(self, i: int) -> None:
        """One socket has something."""
        s, found = self.sockets[i], WSANETWORKEVENTS()
        # WSAEnumNetworkEvents(s, events[i], &found);
        WSAEnumNetworkEvents(s, self.events[i], found)
        if found.lNetworkEvents & FD_ACCEPT:  # if (found.lNetworkEvents & FD_ACCEPT)
            self.add(accept(s, NULL, NULL), FD_READ | FD_CLOSE)
        if found.lNetworkEvents & FD_READ:
            buffer = bytearray(BUFSIZE)
            count = recv(s, buffer, BUFSIZE, 0)
            if count > 0:
                send(s, buffer, count, 0)
        if found.lNetworkEvents & FD_CLOSE:  # found.iErrorCode[FD_CLOSE_BIT] says why
            self.remove(i)


def main(port: int = 10004, clients: int = 0) -> int:  # int main(void)
    """Serve for ever, or until so many clients have gone."""
    WSAStartup(MAKEWORD(2, 2), WSADATA())
    listening = socket(AF_INET, SOCK_STREAM, 0)
    local = SOCKADDR_IN()
    local.sin_family = AF_INET
    local.sin_port = htons(port)
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    if bind(listening, local, sizeof(local)) == SOCKET_ERROR:
        printf("bind: %d\n", WSAGetLastError())
        return 1
    server = Server()
    server.add(listening, FD_ACCEPT)
    listen(listening, SOMAXCONN)
    while not clients or server.gone < clients:
        # i = WSAWaitForMultipleEvents(count, events, FALSE, WSA_INFINITE, FALSE);
        count = len(server.events)
        i = WSAWaitForMultipleEvents(count, server.events, FALSE, WSA_INFINITE, FALSE)
        server.serve(i - WSA_WAIT_EVENT_0)
    WSACleanup()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
