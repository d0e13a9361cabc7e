# wsock tdimon: the monitor on the command line.
#
# > cli      options, exit codes                 THIS FILE: the only one here that knows click
#   screen   rows on a terminal or in a pipe     the only one that knows rich
#   running  the program under the monitor
#   Trace    everything else
#
# Rule 1: the program under the monitor keeps its exit code, its traceback and its Ctrl-C; the trace
#         is saved in each case. A file that cannot be written is an error of its own (exit code 1).
# Rule 2: in a pipe: plain lines, no colour, and a reader that goes away ends it quietly.
"""The ``wsock tdimon`` command."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from wsock._wire_options import CONDITIONS, wire_options
from wsock.tdimon import FormatError, Trace, load, watch
from wsock.tdimon.compare import compare
from wsock.tdimon.formats import rows_of
from wsock.tdimon.remote import follow
from wsock.tdimon.rows import PROFILES
from wsock.tdimon.running import run_program
from wsock.tdimon.screen import Screen, Stream
from wsock.tdimon.selection import FIELDS, PRESETS, Selection
from wsock.tdimon.statistics import summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wsock.tdi.trace import TraceRecord
    from wsock.tdimon.diagram import Diagram

__all__ = ["tdimon"]


#: What --diagram and draw can write, by the ending of the file's name.
_PICTURES = (".svg", ".mmd", ".mermaid", ".txt")


def _picture(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # noqa: ANN401
    """Refuse names of pictures that cannot be drawn, before anything runs."""
    for name in [value] if isinstance(value, str) else value or ():
        if Path(name).suffix not in ("", *_PICTURES):  # without one it is text: /dev/stdout
            raise click.BadParameter(f"{name!r}: expected {', '.join(_PICTURES)}")
    return value


class _RunByDefault(click.Group):
    """``wsock tdimon script.py`` and ``wsock tdimon -m module`` mean the command ``run``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, invoke_without_command=True)
@click.pass_context
def tdimon(ctx: click.Context) -> None:
    """Watch every TDI request and event that a program's sockets cause.

    \b
    Run a script, or a module, under the monitor:
      wsock tdimon echo_server.py 7000
      wsock tdimon -m examples.echo message 7000
      wsock tdimon --filter "tdi.request == TDI_SEND" --save run.jsonl echo.py
      wsock tdimon --filter @data --diagram run.svg echo.py
      wsock tdimon --live --highlight "result=WSA*" -m examples.echo message
    \b
    Run scripts on the hosts of a virtual network, the client last:
      wsock tdimon --host 10.0.0.5 server.py --host 10.0.0.3 client.py --pcap all.pcapng
    \b
    Watch a program that is running and allows it (with tdimon.allow(PATH)):
      wsock tdimon attach /run/user/1000/server.tdimon
    \b
    Look at what was saved:
      wsock tdimon show run.jsonl --profile tdimon-2003
      wsock tdimon show run.jsonl --profile events --filter "ws.socket == 3"
      wsock tdimon draw run.jsonl run.svg
      wsock tdimon stats run.jsonl
      wsock tdimon diff monday.jsonl tuesday.jsonl
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select rows; it gets ``selection`` and ``profile``."""

    @functools.wraps(command)
    def selecting(
        expression: str,
        include: tuple[str, ...],
        exclude: tuple[str, ...],
        highlight: tuple[str, ...],
        **rest: object,
    ) -> None:
        try:
            chosen = Selection(expression, include=include, exclude=exclude, highlight=highlight)
        except ValueError as error:  # FilterSyntaxError is one
            raise click.UsageError(str(error)) from error
        command(selection=chosen, **rest)

    options = [
        click.option("-f", "--filter", "expression", default="", metavar="EXPRESSION",
                     help="Show what passes; @name is a preset. See: wsock tdimon fields."),
        click.option("-i", "--include", multiple=True, metavar="[COLUMN=]WILDCARD",
                     help="Show rows whose column, or any, matches; may be repeated."),
        click.option("-x", "--exclude", multiple=True, metavar="[COLUMN=]WILDCARD",
                     help="Hide rows whose column matches; wins over --include."),
        click.option("-l", "--highlight", multiple=True, metavar="[COLUMN=]WILDCARD",
                     help="Mark rows whose column matches."),
        click.option("-p", "--profile", type=click.Choice(list(PROFILES)), default="all",
                     show_default=True, help="Which rows, and what they are called."),
    ]  # fmt: skip
    wrapped: Callable[..., None] = selecting
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


