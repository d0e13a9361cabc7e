"""IPv4 fragments and reassembly (checklist IP4, IP5)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipv4_hosts import (
    HERE,
    PROTOCOL,
    THERE,
    linked,
    note,
    noting_network,
    parsed,
    routed,
)

from wsock.virtual.addresses import packed
from wsock.virtual.layers import LocalError
from wsock.virtual.scheduler import NANOSECONDS
from wsock.virtual.wire import ipv4


def test_ip4_s1_51_a_router_fragments_to_the_smallest_mtu() -> None:
    """IP4, S1-51: path 1500-576: every fragment fits 576, the data arrive equal."""
    net, a, _, b = routed(mtu=576)
    cap = net.capture(b)
    data = random.Random(1).randbytes(3000)
    a.ipv4.send(PROTOCOL, None, packed(str(b.address)), data)
    net.run_until_quiet()
    assert note(b).packets == [data]
    assert len(cap) > 5
    assert all(len(packet.data) <= 576 for packet in cap.packets)


def test_ip4_s1_56_s1_57_s1_58_identification_flags_and_offsets_of_fragments() -> None:
    """S1-56, 57, 58: one identification, MF on all but the last, offsets in units of 8 bytes."""
    net, a, _ = linked(mtu=576)
    cap = net.capture(a)
    a.ipv4.send(PROTOCOL, None, THERE, bytes(1500))
    a.ipv4.send(PROTOCOL, None, THERE, bytes(700))
    net.run_until_quiet()
    packets = [p.ip for p in cap.packets if p.ip is not None]
    first, second = packets[:3], packets[3:]
    assert [p.more_fragments for p in first] == [True, True, False]
    assert [p.offset for p in first] == [0, 552, 1104]
    assert all(p.offset % 8 == 0 for p in packets)
    assert len({p.identification for p in first}) == 1
    assert {p.identification for p in first} != {p.identification for p in second}


def test_ip4_s1_57_df_over_a_small_mtu_is_answered_with_the_next_hop_mtu() -> None:
    """IP4, S1-57: DF set and too long: dropped, ICMP 3/4 names the MTU; the sender believes it."""
    net, a, r, b = routed(mtu=576)
    destination = packed(str(b.address))
    assert a.ipv4.send(PROTOCOL, None, destination, bytes(1000), dont_fragment=True) is None
    net.run_until_quiet()
    assert note(a).errors == [(3, 4, 576)]
    assert note(b).packets == []
    assert r.counters["ip too long and must not be fragmented"] == 1
    again = a.ipv4.send(PROTOCOL, None, destination, bytes(1000), dont_fragment=True)
    assert again is LocalError.EMSGSIZE
    route = a.ipv4.route(destination)
    assert route is not None
    assert route.mtu == 576


def test_a_learned_path_mtu_fades_after_ten_minutes() -> None:
    """RFC 1191 section 6.3: the path may have become better."""
    net, a, _, b = routed()
    destination = packed(str(b.address))
    a.ipv4.learn_path_mtu(destination, 600)
    net.run_for(599)
    assert a.ipv4.route(destination).mtu == 600  # type: ignore[union-attr]
    net.run_for(2)
    assert a.ipv4.route(destination).mtu == 1500  # type: ignore[union-attr]


def test_copied_options_are_in_every_fragment_and_others_in_the_first() -> None:
    """RFC 791 section 3.1: the copied flag decides."""
    copied, once = bytes([0x88, 4, 1, 2]), bytes([0x44, 4, 5, 0])
    packet = parsed(ipv4.build(HERE, THERE, 17, bytes(100), options=once + copied))
    first, *rest = [parsed(piece) for piece in ipv4.fragments(packet, 76)]
    assert bytes(first.options) == once + copied
    assert rest
    assert all(bytes(piece.options) == copied for piece in rest)


def pieces_of(payload: bytes, mtu: int = 68, identification: int = 7) -> list[bytes]:
    """Cut a packet from 10.0.0.1 to 10.0.0.2."""
    whole = ipv4.build(HERE, THERE, PROTOCOL, payload, identification=identification)
    return ipv4.fragments(parsed(whole), mtu)


@given(st.data())
def test_ip5_s1_58_fragments_in_any_order_with_duplicates_rebuild(data: st.DataObject) -> None:
    """IP5, S1-58: shuffled fragments, some twice, give the packet back, once."""
    payload = data.draw(st.binary(min_size=49, max_size=400))
    pieces = pieces_of(payload)
    extra = data.draw(st.lists(st.sampled_from(pieces), max_size=4))
    _, _, b = linked()
    order = data.draw(st.permutations(pieces + extra))
    for piece in order:
        b.interfaces["eth0"].deliver(piece)
    assert payload in note(b).packets
    assert all(packet == payload for packet in note(b).packets)


def test_ip5_fragments_of_fragments_rebuild() -> None:
    """IP5: a fragment cut again on its way (1500-576-296) still fits in."""
    payload = random.Random(2).randbytes(2000)
    _, _, b = linked()
    for piece in pieces_of(payload, 576):
        for smaller in ipv4.fragments(parsed(piece), 296):
            b.interfaces["eth0"].deliver(smaller)
    assert note(b).packets == [payload]


def test_ip5_overlapping_fragments_drop_the_whole_packet() -> None:
    """IP5: what overlaps without being the same is an attack: nothing of the packet is used."""
    payload = random.Random(3).randbytes(96)
    pieces = pieces_of(payload)
    forged = ipv4.build(
        HERE, THERE, PROTOCOL, bytes(16), identification=7,
        flags_offset=ipv4.MORE_FRAGMENTS | 5,
    )  # fmt: skip
    _, _, b = linked()
    for piece in [pieces[0], forged, *pieces]:
        b.interfaces["eth0"].deliver(piece)
    assert note(b).packets == []
    assert b.counters["ip fragments overlap"] >= 1


@pytest.mark.parametrize(("first_came", "errors"), [(True, [(11, 1, 0)]), (False, [])])
def test_ip5_after_60_s_an_unfinished_packet_goes_and_11_1_is_sent(
    first_came: bool, errors: list[tuple[int, int, int]]
) -> None:
    """IP5: 60 s after the first fragment; ICMP 11/1 only if the one with offset 0 is there."""
    net, a, b = linked()
    pieces = pieces_of(bytes(96))
    b.interfaces["eth0"].deliver(pieces[0] if first_came else pieces[1])
    net.run_for(59.9)
    assert b.counters["ip reassembly timed out"] == 0
    net.run_for(0.2)
    assert b.counters["ip reassembly timed out"] == 1
    assert note(a).errors == errors


def test_ip5_memory_for_unfinished_packets_is_bounded() -> None:
    """IP5: a flood of first fragments pushes out the oldest, never more than 64 are kept."""
    _, _, b = linked()
    for identification in range(200):
        b.interfaces["eth0"].deliver(pieces_of(bytes(96), identification=identification)[0])
    assert b.counters["ip reassembly memory full"] == 200 - 64


def test_ip5_a_fragment_beyond_65535_bytes_is_dropped() -> None:
    """IP5: the ping of death is a counter."""
    _, _, b = linked()
    data = ipv4.build(HERE, THERE, PROTOCOL, bytes(600), flags_offset=8189)
    b.interfaces["eth0"].deliver(data)
    assert b.counters["ip fragment beyond 65535 bytes or empty"] == 1


def test_reassembly_timeout_is_the_profiles() -> None:
    """Linux keeps fragments for 30 s, the RFC profile for 60 s."""
    net = noting_network()
    a = net.host("a")
    b = net.host("b", profile="linux")
    net.link(a, b)
    b.interfaces["eth0"].deliver(pieces_of(bytes(96))[0])
    net.run_for(30.1)
    assert b.counters["ip reassembly timed out"] == 1
    assert net.scheduler.now == int(30.1 * NANOSECONDS)


@pytest.mark.parametrize("later_first", [True, False])
def test_ip5_fragments_that_contradict_the_length_drop_the_packet(later_first: bool) -> None:
    """IP5: a fragment behind the last one, or a second last one elsewhere."""
    _, _, b = linked()

    def piece(offset: int, *, more: bool) -> bytes:
        flags = offset // 8 | (ipv4.MORE_FRAGMENTS if more else 0)
        return ipv4.build(HERE, THERE, PROTOCOL, bytes(8), identification=3, flags_offset=flags)

    pieces = [piece(8, more=False), piece(16, more=True)]
    for data in [*(reversed(pieces) if later_first else pieces), piece(0, more=True)]:
        b.interfaces["eth0"].deliver(data)
    assert note(b).packets == []
    assert b.counters["ip fragments overlap"] == 2


def test_an_mtu_that_cannot_carry_eight_bytes_makes_no_fragments() -> None:
    """RFC 791: 68 is the least; below, there is nothing to send."""
    whole = parsed(ipv4.build(HERE, THERE, PROTOCOL, bytes(100), options=bytes(40)))
    assert ipv4.fragments(whole, 66) == []
    assert "10.0.0.1 > 10.0.0.2 protocol 253" in repr(whole)
