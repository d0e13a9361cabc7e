"""Acknowledgements, closed windows, full buffers, urgent data: checklist lines 26 to 30."""

from __future__ import annotations

import errno

import pytest
from tcp_wire import MS, SECOND, Pair, Script, brief, data

from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, RST, URG
from wsock.virtual.tcp.seq import distance

MSS = Options(mss=1000)


def test_26_an_acknowledgement_waits_under_half_a_second() -> None:
    """One segment: ACK after the profile's delay (MUST-40)."""
    for profile, delay in (("rfc", 200), ("linux", 40)):
        script = Script(profile)
        script.open()
        assert script.inject(ACK, 1001, 7001, b"x") == []
        start = script.wire.scheduler.now
        script.wait(1)
        assert [sent.time - start for sent in script.wire.log] == [delay * MS]


def test_26_every_second_full_segment_is_acknowledged_at_once() -> None:
    """SHLD-18, 19; RFC 5681 section 4.2."""
    script = Script()
    script.open()
    assert script.inject(ACK, 1001, 7001, data(1460)) == []
    assert [s.ack for s in script.inject(ACK, 2461, 7001, data(1460))] == [3921]
    assert script.inject(ACK, 3921, 7001, data(1460)) == []


def test_26_gaps_and_filled_gaps_and_fin_are_acknowledged_at_once() -> None:
    """An out-of-order segment, one that fills a gap, and a FIN do not wait."""
    script = Script()
    script.open()
    assert [s.ack for s in script.inject(ACK, 1011, 7001, b"behind the gap")] == [1001]
    assert [s.ack for s in script.inject(ACK, 1001, 7001, b"0123456789")] == [1025]
    assert [s.ack for s in script.inject(ACK | FIN, 1025, 7001)] == [1026]
    assert script.client.data == b"0123456789behind the gap"


def test_26_an_acknowledgement_rides_on_data() -> None:
    """What goes out anyway carries the ACK, and nothing follows."""
    script = Script()
    connection = script.open()
    script.inject(ACK, 1001, 7001, b"question")
    connection.send(b"answer")
    assert [brief(s) for s in script.outputs()] == [("PSH,ACK", 7001, 1009, 6)]
    assert script.wait(0.5) == []


def test_27_acknowledgements_of_one_instant_are_one() -> None:
    """Ten segments processed before anything is sent: one ACK (MUST-58, 59)."""
    script = Script()
    script.open()
    for n in range(10):
        assert script.inject(ACK, 1001 + 1000 * n, 7001, data(1000), flush=False) == []
    assert [brief(s) for s in script.outputs()] == [("ACK", 7001, 11001, 0)]