_unfold = click.option(
    "--unfold", is_flag=True, help="Each place of a listening socket's pool in rows of its own."
)


@tdimon.command(context_settings={"allow_interspersed_args": False})
@click.option("-m", "--module", is_flag=True, help="PROGRAM is a module, as for python -m.")
@_selecting
@_unfold
@click.option("-s", "--save", "saves", multiple=True, metavar="FILE",
              help="Save the trace when the program has ended: .jsonl, .tsv or .txt.")  # fmt: skip
@click.option("-d", "--diagram", "diagrams", multiple=True, metavar="FILE", callback=_picture,
              help="Draw what the filter lets pass: .svg, .mmd or .txt.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write the rows there, not to the screen.")
@click.option("-q", "--quiet", is_flag=True, help="Show no rows while the program runs.")
@click.option("--live", is_flag=True, help="A live table: space pauses, arrows scroll, / filters.")
@click.option("--stats", is_flag=True, help="Print figures at the end.")
@click.option("--capacity", default=100_000, show_default=True, type=click.IntRange(1),
              help="How many records are kept; older ones are dropped and counted.")  # fmt: skip
@click.option("--payload", default=0, type=click.IntRange(0), metavar="BYTES",
              help="Keep so many bytes of what each call moves; none by default.")  # fmt: skip
@click.option("--host", "hosts", multiple=True, nargs=2, metavar="ADDRESS SCRIPT",
              help="Run SCRIPT on a virtual host; repeat it, the client last.")  # fmt: skip
@click.option("--pcap", metavar="FILE", help="With --host: save the packets (.pcapng, .pcap).")
@click.option("--network", type=click.Choice(["windows2000", "linux", "rfc"]),
              default="windows2000", show_default=True,
              help="With --host: whose TCP the hosts have.")  # fmt: skip
@wire_options(latency="0", when="With --host: ")
@click.argument("program", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    module: bool,
    selection: Selection,
    profile: str,
    unfold: bool,
    saves: tuple[str, ...],
    diagrams: tuple[str, ...],
    output: str | None,
    quiet: bool,
    live: bool,
    stats: bool,
    capacity: int,
    payload: int,
    hosts: tuple[tuple[str, str], ...],
    pcap: str | None,
    network: str,
    program: str | None,
    arguments: tuple[str, ...],
    **wires: Any,  # noqa: ANN401  (seed and conditions, each with a type of its own)
) -> None:
    """Run PROGRAM (a script; with -m a module) under the monitor.

    Its arguments follow; its exit code is kept. With --host scripts run on the hosts of a virtual
    network instead, in virtual time: --host 10.0.0.5 "server.py 7000" --host 10.0.0.3 client.py
    """
    if hosts:
        start = _on_hosts(ctx, program, hosts, pcap, network, wires)
    else:
        start = _program(ctx, program, arguments, module)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_opened(output)) if output else None
        with (
            watch(capacity=capacity, payload_bytes=payload) as trace,
            _saving_at_sigterm(lambda: _save(trace, saves)),
        ):
            shown = None
            if not quiet:
                shown = _view(live and file is None)(
                    trace, selection, profile, file, with_hosts=bool(hosts), folding=not unfold
                )
                stack.enter_context(shown)
            code = start()
    if shown is not None and shown.failure is not None:
        click.echo(f"Error: the rows could not be written: {shown.failure}", err=True)
        code = code or 1
    _save(trace, saves)
    for name in diagrams:
        _draw(
            lambda: trace.diagram(selection=selection, profile=profile, collapse=not unfold), name
        )
    if stats:
        _print_statistics(trace, trace.records())
    if trace.lost:
        click.echo(f"{trace.lost} records were dropped; see --capacity", err=True)
    sys.exit(code)


