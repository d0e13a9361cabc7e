"""Whole exchanges over TCP, UDP and ICMP, judged by tshark (J1, J2)."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from talkers import Talker, dial, serve

from wsock.virtual.addresses import packed
from wsock.virtual.netstat import as_text
from wsock.virtual.network import Network
from wsock.virtual.probes import Ping
from wsock.virtual.tcp import State

if TYPE_CHECKING:
    from wsock.virtual.capture import Capture
    from wsock.virtual.node import HostCore

REQUEST = b"GET / HTTP/1.0\r\nHost: server.example\r\n\r\n"
COMPLAINTS = (
    "(tcp.analysis.flags && !tcp.analysis.window_update) || _ws.malformed || "
    "tcp.checksum.status == 0 || ip.checksum.status == 0 || udp.checksum.status == 0"
)


def tshark(capture: Capture, folder: Path, *arguments: str) -> str:
    """Let tshark read a capture, checksums checked; return what it prints."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("tshark is not installed")
    path = folder / "capture.pcapng"
    capture.save(path)
    command = [program, "-r", str(path)]
    for protocol in ("tcp", "ip", "udp"):
        command += ["-o", f"{protocol}.check_checksum:TRUE"]
    result = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return result.stdout


def complaints(capture: Capture, folder: Path) -> str:
    """What tshark's experts find wrong with a capture."""
    return tshark(capture, folder, "-Y", COMPLAINTS)


def web(
    body: bytes, *, profile: str = "rfc", **conditions: float
) -> tuple[Network, HostCore, HostCore, Talker]:
    """A client about to fetch ``body`` from a server that closes after the answer."""
    net = Network(seed=7)
    lan = net.segment("lan", "192.0.2.0/24", **conditions)
    server = net.host("server.example", lan, profile=profile)
    client = net.host("client.example", lan, "192.0.2.20", profile=profile)

    def answer(talker: Talker) -> None:
        whole = talker.received.startswith(b"GET") or len(talker.received) > 1000
        if whole and talker.received.endswith(b"\r\n\r\n"):
            talker.send(b"HTTP/1.0 200 OK\r\n\r\n" + body)
            talker.close()

    serve(server, 80, lambda: Talker(answer))
    browser = Talker()
    dial(client, browser, packed("192.0.2.1"), 80)
    return net, client, server, browser


def fetch(net: Network, browser: Talker) -> bytes:
    """Send the request, run until everything is closed, return the body."""
    net.run_until(lambda: "connected" in browser.events)
    browser.send(REQUEST)
    net.run_until(lambda: "peer closed" in browser.events)
    net.run_until_quiet(0.5)
    return bytes(browser.received).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("profile", ["rfc", "linux", "windows2000"])
def test_j1_an_http_exchange_without_faults_has_no_complaint(profile: str, tmp_path: Path) -> None:
    """J1: handshake, request, answer, close; tshark finds nothing at either end."""
    net, client, server, browser = web(b"hello", profile=profile, latency=0.001)
    captures = [net.capture(client), net.capture(server)]
    assert fetch(net, browser) == b"hello"
    assert [complaints(capture, tmp_path) for capture in captures] == ["", ""]
    names = [packet.name for packet in captures[0].filter("tcp")]
    assert names[:4] == ["SYN", "SYN-ACK", "ACK", "PSH-ACK"]
    assert len(captures[0].filter("tcp.flags.fin == 1")) == 2


def test_j1_a_megabyte_each_way_has_no_complaint(tmp_path: Path) -> None:
    """J1: bulk data in both directions over a wire with latency and bandwidth."""
    body = random.Random(1).randbytes(1_000_000)
    net, client, server, browser = web(body, latency=0.005, bandwidth=50_000_000)
    captures = [net.capture(client), net.capture(server)]
    net.run_until(lambda: "connected" in browser.events)
    head = f"PUT /x HTTP/1.0\r\nContent-Length: {len(body) + 4}\r\n\r\n"
    browser.send(head.encode() + body + b"\r\n\r\n")
    net.run_until(lambda: "peer closed" in browser.events)
    net.run_until_quiet(0.5)
    assert hashlib.sha256(browser.received[-len(body) :]).digest() == hashlib.sha256(body).digest()
    assert [complaints(capture, tmp_path) for capture in captures] == ["", ""]


def test_j1_fragments_ping_and_datagrams_have_no_complaint(tmp_path: Path) -> None:
    """J1: IP fragments, ICMP and UDP through a router, at the far end."""
    net = Network()
    a, _, b = net.chain("a", "r", "b", mtu=576, latency=0.001)
    capture = net.capture(b)
    far = packed(str(b.address))
    listener = b.udp.open()
    listener.bind(port=4000)
    a.udp.open().send(bytes(3000), far, 4000)
    a.udp.open().send(b"closed", far, 4001)
    Ping(a, far, size=2000, count=2)
    net.run_for(5)
    assert listener.waiting == 1
    assert complaints(capture, tmp_path) == ""
    assert "Echo (ping) reply" in tshark(capture, tmp_path)


