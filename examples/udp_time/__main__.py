"""UDP time server: answers any datagram with the time. ``python -m examples.udp_time PORT``.

Watch: no connection, no accept; FD_READ comes once for whatever has arrived, and each ``recvfrom``
takes one datagram and makes the next FD_READ come. The answer is no longer than the question, so
nobody can use the server to flood a third party (its address is easily forged in UDP).
"""

from __future__ import annotations

import argparse
import socket
import sys
import time

import trio

import wsock
from wsock.constants import FD_READ, WM_USER

WM_SOCKET = WM_USER + 1


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Answer for ever."""
    async with wsock.Window() as window:
        with wsock.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port))
            sock.async_select(window, WM_SOCKET, FD_READ)
            port = sock.getsockname()[1]
            print("listening on port", port, file=sys.stderr)
            task_status.started(port)
            await window.run(on_message)


def on_message(message: wsock.Message) -> None:
    """One datagram waits."""
    try:
        question, sender = message.socket.recvfrom_nowait(512)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
        message.socket.sendto_nowait(now[: len(question)], sender)
    except (wsock.WSAEWOULDBLOCK, wsock.WSAEMSGSIZE, wsock.WSAECONNRESET) as problem:
        # Nobody there any more, no room, too long, or the last one had gone: UDP promises nothing.
        print(f"dropped: {problem.name}", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}")
    parser.add_argument("port", type=int, help="0: any free one")
    port = parser.parse_args().port
    if port not in range(1 << 16):
        parser.error(f"there is no port {port}: 0 to 65535")
    try:
        trio.run(serve, port, restrict_keyboard_interrupt_to_checkpoints=True)
    except KeyboardInterrupt:
        print("stopped")
    except wsock.WSAEADDRINUSE:
        sys.exit("the port is in use")
