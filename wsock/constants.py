# Constants: the numbers of Winsock that the Python face shows.
#
# FD_, SD_, WM_, the ioctl commands and SOMAXCONN have Windows' values. Families, socket types,
# protocols, options and MSG_ flags are *not* here: in the Python face they are the values of the
# standard library's ``socket`` module, which passes them to this system. Two options exist in
# Winsock alone, so their Windows numbers serve. (wsock.win32 has Windows' values for everything.)
#
# Rule 1: known to all layers, imports none of them.
# Rule 2: plain ints. ``IntFlag |`` costs 0.5 us against 0.02 us, and events are tested for every
#         message; FD is for showing them to people.
#
# Sources: winsock2.h and winuser.h as documented on learn.microsoft.com.

from __future__ import annotations

from enum import IntFlag
from typing import Final

# What may be reported about a socket; each event is a bit, and an index into error code arrays.
FD_READ_BIT: Final = 0
FD_WRITE_BIT: Final = 1
FD_OOB_BIT: Final = 2
FD_ACCEPT_BIT: Final = 3
FD_CONNECT_BIT: Final = 4
FD_CLOSE_BIT: Final = 5
FD_QOS_BIT: Final = 6
FD_GROUP_QOS_BIT: Final = 7
FD_ROUTING_INTERFACE_CHANGE_BIT: Final = 8
FD_ADDRESS_LIST_CHANGE_BIT: Final = 9
FD_MAX_EVENTS: Final = 10

FD_READ: Final = 0x01
FD_WRITE: Final = 0x02
FD_OOB: Final = 0x04
FD_ACCEPT: Final = 0x08
FD_CONNECT: Final = 0x10
FD_CLOSE: Final = 0x20
FD_QOS: Final = 0x40
FD_GROUP_QOS: Final = 0x80
FD_ROUTING_INTERFACE_CHANGE: Final = 0x100
FD_ADDRESS_LIST_CHANGE: Final = 0x200
FD_ALL_EVENTS: Final = 0x3FF


class FD(IntFlag):
    """The FD_ events by name, for display: ``FD(0x21)`` prints as ``READ|CLOSE``."""

    READ = FD_READ
    WRITE = FD_WRITE
    OOB = FD_OOB
    ACCEPT = FD_ACCEPT
    CONNECT = FD_CONNECT
    CLOSE = FD_CLOSE
    QOS = FD_QOS
    GROUP_QOS = FD_GROUP_QOS
    ROUTING_INTERFACE_CHANGE = FD_ROUTING_INTERFACE_CHANGE
    ADDRESS_LIST_CHANGE = FD_ADDRESS_LIST_CHANGE

    def __str__(self) -> str:
        return "|".join(str(flag.name) for flag in type(self) if flag in self) or "0"


def fd_bit(event: int) -> int:
    """The index of one event in an array of error codes: ``fd_bit(FD_CLOSE)`` is 5.

    Raises:
      ValueError: ``event`` is not exactly one of the FD_ events.
    """
    if event <= 0 or event & (event - 1) or event > FD_ALL_EVENTS:
        raise ValueError(f"one FD_ event is needed, not {event:#x}")
    return event.bit_length() - 1


# shutdown
SD_RECEIVE: Final = 0
SD_SEND: Final = 1
SD_BOTH: Final = 2

# messages
WM_NULL: Final = 0x0000
WM_CREATE: Final = 0x0001
WM_DESTROY: Final = 0x0002
WM_CLOSE: Final = 0x0010
WM_QUIT: Final = 0x0012
WM_COMMAND: Final = 0x0111
WM_TIMER: Final = 0x0113
WM_USER: Final = 0x0400  # to 0x7FFF: a program's own
WM_APP: Final = 0x8000  # to 0xBFFF: a program's own, also where libraries use WM_USER

# listen: as many as the system lets wait
SOMAXCONN: Final = 0x7FFFFFFF

# options that the standard library does not know
SO_EXCLUSIVEADDRUSE: Final = ~0x04
SO_DONTLINGER: Final = ~0x80

# ioctl
FIONBIO: Final = 0x8004667E
FIONREAD: Final = 0x4004667F
SIOCATMARK: Final = 0x40047307

__all__ = [
    "FD", "FD_ACCEPT", "FD_ACCEPT_BIT", "FD_ADDRESS_LIST_CHANGE", "FD_ADDRESS_LIST_CHANGE_BIT",
    "FD_ALL_EVENTS", "FD_CLOSE", "FD_CLOSE_BIT", "FD_CONNECT", "FD_CONNECT_BIT", "FD_GROUP_QOS",
    "FD_GROUP_QOS_BIT", "FD_MAX_EVENTS", "FD_OOB", "FD_OOB_BIT", "FD_QOS", "FD_QOS_BIT", "FD_READ",
    "FD_READ_BIT", "FD_ROUTING_INTERFACE_CHANGE", "FD_ROUTING_INTERFACE_CHANGE_BIT", "FD_WRITE",
    "FD_WRITE_BIT", "FIONBIO", "FIONREAD", "SD_BOTH", "SD_RECEIVE", "SD_SEND", "SIOCATMARK",
    "SOMAXCONN", "SO_DONTLINGER", "SO_EXCLUSIVEADDRUSE", "WM_APP", "WM_CLOSE", "WM_COMMAND",
    "WM_CREATE", "WM_DESTROY", "WM_NULL", "WM_QUIT", "WM_TIMER", "WM_USER", "fd_bit",
]  # fmt: skip