def _on_hosts(
    ctx: click.Context,
    program: str | None,
    hosts: tuple[tuple[str, str], ...],
    pcap: str | None,
    network: str,
    wires: dict[str, Any],
) -> Callable[[], int]:
    """Return what runs the scripts, and gives the exit code."""
    if program is not None:
        raise click.UsageError("with --host each script has a host; give one to PROGRAM too")
    conditions = {name: wires[name] for name in CONDITIONS if wires[name] is not None}
    try:
        # The command around this one brings it: this folder knows no virtual network.
        scripts = ctx.obj["scripts"](hosts, network, wires["seed"], conditions)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return functools.partial(_run_scripts, scripts, pcap)


def _program(
    ctx: click.Context, program: str | None, arguments: tuple[str, ...], module: bool
) -> Callable[[], int]:
    """Return what runs the program, and gives the exit code."""
    for name in ("pcap", "network", "seed", *CONDITIONS):
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} goes with --host: the machine's network is as it is")
    if program is None:
        raise click.UsageError("which program? See: wsock tdimon --help")
    if not module and not Path(program).is_file():
        raise click.UsageError(f"there is no script {program!r}; with -m it is a module")
    return functools.partial(run_program, program, arguments, module=module)


def _view(live: bool) -> type[Screen | Stream]:
    """A live table, or lines; lines too where there is no terminal to draw a table on."""
    if live and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return Screen
    # The program's lines and the rows share standard output: each line is written as a whole.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    return Stream


def _run_scripts(scripts: Any, pcap: str | None) -> int:  # noqa: ANN401
    try:
        code: int = scripts.run(pcap)
    except KeyboardInterrupt:
        return 130
    return code


@contextlib.contextmanager
def _opened(name: str) -> Iterator[IO[str]]:
    try:
        file = Path(name).open("w", encoding="utf-8", newline="\n")  # noqa: SIM115
    except OSError as error:
        raise click.ClickException(f"cannot write: {error}") from error
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # who wrote has flushed, and knows what went wrong
            file.close()


@tdimon.command()
@click.argument("path")
@_selecting
@_unfold
@click.option("-s", "--save", "saves", multiple=True, metavar="FILE",
              help="Save the trace at the end, also by SIGTERM: .jsonl, .tsv or .txt.")  # fmt: skip
@click.option("--live", is_flag=True, help="A live table: space pauses, arrows scroll, / filters.")
def attach(
    path: str,
    selection: Selection,
    profile: str,
    unfold: bool,
    saves: tuple[str, ...],
    live: bool,
) -> None:
    """Watch a running program through the Unix socket PATH, until it ends or Ctrl-C.

    The program must have allowed it: with tdimon.allow(PATH).
    """
    trace = Trace()
    try:
        records = follow(path)
        with _saving_at_sigterm(lambda: _save(trace, saves)):
            click.echo(f"watching the program behind {path}; Ctrl-C ends it", err=True)
            shown = _view(live)(trace, selection, profile, folding=not unfold)
            with contextlib.suppress(KeyboardInterrupt), shown:
                for record in records:
                    trace.ring.refill([record])
    except (OSError, ValueError) as error:
        raise click.ClickException(f"cannot attach: {error}") from error
    _save(trace, saves)


def _save(trace: Trace, names: tuple[str, ...]) -> None:
    try:
        for name in names:
            trace.save(name)
    except OSError as error:
        raise click.ClickException(f"cannot write: {error}") from error


