# Probes: ping and traceroute, as objects that go on by events and can be waited for by any driver.
#
#   host.ping, trio_face    wait for ``done``
# > probes                  THIS FILE: what is sent when, and what the answers mean
#   raw_layer               ICMP in and out
#
# Rule 1: a probe sends at times of the scheduler and is driven by arrivals. It calls ``on_done``
#         once, at its end; whoever waits may also look at ``done`` after every step.
# Rule 2: answers are matched by identifier and sequence number, errors by the packet they quote.
#
# Sources: RFC 792; RFC 1393 for the idea of traceroute, done here as Windows' tracert does it: echo
# requests with TTL 1, 2, 3, ... and the ICMP time exceeded of the routers.

"""Ping and traceroute without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual import addresses
from wsock.virtual.layers import PROTOCOL_ICMP
from wsock.virtual.scheduler import Owner, nanoseconds, seconds
from wsock.virtual.wire import icmp, ipv4

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.addresses import Address
    from wsock.virtual.layers import LocalError
    from wsock.virtual.node import HostCore
    from wsock.virtual.raw_layer import IcmpError, RawReceived

_HEADER: Final = icmp.HEADER_LENGTH


class Reply(NamedTuple):
    """What came back for one echo request; a ``rtt`` of None means that nothing did."""

    sequence: int
    #: who answered: the destination, or a router that sent an error.
    source: str
    #: seconds from sending to the answer.
    rtt: float | None
    ttl: int
    #: "" for an echo reply, else what went wrong: "time out", "host unreachable", "ENETUNREACH".
    error: str


class _Probe:
    """Sends echo requests and matches what comes back."""

    def __init__(
        self, host: HostCore, destination: Address, on_done: Callable[[], object] | None
    ) -> None:
        self._host = host
        self._destination = addresses.packed(destination)
        self._on_done = on_done
        self._raw = host.raw.open(PROTOCOL_ICMP)
        self._raw.receive_limit = 1 << 20
        self._raw.on_readable = self._arrived
        self._raw.on_icmp_error = self._failed
        self._identifier = host.next_probe()
        owner = Owner(f"{host.name}/probe {self._identifier}")
        self._timeout = host.scheduler.timer(owner, self._timed_out)
        self._next = host.scheduler.timer(owner, self._send_next)
        self._sent_at = 0
        self._sequence = 0
        self._waiting = False
        self.done = False

    def _send(self, size: int, ttl: int | None, timeout_ns: int) -> None:
        """Send the next echo request; nothing waits for the one before any more."""
        self._sequence += 1
        self._waiting = True
        self._sent_at = self._host.scheduler.now
        self._timeout.set(self._sent_at + timeout_ns)
        self._raw.ttl = ttl
        data = bytes(byte % 251 for byte in range(size))
        request = icmp.build_echo(
            icmp.ECHO_REQUEST, self._identifier, self._sequence & 0xFFFF, data
        )
        error = self._raw.send(request, self._destination)
        if error is not None:
            self._refused(error)

    def _arrived(self) -> None:
        while (packet := self._raw.receive()) is not None:
            header_length = (packet.data[0] & 15) << 2
            message = icmp.parse(packet.data[header_length:])
            if not isinstance(message, icmp.IcmpMessage):
                continue
            if message.type == icmp.ECHO_REPLY and self._is_mine(message.rest):
                self._answer(packet, "")
            elif message.type in icmp.ERRORS:
                self._error_arrived(packet, message)

    def _error_arrived(self, packet: RawReceived, message: icmp.IcmpMessage) -> None:
        """Look whether an ICMP error quotes our request."""
        quote = bytes(message.body)
        header_length = (quote[0] & 15) << 2 if quote else 0
        if header_length < ipv4.HEADER_LENGTH or len(quote) < header_length + _HEADER:
            return
        quoted = quote[header_length:]
        if quote[9] != PROTOCOL_ICMP or quoted[0] != icmp.ECHO_REQUEST:
            return
        if self._is_mine(int.from_bytes(quoted[4:8], "big")):
            self._answer(packet, error_name(message.type, message.code))

    def _is_mine(self, rest: int) -> bool:
        return self._waiting and rest == self._identifier << 16 | self._sequence & 0xFFFF

    def _failed(self, error: IcmpError) -> None:
        """An error of this host's own (ARP gave up) comes with no packet."""
        rest = int.from_bytes(error.quoted[4:8], "big")
        if self._waiting and self._is_mine(rest) and not self._raw.waiting:
            self._record("", None, 0, error_name(error.type, error.code))

    def _answer(self, packet: RawReceived, error: str) -> None:
        rtt = seconds(packet.time_ns - self._sent_at)
        self._record(addresses.text(packet.source), rtt, packet.ttl, error)

    def _refused(self, error: LocalError) -> None:
        self._record("", None, 0, error.name)

    def _timed_out(self) -> None:
        self._record("", None, 0, "time out")

    def _record(self, source: str, rtt: float | None, ttl: int, error: str) -> None:
        self._waiting = False
        self._timeout.stop()
        self._take(Reply(self._sequence, source, rtt, ttl, error))

    def _take(self, reply: Reply) -> None:
        raise NotImplementedError

    def _send_next(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """End now; ``on_done`` is called."""
        if not self.done:
            self.done = True
            self._timeout.stop()
            self._next.stop()
            self._raw.close()
            if self._on_done is not None:
                self._on_done()


class Ping(_Probe):
    """Echo requests, one after the other.

    Attributes:
      replies: one for each request, in order.
      done: whether the last one is in.
    """

    def __init__(
        self,
        host: HostCore,
        destination: Address,
        *,
        count: int = 4,
        size: int = 56,
        interval: float = 1.0,
        timeout: float = 1.0,
        ttl: int | None = None,
        dont_fragment: bool = False,
        on_done: Callable[[], object] | None = None,
    ) -> None:
        """Begin at once.

        Args:
          host: where from.
          destination: whom to ask.
          count: how many requests.
          size: bytes of data in each.
          interval: seconds from one to the next; a late answer delays the next one.
          timeout: seconds to wait for an answer.
          ttl: of the requests; None for the profile's.
          dont_fragment: set DF.
          on_done: called at the end.
        """
        super().__init__(host, destination, on_done)
        self._count = count
        self._size = size
        self._interval_ns = nanoseconds(interval)
        self._timeout_ns = nanoseconds(timeout)
        self._ttl = ttl
        self._raw.dont_fragment = dont_fragment
        self.replies: list[Reply] = []
        self._send_next()

    def _send_next(self) -> None:
        self._send(self._size, self._ttl, self._timeout_ns)

    def _take(self, reply: Reply) -> None:
        self.replies.append(reply)
        if len(self.replies) >= self._count:
            self.stop()
        else:
            self._next.set(self._sent_at + self._interval_ns)

    def __str__(self) -> str:
        to = addresses.text(self._destination)
        lines = [f"ping {to}: {self._size} bytes of data"]
        for reply in self.replies:
            if reply.rtt is not None and not reply.error:
                text = f"from {reply.source}: ttl={reply.ttl} time={reply.rtt * 1000:.3f} ms"
            else:
                text = f"{reply.source}: {reply.error}".removeprefix(": ")
            lines.append(f"seq={reply.sequence} {text}")
        lost = sum(1 for reply in self.replies if reply.error)
        lines.append(f"{len(self.replies)} sent, {len(self.replies) - lost} answered, {lost} lost")
        return "\n".join(lines)


class Traceroute(_Probe):
    """Echo requests with rising TTL, to find the routers on the way.

    Attributes:
      hops: for each TTL the replies to its probes.
      reached: whether the destination answered.
      done: whether the end of the way, or the last TTL, is reached.
    """

    def __init__(
        self,
        host: HostCore,
        destination: Address,
        *,
        max_hops: int = 30,
        probes: int = 3,
        timeout: float = 1.0,
        on_done: Callable[[], object] | None = None,
    ) -> None:
        """Begin at once.

        Args:
          host: where from.
          destination: whom to reach.
          max_hops: the last TTL.
          probes: how many for each TTL.
          timeout: seconds to wait for each answer.
          on_done: called at the end.
        """
        super().__init__(host, destination, on_done)
        self._max_hops = max_hops
        self._probes = probes
        self._timeout_ns = nanoseconds(timeout)
        self.hops: list[list[Reply]] = [[]]
        self.reached = False
        self._stopped_by_error = False
        self._send_next()

    def _send_next(self) -> None:
        self._send(32, len(self.hops), self._timeout_ns)

    def _take(self, reply: Reply) -> None:
        self.hops[-1].append(reply)
        if not reply.error:
            self.reached = True
        elif reply.error not in ("time exceeded", "time out"):
            self._stopped_by_error = True
        if len(self.hops[-1]) >= self._probes:
            if self.reached or self._stopped_by_error or len(self.hops) >= self._max_hops:
                self.stop()
                return
            self.hops.append([])
        self._next.set(self._host.scheduler.now)

    @property
    def path(self) -> list[str]:
        """Who answered at each TTL; ``"*"`` where nobody did."""
        return [next((r.source for r in hop if r.source), "*") for hop in self.hops]

    def __str__(self) -> str:
        lines = [f"traceroute to {addresses.text(self._destination)}"]
        for ttl, hop in enumerate(self.hops, 1):
            times = "  ".join("*" if r.rtt is None else f"{r.rtt * 1000:.3f} ms" for r in hop)
            lines.append(f"{ttl:2}  {self.path[ttl - 1]}  {times}")
        return "\n".join(lines)


def error_name(icmp_type: int, code: int) -> str:
    """Return what an ICMP error means, in words."""
    if icmp_type == icmp.TIME_EXCEEDED:
        return "time exceeded" if code == icmp.TTL_EXCEEDED else "reassembly time exceeded"
    return _ERRORS.get((icmp_type, code), f"icmp {icmp_type}/{code}")


_ERRORS: Final = {
    (icmp.UNREACHABLE, icmp.NETWORK_UNREACHABLE): "network unreachable",
    (icmp.UNREACHABLE, icmp.HOST_UNREACHABLE): "host unreachable",
    (icmp.UNREACHABLE, icmp.PROTOCOL_UNREACHABLE): "protocol unreachable",
    (icmp.UNREACHABLE, icmp.PORT_UNREACHABLE): "port unreachable",
    (icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED): "fragmentation needed",
}
