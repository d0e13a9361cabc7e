# Round trips: SRTT, RTTVAR and the retransmission timeout (RFC 6298).
#
# Rule 1: integer nanoseconds; the clock granularity G of the RFC is one of them, so 4 * RTTVAR
#         counts alone.
# Rule 2: who calls ``sample`` has obeyed Karn: never a segment that was sent twice, unless a
#         timestamp tells which sending was answered (MUST-18, RFC 7323 section 4).
# Rule 3: a backed-off RTO stays until the next sample (RFC 6298 section 5.5, and 5.3: restart with
#         "the current value of RTO").
#
# RFC 6298 rounds the RTO up to one second, more than a delayed ACK may take. A profile with less
# has its minimum added to SRTT instead, as Linux does: else every ACK that the peer delays by that
# much comes one round trip too late, and what had arrived is sent again (seen with 200 ms and 1 ms
# of latency: one needless resend for each odd segment).

"""Estimating the round-trip time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsock.virtual.profile import TcpProfile

#: How long an acknowledgement may wait at the peer (RFC 9293 MUST-40).
DELAYED_ACK_LIMIT_NS: Final = 500_000_000


class RoundTrip:
    """SRTT, RTTVAR and RTO of one connection, in nanoseconds."""

    __slots__ = ("_maximum", "_minimum", "backoff", "rto", "rttvar", "srtt")

    def __init__(self, profile: TcpProfile) -> None:
        self._minimum = profile.minimum_rto_ns
        self._maximum = profile.maximum_rto_ns
        self.srtt: int | None = None
        self.rttvar = 0
        self.rto = profile.initial_rto_ns
        #: how many times the RTO has been doubled since the last sample.
        self.backoff = 0

    def sample(self, round_trip_ns: int) -> None:
        """Take one measurement (RFC 6298 section 2.2, 2.3)."""
        if self.srtt is None:
            self.srtt = round_trip_ns
            self.rttvar = round_trip_ns // 2
        else:
            self.rttvar = (3 * self.rttvar + abs(self.srtt - round_trip_ns)) // 4
            self.srtt = (7 * self.srtt + round_trip_ns) // 8
        self.backoff = 0
        variance = max(1, 4 * self.rttvar)
        if self._minimum < DELAYED_ACK_LIMIT_NS:
            rto = self.srtt + max(variance, self._minimum)
        else:
            rto = max(self.srtt + variance, self._minimum)
        self.rto = min(rto, self._maximum)

    def back_off(self) -> None:
        """Double the RTO after it ran out (section 5.5)."""
        self.backoff += 1
        self.rto = min(self.rto * 2, self._maximum)

    def forget(self, rto_ns: int) -> None:
        """Start again from ``rto_ns``: what was measured no longer describes the path."""
        self.srtt = None
        self.rttvar = 0
        self.backoff = 0
        self.rto = rto_ns
