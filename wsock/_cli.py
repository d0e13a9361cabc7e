# The wsock command: what students, porters and operators meet first.
#
#   __main__      says what is missing when the extra "cli" is
# > _cli          demo, examples, scenario, doctor, explain      THIS FILE
#   _run_command  run                                  loaded when it is asked for
#   tdimon.cli    tdimon                               loaded when it is asked for
#
# Rule 1: what is printed is ASCII, so that every console shows it; nothing here needs the
#         repository: the examples are in the wheel.
# Rule 2: exit code 2 (click.UsageError) for what the command was asked wrongly: an option, a name
#         or a script that does not exist. 1 (ClickException) for what is asked rightly and cannot
#         be done: a file, a missing package, a machine that does not let it. So in every command.
"""The ``wsock`` command line."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import platform
import runpy
import shutil
import socket
import sys
import textwrap
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wsock._script_hosts import Scripts
    from wsock.virtual.scenarios import Scenario

__all__ = ["cli"]

#: Extra: the modules that it brings and what they are for.
_EXTRAS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "cli": (("click", "rich"), "this command"),
    "win32": (("greenback",), "the C face, wsock.win32, and wsock run"),
    "pcap": (("pcapng",), "comments in packet captures"),
    "server": (("argon2", "sqlalchemy"), "the login server"),
    "bench": (("matplotlib", "pyperf"), "the benchmarks"),
}


class _Lazy(click.Group):
    """Loads ``run`` and ``tdimon`` only when they are asked for."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # as a shell counts it; click's own is "Aborted!" and 1
            sys.exit(130)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "run", "tdimon"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "tdimon":
            from wsock.tdimon.cli import tdimon

            return tdimon
        if cmd_name == "run":
            from wsock._run_command import run

            return run
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Lazy, invoke_without_command=True)
@click.version_option(package_name="wsock", message="wsock %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Winsock's I/O models for Python on Trio.

    \b
      wsock demo                    the login server, with clients and a trace
      wsock examples                list the example programs
      wsock examples copy echo .    take one of them home
      wsock explain FD_WRITE        what an event, an error or a TDI name means
      wsock scenario handshake      a classic exchange on the virtual network, packet by packet
      wsock run --host ...          your own scripts on the hosts of a virtual network
      wsock doctor                  what works on this machine
      wsock tdimon script.py        run a program and watch its transport

    Exit codes: 0 done; 1 could not be done; 2 asked wrongly, as with an unknown option or name; 130
    for Ctrl-C. A command that runs programs ends with theirs.
    """
    ctx.obj = {"scripts": _scripts}
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _scripts(
    hosts: Sequence[tuple[str, str]], profile: str, seed: str, conditions: dict[str, float]
) -> Scripts:
    """Make ready what ``tdimon --host`` runs; the virtual network is loaded only then."""
    if importlib.util.find_spec("greenback") is None:
        raise click.ClickException('--host needs one more package: pip install "wsock[win32]"')
    from wsock._script_hosts import Scripts

    return Scripts(hosts, profile, seed=seed, **conditions)


@cli.command()
@click.argument("name", required=False)
def explain(name: str | None) -> None:
    """Explain an event (FD_READ), an error (WSAEWOULDBLOCK, 10035) or a TDI name (TDI_SEND)."""
    from wsock import _explain

    if name is None:
        click.echo(textwrap.fill(", ".join(_explain.topics()), 88, break_on_hyphens=False))
        return
    try:
        lines = list(_explain.explain(name))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for line in lines:
        indent = len(line) - len(line.lstrip())
        hanging = 17 if line.startswith("  ") and indent == 2 and ":  " in line[:18] else indent
        click.echo(textwrap.fill(line, 92, subsequent_indent=" " * hanging) if line else "")


# Examples


def _examples_folder() -> Path:
    """Return where the examples are: in the wheel, or in the repository."""
    package = Path(__file__).resolve().parent
    for folder in (package / "_examples", package.parent / "examples"):
        if folder.is_dir():
            return folder
    raise click.ClickException("the examples are not installed here")


def _examples() -> Iterator[tuple[str, Path]]:
    """Yield each example's name and its file or folder."""
    for path in sorted(_examples_folder().iterdir()):
        if path.suffix == ".py" and not path.name.startswith("_"):
            yield path.stem, path
        elif path.is_dir() and any(path.glob("*.py")):
            yield path.name, path


def _example(name: str) -> Path:
    found = dict(_examples())
    if name not in found:
        raise click.UsageError(f"no example {name!r}; there are: {', '.join(found)}")
    return found[name]


def _first_line(path: Path) -> str:
    """Return what a program says of itself in the first line of its docstring."""
    for file in [path] if path.is_file() else [path / "__init__.py", *sorted(path.glob("*.py"))]:
        if file.is_file():
            doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
            if doc:
                return doc.splitlines()[0]
    return ""


@cli.group(invoke_without_command=True)
@click.pass_context
def examples(ctx: click.Context) -> None:
    """List the example programs, show one, or copy one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_examples)


@examples.command("list")
def list_examples() -> None:
    """List the examples with what they are about."""
    for name, path in _examples():
        click.echo(f"{name:<20} {_first_line(path)}")


@examples.command()
@click.argument("name")
def show(name: str) -> None:
    """Print an example's source."""
    path = _example(name)
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        if path.is_dir():
            click.echo(f"# ---- {file.relative_to(path.parent)}")
        click.echo(file.read_text(encoding="utf-8"))


@examples.command()
@click.argument("name")
@click.argument("folder", default=".")
def copy(name: str, folder: str) -> None:
    """Copy an example into FOLDER; nothing is overwritten."""
    path = _example(name)
    target = Path(folder) / path.name
    if target.exists():
        raise click.ClickException(f"{target} exists already")
    try:
        if path.is_file():
            shutil.copyfile(path, target)
        else:
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise click.ClickException(f"cannot copy: {error}") from error
    click.echo(str(target))
    if (target / "__main__.py").is_file():
        click.echo(f"run it there: python -m {name} --help", err=True)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Run the login server's demonstration, as ``make demo`` does."""
    missing = _missing(_EXTRAS["server"][0])
    if missing:
        raise click.ClickException(
            f'the login server needs {" and ".join(missing)}: pip install "wsock[server]"'
        )
    folder = _examples_folder()
    module = "wsock._examples.login_server.demo"
    if folder.name == "examples":
        sys.path.insert(0, str(folder.parent))
        module = "examples.login_server.demo"
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


# Scenarios


@cli.command()
@click.argument("name", required=False)
@click.option(
    "--pcap",
    "path",
    metavar="FILE",
    help="Save for Wireshark, as pcapng (.pcap: as pcap); - is stdout: | wireshark -k -i -",
)
@click.option("--ladder", is_flag=True, help="Print the diagram also where --pcap is given.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Let lines and packets come in their time: 1 in real time, 0.1 in slow motion.",
)
@click.option(
    "--profile",
    type=click.Choice(["rfc", "linux", "windows2000"]),
    default="rfc",
    show_default=True,
    help="Whose TCP/IP both hosts have.",
)
def scenario(
    name: str | None, path: str | None, ladder: bool, rate: float | None, profile: str
) -> None:
    """Run a classic exchange of TCP/IP on a virtual network and draw its packets.

    Without NAME the exchanges are listed: handshake, close1, close2, time-wait, lost-ack ...
    """
    from wsock.virtual import scenarios

    if name is None:
        for known in scenarios.SCENARIOS:
            click.echo(f"{known:<16}{scenarios.title(known)}")
        return
    try:
        done = scenarios.run(name, profile=profile)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        with click.open_file(path, "wb") if path else contextlib.nullcontext() as file:
            _play(done, file, path or "", rate, ladder=ladder or not path)
    except BrokenPipeError:
        raise  # whoever read has seen enough: nothing to complain about
    except OSError as error:
        raise click.ClickException(f"cannot write: {error}") from error


def _play(
    done: Scenario, file: IO[bytes] | None, path: str, rate: float | None, *, ladder: bool
) -> None:
    """Write packets and print lines, each when its time has come if there is a rate."""
    steps: list[tuple[float, Callable[[], object]]] = []

    def write(piece: bytes) -> None:
        assert file is not None
        file.write(piece)
        if rate is not None:
            file.flush()  # somebody may be watching

    if file is not None:
        pieces = done.capture.pieces(plain=path.endswith(".pcap"))
        steps += [(moment, functools.partial(write, piece)) for moment, piece in pieces]
    if ladder:
        err = path == "-"  # stdout is the capture then
        head, *lines = done.ladder().splitlines()
        click.echo(f"{done.story}\n\n{head}", err=err)
        show = functools.partial(click.echo, err=err)
        steps += [(float(line[:12]), functools.partial(show, line)) for line in lines]
    last = 0.0 if rate is None else min((moment for moment, _ in steps if moment), default=0.0)
    for moment, step in sorted(steps, key=lambda one: one[0]):
        if rate is not None and moment > last:
            time.sleep((moment - last) / rate)
            last = moment
        step()


# Doctor


@cli.command()
def doctor() -> None:
    """Tell what works on this machine; exit code 1 when something that wsock needs does not."""
    failed = False
    for mark, text in [*_system(), *_extras(), *_loopback()]:
        failed |= mark == "FAIL"
        click.echo(f"{mark:<5} {text}")
    sys.exit(failed)


def _system() -> Iterator[tuple[str, str]]:
    version = importlib.metadata.version
    yield "ok", f"wsock {version('wsock')}, trio {version('trio')}"
    new_enough = sys.version_info >= (3, 11)
    yield "ok" if new_enough else "FAIL", f"Python {platform.python_version()} (3.11 or later)"
    yield "ok", f"{platform.system()} {platform.release()}, {os.cpu_count()} processors"
    try:
        from wsock._stack import Stack

        engine = getattr(Stack().provider, "engine", "?")
    except Exception as error:  # whatever it is, this is the place to show it
        yield "FAIL", f"the sockets of this machine: {error!r}"
    else:
        yield "ok", f"readiness by {engine!r} (WSOCK_ENGINE=waits chooses the portable way)"
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except ImportError:
        return
    few = soft < 4096
    hint = "; for more clients: ulimit -n 65536" if few else ""
    yield "note" if few else "ok", f"open files: {soft} (at most {hard}){hint}"


def _missing(modules: Sequence[str]) -> list[str]:
    return [name for name in modules if importlib.util.find_spec(name) is None]


def _extras() -> Iterator[tuple[str, str]]:
    for extra, (modules, purpose) in _EXTRAS.items():
        if _missing(modules):
            yield "-", f'{purpose}: pip install "wsock[{extra}]"'
        else:
            yield "ok", f"{purpose} (extra {extra})"


def _loopback() -> Iterator[tuple[str, str]]:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as listener:
                listener.bind((host, 0))
                listener.listen(1)
                with socket.create_connection(listener.getsockname()[:2], timeout=2):
                    pass
        except OSError as error:
            essential = family == socket.AF_INET
            yield "FAIL" if essential else "note", f"no connection to {host}: {error}"
        else:
            yield "ok", f"loopback {host}"
