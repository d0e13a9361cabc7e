# Scripts on virtual hosts: each unchanged, all in one Trio run, on one network.
#
#   _run_command     wsock run --host ADDRESS SCRIPT ...
#   _cli             wsock tdimon --host ADDRESS SCRIPT ...
# > _script_hosts    network, hosts, order, end      THIS FILE
#   _script_process  what each script would have in a process of its own
#   virtual          hosts, links, packets
#
# Rule 1: scripts start in the order given, each when the network is quiet again, so that a server
#         listens before its client calls.
# Rule 2: the run ends when all scripts have; or when the last one has and nothing moves any more: a
#         server that serves for ever is cancelled then. One that fails ends all.
# Rule 3: in virtual time nobody waits in vain: when nothing can happen any more, the run ends and
#         says who was left waiting.
"""Running several scripts on the hosts of a virtual network."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio
from trio.testing import MockClock, active_thread_count, wait_all_tasks_blocked

from wsock._script_process import Process, several_processes, trio_run
from wsock.tdimon.packets import comment_packets
from wsock.virtual import Network
from wsock.virtual.netstat import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock.virtual import Host
    from wsock.virtual.capture import Capture
    from wsock.virtual.media import Segment

__all__ = ["Scripts"]

#: The test network of the source notes: one full segment is 1,452 bytes.
MTU: Final = 1492
#: Exit codes: those of ``timeout`` and of shells.
LIMIT_REACHED: Final = 124
INTERRUPTED: Final = 130
#: Longer than any timer of TCP: what is due later is as good as never.
_NEVER_S: Final = 1e9
#: Real time in which a script that has just been started comes to its first wait.
_STARTING_S: Final = 0.01


class _Script(NamedTuple):
    host: Host
    process: Process


class Scripts:
    """Scripts with the addresses of their hosts, ready to run.

    Hosts of one prefix share a LAN; several LANs are joined by a router. A host is called as its
    script, without suffix: others find it by that name.

    Args:
      scripts: pairs of an address (``"10.0.0.5"``, ``"10.0.0.5/16"``; default a /24) and a command
        line: ``"server.py 7000"``, or its words in a list; a first word ``-m`` is Python's.
      profile: of the hosts' TCP: "rfc", "linux" or "windows2000".
      seed: of all chance in the network.
      conditions: of each LAN: latency, loss and so on, as for ``Network.segment``.

    Raises:
      ValueError: an address that is none, or one twice; a script that is no file; a condition
        that cannot be.
      ModuleNotFoundError: the extra "win32" (greenback) is not installed.
    """

    def __init__(
        self,
        scripts: Sequence[tuple[str, str | Sequence[str]]],
        profile: str = "windows2000",
        *,
        seed: int | str = 0,
        **conditions: Any,  # noqa: ANN401
    ) -> None:
        self.network = Network(seed)
        self._conditions: dict[str, Any] = {"mtu": MTU, **conditions}
        self._segments: dict[ipaddress.IPv4Network, Segment] = {}
        self._scripts: list[_Script] = []
        interfaces = [_interface(address) for address, _ in scripts]
        if len({one.ip for one in interfaces}) != len(interfaces):
            raise ValueError("two hosts have the same address")
        for interface, (_, line) in zip(interfaces, scripts, strict=True):
            process = _process(line)
            segment = self._segment(interface.network)
            name = self._free_name(process.name)
            host = self.network.host(name, segment, str(interface.ip), profile=profile)
            self._scripts.append(_Script(host, process))  # type: ignore[arg-type]
        if len(self._segments) > 1:
            self._join_lans()

    def _segment(self, prefix: ipaddress.IPv4Network) -> Segment:
        if prefix not in self._segments:
            name = "lan" if not self._segments else f"lan-{len(self._segments) + 1}"
            made = self.network.segment(name, str(prefix), **self._conditions)
            self._segments[prefix] = made
        return self._segments[prefix]

    def _join_lans(self) -> None:
        router = self.network.router(self._free_name("router"))
        for segment in self._segments.values():
            self.network.join(router, segment)
        self.network.fill_routes()

    def _free_name(self, stem: str) -> str:
        name, number = stem, 2
        while name in self.network.hosts:
            name, number = f"{stem}-{number}", number + 1
        return name

    @property
    def hosts(self) -> list[Host]:
        """The hosts of the scripts, in their order."""
        return [script.host for script in self._scripts]

    def capture(self, place: str | None = None) -> Capture:
        """Begin to watch one host, as tcpdump on it would.

        Args:
          place: a host's name or one of its addresses; default the last script's host.

        Raises:
          ValueError: there is no such host.
        """
        if place is None:
            return self.network.capture(self.hosts[-1])
        for host in self.network.hosts.values():
            if place == host.name or place in [wire.address_text for wire in host.wires]:
                return self.network.capture(host)
        raise ValueError(f"there is no host {place!r}; there are {', '.join(self.network.hosts)}")

    def run(
        self, pcap: str | None = None, *, rate: float | None = None, limit: float | None = None
    ) -> int:
        """Run them all.

        Args:
          pcap: a file for what crossed the network at all hosts: ``.pcapng`` has the TDI rows as
            comments. (:meth:`capture` watches one.)
          rate: None for virtual time; else virtual seconds per second.
          limit: end after so many virtual seconds.

        Returns:
          the first exit code that is not 0, in the order of the scripts; 1 when nothing could
          happen any more and the last one had not ended; 124 at the limit.

        Raises:
          KeyboardInterrupt: Ctrl-C. The file was written.
          OSError: the file cannot be written.
        """
        with contextlib.ExitStack() as stack:
            if pcap is not None:
                capture = self.network.capture(*self.hosts, merged=True)
                stack.callback(capture.save, pcap)
                stack.enter_context(comment_packets(capture, self.network))
            instrument = stack.enter_context(several_processes())
            clock = MockClock() if rate is None else MockClock(rate=rate)
            try:
                end = trio_run(self._attached, limit, clock=clock, instruments=[instrument])
            except BaseExceptionGroup as group:
                if group.split(KeyboardInterrupt)[1] is None:
                    raise KeyboardInterrupt from group
                raise
        self._tell_chance()
        codes = [script.process.code for script in self._scripts]
        return next((code for code in codes if code), end)

    def _tell_chance(self) -> None:
        """Say what chance did, where it was asked for: in a short run that may be nothing."""
        traffic = self.network.traffic
        outcomes = (
            ("loss", traffic.lost, "lost"),
            ("duplicate", traffic.duplicated, "doubled"),
            ("reorder", traffic.reordered, "overtaken"),
        )
        asked = [one for one in outcomes if self._conditions.get(one[0])]
        if not asked:
            return
        told = ", ".join(f"{count or 'none'} {word}" for _, count, word in asked)
        hint = "" if all(count for _, count, _ in asked) else "; another --seed has other chances"
        seed = self.network.seed
        print(f"wsock: seed {seed}: of {traffic.at_risk} packets: {told}{hint}", file=sys.stderr)

    async def _attached(self, limit: float | None) -> int:
        async with self.network.attach():
            with trio.CancelScope() as scope:
                if limit is not None:
                    scope.deadline = trio.current_time() + limit
                return await self._main()
        print(f"wsock: stopped at the limit of {limit:g} s", file=sys.stderr)
        return LIMIT_REACHED

    async def _main(self) -> int:
        end = 0
        await self._until_quiet()  # Trio's own tasks wait, too
        idle_reads = _waiting_for_the_world()
        async with trio.open_nursery() as nursery:
            for script in self._scripts:
                script.host.start_soon(nursery, self._one, script, nursery)
                await self._until_quiet()
            if _is_virtual():
                await self._until_stuck(idle_reads, nursery)
                end = int(not self._scripts[-1].process.ended)
        return end

    async def _until_quiet(self) -> None:
        if not _is_virtual():
            await wait_all_tasks_blocked(_STARTING_S)
        await self.network.settle()

    async def _one(self, script: _Script, all_of_them: trio.Nursery) -> None:
        if await script.process.run() is not None:
            all_of_them.cancel_scope.cancel()  # the others would wait for it for ever
        elif script is self._scripts[-1]:
            await self._until_quiet()
            all_of_them.cancel_scope.cancel()

    async def _until_stuck(self, idle_reads: int, nursery: trio.Nursery) -> None:
        """Wait until nothing can happen any more; say who waits, and end them."""
        while True:
            await self.network.settle(_NEVER_S)
            if active_thread_count() or _waiting_for_the_world() > idle_reads:
                return  # it may do something, and keeps its own time
            pause = trio.lowlevel.current_statistics().seconds_to_next_deadline
            if pause == math.inf:
                break
            await trio.sleep(pause)
        left = [script for script in self._scripts if not script.process.ended]
        if left and left[-1] is self._scripts[-1]:
            self._tell_stuck(left)
        nursery.cancel_scope.cancel()

    def _tell_stuck(self, left: list[_Script]) -> None:
        print(
            f"wsock: at {self.network.time:.6f} s nothing can happen any more, and "
            f"{left[-1].host.name} has not ended",
            file=sys.stderr,
        )
        for script in left:
            table = as_text(script.host.netstat()).replace("\n", "\n  ")
            print(f"{script.host.name}:\n  {table}", file=sys.stderr)


def _is_virtual() -> bool:
    clock = trio.lowlevel.current_clock()
    return isinstance(clock, MockClock) and not clock.rate


def _waiting_for_the_world() -> int:
    """Return how many tasks wait for a real descriptor; 0 where Trio does not tell."""
    statistics = trio.lowlevel.current_statistics().io_statistics
    return int(getattr(statistics, "tasks_waiting_read", 0))


def _process(line: str | Sequence[str]) -> Process:
    words = shlex.split(line) if isinstance(line, str) else list(line)
    if len(words) == 1 and not Path(words[0]).is_file():
        words = shlex.split(words[0])  # "server.py 7000", as one word
    if words[:1] == ["-m"]:
        return Process(words[1:], module=True)
    return Process(words)


def _interface(address: str) -> ipaddress.IPv4Interface:
    try:
        return ipaddress.IPv4Interface(address if "/" in address else f"{address}/24")
    except ValueError as error:
        raise ValueError(f"{address!r} is no IPv4 address") from error
