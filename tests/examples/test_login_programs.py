"""The login server as people start it: options, signals, descriptors, the client, the demo."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import trio
from login_programs import ROOT, SMALL, ask_client, ended, read_until, server

import wsock
from examples.login_server import client as client_program
from examples.login_server.client import Step, read_script, run_script, shown, shown_reply
from examples.login_server.demo import COLOURS, Screen
from examples.login_server.limits import Limits
from examples.login_server.listeners import (
    NotLoopbackError,
    adopt_listeners,
    inherited_descriptors,
)
from examples.login_server.main import main, parse_options
from examples.login_server.protocol import COMMANDS, Code

README = (ROOT / "examples" / "login_server" / "README.md").read_text("utf-8")


# The process


async def test_sigterm_during_a_login_lets_it_finish(tmp_path: Path) -> None:
    """The login that was begun is answered, the connection closed, the exit code 0."""
    costly = ["--argon2-memory-kib", "65536", "--argon2-passes", "4"]
    async with server(tmp_path, *costly) as run, await run.connect() as stream:
        await stream.send_all(b"REGISTER bob correct-horse\n")
        assert await read_until(stream, b"\n") == b"OK bob\n"
        await stream.send_all(b"WHOAMI x\nLOGIN bob correct-horse\n")
        await read_until(stream, b"\n")  # now the login is under way
        run.process.send_signal(signal.SIGTERM)
        assert re.fullmatch(rb"OK \S{43}\n", await stream.receive_some())
        assert await stream.receive_some() == b""
        await stream.aclose()
        assert await run.process.wait() == 0
        assert (await run.event("connection"))["name"] == "bob"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cuts(tmp_path: Path, number: signal.Signals) -> None:
    """The first waits for a client that does not close its side; the second does not."""
    patient = ["--drain-seconds", "600", "--stop-seconds", "600"]
    async with server(tmp_path, *patient) as run, await run.connect() as stream:
        await stream.send_all(b"WHOAMI x\n")
        await read_until(stream, b"\n")
        run.process.send_signal(number)
        assert await stream.receive_some() == b""
        assert run.process.poll() is None
        run.process.send_signal(number)
        assert await run.process.wait() == 1
        assert (await run.event("connection"))["reason"] == "cut"
        assert (await run.event("stopped"))["cut"] is True


async def test_accounts_survive_a_restart(tmp_path: Path) -> None:
    """Also when the server was killed: an OK is on the disk."""
    async with server(tmp_path) as run, await run.connect() as stream:
        await stream.send_all(b"REGISTER bob correct-horse\n")
        assert await read_until(stream, b"\n") == b"OK bob\n"
        run.process.kill()
        await run.process.wait()
    async with server(tmp_path) as run, await run.connect() as stream:
        await stream.send_all(b"LOGIN bob correct-horse\n")
        assert (await read_until(stream, b"\n")).startswith(b"OK ")


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
async def test_running_out_of_descriptors_is_survived(tmp_path: Path) -> None:
    """Who was there is served all along, and who waited is once there are descriptors again."""
    import resource

    async with server(tmp_path) as run, await run.connect() as first:
        await first.send_all(b"WHOAMI x\n")  # the database's descriptors are open now
        await read_until(first, b"\n")
        used = len(os.listdir(f"/proc/{run.process.pid}/fd"))
        resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (used + 3, used + 3))
        others = [await run.connect() for _ in range(10)]
        await first.send_all(b"WHOAMI x\n")
        assert (await read_until(first, b"\n")).startswith(b"ERR TOKEN")
        await run.event("wsock")  # the library has noticed
        for stream in others[:7]:
            await stream.aclose()
        for stream in others[7:]:
            await stream.send_all(b"QUIT\n")
            assert await read_until(stream, b"\n") == b"OK bye\n"
            await stream.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_the_memory_of_a_hash_is_given_back(tmp_path: Path) -> None:
    """Logins on several connections leave less behind than one of them takes (19 MiB)."""

    def resident(process: trio.Process) -> int:
        pages = (Path("/proc") / str(process.pid) / "statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def log_in() -> None:
        async with await run.connect() as stream:
            for _ in range(3):
                await stream.send_all(b"LOGIN bob correct-horse\n")
                assert (await read_until(stream, b"\n")).startswith(b"OK ")

    real = ["--argon2-memory-kib", "19456", "--argon2-passes", "2"]
    async with server(tmp_path, *real) as run, await run.connect() as stream:
        await stream.send_all(b"REGISTER bob correct-horse\nWHOAMI x\n")
        await read_until(stream, b"ERR TOKEN")
        before = resident(run.process)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(log_in)
        assert resident(run.process) - before < 19 << 20


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no SIGUSR1")
async def test_sigusr1_shows_the_sockets(tmp_path: Path) -> None:
    """The listener and each client, a line each; and the server goes on."""
    async with server(tmp_path) as run, await run.connect() as stream:
        await stream.send_all(b"WHOAMI x\n")
        await read_until(stream, b"\n")
        run.process.send_signal(signal.SIGUSR1)
        states = [(await run.event("socket"))["state"] for _ in range(2)]
        assert sorted(states) == ["CONNECTED", "LISTENING"]
        await stream.send_all(b"QUIT\n")
        assert await read_until(stream, b"\n") == b"OK bye\n"


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
async def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    """A /64 is one peer: two connections from ::1 are one too many if one is allowed."""
    limits = ["--host", "::1", "--connections-per-peer", "1"]
    async with server(tmp_path, *limits) as run:
        first = await trio.open_tcp_stream("::1", run.port)
        await first.send_all(b"WHOAMI x\n")
        assert (await read_until(first, b"\n")).startswith(b"ERR TOKEN")
        second = await trio.open_tcp_stream("::1", run.port)
        assert (await read_until(second, b"\n")).startswith(b"ERR LIMIT")
        await second.aclose()
        await first.aclose()
        assert (await run.event("connection"))["peer"] == "::1"


# Sockets of systemd


STARTER = """\
import os, runpy, sys
os.environ["LISTEN_PID"] = str(os.getpid())
given = [int(number) for number in sys.argv.pop(1).split(",")]
copies = [os.dup2(number, 100 + place) for place, number in enumerate(given)]
for place, number in enumerate(copies):
    os.dup2(number, 3 + place)
