"""``wsock run``: unchanged scripts on virtual hosts. Each test writes them and runs the command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from click.testing import CliRunner

from wsock import _run_command, _script_process
from wsock._cli import cli

if TYPE_CHECKING:
    from pathlib import Path

#: Serves one client after another, for ever, with what wsock has.
SERVER = """\
import sys, trio, wsock

async def main():
    listener = wsock.socket()
    listener.bind(("0.0.0.0", 7000))
    listener.listen(2)
    while True:
        conn, address = await listener.accept()
        print("server: client from", address[0], "argv", sys.argv, flush=True)
        while data := await conn.recv(4096):
            await conn.send(data)
        conn.close()

if __name__ == "__main__":
    trio.run(main)
"""

#: Knows nothing of wsock; waits an hour.
CLIENT = """\
import sys, trio

async def main():
    async with await trio.open_tcp_stream("server", 7000) as stream:
        await trio.sleep(3600)
        await stream.send_all(b"hello")
        print("client:", await stream.receive_some(), "argv", sys.argv, flush=True)

trio.run(main)
"""

#: A port of a C program.
C_CLIENT = """\
from wsock.win32 import *

def main():
    WSAStartup(MAKEWORD(2, 2), WSADATA())
    s = socket(AF_INET, SOCK_STREAM, 0)
    address = sockaddr_in(sin_family=AF_INET, sin_port=htons(7000))
    address.sin_addr.s_addr = inet_addr("10.0.0.5")
    if connect(s, address):
        print("client: error", WSAGetLastError())
        return 2
    Sleep(60000)
    send(s, b"hello", 5, 0)
    room = bytearray(64)
    print("client:", bytes(room[:recv(s, room, 64, 0)]))
    closesocket(s)
    return 0

import sys
sys.exit(run(main))
"""

HOSTS = ("--host", "10.0.0.5", "server.py", "--host", "10.0.0.3", "client.py")


class Done(NamedTuple):
    code: int
    output: str
    errors: str


class Folder:
    """A folder with scripts, and the command run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(server=SERVER, client=CLIENT)

    def write(self, **scripts: str) -> None:
        for name, text in scripts.items():
            (self.path / f"{name}.py").write_text(text, encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "wsock", "run", *words],
            cwd=self.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> Done:
        with self.start(*words) as process:
            output, errors = process.communicate(timeout=60)
        return Done(process.returncode, output, errors)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_wsock_server_and_a_client_of_plain_trio(folder: Folder) -> None:
    """Names are the scripts'; an hour costs nothing; each sees its own sys.argv, also later on."""
    done = folder.run(*HOSTS[:3], "x", *HOSTS[3:], "--y", "z")
    assert done == (
        0,
        "server: client from 10.0.0.3 argv ['server.py', 'x']\n"
        "client: b'hello' argv ['client.py', '--y', 'z']\n",
        "",
    )


def test_a_port_of_a_c_program(folder: Folder) -> None:
    """win32.run awaits in the run that is there; Sleep is virtual."""
    folder.write(client=C_CLIENT)
    done = folder.run(*HOSTS)
    assert (done.code, done.errors) == (0, "")
    assert done.output.endswith("client: b'hello'\n")
    nobody = folder.run("--host", "10.0.0.3", "client.py", "--host", "10.0.0.4", "other.py")
    assert nobody.code == 2  # no such script: before anything runs
    folder.write(other="")
    alone = folder.run("--host", "10.0.0.5", "other.py", "--host", "10.0.0.3", "client.py")
    assert (alone.code, alone.output) == (2, "client: error 10061\n")


def test_modules_run_as_python_m_runs_them(folder: Folder) -> None:
    """A package's relative imports work; the host is called as the module."""
    (folder.path / "parts").mkdir()
    (folder.path / "parts" / "server.py").write_text("from .code import *\n", encoding="utf-8")
    code = SERVER.replace('if __name__ == "__main__"', "if True")
    (folder.path / "parts" / "code.py").write_text(code, encoding="utf-8")
    done = folder.run("--host", "10.0.0.5", "-m", "parts.server", "--host", "10.0.0.3", "client.py")
    assert (done.code, done.errors) == (0, "")
    assert "client: b'hello'" in done.output


def test_a_script_with_a_host_option_of_its_own_is_one_word(folder: Folder) -> None:
    """Else its --host would begin the next script; scripts and modules alike."""
    for words in ("server.py --host x", "-m server --host x"):
        done = folder.run("--host", "10.0.0.5", words, *HOSTS[3:])
        assert (done.code, done.errors) == (0, "")
        assert "'--host', 'x']" in done.output


def test_scripts_start_one_after_the_other(folder: Folder) -> None:
    """Each when the one before waits, however many turns it took until then."""
    folder.write(
        server="import trio\nasync def main():\n"
        "    for _ in range(100): await trio.lowlevel.checkpoint()\n"
        "    print('first', flush=True)\n"
        "trio.run(main)\n",
        client="print('second', flush=True)\n",
    )
    assert folder.run(*HOSTS).output == "first\nsecond\n"


