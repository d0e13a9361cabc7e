"""Wireshark's opinion of our packets: on faultless runs none, on faulted runs the planted fault."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from tcp_wire import MS, A, B, Pair

from wsock.virtual.checksum import checksum
from wsock.virtual.profile import PROFILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tcp_wire import Sent

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

COMPLAINTS = (
    "(tcp.analysis.flags && !tcp.analysis.window_update) || _ws.malformed || "
    "tcp.checksum.status == 0 || ip.checksum.status == 0"
)


def capture(pair: Pair, path: Path) -> None:
    """Write what crossed the wire as a pcap of raw IP, in nanoseconds."""
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101)]
    for number, sent in enumerate(pair.wire.log):
        total = 20 + len(sent.raw)
        header = bytearray(
            struct.pack("!BBHHHBBH", 0x45, 0, total, number & 0xFFFF, 0x4000, 64, 6, 0)
        )
        header += sent.segment.source + sent.segment.destination
        header[10:12] = checksum(header).to_bytes(2, "big")
        second, nano = divmod(sent.time, 1_000_000_000)
        out.append(struct.pack("<IIII", second, nano, total, total) + bytes(header) + sent.raw)
    path.write_bytes(b"".join(out))


def tshark(path: Path, filter_: str) -> list[str]:
    """Return the frames that a display filter selects: number and expert notes."""
    command = [
        "tshark", "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
        "-Y", filter_, "-T", "fields", "-e", "frame.number", "-e", "_ws.expert.message",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def connected(profile: str) -> Pair:
    """A connection whose handshake is in the log; 2 ms of latency."""
    pair = Pair(latency=2 * MS, profile=profile, establish=False)
    pair.connect()
    pair.wire.run(0.1)
    return pair


def near_first(pair: Pair) -> None:
    pair.near.close()
    pair.wire.run(1)
    pair.far.close()


def far_first(pair: Pair) -> None:
    pair.far.close()
    pair.wire.run(1)
    pair.near.close()


def together(pair: Pair) -> None:
    pair.near.close()
    pair.far.close()


@pytest.mark.parametrize("order", [near_first, far_first, together])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_faultless_run_gives_no_complaint(
    profile: str, order: Callable[[Pair], None], tmp_path: Path
) -> None:
    """Handshake, small talk, 300 KB each way, and every order of closing.

    The window of Windows 2000 is twelve full segments, so that a sender fills it to the byte, which
    Wireshark remarks upon, rightly.
    """
    pair = connected(profile)
    for text in (b"hello", b"x" * 1000, b"y" * 2000):
        pair.near.send(text)
        pair.wire.run(1)
        pair.far.send(text[::-1])
        pair.wire.run(1)
    for sender in (pair.near, pair.far):
        for _ in range(30):
            sender.send(bytes(10_000))
        pair.wire.run(30)
    assert len(pair.server.data) == len(pair.client.data) == 303_005
    order(pair)
    pair.wire.run(2)
    path = tmp_path / "run.pcap"
    capture(pair, path)
    filled = " && !tcp.analysis.window_full" if profile == "windows2000" else ""
    assert tshark(path, f"({COMPLAINTS}){filled}") == []
    assert len(tshark(path, "tcp.flags.syn == 1")) == 2


def faulted(tmp_path: Path, judge: Callable[[Sent], list[int]], profile: str = "rfc") -> set[str]:
    """Run 20 segments under a fault; return the notes that Wireshark makes."""
    pair = connected(profile)
    pair.wire.filter = judge
    pair.near.send(bytes(29_000))
    pair.wire.run(20)
    assert len(pair.server.data) == 29_000
    path = tmp_path / "run.pcap"
    # what the receiver's side would have captured: lost packets are not in it
    pair.wire.log = [sent for sent in pair.wire.log if judge.lost is not sent]  # type: ignore[attr-defined]
    capture(pair, path)
    return {
        note for line in tshark(path, COMPLAINTS) for note in line.partition("\t")[2].split(",")
    }


class LoseOne:
    """Loses the n-th data segment, once."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lost: Sent | None = None

    def __call__(self, sent: Sent) -> list[int]:
        if sent.segment.data:
            self.number -= 1
            if self.number == 0:
                self.lost = sent
                return []
        return [2 * MS]


def test_a_lost_segment_is_called_a_fast_retransmission(tmp_path: Path) -> None:
    """Duplicate ACKs, the hole, the fast retransmission: and nothing else."""
    notes = faulted(tmp_path, LoseOne(5))
    assert any("fast retransmission" in note for note in notes), notes
    assert any("Duplicate ACK" in note for note in notes), notes
    allowed = ("retransmission", "Duplicate ACK", "Previous segment", "D-SACK", "out-of-order")
    assert all(any(word in note for word in allowed) for note in notes), notes


def test_a_lost_tail_is_called_a_retransmission(tmp_path: Path) -> None:
    """The last segment: no duplicate ACKs, the timer alone."""
    pair = connected("rfc")
    judge = LoseOne(1)
    pair.wire.filter = judge
    pair.near.send(b"only one")
    pair.wire.run(5)
    assert pair.server.data == b"only one"
    path = tmp_path / "run.pcap"
    capture(pair, path)
    notes = tshark(path, COMPLAINTS)
    assert len(notes) == 1
    assert "retransmission" in notes[0]


def test_a_closed_window_and_its_probes_are_called_so(tmp_path: Path) -> None:
    """Zero window, probe, probe's ACK: Wireshark's own words."""
    pair = connected("rfc")
    pair.server.room = 0
    pair.near.send(bytes(100_000))
    pair.wire.run(10)
    path = tmp_path / "run.pcap"
    capture(pair, path)
    assert tshark(path, "tcp.analysis.zero_window")
    assert tshark(path, "tcp.analysis.zero_window_probe")
    assert not tshark(path, "tcp.analysis.retransmission")
    assert pair.wire.log[0].segment.source == A
    assert pair.wire.log[1].segment.source == B