@contextlib.contextmanager
def _saving_at_sigterm(save: Callable[[], None]) -> Iterator[None]:
    """Save before SIGTERM ends this process, as it ends a program that does not catch it.

    A program that catches SIGTERM puts its own handler over this one, and ends as it likes.
    """

    def handler(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        try:
            save()
        finally:
            os.kill(os.getpid(), number)

    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # whoever started this wants it otherwise
        return
    signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _loaded(name: str) -> Trace:
    try:
        return load(name)
    except FormatError as error:
        raise click.ClickException(f"{name}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"cannot read: {error}") from error


@tdimon.command()
@click.argument("file")
@_selecting
@_unfold
@click.option("--host", help="Rows of this host alone.")
def show(file: str, selection: Selection, profile: str, unfold: bool, host: str | None) -> None:
    """Print the rows of a saved trace."""
    trace = _loaded(file)
    if host is not None and host not in (trace.hosts() or [host]):
        raise click.UsageError(f"there is no host {host!r}; there are {', '.join(trace.hosts())}")
    several = host is None and len(trace.hosts()) > 1
    shown = Stream(trace, selection, profile, host=host, with_hosts=several, folding=not unfold)
    try:
        shown.refresh()
    except BrokenPipeError:
        return
    finally:
        shown.close()


@tdimon.command()
@click.argument("file")
@click.argument("picture", required=False, callback=_picture)
@_selecting
@_unfold
@click.option("--host", "hosts", multiple=True, help="Which host; at most two.")
@click.option("--title", default="", help="A heading for the picture.")
def draw(
    file: str,
    picture: str | None,
    selection: Selection,
    profile: str,
    unfold: bool,
    hosts: tuple[str, ...],
    title: str,
) -> None:
    """Draw a saved trace as a sequence diagram: PICTURE is .svg, .mmd or .txt; without it, text."""
    draw = functools.partial(
        _loaded(file).diagram, *hosts, selection=selection, profile=profile, collapse=not unfold
    )
    if picture is None:
        click.echo(_text_of(draw, ".txt"), nl=False)
        return
    _draw(draw, picture, title)


def _chosen(trace: Trace, selection: Selection, profile: str) -> list[TraceRecord]:
    return [
        record
        for record, row in rows_of(trace.records(), profile)
        if record is not None and selection.shows(record, row)
    ]


def _text_of(draw: Callable[[], Diagram], suffix: str, title: str = "") -> str:
    try:
        diagram = draw()
    except ValueError as error:
        raise click.UsageError(f"{error} (with --host)") from error
    if suffix == ".svg":
        return diagram.to_svg(title)
    return diagram.to_mermaid() if suffix in (".mmd", ".mermaid") else diagram.to_text()


def _draw(draw: Callable[[], Diagram], name: str, title: str = "") -> None:
    text = _text_of(draw, Path(name).suffix, title)
    try:
        Path(name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise click.ClickException(f"cannot write: {error}") from error


@tdimon.command()
@click.argument("file")
@_selecting
def stats(file: str, selection: Selection, profile: str) -> None:
    """Print figures: requests, failures, bytes, times, how full the pools were."""
    trace = _loaded(file)
    _print_statistics(trace, _chosen(trace, selection, profile))


def _print_statistics(trace: Trace, records: list[TraceRecord]) -> None:
    for line in summarise(records, trace.lost).lines():
        click.echo(line)


@tdimon.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "-p",
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="plain",
    show_default=True,
    help="Which rows and columns count.",
)
@click.option("--exact", is_flag=True, help="Compare contexts, addresses and ports as they are.")
def diff(first: str, second: str, profile: str, exact: bool) -> None:
    """Compare two saved traces, host by host: the first difference with its surroundings.

    Contexts, addresses and ports are compared by their roles. Exit code 1: they differ.
    """
    traces = [_loaded(name).records() for name in (first, second)]
    found = compare(traces[0], traces[1], profile=profile, exact=exact)
    for one in found:
        click.echo(str(one))
    sys.exit(any(one.at is not None for one in found))


@tdimon.command()
def fields() -> None:
    """List the fields of filter expressions, and the presets."""
    click.echo("Fields (Wireshark's grammar: == != < > contains matches in {a, b} and or not):")
    for name, field in FIELDS.items():
        click.echo(f"  {name:<18} {field.type.value:<14} {field.about}")
    click.echo("\nPresets:")
    for name, text in PRESETS.items():
        click.echo(f"  @{name:<17} {text}")
    click.echo("\nProfiles:")
    for name, profile in PROFILES.items():
        click.echo(f"  {name:<18} {profile.about}")
