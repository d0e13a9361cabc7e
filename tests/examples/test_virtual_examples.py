"""The lessons on a virtual network show what their first lines promise."""

from __future__ import annotations

import itertools
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from examples.virtual import (
    handshake,
    login_far_away,
    partition,
    retransmission,
    slow_receiver,
    traceroute,
)
from wsock.virtual import Network

FOLDER = Path(__file__).parents[2] / "examples" / "virtual"
LESSONS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")

Output = pytest.CaptureFixture[str]


def names(ladder: str) -> list[str]:
    """The TCP packets of a ladder, by their flags."""
    return re.findall(r"[-<|X] ((?:SYN|ACK|FIN|RST|PSH)(?:-\w+)*) seq=", ladder)


@pytest.mark.parametrize("first", ["client", "server"])
def test_handshake_and_close(first: str, capsys: Output) -> None:
    """Three packets to open, four to close; TIME-WAIT at the side that closed first."""
    handshake.main(first)
    ladder = capsys.readouterr().out
    packets = names(ladder)
    assert packets[:3] == ["SYN", "SYN-ACK", "ACK"]
    assert packets[-4:] == ["FIN-ACK", "ACK", "FIN-ACK", "ACK"]
    middle = len(ladder.splitlines()[2]) // 2
    (row,) = [line for line in ladder.splitlines() if "TIME-WAIT" in line]
    assert (row.index("TIME-WAIT") > middle) == (first == "server")


def test_time_wait(capsys: Output) -> None:
    """S3-7: with it the repeated FIN is answered and the port kept; without it a reset."""
    runpy.run_module("examples.virtual.time_wait", run_name="__main__")
    kept, gone = capsys.readouterr().out.split("--- TIME-WAIT of 0 s")
    assert "port 2000: Address already in use" in kept
    assert names(kept)[-4:] == ["FIN-ACK", "ACK", "FIN-ACK", "ACK"]
    assert "port 2000: another program listens there now" in gone
    assert names(gone)[-2:] == ["FIN-ACK", "RST"]


def test_retransmission(capsys: Output) -> None:
    """Both ways of noticing a loss are there, and every byte arrives."""
    retransmission.main()
    output = capsys.readouterr().out
    assert "[fast retransmit after 3 duplicate ACKs]" in output
    assert "backoff x2" in output
    assert re.search(r"16384 bytes received after \d+\.\d s, their SHA-256 is equal", output)


def test_slow_receiver(capsys: Output) -> None:
    """The window closes, is asked for at doubling intervals, and opens; all bytes arrive."""
    slow_receiver.main()
    output = capsys.readouterr().out
    assert "server: 40000 bytes" in output
    assert "client: send_all waited 10." in output
    times = re.findall(r"^ +([\d.]+)  \|-+ ACK seq=\d+ ack=1 len=1 ", output, re.MULTILINE)
    probes = [float(time) for time in times]
    pauses = [b - a for a, b in itertools.pairwise(probes)]
    assert len(probes) == 4
    assert pauses[1] / pauses[0] == pytest.approx(2, abs=0.1)
    assert output.count("win=0 ") == 5


def test_partition(capsys: Output) -> None:
    """Fifteen seconds delay everything and lose nothing; two hundred end the connection."""
    partition.main(15)
    short = capsys.readouterr().out
    assert re.findall(r"\d+", " ".join(re.findall(r" s  (.*)", short))) == [
        str(number) for number in range(1, 31)
    ]
    assert re.search(r"^ 20\.02 s  6, 7, .*, 21$", short, re.MULTILINE)
    partition.main(200)
    long = capsys.readouterr().out
    assert "nothing more in ten minutes" in long
    assert "tried again at 6, 8, 12, 20, 36, 68 s" in long


def test_traceroute(capsys: Output) -> None:
    """Three routers by name of their addresses; fragments cut again before the narrow link."""
    traceroute.main()
    output = capsys.readouterr().out
    assert re.findall(r"^ (\d)  (\S+) ", output, re.MULTILINE) == [
        ("1", "10.0.0.2"), ("2", "10.0.0.6"), ("3", "10.0.0.10"), ("4", "10.0.0.14"),
    ]  # fmt: skip
    assert "fragments as they leave: 1500, 548 bytes" in output
    assert "fragments as they arrive: 572, 572, 396, 548 bytes" in output
    assert output.count("1 sent, 1 answered, 0 lost") == 1


def test_login_far_away(capsys: Output) -> None:
    """The right answers, each a round trip or more away; a minute of waiting costs no time."""
    network = Network(seed=3)
    network.run(login_far_away.main, network)
    output = capsys.readouterr().out
    replies = re.findall(r"^ +([\d.]+) s  (\w+) .*?  (OK|ERR) ?(\w*)", output, re.MULTILINE)
    assert [(command, code) for _, command, code, _ in replies] == [
        ("REGISTER", "OK"), ("LOGIN", "ERR"), ("LOGIN", "OK"), ("QUIT", "OK"),
    ]  # fmt: skip
    assert min(float(seconds) for seconds, *_ in replies) >= 0.4
    assert re.search(r"put out: b'ERR TIMEOUT .* at 6\d\.\d s", output)


def test_a_lesson_is_the_same_each_time(capsys: Output) -> None:
    """Chance is the network's."""
    retransmission.main()
    first = capsys.readouterr().out
    retransmission.main()
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_a_short_program_that_says_how_to_run_it(name: str) -> None:
    """Under 60 lines; its docstring has the command and what to watch; both tables list it."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"    python -m examples.virtual.{name}" in text
    assert "\nWatch" in text
    assert f"`{name}`" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")


def test_lessons_run_as_programs() -> None:
    """``python -m`` from the project's folder."""
    for name in ("handshake", "traceroute"):
        command = [sys.executable, "-m", f"examples.virtual.{name}"]
        done = subprocess.run(
            command, cwd=FOLDER.parents[1], capture_output=True, check=True, timeout=60
        )
        assert done.stdout.isascii()
        assert done.stderr == b""
