# Real connections: refused in this thread while a test runs on a virtual network.
#
#   testing               refuses them while its network is attached
# > real connections      THIS FILE: Python's audit events of sockets
#
# Sockets of trio.socket are the network's. Those that the standard library, or a library around it,
# makes are the machine's; a test that uses one by mistake talks to the world, and virtual time does
# not wait for the answer. So they fail, loudly.
#
# Rule 1: audit hooks see every way to the system's calls, also sockets made in C, and nothing has
#         to be replaced in other modules. A hook cannot be taken out again, so there is one, added
#         when it is first needed, that looks at the names of three events and else does nothing.
# Rule 2: only the thread that refuses is concerned; a program's worker threads are its own affair.

"""Refusing connections of the machine's own sockets."""

from __future__ import annotations

import ipaddress
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Allowed", "RealConnectionError", "refused"]

#: Audit events of the socket module whose second argument is a peer's address.
_EVENTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class RealConnectionError(RuntimeError):
    """A socket of the machine was about to send to somebody while a virtual network is attached."""


class Allowed:
    """The peers that may be connected to all the same."""

    def __init__(self) -> None:
        self._everything = False
        self._texts: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []

    def add(self, *peers: str) -> None:
        """Allow these peers; all, if none is named.

        Args:
          peers: an address, a prefix (``"10.0.0.0/8"``), a host name as the program gives it, or
            the path of a Unix socket.
        """
        self._everything |= not peers
        for peer in peers:
            try:
                self._networks.append(ipaddress.ip_network(peer, strict=False))
            except ValueError:
                self._texts.add(peer)

    def covers(self, address: object) -> bool:
        """Whether an address, as a socket call has it, is that of a peer which is allowed."""
        host = address[0] if isinstance(address, tuple) and address else address
        if isinstance(host, bytes):
            host = host.decode(errors="replace")
        if self._everything or host in self._texts:
            return True
        try:
            number = ipaddress.ip_address(str(host).partition("%")[0])
        except ValueError:
            return False
        return any(number in network for network in self._networks)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.allowed: list[Allowed] = []


_thread: Final = _Thread()
_hooked = False


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _EVENTS or not _thread.allowed:
        return
    address = arguments[1]
    if address is None or _thread.allowed[-1].covers(address):
        return
    host = address[0] if isinstance(address, tuple) and address else address
    raise RealConnectionError(
        f"{event} to {address!r}: a real connection while a virtual network is attached. Virtual "
        "time would not wait for it. Sockets of trio.socket (and so trio.open_tcp_stream, httpx, "
        "anyio) are the network's; this one was made by the socket module, or by "
        f"from_stdlib_socket. If it is meant: virtual_network.allow_real({host!r})"
    )


@contextmanager
def refused(allowed: Allowed) -> Iterator[None]:
    """Refuse this thread's real connections, except to ``allowed``, while the block runs."""
    global _hooked
    if not _hooked:
        _hooked = True
        sys.addaudithook(_audit)
    _thread.allowed.append(allowed)
    try:
        yield
    finally:
        _thread.allowed.remove(allowed)