runpy.run_module("examples.login_server", run_name="__main__")
"""


async def start_with(
    tmp_path: Path, descriptors: list[int], count: str, *options: str
) -> trio.Process:
    """The server as systemd starts it: those descriptors from 3 on, ``count`` in LISTEN_FDS."""
    database = f"sqlite:///{tmp_path / 'accounts.db'}"
    numbers = ",".join(map(str, descriptors))
    return await trio.lowlevel.open_process(
        [sys.executable, "-c", STARTER, numbers, "--database", database, *SMALL, *options],
        cwd=ROOT,
        env={**os.environ, "LISTEN_FDS": count, "LISTEN_FDNAMES": "a:b"},
        pass_fds=descriptors,
        stderr=subprocess.PIPE,
    )


SYSTEMD = pytest.mark.skipif(sys.platform == "win32", reason="systemd is not there")


@SYSTEMD
async def test_it_serves_on_the_sockets_systemd_hands_over(tmp_path: Path) -> None:
    """All ``LISTEN_FDS`` of them, from descriptor 3 on; --port says nothing then."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.2", 0)) as two,
    ):
        addresses = [one.getsockname(), two.getsockname()]
        descriptors = [one.fileno(), two.fileno()]
        process = await start_with(tmp_path, descriptors, "2", "--port", "1")
    async with ended(process) as run:
        for host, port in addresses:
            line = await run.event("listening")
            assert (line["host"], line["port"]) == (host, port)
        for address in addresses:
            async with await trio.open_tcp_stream(*address) as stream:
                await stream.send_all(b"QUIT\n")
                assert await read_until(stream, b"\n") == b"OK bye\n"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@SYSTEMD
