"""WSAAsyncSelect: a window procedure with a case for each network event.

Run ``python -m examples.win32.message_server`` and talk to it with ``nc 127.0.0.1 10003``. Watch
that recv is what asks for the next FD_READ. Needs the extra ``win32``.
"""

from __future__ import annotations

from wsock.win32 import *  # as a C program includes winsock2.h

WM_SOCKET = WM_USER + 1  # #define WM_SOCKET (WM_USER + 1)
BUFSIZE = 512


def on_socket(hwnd: int, s: int, lParam: int) -> None:  # case WM_SOCKET:
    """What the procedure does with a socket's message."""
    if WSAGETSELECTERROR(lParam):  # if (WSAGETSELECTERROR(lParam)) {
        closesocket(s)
        return
    event = WSAGETSELECTEVENT(lParam)  # switch (WSAGETSELECTEVENT(lParam)) {
    if event == FD_ACCEPT:  # case FD_ACCEPT:
        client = accept(s, NULL, NULL)
        # WSAAsyncSelect(client, hwnd, WM_SOCKET, FD_READ | FD_CLOSE);
        WSAAsyncSelect(client, hwnd, WM_SOCKET, FD_READ | FD_CLOSE)
    elif event == FD_READ:  # case FD_READ:
        buffer = bytearray(BUFSIZE)
        count = recv(s, buffer, BUFSIZE, 0)
        if count > 0:
            send(s, buffer, count, 0)
    elif event == FD_CLOSE:  # case FD_CLOSE:
        closesocket(s)
        PostMessage(hwnd, WM_USER + 2, 0, 0)


def main(port: int = 10003, clients: int = 0) -> int:  # int WINAPI WinMain(...)
    """Make a window, listen, and pump messages; for ever, or until so many clients have gone."""
    gone = []

    # LRESULT CALLBACK WndProc(HWND hwnd, UINT message, WPARAM wParam, LPARAM lParam)
    def WndProc(hwnd: int, message: int, wParam: int, lParam: int) -> int:
        if message == WM_SOCKET:
            on_socket(hwnd, wParam, lParam)
        elif message == WM_USER + 2:
            gone.append(wParam)
            if len(gone) == clients:
                PostQuitMessage(0)  # PostQuitMessage(0);
        else:
            return DefWindowProc(hwnd, message, wParam, lParam)
        return 0

    WSAStartup(MAKEWORD(2, 2), WSADATA())
    wc = WNDCLASS()  # WNDCLASS wc = {0};
    wc.lpfnWndProc = WndProc  # wc.lpfnWndProc = WndProc;
    wc.lpszClassName = "server"  # wc.lpszClassName = "server";
    RegisterClass(wc)  # RegisterClass(&wc);
    hwnd = CreateWindow("server", "", 0, 0, 0, 0, 0, HWND_MESSAGE, NULL, NULL, NULL)

    server = socket(AF_INET, SOCK_STREAM, 0)
    local = SOCKADDR_IN()
    local.sin_family = AF_INET
    local.sin_port = htons(port)
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    if bind(server, local, sizeof(local)) == SOCKET_ERROR:
        printf("bind: %d\n", WSAGetLastError())
        return 1
    WSAAsyncSelect(server, hwnd, WM_SOCKET, FD_ACCEPT)  # WSAAsyncSelect(server, hwnd, ...);
    listen(server, SOMAXCONN)

    msg = MSG()  # MSG msg;
    while GetMessage(msg, NULL, 0, 0) > 0:  # while (GetMessage(&msg, NULL, 0, 0) > 0) {
        TranslateMessage(msg)  # TranslateMessage(&msg);
        DispatchMessage(msg)  # DispatchMessage(&msg);
    closesocket(server)
    WSACleanup()
    return msg.wParam  # return (int)msg.wParam;


if __name__ == "__main__":
    raise SystemExit(run(main))
