# Scripts on virtual hosts: each unchanged, all in one Trio run, on one network.
#
#   _cli             wsock tdimon --host ADDRESS SCRIPT ...
# > _script_hosts    network, hosts, scripts            THIS FILE
#   virtual          hosts, links, packets
#
# How it works (ruling B11): a script's own ``trio.run(main)`` cannot start a second run inside this
# one, and a second thread would have a second clock. So for the time of the command ``trio.run``
# awaits in the run that is there: each script runs in a task of its host, in a greenback portal.
#
# Rule 1: scripts start in the order given, each when the network is quiet again, so that a server
#         listens before its client calls.
# Rule 2: time is virtual. The run ends when all scripts have; or when the last one has and nothing
#         moves any more: a server that serves for ever is cancelled then. One that fails ends all.
"""Running several scripts on the hosts of a virtual network."""

from __future__ import annotations

import contextlib
import ipaddress
import runpy
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unittest import mock

import trio
import trio.testing

from wsock.tdimon.packets import comment_packets
from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from wsock.virtual import Host

__all__ = ["Scripts"]

#: The test network of the source notes: one full segment is 1,452 bytes.
_MTU: Final = 1492


class _Script(NamedTuple):
    host: Host
    words: list[str]  # path and arguments
    folder: str  # where it imports from first


class Scripts:
    """Scripts with the addresses of their hosts, ready to run.

    Args:
      scripts: pairs of an address and a command line: ``("10.0.0.5", "server.py 7000")``. The
        host's name is the script's, without suffix.
      profile: of the hosts' TCP: "rfc", "linux" or "windows2000".

    Raises:
      ValueError: an address that is none, or one twice; a script that is no file.
      ModuleNotFoundError: the extra "win32" (greenback) is not installed.
    """

    def __init__(self, scripts: Sequence[tuple[str, str]], profile: str = "windows2000") -> None:
        import greenback  # of the extra win32; whoever gets here needs it

        self._await: Callable[[Awaitable[Any]], Any] = greenback.await_
        self._ensure_portal = greenback.ensure_portal
        self.network = Network()
        interfaces = [_interface(address) for address, _ in scripts]
        if len({one.ip for one in interfaces}) != len(interfaces):
            raise ValueError("two hosts have the same address")
        prefix = str(interfaces[0].network)
        segment = self.network.segment("lan", prefix, mtu=_MTU)
        self._scripts: list[_Script] = []
        for interface, (_, line) in zip(interfaces, scripts, strict=True):
            words = shlex.split(line)
            if not words or not Path(words[0]).is_file():
                raise ValueError(f"there is no script {line!r}")
            name = self._free_name(Path(words[0]).stem)
            host = self.network.host(name, segment, str(interface.ip), profile=profile)
            folder = str(Path(words[0]).resolve().parent)
            self._scripts.append(_Script(host, words, folder))  # type: ignore[arg-type]
        self._codes: dict[int, int] = {}

    def _free_name(self, stem: str) -> str:
        name, number = stem, 2
        while name in self.network.hosts:
            name, number = f"{stem}-{number}", number + 1
        return name

    def run(self, pcap: str | None = None) -> int:
        """Run them all; return the first exit code that is not 0, in the order of the scripts.

        Args:
          pcap: a file for what crossed the network: ``.pcapng`` has the TDI rows as comments.
        """
        hosts = [script.host for script in self._scripts]
        with contextlib.ExitStack() as stack:
            capture = self.network.capture(*hosts, merged=True) if pcap else None
            if capture is not None:
                stack.enter_context(comment_packets(capture, self.network))
            stack.enter_context(mock.patch.object(trio, "run", self._run_inside))
            stack.enter_context(mock.patch.object(sys, "argv", sys.argv))
            stack.enter_context(mock.patch.object(sys, "path", sys.path.copy()))
            _outer_run(self.network, self._main)
        if capture is not None and pcap is not None:
            capture.save(pcap)
        return next((code for _, code in sorted(self._codes.items()) if code), 0)

    def _run_inside(self, fn: Callable[..., Awaitable[Any]], *args: object, **_: object) -> Any:  # noqa: ANN401
        """Stand in for ``trio.run``: await in this run; its clock and instruments hold."""
        return self._await(fn(*args))

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            for number, script in enumerate(self._scripts):
                script.host.start_soon(nursery, self._one, number, script, nursery)
                await self.network.settle()

    async def _one(self, number: int, script: _Script, all_of_them: trio.Nursery) -> None:
        await self._ensure_portal()
        sys.argv = list(script.words)
        sys.path.insert(0, script.folder)
        try:
            runpy.run_path(script.words[0], run_name="__main__")
        except SystemExit as leaving:
            code = leaving.code
            if code is not None and not isinstance(code, int):
                print(code, file=sys.stderr)
            self._codes[number] = code if isinstance(code, int) else int(code is not None)
        except Exception:  # the script's own: shown as Python shows it
            sys.excepthook(*sys.exc_info())
            self._codes[number] = 1
            all_of_them.cancel_scope.cancel()  # the others would wait for it for ever
        if number == len(self._scripts) - 1:
            await self.network.settle()
            all_of_them.cancel_scope.cancel()


def _interface(address: str) -> ipaddress.IPv4Interface:
    try:
        return ipaddress.IPv4Interface(address if "/" in address else f"{address}/24")
    except ValueError as error:
        raise ValueError(f"{address!r} is no IPv4 address") from error


#: Kept from before the command replaces it.
_trio_run: Final = trio.run


def _outer_run(network: Network, main: Callable[[], Awaitable[None]]) -> None:
    """Run the network's own Trio run, the one in which all scripts are."""
    clock = trio.testing.MockClock()

    async def attached() -> None:
        async with network.attach():
            await main()

    _trio_run(attached, clock=clock)