@pytest.mark.parametrize(
    ("kind", "count", "problem"),
    [
        ("udp", "1", b"descriptor 3 is not a TCP socket that listens"),
        ("file", "1", b"descriptor 3: "),
        ("unix", "1", b"descriptor 3 is not a TCP socket that listens"),
        ("connected", "1", b"descriptor 3 is not a TCP socket that listens"),
        ("anywhere", "1", b"0.0.0.0 is not loopback"),
        ("udp", "many", b"LISTEN_FDS=many"),
        ("udp", "-1", b"LISTEN_FDS=-1"),
        ("udp", "50", b"is not open"),
    ],
)
async def test_wrong_descriptors_are_refused_in_one_line(
    tmp_path: Path, kind: str, count: str, problem: bytes
) -> None:
    """The server does not start, says which descriptor is what it cannot serve; exit code 2."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.create_connection(tcp.getsockname()) as connected,
        socket.create_server(("0.0.0.0", 0)) as anywhere,
        (tmp_path / "file").open("w") as file,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "unix"))
        unix.listen()
        given = {
            "udp": udp, "unix": unix, "connected": connected, "anywhere": anywhere, "file": file
        }[kind]  # fmt: skip
        process = await start_with(tmp_path, [given.fileno()], count)
    async with ended(process):
        assert process.stderr is not None
        said = b"".join([data async for data in process.stderr])
        assert await process.wait() == 2
    assert problem in said
    assert said.count(b"\n") == 1


def test_descriptors_for_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """LISTEN_PID says whom they are for; the variables go no further in any case."""
    shut = []
    monkeypatch.setattr(os, "set_inheritable", lambda number, on: shut.append((number, on)))
    mine = {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "a:b"}
    assert inherited_descriptors(mine) == [3, 4]
    assert (mine, shut) == ({}, [(3, False), (4, False)])
    for process in ("1", "", "nonsense", f"{os.getpid()} "):
        other = {"LISTEN_FDS": "2", "LISTEN_PID": process, "PATH": "/bin"}
        assert inherited_descriptors(other) == []
        assert other == {"PATH": "/bin"}
    assert inherited_descriptors({"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}) == []
    assert inherited_descriptors({"LISTEN_FDS": "2"}) == []
    assert len(shut) == 2


async def test_sockets_that_are_handed_over_obey_the_same_rules() -> None:
    """Loopback only, and they must listen; what is refused is closed, and those before it."""
    for address, problem in (
        (("0.0.0.0", 0), NotLoopbackError),
        (None, wsock.WSAEOPNOTSUPP),
    ):
        good = socket.create_server(("127.0.0.1", 0)).detach()
        sock = socket.create_server(address) if address else socket.socket()
        descriptor = sock.detach()
        with pytest.raises(problem):
            adopt_listeners([good, descriptor], anywhere=False)
        for closed in (good, descriptor):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(closed)
    sock = socket.create_server(("0.0.0.0", 0))
    (adopted,) = adopt_listeners([sock.detach()], anywhere=True)
    adopted.close()


# Other people's clients


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_telnet_is_a_client(tmp_path: Path) -> None:
    """``curl telnet://`` sends what it is given and prints the replies."""
    async with server(tmp_path) as run:
        command = ["curl", "-sN", f"telnet://127.0.0.1:{run.port}"]
        typed = b"REGISTER bob correct-horse\r\nQUIT\r\n"
        done = await trio.run_process(command, stdin=typed, capture_stdout=True, check=False)
        assert done.stdout == b"OK bob\nOK bye\n"


@pytest.mark.skipif(shutil.which("nc") is None, reason="nc is not installed")
async def test_nc_is_a_client(tmp_path: Path) -> None:
    """Typed by hand, or from printf."""
    async with server(tmp_path) as run:
        command = ["nc", "127.0.0.1", str(run.port)]
        typed = b"REGISTER bob correct-horse\nQUIT\n"
        done = await trio.run_process(command, stdin=typed, capture_stdout=True, check=False)
        assert done.stdout == b"OK bob\nOK bye\n"


# The command line


