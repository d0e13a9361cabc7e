"""Chat: what one says, all others see. ``python -m examples.chat PORT``, then ``nc`` twice.

Watch: one procedure, one queue, no lock. Who does not read is put out once ``max_unsent`` bytes
wait for him (WSAENOBUFS), so that he costs the others nothing; so is who never ends a line.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

import trio

import wsock
from wsock.constants import FD_ACCEPT, FD_CLOSE, FD_READ, WM_USER

WM_CLIENT = WM_USER + 1
MAX_LINE = 512


class Chat:
    """Everybody who is here, and what each has typed of a line."""

    def __init__(self) -> None:
        self.clients: dict[wsock.Socket, bytes] = {}

    def on_message(self, message: wsock.Message) -> None:
        """The window procedure."""
        sock = message.socket
        if message.event == FD_ACCEPT:
            with suppress(wsock.WSAEWOULDBLOCK):  # gone again
                client = sock.accept_nowait()[0]
                self.clients[client] = b""
                others = len(self.clients) - 1
                self.tell(f"* {client.handle} is here, with {others} other{'s' * (others != 1)}")
        elif sock in self.clients:
            self.read(sock)
            if message.event == FD_CLOSE:
                self.put_out(sock, "has left")

    def read(self, sock: wsock.Socket) -> None:
        """Take what was typed; each whole line goes to the others."""
        try:
            *lines, rest = (self.clients[sock] + sock.recv_nowait(4096)).split(b"\n")
        except wsock.WSAEWOULDBLOCK:
            return
        except OSError:
            self.put_out(sock, "is lost")
            return
        self.clients[sock] = rest
        for line in lines:
            said = line.decode("utf-8", "replace").strip()
            printable = "".join(char if char.isprintable() else "?" for char in said)
            self.tell(f"{sock.handle}: {printable}", but=sock)
        if len(rest) > MAX_LINE:
            self.put_out(sock, "talks too much")

    def tell(self, text: str, but: wsock.Socket | None = None) -> None:
        """Send a line to everybody but one."""
        for sock in list(self.clients):
            if sock is not but and sock in self.clients:  # telling one may have put out another
                try:
                    sock.send_all_nowait(text.encode() + b"\n")
                except OSError:  # WSAENOBUFS: does not read; else: is not there any more
                    self.put_out(sock, "does not listen")

    def put_out(self, sock: wsock.Socket, why: str) -> None:
        """Close, and tell the others."""
        if self.clients.pop(sock, None) is not None:
            sock.close()
            self.tell(f"* {sock.handle} {why}")


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Let people talk, for ever."""
    chat = Chat()
    async with wsock.Window() as window:
        with wsock.create_server(("127.0.0.1", port)) as listener:
            listener.async_select(window, WM_CLIENT, FD_ACCEPT | FD_READ | FD_CLOSE)
            task_status.started(port := listener.getsockname()[1])
            print("listening on port", port, file=sys.stderr)
            try:
                await window.run(chat.on_message)
            finally:
                for sock in chat.clients:
                    sock.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}")
    parser.add_argument("port", type=int, help="0: any free one")
    if (port := parser.parse_args().port) not in range(1 << 16):
        parser.error(f"there is no port {port}: 0 to 65535")
    try:
        trio.run(serve, port, restrict_keyboard_interrupt_to_checkpoints=True)
    except KeyboardInterrupt:
        print("stopped")
    except wsock.WSAEADDRINUSE:
        sys.exit("the port is in use")
