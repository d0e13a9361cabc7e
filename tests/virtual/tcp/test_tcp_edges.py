"""Corners that no line of the list names: bad calls, odd moments, what is printed."""

from __future__ import annotations

import errno

from tcp_wire import A, B, Client, Host, Pair, Script, Wire, brief, listen

from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.tcp import ConnectAnswer, Connection
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, RST, SYN, Segment
from wsock.virtual.tcp.seq import MASK
from wsock.virtual.tcp.states import State
from wsock.virtual.tcp.tcb import TRACE_LIMIT

MSS = Options(mss=1000)


def test_sack_blocks_on_a_connection_without_sack_are_ignored() -> None:
    """An option that was not negotiated means nothing."""
    script = Script(sack=False)
    connection = script.open(options=MSS)
    connection.send(bytes(5000))
    script.outputs()
    script.inject(ACK, 1001, 7001, options=Options(sack=((9001, 10_001),)))
    assert not connection.scoreboard


def test_a_client_may_abort_when_it_is_told_connected() -> None:
    """Text behind the SYN,ACK is then nobody's; a RST leaves."""
    script = Script()
    connection = script.connect()
    script.client.connected = lambda c: c.abort()  # type: ignore[method-assign,assignment]
    script.outputs()
    answer = script.inject(SYN | ACK, 1000, 7001, b"banner")
    assert [brief(s)[0] for s in answer] == ["RST,ACK"]
    assert connection.state is State.CLOSED
    assert script.client.data == b""


def test_a_client_may_abort_in_the_middle_of_queued_pieces() -> None:
    """Nothing is delivered to a connection that is gone, the urgent byte neither."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK, 1011, 7001, b"second")
    script.inject(ACK, 1021, 7001, b"third")

    def deliver(c: Connection, data: memoryview, push: bool) -> int:
        script.client.data += data
        c.abort()
        return len(data)

    script.client.deliver = deliver  # type: ignore[method-assign]
    script.inject(ACK, 1001, 7001, b"0123456789")
    assert script.client.data == b"0123456789"
    assert connection.state is State.CLOSED


def test_a_client_may_abort_between_urgent_pieces() -> None:
    """The byte after an abort is not delivered."""
    for taken in (True, False):
        script = Script()
        connection = script.open(options=MSS)

        def deliver(c: Connection, data: memoryview, push: bool, taken: bool = taken) -> int:
            c.abort()
            return len(data) if taken else 0

        script.client.deliver = deliver  # type: ignore[method-assign]
        script.inject(ACK | 0x20, 1001, 7001, b"ab!cd", urgent=3)
        assert script.client.out_of_band == b""
        assert connection.state is State.CLOSED


def test_a_client_may_stop_receiving_while_it_is_offered_what_waits() -> None:
    """The queue is dropped under the hands of the drain."""
    script = Script()
    connection = script.open(options=MSS)
    script.client.room = 0
    script.inject(ACK, 1001, 7001, b"first")
    script.inject(ACK, 1006, 7001, b"second")

    def deliver(c: Connection, data: memoryview, push: bool) -> int:
        c.stop_receive()
        return 0

    script.client.deliver = deliver  # type: ignore[method-assign]
    connection.resume()
    assert connection.available == 0
    assert not connection.refused


def test_an_offer_that_resumes_itself_is_not_entered_twice() -> None:
    """A client that calls ``resume`` from ``deliver`` gets the bytes once, in order."""
    script = Script()
    connection = script.open(options=MSS)
    plain = script.client.deliver

    def deliver(c: Connection, data: memoryview, push: bool) -> int:
        c.resume()
        return plain(c, data[:2], push)

    script.client.deliver = deliver  # type: ignore[method-assign]
    script.inject(ACK, 1001, 7001, b"abcdefg")
    assert script.client.data == b"abcdefg"
    assert connection.available == 0


def test_a_syn_at_a_closed_window_is_challenged_and_no_probe() -> None:
    """The allowance for a closed window is for ACK, URG and RST alone."""
    script = Script()
    script.settings.receive_buffer = 4
    connection = script.open(options=MSS)
    script.client.room = 0
    script.inject(ACK, 1001, 7001, b"full")
    assert [brief(s)[0] for s in script.inject(SYN, 1005)] == ["ACK"]
    assert connection.state is State.ESTABLISHED


def test_an_interface_that_became_narrow_is_noticed_when_sending() -> None:
    """EMSGSIZE from below: smaller segments, by the next timeout at the latest."""
    script = Script()
    connection = script.open(options=Options(mss=1460))
    script.host.interface.mtu = 600
    connection.send(bytes(1400))
    assert script.outputs() == []
    assert script.host.counters["tcp could not send"] == 1
    assert [len(s.data) for s in script.wait(1.5)] == [560]
    assert connection.effective_mss == 560


def test_a_path_that_vanished_is_a_soft_error() -> None:
    """What IP says counts when the connection is given up, not before."""
    script = Script()
    connection = script.open(options=MSS)
    script.host.send = lambda *a, **k: LocalError.ENETUNREACH  # type: ignore[method-assign]
    connection.send(b"x")
    script.outputs()
    assert connection.soft_error == errno.ENETUNREACH
    script.wait(300)
    assert script.client.events == [("reset", errno.ENETUNREACH)]


def test_no_port_is_left() -> None:
    """ENOBUFS, for bind and for connect."""
    script = Script(ephemeral_ports=(5000, 5001))
    made = [script.host.tcp.connect(Client(), A, 80) for _ in range(3)]
    assert made[2] is LocalError.ENOBUFS
    assert isinstance(script.host.tcp.connect(Client(), A, 81), Connection)
    assert script.host.tcp.bind(ANY_ADDRESS, 0) is LocalError.ENOBUFS


def test_a_new_syn_in_time_wait_without_a_listener_is_challenged() -> None:
    """Nobody could take it."""
    script = Script()
    listener = listen(script.host, 80, lambda _: script.client, script.settings)
    script.inject(SYN, 1000)
    script.inject(ACK, 1001, 7001)
    connection = script.client.connection
    assert connection is not None
    connection.close()
    script.outputs()
    script.inject(ACK | FIN, 1001, 7002)
    assert connection.state is State.TIME_WAIT
    listener.close()
    assert [brief(s)[0] for s in script.inject(SYN, 90_000)] == ["ACK"]
    assert connection.state is State.TIME_WAIT


def test_a_reopened_pair_starts_beyond_the_old_numbers() -> None:
    """Also when the listener's ISS is fixed below them."""
    script = Script()
    old = script.open(options=MSS)
    old.close()
    script.outputs()
    script.inject(ACK | FIN, 1001, 7002)
    (answer,) = script.inject(SYN, 90_000, options=MSS)
    assert answer.seq == (7002 + 0x10000) & MASK


