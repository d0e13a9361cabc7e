# The client: whoever uses a connection, as TCP sees it. Above stand the TDI objects, or a test.
#
#   tdi face, tests   TcpClient: upcalls
# > client            THIS FILE: the interface, and the answer to an offered connection
#   connection        OPEN, SEND, RECEIVE, CLOSE, ABORT, STATUS
#
# Rule 1: an upcall is a plain function that returns at once. It may call the connection: calls only
#         mark it dirty, nothing is emitted before the instant is over.
# Rule 2: exactly one of ``failed``, ``reset`` and ``closed`` is the last upcall of a connection,
#         unless the client itself aborted it: then there is none.

"""What TCP asks of those who use it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection


class ConnectAnswer(Enum):
    """What a connect handler says when it does not take the connection."""

    #: Refused on purpose: a RST, whatever the profile.
    REFUSE = "refuse"
    #: No room: the profile says whether that refuses (RST) or drops the SYN.
    FULL = "full"


class TcpClient(Protocol):
    """The upcalls of a connection."""

    def connected(self, connection: Connection) -> None:
        """The active OPEN succeeded."""

    def accepted(self, connection: Connection) -> None:
        """The handshake of an offered connection is complete."""

    def failed(self, connection: Connection, error: int) -> None:
        """The handshake failed; ``error`` is an errno: ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH."""

    def deliver(self, connection: Connection, data: memoryview, push: bool) -> int:
        """Take bytes in order; return how many were taken.

        With 0 the rest waits in TCP until ``connection.resume``; with less than all the upcall
        comes again at once with the rest. The view is valid during the call only.

        Args:
          connection: the connection.
          data: at least one byte; one segment's, as it came.
          push: whether the segment carried PSH: the peer's send ends here.
        """

    def urgent(self, connection: Connection, distance: int) -> None:
        """Urgent data is announced; it ends ``distance`` bytes ahead in the stream."""

    def deliver_urgent(self, connection: Connection, data: bytes) -> None:
        """Take the urgent byte out of the stream (not with ``oob_inline``)."""

    def sent(self, connection: Connection, count: int) -> None:
        """``count`` more bytes were acknowledged."""

    def send_possible(self, connection: Connection) -> None:
        """There is room again after a ``send`` that found none."""

    def peer_closed(self, connection: Connection) -> None:
        """The peer's FIN: nothing follows what was delivered."""

    def reset(self, connection: Connection, error: int) -> None:
        """The connection is gone: ECONNRESET by the peer, ETIMEDOUT, ECONNABORTED."""

    def closed(self, connection: Connection) -> None:
        """The connection ended in order on both sides and is forgotten."""
