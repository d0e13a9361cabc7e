"""Resets and ends that are not clean: checklist lines 50 to 56."""

from __future__ import annotations

import errno

import pytest
from tcp_wire import SECOND, Pair, Script, brief, reach

from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, PSH, RST, SYN
from wsock.virtual.tcp.states import State

MSS = Options(mss=1000)


# 50 to 56


def test_50_close_with_unread_data_resets_under_rfc_and_linux() -> None:
    """What is thrown away must not look delivered (section 3.6.1, SHLD-3)."""
    for profile in ("rfc", "linux"):
        script = Script(profile)
        connection = script.open(options=MSS)
        script.client.room = 0
        script.inject(ACK, 1001, 7001, b"unread")
        connection.close(final=True)
        assert [brief(s) for s in script.outputs()] == [("RST,ACK", 7001, 1007, 0)]
        assert connection.state is State.CLOSED
    script = Script()
    connection = script.open(options=MSS)
    connection.close(final=True, unread=5)  # held by the client, unread by its application
    assert [brief(s)[0] for s in script.outputs()] == ["RST,ACK"]


def test_50_close_with_unread_data_releases_under_windows2000() -> None:
    """A FIN; a RST only for data that arrives afterwards."""
    script = Script("windows2000")
    connection = script.open(options=MSS)
    script.client.room = 0
    script.inject(ACK, 1001, 7001, b"unread")
    connection.close(final=True)
    assert [brief(s) for s in script.outputs()] == [("FIN,ACK", 7001, 1007, 0)]
    assert [brief(s) for s in script.inject(ACK, 1007, 7002, b"late")] == [("RST", 7002, 0, 0)]
    assert script.client.events == [("reset", errno.ECONNABORTED)]


def test_50_linger_zero_resets() -> None:
    """ABORT: <SEQ=SND.NXT><CTL=RST>, and no upcall (section 3.10.5)."""
    script = Script()
    connection = script.open(options=MSS)
    connection.send(b"x" * 500)
    script.outputs()
    assert connection.abort() == 0
    assert [brief(s) for s in script.outputs()] == [("RST,ACK", 7501, 1001, 0)]
    assert script.client.events == []
    assert connection.abort() == errno.ENOTCONN
    assert script.host.tcp.connections() == []


def test_51_reset_exact_in_window_outside() -> None:
    """Exact: reset. In the window: challenge ACK. Outside: nothing (RFC 5961 section 3)."""
    script = Script()
    connection = script.open(options=MSS)
    assert script.inject(RST, 1000) == []
    assert [brief(s) for s in script.inject(RST, 1002)] == [("ACK", 7001, 1001, 0)]
    assert [brief(s) for s in script.inject(RST, 1001 + 65534)] == [("ACK", 7001, 1001, 0)]
    assert script.inject(RST, 1001 + 65535) == []
    assert connection.state is State.ESTABLISHED
    assert script.inject(RST, 1001) == []
    assert script.client.events == [("reset", errno.ECONNRESET)]


def test_51_a_syn_in_a_synchronized_state_is_challenged() -> None:
    """Wherever it lies, it changes nothing (RFC 5961 section 4)."""
    for state in (State.ESTABLISHED, State.FIN_WAIT_1, State.CLOSE_WAIT, State.LAST_ACK):
        script = Script()
        connection = reach(script, state)
        for seq in (1002, 5000, 1000, 100_000):
            (answer,) = script.inject(SYN, seq)
            assert brief(answer)[0] == "ACK"
            assert (answer.seq, answer.ack) == (connection.snd_nxt, connection.rcv_nxt)
        assert connection.state is state


def test_51_ack_range() -> None:
    """Older than the largest window, or not sent yet: challenge, and drop (section 5)."""
    script = Script()
    connection = script.open(options=MSS, window=2000)
    for acked in (9001, 11001):  # 4000 bytes sent and acknowledged: old numbers are real ones
        connection.send(bytes(2000))
        script.outputs()
        script.inject(ACK, 1001, acked, window=2000)
    for ack in (11001 - 2001, 11002, 11001 + 2**30):
        (answer,) = script.inject(ACK, 1001, ack, b"injected")
        assert brief(answer) == ("ACK", 11001, 1001, 0)
    assert script.client.data == b""
    script.inject(ACK, 1001, 11001 - 2000, b"just old")
    assert script.client.data == b"just old"
    assert connection.state is State.ESTABLISHED


def test_51_an_ack_of_what_was_never_sent_is_no_old_one() -> None:
    """Within the window's length, but before our SYN: a guess, answered and dropped."""
    script = Script()
    script.open(options=MSS)
    (answer,) = script.inject(ACK, 1001, 7001 - 100, b"injected")
    assert brief(answer) == ("ACK", 7001, 1001, 0)
    assert script.client.data == b""


def test_51_challenges_are_throttled() -> None:
    """So many in a second, and again in the next (section 7)."""
    script = Script(challenge_acks_per_second=3)
    script.open(options=MSS)
    assert [len(script.inject(RST, 2000)) for _ in range(5)] == [1, 1, 1, 0, 0]
    script.wait(1)
    assert len(script.inject(RST, 2000)) == 1


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.ESTABLISHED, ("reset", errno.ECONNRESET)),
        (State.FIN_WAIT_1, ("reset", errno.ECONNRESET)),
        (State.FIN_WAIT_2, ("reset", errno.ECONNRESET)),
        (State.CLOSE_WAIT, ("reset", errno.ECONNRESET)),
        (State.CLOSING, "closed"),
        (State.LAST_ACK, "closed"),
        (State.TIME_WAIT, None),
    ],
)
def test_52_reset_in_each_synchronized_state(state: State, event: object) -> None:
    """Sections 3.10.7.4 second: who loses something is told."""
    script = Script()
    connection = reach(script, state)
    script.inject(RST, connection.rcv_nxt)
    assert script.client.events == ([event] if event else [])
    assert connection.state is (State.CLOSED if event else State.TIME_WAIT)


