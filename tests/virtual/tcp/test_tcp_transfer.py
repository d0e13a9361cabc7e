"""Data transfer: checklist lines 17 to 25."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcp_wire import B, Pair, Script, brief, data

from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.receive_buffer import Reassembly
from wsock.virtual.tcp.segment import ACK, PSH
from wsock.virtual.tcp.send_buffer import SendBuffer
from wsock.virtual.tcp.states import State

MSS = Options(mss=1000)


def test_17_segmentation_at_effective_size_and_in_order_delivery() -> None:
    """Pieces of at most the MSS, consecutive numbers, whose sum is the data. Fact S3-15."""
    pair = Pair()
    text = data(10_000)
    pair.near.send(text)
    pair.wire.run(2)
    segments = [s for s in pair.wire.sent_by(pair.a.address) if s.data]
    assert all(len(s.data) <= 1448 for s in segments)
    assert [len(s.data) for s in segments[:-1]] == [1448] * (len(segments) - 1)
    assert b"".join(bytes(s.data) for s in segments) == text
    for left, right in pairwise(segments):
        assert right.seq == left.seq + len(left.data)
    assert pair.server.data == text


def test_17_an_endpoint_may_send_from_a_mutable_buffer() -> None:
    """``bytes`` are referenced; what can change is copied before the call returns."""
    pair = Pair()
    buffer = bytearray(b"before")
    pair.near.send(buffer)
    buffer[:] = b"after!"
    pair.wire.run(1)
    assert pair.server.data == b"before"


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=12), st.data())
def test_17_the_send_buffer_is_a_stream(
    sends: list[tuple[bytes, bool]], drawn: st.DataObject
) -> None:
    """Any view of it, after any acknowledgements, is what a plain bytes object would give."""
    buffer = SendBuffer()
    done: list[int] = []
    stream, ends = b"", []
    for number, (text, push) in enumerate(sends):
        buffer.append(text, push, lambda number=number: done.append(number))
        stream += text
        ends.append((len(stream), push))
    acked = 0
    while True:
        start = drawn.draw(st.integers(acked, len(stream)))
        length = drawn.draw(st.integers(0, len(stream) - start))
        if length:
            assert bytes(buffer.view(start, length)) == stream[start : start + length]
        pushed = any(push and start < end <= start + length for end, push in ends)
        assert buffer.pushed_within(start, start + length) == pushed
        if acked == len(stream):
            break
        acked = drawn.draw(st.integers(acked + 1, len(stream)))
        for on_done in buffer.acknowledge(acked):
            on_done()
        assert done == [n for n, (end, _) in enumerate(ends) if end <= acked]
        assert len(buffer) == len(stream) - acked


def test_18_psh_is_on_the_last_segment_of_a_send() -> None:
    """And on no other; the receiver sees where the send ends (section 3.9.1.2)."""
    pair = Pair(profile="rfc", timestamps="accept")
    pair.near.send(data(3000))
    pair.near.send(b"next")
    pair.wire.run(2)
    flags = [bool(s.flags & PSH) for s in pair.wire.sent_by(pair.a.address) if s.data]
    assert flags == [False, False, True]
    assert pair.server.pushes == [(1460, False), (1460, False), (84, True)]


def test_18_data_without_push_is_not_held_for_ever() -> None:
    """A send that does not push waits for more, at most the override timeout (MUST-60)."""
    pair = Pair()
    pair.near.send(b"part", push=False)
    pair.wire.run(0.15)
    assert pair.wire.log == []
    pair.wire.run(0.1)
    assert pair.server.data == b"part"
    pair.wire.run(0.3)
    pair.near.send(b"ial", push=False)
    pair.near.send(b"!")  # a pushed send takes what waits along
    pair.wire.run(0.05)
    assert pair.server.data == b"partial!"


RIGHT_EDGE = 1001 + 65535


@pytest.mark.parametrize(
    ("seq", "text", "acceptable"),
    [
        (1001, b"", True), (1000, b"", False),
        (RIGHT_EDGE - 1, b"", True), (RIGHT_EDGE, b"", False),
        (1001, b"ab", True), (999, b"ab", False), (1000, b"ab", True),
        (RIGHT_EDGE - 1, b"ab", True), (RIGHT_EDGE, b"ab", False),
    ],
)  # fmt: skip
def test_19_acceptability_with_an_open_window(seq: int, text: bytes, acceptable: bool) -> None:
    """Table 6, SEG.LEN zero or not: outside → ACK, and nothing changes (section 3.10.7.4)."""
    script = Script()
    connection = script.open()
    before = connection.status()
    answer = script.inject(ACK, seq, 7001, text)
    if acceptable:
        assert script.host.counters["tcp segment outside window"] == 0
    else:
        assert [brief(s) for s in answer] == [("ACK", 7001, 1001, 0)]
        assert connection.status() == before


@pytest.mark.parametrize(
    ("seq", "text", "acceptable"),
    [(1005, b"", True), (1004, b"", False), (1006, b"", False), (1005, b"a", False)],
)
def test_19_acceptability_with_a_closed_window(seq: int, text: bytes, acceptable: bool) -> None:
    """RCV.WND zero: only an empty segment at RCV.NXT; a byte there is a probe."""
    script = Script()
    script.settings.receive_buffer = 4
    connection = script.open()
    script.client.room = 0
    script.inject(ACK, 1001, 7001, b"full")
    assert connection.rcv_wnd == 0
    answer = script.inject(ACK, seq, 7001, text)
    assert [brief(s) for s in answer] == ([] if acceptable else [("ACK", 7001, 1005, 0)])
    assert connection.rcv_nxt == 1005


@given(st.lists(st.tuples(st.integers(-20, 120), st.integers(0, 60)), max_size=40))
def test_20_overlaps_against_a_reference_buffer(pieces: list[tuple[int, int]]) -> None:
    """Any pieces in any order, trimmed left and right: each byte once, in order (SHLD-31)."""
    script = Script()
    script.settings.receive_buffer = 100
    script.settings.no_delay = True
    connection = script.open()
    stream = data(400)
    have = [False] * 200
    for start, length in pieces:
        left = connection.rcv_position
        edge = left + connection.rcv_wnd
        first, last = start, start + length - 1
        ok = length and (left <= first < edge or left <= last < edge)
        text = stream[start % 400 :][:length] if start >= 0 else data(length, start % 251)
        script.inject(ACK, 1001 + start, 7001, text)
        if ok:
            for n in range(max(first, left), min(last + 1, edge)):
                have[n] = True
        expected = have.index(False)
        assert connection.rcv_position == expected
        assert bytes(script.client.data) == stream[:expected]
        assert connection.reassembly.bytes == sum(have[expected:])


class ReferenceStore:
    """The naive out-of-order store: one dictionary of bytes."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def insert(self, start: int, text: bytes) -> None:
        for offset, value in enumerate(text):
            self.bytes.setdefault(start + offset, value)

    def ranges(self) -> set[tuple[int, int]]:
        edges = sorted(self.bytes)
        starts = [n for n in edges if n - 1 not in self.bytes]
        ends = [n + 1 for n in edges if n + 1 not in self.bytes]
        return set(zip(starts, ends, strict=True))


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=12)), max_size=25))
def test_20_the_first_bytes_to_come_stay(pieces: list[tuple[int, bytes]]) -> None:
    """Overlaps that disagree: what came first is kept; ranges are those of the bytes held."""
    store, reference = Reassembly(), ReferenceStore()
    for start, text in pieces:
        store.insert(start, text, False)
        reference.insert(start, text)
        assert set(store.blocks(100)) == reference.ranges()
        newest = store.blocks(1)[0]
        assert newest[0] <= start < newest[1]
    assert store.bytes == len(reference.bytes)
    for start, end in sorted(reference.ranges()):
        got = b""
        while (piece := store.take(start + len(got))) is not None:
            got += piece[0]
        assert got == bytes(reference.bytes[n] for n in range(start, end))
    assert not store


