# Profiles: the numbers and choices in which real TCP/IP stacks differ, as data.
#
# Rule 1: the stack asks a field, never the profile's name. A new profile is a new row of values.
# Rule 2: times are nanoseconds, as in the scheduler; buffers and windows are bytes.
#
# Sources for ``windows2000``:
#   TcpMaxConnectRetransmissions 2, TcpInitialRTT 3 s     learn.microsoft.com cc938207, cc938209
#   TcpMaxDataRetransmissions 5                           Microsoft KB Q170359
#   TcpTimedWaitDelay 240 s (2 MSL of 120 s)              learn.microsoft.com cc938217
#   TcpFinWait2Delay 240 s, TcpDelAckTicks 2 (200 ms), TcpMaxDupAcks 2, DefaultTTL 128,
#   Tcp1323Opts (off unless the peer asks), SackOpts on, MaxUserPort 5000, KeepAliveInterval 1 s,
#   ArpCacheLife 2 min (10 min for used entries), initial window of 2 segments, window of 17,520
#   bytes on Ethernet: Microsoft, "Windows 2000 TCP/IP Implementation Details", appendix A.
#   Minimum RTO: no public document states one for Windows 2000. The stack ran on a 100 ms tick; a
#   delayed ACK takes two ticks, and an RTO of two would resend whatever is acknowledged so: 0.3 s.
# Sources for ``linux``: Documentation/networking/ip-sysctl.rst (tcp_syn_retries 6, tcp_retries2 15,
#   tcp_fin_timeout 60, ip_local_port_range), include/net/tcp.h (TCP_RTO_MIN, TCP_TIMEWAIT_LEN).
# Sources for ``rfc``: RFC 9293 section 3.8.3 (R2), RFC 6298 section 2, RFC 6928, RFC 6335.

"""What differs between TCP/IP stacks: the profiles ``rfc``, ``linux`` and ``windows2000``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProfile:
    """The choices of one TCP/IP stack. Defaults are those of the RFCs (profile ``rfc``)."""

    name: str

    # Retransmission. A limit by count and one by time: None means the other one decides alone.
    initial_rto_ns: int = 1 * SECOND
    minimum_rto_ns: int = 1 * SECOND
    maximum_rto_ns: int = 60 * SECOND
    #: RTO after the handshake when the SYN or SYN-ACK had to be sent again (RFC 6298 section 5.7).
    rto_after_lost_syn_ns: int = 3 * SECOND
    syn_resends: int | None = None
    syn_timeout_ns: int | None = 180 * SECOND
    data_resends: int | None = None
    data_timeout_ns: int | None = 100 * SECOND
    #: How often a SYN that a RST answered is sent again, and how long to wait before each.
    syn_retries_on_reset: int = 0
    syn_retry_on_reset_delay_ns: int = 500 * MILLISECOND

    # Ends. TIME-WAIT is twice the maximum segment lifetime.
    time_wait_ns: int = 240 * SECOND
    fin_wait_2_ns: int | None = None
    #: Closing while received bytes are unread: RST (RFC 9293 SHLD-3) or an orderly release.
    reset_on_unread_data: bool = True
    #: What a SYN meets when the backlog is full.
    full_backlog: Literal["refuse", "drop"] = "refuse"

    # Acknowledgement and congestion.
    delayed_ack_ns: int = 200 * MILLISECOND
    initial_window_segments: int = 10
    duplicate_ack_threshold: int = 3

    # Windows, buffers and options. Scale and timestamps: offered, or only given when asked.
    receive_window: int = 65_535
    window_scaling: Literal["offer", "accept"] = "offer"
    timestamps: Literal["offer", "accept"] = "offer"
    sack: bool = True
    #: What AFD buffers for a socket: SO_RCVBUF and SO_SNDBUF as they are at first.
    receive_buffer: int = 65_536
    send_buffer: int = 65_536

    # Keep-alive, off until a socket asks (RFC 9293 section 3.8.4).
    keep_alive_idle_ns: int = 7200 * SECOND
    keep_alive_interval_ns: int = 75 * SECOND
    keep_alive_probes: int = 9
    #: Challenge ACKs a host sends in one second at most (RFC 5961 section 7).
    challenge_acks_per_second: int = 100

    # Below TCP.
    time_to_live: int = 64
    ephemeral_ports: tuple[int, int] = (49_152, 65_535)
    arp_entry_lifetime_ns: int = 60 * SECOND
    reassembly_timeout_ns: int = 60 * SECOND


RFC: Final = TcpProfile(name="rfc")

LINUX: Final = TcpProfile(
    name="linux",
    minimum_rto_ns=200 * MILLISECOND,
    maximum_rto_ns=120 * SECOND,
    syn_resends=6,
    syn_timeout_ns=None,
    data_resends=15,
    data_timeout_ns=None,
    time_wait_ns=60 * SECOND,
    fin_wait_2_ns=60 * SECOND,
    full_backlog="drop",
    delayed_ack_ns=40 * MILLISECOND,
    receive_window=65_536,
    ephemeral_ports=(32_768, 60_999),
    reassembly_timeout_ns=30 * SECOND,
)

WINDOWS2000: Final = TcpProfile(
    name="windows2000",
    initial_rto_ns=3 * SECOND,
    minimum_rto_ns=300 * MILLISECOND,
    maximum_rto_ns=240 * SECOND,
    syn_resends=2,
    syn_timeout_ns=None,
    data_resends=5,
    data_timeout_ns=None,
    fin_wait_2_ns=240 * SECOND,
    reset_on_unread_data=False,
    initial_window_segments=2,
    duplicate_ack_threshold=2,
    receive_window=17_520,
    window_scaling="accept",
    timestamps="accept",
    receive_buffer=8_192,
    send_buffer=8_192,
    keep_alive_interval_ns=1 * SECOND,
    keep_alive_probes=5,
    time_to_live=128,
    ephemeral_ports=(1_024, 5_000),
    arp_entry_lifetime_ns=2 * MINUTE,
)

PROFILES: Final = {profile.name: profile for profile in (RFC, LINUX, WINDOWS2000)}


def profile_named(profile: str | TcpProfile) -> TcpProfile:
    """Return the profile of that name; a profile itself is returned as it is.

    Raises:
      ValueError: no profile has that name.
    """
    if isinstance(profile, TcpProfile):
        return profile
    try:
        return PROFILES[profile]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ValueError(f"no profile is called {profile!r}; there are {known}") from None
