"""The classic exchanges: each shows what its story says, and tshark agrees (J1, J2)."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from test_exchange import complaints, experts

from wsock._cli import cli
from wsock.virtual.scenarios import SCENARIOS, run, title

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def names(scenario: str) -> list[str]:
    """The TCP packets of a scenario."""
    return [packet.name for packet in run(scenario).capture.filter("tcp")]


def test_s3_10_to_s3_12_the_handshake_is_three_packets_without_data() -> None:
    """S3-10, S3-11, S3-12, S4-11: SYN, SYN-ACK with ack = ISN_c + 1, ACK with ack = ISN_s + 1."""
    packets = [packet.tcp for packet in run("handshake").capture.filter("tcp")]
    first, second, third = packets
    assert first and second and third  # noqa: PT018
    assert [p.flag_names for p in (first, second, third)] == ["SYN", "SYN-ACK", "ACK"]
    assert second.ack == (first.seq + 1) % 2**32
    assert third.ack == (second.seq + 1) % 2**32
    assert [len(p.data) for p in (first, second, third)] == [0, 0, 0]
    assert all(p.window for p in (first, second, third))


def test_s3_5_closing_takes_four_packets_in_either_order() -> None:
    """S3-5, S3-8: FIN, ACK, FIN, ACK; TIME-WAIT on the side that closed first."""
    assert names("close1")[-4:] == names("close2")[-4:] == ["FIN-ACK", "ACK", "FIN-ACK", "ACK"]
    for scenario, waiting, gone in (("close1", "client", "server"), ("close2", "server", "client")):
        hosts = run(scenario).network.hosts
        assert [row.state for row in hosts[waiting].netstat() if row.remote != "*:*"] == [
            "TIME-WAIT"
        ]
        assert [row for row in hosts[gone].netstat() if row.remote != "*:*"] == []


@pytest.mark.parametrize(("profile", "seconds"), [("rfc", 240), ("linux", 60)])
def test_s3_6_time_wait_lasts_two_msl(profile: str, seconds: int) -> None:
    """S3-6: 2 MSL by the profile, from the moment the last FIN came."""
    scenario = run("time-wait", profile=profile)
    changes = [c for c in scenario.network.state_changes() if c.host == "client"]
    entered = next(c.time_ns for c in changes if c.text == "TIME-WAIT")
    left = next(c.time_ns for c in changes if c.text == "CLOSED")
    assert left - entered == seconds * 10**9


def test_s3_7_a_lost_last_ack_is_answered_from_time_wait() -> None:
    """S3-7: the repeated FIN meets a connection that still knows what to answer."""
    scenario = run("lost-ack")
    last = scenario.capture.filter("tcp")[-4:]
    assert [p.name for p in last] == ["FIN-ACK", "ACK", "FIN-ACK", "ACK"]
    assert last[1].comments == ["dropped by drop tcp.flags.ack == 1"]
    assert scenario.server.tcp.connections() == []


def test_s4_6_a_lost_segment_is_sent_again_with_growing_pauses() -> None:
    """S4-6: RTO, twice, four times that; the same bytes each time."""
    packets = run("retransmission").capture.filter("tcp.len > 0 && ip.src == 100.100.100.103")
    times = [packet.time for packet in packets]
    assert [round(b - a, 6) for a, b in itertools.pairwise(times)] == [1.0, 2.0, 4.0]
    assert len({bytes(p.tcp.data) for p in packets if p.tcp}) == 1


def test_s3_16_the_window_closes_and_opens_with_the_reader() -> None:
    """S3-16: it shrinks while nobody reads; an update follows when somebody does."""
    scenario = run("zero-window")
    windows = [p.tcp.window for p in scenario.capture.filter("ip.src == 100.100.100.105") if p.tcp]
    assert windows == [4000, 1120, 0, 0, 0, 0, 4000, 2560, 4000]


def test_s1_51_fragments_are_cut_again_and_joined_at_the_end() -> None:
    """S1-51: no fragment is longer than 576 bytes where they arrive; the ping is answered."""
    scenario = run("fragmentation")
    arrived = [p for p in scenario.capture.packets if not p.outgoing]
    assert max(len(p.data) for p in arrived) <= 576
    assert len(arrived) == 7
    assert scenario.client.counters["icmp echo answered"] == 0


def test_s4_15_nobody_listens() -> None:
    """S4-15: a reset instead of a SYN; acknowledges the SYN plus one."""
    assert names("refused") == ["SYN", "RST-ACK"]


@pytest.mark.parametrize("name", ["handshake", "close1", "close2", "time-wait", "fragmentation"])
def test_j1_scenarios_without_faults_have_no_complaint(name: str, tmp_path: Path) -> None:
    """J1: tshark finds nothing."""
    assert complaints(run(name).capture, tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("lost-ack", {"Retransmission", "Dup ACK"}),
        ("retransmission", {"Retransmission"}),
        ("zero-window", {"Window Full", "ZeroWindow", "ZeroWindowProbe", "ZeroWindowProbeAck",
                         "Window Update"}),
        ("refused", set()),
    ],
)  # fmt: skip
def test_j2_tshark_names_the_fault_and_no_other(name: str, found: set[str], tmp_path: Path) -> None:
    """J2: what was planted, nothing else."""
    assert experts(run(name).capture, tmp_path) == found


def test_scenarios_have_titles_and_know_their_names() -> None:
    """Every one has a line for the list; an unknown one lists those there are."""
    assert title("refused") == "Nobody listens: the SYN is answered by a reset."
    assert all(title(name) for name in SCENARIOS)
    with pytest.raises(ValueError, match="there are handshake, close1"):
        run("nothing")


def test_a_scenario_is_the_same_each_time() -> None:
    """One digest for one seed; another profile is another exchange."""
    assert run("close1").network.digest() == run("close1").network.digest()
    assert run("close1").network.digest() != run("close1", profile="linux").network.digest()


# The command.


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["scenario", *arguments])


def test_the_command_lists_draws_and_saves(tmp_path: Path) -> None:
    """``wsock scenario``: the list; a ladder in ASCII; files that Wireshark reads."""
    listed = command()
    assert [line.split()[0] for line in listed.output.splitlines()] == list(SCENARIOS)
    drawn = command("handshake")
    assert "SYN-ACK seq=0 ack=1" in drawn.output
    assert drawn.output.isascii()
    for ending, magic in (("pcap", b"\x4d\x3c\xb2\xa1"), ("pcapng", b"\x0a\x0d\x0d\x0a")):
        path = tmp_path / f"x.{ending}"
        assert command("refused", "--pcap", str(path)).output == ""
        assert path.read_bytes().startswith(magic)
    piped = command("refused", "--pcap", "-", "--ladder")
    assert piped.stdout_bytes.startswith(b"\x0a\x0d\x0d\x0a")
    assert "RST-ACK" in piped.stderr


def test_a_capture_can_be_watched_while_it_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With --rate packets come in their time; all together they are the same file."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    for ending in ("pcap", "pcapng"):
        at_once, slowly = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
        assert command("close1", "--pcap", str(at_once)).exit_code == 0
        slept.clear()
        assert command("close1", "--pcap", str(slowly), "--rate", "0.5").exit_code == 0
        assert at_once.read_bytes() == slowly.read_bytes()
        capture = run("close1").capture
        assert at_once.read_bytes() == (capture.pcap if ending == "pcap" else capture.pcapng)()
        packets = capture.packets
        assert sum(slept) == pytest.approx((packets[-1].time - packets[0].time) / 0.5)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
@pytest.mark.parametrize("name", SCENARIOS)
def test_tshark_reads_every_scenario_from_a_pipe(name: str) -> None:
    """``wsock scenario NAME --pcap - | tshark -r -``: each packet, and none is malformed."""
    made = command(name, "--pcap", "-").stdout_bytes
    read = subprocess.run(
        ["tshark", "-r", "-", "-T", "fields", "-e", "frame.number", "-e", "_ws.malformed"],
        input=made, capture_output=True, check=True,
    )  # fmt: skip
    rows = read.stdout.decode().splitlines()
    assert [row.strip() for row in rows] == [str(n + 1) for n in range(len(run(name).capture))]


def test_a_file_that_cannot_be_written_is_one_line() -> None:
    """No traceback; exit code 1."""
    result = command("handshake", "--pcap", "/no/such/folder/x.pcap")
    assert result.exit_code == 1
    assert "cannot write" in result.output


def test_the_command_refuses_what_is_not_there() -> None:
    """A usage error that lists the scenarios."""
    result = command("nothing")
    assert result.exit_code == 2
    assert "there are handshake" in result.output


def test_a_rate_lets_the_lines_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """``--rate 2``: twice as fast as real time; the pauses are those between the lines."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    assert command("retransmission", "--rate", "2").exit_code == 0
    assert sum(pauses) == pytest.approx((7.39 - 0.04) / 2)