def test_21_an_ack_above_snd_nxt_is_answered_and_dropped() -> None:
    """Its text is not taken either (section 3.10.7.4, fifth)."""
    script = Script()
    script.open()
    answer = script.inject(ACK, 1001, 7002, b"text")
    assert [brief(s) for s in answer] == [("ACK", 7001, 1001, 0)]
    assert script.client.data == b""


def test_21_an_old_ack_is_ignored_but_its_text_is_taken() -> None:
    """SND.UNA does not go back."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"x" * 500)
    script.outputs()
    script.inject(ACK, 1001, 7501)
    script.inject(ACK, 1001, 7001, b"text")
    assert connection.snd_una == 7501
    assert script.client.data == b"text"


def test_22_the_window_is_taken_from_newer_segments_only() -> None:
    """SND.WL1 < SEG.SEQ, or equal and SND.WL2 =< SEG.ACK."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"x" * 500)
    script.outputs()
    script.inject(ACK, 1001, 7001, b"ab", window=5000)
    assert connection.snd_wnd == 5000
    script.inject(ACK, 1003, 7501, window=4000)
    assert (connection.snd_wnd, connection.snd_wl1, connection.snd_wl2) == (4000, 1003, 7501)
    script.inject(ACK, 1003, 7001, window=9000)  # same SEQ, older ACK
    assert connection.snd_wnd == 4000
    script.inject(ACK, 1002, 7501, b"b", window=9000)  # older SEQ
    assert connection.snd_wnd == 4000
    script.inject(ACK, 1003, 7501, window=9000)
    assert connection.snd_wnd == 9000


