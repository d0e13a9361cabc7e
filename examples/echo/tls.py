"""Echo over TLS: ``trio.SSLStream`` on top of wsock's streams.

Watch: ``openssl s_client -connect 127.0.0.1:PORT -CAfile FILE`` with the file this prints. The
certificate is made anew at each start (by trustme: ``pip install trustme``) and is for the name
localhost; a real server reads its own with ``context.load_cert_chain``.
"""

from __future__ import annotations

import ssl
import sys
import tempfile
from pathlib import Path

import trio
import trustme

import wsock


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Make a certificate, then serve as ``stream`` does, each connection inside TLS."""
    with tempfile.TemporaryDirectory() as folder:
        context, authority = make_context(Path(folder))
        print(f"-CAfile {authority}", file=sys.stderr, flush=True)
        plain = await wsock.open_tcp_listeners(port, host="127.0.0.1")
        listeners = [trio.SSLListener(listener, context) for listener in plain]
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, echo, listeners)
            task_status.started(plain[0].socket.getsockname()[1])


def make_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file with the certificate of who signed it."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    return context, file


async def echo(stream: trio.SSLStream[wsock.SocketStream]) -> None:
    """Serve one client until it closes or is gone."""
    try:
        async with stream:
            async for data in stream:
                await stream.send_all(data)
    except trio.BrokenResourceError as problem:  # no TLS at all, or cut in the middle
        print(f"client lost: {problem.__cause__ or problem}")
