"""Echo, nonblocking: one task asks every socket, again and again.

Watch: no call waits; what cannot be done now raises WSAEWOULDBLOCK. The price is in ``top``: with
nobody talking the loop still runs a hundred times a second, and asks every socket each time.
"""

from __future__ import annotations

from contextlib import suppress

import trio

import wsock

PAUSE_S = 0.01  # shorter answers faster and burns more


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Poll the listener and all clients for ever."""
    with wsock.create_server(("127.0.0.1", port)) as listener:
        task_status.started(listener.getsockname()[1])
        clients: set[wsock.Socket] = set()
        try:
            while True:
                with suppress(wsock.WSAEWOULDBLOCK):  # nobody new
                    clients.add(listener.accept_nowait()[0])
                for sock in list(clients):
                    if not poll(sock):
                        clients.discard(sock)
                await trio.sleep(PAUSE_S)
        finally:
            for sock in clients:
                sock.close()


def poll(sock: wsock.Socket) -> bool:
    """Send what is owed to this client, or read. False once it has gone."""
    try:
        if not sock.data:
            sock.data = sock.recv_nowait(65536)  # kept until it is sent
            if not sock.data:
                sock.close()
                return False
        sock.send_nowait(sock.data)
        sock.data = None
    except wsock.WSAEWOULDBLOCK:
        pass  # the next round will try again
    except ConnectionError:
        sock.close()
        return False
    return True