def test_23_the_right_edge_is_never_pulled_back() -> None:
    """RCV.NXT + RCV.WND only grows, however little the client takes (SHLD-14)."""
    script = Script()
    connection = script.open()
    edge = 1001 + 65535
    for n in range(20):
        script.client.room = 0 if n % 3 else None
        for segment in script.inject(ACK, connection.rcv_nxt, 7001, data(2000)):
            now = segment.ack + segment.window
            assert now >= edge
            edge = now
        connection.resume()


def test_23_a_peer_that_shrinks_its_window_is_survived() -> None:
    """What is in flight beyond the new edge is resent inside it, and gets through (MUST-34)."""
    script = Script()
    connection = script.open(options=MSS, window=5000)
    connection.send(data(5000))
    assert len(script.outputs()) == 5
    assert script.inject(ACK, 1001, 8001, window=1500) == []  # 8001..12001 was in flight
    resent = script.wait(1.1)
    assert [brief(s) for s in resent] == [("ACK", 8001, 1001, 1000)]
    assert script.inject(ACK, 1001, 9001, window=5000) != []


def test_24_receiver_sws_avoidance() -> None:
    """The window grows by a segment or half the buffer, never by crumbs (MUST-39)."""
    script = Script()
    script.settings.receive_buffer = 4000
    connection = script.open()
    script.client.room = 0
    script.inject(ACK, 1001, 7001, data(4000))
    assert connection.rcv_wnd == 0
    for _ in range(14):
        script.client.room = 100
        connection.resume()
        assert script.outputs() == []  # 1400 bytes are free, less than an MSS of 1460
    script.client.room = 100
    connection.resume()
    assert [(s.ack, s.window) for s in script.outputs()] == [(5001, 1500)]


def test_25_sender_sws_avoidance() -> None:
    """No small segment because the window is small: half the largest window, or all (MUST-38)."""
    script = Script()
    connection = script.open(options=MSS, window=3000)
    connection.settings.no_delay = True
    connection.send(data(5000))
    assert [len(s.data) for s in script.outputs()] == [1000, 1000, 1000]
    assert script.inject(ACK, 1001, 10001, window=300) == []
    assert script.inject(ACK, 1001, 10001, window=1500) != []


