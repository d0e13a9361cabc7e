"""Captures: packets, filters, ladders, explanations, files."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsock._filters import FilterSyntaxError
from wsock.virtual.addresses import packed
from wsock.virtual.capture.explain import OSI_LAYERS, explain
from wsock.virtual.capture.fields import FIELDS, InitialNumbers, matcher
from wsock.virtual.capture.ladder import Ladder, StateChange
from wsock.virtual.capture.packet import CapturedPacket
from wsock.virtual.network import Network
from wsock.virtual.tcp.segment import ACK, SYN, build
from wsock.virtual.wire import ipv4

if TYPE_CHECKING:
    from pathlib import Path

    from wsock.virtual.capture import Capture
    from wsock.virtual.node import HostCore


def question_and_answer() -> tuple[Network, HostCore, HostCore, Capture]:
    """A datagram to an open port, one to a closed port, watched at the sender."""
    net = Network(4)
    lan = net.segment("lan", "192.0.2.0/24", latency=0.001)
    a, b = net.host("asker", lan), net.host("answerer", lan)
    capture = net.capture(a)
    endpoint = b.udp.open()
    endpoint.bind(port=5000)
    a.udp.open().send(b"GET it", packed("192.0.2.2"), 5000)
    a.udp.open().send(b"nobody", packed("192.0.2.2"), 5001)
    net.run_until_quiet()
    return net, a, b, capture


def test_packets_are_parsed_objects_with_virtual_times() -> None:
    """``cap.packets``: number, time, direction, headers."""
    _, _, _, capture = question_and_answer()
    packets = capture.packets
    assert [p.number for p in packets] == [1, 2, 3, 4, 5]
    assert [p.name for p in packets] == [
        "ARP request", "ARP reply", "UDP", "UDP", "ICMP port unreachable",
    ]  # fmt: skip
    assert [p.time for p in packets] == [0.0, 0.002, 0.002, 0.002, 0.004]
    assert [p.outgoing for p in packets] == [True, False, True, True, False]
    assert packets[2].udp is not None
    assert bytes(packets[2].udp.data) == b"GET it"
    assert packets[2].ports == (packets[2].udp.source_port, 5000)
    assert all(p.transport_checksum_good for p in packets[2:])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("udp", [3, 4]),
        ("udp.dstport == 5000", [3]),
        ("ip.src == 192.0.2.2", [5]),
        ("ip.addr == 192.0.2.2 && !icmp", [3, 4]),
        ("arp.opcode == 1", [1]),
        ("icmp.type == 3 and icmp.code == 3", [5]),
        ("eth.type == 0x0806", [1, 2]),
        ('udp contains "GET"', [3]),
        ("tcp", []),
        ("frame.time_relative > 0.003", [5]),
        ("udp.payload == 47:45:54:20:69:74", [3]),
        ("frame.len in {42, 48}", [1, 2, 3, 4]),
    ],
)
def test_filters_speak_wiresharks_language(text: str, numbers: list[int]) -> None:
    """``cap.filter``: field names and operators of display filters."""
    _, _, _, capture = question_and_answer()
    assert [packet.number for packet in capture.filter(text)] == numbers


def test_a_filter_with_an_unknown_field_points_at_it() -> None:
    """The error knows the column and the nearest name."""
    with pytest.raises(FilterSyntaxError) as caught:
        matcher("udp.dstprt == 5")
    assert caught.value.column == 1
    assert caught.value.suggestion == "udp.dstport"


def test_a_function_is_a_filter_too() -> None:
    """Anything callable."""
    _, _, _, capture = question_and_answer()
    assert [p.number for p in capture.filter(lambda p: p.outgoing)] == [1, 3, 4]


def test_assert_sequence_is_exact_and_shows_the_ladder() -> None:
    """It passes for exactly these packets; else its text shows what was seen."""
    _, _, _, capture = question_and_answer()
    capture.assert_sequence("UDP", "UDP", where="udp")
    with pytest.raises(AssertionError, match=r"but saw UDP, UDP\n.*time.*asker"):
        capture.assert_sequence("UDP", where="udp")


def test_the_ladder_draws_hosts_as_columns_and_packets_as_arrows() -> None:
    """Names above, time at the left, the arrow's way is the packet's."""
    net, a, b, capture = question_and_answer()
    with net.partition(a, b):
        a.udp.open().send(b"lost", packed("192.0.2.2"), 5000)
        net.run_until_quiet()
    head, *lines = capture.ladder().splitlines()
    assert head.split() == ["time", "asker", "answerer"]
    assert lines[0].split()[0] == "0.000000"
    assert "ARP who has 192.0.2.2?" in lines[0]
    assert lines[0].endswith("->|")
    assert "|<" in lines[1]
    assert lines[5].endswith("X|  [dropped by partition asker answerer]")
    assert len(capture.ladder(last=2).splitlines()) == 3
    assert len(capture.ladder("udp").splitlines()) == 4


def test_a_broadcast_has_a_column_of_its_own_at_the_right() -> None:
    """What is sent to everybody goes to ``(all)``."""
    net, a, _, capture = question_and_answer()
    sender = a.udp.open()
    sender.broadcast = True
    sender.send(b"x", b"\xff\xff\xff\xff", 9)
    net.run_until_quiet()
    assert capture.ladder().splitlines()[0].split() == ["time", "asker", "answerer", "(all)"]


def test_s1_41_s4_12_explain_names_the_osi_layer_of_each_header() -> None:
    """S1-41: line, adapter, network, transport, and what is above; in this order."""
    _, _, _, capture = question_and_answer()
    lines = capture.explain(3).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "layer 1 (physical)", "layer 2 (data link)", "layer 3 (network)",
        "layer 4 (transport)", "layers 5 to 7 (session, presentation, application)",
    ]  # fmt: skip
    assert "Ethernet (MAC header) 02:00:00:00:00:01 > 02:00:00:00:00:02" in lines[2]
    assert "IPv4 192.0.2.1 > 192.0.2.2" in lines[3]
    assert "GET it" in lines[5]
    assert [name for _, name, _ in OSI_LAYERS] == [
        "application", "presentation", "session", "transport", "network", "data link", "physical",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no packet 99"):
        capture.explain(99)


def test_one_capture_watches_one_interface_unless_merged() -> None:
    """Two points in one file look like retransmissions: who wants that says so."""
    net, a, b, _ = question_and_answer()
    with pytest.raises(ValueError, match="one interface"):
        net.capture(a, b)
    merged = net.capture(net.media["lan"], merged=True)
    a.udp.open().send(b"x", packed("192.0.2.2"), 5000)
    net.run_until_quiet()
    assert [p.interface for p in merged.packets] == ["asker.eth0", "answerer.eth0"]


def test_a_closed_capture_sees_nothing_more() -> None:
    """What was captured stays."""
    net, a, _, capture = question_and_answer()
    capture.close()
    a.udp.open().send(b"x", packed("192.0.2.2"), 5000)
    net.run_until_quiet()
    assert len(capture) == 5


def test_loopback_can_be_watched_and_shows_each_packet_once() -> None:
    """As tcpdump on lo shows it."""
    net = Network()
    a = net.host("a")
    capture = net.capture(a.lo)
    a.udp.open().send(b"x", packed("127.0.0.1"), 9)
    net.run_until_quiet()
    assert [p.name for p in capture.packets] == ["UDP", "ICMP port unreachable"]


def test_pcap_has_nanoseconds_link_type_and_every_byte(tmp_path: Path) -> None:
    """Magic a1b23c4d, link type 1, times in seconds and nanoseconds."""
    _, _, _, capture = question_and_answer()
    path = tmp_path / "x.pcap"
    capture.save(path, epoch=datetime(2026, 1, 1, tzinfo=UTC))
    data = path.read_bytes()
    magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHiIII", data)
    assert (magic, link_type) == (0xA1B23C4D, 1)
    position, seen = 24, []
    while position < len(data):
        whole, part, length, _ = struct.unpack_from("<IIII", data, position)
        seen.append((whole - 1767225600, part, data[position + 16 : position + 16 + length]))
        position += 16 + length
    assert seen == [(0, p.time_ns, p.data) for p in capture.packets]


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """The blocks of a pcapng file; each must end with its length again."""
    result, position = [], 0
    while position < len(data):
        kind, length = struct.unpack_from("<II", data, position)
        assert struct.unpack_from("<I", data, position + length - 4) == (length,)
        assert length % 4 == 0
        result.append((kind, data[position + 8 : position + length - 4]))
        position += length
    return result


def test_pcapng_blocks_interfaces_directions_comments_and_names() -> None:
    """Section header, interface with name and resolution, names, packets with their options."""
    net, a, b, capture = question_and_answer()
    with net.partition(a, b):
        a.udp.open().send(b"lost", packed("192.0.2.2"), 5000)
        net.run_until_quiet()
    found = blocks(capture.pcapng())
    assert [kind for kind, _ in found] == [0x0A0D0D0A, 1, 4] + [6] * 6
    assert b"asker.eth0" in found[1][1]
    assert b"\x09\x00\x01\x00\x09" in found[1][1]  # if_tsresol 9
    assert packed("192.0.2.2") + b"answerer\0" in found[2][1]
    assert b"dropped by partition asker answerer" in found[-1][1]
    _, high, low, length, original = struct.unpack_from("<IIIII", found[-1][1])
    assert (high << 32 | low, length, original) == (capture.packets[-1].time_ns, 46, 46)


def test_mixed_link_types_need_pcapng() -> None:
    """A pcap file has one link type; pcapng has one for each interface."""
    net, a, _, _ = question_and_answer()
    net.link(a, net.host("c"))
    merged = net.capture(a, merged=True)
    with pytest.raises(ValueError, match="write pcapng"):
        merged.pcap()
    assert [kind for kind, _ in blocks(merged.pcapng())][:3] == [0x0A0D0D0A, 1, 1]


def test_digest_covers_bytes_and_times_of_all_captures() -> None:
    """D8: the same run, the same digest; one more packet, another one."""
    net, a, _, _ = question_and_answer()
    other = question_and_answer()[0]
    assert net.digest() == other.digest()
    a.udp.open().send(b"x", packed("192.0.2.2"), 5000)
    net.run_until_quiet()
    assert net.digest() != other.digest()


def test_sequence_numbers_are_relative_to_the_first() -> None:
    """``tcp.seq`` counts from the SYN, or from the first segment seen."""

    here, there = packed("10.0.0.1"), packed("10.0.0.2")

    def packet(seq: int, flags: int, data: bytes = b"") -> CapturedPacket:
        segment = build(here, there, 1, 2, seq, 7, flags, 100, data=data)
        return CapturedPacket(
            1, 0, "a.eth0", 101, ipv4.build(here, there, 6, segment), outgoing=True
        )

    numbers = InitialNumbers()
    is_data = matcher("tcp.seq == 1 && tcp.len == 3", numbers)
    for seen in (packet(2**32 - 1, SYN), packet(0, ACK, b"abc")):
        numbers.see(seen)
    assert is_data(packet(0, ACK, b"abc"))
    assert not is_data(packet(1, ACK, b"abc"))


@given(st.binary(max_size=120), st.sampled_from([1, 101]))
def test_any_bytes_can_be_captured_drawn_explained_and_filtered(data: bytes, kind: int) -> None:
    """Lenient reading: whatever crosses a wire can be shown; every field can be asked for."""
    packet = CapturedPacket(1, 0, "a.eth0", kind, data, outgoing=False)
    assert explain(packet)
    assert len(Ladder([packet], lambda address: address.hex()).lines()) == 2
    for field in FIELDS:
        assert matcher(field)(packet) in (True, False)
    assert packet.transport_checksum_good in (True, False, None)


def test_explain_of_arp_fragments_and_empty_segments() -> None:
    """Every kind of packet has its words."""
    net, a, _, capture = question_and_answer()
    assert "ARP: who has 192.0.2.2? tell 192.0.2.1" in capture.explain(1)
    assert "ARP: 192.0.2.2 is at 02:00:00:00:00:02" in capture.explain(2)
    a.udp.open().send(bytes(2000), packed("192.0.2.2"), 5000)
    net.run_until_quiet()
    later = capture.filter("ip.frag_offset > 0")[0]
    assert later.name == "IP protocol 17 fragment at 1480"
    assert "offset 1480" in capture.explain(later.number)
    segment = build(packed("192.0.2.1"), packed("192.0.2.2"), 1, 2, 3, 4, SYN | ACK, 100)
    data = ipv4.build(packed("192.0.2.1"), packed("192.0.2.2"), 6, segment)
    text = explain(CapturedPacket(1, 0, "a.eth0", 101, data, outgoing=True))
    assert "TCP 1 > 2, SYN-ACK, SEQ 3, ACK 4" in text
    assert "no data, control information only" in text


def test_explain_shows_bad_checksums_and_remarks() -> None:
    """What is wrong is said."""
    packet = CapturedPacket(
        1, 0, "a.eth0", 101,
        ipv4.build(packed("192.0.2.1"), packed("192.0.2.2"), 17, bytes(7) + b"\x01"),
        outgoing=True,
    )  # fmt: skip
    packet.comments.append("dropped by rain")
    text = explain(packet)
    assert "checksum BAD" in text
    assert text.endswith("remark: dropped by rain")


def test_the_ladder_shows_announcements_own_packets_and_long_texts() -> None:
    """Packets to everybody, to the host itself, and texts that do not fit on the arrow."""
    net, a, _, capture = question_and_answer()
    interface = a.interfaces["eth0"]
    interface.announce()  # type: ignore[attr-defined]
    net.run_until_quiet()
    assert "(all)" in capture.ladder(last=1)
    inside = net.capture(a.lo)
    a.udp.open().send(b"x", packed("127.0.0.1"), 9)
    net.run_until_quiet()
    assert "(to itself)" in inside.ladder()
    segment = build(
        packed("192.0.2.1"), packed("192.0.2.2"), 65535, 65534, 2**32 - 1, 2**31, 0xFF, 65535,
        data=bytes(1000),
    )  # fmt: skip
    data = ipv4.build(packed("192.0.2.1"), packed("192.0.2.2"), 6, segment)
    packet = CapturedPacket(1, 0, "a.eth0", 101, data, outgoing=True)
    line = Ladder([packet], lambda address: str(address[3]), relative=False).lines()[1]
    assert "..." in line
    assert "len=1000" in line


def test_states_of_hosts_that_have_no_column_are_named() -> None:
    """A state change beyond the drawn packets still has its line."""
    change = StateChange(5, "elsewhere", "LISTEN")
    assert Ladder([], str, [change]).lines()[1].endswith("elsewhere: LISTEN")
