# The end of a connection: shutdown, what closesocket begins, and the peer's end.
#
#   socket           shutdown, close                waits in aclose alone
# > afd              end of a stream endpoint       THIS FILE: release, reset, giving objects back
#   tdi              connection objects             TDI_DISCONNECT, TDI_EVENT_DISCONNECT
#
# Rule 1: after closesocket a connection is given back at once if it was accepted, if the peer's
#         release was seen, if it was aborted, or if the provider does not wait for releases;
#         otherwise when TDI_EVENT_DISCONNECT arrives (R8).
# Rule 2: a release goes out behind what was accepted by sends, however the socket was closed; only
#         an abort drops that (ruling A1).
#
# Sources: shutdown, closesocket pages; tdi-afd 6 and 9.
"""The end of a stream endpoint's connection."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Final

from .. import errors
from ..constants import FD_CLOSE
from ..tdi import SUCCESS, DisconnectFlags, Status
from .states import (
    CLOSED,
    CLOSING,
    CONNECTED,
    DISCONNECTING,
    PEER_RELEASED,
    RESET,
    SHUT_RECEIVE,
    SHUT_SEND,
)
from .transmit import SendingEndpoint

if TYPE_CHECKING:
    from ..tdi import ConnectionObject

__all__ = ["EndingEndpoint"]

_ENDED: Final = PEER_RELEASED | RESET


class EndingEndpoint(SendingEndpoint):
    """A stream endpoint as far as the end of its connection goes."""

    __slots__ = ()

    def shutdown(self, how: int) -> None:
        """End sending (SHUT_WR: TDI_DISCONNECT RELEASE after queued sends), receiving, or both."""
        self.check_open("shutdown")
        if how not in (std.SHUT_RD, std.SHUT_WR, std.SHUT_RDWR):
            raise errors.WSAEINVAL("shutdown", self.state, f"direction {how}")
        if self.state != CONNECTED:
            raise errors.WSAENOTCONN("shutdown", self.state)
        if how != std.SHUT_WR and not self.attention & SHUT_RECEIVE:
            self.attention |= SHUT_RECEIVE
            if not self.attention & RESET:
                self.file.stop_receive()  # before what is unread is forgotten: it may reset
            self.rx, self.rx_count = None, 0
            while self.wake_receiver():
                pass
            self.evaluate(FD_CLOSE)
        if how != std.SHUT_RD and not self.attention & SHUT_SEND:
            self.attention |= SHUT_SEND
            if not self.attention & RESET:
                self._disconnect(DisconnectFlags.RELEASE, final=False)
            while self.wake_sender():
                pass

    def interrupt_send(self) -> None:
        """A task that waits for its send to go out is sent away by close: drop its part (B6)."""
        self.unsent -= self.file.drop_rest()

    def _disconnect(self, flags: int, *, final: bool) -> None:
        self.attention |= DISCONNECTING
        self.connection.disconnect(flags, final=final)

    def abort_now(self) -> None:
        """A closed endpoint that still sends its rest is reset."""
        if self.state == CLOSING:
            self.attention |= RESET
            self._disconnect(DisconnectFlags.ABORT, final=True)

    def _close_connection(self, *, abort: bool) -> None:
        linger = None if self.options is None else self.linger
        if self.attention & RESET:
            self.file.abandon()
            self._give_back()
        elif abort or linger == 0:
            self.attention |= RESET
            self._disconnect(DisconnectFlags.ABORT, final=True)
        elif self.attention & SHUT_SEND:
            # Its release was asked for by shutdown; the transport ends what is left by itself.
            self.file.finish_release(linger)
            self._give_back_when_due()
        else:
            self.attention |= DISCONNECTING
            self.connection.disconnect(DisconnectFlags.RELEASE, final=True, timeout=linger)

    def _give_back_when_due(self) -> None:
        connection = self.connection
        if connection is None:  # a listener, whose pending connections are being reset
            return
        if self.state != CLOSING or self.attention & DISCONNECTING:
            return
        if (
            self.host.device.provider.waits_for_release
            and connection.active
            and not self.attention & _ENDED
        ):
            return  # TDI_EVENT_DISCONNECT has still to come, and its handler is ours (R8)
        self._give_back()

    def on_disconnected(self, status: Status) -> None:
        """TDI_DISCONNECT ended; a closed endpoint that waited for it gives its objects back."""
        self.attention &= ~DISCONNECTING
        if status is not SUCCESS:
            self.attention |= RESET
        if self.state == CLOSING:
            self._give_back_when_due()
        if self.send_waiters is not None:
            while self.state == CLOSING and self.wake_sender():  # in aclose, until all is out
                pass

    def is_flushing(self) -> bool:
        """Whether it is closed, and what it had accepted is not out yet, or its end is not."""
        return bool(self.state == CLOSING and self.attention & DISCONNECTING)

    def on_disconnect_event(self, flags: int, reason: Status) -> None:
        """TDI_EVENT_DISCONNECT: the peer released, or the connection is aborted for ``reason``."""
        if self.state == CLOSING or self.state == CLOSED:
            self.attention |= PEER_RELEASED
            if flags & DisconnectFlags.ABORT:
                self.attention &= ~DISCONNECTING
            self._give_back_when_due()
        elif flags & DisconnectFlags.ABORT:
            self.on_aborted(reason)
        else:
            self.on_released()

    def on_unwanted_data(self) -> tuple[Status, int, int]:
        """Data for a side that will not read it: reset, and give back what waited (R8)."""
        if self.state == CLOSING:
            self.attention |= RESET
            self._disconnect(DisconnectFlags.ABORT, final=True)
        return Status.DATA_NOT_ACCEPTED, 0, 0

    def _give_back(self) -> None:
        connection, self.connection = self.connection, None
        self.unsent = 0
        # ``_release_objects`` in place: every connection comes here.
        connection.disassociate()
        connection.cleanup()
        connection.close()
        address = self.address
        if address is not None and address.users > 1:  # ``give_back_address`` in place
            address.users -= 1
            self.address = None
        else:
            self.give_back_address()
        self.finish()

    def _release_objects(self, connection: ConnectionObject) -> None:
        connection.disassociate()
        connection.cleanup()
        connection.close()
