"""Taking back what was queued and never went out (a send that its own close interrupts)."""

from __future__ import annotations

import pytest
from tcp_wire import Pair

MORE_THAN_A_WINDOW = bytes(range(256)) * 1000


def test_unsend_takes_back_the_end_alone() -> None:
    """What was sent once stays, and what stood before the last bytes, and their callbacks."""
    pair = Pair()
    done: list[str] = []
    pair.near.send(b"before", on_done=lambda: done.append("before"))
    pair.near.send(MORE_THAN_A_WINDOW, on_done=lambda: done.append("never"))
    pair.wire.run(0.001)
    dropped = pair.near.unsend(len(MORE_THAN_A_WINDOW))
    assert 0 < dropped < len(MORE_THAN_A_WINDOW)
    pair.near.close()
    pair.wire.run(5)
    whole = b"before" + MORE_THAN_A_WINDOW
    assert bytes(pair.server.data) == whole[: len(whole) - dropped]
    assert done == ["before"]
    assert pair.server.events[-1] == "peer_closed"


def test_unsend_of_nothing() -> None:
    """All is out, or the FIN is asked for: nothing is taken back."""
    pair = Pair()
    pair.near.send(b"abc")
    pair.wire.run(1)
    assert pair.near.unsend(3) == 0
    pair.near.send(MORE_THAN_A_WINDOW)
    pair.near.close()
    assert pair.near.unsend(3) == 0


def test_unsend_before_the_handshake_is_done() -> None:
    """In SYN-SENT nothing is out."""
    pair = Pair(establish=False)
    pair.connect()
    pair.near.send(b"abc")
    pair.near.send(b"def")
    assert pair.near.unsend(2) == 2
    pair.wire.run(1)
    assert bytes(pair.server.data) == b"abcd"


@pytest.mark.parametrize("taken", [1, 3])
def test_unsend_of_urgent_bytes(taken: int) -> None:
    """The pointer does not stand behind bytes that are no more."""
    pair = Pair(establish=False)
    pair.connect()
    pair.near.send(b"ab!", urgent=True)
    assert pair.near.unsend(taken) == taken
    pair.wire.run(1)
    assert pair.near.snd_up is None
    received = pair.server.data + pair.server.out_of_band
    assert received == b"ab!"[: 3 - taken]