def test_25_sws_override_sends_what_fits_after_a_while() -> None:
    """A window that stays small must not stop everything: 0.2 s (section 3.8.6.2.1, rule 4)."""
    script = Script()
    connection = script.open(options=MSS, window=3000)
    connection.send(data(5000))
    script.outputs()
    script.inject(ACK, 1001, 10001, window=300)
    assert script.wait(0.1) == []
    assert [len(s.data) for s in script.wait(0.2)] == [300]


def test_25_nagle_holds_a_small_segment_while_data_is_in_flight() -> None:
    """SHLD-7; the acknowledgement lets everything go in one segment."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"a")
    assert len(script.outputs()) == 1
    connection.send(b"b")
    connection.send(b"c")
    assert script.outputs() == []
    assert [bytes(s.data) for s in script.inject(ACK, 1001, 7002)] == [b"bc"]


def test_25_no_delay_switches_nagle_off() -> None:
    """MUST-17."""
    script = Script()
    connection = script.open(options=MSS)
    connection.settings.no_delay = True
    for text in (b"a", b"b"):
        connection.send(text)
        assert [bytes(s.data) for s in script.outputs()] == [text]


def test_receive_a_client_takes_part_and_is_asked_again() -> None:
    """Taken < offered: the upcall comes again at once with the rest; 0 means refused."""
    pair = Pair()
    pair.server.room = 4
    pair.near.send(b"0123456789")
    pair.wire.run(1)
    assert pair.server.data == b"0123"
    assert pair.far.available == 6
    pair.server.room = None
    pair.far.resume(4)  # a receive of four bytes: no more by this call
    assert pair.server.data == b"01234567"
    assert pair.server.pushes[-1] == (4, False)
    pair.far.resume()
    assert pair.server.data == b"0123456789"
    assert pair.server.pushes[-1] == (2, True)


def test_receive_window_is_what_the_client_says() -> None:
    """``receive_room`` replaces the buffer: an endpoint that reads eagerly says its own room."""
    script = Script()
    connection = script.open()
    room = [5000]
    connection.receive_room = lambda: room[0]
    script.inject(ACK, 1001, 7001, data(60000))  # fills what was offered by the SYN
    assert connection.rcv_wnd == 5535
    script.inject(ACK, 61001, 7001, data(5535))
    assert connection.rcv_wnd == 5000
    room[0] = 60000
    connection.window_changed()
    assert [s.window for s in script.outputs()] == [60000]


def test_receive_stop_receive_throws_away_and_still_acknowledges() -> None:
    """Receiving was shut down: the peer may send on, nobody reads it."""
    pair = Pair()
    pair.far.stop_receive()
    pair.near.send(data(100_000))
    pair.wire.run(5)
    assert pair.server.data == b""
    assert pair.client.acknowledged == 100_000
    pair.near.close()
    pair.wire.run(1)
    assert pair.server.events == ["peer_closed"]


def test_status_is_a_snapshot_of_the_tcb() -> None:
    """STATUS lists the variables under the RFC's names. Facts S4-5, S4-10."""
    script = Script()
    connection = script.open(options=MSS, window=3000)
    connection.send(b"x" * 5000)
    script.outputs()
    status = connection.status()
    assert (status.state, status.local, status.remote) == (
        State.ESTABLISHED, (B, 80), (connection.remote, 5555),
    )  # fmt: skip
    assert (status.iss, status.snd_una, status.snd_nxt, status.snd_wnd) == (7000, 7001, 10001, 3000)
    assert (status.irs, status.rcv_nxt, status.rcv_wnd) == (1000, 1001, 65535)
    assert (status.unsent, status.unacknowledged, status.flight_size) == (2000, 3000, 3000)
    assert (status.smss, status.rmss) == (1000, 1460)
