# Listening sockets: opened here, or handed over by systemd.
#
# Rule 1: without TLS passwords go over the line as they are, so then only loopback addresses are
#         listened on, wherever the socket comes from, unless --plaintext says otherwise.
# Rule 2: what was handed over is meant for this process (LISTEN_PID) and for nobody it may start.
#
# Source: sd_listen_fds(3).
"""Where the login server listens."""

from __future__ import annotations

import ipaddress
import os
import socket as stdlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import wsock

if TYPE_CHECKING:
    from collections.abc import MutableMapping

BACKLOG: Final = 128
FIRST_DESCRIPTOR: Final = 3  # SD_LISTEN_FDS_START


class NotLoopbackError(ValueError):
    """The address can be reached from elsewhere, without TLS, and nobody said --plaintext."""


def check_address(host: str, *, anywhere: bool) -> None:
    """Refuse a numeric address that is not loopback, unless it may be ``anywhere``.

    Raises:
      NotLoopbackError: it is not.
      ValueError: it is no numeric address.
    """
    if not (ipaddress.ip_address(host.partition("%")[0]).is_loopback or anywhere):
        text = "passwords would be readable on the way: TLS, or --plaintext"
        raise NotLoopbackError(f"{host} is not loopback: {text}")


def open_listener(host: str, port: int) -> wsock.Socket:
    """A socket that listens on one numeric address."""
    family = stdlib.AF_INET6 if ":" in host else stdlib.AF_INET
    return wsock.create_server((host, port), family=family, backlog=BACKLOG)


def inherited_descriptors(environment: MutableMapping[str, str]) -> list[int]:
    """The descriptors that systemd handed to this process; takes the variables away.

    From here on none of them is inherited by processes that this one starts.

    Raises:
      ValueError: LISTEN_FDS is no number, or there are no such descriptors.
    """
    count = environment.pop("LISTEN_FDS", "")
    process = environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", None)
    if not count or process != str(os.getpid()):
        return []
    if not (count.isascii() and count.isdigit()):
        raise ValueError(f"LISTEN_FDS={count}: a number of descriptors was expected")
    descriptors = list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)))
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            raise ValueError(f"LISTEN_FDS={count}: descriptor {descriptor} is not open") from None
    return descriptors


def adopt_listeners(descriptors: list[int], *, anywhere: bool) -> list[wsock.Socket]:
    """Take over sockets that listen already.

    Raises:
      NotLoopbackError: one of them can be reached from elsewhere.
      WSAENOTSOCK, WSAEOPNOTSUPP, ...: one of them is not a listening TCP socket.
    """
    with ExitStack() as opened:
        adopted = []
        for descriptor in descriptors:
            sock = opened.enter_context(wsock.socket(fileno=descriptor))
            if sock.state != "LISTENING" or sock.family not in {stdlib.AF_INET, stdlib.AF_INET6}:
                text = f"descriptor {descriptor} is not a TCP socket that listens"
                raise wsock.WSAEOPNOTSUPP("accept", sock.state, text)
            check_address(sock.getsockname()[0], anywhere=anywhere)
            adopted.append(sock)
        opened.pop_all()
    return adopted
