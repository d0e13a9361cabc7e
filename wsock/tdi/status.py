# The words of TDI: statuses, event kinds, flags, and what a status is called in Winsock.
#
# Rule 1: data only. Nothing here calls anything, and nothing of wsock but errors' numbers is known.
# Rule 2: a provider answers in these statuses. Only the two tables at the end know that errno
#         and WSA codes exist; every other file of tdi and of the providers speaks Status.
#
# Sources: Microsoft, TDI requests and client callbacks (ff565083, ff565090, ff565131, ff565549,
# ff545260, ff544258); NTSTATUS values from ntstatus.h.
"""Statuses, event kinds and flags of TDI."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

__all__ = [
    "HANDLER_ORDER",
    "MORE_PROCESSING_REQUIRED",
    "STATUS_TO_WSA",
    "SUCCESS",
    "DisconnectFlags",
    "EventKind",
    "ReceiveFlags",
    "SendFlags",
    "Status",
    "StatusError",
    "status_from_errno",
]


class Status(IntEnum):
    """The final status of a request or the answer of an event handler (NTSTATUS)."""

    SUCCESS = 0x00000000
    PENDING = 0x00000103
    BUFFER_OVERFLOW = 0x80000005
    DEVICE_NOT_READY = 0xC00000A3
    OBJECT_NAME_NOT_FOUND = 0xC0000034
    SHARING_VIOLATION = 0xC0000043
    INVALID_HANDLE = 0xC0000008
    INVALID_PARAMETER = 0xC000000D
    INVALID_DEVICE_REQUEST = 0xC0000010
    MORE_PROCESSING_REQUIRED = 0xC0000016
    ACCESS_DENIED = 0xC0000022
    INSUFFICIENT_RESOURCES = 0xC000009A
    IO_TIMEOUT = 0xC00000B5
    NOT_SUPPORTED = 0xC00000BB
    REMOTE_NOT_LISTENING = 0xC00000BC
    BAD_NETWORK_PATH = 0xC00000BE
    REQUEST_NOT_ACCEPTED = 0xC00000D0
    CANCELLED = 0xC0000120
    TOO_MANY_OPENED_FILES = 0xC000011F
    FILE_CLOSED = 0xC0000128
    INVALID_CONNECTION = 0xC0000140
    INVALID_ADDRESS = 0xC0000141
    INVALID_ADDRESS_COMPONENT = 0xC0000207
    ADDRESS_ALREADY_EXISTS = 0xC000020A
    CONNECTION_RESET = 0xC000020D
    DATA_NOT_ACCEPTED = 0xC000021B
    LOCAL_DISCONNECT = 0xC000013B
    REMOTE_DISCONNECT = 0xC000013C
    NETWORK_UNREACHABLE = 0xC000023C
    HOST_UNREACHABLE = 0xC000023D
    PROTOCOL_UNREACHABLE = 0xC000023E
    PORT_UNREACHABLE = 0xC000023F
    REQUEST_ABORTED = 0xC0000240
    CONNECTION_REFUSED = 0xC0000236
    GRACEFUL_DISCONNECT = 0xC0000237
    CONNECTION_INVALID = 0xC000023A
    CONNECTION_ACTIVE = 0xC000023B
    CONNECTION_ABORTED = 0xC0000241
    NETWORK_DOWN = 0xC00000CA
    HOST_DOWN = 0xC0000350


#: What nearly every request ends with, and what an offer is taken with. By names of their own:
#: a member looked up in its enum costs 900 instructions on CPython 3.11 (counted), 0.1 us.
SUCCESS: Final = Status.SUCCESS
MORE_PROCESSING_REQUIRED: Final = Status.MORE_PROCESSING_REQUIRED


class EventKind(IntEnum):
    """The slots for event handlers on an address object (TDI_SET_EVENT_HANDLER)."""

    CONNECT = 0
    DISCONNECT = 1
    ERROR = 2
    RECEIVE = 3
    RECEIVE_DATAGRAM = 4
    RECEIVE_EXPEDITED = 5
    SEND_POSSIBLE = 6
    CHAINED_RECEIVE = 7

    @property
    def title(self) -> str:
        """The name that a monitor shows: ``Receive Event``."""
        return _TITLES[self]


_TITLES: Final = {
    EventKind.CONNECT: "Connect Event",
    EventKind.DISCONNECT: "Disconnect Event",
    EventKind.ERROR: "Error Event",
    EventKind.RECEIVE: "Receive Event",
    EventKind.RECEIVE_DATAGRAM: "Receive Datagram Event",
    EventKind.RECEIVE_EXPEDITED: "Expedited Receive Event",
    EventKind.SEND_POSSIBLE: "Send Possible Event",
    EventKind.CHAINED_RECEIVE: "Chained Receive Event",
}

#: The handlers that bind registers on a stream address, in this order (facts S0-10, S0-12: the
#: connect event is not among them; listen registers it).
HANDLER_ORDER: Final = (
    EventKind.ERROR,
    EventKind.DISCONNECT,
    EventKind.RECEIVE,
    EventKind.RECEIVE_EXPEDITED,
    EventKind.CHAINED_RECEIVE,
)


# Flags are plain ints: ``&`` with an IntFlag costs 0.5 us, which every connection would pay twice.


class ReceiveFlags:
    """Flags of a receive indication and of TDI_RECEIVE, with the header's values."""

    PARTIAL: Final = 0x10
    NORMAL: Final = 0x20
    EXPEDITED: Final = 0x40
    PEEK: Final = 0x80
    COPY_LOOKAHEAD: Final = 0x200
    ENTIRE_MESSAGE: Final = 0x400
    AT_DISPATCH_LEVEL: Final = 0x800
    NO_PUSH: Final = 0x4000


