"""One conversation: replies in order, one command at a time, time-outs that cannot be fooled."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from examples.login_server.limits import Limits
from examples.login_server.protocol import Code, Login, Reply, WhoAmI
from examples.login_server.service import Answer
from examples.login_server.session import Session

OK = Answer(Reply(Code.OK, "value"))
LIMITS = Limits(line_bytes=64, bad_lines=3, idle_seconds=100.0, login_seconds=30.0)


def session(now: float = 0.0, **limits: int) -> Session:
    return Session(dataclasses.replace(LIMITS, **limits), now)


def code_of(step: object) -> Code | None:
    return step.code if isinstance(step, Reply) else None


def test_one_command_at_a_time() -> None:
    """The second of two in one packet comes after the first was answered."""
    conversation = session()
    conversation.feed(b"LOGIN bob x\nWHOAMI t\n")
    assert conversation.next(0.0) == Login("bob", "x")
    assert conversation.next(0.0) is None
    assert not conversation.wants_data
    assert conversation.answer(OK, 1.0) == OK.reply
    assert conversation.next(1.0) == WhoAmI("t")
    conversation.answer(OK, 2.0)
    assert conversation.next(2.0) is None
    assert conversation.wants_data


def test_quit_is_answered_and_ends_it() -> None:
    """What is behind QUIT is not executed."""
    conversation = session()
    conversation.feed(b"QUIT\nWHOAMI t\n")
    assert conversation.next(0.0) == Reply(Code.OK, "bye")
    assert conversation.closing
    assert conversation.reason == "quit"
    assert conversation.next(0.0) is None


def test_so_many_bad_lines_and_no_more() -> None:
    """Each is answered; the last one with TOOMANY, and the conversation ends."""
    conversation = session()
    conversation.feed(b"GET / HTTP/1.1\r\n\xff\n" + b"x" * 65 + b"\nQUIT\n")
    codes = [code_of(conversation.next(0.0)) for _ in range(4)]
    assert codes == [Code.SYNTAX, Code.CHARS, Code.TOOMANY, None]
    assert conversation.closing
    assert conversation.reason == "bad lines"


def test_after_the_end_of_input_what_came_before_is_answered() -> None:
    """``printf ... | nc`` closes its side at once and still gets its reply."""
    conversation = session()
    conversation.feed(b"WHOAMI t\nWHOAMI u\n")
    conversation.end()
    assert conversation.next(0.0) == WhoAmI("t")
    conversation.answer(OK, 0.0)
    assert conversation.next(0.0) == WhoAmI("u")
    assert not conversation.closing
    conversation.answer(OK, 0.0)
    assert conversation.next(0.0) is None
    assert conversation.closing
    assert conversation.reason == "closed"


def test_a_command_cut_off_by_the_end_is_never_executed() -> None:
    """Half a password would be another password."""
    conversation = session()
    conversation.feed(b"REGISTER bob correct-ho")
    assert conversation.next(0.0) is None
    conversation.end()
    assert code_of(conversation.next(0.0)) is Code.SYNTAX
    assert conversation.closing


def test_a_client_that_does_not_log_in_is_timed_out_though_it_talks() -> None:
    """The time to log in runs from the connection, whatever is said."""
    conversation = session()
    assert conversation.deadline() == 30.0
    conversation.feed(b"WHOAMI t\n")
    conversation.next(29.0)
    conversation.answer(Answer(Reply(Code.TOKEN)), 29.0)
    assert conversation.deadline() == 30.0
    assert code_of(conversation.time_out()) is Code.TIMEOUT
    assert conversation.closing


def test_a_byte_now_and_then_is_no_sign_of_life() -> None:
    """Only a complete command moves the idle deadline."""
    conversation = session()
    conversation.feed(b"WHOAMI t\n")
    conversation.next(10.0)
    conversation.answer(Answer(Reply(Code.OK, "bob"), "bob"), 10.0)
    assert conversation.deadline() == 110.0
    for second in range(11, 100):
        conversation.feed(b"x"[: second % 2])
        assert conversation.next(float(second)) is None
    assert conversation.deadline() == 110.0


def test_the_servers_own_time_is_not_the_clients_fault() -> None:
    """No deadline runs while a command is being executed; it starts anew with the answer."""
    conversation = session()
    conversation.feed(b"LOGIN bob x\n")
    conversation.next(5.0)
    assert conversation.deadline() == float("inf")
    conversation.answer(Answer(Reply(Code.OK, "token"), "bob"), 50.0)
    assert conversation.deadline() == 150.0
    assert conversation.name == "bob"


def test_a_stop_answers_the_command_under_way_and_refuses_the_rest() -> None:
    """Nothing that was read goes without a reply."""
    conversation = session()
    conversation.feed(b"LOGIN bob x\nWHOAMI t\n")
    conversation.next(0.0)
    conversation.stop()
    assert not conversation.closing
    assert conversation.answer(OK, 0.0) == OK.reply
    assert code_of(conversation.next(0.0)) is Code.STOPPING
    assert conversation.next(0.0) is None
    assert conversation.closing
    assert conversation.reason == "stop"


def test_an_idle_client_is_closed_by_a_stop() -> None:
    """At once."""
    conversation = session()
    conversation.stop()
    assert conversation.next(0.0) is None
    assert conversation.closing


@given(st.lists(st.binary(max_size=40) | st.just(b"WHOAMI t\n") | st.just(b"\n")))
def test_every_line_has_one_reply_and_in_order(parts: list[bytes]) -> None:
    """Whatever comes and however it is cut: as many replies as lines, the memory bounded."""
    conversation = session(bad_lines=1_000_000)
    replies: list[Code] = []
    expected = 0
    for part in parts:
        conversation.feed(part)
        expected += part.count(b"\n")
        while (step := conversation.next(0.0)) is not None:
            if isinstance(step, Reply):
                replies.append(step.code)
            else:
                assert step == WhoAmI("t")
                replies.append(conversation.answer(OK, 0.0).code)
        # A line too long is answered before its end: that reply may be ahead by one.
        assert len(replies) in {expected, expected + 1}
        assert conversation.wants_data
    assert conversation.counts.bytes_in == sum(map(len, parts))
    assert conversation.counts.ok + conversation.counts.failed == len(replies)