def test_two_lans_have_a_router_between(folder: Folder) -> None:
    """Hosts of two prefixes reach each other."""
    hosts = ("--host", "10.0.0.5", "server.py", "--host", "192.0.2.9/30", "client.py")
    assert folder.run(*hosts).output.startswith("server: client from 192.0.2.9 ")


def test_the_ladder_and_the_capture(folder: Folder) -> None:
    """Watched at the last host, or where --at says; the options come before the first host."""
    done = folder.run("--ladder", "--pcap", "run.pcapng", "--latency", "100ms", *HOSTS)
    assert done.code == 0
    assert "SYN-ACK seq=0 ack=1" in done.output
    assert "    0.200000  |---------- SYN seq=0" in done.output  # after one ARP exchange
    assert b"client.eth0" in (folder.path / "run.pcapng").read_bytes()
    assert folder.run("--pcap", "run.pcap", "--at", "10.0.0.5", *HOSTS).code == 0
    assert (folder.path / "run.pcap").read_bytes().startswith(b"\x4d\x3c\xb2\xa1")
    late = folder.run(*HOSTS, "--ladder")
    assert "--ladder is given to the script" in late.errors
    assert "'--ladder']" in late.output


def test_the_same_seed_gives_the_same_bytes(folder: Folder) -> None:
    """Also with loss; another seed another run."""
    files = []
    for name, seed in (("a.pcapng", "1"), ("b.pcapng", "1"), ("c.pcapng", "2")):
        bad = ("--loss", "20%", "--jitter", "5ms", "--profile", "linux")
        assert folder.run("--seed", seed, *bad, "--pcap", name, *HOSTS).code == 0
        files.append((folder.path / name).read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--loss", "5%"), r"seed 0: of \d+ packets: none lost; another --seed has other chances"),
        (("--loss", "20%", "--seed", "6"), r"seed 6: of \d+ packets: [1-9] lost"),
        (("--loss", "0", "--duplicate", "1"), r"seed 0: of (\d+) packets: \1 doubled"),
        (("--reorder", "1"), r"seed 0: of (\d+) packets: \1 overtaken"),
    ],
)
def test_what_chance_did_is_told(folder: Folder, words: tuple[str, ...], told: str) -> None:
    """A few packets may all be lucky: then it is not the option that does not work."""
    done = folder.run(*words, *HOSTS)
    assert done.code == 0
    assert re.fullmatch(f"wsock: {told}\n", done.errors)


def test_nothing_is_told_of_what_was_not_asked_for(folder: Folder) -> None:
    """Jitter moves every packet; there is no count of it."""
    assert folder.run("--jitter", "5ms", *HOSTS).errors == ""


@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('enough')", 1, "enough"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("raise ExceptionGroup('both', [OSError(1), KeyError(2)])", 1, "KeyError"),
    ],
)
def test_a_script_that_fails(folder: Folder, ending: str, code: int, told: str) -> None:
    """Its exit code is the command's; an exception is shown and ends the others; files are kept."""
    folder.write(client=f"{CLIENT}\n{ending}\n")
    done = folder.run("--pcap", "run.pcapng", *HOSTS)
    assert done.code == code
    assert told in done.errors
    assert len((folder.path / "run.pcapng").read_bytes()) > 500


def test_a_script_that_fails_in_its_trio_run(folder: Folder) -> None:
    """The exception goes through its own frames, as under the real trio.run."""
    folder.write(server=SERVER.replace("await conn.send(data)", "raise RuntimeError('no')"))
    done = folder.run(*HOSTS)
    assert done.code == 1
    assert 'server.py", line 11' in done.errors
    assert "client:" not in done.output
    assert "Cancelled" not in done.errors


def test_several_failures_of_one_nursery_are_shown_as_a_group(folder: Folder) -> None:
    """Trio's groups come through, without the cancellations in them."""
    folder.write(
        client="import trio\nasync def fail(n): raise KeyError(n)\n"
        "async def main():\n    async with trio.open_nursery() as nursery:\n"
        "        nursery.start_soon(fail, 1)\n        nursery.start_soon(fail, 2)\n"
        "trio.run(main)\n"
    )
    done = folder.run("--host", "10.0.0.3", "client.py")
    assert done.code == 1
    assert done.errors.count("KeyError:") == 2


def test_nobody_waits_in_vain(folder: Folder) -> None:
    """When nothing can happen any more the run ends, and says who was waiting for what."""
    folder.write(client=CLIENT.replace('b"hello"', 'b""'))
    done = folder.run(*HOSTS)
    assert done.code == 1
    assert "nothing can happen any more, and client has not ended" in done.errors
    assert "10.0.0.5:7000  ESTABLISHED" in done.errors
    assert "*:7000" in done.errors  # the server's listener


def test_a_script_that_never_ends(folder: Folder) -> None:
    """--limit is in virtual seconds; the exit code is that of timeout."""
    folder.write(client="import trio\nasync def main():\n    while True: await trio.sleep(1)\n"
                        "trio.run(main)\n")  # fmt: skip
    done = folder.run("--limit", "3600", *HOSTS)
    assert (done.code, done.output) == (124, "")
    assert "stopped at the limit of 3600 s" in done.errors


