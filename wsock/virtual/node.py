# Nodes: hosts and routers, as far as they know nothing of Trio.
#
#   host, trio_face       tasks, the host's Stack      (other files; they may import Trio)
# > node                  THIS FILE: interfaces, the stack of layers, power
#   network               names, wires, captures, faults
#
# Rule 1: a node outlives its stack. ``crash`` takes the stack away at once, so that no FIN and no
#         RST leaves; ``restart`` builds a new one with new secrets and an empty ARP cache.
# Rule 2: whatever is dropped, here or on a wire, goes through ``drop`` or ``wire_drop``: a counter,
#         a line in the network's log, and a comment in every capture that saw the packet.
#
# Other transports than UDP and TCP come from ``network.transports``: protocol numbers and
# factories.

"""Hosts and routers of a virtual network, without Trio."""

from __future__ import annotations

import ipaddress
from collections import deque
from typing import TYPE_CHECKING, Final

from wsock.virtual import addresses
from wsock.virtual.fault import Fault
from wsock.virtual.host_tcp import HISTORY_LIMIT, ConnectionTrace, HostTcpLayer
from wsock.virtual.icmp_layer import IcmpLayer
from wsock.virtual.interfaces import LoopbackInterface, WireInterface
from wsock.virtual.ipv4_layer import Ipv4Layer
from wsock.virtual.layers import PROTOCOL_TCP, PROTOCOL_UDP, Counters
from wsock.virtual.netstat import NetstatRow, netstat
from wsock.virtual.probes import Ping, Traceroute
from wsock.virtual.raw_layer import RawLayer
from wsock.virtual.routes import RouteTable
from wsock.virtual.scheduler import HostClock
from wsock.virtual.udp_layer import UdpLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsock.virtual.addresses import Address
    from wsock.virtual.building import Building
    from wsock.virtual.interfaces import GatedInterface, Interface
    from wsock.virtual.layers import Flushable, Transport
    from wsock.virtual.profile import TcpProfile
    from wsock.virtual.random_streams import RandomStream

#: Packets that wait at the interfaces of a paused host; more are dropped.
PAUSED_LIMIT: Final = 1000


class _PowerGate:
    """What packets meet at a host that is paused or switched off."""

    __slots__ = ("is_off", "waiting")

    def __init__(self, *, is_off: bool) -> None:
        self.is_off = is_off
        self.waiting: deque[tuple[Interface, bytes]] = deque()

    def admit(self, interface: Interface, data: bytes) -> bool:
        """Keep or drop a packet that has arrived; never let it in."""
        if self.is_off:
            interface.node.drop(interface, data, "host is switched off")
        elif len(self.waiting) >= PAUSED_LIMIT:
            interface.node.drop(interface, data, "host is paused and its queue is full")
        else:
            self.waiting.append((interface, data))
        return False


