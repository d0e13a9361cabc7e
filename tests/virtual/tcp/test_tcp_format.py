"""Wire format and sequence space: checklist lines 1 to 6."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from tcp_wire import A, B, Packet, Pair, Script

from wsock.virtual.checksum import transport_checksum, transport_verifies
from wsock.virtual.random_streams import RandomStreams
from wsock.virtual.tcp import seq
from wsock.virtual.tcp.initial_sequence import TICK_NS, InitialSequence
from wsock.virtual.tcp.options import Options, parse_options
from wsock.virtual.tcp.segment import ACK, FIN, PSH, SYN, Segment, build, flags_text, parse

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)


def read(raw: bytes) -> Segment:
    segment = parse(A, B, memoryview(raw))
    assert isinstance(segment, Segment), segment
    return segment


@given(U16, U16, U32, U32, st.integers(0, 255), U16, U16, st.binary(max_size=50))
def test_01_header_encodes_and_decodes_all_fields_and_eight_flags(
    sport: int, dport: int, number: int, ack: int, flags: int, window: int, urgent: int, data: bytes
) -> None:
    """Every field comes back as it went in; the window is unsigned (MUST-1)."""
    s = read(build(A, B, sport, dport, number, ack, flags, window, urgent, b"", data))
    fields = (s.source_port, s.destination_port, s.seq, s.ack, s.flags, s.window, s.urgent)
    assert fields == (sport, dport, number, ack, flags, window, urgent)
    assert bytes(s.data) == data
    assert s.length == len(data) + bool(flags & SYN) + bool(flags & FIN)


def test_01_flags_have_names() -> None:
    """SYN,ACK is written as the RFC writes it."""
    assert flags_text(SYN | ACK) == "SYN,ACK"
    assert flags_text(FIN | PSH | ACK) == "FIN,PSH,ACK"
    assert flags_text(0) == ""


@given(st.binary(max_size=101))
def test_02_checksum_with_pseudo_header_is_made_and_checked(data: bytes) -> None:
    """The sum over pseudo-header, header and data is right, odd lengths too (MUST-2, 3)."""
    raw = bytes(build(A, B, 1, 2, 3, 4, ACK, 5, 0, b"", data))
    assert transport_verifies(A, B, 6, raw)
    without = raw[:16] + b"\0\0" + raw[18:]
    assert struct.unpack_from("!H", raw, 16)[0] == transport_checksum(A, B, 6, without)


def test_02_a_known_segment() -> None:
    """A SYN whose checksum was added up by hand: words of pseudo-header and header."""
    raw = build(bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 0x1234, 80, 1, 0, SYN, 0x2000)
    # 0a00+0001 + 0a00+0002 + 0006+0014 + 1234+0050+0000+0001+0000+0000+5002+2000+0000+0000
    total = 0x0A00 + 1 + 0x0A00 + 2 + 6 + 20 + 0x1234 + 80 + 1 + 0x5002 + 0x2000
    assert raw[16:18] == (0xFFFF - total).to_bytes(2, "big")


@given(st.integers(0, 8 * 23 - 1))
def test_02_a_flipped_bit_is_dropped_and_counted(bit: int) -> None:
    """A segment damaged in any one bit changes nothing but a counter."""
    script = Script()
    script.listen()
    raw = bytearray(build(A, B, 5, 80, 1000, 0, SYN, 65535, 0, b"", b"abc"))
    raw[bit // 8] ^= 0x80 >> bit % 8
    assert parse(A, B, memoryview(bytes(raw))) == "tcp bad checksum"
    script.host.tcp.receive(Packet(A, B, memoryview(bytes(raw))))
    assert script.outputs() == []
    assert script.host.counters == {"tcp bad checksum": 1}


def test_03_options_are_read_in_any_segment_and_alignment() -> None:
    """NOPs before an option move it off its word; it is read all the same (MUST-4, 5, 64)."""
    for nops in range(4):
        body = b"\x01" * nops + b"\x02\x04\x05\xb4" + b"\x00" * 4
        raw = build(A, B, 1, 2, 0, 0, ACK, 0, 0, body[: 4 * (len(body) // 4)])
        assert read(raw).options.mss == 1460


def test_03_unknown_options_are_skipped_and_end_of_list_ends() -> None:
    """An unknown kind is stepped over by its length (MUST-6); nothing after kind 0 counts."""
    body = bytes((253, 6, 9, 9, 9, 9)) + b"\x02\x04\x02\x18" + b"\x00" + b"\x02\x04\xff\xff\x01"
    options = parse_options(memoryview(body))
    assert options.mss == 536
    assert not options.damaged


def test_03_bad_lengths_are_survived() -> None:
    """Length 0, 1, beyond the header, and wrong for the kind (MUST-7)."""
    for body in (b"\x02\x00", b"\xfd\x01", b"\x02\x09\x05\xb4", b"\x08", b"\x03\x04\x01\x01"):
        options = parse_options(memoryview(body))
        assert options.damaged
        assert options.mss is None


@given(st.binary(max_size=40))
def test_03_any_option_bytes_are_survived(body: bytes) -> None:
    """Whatever stands in the options, the parser returns."""
    options = parse_options(memoryview(body))
    assert options.window_shift is None or 0 <= options.window_shift <= 14


@given(
    st.none() | U16, st.none() | st.integers(0, 14), st.booleans(), st.none() | st.tuples(U32, U32)
)
def test_03_options_come_back_and_are_padded_to_words(
    mss: int | None, shift: int | None, permitted: bool, stamp: tuple[int, int] | None
) -> None:
    """Padding is zeros and whole words (MUST-68, 69)."""
    encoded = Options(
        mss=mss, window_shift=shift, sack_permitted=permitted, timestamp=stamp
    ).encode()
    assert len(encoded) % 4 == 0
    assert len(encoded) <= 40
    options = parse_options(memoryview(encoded))
    assert (options.mss, options.window_shift) == (mss, shift)
    assert (options.sack_permitted, options.timestamp) == (permitted, stamp)


def test_03_sack_blocks_come_back_beside_timestamps() -> None:
    """Three blocks fit beside timestamps, four without (RFC 2018 section 3)."""
    blocks = tuple((n, n + 10) for n in (100, 200, 300))
    options = parse_options(memoryview(Options(timestamp=(1, 2), sack=blocks).encode()))
    assert options.sack == blocks
    four = (*blocks, (400, 0xFFFFFFFF))
    assert parse_options(memoryview(Options(sack=four).encode())).sack == four


def test_03_a_data_offset_that_cannot_be_is_counted() -> None:
    """An offset below 5 words or beyond the packet: malformed, not an exception."""
    for offset in (0, 4, 6, 15):
        raw = bytearray(build(A, B, 1, 2, 0, 0, ACK, 0))
        raw[12] = offset << 4
        raw[16:18] = b"\0\0"
        raw[16:18] = transport_checksum(A, B, 6, raw).to_bytes(2, "big")
        assert parse(A, B, memoryview(bytes(raw))) == "tcp bad data offset"


def test_04_mss_option_only_on_syn_and_from_the_mtu() -> None:
    """MTU 1500 makes 1460; no later segment carries the option (MUST-14, 65, 67)."""
    pair = Pair(establish=False)
    pair.connect()
    pair.wire.run(0.1)
    pair.near.send(b"x" * 3000)
    pair.near.close()
    pair.wire.run(1)
    for sent in pair.wire.log:
        assert (sent.segment.options.mss == 1460) == bool(sent.segment.flags & SYN)


def test_04_default_send_mss_is_536() -> None:
    """A peer without the option gets segments of at most 536 bytes (MUST-15)."""
    script = Script()
    connection = script.open()
    connection.send(b"x" * 1608)
    assert [len(s.data) for s in script.outputs()] == [536, 536, 536]


def test_04_effective_mss_respects_both_sides_and_option_bytes() -> None:
    """The smaller of the peer's MSS and the own MTU, less timestamps (MUST-16)."""
    for mss, stamp, expected in ((1000, None, 1000), (9000, None, 1460), (1000, (1, 0), 988)):
        script = Script()
        connection = script.open(options=Options(mss=mss, timestamp=stamp))
        connection.send(b"x" * 4000)
        assert len(script.outputs()[0].data) == expected