def test_52_reset_in_closed_listen_and_syn_sent() -> None:
    """Discarded; ignored; believed only with an acceptable ACK (3.10.7.1 to 3)."""
    script = Script()
    assert script.inject(RST, 1000) == []
    script.listen()
    assert script.inject(RST, 1000) == []
    script = Script()
    connection = script.connect()
    script.outputs()
    for flags, ack in ((RST, 0), (RST | ACK, 7000), (RST | ACK, 7002)):
        assert script.inject(flags, 0, ack) == []
        assert connection.state is State.SYN_SENT
    script.inject(RST | ACK, 0, 7001)
    assert script.client.events == [("failed", errno.ECONNREFUSED)]


def test_53_never_a_reset_for_a_reset_and_numbers_by_the_ack_bit() -> None:
    """Section 3.5.2, group 1."""
    script = Script()
    assert script.inject(RST | ACK, 5, 6) == []
    assert [brief(s) for s in script.inject(ACK, 5, 6)] == [("RST", 6, 0, 0)]
    assert [brief(s) for s in script.inject(FIN, 5, 6)] == [("RST,ACK", 0, 6, 0)]
    assert [brief(s) for s in script.inject(PSH, 5, 0, b"abc")] == [("RST,ACK", 0, 8, 0)]


def test_53_a_wrong_ack_in_listen_syn_sent_and_syn_received() -> None:
    """Group 2: <SEQ=SEG.ACK><CTL=RST>, and the state stays."""
    script = Script()
    script.listen()
    assert [brief(s) for s in script.inject(ACK, 5, 6)] == [("RST", 6, 0, 0)]
    script.inject(SYN, 1000)
    assert [brief(s) for s in script.inject(ACK, 1001, 7000)] == [("RST", 7000, 0, 0)]
    assert script.connection is not None
    assert script.connection.state is State.SYN_RECEIVED
    script = Script()
    connection = script.connect()
    script.outputs()
    assert [brief(s) for s in script.inject(SYN | ACK, 5, 7002)] == [("RST", 7002, 0, 0)]
    assert connection.state is State.SYN_SENT


def test_54_an_abort_reaches_the_application_once_then_broken_pipe() -> None:
    """ECONNRESET, then EPIPE (MUST-12, 47)."""
    pair = Pair()
    pair.near.abort()
    pair.wire.run(1)
    assert pair.server.events == [("reset", errno.ECONNRESET)]
    assert pair.far.send(b"x") == errno.ECONNRESET
    assert pair.far.send(b"x") == errno.EPIPE


def test_54_what_came_before_a_reset_stays_readable() -> None:
    """Refused bytes can still be taken; the FIN is not made up."""
    script = Script()
    connection = script.open(options=MSS)
    script.client.room = 0
    script.inject(ACK, 1001, 7001, b"last words")
    script.inject(RST, 1011)
    script.client.room = None
    connection.resume()
    assert script.client.data == b"last words"
    assert script.client.events == [("reset", errno.ECONNRESET)]


def test_55_fin_wait_2_limit_by_profile() -> None:
    """Only when nobody can receive any more: none, 60 s, 240 s."""
    for profile, limit in (("rfc", None), ("linux", 60), ("windows2000", 240)):
        script = Script(profile)
        connection = script.open(options=MSS)
        connection.close(final=True)
        script.outputs()
        script.inject(ACK, 1001, 7002)
        start = script.wire.scheduler.now
        script.wait(1000)
        if limit is None:
            assert connection.state is State.FIN_WAIT_2
        else:
            assert connection.trace[-1].time_ns - start == limit * SECOND
            assert script.client.events == ["closed"]


def test_55_a_half_closed_connection_has_no_limit() -> None:
    """Its application still reads; the later final close starts the limit."""
    script = Script("linux")
    connection = reach(script, State.FIN_WAIT_2)
    script.wait(1000)
    assert connection.state is State.FIN_WAIT_2
    connection.close(final=True)
    script.wait(61)
    assert connection.state is State.CLOSED


def test_56_data_after_both_ways_are_closed_is_reset() -> None:
    """The peer must learn that nobody reads (RFC 1122 section 4.2.2.13)."""
    for acknowledged in (7001, 7002):  # in FIN-WAIT-1, in FIN-WAIT-2
        script = Script()
        connection = script.open(options=MSS)
        connection.close(final=True)
        script.outputs()
        answer = script.inject(ACK, 1001, acknowledged, b"late")
        assert [brief(s) for s in answer] == [("RST", acknowledged, 0, 0)]
        assert script.client.events == [("reset", errno.ECONNABORTED)]


def test_56_old_data_after_the_close_is_only_acknowledged() -> None:
    """A resend of what was taken before is no new data."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK, 1001, 7001, b"taken")
    connection.close(final=True)
    script.outputs()
    assert [brief(s) for s in script.inject(ACK, 1001, 7001, b"taken")] == [("ACK", 7002, 1006, 0)]
    assert connection.state is State.FIN_WAIT_1
    assert script.client.events == []