def test_tshark_reads_names_directions_and_comments(tmp_path: Path) -> None:
    """Sheet 8: interface name, nanoseconds, comments on what was dropped, host names."""
    net, client, _, browser = web(b"x" * 5000, latency=0.001)
    capture = net.capture(client)
    with net.drop("tcp.flags.syn == 1", client, count=1, both=False):
        fetch(net, browser)
    columns = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment"]
    lines = tshark(capture, tmp_path, *columns).splitlines()
    assert lines[0].split("\t")[0] == "client.example.eth0"
    commented = [line for line in lines if "dropped by drop tcp.flags.syn == 1" in line]
    assert len(commented) == 1
    resolved = tshark(capture, tmp_path, "-N", "n", "-Y", "tcp", "-c", "4")
    assert "client.example → server.example" in resolved


def experts(capture: Capture, folder: Path) -> set[str]:
    """The names of tshark's TCP findings in a capture, duplicate ACKs without their numbers."""
    columns = ["-T", "fields", "-e", "_ws.col.Info"]
    text = tshark(capture, folder, "-Y", "tcp.analysis.flags", *columns)
    found = {part.split("]")[0] for line in text.splitlines() for part in line.split("[TCP ")[1:]}
    return {"Dup ACK" if name.startswith("Dup ACK") else name for name in found} - {
        "segment of a reassembled PDU"
    }


def test_j2_a_lost_syn_is_a_retransmission_and_nothing_else(tmp_path: Path) -> None:
    """J2: the planted fault is named, at the sender."""
    net, client, _, browser = web(b"hello", latency=0.001)
    capture = net.capture(client)
    with net.drop("tcp.flags.syn == 1 && tcp.flags.ack == 0", count=1):
        assert fetch(net, browser) == b"hello"
    assert experts(capture, tmp_path) == {"Retransmission"}
    lost, resent = capture.filter("tcp.flags.syn == 1 && tcp.flags.ack == 0")
    assert lost.comments == ["dropped by drop tcp.flags.syn == 1 && tcp.flags.ack == 0"]
    assert resent.comments == ["RTO 1, backoff x2"]
    assert "[RTO 1, backoff x2]" in capture.ladder()


def test_j2_a_lost_segment_among_many_is_seen_as_such(tmp_path: Path) -> None:
    """J2: duplicate ACKs and a fast retransmission at the sender; the data arrive whole."""
    body = random.Random(2).randbytes(100_000)
    net, _, server, browser = web(body, latency=0.01)
    capture = net.capture(server)
    with net.drop("tcp.len > 0 && tcp.srcport == 80", server, nth=20, count=1, both=False):
        assert fetch(net, browser) == body
    assert experts(capture, tmp_path) == {"Dup ACK", "Fast Retransmission"}


def test_j2_a_corrupted_segment_has_a_bad_checksum_at_the_receiver(tmp_path: Path) -> None:
    """J2: the planted frame, and its retransmission, are all that is wrong."""
    net, client, server, browser = web(b"y" * 3000, latency=0.001)
    capture = net.capture(client)
    net.run_until(lambda: "connected" in browser.events)
    browser.send(REQUEST)
    net.run_until(lambda: len(capture.filter("tcp.len > 0")) == 1)
    with net.corrupt(1.0, server, client, both=False):
        net.run_until(lambda: bool(capture.filter("tcp.srcport == 80 && tcp.len > 0")))
    net.run_until(lambda: "peer closed" in browser.events)
    assert browser.received.endswith(b"y" * 3000)
    bad = "tcp.checksum.status == 0 || ip.checksum.status == 0 || eth.type != 0x0800 && !arp"
    assert tshark(capture, tmp_path, "-Y", bad) != ""


