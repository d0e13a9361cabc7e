# How a listening socket that several processes share is shut, with nobody reset who is in.
#
#   processes        serve_processes                decides when
# > shutdown         hold_back, queued, shut        THIS FILE: what the kernel is asked for
#
# To close a listening socket, or to shut it, resets all who wait in its queue and all whose
# handshake is under way. To look for an empty queue first does not help: the next one comes between
# the look and the call. So new handshakes are held back before: a filter on the socket throws away
# what opens one, and lets pass what completes one. Once no handshake is under way and the queue is
# empty, both stay so, and the socket can be shut: from then on who comes is refused. Who came in
# between got no answer; it asks again after a second (TCP's first time-out), and is refused then.
# (Who is accepted meanwhile inherits the filter. It means nothing to a connection.)
#
# What is left: a client that was answered with a SYN cookie, as a kernel does whose queue of
# handshakes is full, has nothing in the kernel to be seen by.
#
# Rule 1: filter and shutdown act on what all descriptors stand for, in every process that has one.
#         So this is for sockets that nobody outside goes on with.
# Rule 2: first the handshakes are looked at, then the queue: what leaves the one comes into the
#         other, and would be missed the other way round.
# Rule 3: the kernel may lack any of it. Without the filter nothing is shut; without sock_diag no
#         handshake is waited for.
#
# Sources: socket(7) on SO_ATTACH_FILTER, linux/filter.h; sock_diag(7); tcp(7) on TCP_INFO, whose
# "unacked" is the length of the queue on a listening socket; shutdown(2) as Linux does it.
"""Shutting a shared listening socket without a reset for those who are in (Linux)."""

from __future__ import annotations

import ctypes
import socket as std
import struct
import sys
from contextlib import suppress
from typing import Final

__all__ = ["handshake_under_way", "hold_back", "queued", "shut"]

_SO_ATTACH_FILTER: Final = 26
_SO_GET_FILTER: Final = _SO_ATTACH_FILTER  # the same number, asked

#: struct sock_filter: operation, jumps if true and if not, operand. 0 lets nothing of it pass.
_DROP_WHAT_OPENS: Final = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of TCP's flags
        (0x54, 0, 0, 0x12),  # of these SYN and ACK
        (0x15, 0, 1, 0x02),  # SYN alone?
        (0x06, 0, 0, 0),  # throw it away
        (0x06, 0, 0, 0xFFFFFFFF),  # let it pass
    )
)
_INSTRUCTIONS: Final = len(_DROP_WHAT_OPENS) // 8

#: struct tcp_info: eight of a byte, then words, of which "unacked" is the fifth.
_UNACKED: Final = struct.Struct("=24xI")

_NETLINK_SOCK_DIAG: Final = 4
_NLMSG_HEADER: Final = struct.Struct("=IHHII")
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301
_SYN_RECEIVED: Final = 1 << 3

#: How long the kernel may take to answer; it does so within the call.
_ANSWER_LIMIT_S: Final = 1.0


def hold_back(sock: std.socket) -> bool:
    """Let no new handshake begin at a listening TCP socket; False if this kernel cannot do that."""
    if sys.platform != "linux":
        return False
    code = ctypes.create_string_buffer(_DROP_WHAT_OPENS, len(_DROP_WHAT_OPENS))
    program = struct.pack("@HP", _INSTRUCTIONS, ctypes.addressof(code))
    try:
        sock.setsockopt(std.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        there = sock.getsockopt(std.SOL_SOCKET, _SO_GET_FILTER, len(code))
    except OSError:
        return False
    # It says the length in instructions, and Python cuts the bytes to that. A sandbox that takes
    # options which it does not know says something else.
    return there == _DROP_WHAT_OPENS[:_INSTRUCTIONS]


def handshake_under_way(sock: std.socket) -> bool:
    """Whether a client of this port was answered and has not completed its handshake."""
    if sys.platform != "linux":
        return False
    port: int = sock.getsockname()[1]
    # struct inet_diag_req_v2: what is asked for, then a socket, of which the port is known.
    wanted = struct.pack("=BBBBI", sock.family, std.IPPROTO_TCP, 0, 0, _SYN_RECEIVED)
    wanted += struct.pack("!H46x", port)
    size = _NLMSG_HEADER.size + len(wanted)
    header = _NLMSG_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0)
    try:
        with std.socket(std.AF_NETLINK, std.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(_ANSWER_LIMIT_S)
            kernel.sendto(header + wanted, (0, 0))
            answer = kernel.recv(65536)
    except OSError:
        return False
    # One of them, or "done", or "error": the first says whether there is any.
    kind: int = _NLMSG_HEADER.unpack_from(answer)[1]
    return kind == _SOCK_DIAG_BY_FAMILY


def queued(sock: std.socket) -> int:
    """Return how many clients wait for accept in the kernel's queue of a listening TCP socket."""
    if sys.platform != "linux":
        return 0
    waiting: int
    (waiting,) = _UNACKED.unpack(sock.getsockopt(std.IPPROTO_TCP, std.TCP_INFO, _UNACKED.size))
    return waiting


def shut(sock: std.socket) -> None:
    """Refuse who comes from now on, in whichever process the socket is held."""
    with suppress(OSError):  # a worker's program has shut it before
        sock.shutdown(std.SHUT_RDWR)