def test_04_an_absurd_mss_is_not_believed() -> None:
    """MSS 1 would make a header for every byte."""
    script = Script()
    connection = script.open(options=Options(mss=1))
    assert connection.effective_mss == 48


@given(U32, st.integers(-(2**31) + 1, 2**31 - 1))
def test_05_comparisons_are_right_across_the_wrap(start: int, way: int) -> None:
    """Left, right and distance depend on the way between, never on the numbers (section 3.4)."""
    end = (start + way) & seq.MASK
    assert seq.distance(start, end) == way
    assert seq.less(start, end) == (way > 0)
    assert seq.less_equal(start, end) == (way >= 0)
    assert seq.highest(start, end) == (end if way > 0 else start)
    if way >= 0:
        assert seq.in_window(end, start, way + 1)
        assert not seq.in_window(end, start, way)


def test_05_a_transfer_with_both_iss_just_before_the_wrap() -> None:
    """ISS = 2**32 - 1000 on both sides; 50,000 bytes each way, then both FINs."""

    def wrap(settings: object) -> None:
        settings.iss = 2**32 - 1000  # type: ignore[attr-defined]

    pair = Pair(settings=wrap)
    up, down = bytes(range(256)) * 200, bytes(range(255, -1, -1)) * 200
    pair.near.send(up)
    pair.far.send(down)
    pair.wire.run(5)
    assert pair.server.data == up
    assert pair.client.data == down
    assert pair.near.snd_una < 2**31
    pair.near.close()
    pair.far.close()
    pair.wire.run(1)
    assert "peer_closed" in pair.client.events
    assert "peer_closed" in pair.server.events


def test_06_iss_follows_a_clock_of_four_microseconds() -> None:
    """The same pair later gets a number that is later by the time between (MUST-8)."""
    sequence = InitialSequence(RandomStreams(1).stream("tcp iss", "a"))
    pair = (A, 1000, B, 80)
    first = sequence.iss(pair, 0)
    assert sequence.iss(pair, 1000 * TICK_NS) == (first + 1000) & seq.MASK


def test_06_iss_is_repeatable_from_the_seed_and_differs_by_pair_and_seed() -> None:
    """A keyed hash of the addresses: unpredictable outside, the same inside (MUST-9)."""

    def iss(seed: int, port: int) -> int:
        return InitialSequence(RandomStreams(seed).stream("tcp iss", "a")).iss((A, port, B, 80), 0)

    assert iss(1, 1000) == iss(1, 1000)
    assert len({iss(seed, port) for seed in range(10) for port in range(1000, 1010)}) == 100


def test_06_iss_is_settable_in_tests() -> None:
    """``settings.iss`` is what the SYN carries."""
    script = Script()
    script.settings.iss = 123
    script.connect()
    assert script.outputs()[0].seq == 123
