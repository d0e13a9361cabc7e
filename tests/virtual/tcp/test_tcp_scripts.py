"""Packet scripts in packetdrill's language, run in this process under virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest
from packet_script import PacketScript

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.pkt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    """Every packet at its time, and no others."""
    PacketScript(path.read_text(encoding="utf-8")).run()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("+0 > . 5:5(0) ack 1", "nothing was sent"),
        ("+0 frobnicate(3) = 0", "unknown call"),
        ("+0 nonsense", "neither a call nor a packet"),
        ("soon > . 1:1(0)", "not a line"),
        ("+0 < S 0:0(0) win 100 <frob>", "unknown option"),
    ],
)
def test_a_wrong_script_says_its_line(line: str, complaint: str) -> None:
    """The interpreter can fail."""
    script = f"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n{line}\n"
    with pytest.raises(AssertionError, match=f"line 2: .*{complaint}"):
        PacketScript(script).run()


def test_what_a_script_does_not_expect_fails_it() -> None:
    """A packet more than the script has, or another one, or another time."""
    start = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0 connect(3, ..., ...) = -1 EINPROGRESS\n"
    for rest, complaint in (
        ("", "unexpected at the end"),
        ("+0 > F 0:0(0)", "sent was"),
        ("+.5 > S 0:0(0)", "sent at 0.0"),
    ):
        with pytest.raises(AssertionError, match=complaint):
            PacketScript(start + rest).run()
