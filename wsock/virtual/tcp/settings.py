# Settings: what a program may choose for one connection, with the profile's values at first.
#
# A listener has a set of its own; each connection it takes starts with a copy, as options of a
# listening socket are inherited by the sockets it accepts.

"""Per-connection settings of TCP."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsock.virtual.profile import TcpProfile


class TcpSettings:
    """The settable part of a connection. Times are nanoseconds; None means no limit."""

    __slots__ = (
        "data_resends", "data_timeout_ns", "dscp", "iss", "keep_alive", "keep_alive_idle_ns",
        "keep_alive_interval_ns", "keep_alive_probes", "no_delay", "not_sent_low_water",
        "oob_inline", "path_mtu_discovery", "receive_buffer", "reuse_address", "send_buffer",
        "syn_resends", "syn_timeout_ns", "ttl", "user_timeout_ns",
    )  # fmt: skip

    def __init__(self, profile: TcpProfile) -> None:
        #: TCP_NODELAY: send small segments although data is in flight (RFC 9293 MUST-17).
        self.no_delay = False
        #: RCV.BUFF: the largest window this side offers, bytes.
        self.receive_buffer = profile.receive_window
        #: bytes that may be queued before ``send`` says "not now"; None takes everything.
        self.send_buffer: int | None = None
        #: TCP_NOTSENT_LOWAT: "not now" also while this many bytes have not been sent once.
        self.not_sent_low_water: int | None = None
        #: SO_OOBINLINE: the urgent byte stays in the stream.
        self.oob_inline = False
        #: SO_REUSEADDR when it was bound: others who say so may have its port.
        self.reuse_address = False
        #: SO_KEEPALIVE and its three numbers.
        self.keep_alive = False
        self.keep_alive_idle_ns = profile.keep_alive_idle_ns
        self.keep_alive_interval_ns = profile.keep_alive_interval_ns
        self.keep_alive_probes = profile.keep_alive_probes
        #: R2, by count and by time, for SYNs and for everything else (RFC 9293 section 3.8.3).
        self.syn_resends = profile.syn_resends
        self.syn_timeout_ns = profile.syn_timeout_ns
        self.data_resends = profile.data_resends
        self.data_timeout_ns = profile.data_timeout_ns
        #: TCP_USER_TIMEOUT: in place of R2 where set.
        self.user_timeout_ns: int | None = None
        #: IP_TTL (None: the profile's) and the codepoint.
        self.ttl: int | None = None
        self.dscp = 0
        #: Set DF, and make segments smaller when ICMP asks for it (RFC 1191).
        self.path_mtu_discovery = True
        #: The initial sequence number, for tests; None lets RFC 6528 choose.
        self.iss: int | None = None

    def copy(self) -> TcpSettings:
        """Return an independent set with the same values."""
        return copy(self)