def test_every_limit_is_an_option() -> None:
    """With its own type and default, and it reaches the limits."""
    assert parse_options([]).limits == Limits()
    for limit in fields(Limits):
        option = "--" + limit.name.replace("_", "-")
        assert getattr(parse_options([option, "7"]).limits, limit.name) == 7


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "0.0.0.0"],
        ["--host", "localhost"],
        ["--idle-seconds", "inf"],
        ["--connections", "0"],
        ["--login-seconds", "nan"],
    ],
)
def test_options_that_would_be_unsafe_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Passwords in plain text to the world, names for addresses, no limits."""
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert "error:" in capsys.readouterr().err


def test_plaintext_to_the_world_has_to_be_said() -> None:
    """Then it is allowed."""
    assert parse_options(["--host", "0.0.0.0", "--plaintext"]).host == "0.0.0.0"


def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with exit code 2."""
    database = f"sqlite:///{tmp_path / 'accounts.db'}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--port", port, "--database", database, *SMALL]) == 2
    assert "WSAEADDRINUSE" in capsys.readouterr().err
    assert main(["--port", "0", "--database", "nonsense://", *SMALL]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main(["--port", "0", "--database", "sqlite+pysqlcipher://", *SMALL]) == 2
    assert re.fullmatch("login server: ModuleNotFoundError: .*\n", capsys.readouterr().err)


# What the README says


def test_the_readme_lists_every_option_with_its_default() -> None:
    """And no other limits."""
    table = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| (\d+) \|", README, re.MULTILINE))
    expected = {f"--{f.name.replace('_', '-')}": f"{f.default:g}" for f in fields(Limits)}
    assert table == expected


def test_the_readme_lists_every_code_and_command() -> None:
    """And no other."""
    codes = set(re.findall(r"^\| `([A-Z]+)(?: n \.\.\.)?` \|", README, re.MULTILINE)) - {"QUIT"}
    assert codes == {str(code) for code in Code} - {"OK"}
    usages = {" ".join([word, *names]) for word, (_, names) in COMMANDS.items()}
    assert usages <= set(re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE))


# The client


def test_a_script_says_what_it_expects() -> None:
    """Without ``expect`` it is OK; comments are kept, empty lines are not."""
    lines = ["# first", "", "REGISTER a b", "expect TAKEN", "LOGIN a b", "QUIT", "expect OK bye"]
    assert list(read_script(lines)) == [
        Step("# first", ""),
        Step("REGISTER a b", "TAKEN"),
        Step("LOGIN a b", "OK"),
        Step("QUIT", "OK bye"),
    ]
    with pytest.raises(ValueError, match="expect"):
        list(read_script(["expect OK"]))


def test_what_the_client_shows_has_no_secret() -> None:
    """Also of a line that is no command: it may be a password in the wrong place."""
    assert shown("LOGIN bob hidden") == "LOGIN bob ********"
    assert shown("passwd t old new") == "passwd ******** ******** ********"
    assert shown("LOGN hidden hidden") == "LOGN ******** ********"
    assert shown_reply("LOGIN bob x", "OK abcdefghijk") == "OK abcdef..."
    assert shown_reply("WHOAMI x", "OK bob") == "OK bob"


