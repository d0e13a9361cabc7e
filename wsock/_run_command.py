# wsock run: unchanged scripts on the hosts of a virtual network.
#
#   _cli             the command's name
# > _run_command     words, options, exit codes      THIS FILE
#   _wire_options    conditions of the wires
#   _script_hosts    network, hosts, scripts
#
# Rule: as with ``python script.py``, the options of the command come first; from the first --host
# on each word belongs to a script, until the next --host.
"""The ``wsock run`` command."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Final

import click

from wsock._wire_options import TIME, wire_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsock.virtual.capture import Capture

__all__ = ["run"]

_INTERRUPTED: Final = 130


def _programs(words: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """Cut the words at each --host: address and command line of every script."""
    found: list[tuple[str, list[str]]] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--host" or word.startswith("--host="):
            _, given, address = word.partition("=")
            found.append((address if given else next(waiting, ""), []))
        elif found:
            found[-1][1].append(word)
        else:
            raise click.UsageError(f"{word!r} stands before the first --host")
    if not found:
        raise click.UsageError("which scripts? See: wsock run --help")
    for address, line in found:
        if not address or not line:
            raise click.UsageError("after --host come an address and a script")
    return found


class _Run(click.Command):
    """Options come before the first --host; what follows belongs to the scripts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = [n for n, word in enumerate(args) if word == "--host" or word.startswith("--host=")]
        if at:
            args = [*args[: at[0]], "--", *args[at[0] :]]
            own = {option for parameter in self.params for option in parameter.opts}
            for word in args[at[0] + 1 :]:
                if word in own and word.startswith("--"):
                    click.echo(f"wsock run: {word} is given to the script; options of wsock run "
                               "come before the first --host", err=True)  # fmt: skip
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "--host ADDRESS SCRIPT [ARGUMENTS]", "[--host ...]"]


@click.command(cls=_Run)
@click.option(
    "--profile",
    type=click.Choice(["windows2000", "linux", "rfc"]),
    default="windows2000",
    show_default=True,
    help="Whose TCP/IP the hosts have.",
)
@wire_options(latency="1ms")
@click.option("--ladder", is_flag=True, help="Draw the packets at the end.")
@click.option(
    "--pcap",
    metavar="FILE",
    help="Save for Wireshark, as pcapng (.pcap: as pcap); - is stdout.",
)
@click.option(
    "--at",
    "place",
    metavar="HOST",
    help="Where packets are watched: name or address.  [default: the last host]",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Virtual seconds per second; without it waiting costs no time.",
)
@click.option("--limit", type=TIME, help="Stop after so many virtual seconds (exit code 124).")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def run(
    profile: str, seed: str, ladder: bool, pcap: str | None, place: str | None,
    rate: float | None, limit: float | None, words: tuple[str, ...], **conditions: float | None,
) -> None:  # fmt: skip
    """Run unchanged scripts on the hosts of a virtual network, in virtual time.

    \b
      wsock run --host 10.0.0.5 server.py 7000 --host 10.0.0.3 client.py
      wsock run --latency 200ms --loss 5% --ladder --host 10.0.0.5 server.py --host ...
      wsock run --pcap run.pcapng --host 10.0.0.5 -m package.server --host 10.0.0.3 client.py

    A script may use wsock, wsock.win32 or plain Trio: its trio.run or win32.run finds the network
    that is there. Scripts start in the order given, each when nothing moves any more: the server
    first. Each host is called as its script ("server" for server.py), and found by that name.
    A script with a --host option of its own is given as one word: "server.py --host 0.0.0.0".
    Hosts of one /24 share a LAN (10.0.0.5/16 says otherwise); LANs are joined by a router.

    The run ends with the last script; servers before it are stopped then. Exit code: the first
    script's that is not 0; 1 for an exception, or when nothing can happen any more; 124 at the
    limit; 130 for Ctrl-C. Files are written in each case.
    """
    if importlib.util.find_spec("greenback") is None:
        raise click.ClickException('wsock run needs one more package: pip install "wsock[win32]"')
    from wsock._script_hosts import Scripts

    given = {name: value for name, value in conditions.items() if value is not None}
    try:
        scripts = Scripts(_programs(words), profile, seed=seed, **given)
        capture = scripts.capture(place) if ladder or pcap else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with _showing(capture, pcap, ladder=ladder):
        try:
            code = scripts.run(rate=rate, limit=limit)
        except KeyboardInterrupt:
            code = _INTERRUPTED
    sys.exit(code)


@contextlib.contextmanager
def _showing(capture: Capture | None, pcap: str | None, *, ladder: bool) -> Iterator[None]:
    """Save and draw at the end what was captured; a file that cannot be written is known before."""
    with contextlib.ExitStack() as stack:
        file = None
        if pcap is not None:
            try:
                file = stack.enter_context(click.open_file(pcap, "wb"))
            except OSError as error:
                raise click.ClickException(f"cannot write: {error}") from error
        yield
        if capture is None:
            return
        if file is not None:
            file.write(capture.pcap() if str(pcap).endswith(".pcap") else capture.pcapng())
        if ladder:
            click.echo(capture.ladder(), err=pcap == "-")