def test_28_a_closed_window_is_probed_with_doubling_intervals_for_ever() -> None:
    """First after an RTO, then doubling, as long as the peer answers (MUST-35 to 37)."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK, 1001, 7001, window=0)
    connection.send(b"waiting")
    assert script.outputs() == []
    start = script.wire.scheduler.now
    times = []
    for _ in range(12):
        script.wire.clear()
        while not script.wire.log:
            script.wire.run(0.5)
        (probe,) = script.wire.log
        times.append((probe.time - start) // SECOND)
        assert brief(probe.segment)[1:] == (7001, 1001, 1)
        script.inject(ACK, 1001, 7001, window=0)
    assert times == [1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423]
    assert [bytes(s.data) for s in script.inject(ACK, 1001, 7001, window=100)] == [b"waiting"]


def test_28_probes_that_nobody_answers_end_the_connection() -> None:
    """A silent peer is not a closed window: R2 holds."""
    script = Script()
    connection = script.open()
    script.inject(ACK, 1001, 7001, window=0)
    connection.send(b"waiting")
    script.wait(300)
    assert script.client.events == [("reset", errno.ETIMEDOUT)]


def test_28_rst_and_ack_are_processed_with_a_closed_window() -> None:
    """MUST-66: with no room for text, ACK, URG and RST still count."""
    script = Script()
    script.settings.receive_buffer = 4
    connection = script.open(options=MSS)
    script.client.room = 0
    connection.send(b"abc")
    script.outputs()
    script.inject(ACK, 1001, 7001, b"full")
    script.inject(ACK | URG, 1005, 7004, b"more", urgent=2)
    assert connection.snd_una == 7004
    assert ("urgent", 6) in script.client.events
    script.inject(RST, 1005, 0)
    assert script.client.events[-1] == ("reset", errno.ECONNRESET)


def test_28_a_probe_that_crosses_the_opening_window_loses_nothing() -> None:
    """Two real ends: a slow reader, every byte arrives."""
    pair = Pair()
    pair.server.room = 0
    text = data(200_000)
    pair.near.send(text)
    pair.wire.run(30)
    assert len(pair.server.data) == 0
    assert pair.far.available == 65535
    for _ in range(400):
        pair.server.room = 700
        pair.far.resume()
        pair.wire.run(0.7)
    pair.server.room = None
    pair.far.resume()
    pair.wire.run(100)
    assert pair.server.data == text


@pytest.mark.parametrize("end", ["data", "abort"])
def test_28_an_ack_or_a_reset_after_a_probe_is_acceptable(end: str) -> None:
    """The probe went past the closed window; what follows stands at its edge, or it is dropped."""
    pair = Pair()
    pair.server.room = 0
    pair.near.send(data(70_000))
    pair.wire.run(5)
    assert distance(pair.far.rcv_nxt, pair.near.snd_nxt) == 1
    if end == "abort":
        pair.near.abort()
        pair.wire.run(0.1)
        assert pair.server.events[-1] == ("reset", errno.ECONNRESET)
        return
    pair.far.send(b"the other way")
    pair.wire.run(0.5)
    assert pair.client.data == b"the other way"
    assert pair.server.acknowledged == len(b"the other way")
    assert len(pair.far.send_buffer) == 0


def test_28_window_shrinks_with_unread_data_and_an_update_follows_reading() -> None:
    """Fact S3-16: the receiver returns ACK numbers and, when there is room, the new window."""
    script = Script()
    connection = script.open()
    script.client.room = 0
    windows = []
    for n in range(6):
        windows += [s.window for s in script.inject(ACK, 1001 + 1460 * n, 7001, data(1460))]
    assert windows == [65535 - 1460 * n for n in (2, 4, 6)]
    script.client.room = None
    connection.resume()
    assert [(s.ack, s.window) for s in script.outputs()] == [(1001 + 6 * 1460, 65535)]


def test_29_send_says_not_now_on_a_full_buffer_and_wakes_on_ack() -> None:
    """All or nothing; EWOULDBLOCK arms one ``send_possible``."""
    script = Script()
    connection = script.open(options=MSS)
    connection.settings.send_buffer = 1000
    assert connection.send(b"x" * 999) == 0
    assert connection.send(b"y" * 5000) == 0  # there is room, so it is taken whole
    assert connection.send(b"z") == errno.EWOULDBLOCK
    script.outputs()
    script.inject(ACK, 1001, 8001)
    assert script.client.events == []
    script.inject(ACK, 1001, 12001)
    assert script.client.events == ["send_possible"]
    assert connection.send(b"z") == 0


def test_29_not_sent_low_water_is_honoured() -> None:
    """TCP_NOTSENT_LOWAT: not now while that much has not been sent once."""
    script = Script()
    connection = script.open(options=MSS, window=1000)
    connection.settings.not_sent_low_water = 2000
    connection.send(b"x" * 4000)
    script.outputs()
    assert connection.unsent == 3000
    assert connection.send(b"y") == errno.EWOULDBLOCK
    script.inject(ACK, 1001, 8001, window=2000)
    assert connection.unsent == 1000
    assert script.client.events == []
    script.inject(ACK, 1001, 9001, window=2000)
    assert script.client.events == ["send_possible"]


def test_29_a_send_completes_when_its_last_byte_is_acknowledged() -> None:
    """Not when it is buffered, and not when it is sent; in order."""
    script = Script()
    connection = script.open(options=MSS)
    done: list[str] = []
    connection.send(b"x" * 1500, on_done=lambda: done.append("first"))
    connection.send(b"y" * 500, on_done=lambda: done.append("second"))
    script.outputs()
    script.inject(ACK, 1001, 8500)
    assert done == []
    script.inject(ACK, 1001, 8501)
    assert done == ["first"]
    script.inject(ACK, 1001, 9001)
    assert done == ["first", "second"]
    assert script.client.acknowledged == 2000


def test_30_urgent_pointer_stands_behind_the_last_urgent_byte() -> None:
    """Urgent data of any length; Nagle does not hold it (MUST-30, 31, 62)."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"x" * 10)
    script.outputs()
    connection.send(b"urgent", urgent=True)
    (segment,) = script.outputs()
    assert segment.flags & URG
    assert (segment.seq + segment.urgent, len(segment.data)) == (7017, 6)
    script.inject(ACK, 1001, 7017)
    connection.send(b"calm")
    assert not script.outputs()[0].flags & URG


def test_30_urgent_is_announced_before_its_bytes_are_sent() -> None:
    """A sender in urgent mode sets URG on what goes before, too."""
    script = Script()
    connection = script.open(options=MSS, window=2000)
    connection.send(b"x" * 2500)
    connection.send(b"!", urgent=True)
    segments = script.outputs()
    assert [s.seq + s.urgent for s in segments if s.flags & URG] == [9502, 9502]


def test_30_the_urgent_byte_leaves_the_stream() -> None:
    """The application is told the distance at once, and gets the byte apart (MUST-32, 33)."""
    pair = Pair()
    pair.near.send(b"be")
    pair.near.send(b"ab!", urgent=True)
    pair.near.send(b"hind")
    pair.wire.run(1)
    assert pair.server.events == [("urgent", 5)]
    assert pair.server.out_of_band == b"!"
    assert pair.server.data == b"beabhind"


def test_30_inline_keeps_it_in_the_stream() -> None:
    """SO_OOBINLINE."""
    pair = Pair()
    pair.far.settings.oob_inline = True
    pair.near.send(b"ab!", urgent=True)
    pair.wire.run(1)
    assert pair.server.events == [("urgent", 3)]
    assert pair.server.out_of_band == b""
    assert pair.server.data == b"ab!"


def test_30_the_urgent_byte_comes_although_the_stream_is_refused() -> None:
    """It passes what waits: that is what urgent means."""
    pair = Pair()
    pair.server.room = 0
    pair.near.send(b"waiting")
    pair.wire.run(0.5)
    pair.near.send(b"!", urgent=True)
    pair.wire.run(0.5)
    assert pair.server.out_of_band == b"!"
    assert pair.server.data == b""
    pair.server.room = None
    pair.far.resume()
    assert pair.server.data == b"waiting"


def test_30_out_of_band_beside_the_stream() -> None:
    """Fact S1-9: an ordered two-way stream with an out-of-band mechanism."""
    pair = Pair()
    pair.near.send(b"normal")
    pair.near.send(b"1", urgent=True)
    pair.far.send(b"back")
    pair.far.send(b"2", urgent=True)
    pair.wire.run(1)
    assert (pair.server.data, pair.server.out_of_band) == (b"normal", b"1")
    assert (pair.client.data, pair.client.out_of_band) == (b"back", b"2")