def test_push_is_lost_with_the_bytes_that_are_cut_off() -> None:
    """A segment that is cut at the right edge does not end the peer's send; a cut FIN does."""
    for text, flags, push in ((b"abcdef", 8, False), (b"abcd", 8 | FIN, True), (b"abcd", 8, True)):
        script = Script()
        script.settings.receive_buffer = 4
        connection = script.open(options=MSS)
        script.inject(ACK | flags, 1001, 7001, text)
        assert script.client.pushes == [(4, push)]
        assert connection.state is State.ESTABLISHED


def test_forgetting_a_connection_twice_does_no_harm() -> None:
    """And a listener may be closed twice, a binding released twice."""
    pair = Pair()
    pair.near.abort()
    pair.a.tcp.remove(pair.near)
    pair.listener.close()
    pair.listener.close()
    assert pair.b.tcp.connections() == [pair.far]  # taken by its client: not the listener's


def test_calls_on_a_connection_that_is_gone() -> None:
    """ENOTCONN, and the own abort is told once."""
    script = Script()
    connection = script.connect()
    connection.abort()
    assert script.outputs() == []  # in SYN-SENT nobody needs a RST
    assert connection.close() == errno.ENOTCONN
    assert connection.send(b"x") == errno.ECONNABORTED
    assert connection.send(b"x") == errno.EPIPE


def test_abort_in_closing_states_is_silent_unless_bytes_are_lost() -> None:
    """Section 3.10.5: in CLOSING, LAST-ACK and TIME-WAIT there is nothing to reset."""
    for pending, expected in ((b"", []), (b"unsent", ["RST,ACK"])):
        script = Script()
        connection = script.open(options=MSS)
        script.inject(ACK | FIN, 1001, 7001)
        connection.send(pending)
        connection.close()
        script.outputs()
        assert connection.state is State.LAST_ACK
        connection.abort()
        assert [brief(s)[0] for s in script.outputs()] == expected


