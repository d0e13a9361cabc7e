"""Closing: checklist lines 45 to 49."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tcp_wire import SECOND, A, B, Client, Host, Pair, Script, Wire, brief, listen, reach

from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.tcp import Connection
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, RST, SYN, Segment
from wsock.virtual.tcp.states import TRANSITIONS, Event, State

if TYPE_CHECKING:
    from tcp_wire import Sent

MSS = Options(mss=1000)


def path(connection: Connection) -> list[str]:
    """The states a connection has been in, in order, without remarks."""
    return [str(change.new) for change in connection.trace if change.old is not change.new]


# 45 to 49


def test_45_four_way_close_through_all_named_states() -> None:
    """FIN, ACK, FIN, ACK (section 3.6). Facts S3-2, S3-3, S3-4, S3-5, S3-18."""
    pair = Pair()
    pair.near.close()
    pair.wire.run(1)
    assert pair.states() == ("FIN-WAIT-2", "CLOSE-WAIT")
    assert pair.server.events == ["peer_closed"]
    pair.far.close()
    pair.wire.run(1)
    assert pair.states() == ("TIME-WAIT", "CLOSED")
    fin, ack1, fin2, ack2 = (sent.segment for sent in pair.wire.log)
    assert [bool(s.flags & FIN) for s in (fin, ack1, fin2, ack2)] == [True, False, True, False]
    assert (ack1.ack, ack2.ack) == (fin.seq + 1, fin2.seq + 1)
    assert path(pair.near) == [
        "SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
    ]  # fmt: skip
    assert path(pair.far) == [
        "LISTEN", "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED",
    ]  # fmt: skip
    assert pair.server.events == ["peer_closed", "closed"]


def test_45_the_table_is_figure_5() -> None:
    """Every arrow of RFC 9293 figure 5 is in the table, and the table has no others."""
    s, e = State, Event
    arrows = {
        (s.CLOSED, e.PASSIVE_OPEN, s.LISTEN), (s.CLOSED, e.ACTIVE_OPEN, s.SYN_SENT),
        (s.LISTEN, e.RCV_SYN, s.SYN_RECEIVED), (s.SYN_SENT, e.RCV_SYN, s.SYN_RECEIVED),
        (s.SYN_SENT, e.RCV_SYN_ACK, s.ESTABLISHED), (s.SYN_SENT, e.CLOSE, s.CLOSED),
        (s.SYN_RECEIVED, e.RCV_ACK_OF_SYN, s.ESTABLISHED),
        (s.ESTABLISHED, e.CLOSE, s.FIN_WAIT_1), (s.ESTABLISHED, e.RCV_FIN, s.CLOSE_WAIT),
        (s.FIN_WAIT_1, e.RCV_ACK_OF_FIN, s.FIN_WAIT_2), (s.FIN_WAIT_1, e.RCV_FIN, s.CLOSING),
        (s.FIN_WAIT_2, e.RCV_FIN, s.TIME_WAIT), (s.CLOSE_WAIT, e.CLOSE, s.LAST_ACK),
        (s.CLOSING, e.RCV_ACK_OF_FIN, s.TIME_WAIT), (s.LAST_ACK, e.RCV_ACK_OF_FIN, s.CLOSED),
        (s.TIME_WAIT, e.TIMEOUT_2MSL, s.CLOSED),
    }  # fmt: skip
    table = {
        (old, event, new)
        for old, events in TRANSITIONS.items()
        for event, new in events.items()
        if event is not e.DELETE
    }
    assert table == arrows
    assert all(
        events[e.DELETE] is s.CLOSED for old, events in TRANSITIONS.items() if old is not s.CLOSED
    )


def test_46_simultaneous_close() -> None:
    """Both FINs cross: CLOSING, then TIME-WAIT, on both sides (section 3.6, figure 13)."""
    pair = Pair()
    pair.near.close()
    pair.far.close()
    pair.wire.run(1)
    for connection in (pair.near, pair.far):
        assert path(connection)[-3:] == ["FIN-WAIT-1", "CLOSING", "TIME-WAIT"]
    pair.wire.run(300)
    assert pair.client.events == pair.server.events == ["peer_closed", "closed"]


def test_47_half_close() -> None:
    """Sending ended, receiving goes on (section 3.6, case 2)."""
    pair = Pair()
    pair.near.send(b"question")
    pair.near.close()
    pair.wire.run(1)
    pair.far.send(b"a long answer" * 1000)
    pair.wire.run(5)
    assert pair.client.data == b"a long answer" * 1000
    assert pair.near.send(b"more") == errno.EPIPE
    pair.far.close()
    pair.wire.run(1)
    assert pair.states() == ("TIME-WAIT", "CLOSED")


def test_48_fin_waits_behind_data() -> None:
    """Queued data goes first; the FIN rides on its last segment."""
    script = Script()
    connection = script.open(options=MSS, window=1000)
    connection.send(b"x" * 2500)
    connection.close()
    assert connection.state is State.FIN_WAIT_1
    got = script.outputs()
    got += script.inject(ACK, 1001, 8001, window=1000)
    got += script.inject(ACK, 1001, 9001, window=1000)
    assert [(len(s.data), bool(s.flags & FIN)) for s in got] == [
        (1000, False), (1000, False), (500, True),
    ]  # fmt: skip


def test_48_fin_is_resent() -> None:
    """A FIN is part of the sequence space: lost, it comes again."""
    script = Script()
    connection = reach(script, State.FIN_WAIT_1)
    assert [brief(s) for s in script.wait(1.5)] == [("FIN,ACK", 7001, 1001, 0)]
    script.inject(ACK, 1001, 7002)
    assert connection.state is State.FIN_WAIT_2
    assert script.wait(10) == []


def test_48_fin_out_of_order_is_held() -> None:
    """Told only when everything before it has come, and been taken."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK | FIN, 1006, 7001, b"after")
    assert connection.state is State.ESTABLISHED
    script.client.room = 7
    (answer,) = script.inject(ACK, 1001, 7001, b"first")
    assert answer.ack == 1012
    assert connection.state is State.CLOSE_WAIT
    assert (script.client.data, script.client.events) == (b"firstaf", [])
    script.client.room = None
    connection.resume()
    assert (script.client.data, script.client.events) == (b"firstafter", ["peer_closed"])