def test_ctrl_c_ends_all_and_keeps_what_was_captured(folder: Folder) -> None:
    """Exit code 130, no traceback; also when the scripts wait in real time."""
    folder.write(client=CLIENT.replace("sleep(3600)", "sleep(0)") + "\ntrio.run(trio.sleep, 3600)")
    with folder.start("--pcap", "run.pcapng", "--rate", "1", *HOSTS) as process:
        assert process.stdout is not None
        while "client: b'hello'" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert len((folder.path / "run.pcapng").read_bytes()) > 500


def test_ctrl_c_in_the_script_itself(folder: Folder) -> None:
    """A script that is computing is interrupted where it is."""
    folder.write(client="print('here', flush=True)\nwhile True: pass\n")
    with folder.start("--host", "10.0.0.3", "client.py") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


def test_real_time_with_a_rate(folder: Folder) -> None:
    """--rate 10: ten seconds in one; the server listens before the client calls.

    Not more: a machine that stands still for a moment would let connections time out.
    """
    shown = "print('rate', trio.lowlevel.current_clock().rate, flush=True)"
    client = CLIENT.replace("3600", "3").replace("async with", f"{shown}\n    async with")
    folder.write(client=client)
    done = folder.run("--rate", "10", *HOSTS)
    assert (done.code, done.errors) == (0, "")
    assert "client: b'hello'" in done.output
    assert "rate 10.0\n" in done.output


@pytest.mark.parametrize("call", ["import time; time.sleep(0.001)", "input()"])
def test_what_stops_everything_warns(folder: Folder, call: str) -> None:
    """time.sleep and input name the line, and what to call instead."""
    folder.write(client=f"import trio\nasync def main():\n    {call}\ntrio.run(main)\n")
    with subprocess.Popen(
        [sys.executable, "-m", "wsock", "run", *HOSTS],
        cwd=folder.path, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        _, errors = process.communicate("line\n", timeout=60)
    assert process.returncode == 0
    assert "client.py:3: RuntimeWarning: " in errors
    assert "stops every script, and the network with them; await trio." in errors


def test_what_is_replaced_is_put_back(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """trio.run, sys.argv, sys.path and __main__ are as before, also after a failure."""
    import time

    import trio

    from wsock import win32

    monkeypatch.chdir(folder.path)
    folder.write(client="1 / 0")
    before = (trio.run, win32.run, time.sleep, sys.argv, sys.path, sys.modules["__main__"])
    kept = list(sys.path)
    assert CliRunner().invoke(cli, ["run", *HOSTS[3:]]).exit_code == 1
    after = (trio.run, win32.run, time.sleep, sys.argv, sys.path, sys.modules["__main__"])
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert sys.path == kept


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "which scripts?"),
        (("server.py",), "'server.py' stands before the first --host"),
        (("--host", "10.0.0.5"), "after --host come an address and a script"),
        (("--host",), "after --host come an address and a script"),
        (("--host=10.0.0.5", "none.py"), "there is no script 'none.py'"),
        (("--host", "here", "server.py"), "'here' is no IPv4 address"),
        (("--host", "10.0.0.5", "server.py") * 2, "two hosts have the same address"),
        (("--latency", "fast", *HOSTS), "'fast' is not a time (units: s, ms, us)"),
        (("--latency", "-1", *HOSTS), "'-1' is not a time"),
        (("--loss", "200%", *HOSTS), "loss is a chance from 0 to 1"),
        (("--at", "nowhere", "--ladder", *HOSTS), "there is no host 'nowhere'"),
        (("--profile", "vms", *HOSTS), "is not one of"),
        (("--pcap", "no/such/folder/x.pcap", *HOSTS), "cannot write"),
    ],
)
def test_mistakes_are_told(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], reason: str
) -> None:
    """One line before anything runs; exit code 2, or 1 for a file."""
    monkeypatch.chdir(folder.path)
    result = CliRunner().invoke(cli, ["run", *words])
    assert result.exit_code == (1 if "write" in reason else 2)
    assert reason in result.output


def test_without_greenback_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra win32."""
    monkeypatch.setattr(_run_command.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli, ["run", *HOSTS])
    assert result.exit_code == 1
    assert 'pip install "wsock[win32]"' in result.output


def test_the_help_names_every_option() -> None:
    """And ``wsock`` alone names the command."""
    result = CliRunner().invoke(cli, ["run", "--help"])
    for option in ("--profile", "--seed", "--latency", "--loss", "--pcap", "--ladder", "--limit"):
        assert option in result.output
    assert "--host ADDRESS SCRIPT [ARGUMENTS]" in result.output
    assert "wsock run" in CliRunner().invoke(cli, []).output


def test_a_process_says_what_it_is(folder: Folder) -> None:
    """For debugging."""
    script = _script_process.Process([os.fspath(folder.path / "server.py"), "7"])
    assert repr(script) == f"<Process {folder.path / 'server.py'} 7>"
    assert script.name == "server"