class Scripted:
    """A client that has its answers ready."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def ask(self, line: str) -> str:
        await trio.lowlevel.checkpoint()
        self.asked.append(line)
        return self._answers.pop(0)


async def test_a_script_stops_at_the_first_wrong_reply() -> None:
    """And the token of a login goes into the lines after it."""
    out = io.StringIO()
    client = Scripted("OK tokentoken", "OK bob", "ERR DENIED no", "ERR BUSY wait")
    steps = read_script(
        ["LOGIN bob x", "WHOAMI $TOKEN", "expect OK bob", "LOGIN bob y", "expect DENIED", "QUIT"]
    )
    assert not await run_script(client, steps, out)  # type: ignore[arg-type]
    assert client.asked == ["LOGIN bob x", "WHOAMI tokentoken", "LOGIN bob y", "QUIT"]
    assert out.getvalue().endswith("! expected OK\n")
    assert "tokentoken" not in out.getvalue()


async def test_the_prompt_reads_secrets_hidden_and_remembers_the_token() -> None:
    """Names are typed in sight, passwords are not, the token not at all."""
    out = io.StringIO()
    client = Scripted("OK tokentoken", "OK bob", "OK bye")
    typed = iter(["nonsense", "login", "bob", "whoami", "register", "two words", "quit"])
    hidden = iter(["secret", "secret"])
    done = await client_program.prompt(
        client,  # type: ignore[arg-type]
        out,
        read_line=lambda _: next(typed),
        read_secret=lambda _: next(hidden),
    )
    assert done
    assert client.asked == ["LOGIN bob secret", "WHOAMI tokentoken", "QUIT"]
    assert "no such command" in out.getvalue()
    assert "space" in out.getvalue()


async def test_the_client_talks_to_the_server(tmp_path: Path) -> None:
    """As a process with a script; 1 if a reply is not the expected one, or nobody is there."""
    async with server(tmp_path) as run:
        for script, code in (
            ("REGISTER bob correct-horse\nLOGIN bob correct-horse\nWHOAMI $TOKEN\nQUIT\n", 0),
            ("LOGIN bob wrong-horse\n", 1),
        ):
            done = await ask_client(run.port, script)
            assert done.returncode == code
            assert b"correct-horse" not in done.stdout
        port = run.port
    done = await ask_client(port, "QUIT\n")
    assert done.returncode == 1
    assert b"WSAECONNREFUSED" in done.stderr


# The demo


@pytest.mark.parametrize(
    ("terminal", "setting", "coloured"),
    [
        (True, ("TERM", "xterm"), True),
        (False, ("TERM", "xterm"), False),
        (True, ("TERM", "dumb"), False),
        (True, ("NO_COLOR", "1"), False),
    ],
)
def test_the_demo_has_colour_where_the_terminal_has(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, setting: tuple[str, str], coloured: bool
) -> None:
    """Each side its own; none in a pipe, on a dumb terminal, or where it is not wanted."""
    out = io.StringIO()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(*setting)
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    screen = Screen()
    for who in COLOURS:
        screen.show(who, "words")
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert all(colour in out.getvalue() for colour in COLOURS.values()) is coloured
    assert ("\x1b" in out.getvalue()) is coloured
    assert out.getvalue().count("words") == len(COLOURS)


async def test_the_demo_shows_both_sides_and_ends_well() -> None:
    """Exit code 0 within its own deadline; ASCII, no colour in a pipe, no secret, no files left."""
    command = [sys.executable, "-m", "examples.login_server.demo"]
    done = await trio.run_process(command, cwd=ROOT, capture_stdout=True, capture_stderr=True)
    text = done.stdout.decode("ascii")
    for line in (
        "client | < OK alice",
        "client | < ERR TAKEN",
        "client | < ERR DENIED",
        "client | < ERR TOKEN",
        "server | connection id=1",
        "TDI_EVENT_CONNECT",
        "TDI_SEND",
        "demo | client ended with 0, server with 0",
    ):
        assert line in text
    assert "\x1b" not in text
    assert "correct-horse" not in text
    assert done.stderr == b""
    folder = re.search(r"accounts are in (\S+)", text)
    assert folder is not None
    assert not await trio.Path(folder[1]).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C goes to a console, not to a process")
async def test_ctrl_c_ends_the_demo_and_both_its_programs() -> None:
    """Exit code 130, one line, no traceback; the database goes too."""
    command = [sys.executable, "-m", "examples.login_server.demo"]
    process = await trio.lowlevel.open_process(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with ended(process):
        assert process.stdout is not None
        assert process.stderr is not None
        text = b""
        while b"< OK alice" not in text:
            text += await process.stdout.receive_some()
        process.send_signal(signal.SIGINT)
        # both pipes end with the last process that holds them
        text += b"".join([data async for data in process.stdout])
        assert b"".join([data async for data in process.stderr]) == b"demo: stopped\n"
        assert await process.wait() == 130
    folder = re.search(rb"accounts are in (\S+)", text)
    assert folder is not None
    assert not await trio.Path(folder[1].decode()).exists()


@pytest.mark.parametrize("module", ["argon2", "sqlalchemy"])
def test_without_the_extra_the_server_says_how_to_get_it(module: str) -> None:
    """One line and no traceback, as from the wsock command."""
    program = (
        f"import runpy, sys; sys.modules[{module!r}] = None; "
        "runpy.run_module('examples.login_server', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f'the login server needs {module}: pip install "wsock[server]"\n'