class HostCore:
    """A host: interfaces, and a stack above them.

    Attributes:
      name: unique in the network.
      network: where it is.
      profile: the choices of its TCP/IP.
      interfaces: by name; ``lo`` first. Each is also an attribute: ``host.eth0``.
      routes: the route table.
      counters: what happened to packets, by name.
      forwarding: whether it is a router.
      ipv4, icmp, udp, tcp, raw: the layers of the stack as it runs now.
    """

    def __init__(
        self, network: Building, name: str, profile: TcpProfile, *, forwarding: bool = False
    ) -> None:
        self.network = network
        self.name = name
        self.profile = profile
        self.forwarding = forwarding
        self.interfaces: dict[str, Interface] = {}
        self.own_addresses: set[bytes] = set()
        self.routes = RouteTable()
        self.counters = Counters()
        self.gate: _PowerGate | None = None
        self._power_fault: Fault | None = None  # the latest pause or crash
        self.boots = 0
        self._probes = 0
        self._past_traces: list[ConnectionTrace] = []
        lo = network.new_direction(f"{name} lo", network.loopback_conditions)
        self.interfaces["lo"] = LoopbackInterface(self, lo)
        network.interface_added(self.interfaces["lo"])
        self.own_addresses.add(addresses.LOOPBACK)
        self._boot()

    def _boot(self) -> None:
        self.boots += 1
        self.scheduler = HostClock(self.network.scheduler)
        self.ipv4 = Ipv4Layer(self, self.routes)
        self.icmp = IcmpLayer(self)
        self.raw = RawLayer(self.ipv4)
        self.udp = UdpLayer(self.ipv4)
        self.tcp = HostTcpLayer(self.ipv4)
        self.ipv4.transports[PROTOCOL_UDP] = self.udp
        self.ipv4.transports[PROTOCOL_TCP] = self.tcp
        for protocol, factory in self.network.transports.items():
            self.ipv4.transports[protocol] = factory(self.ipv4)

    def transport(self, protocol: int) -> Transport | None:
        """Return the transport of a protocol number, or None."""
        return self.ipv4.transports.get(protocol)

    # Interfaces and routes.

    def next_interface_name(self) -> str:
        """Return the name of the next interface: eth0, eth1, ..."""
        return f"eth{len(self.interfaces) - 1}"

    def add_interface(self, interface: Interface) -> None:
        """Take a new interface and the route to its prefix. Media call this."""
        self.interfaces[interface.name] = interface
        self.own_addresses.add(interface.address)
        self.routes.add(interface.network, interface.prefix_length, None, interface)
        self.network.interface_added(interface)

    def add_route(self, prefix: str, via: Address | HostCore) -> None:
        """Reach ``prefix`` (``"0.0.0.0/0"`` for everything else) through a neighbour.

        Raises:
          ValueError: the neighbour is on no link of this host.
        """
        network = ipaddress.IPv4Network(prefix)
        for interface in self.wires:
            gateway = self._neighbour(via, interface)
            if gateway is not None:
                number = int(network.network_address)
                self.routes.add(number, network.prefixlen, gateway, interface)
                return
        raise ValueError(f"{via!r} is on no link of {self.name}")

    def _neighbour(self, via: Address | HostCore, interface: WireInterface) -> bytes | None:
        if isinstance(via, HostCore):
            others = interface.medium.interfaces
            return next((other.address for other in others if other.node is via), None)
        address = addresses.packed(via)
        return address if interface.on_link(address) else None

    @property
    def wires(self) -> list[WireInterface]:
        """The interfaces that lead out of the host, in the order of their making."""
        return [i for i in self.interfaces.values() if isinstance(i, WireInterface)]

    @property
    def loopback(self) -> LoopbackInterface:
        """The interface ``lo``."""
        lo = self.interfaces["lo"]
        assert isinstance(lo, LoopbackInterface)
        return lo

    @property
    def outer_interfaces(self) -> Sequence[GatedInterface]:
        """Where the host meets others: its wires, or its loopback if that is all it has."""
        return self.wires or [self.loopback]

    @property
    def address(self) -> ipaddress.IPv4Address:
        """The address of the first interface that leads out, else 127.0.0.1."""
        wires = self.wires
        return ipaddress.IPv4Address(wires[0].address if wires else addresses.LOOPBACK)

    @property
    def addresses(self) -> list[ipaddress.IPv4Address]:
        """The addresses of the interfaces that lead out, in order."""
        return [ipaddress.IPv4Address(wire.address) for wire in self.wires]

    def interface_for_groups(self, source: bytes | None) -> Interface | None:
        """Return the interface with address ``source``, else the one that leads farthest."""
        if source is not None:
            for interface in self.interfaces.values():
                if interface.address == source:
                    return interface
        default = self.routes.lookup(bytes(4), self.scheduler.now)
        if default is not None:
            return default.interface
        wires = self.wires
        return wires[0] if wires else None

    def __getattr__(self, name: str) -> Interface:
        try:
            return self.__dict__["interfaces"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"host {self.__dict__.get('name')!r} has no {name!r}") from None

    # What can be seen.

    @property
    def traces(self) -> list[ConnectionTrace]:
        """State changes of TCP connections: of earlier lives, ended ones, those alive."""
        return self._past_traces if self.is_off else self._past_traces + self.tcp.traces

    def netstat(self) -> list[NetstatRow]:
        """Return a row for every endpoint: listeners, connections, UDP, raw."""
        return netstat(self)

    def start_ping(
        self,
        destination: Address,
        *,
        count: int = 4,
        size: int = 56,
        interval: float = 1.0,
        timeout: float = 1.0,
        on_done: Callable[[], object] | None = None,
    ) -> Ping:
        """Begin to ping; the object returned gathers the replies. See :class:`Ping`."""
        return Ping(
            self,
            destination,
            count=count,
            size=size,
            interval=interval,
            timeout=timeout,
            on_done=on_done,
        )

    def start_traceroute(
        self,
        destination: Address,
        *,
        max_hops: int = 30,
        probes: int = 3,
        timeout: float = 1.0,
        on_done: Callable[[], object] | None = None,
    ) -> Traceroute:
        """Begin to look for the routers on a way. See :class:`Traceroute`."""
        return Traceroute(
            self, destination, max_hops=max_hops, probes=probes, timeout=timeout, on_done=on_done
        )

    # What the layers ask for.

    def random(self, purpose: str) -> RandomStream:
        """Return a random stream of this host; another one after each restart."""
        owner = self.name if self.boots == 1 else f"{self.name} boot {self.boots}"
        return self.network.random_streams.stream(purpose, owner)

    def mark_dirty(self, endpoint: Flushable) -> None:
        """Have ``endpoint`` flushed when this instant's events are over.

        A host that is switched off says nothing, also not later: what asks was lost with the stack.
        """
        if not self.is_off:
            self.network.mark_dirty(endpoint, self)

    def next_probe(self) -> int:
        """Return the identifier of the next ping or traceroute, 1 to 65535."""
        self._probes = self._probes % 0xFFFF + 1
        return self._probes

    def loop_back(self, packet: bytes) -> None:
        """Give the host its own copy of what it sends to everybody."""
        lo = self.loopback
        lo.egress.carry(packet, (lo,))

    def drop(self, interface: Interface, data: bytes, reason: str, detail: str = "") -> None:
        """Record that this host threw a packet away."""
        self.counters.count(reason)
        text = f"{reason} ({detail})" if detail else reason
        self.network.record_drop(interface, data, f"dropped by {self.name}: {text}")

    def wire_drop(self, interface: Interface, data: bytes, reason: str) -> None:
        """Record that a wire or a fault threw away a packet that this host sent."""
        self.network.record_drop(interface, data, f"dropped by {reason}")

    # Power.

    @property
    def is_running(self) -> bool:
        """Whether the host is neither paused nor switched off."""
        return self.gate is None

    @property
    def is_off(self) -> bool:
        """Whether the host is switched off."""
        return self.gate is not None and self.gate.is_off

    def pause(self) -> Fault:
        """Stop the stack: no timer runs, nothing is sent, packets wait at the interfaces.

        Returns:
          the fault, which ends by :meth:`resume` or as any other: ``with host.pause():``.
        """
        if self.gate is None:
            self.gate = _PowerGate(is_off=False)
            self.scheduler.pause()
            self._power_fault = Fault(self.network, f"pause {self.name}", self.resume)
        assert self._power_fault is not None
        return self._power_fault

    def resume(self) -> None:
        """Go on after :meth:`pause`: first what waited at the interfaces, then late timers."""
        gate = self.gate
        if gate is None or gate.is_off:
            return
        self.gate = None
        for interface, data in gate.waiting:
            interface.deliver(data)
        self.scheduler.resume()
        self._end_power_fault()

    def crash(self) -> Fault:
        """Cut the power: nothing leaves any more, and everything the stack knew is lost.

        Returns:
          the fault; when it ends the host is switched on again, unless :meth:`restart` has been
          called meanwhile.
        """
        if self.is_off and self._power_fault is not None:
            return self._power_fault
        self._past_traces = self.traces[-HISTORY_LIMIT:]
        self.network.note(self.name, "switched off")
        self.gate = _PowerGate(is_off=True)
        self._end_power_fault()  # a pause that the crash ends
        self._power_fault = Fault(self.network, f"crash {self.name}", self._switch_on)
        self.scheduler.switch_off()
        self.network.forget_dirty(self)
        for interface in self.interfaces.values():
            interface.restart()
        return self._power_fault

    def _end_power_fault(self) -> None:
        if self._power_fault is not None:
            self._power_fault.end()

    def _switch_on(self) -> None:
        if self.is_off:
            self.restart()

    def restart(self) -> None:
        """Switch on again after :meth:`crash`, with a new stack that remembers nothing."""
        if not self.is_off:
            raise RuntimeError(f"host {self.name!r} is not switched off")
        self.network.note(self.name, "switched on")
        self.routes.forget_path_mtus()
        self._boot()
        self.gate = None
        self._end_power_fault()

    def __repr__(self) -> str:
        kind = "Router" if self.forwarding else "Host"
        shown = ", ".join(map(str, self.addresses)) or "no link"
        state = "" if self.is_running else " off" if self.is_off else " paused"
        return f"<{kind} {self.name} {shown}{state}>"
