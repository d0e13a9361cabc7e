"""The table of docs/rules.md: event, re-enabling call, test; made from the table of the code."""

from __future__ import annotations

from wsock import FD
from wsock.afd import RE_ENABLED_BY

HEAD = "| event | reported when | re-enabled by | shown by |"

#: What its condition is, and the tests that show the report and the re-enabling call.
SHOWN: dict[FD, tuple[str, str, tuple[str, ...]]] = {
    FD.READ: (
        "data, or a datagram, can be received",
        "test_fd_read",
        (
            "test_posted_once_until_recv",
            "test_recv_that_leaves_data_posts_again",
            "test_peek_posts_again",
            "test_failed_recv_re_enables",
        ),
    ),
    FD.WRITE: (
        "the connection is made; there is room again after a refusal",
        "test_fd_write",
        (
            "test_posted_at_select_of_a_connected_stream",
            "test_posted_again_after_wouldblock_and_room",
            "test_a_send_that_succeeds_arms_nothing",
        ),
    ),
    FD.OOB: (
        "an urgent byte has come",
        "test_fd_oob",
        (
            "test_posted_when_an_urgent_byte_arrives",
            "test_each_urgent_byte_that_was_read_makes_room_for_the_next",
        ),
    ),
    FD.ACCEPT: (
        "a client waits to be accepted",
        "test_fd_accept",
        ("test_posted_once_until_accept", "test_failing_accept_re_enables"),
    ),
    FD.CONNECT: (
        "a connect has ended, well or not",
        "test_fd_connect",
        ("test_reported_once", "test_a_later_connect_starts_anew"),
    ),
    FD.CLOSE: (
        "the peer has ended its sending and all is read, or has reset",
        "test_fd_close",
        ("test_graceful", "test_half_close_still_sends"),
    ),
}


def table() -> list[str]:
    """All lines of the table, an event for each line of the code's own table."""
    lines = [HEAD, "| --- | --- | --- | --- |"]
    for bit, call in RE_ENABLED_BY.items():
        condition, file, tests = SHOWN[FD(bit)]
        links = "<br>".join(f"[`{name}`](../tests/notification/{file}.py)" for name in tests)
        lines.append(f"| `FD_{FD(bit).name}` ({bit}) | {condition} | {call} | {links} |")
    return lines