def test_s3_5_s3_7_closing_order_and_time_wait_in_the_ladder() -> None:
    """S3-5, S3-6: FIN, ACK, FIN, ACK; the side that closed first stays in TIME-WAIT."""
    net, client, server, browser = web(b"", latency=0.001)
    capture = net.capture(client)
    fetch(net, browser)
    ends = [p.name for p in capture.filter("tcp")][-4:]
    assert ends[0] == "PSH-ACK" or "FIN" in ends[0]
    assert [c.state for c in server.tcp.connections()] == [State.TIME_WAIT]
    assert client.tcp.connections() == []
    ladder = capture.ladder()
    for state in ("SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "CLOSE-WAIT", "LAST-ACK", "TIME-WAIT"):
        assert state in ladder
    net.run_for(300)
    assert server.tcp.connections() == []


def test_s3_12_the_handshake_ends_without_data_also_if_the_client_sends_at_once() -> None:
    """S3-12, S4-11: three packets without data, then the request in a packet of its own."""
    net, client, _, browser = web(b"x", latency=0.001)
    capture = net.capture(client)
    fetch(net, browser)
    lengths = [len(p.tcp.data) for p in capture.filter("tcp")[:4] if p.tcp]
    assert lengths == [0, 0, 0, len(REQUEST)]


def test_a_partition_that_heals_is_survived() -> None:
    """Sheet 7: TCP keeps resending; nothing is lost, only time."""
    body = random.Random(3).randbytes(50_000)
    net, client, server, browser = web(body, latency=0.01)
    net.at(0.05, net.partition, client, server, lasting=5.0)
    assert fetch(net, browser) == body
    assert net.time > 5.0


def test_reset_forges_a_rst_that_one_end_believes() -> None:
    """Sheet 7: the victim is reset; the other end learns when it sends next."""
    net, client, server, browser = web(b"", latency=0.001)
    net.run_until(lambda: "connected" in browser.events)
    net.run_until_quiet(0.01)
    assert browser.connection is not None
    net.reset(browser.connection)
    net.run_until_quiet(0.01)
    assert any(event.startswith("reset") for event in browser.events)
    assert [c.state for c in server.tcp.connections()] == [State.ESTABLISHED]
    assert client.tcp.connections() == []


def test_a_crashed_peer_is_silent_and_answers_rst_after_its_restart() -> None:
    """Sheet 7: no FIN and no RST leaves at the crash; after the restart the data meet a RST."""
    net, client, server, browser = web(b"", latency=0.001)
    net.run_until(lambda: "connected" in browser.events)
    net.run_until_quiet(0.01)
    capture = net.capture(server)
    server.crash()
    browser.send(b"anybody there?")
    net.run_for(2)
    assert [p for p in capture.packets if p.outgoing] == []
    server.restart()
    net.run_until(lambda: any(event.startswith("reset") for event in browser.events))
    assert client.tcp.connections() == []


def test_netstat_shows_listeners_connections_and_datagram_sockets() -> None:
    """Sheet 8: local, remote, state, queues, cwnd, RTO."""
    net, client, server, browser = web(b"", latency=0.001)
    endpoint = server.udp.open()
    endpoint.bind(port=53)
    net.run_until(lambda: "connected" in browser.events)
    net.run_until_quiet(0.01)
    rows = server.netstat()
    assert [(row.protocol, row.local, row.state) for row in rows] == [
        ("tcp", "*:80", "LISTEN"), ("tcp", "192.0.2.1:80", "ESTABLISHED"), ("udp", "*:53", ""),
    ]  # fmt: skip
    assert rows[1].cwnd == 10 * 1448 or rows[1].cwnd == 10 * 1460
    assert client.netstat()[0].remote == "192.0.2.1:80"


def digest_of_a_faulty_run(seed: int) -> str:
    """Fetch over a bad wire; return the digest of both captures."""
    net = Network(seed)
    lan = net.segment("lan", "192.0.2.0/24", latency=0.01, jitter=0.005)
    server, client = net.host("server", lan), net.host("client", lan)

    def answer(talker: Talker) -> None:
        talker.send(bytes(30_000))
        talker.close()

    serve(server, 80, lambda: Talker(answer))
    browser = Talker()
    dial(client, browser, packed("192.0.2.1"), 80)
    net.capture(client)
    net.capture(server)
    with net.loss(0.05), net.duplicate(0.05), net.reorder(0.05):
        net.run_until(lambda: "connected" in browser.events)
        browser.send(REQUEST)
        net.run_until(lambda: "peer closed" in browser.events)
    return net.digest()


def test_j7_one_seed_one_digest() -> None:
    """D1, D8: the same seed gives the same bytes at the same times; another one does not."""
    assert digest_of_a_faulty_run(1) == digest_of_a_faulty_run(1) != digest_of_a_faulty_run(2)


DIGEST = """
import sys
sys.path.insert(0, sys.argv[1])
from test_exchange import digest_of_a_faulty_run
print(digest_of_a_faulty_run(5))
"""


def test_j7_the_hash_seed_of_python_has_no_part_in_it() -> None:
    """D1, D6: runs with different PYTHONHASHSEED give one digest."""
    folder = str(Path(__file__).parent)
    digests = set()
    for hash_seed in ("0", "1", "77", "random"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", DIGEST, folder]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        digests.add(result.stdout)
    assert len(digests) == 1


def test_netstat_as_text_is_a_table() -> None:
    """Columns line up; a host that is off has nothing."""
    net, client, server, browser = web(b"")
    net.run_until(lambda: "connected" in browser.events)
    client.raw.open(1)
    head, *lines = as_text(client.netstat()).splitlines()
    assert head.split() == [
        "proto", "local", "remote", "state", "unread", "unsent", "cwnd", "rto",
    ]  # fmt: skip
    assert lines[0].split()[3] == "ESTABLISHED"
    assert lines[1].split()[0] == "raw"
    server.crash()
    assert server.netstat() == []
