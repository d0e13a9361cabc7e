"""Scripts on virtual hosts: unchanged, under the monitor, in virtual time."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from wsock import _cli, tdimon
from wsock._cli import cli

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """\
import sys, trio, wsock

async def main():
    listener = wsock.socket()
    listener.bind(("0.0.0.0", int(sys.argv[1])))
    listener.listen(2)
    while True:
        conn, address = await listener.accept()
        print("server: client from", address[0])
        while data := await conn.recv(4096):
            await conn.send(data)
        conn.close()

trio.run(main)
"""

#: Knows nothing of wsock.
CLIENT = """\
import sys, trio

async def main():
    async with await trio.open_tcp_stream("10.0.0.5", 7000) as stream:
        await trio.sleep(3600)
        await stream.send_all(bytes(2000))
        count = 0
        while count < 2000:
            count += len(await stream.receive_some())
    print("client: received", count)

trio.run(main)
sys.exit(ENDING)
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text(SERVER, encoding="utf-8")
    (tmp_path / "client.py").write_text(CLIENT.replace("ENDING", ""), encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    hosts = ["--host", "10.0.0.5", "server.py 7000", "--host", "10.0.0.3", "client.py"]
    finished = subprocess.run(
        [sys.executable, "-m", "wsock", "tdimon", *arguments, *hosts],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return finished.returncode, finished.stdout, finished.stderr


def test_two_scripts_on_two_hosts(scripts: Path) -> None:
    """Both run unchanged; an hour of sleep costs nothing; the server is stopped at the end."""
    extras = ["-s", "run.jsonl", "--pcap", "run.pcapng", "-d", "run.svg", "-f", "@data"]
    code, output, errors = run(scripts, *extras)
    assert (code, errors) == (0, "")
    assert "server: client from 10.0.0.3\n" in output
    assert "client: received 2000\n" in output
    trace = tdimon.load(scripts / "run.jsonl")
    assert trace.hosts() == ["server", "client"]
    calls = {r.request: r.task for r in trace.records("client") if r.kind == "call"}
    assert calls["send"].startswith("client: ")
    assert calls["connect"].startswith("trio.")  # open_tcp_stream's own
    received = [row for row in trace.rows("server") if row.request == "TDI_EVENT_RECEIVE"]
    assert received[0].detail == "Length:1452 Flags: LOOKAHEAD DISPATCH"
    assert trace.records()[-1].time_ns > 3600 * 10**9
    assert b"tdi: connect TDI_CONNECT" in (scripts / "run.pcapng").read_bytes()
    assert "wire" in (scripts / "run.svg").read_text(encoding="utf-8")


def test_two_runs_are_the_same_to_the_byte(scripts: Path) -> None:
    """Time, chance and order are the network's own."""
    saved = []
    for name in ("one.jsonl", "two.jsonl"):
        assert run(scripts, "-q", "-s", name)[0] == 0
        saved.append((scripts / name).read_bytes())
    assert saved[0] == saved[1]


def test_the_wires_have_conditions(scripts: Path) -> None:
    """As under ``wsock run``: latency, loss, a seed; what chance did is told."""
    words = ("-q", "--latency", "100ms", "--loss", "20%", "--seed", "3", "-s", "run.jsonl")
    code, output, errors = run(scripts, *words)
    assert (code, output.endswith("client: received 2000\n")) == (0, True)
    assert errors.startswith("wsock: seed 3: of ")
    assert errors.endswith(" lost\n")
    trace = tdimon.load(scripts / "run.jsonl")
    times = {record.request: record.time_ns for record in trace.records("client")}
    assert times["TDI_EVENT_RECEIVE"] > (3600 + 0.2) * 10**9


@pytest.mark.parametrize(("ending", "code"), [("3", 3), ("'enough'", 1), ("1 / 0", 1)])
def test_a_script_that_fails(scripts: Path, ending: str, code: int) -> None:
    """Its exit code is the command's; an exception is shown and ends the other scripts."""
    (scripts / "client.py").write_text(CLIENT.replace("ENDING", ending), encoding="utf-8")
    found, _, errors = run(scripts, "-q", "-s", "run.jsonl")
    assert found == code
    assert ("enough" in errors) == ("enough" in ending)
    assert ("ZeroDivisionError" in errors) == ("/" in ending)
    assert len(tdimon.load(scripts / "run.jsonl")) > 50


def test_a_server_that_fails_ends_the_run(scripts: Path) -> None:
    """Its client would wait for ever."""
    broken = SERVER.replace("await conn.send(data)", "raise RuntimeError('no')")
    (scripts / "server.py").write_text(broken, encoding="utf-8")
    code, output, errors = run(scripts, "-q")
    assert code == 1
    assert "RuntimeError: no" in errors
    assert "received" not in output


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        (["--host", "10.0.0.5", "none.py"], "there is no script 'none.py'"),
        (["--host", "here", "server.py"], "'here' is no IPv4 address"),
        (["--host", "10.0.0.5", "server.py"] * 2, "two hosts have the same address"),
        (["--host", "10.0.0.5", "server.py", "client.py"], "with --host each script has a host"),
        (["--loss", "2", "--host", "10.0.0.5", "server.py"], "loss is a chance from 0 to 1"),
        (["--latency", "0", "server.py"], "--latency goes with --host"),
        (["--seed", "1", "-m", "server"], "--seed goes with --host"),
        (["--pcap", "x.pcap", "server.py"], "--pcap goes with --host"),
        ([], "which program?"),
    ],
)
def test_mistakes_are_told(
    scripts: Path, monkeypatch: pytest.MonkeyPatch, hosts: list[str], reason: str
) -> None:
    """One line, exit code 2, before anything runs."""
    monkeypatch.chdir(scripts)
    result = CliRunner().invoke(cli, ["tdimon", "run", *hosts])
    assert result.exit_code == 2
    assert reason in result.output


def test_without_greenback_it_says_how_to_get_it(
    scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts call trio.run inside a run: that needs the extra win32."""
    monkeypatch.chdir(scripts)
    monkeypatch.setattr(_cli.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli, ["tdimon", "--host", "10.0.0.5", "server.py"])
    assert result.exit_code == 1
    assert 'pip install "wsock[win32]"' in result.output


def test_scripts_of_one_name_get_hosts_of_two_names(scripts: Path) -> None:
    """The second ``client.py`` is ``client-2``."""
    hosts = [
        ("10.0.0.5", "server.py 7000"),
        ("10.0.0.3", "client.py"),
        ("10.0.0.4/24", "client.py"),
    ]
    words = ["-q", "-s", "run.jsonl", *(word for pair in hosts for word in ("--host", *pair))]
    finished = subprocess.run(
        [sys.executable, "-m", "wsock", "tdimon", *words],
        cwd=scripts,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert tdimon.load(scripts / "run.jsonl").hosts() == ["server", "client", "client-2"]
