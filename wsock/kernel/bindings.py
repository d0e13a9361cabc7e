# Own bindings: Windows' rules about sharing an address, where this system has others.
#
# Rule 1: the table is process-wide and locked: one process is one host as far as its own sockets
#         go. It is emptied in a forked child. What other processes hold is judged by the kernel.
# Rule 2: TCP on POSIX alone. Linux needs SO_REUSEADDR underneath to get past TIME-WAIT, and with it
#         lets two sockets bind before either listens; so the refusal must come from here.
#
# Source: "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE" (learn.microsoft.com); winsock 10; ruling
# A10.
"""The process-wide table of local addresses that our stream sockets hold."""

from __future__ import annotations

import os
import threading
from typing import Final

from ..tdi import Status, StatusError

__all__ = ["claim", "release"]

#: (family, port) -> who holds it: token, host part, reuse, exclusive.
_table: dict[tuple[int, int], list[tuple[int, bytes, bool, bool]]] = {}
_lock: Final = threading.Lock()


def claim(token: int, family: int, host: bytes, port: int, *, reuse: bool, exclusive: bool) -> None:
    """Enter a binding.

    Raises:
      StatusError: ADDRESS_ALREADY_EXISTS, or ACCESS_DENIED where the other's or the own option
        says that the address is not to be shared.
    """
    with _lock:
        holders = _table.setdefault((family, port), [])
        for _, other_host, other_reuse, other_exclusive in holders:
            same = other_host == host
            if not same and not (_is_wildcard(other_host) or _is_wildcard(host)):
                continue
            if same and reuse and other_reuse:
                continue
            if not same and not other_exclusive and not exclusive:
                continue  # a wildcard and one interface: the more specific one gets its traffic
            denied = (reuse and not other_reuse) or (other_exclusive and _is_wildcard(other_host))
            raise StatusError(Status.ACCESS_DENIED if denied else Status.ADDRESS_ALREADY_EXISTS)
        holders.append((token, host, reuse, exclusive))


def release(token: int, family: int, port: int) -> None:
    """Take a binding out of the table; nothing happens if it is not there."""
    with _lock:
        holders = _table.get((family, port))
        if holders is None:
            return
        holders[:] = [holder for holder in holders if holder[0] != token]
        if not holders:
            del _table[family, port]


def _is_wildcard(host: bytes) -> bool:
    return not any(host)


def _after_fork() -> None:
    _table.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork
    )