def test_a_second_close_changes_nothing() -> None:
    """One FIN."""
    script = Script()
    connection = script.open(options=MSS)
    assert (connection.close(), connection.close()) == (0, 0)
    assert len(script.outputs()) == 1


def test_a_simultaneous_open_that_is_refused_by_the_handler_elsewhere() -> None:
    """A refused offer leaves no connection and no half-open count."""
    wire = Wire()
    a, b = Host(wire, "a", A), Host(wire, "b", B)
    client = Client()
    listener = listen(b, 80, lambda _: ConnectAnswer.REFUSE)
    a.tcp.connect(client, B, 80)
    wire.run(1)
    assert client.events == [("failed", errno.ECONNREFUSED)]
    assert (listener.half_open, listener.waiting, b.tcp.connections()) == (0, 0, [])


def test_a_listener_without_takers_never_calls_a_client() -> None:
    """Data, urgent data and FIN wait; nothing is sent but acknowledgements."""
    pair = Pair(establish=False)
    pair.listener.close()
    pair.b.tcp.ports._bindings.clear()
    listener = listen(pair.b, 80)
    pair.connect()
    pair.wire.run(0.1)
    pair.near.send(b"hello")
    pair.near.send(b"!", urgent=True)
    pair.near.close()
    pair.wire.run(1)
    assert listener.waiting == 1
    accepted = listener.accept(pair.server)
    assert accepted is not None
    assert (pair.server.data, pair.server.events) == (b"hello", ["peer_closed"])
    assert pair.server.out_of_band == b"!"


def test_everything_says_what_it_is() -> None:
    """repr tells the state."""
    script = Script()
    listener = script.listen()
    assert repr(listener) == "<Listener 0.0.0.0:80, 0 half-open, 0 waiting>"
    script.inject(SYN, 1000)
    assert repr(script.connection) == (
        "<Connection SYN-RECEIVED 192.0.2.2:80 <- 192.0.2.1:5555, 0 bytes unread>"
    )
    assert script.connection is not None
    assert str(script.connection.trace[0]) == "0.000000000 CLOSED -> LISTEN: passive OPEN"
    active = script.host.tcp.connect(Client(), A, 7)
    assert "192.0.2.2:" in repr(active)
    assert "-> 192.0.2.1:7" in repr(active)
    segment = Segment(A, B, 1, 2, 3, 4, SYN | ACK, 5, options=Options(mss=1460))
    assert repr(segment) == ("<Segment SYN,ACK seq=3 ack=4 window=5 0 bytes <Options mss=1460>>")
    assert repr(Options()) == "<Options none>"
    binding = script.host.tcp.bind(B, 9)
    assert repr(binding) == "<Binding 192.0.2.2:9>"


def test_a_trace_does_not_grow_for_ever() -> None:
    """Remarks end at the limit; changes of state are always written."""
    script = Script()
    connection = script.open(options=MSS)
    for n in range(TRACE_LIMIT + 50):
        connection.remark(f"remark {n}")
    assert len(connection.trace) == TRACE_LIMIT
    connection.close()
    assert connection.trace[-1].new is State.FIN_WAIT_1


def test_unsent_counts_before_the_handshake_is_done() -> None:
    """What is queued in SYN-SENT has not been sent."""
    script = Script()
    connection = script.connect()
    connection.send(b"early")
    script.outputs()
    assert connection.unsent == 5
    script.inject(SYN | ACK, 1000, 7001)
    assert connection.unsent == 0


def test_urgent_data_queued_before_the_handshake_keeps_its_place() -> None:
    """SND.UP counts from behind the SYN."""
    script = Script()
    connection = script.connect()
    connection.send(b"abc", urgent=True)
    script.outputs()
    answer = script.inject(SYN | ACK, 1000, 7001)
    (segment,) = (s for s in answer if s.data)
    assert segment.seq + segment.urgent == 7004


def test_a_reset_after_the_application_closed_tells_what_was_lost() -> None:
    """In LAST-ACK with unacknowledged bytes the close was not in order."""
    script = Script()
    connection = script.open(options=MSS)
    script.inject(ACK | FIN, 1001, 7001)
    connection.send(b"farewell")
    connection.close()
    script.outputs()
    script.client.events.clear()
    script.inject(RST, 1002)
    assert script.client.events == [("reset", errno.ECONNRESET)]
