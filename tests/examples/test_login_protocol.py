"""The line protocol: any bytes give commands or coded errors, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.login_server.protocol import (
    COMMANDS,
    ChangePassword,
    Code,
    LineParser,
    Login,
    Logout,
    ProtocolError,
    Quit,
    Register,
    Reply,
    WhoAmI,
    parse_command,
)


def lines_of(parser: LineParser) -> list[bytes | Code]:
    """Everything the parser has to give, errors as their codes."""
    taken: list[bytes | Code] = []
    while True:
        try:
            line = parser.next_line()
        except ProtocolError as problem:
            taken.append(problem.reply.code)
            continue
        if line is None:
            return taken
        taken.append(line)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"REGISTER bob pass word", None),
        (b"REGISTER bob secret", Register("bob", "secret")),
        (b"login bob secret", Login("bob", "secret")),
        (b"  LOGIN   bob  secret ", Login("bob", "secret")),
        (b"WHOAMI t", WhoAmI("t")),
        (b"LOGOUT t", Logout("t")),
        (b"PASSWD t old new", ChangePassword("t", "old", "new")),
        (b"QUIT", Quit()),
        (b"QUIT now", None),
        (b"", None),
        (b"GET / HTTP/1.1", None),
        ("LOG\u0131N bob secret".encode(), None),
    ],
)
def test_a_command_is_a_word_and_exactly_its_fields(line: bytes, command: object) -> None:
    """Fields are separated by spaces; the word may have any ASCII case; all else is SYNTAX."""
    if command is None:
        with pytest.raises(ProtocolError) as caught:
            parse_command(line)
        assert caught.value.reply.code is Code.SYNTAX
    else:
        assert parse_command(line) == command


@pytest.mark.parametrize("line", [b"LOGIN b\x00b x", b"\xff\xfd\x01", b"LOGIN a\tb c", b"\x1b[2J"])
def test_nul_control_characters_and_bad_utf8_are_refused(line: bytes) -> None:
    """A NUL, a telnet option, a tab, an escape sequence: CHARS, and none of it comes back."""
    with pytest.raises(ProtocolError) as caught:
        parse_command(line)
    assert caught.value.reply.code is Code.CHARS
    assert caught.value.__cause__ is None
    assert caught.value.reply.encode().isascii()


def test_no_repr_shows_a_secret() -> None:
    """Whatever prints a command or a reply prints no password and no token."""
    shown = [
        repr(Register("bob", "hidden-1")),
        repr(Login("bob", "hidden-1")),
        repr(WhoAmI("hidden-1")),
        repr(Logout("hidden-1")),
        repr(ChangePassword("hidden-1", "hidden-2", "hidden-3")),
        repr(Reply(Code.OK, "hidden-1")),
    ]
    assert not any("hidden" in text for text in shown)


def test_replies_are_one_line_with_the_code_first() -> None:
    """``OK value`` or ``ERR CODE words``."""
    assert Reply(Code.OK).encode() == b"OK\n"
    assert Reply(Code.OK, "token").encode() == b"OK token\n"
    assert Reply(Code.BUSY, "try again").encode() == b"ERR BUSY try again\n"
    assert Reply(Code.OK).ok
    assert not Reply(Code.BUSY).ok


def test_line_ends_are_lf_or_cr_lf() -> None:
    """One CR before the LF belongs to the end; any other stays in the line."""
    parser = LineParser(10)
    parser.feed(b"a\nb\r\nc\r\r\n\n")
    assert lines_of(parser) == [b"a", b"b", b"c\r", b""]


def test_a_line_of_the_limit_passes_and_one_byte_more_does_not() -> None:
    """The limit counts neither CR nor LF."""
    parser = LineParser(4)
    parser.feed(b"1234\n1234\r\n12345\n123\n")
    assert lines_of(parser) == [b"1234", b"1234", Code.TOOLONG, b"123"]


def test_a_long_line_is_answered_once_and_skipped_to_its_end() -> None:
    """1 MiB without a line feed: one TOOLONG, no growth, and the next line is read."""
    parser = LineParser(100)
    taken: list[bytes | Code] = []
    for _ in range(256):
        parser.feed(b"x" * 4096)
        taken += lines_of(parser)
        assert len(parser) <= 102
    parser.feed(b" QUIT\nQUIT\n")
    assert taken + lines_of(parser) == [Code.TOOLONG, b"QUIT"]


def test_the_end_says_whether_it_cut_a_line() -> None:
    """A started line is reported, the rest of a skipped one and nothing are not."""
    parser = LineParser(4)
    parser.feed(b"QU")
    assert lines_of(parser) == []
    assert parser.end()
    parser.feed(b"123456789")
    assert lines_of(parser) == [Code.TOOLONG]
    parser.feed(b"more")
    assert not parser.end()
    assert not LineParser(4).end()


@given(st.lists(st.binary(max_size=12)), st.integers(1, 6))
def test_lines_do_not_depend_on_how_the_bytes_were_cut(parts: list[bytes], limit: int) -> None:
    """Fed whole or in any pieces, the same lines and errors come out."""
    whole, pieces = LineParser(limit), LineParser(limit)
    stream = b"".join(parts) + b"\n"  # an unfinished long line is told at once or at its end
    whole.feed(stream)
    taken: list[bytes | Code] = []
    for part in [*parts, b"\n"]:
        pieces.feed(part)
        taken += lines_of(pieces)
        assert len(pieces) <= limit + 2
    expected: list[bytes | Code] = []
    for line in stream.split(b"\n")[:-1]:
        text = line.removesuffix(b"\r")
        expected.append(text if len(text) <= limit else Code.TOOLONG)
    assert lines_of(whole) == expected
    assert taken == expected


@given(st.binary(max_size=80).filter(lambda line: b"\n" not in line))
def test_any_line_is_a_command_or_a_coded_error(line: bytes) -> None:
    """No input makes the parser raise anything but ProtocolError."""
    makers = {maker for maker, _ in COMMANDS.values()}
    try:
        outcome: object = type(parse_command(line))
    except ProtocolError as problem:
        outcome = problem.reply.code
    assert outcome in {Code.SYNTAX, Code.CHARS, *makers}
