"""Echo over TLS in the message model: an AsyncSocket that calls ``start_tls``.

Watch: nothing else differs from ``async_socket``; on_receive, on_send and on_close are about
plaintext now. Try ``openssl s_client -connect 127.0.0.1:PORT -CAfile FILE`` with the file this
prints (the certificate is made anew at each start, by trustme).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import trio

import wsock

from .async_socket import Echo, clients
from .tls import make_context

if TYPE_CHECKING:
    import ssl


class SecureEcho(Echo):
    """The listener, and each accepted client. An Echo does the echoing."""

    def __init__(self, window: wsock.Window, context: ssl.SSLContext) -> None:
        super().__init__(window)
        self.context = context

    def on_accept(self, error: int) -> None:
        """A client has connected: speak TLS before anything else."""
        self.accept(client := SecureEcho(self.window, self.context))
        clients.add(client)
        client.start_tls(self.context, server_side=True)

    def on_close(self, error: int) -> None:
        """The client has said its end; with an error TLS has failed, or it was cut off."""
        if error and self.tls is not None and self.tls.error is not None:
            print(f"client lost: {self.tls.error.reason}")
        super().on_close(error)


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Make a certificate, then dispatch to the objects, for ever."""
    with tempfile.TemporaryDirectory() as folder:
        context, authority = make_context(Path(folder))
        print(f"-CAfile {authority}", file=sys.stderr, flush=True)
        async with wsock.Window() as window:
            listener = SecureEcho(window, context)
            listener.create(port, address="127.0.0.1")
            listener.listen()
            task_status.started(listener.socket.getsockname()[1])
            try:
                await window.run()
            finally:
                for sock in [listener, *clients]:
                    sock.close()
