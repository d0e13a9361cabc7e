"""The interpreter itself: its language, and what it prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsock import win32 as w

from . import language
from .interpreter import transcript
from .language import Malformed
from .names import Names


@given(st.binary(max_size=60))
def test_data_prints_and_reads_back(data: bytes) -> None:
    """Whatever the bytes, and long runs of one character."""
    assert language.data(language.shown(data)) == data


@pytest.mark.parametrize(
    ("word", "data"),
    [('"a\\nb"', b"a\nb"), ('"\\x00\\0\\""', b'\0\0"'), ("3*x", b"xxx"), ('""', b"")],
)
def test_data_words(word: str, data: bytes) -> None:
    """Text with escapes, and repetition."""
    assert language.data(word) == data


def test_words_keep_strings_together() -> None:
    """With their quotes; a string must end."""
    assert language.words('send a "two words" MSG_OOB') == ["send", "a", '"two words"', "MSG_OOB"]
    with pytest.raises(Malformed):
        language.words('send a "open')


def test_numbers_messages_and_masks() -> None:
    """Names of values, U+n, flags joined by a bar."""
    assert language.number("SOCK_DGRAM") == 2
    assert language.number("0x10") == 16
    assert language.message("U+3") == w.WM_USER + 3
    assert language.events("FD_READ|FD_CLOSE") == 0x21
    assert language.events("0") == 0
    for wrong in (language.number, language.events, language.flags, language.data):
        with pytest.raises(Malformed):
            wrong("nonsense")


def test_names_of_codes() -> None:
    """Both ways; a number that has none."""
    assert language.error_name(10035) == "WSAEWOULDBLOCK"
    assert language.error_name(0) == "0"
    assert language.error_name(424242) == "error(424242)"
    assert language.error_code("WSAEINTR") == 10004
    assert language.event_name(0x20) == "FD_CLOSE"


def test_ports_have_the_name_of_their_owner() -> None:
    """An accepted socket shares its listener's port and never owns it."""
    names = Names()
    from .names import NamedSocket

    names.sockets = [NamedSocket("L", 4, port=7), NamedSocket("s", 8, accepted=True, port=7)]
    assert names.name_of_port(7) == "L"
    assert names.name_of_port(0) == "0"
    assert names.name_of_port(9) == "?"


async def test_what_lines_print() -> None:
    """Comments and blanks nothing, say its text, ~ a star, an unknown socket is malformed."""
    printed = await transcript("# rule: none\n\nsay hello there\n~sleep 1\nsleep 1\n")
    assert printed == "-- hello there\n~sleep 1 -> *\nsleep 1 -> ok\n"
    with pytest.raises(Malformed, match="unknown socket"):
        await transcript("recv nobody 1\n")
    with pytest.raises(Malformed, match="unknown command"):
        await transcript("dance\n")


async def test_threads_print_when_joined() -> None:
    """Their whole output; still running; how it ended."""
    printed = await transcript("""
        WSACreateEvent e
        spawn t WSAWaitForMultipleEvents any inf e
        join t 20
        WSASetEvent e
        join t
        spawn u recv JUNK 1
        outcome u
    """)
    assert "join t 20 -> still running\n" in printed
    assert "join t -> WSAWaitForMultipleEvents any inf e -> WSA_WAIT_EVENT_0+0\n" in printed
    assert printed.endswith("outcome u -> ended with an error\n")


async def test_the_pump_groups_by_socket() -> None:
    """Sorted by source, in order within; raw keeps the order of arrival."""
    scenario = """
        window w
        pair b a
        pair d c
        WSAAsyncSelect c w U+1 FD_READ
        WSAAsyncSelect a w U+1 FD_READ
        send d "x"
        sleep 5
        send b "y"
        sleep 5
        {pump}
    """
    grouped = await transcript(scenario.format(pump="pump 20"))
    assert grouped.endswith("pump 20 ->\n  | w U+1 a FD_READ 0\n  | w U+1 c FD_READ 0\n")
    raw = await transcript(scenario.format(pump="pump 20 raw"))
    assert raw.endswith("pump 20 raw ->\n  | w U+1 c FD_READ 0\n  | w U+1 a FD_READ 0\n")
