# The grid: every state, every kind of segment, at five places of the window, with two ACKs.
#
# ``expected`` below is section 3.10.7 of RFC 9293 written down a second time, as naively as the
# text allows, and shares no code with the implementation. Choices the RFC leaves open: RFC 5961's
# challenge ACKs, RFC 1337 (RST in TIME-WAIT), MAY-2 (a newer SYN reopens), passive OPENs.

"""Checklist line 60: 11 states x 7 kinds of segment x 5 positions x 2 acknowledgements."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from tcp_wire import Script, brief

from wsock.virtual.tcp.segment import ACK, FIN, RST, SYN
from wsock.virtual.tcp.states import State

if TYPE_CHECKING:
    from wsock.virtual.tcp import Connection

KINDS = {
    "SYN": (SYN, b""),
    "SYN-ACK": (SYN | ACK, b""),
    "ACK": (ACK, b""),
    "FIN": (FIN | ACK, b""),
    "RST": (RST, b""),
    "data": (ACK, b"0123456789"),
    "SYN-FIN": (SYN | FIN, b""),
}
POSITIONS = ("left of", "at", "inside", "right edge of", "right of")
STATES = [str(state) for state in State]


class Before(NamedTuple):
    """What the naive reading needs to know of a connection."""

    state: str
    snd_una: int
    snd_nxt: int
    rcv_nxt: int
    rcv_wnd: int


class After(NamedTuple):
    """What may be seen from outside: the state, what is sent at once, what is delivered."""

    state: str
    sent: list[tuple[str, int, int, int]]
    delivered: bytes = b""


def expected(before: Before, kind: str, seq: int, ack: int) -> After:
    """RFC 9293 section 3.10.7, told again."""
    state = before.state
    has_ack = kind in ("SYN-ACK", "ACK", "FIN", "data")
    has_syn = kind in ("SYN", "SYN-ACK", "SYN-FIN")
    length = {"SYN": 1, "SYN-ACK": 1, "FIN": 1, "data": 10, "SYN-FIN": 2}.get(kind, 0)
    reset = [("RST", ack, 0, 0)] if has_ack else [("RST,ACK", 0, seq + length, 0)]
    just_ack = [("ACK", before.snd_nxt, before.rcv_nxt, 0)]

    if state == "CLOSED":  # 3.10.7.1
        return After("CLOSED", [] if kind == "RST" else reset)

    if state == "LISTEN":  # 3.10.7.2
        if kind == "RST":
            return After("LISTEN", [])
        if has_ack:
            return After("LISTEN", reset)
        return After("SYN-RECEIVED", [("SYN,ACK", before.snd_una, seq + 1, 0)])

    if state == "SYN-SENT":  # 3.10.7.3
        if has_ack and ack != before.snd_nxt:
            return After("SYN-SENT", reset)
        if kind == "RST" or not has_syn:
            return After("SYN-SENT", [])
        if has_ack:
            return After("ESTABLISHED", [("ACK", before.snd_nxt, seq + 1, 0)])
        return After("SYN-RECEIVED", [("SYN,ACK", before.snd_una, seq + 1, 0)])

    return expected_otherwise(before, kind, seq, ack, length, just_ack)


def expected_otherwise(
    before: Before, kind: str, seq: int, ack: int, length: int,
    just_ack: list[tuple[str, int, int, int]],
) -> After:  # fmt: skip
    """3.10.7.4: SYN-RECEIVED and all synchronized states."""
    state, left, right = before.state, before.rcv_nxt, before.rcv_nxt + before.rcv_wnd
    if state == "TIME-WAIT" and kind in ("SYN", "SYN-FIN") and seq > left:  # MAY-2
        return After("SYN-RECEIVED", [("SYN,ACK", -1, seq + 1, 0)])
    # First, the sequence number.
    numbers = range(seq, seq + max(length, 1))
    if not (left <= numbers[0] < right or left <= numbers[-1] < right):
        return After(state, [] if kind == "RST" else just_ack)
    # Second, RST.
    if kind == "RST":
        if state == "TIME-WAIT":
            return After(state, [])
        return After("CLOSED", []) if seq == left else After(state, just_ack)
    # Fourth, SYN.
    if kind in ("SYN", "SYN-ACK", "SYN-FIN"):
        if state == "SYN-RECEIVED":  # a passive one returns to LISTEN
            return After("CLOSED", [])
        return After(state, just_ack)
    return expected_from_fifth(before, kind, seq, ack, just_ack)


def expected_from_fifth(
    before: Before, kind: str, seq: int, ack: int, just_ack: list[tuple[str, int, int, int]]
) -> After:
    """3.10.7.4: the ACK, the text, the FIN."""
    state, left = before.state, before.rcv_nxt
    if state == "SYN-RECEIVED":
        if ack != before.snd_nxt:
            return After(state, [("RST", ack, 0, 0)])
        state = "ESTABLISHED"
    if ack == before.snd_nxt:
        state = {
            "FIN-WAIT-1": "FIN-WAIT-2", "CLOSING": "TIME-WAIT", "LAST-ACK": "CLOSED",
        }.get(state, state)  # fmt: skip
    # Seventh, the text; eighth, FIN. What is not at the left edge is kept and acknowledged at once,
    # and so is a further FIN, wherever it is.
    if kind == "FIN" and state in ("CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"):
        return After(state, just_ack)
    if state not in ("ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2") or kind == "ACK":
        return After(state, [])
    if seq != left:
        return After(state, just_ack)
    if kind == "data":
        return After(state, [], b"0123456789")  # its ACK is delayed
    after = {
        "ESTABLISHED": "CLOSE-WAIT", "FIN-WAIT-1": "CLOSING", "FIN-WAIT-2": "TIME-WAIT",
    }[state]  # fmt: skip
    return After(after, [("ACK", before.snd_nxt, left + 1, 0)])


def arrange(state: str) -> tuple[Script, Before]:
    """Bring a host under test into a state."""
    script = Script("rfc", timestamps="accept")
    if state == "CLOSED":
        return script, Before(state, 7000, 7000, 1001, 65535)
    if state == "SYN-SENT":
        script.connect()
        script.outputs()
        return script, Before(state, 7000, 7001, 1001, 65535)
    if state == "LISTEN":
        script.listen()
        return script, Before(state, 7000, 7000, 1001, 65535)
    if state == "SYN-RECEIVED":
        script.listen()
        script.inject(SYN, 1000)
        connection = script.connection
        assert connection is not None
    else:
        connection = into_synchronized(script, state)
    assert str(connection.state) == state
    return script, Before(
        state, connection.snd_una, connection.snd_nxt, connection.rcv_nxt, connection.rcv_wnd
    )


def into_synchronized(script: Script, state: str) -> Connection:
    connection = script.open()
    if state in ("CLOSE-WAIT", "LAST-ACK"):
        script.inject(ACK | FIN, 1001, 7001)
    if state not in ("ESTABLISHED", "CLOSE-WAIT"):
        connection.close()
        script.outputs()
    if state in ("FIN-WAIT-2", "TIME-WAIT"):
        script.inject(ACK, 1001, 7002)
    if state in ("CLOSING", "TIME-WAIT"):
        script.inject(ACK | FIN, 1001, 7001 if state == "CLOSING" else 7002)
    return connection


def place(before: Before, position: str) -> int:
    return {
        "left of": before.rcv_nxt - 50,
        "at": before.rcv_nxt,
        "inside": before.rcv_nxt + 100,
        "right edge of": before.rcv_nxt + before.rcv_wnd - 1,
        "right of": before.rcv_nxt + before.rcv_wnd + 100,
    }[position]


def observe(script: Script, state: str, kind: str, seq: int, ack: int) -> After:
    """Deliver the segment; say what can be seen."""
    flags, text = KINDS[kind]
    script.client.data.clear()
    sent = [brief(s) for s in script.inject(flags, seq, ack if flags & ACK else 0, text)]
    live = script.host.tcp.connections()
    gone = "LISTEN" if state == "LISTEN" else "CLOSED"
    now = str(live[0].state) if live else gone
    if state == "TIME-WAIT" and now == "SYN-RECEIVED":
        sent = [(name, -1, acked, length) for name, _, acked, length in sent]  # a new ISS
    return After(now, sent, bytes(script.client.data))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", STATES)
def test_60_grid(state: str, kind: str) -> None:
    """One cell for each position and for an ACK of SND.UNA and of SND.NXT."""
    for position in POSITIONS:
        for which in ("snd_una", "snd_nxt"):
            script, before = arrange(state)
            seq, ack = place(before, position), getattr(before, which)
            got = observe(script, state, kind, seq, ack)
            assert got == expected(before, kind, seq, ack), (position, which)
