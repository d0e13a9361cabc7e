"""The same C program on a virtual host: ``with host:`` around it is all."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from wsock import win32 as w
from wsock.virtual import Network

PORT = 80


def server() -> str:
    """Blocking calls: one client, its text in capitals; who it was."""
    w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
    s = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    local, peer = w.sockaddr_in(sin_family=w.AF_INET, sin_port=w.htons(PORT)), w.sockaddr_in()
    assert w.bind(s, local) == 0
    assert w.listen(s, 5) == 0
    client = w.accept(s, peer, w.INT(16))
    room = bytearray(64)
    count = w.recv(client, room, 64, 0)
    assert w.send(client, bytes(room[:count]).upper(), count, 0) == count
    w.closesocket(client)
    w.closesocket(s)
    return w.inet_ntoa(peer.sin_addr)


def client() -> list[object]:
    """WSAAsyncSelect: what was told, and what was received."""
    w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
    s = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    hwnd = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    w.WSAAsyncSelect(s, hwnd, w.WM_USER, w.FD_CONNECT | w.FD_READ | w.FD_CLOSE)
    address = w.sockaddr_in(sin_family=w.AF_INET, sin_port=w.htons(PORT))
    address.sin_addr.s_addr = w.inet_addr("192.0.2.1")
    w.connect(s, address)
    message, story = w.MSG(), []
    while w.FD_CLOSE not in story:
        w.GetMessage(message, None, 0, 0)
        event = w.WSAGETSELECTEVENT(message.lParam)
        story.append(event)
        if event == w.FD_CONNECT:
            w.send(s, b"hello", 5, 0)
        elif event == w.FD_READ:
            room = bytearray(64)
            story.append(bytes(room[: w.recv(s, room, 64, 0)]))
    w.closesocket(s)
    return story


def test_a_server_and_a_client_on_two_hosts() -> None:
    """Virtual addresses, virtual time, the same calls."""
    found: dict[str, object] = {}

    async def main() -> None:
        net = Network(seed=1)
        lan = net.segment("lan", "192.0.2.0/24", latency=0.001)
        here, there = net.host("here", lan, "192.0.2.1"), net.host("there", lan, "192.0.2.20")

        async def serve() -> None:
            with here:
                found["peer"] = await w.start(server)

        async with net.attach(), trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            await net.settle()
            with there:
                found["story"] = await w.start(client)

    trio.run(main, clock=MockClock())
    assert found["peer"] == "192.0.2.20"
    assert found["story"] == [w.FD_CONNECT, w.FD_READ, b"HELLO", w.FD_CLOSE]