class SendFlags:
    """Flags of TDI_SEND, with the header's values."""

    EXPEDITED: Final = 0x20
    PARTIAL: Final = 0x40
    NON_BLOCKING: Final = 0x100


class DisconnectFlags:
    """How TDI_DISCONNECT ends a connection, with the header's values."""

    WAIT: Final = 0x1
    ABORT: Final = 0x2
    RELEASE: Final = 0x4


class StatusError(Exception):
    """A request that ended at once with a failure status; ``status`` says which."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"STATUS_{self.status.name}"


#: What Winsock calls a status (tdi-afd: AFD's translation).
STATUS_TO_WSA: Final[dict[Status, int]] = {
    Status.SUCCESS: 0,
    Status.PENDING: 10035,
    Status.DEVICE_NOT_READY: 10035,
    Status.CONNECTION_REFUSED: 10061,
    Status.REMOTE_NOT_LISTENING: 10061,
    Status.REQUEST_NOT_ACCEPTED: 10061,
    Status.OBJECT_NAME_NOT_FOUND: 10061,
    Status.IO_TIMEOUT: 10060,
    Status.CONNECTION_RESET: 10054,
    Status.REMOTE_DISCONNECT: 10054,
    Status.CONNECTION_ABORTED: 10053,
    Status.REQUEST_ABORTED: 10053,
    Status.LOCAL_DISCONNECT: 10053,
    Status.INVALID_CONNECTION: 10057,
    Status.CONNECTION_INVALID: 10057,
    Status.CONNECTION_ACTIVE: 10056,
    Status.FILE_CLOSED: 10058,
    Status.ADDRESS_ALREADY_EXISTS: 10048,
    Status.SHARING_VIOLATION: 10048,
    Status.ACCESS_DENIED: 10013,
    Status.INVALID_ADDRESS: 10049,
    Status.INVALID_ADDRESS_COMPONENT: 10049,
    Status.BAD_NETWORK_PATH: 10051,
    Status.NETWORK_UNREACHABLE: 10051,
    Status.NETWORK_DOWN: 10050,
    Status.HOST_UNREACHABLE: 10065,
    Status.HOST_DOWN: 10064,
    Status.PORT_UNREACHABLE: 10054,
    Status.PROTOCOL_UNREACHABLE: 10054,
    Status.INSUFFICIENT_RESOURCES: 10055,
    Status.TOO_MANY_OPENED_FILES: 10024,
    Status.BUFFER_OVERFLOW: 10040,
    Status.CANCELLED: 10004,
    Status.INVALID_HANDLE: 10038,
    Status.INVALID_PARAMETER: 10022,
    Status.INVALID_DEVICE_REQUEST: 10045,
    Status.NOT_SUPPORTED: 10045,
}

_ERRNO_TO_STATUS: Final[dict[int, Status]] = {
    errno.EAGAIN: Status.DEVICE_NOT_READY,
    errno.EWOULDBLOCK: Status.DEVICE_NOT_READY,
    errno.EINPROGRESS: Status.PENDING,
    errno.ECONNREFUSED: Status.CONNECTION_REFUSED,
    errno.ECONNRESET: Status.CONNECTION_RESET,
    errno.EPIPE: Status.CONNECTION_RESET,
    errno.ECONNABORTED: Status.CONNECTION_ABORTED,
    errno.ETIMEDOUT: Status.IO_TIMEOUT,
    errno.ENOTCONN: Status.INVALID_CONNECTION,
    errno.EISCONN: Status.CONNECTION_ACTIVE,
    errno.EADDRINUSE: Status.ADDRESS_ALREADY_EXISTS,
    errno.EADDRNOTAVAIL: Status.INVALID_ADDRESS_COMPONENT,
    errno.ENETDOWN: Status.NETWORK_DOWN,
    errno.ENETUNREACH: Status.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: Status.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Status.HOST_DOWN,
    errno.ENOBUFS: Status.INSUFFICIENT_RESOURCES,
    errno.ENOMEM: Status.INSUFFICIENT_RESOURCES,
    errno.EMFILE: Status.TOO_MANY_OPENED_FILES,
    errno.ENFILE: Status.TOO_MANY_OPENED_FILES,
    errno.EACCES: Status.ACCESS_DENIED,
    errno.EPERM: Status.ACCESS_DENIED,
    errno.EMSGSIZE: Status.BUFFER_OVERFLOW,
    errno.EINVAL: Status.INVALID_PARAMETER,
    errno.EBADF: Status.INVALID_HANDLE,
    errno.ENOTSOCK: Status.INVALID_HANDLE,
    errno.EOPNOTSUPP: Status.NOT_SUPPORTED,
    errno.EPROTO: Status.CONNECTION_ABORTED,
    errno.ENOENT: Status.OBJECT_NAME_NOT_FOUND,  # of AF_UNIX: nobody listens under that path
    errno.ENOTDIR: Status.OBJECT_NAME_NOT_FOUND,
    0: Status.INVALID_PARAMETER,  # refused before the system was asked: a path too long, say
}


def status_from_errno(number: int) -> Status:
    """Return the status for a system's error number; an unknown one is INVALID_DEVICE_REQUEST."""
    return _ERRNO_TO_STATUS.get(number, Status.INVALID_DEVICE_REQUEST)