def test_48_fin_waits_for_a_closed_window() -> None:
    """It is probed with, like a byte; nobody loses it."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK, 1001, 7001, window=0)
    connection.close()
    assert script.outputs() == []
    assert [brief(s)[0] for s in script.wait(1.5)] == ["FIN,ACK"]
    script.inject(ACK, 1001, 7002, window=0)
    assert connection.state is State.FIN_WAIT_2


def test_49_time_wait_lasts_two_msl() -> None:
    """On the side that closed first, in both orders (MUST-13). Facts S3-6, S3-8."""
    for profile, limit in (("rfc", 240), ("linux", 60), ("windows2000", 240)):
        for first in ("near", "far"):
            pair = Pair(profile=profile)
            one, other = (pair.near, pair.far) if first == "near" else (pair.far, pair.near)
            one.close()
            pair.wire.run(1)
            other.close()
            pair.wire.run(1)
            assert (one.state, other.state) == (State.TIME_WAIT, State.CLOSED)
            start = one.trace[-1].time_ns
            pair.wire.run(300)
            assert one.state is State.CLOSED
            assert one.trace[-1].time_ns - start == limit * SECOND


def test_49_a_repeated_fin_is_acknowledged_and_restarts_the_wait() -> None:
    """The last ACK was lost: once more, and 2 MSL again. Fact S3-7."""
    pair = Pair()
    pair.near.close()
    pair.wire.run(1)
    lost: list[Segment] = []

    def lose_the_last_ack(sent: Sent) -> list[int]:
        if not lost and sent.segment.source == A:
            lost.append(sent.segment)
            return []
        return [pair.wire.latency]

    pair.wire.filter = lose_the_last_ack
    pair.far.close()
    pair.wire.run(0.9)
    assert pair.states() == ("TIME-WAIT", "LAST-ACK")
    pair.wire.run(2)
    assert lost
    assert pair.states() == ("TIME-WAIT", "CLOSED")
    assert pair.near.timers.ending is not None
    assert pair.near.timers.ending - pair.near.trace[-1].time_ns > 240 * SECOND


def test_49_the_pair_stays_reserved_in_time_wait() -> None:
    """A new bind or connect that would reuse it fails, or takes another port. Fact S3-7."""
    pair = Pair(establish=False)
    binding = pair.a.tcp.bind(A, 2000)
    assert not isinstance(binding, LocalError)
    made = pair.a.tcp.connect(pair.client, B, 80, binding=binding)
    assert isinstance(made, Connection)
    pair.wire.run(1)
    made.close(final=True)
    pair.wire.run(1)
    pair.far.close()
    pair.wire.run(1)
    pair.a.tcp.ports.release(binding)
    assert made.state is State.TIME_WAIT
    for address in (A, ANY_ADDRESS):
        assert pair.a.tcp.bind(address, 2000) is LocalError.EADDRINUSE
    again = pair.a.tcp.bind(A, 2000, reuse=True)
    assert not isinstance(again, LocalError)
    assert pair.a.tcp.connect(Client(), B, 80, binding=again) is LocalError.EADDRINUSE
    other = pair.a.tcp.connect(Client(), B, 80)
    assert isinstance(other, Connection)
    assert other.local_port != 2000
    pair.a.tcp.ports.release(again)
    pair.wire.run(300)
    assert not isinstance(pair.a.tcp.bind(A, 2000), LocalError)


def test_49_without_time_wait_the_repeated_fin_hits_a_stranger() -> None:
    """The harm that TIME-WAIT prevents. Fact S3-7."""
    pair = Pair(establish=False, time_wait_ns=1)
    binding = pair.a.tcp.bind(A, 2000)
    assert not isinstance(binding, LocalError)
    made = pair.a.tcp.connect(pair.client, B, 80, binding=binding)
    assert isinstance(made, Connection)
    pair.wire.run(1)
    made.close()
    pair.wire.run(1)
    pair.wire.filter = lambda sent: [] if sent.segment.source == A else [pair.wire.latency]
    pair.far.close()
    pair.wire.run(0.5)  # the last ACK is lost, and A has forgotten everything
    assert made.state is State.CLOSED
    pair.wire.filter = lambda sent: [pair.wire.latency]
    pair.wire.clear()
    stranger = Client()
    listen_port = pair.a.tcp.listen(binding, 1, on_connect=lambda _: stranger)
    assert not isinstance(listen_port, LocalError)
    pair.wire.run(5)
    answers = [brief(s)[0] for s in pair.wire.sent_by(A)]
    assert answers == ["RST"]  # the new owner of the port answers for the old connection
    assert pair.far.trace[-1].cause == "rcv RST"


def test_49_time_wait_ignores_reset() -> None:
    """RFC 1337: a stray RST must not end the wait."""
    script = Script()
    connection = reach(script, State.TIME_WAIT)
    assert script.inject(RST, 1002) == []
    assert connection.state is State.TIME_WAIT


def test_49_a_new_syn_may_reopen() -> None:
    """With a higher sequence number, or a later timestamp (MAY-2, RFC 6191)."""
    for options, seq, reopened in (
        (MSS, 90_000, True),
        (MSS, 500, False),
        (Options(mss=1000, timestamp=(2000, 0)), 500, True),
        (Options(mss=1000, timestamp=(500, 0)), 90_000, False),
    ):
        script = Script()
        first = Options(mss=1000, timestamp=(1000, 0) if options.timestamp else None)
        old = script.open(options=first)
        stamp = script.stamp(first)
        old.close()
        script.outputs()
        script.inject(ACK | FIN, 1001, 7002, options=stamp)
        assert old.state is State.TIME_WAIT
        answer = script.inject(SYN, seq, options=options)
        assert [brief(s)[0] for s in answer] == (["SYN,ACK"] if reopened else ["ACK"])
        if reopened:
            assert old.state is State.CLOSED
            assert script.client.events[-1] == "closed"
            assert (answer[0].seq - 7002) % 2**32 < 2**31  # ISS is beyond the old numbers


def test_close_in_syn_sent_forgets_the_attempt() -> None:
    """Nothing is sent, nobody is told (section 3.10.4)."""
    script = Script()
    connection = script.connect()
    connection.close()
    assert script.outputs() == []
    assert (connection.state, script.client.events) == (State.CLOSED, [])


def test_close_in_syn_received_is_kept_until_established() -> None:
    """Section 3.10.4, the second choice: FIN after the handshake."""
    script = Script()
    script.listen()
    script.inject(SYN, 1000)
    assert script.connection is not None
    script.connection.send(b"greeting")
    script.connection.close()
    assert script.outputs() == []
    answer = script.inject(ACK, 1001, 7001)
    assert [brief(s) for s in answer] == [("FIN,PSH,ACK", 7001, 1001, 8)]
    assert script.connection.state is State.FIN_WAIT_1


def test_close_release_completes_when_sends_have_and_the_fin_is_out() -> None:
    """The callback of CLOSE: after the last byte's acknowledgement, not before the FIN."""
    script = Script()
    connection = script.open(options=MSS)
    done: list[int] = []
    connection.send(b"x" * 100)
    connection.close(on_done=lambda: done.append(1))
    script.outputs()
    assert done == []
    script.inject(ACK, 1001, 7101)
    assert done == [1]
    script = Script()
    connection = script.open(options=MSS)
    connection.close(on_done=lambda: done.append(2))
    assert done == [1]
    script.outputs()
    assert done == [1, 2]


def test_close_calls_from_upcalls_are_safe() -> None:
    """A client that aborts or closes inside any upcall disturbs nothing."""
    for upcall in ("accepted", "deliver", "sent", "peer_closed"):
        for call in ("abort", "close"):
            wire = Wire()
            a, b = Host(wire, "a", A), Host(wire, "b", B)
            server, client = Client(), Client()
            plain = getattr(server, upcall)

            def bold(
                connection: Connection,
                *args: object,
                plain: object = plain,
                call: str = call,
            ) -> object:
                result = plain(connection, *args)  # type: ignore[operator]
                getattr(connection, call)()
                return result

            setattr(server, upcall, bold)
            listen(b, 80, lambda _: server)  # noqa: B023
            near = a.tcp.connect(client, B, 80)
            assert isinstance(near, Connection)
            wire.run(0.1)
            if server.connection is not None:
                server.connection.send(b"hello")
            near.send(b"hello")
            near.close()
            wire.run(500)
            assert b.tcp.connections() == []
            assert a.tcp.connections() == [] or near.state is State.FIN_WAIT_2
