# Congestion control: cwnd, ssthresh, and what duplicate acknowledgements mean.
#
# Rule 1: this file counts; it sends nothing and reads no clock. The acknowledgement path tells it
#         what happened, output asks it how much may be in flight.
# Rule 2: positions are offsets in the send stream, plain integers that never wrap.
# Rule 3: one loss, one halving: ``recover`` remembers how far had been sent when a loss was seen,
#         and nothing before it may count as another one (RFC 6582 section 3.2).
#
# Growth counts bytes, at most one SMSS for an acknowledgement in slow start (RFC 5681 section 3.1),
# because acknowledgements of one instant arrive as one.
#
# Sources: RFC 5681; RFC 6582 (NewReno); RFC 3042 (limited transmit); RFC 6928 (initial window).

"""Slow start, congestion avoidance, fast retransmit and fast recovery."""

from __future__ import annotations

from typing import Final

#: "Arbitrarily high" (RFC 5681 section 3.1): more than any window can be.
UNLIMITED: Final = 1 << 31

#: Segments that limited transmit adds to the window, at most (RFC 3042).
LIMITED_TRANSMIT: Final = 2


class Congestion:
    """The congestion state of one connection, in bytes."""

    __slots__ = (
        "_counted", "_initial_segments", "cwnd", "duplicate_acks", "in_recovery", "recover",
        "smss", "ssthresh", "threshold",
    )  # fmt: skip

    def __init__(self, initial_segments: int, threshold: int) -> None:
        self._initial_segments = initial_segments
        self.smss = 536
        self.cwnd = self.smss
        self.ssthresh = UNLIMITED
        #: duplicate ACKs since the last one that acknowledged something new.
        self.duplicate_acks = 0
        #: how many of them mean a loss: three, or two in Windows 2000.
        self.threshold = threshold
        self.in_recovery = False
        #: what had been sent when the last loss was seen; -1 before any.
        self.recover = -1
        self._counted = 0

    @property
    def initial_window(self) -> int:
        """IW: the profile's number of segments, bounded as RFC 6928 bounds ten of them."""
        segments = self._initial_segments
        return min(segments * self.smss, max(2 * self.smss, segments * 1460))

    def open(self, smss: int, *, syn_was_lost: bool) -> None:
        """Begin: the handshake is done (RFC 5681 section 3.1: one SMSS after a lost SYN)."""
        self.smss = smss
        self.cwnd = smss if syn_was_lost else self.initial_window

    def resize(self, smss: int) -> None:
        """Go on with another segment size; the window stays whole segments or more."""
        self.smss = smss
        self.cwnd = max(self.cwnd, smss)

    def allowance(self) -> int:
        """Return how many bytes may be in flight now, limited transmit included."""
        early = self.duplicate_acks
        if early and not self.in_recovery and early < self.threshold:
            return self.cwnd + min(early, LIMITED_TRANSMIT) * self.smss
        return self.cwnd

    def grow(self, acked: int) -> None:
        """Count bytes newly acknowledged outside of fast recovery."""
        self.duplicate_acks = 0
        if self.cwnd < self.ssthresh:
            self.cwnd += min(acked, self.smss)
            return
        self._counted += acked
        if self._counted >= self.cwnd:
            self._counted -= self.cwnd
            self.cwnd += self.smss

    def halve(self, flight: int) -> None:
        """Set ssthresh after a loss (RFC 5681 equation 4)."""
        self.ssthresh = max(flight // 2, 2 * self.smss)
        self._counted = 0

    def enter_recovery(self, flight: int, sent: int, *, inflate: bool) -> None:
        """Begin fast recovery: the duplicate ACK that makes the threshold has come.

        Args:
          flight: bytes sent and not acknowledged.
          sent: the position of SND.NXT.
          inflate: whether the window stands for what left the network (without SACK).
        """
        self.halve(flight)
        self.recover = sent
        self.in_recovery = True
        self.cwnd = self.ssthresh + (self.threshold * self.smss if inflate else 0)

    def inflate(self) -> None:
        """Count one more duplicate ACK in fast recovery: another segment left the network."""
        self.cwnd += self.smss

    def deflate(self, acked: int) -> None:
        """Take a partial acknowledgement in fast recovery (RFC 6582 section 3.2 step 3)."""
        self.cwnd = max(self.cwnd - acked, 0)
        if acked >= self.smss:
            self.cwnd += self.smss
        self.cwnd = max(self.cwnd, self.smss)

    def leave_recovery(self, flight: int, *, inflated: bool) -> None:
        """End fast recovery: everything sent before it is acknowledged.

        The window falls to what is in flight and one segment, if that is less than ssthresh, so
        that no burst follows (RFC 6582 section 3.2, first choice).
        """
        self.in_recovery = False
        self.duplicate_acks = 0
        if inflated:
            self.cwnd = min(self.ssthresh, max(flight, self.smss) + self.smss)

    def time_out(self, flight: int, sent: int, *, first: bool) -> None:
        """Fall back to one segment after a retransmission timeout (RFC 5681 section 3.1)."""
        if first:  # ssthresh stays when the same segment is lost again
            self.halve(flight)
        self.cwnd = self.smss
        self.recover = sent
        self.in_recovery = False
        self.duplicate_acks = 0

    def idle(self) -> None:
        """Restart after more than one RTO without sending (RFC 5681 section 4.1)."""
        self.cwnd = min(self.cwnd, self.initial_window)
