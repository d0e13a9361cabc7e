"""The filter language: what a text means, and that a bad one says where and why."""

from __future__ import annotations

import ipaddress
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsock._filters import FieldType, FilterSyntaxError, compile_filter

FIELDS = {
    "tcp": FieldType.PROTOCOL,
    "tcp.port": FieldType.NUMBER,
    "tcp.len": FieldType.NUMBER,
    "tcp.flags": FieldType.NUMBER,
    "tcp.flags.syn": FieldType.BOOL,
    "tcp.payload": FieldType.BYTES,
    "frame.time_relative": FieldType.NUMBER,
    "frame.comment": FieldType.STRING,
    "ip.addr": FieldType.ADDRESS,
    "ip.src": FieldType.ADDRESS,
    "eth.src": FieldType.BYTES,
}

SYN: dict[str, Any] = {
    "tcp": True,
    "tcp.port": (1025, 10000),
    "tcp.len": 0,
    "tcp.flags": 0x02,
    "tcp.flags.syn": True,
    "frame.time_relative": 0.25,
    "frame.comment": "Retransmission 2",
    "ip.addr": ("10.0.0.3", "10.0.0.5"),
    "ip.src": "10.0.0.3",
    "eth.src": bytes.fromhex("000083112233"),
}
DATA = SYN | {"tcp": b"GET /", "tcp.payload": b"GET /\x00\xff", "tcp.len": 7, "tcp.flags": 0x18}
DATA |= {"tcp.flags.syn": False}


def passes(text: str, record: dict[str, Any]) -> bool:
    return compile_filter(text, FIELDS, dict.get)(record)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp",
        "tcp.port == 10000",
        "tcp.port eq 0x2710 and tcp.port == 1025",
        "tcp.port == 002001",  # C's octal
        "tcp.port == 0b10000000001",
        "10000 == tcp.port",
        "1024 < tcp.port < 1026",
        "tcp.len == 0 && tcp.flags.syn == 1",
        "tcp.flags.syn == true",
        "tcp.flags.syn != 0x2",
        "tcp.port > 'A'",  # a character is its code
        "tcp.flags & 0x02",
        "tcp.flags & 0x12 == 2",
        "!(tcp.flags & 0x10)",
        "not tcp.len > 0",
        "!!tcp",
        "frame.time_relative >= .25 and frame.time_relative lt 2.5e-1 or tcp",
        'frame.comment contains "trans"',
        'frame.comment matches "^retrans.*\\d$"',
        'frame.comment ~ r"^RE"',
        'frame.comment == "Retransmission\\x202"',
        'frame.comment == "Retransmission\\0402"',
        'lower(frame.comment) == "retransmission 2"',
        "len(frame.comment) == 16",
        "count(tcp.port) == 2",
        "ip.src == 10.0.0.3",
        "ip.src == 10.0.0.0/8 && ip.addr != 192.168.0.0/16",
        "ip.src < 10.0.0.4",
        "ip.src in {192.168.1.1, 10.0.0.2..10.0.0.4}",
        "ip.src == ip.addr",
        "ip.src !== ip.addr",
        "eth.src[0:3] == 00:00:83",
        "eth.src[0-2] == 00-00-83",
        "eth.src[:2] == 0000",
        "eth.src[4:] == 22:33",
        "eth.src[-1] == 33",
        "eth.src[-2:2] == 22:33",
        "eth.src[2,4-5] == 83:22:33",
        'frame.comment[:5] == "Retra"',
        "tcp.port in {1..5, 10000}",
        "tcp.port in {1..5,9999..10001}",
        "tcp.len not in {1,2}",
        "tcp xor tcp.len == 1",
        "tcp or tcp.len == 1 and tcp.len == 2",
        "tcp ^^ tcp && tcp.len == 1",
        "(((tcp)))",
    ],
)
def test_passes(text: str) -> None:
    """A SYN from 10.0.0.3:1025 to 10.0.0.5:10000 passes each of these."""
    assert passes(text, SYN)


@pytest.mark.parametrize(
    "text",
    [
        "tcp.payload",
        "tcp.port == 80",
        "tcp.port != 10000",
        "tcp.port === 10000",
        "tcp.flags.syn == 0",
        'tcp.payload contains "GET"',
        'tcp contains "GET"',
        "tcp.payload != 00",
        "tcp.len in {1..5}",
        "tcp.payload not in {00}",
        "ip.src == ::1",
        "ip.src in {::1..::2}",
        "ip.src != 10.0.0.0/8",
        "eth.src[10:2] == 00:00",
        "tcp.len & 1",
        "len(tcp.payload) > 0",
        "not tcp",
    ],
)
def test_does_not_pass(text: str) -> None:
    """The same SYN passes none of these; an absent field makes every comparison false."""
    assert not passes(text, SYN)


@pytest.mark.parametrize(
    "text",
    [
        'tcp contains "GET"',
        'tcp.payload contains "GET"',
        "tcp.payload contains 2f:00",
        'tcp.payload matches "^get"',
        'tcp[0:3] == "GET"',
        "len(tcp.payload) == 7 && tcp.payload[5:] == 00.ff",
        "tcp.flags.syn",  # present, though not set: Wireshark's reading
    ],
)
def test_bytes(text: str) -> None:
    """Payload bytes compare with bytes and with text."""
    assert passes(text, DATA)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.3", 0x0A000003, b"\x0a\x00\x00\x03", ipaddress.IPv4Address("10.0.0.3")],
    ids=lambda value: type(value).__name__,
)
def test_any_form_of_an_address(address: object) -> None:
    """A getter may return an address as text, number, packed or object."""
    assert passes("ip.src == 10.0.0.0/29", {"ip.src": address})


def test_ipv6_addresses() -> None:
    """IPv6 addresses compare among themselves, scopes aside."""
    assert passes("ip.src == fe80::/10", {"ip.src": "fe80::1%eth0"})
    assert passes("ip.src == ::1", {"ip.src": bytes(15) + b"\1"})
    assert not passes("ip.src == ::1", {"ip.src": "nonsense"})


def test_a_bare_word_is_text_beside_a_text_field() -> None:
    """Names such as FD_READ need no quotes."""
    fields = {"ws.event": FieldType.STRING}
    passed = compile_filter("ws.event in {FD_READ, FD_CLOSE}", fields, dict.get)
    assert passed({"ws.event": "FD_READ"})
    assert not passed({"ws.event": "FD_WRITE"})


def test_fields_may_have_the_names_of_operators() -> None:
    """A field called ``in`` is a field."""
    assert compile_filter("in == 1", {"in": FieldType.NUMBER}, dict.get)({"in": 1})


def test_filter_names_its_fields() -> None:
    """A filter tells its text and what it asks of a record."""
    compiled = compile_filter("tcp.port == 1 or ip.src", FIELDS, dict.get)
    assert compiled.fields == {"tcp.port", "ip.src"}
    assert repr(compiled) == "<Filter 'tcp.port == 1 or ip.src'>"


BAD = [
    ("tcp.prot == 80", "tcp.prot", "is not a field; did you mean 'tcp.port'?"),
    ("tcp.port == tcp.lne", "tcp.lne", "did you mean 'tcp.len'?"),
    ("tcp.port = 80", "=", "write '=='"),
    ("tcp | ip.src", "|", "write '||'"),
    ("tcp.port == ", "", "the end where a field or a value"),
    ("tcp.port == 80 tcp.len", "tcp.len", "join two tests with 'and' or 'or'"),
    ("(tcp", "", "to close the group"),
    ("tcp)", ")", "was not expected here"),
    ('frame.comment == "abc', '"', "this string has no end"),
    ('frame.comment matches "(a"', '"(a"', "not a regular expression"),
    ('tcp.payload matches "(a"', '"(a"', "not a regular expression"),
    ('tcp.port contains "a"', "contains", "needs text or bytes"),
    ("tcp.payload contains eth.src", "eth.src", "needs a literal"),
    ("tcp.port == ip.src", "ip.src", "these two cannot be compared: number with address"),
    ("ip.src == 10.0.0.256", "10.0.0.256", "an address: 10.0.0.1"),
    ("ip.src < 10.0.0.0/8", "10.0.0.0/8", "without /prefix"),
    ("ip.src in {10.0.0.0/8..10.0.0.9}", "10.0.0.9", "without /prefix"),
    ("tcp.flags.syn == maybe", "maybe", "a truth value"),
    ("tcp.payload == xyz", "xyz", "bytes: 47:45:54"),
    ("frame.comment == a.b", "a.b", "a quoted string"),
    ("tcp.len == 08", "08", "a decimal, hexadecimal"),
    ('tcp.port == "ab"', '"ab"', "a number: 80"),
    ("tcp matches tcp.port", "tcp.port", "needs a literal"),
    ('"x" matches "x"', '"x"', "a test needs a field"),
    ("80", "80", "is not a field"),
    ('"a" == "b"', '"a"', "a test needs a field"),
    ("tcp.port == " + "9" * 5000, "9" * 5000, "a decimal, hexadecimal"),
    ("tcp.port in 80", "80", "to open a set"),
    ("tcp.port in {80", "", "to close the set"),
    ("tcp.port in {}", "}", "a value was expected"),
    ("tcp.port[0]", "tcp.port", "only text and bytes have parts"),
    ("eth.src[a] == 00", "a", "a slice is"),
    ("ip.src & 1", "ip.src", "'&' needs a number"),
    ("tcp.flags & 1.5", "1.5", "a whole number"),
    ("len(tcp.port) == 1", "tcp.port", "means nothing"),
    ("len(5) == 1", "5", "is not a field"),
    ("lower(eth.src)", "eth.src", "means nothing"),
    ("tcp @ ip", "@", "means nothing here"),
    ("(" * 60 + "tcp" + ")" * 60, "(", "more than 50 parentheses"),
    ("&& tcp", "&&", "where a field or a value"),
    ('1 contains "a"', "1", "is not a field"),
    ("1 in {1}", "1", "is not a field"),
]


@pytest.mark.parametrize(("text", "token", "reason"), BAD, ids=[case[0][:30] for case in BAD])
def test_an_error_says_where_and_why(text: str, token: str, reason: str) -> None:
    """The token is the bad one, the column its place, the text says what would be right."""
    with pytest.raises(FilterSyntaxError) as caught:
        compile_filter(text, FIELDS, dict.get)
    error = caught.value
    assert error.token == token
    assert text[error.column - 1 :].startswith(token)
    assert reason in str(error).splitlines()[0]


def test_the_caret_stands_below_the_token() -> None:
    """The second line is the filter, the third marks the token; wide letters count twice."""
    with pytest.raises(FilterSyntaxError) as caught:
        compile_filter('frame.comment == "안녕"\tand tcp.prot', FIELDS, dict.get)
    assert str(caught.value).splitlines() == [
        "'tcp.prot' is not a field; did you mean 'tcp.port'?",
        '  frame.comment == "안녕" and tcp.prot',
        "  " + " " * 28 + "^~~~~~~~",
    ]


def test_an_error_survives_pickling() -> None:
    """The command's child processes hand errors over."""
    error = FilterSyntaxError("tcp.prot", 0, 8, "no field", "tcp.port")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@given(st.text(alphabet='tcp.portlenin{}()[]!=<>&|^~"\\/-+:,0189xr \n\t가', max_size=40))
def test_any_text_is_a_filter_or_an_error_with_a_place(text: str) -> None:
    """Whatever is typed, nothing but FilterSyntaxError comes out, and a filter can be called."""
    error, compiled = None, None
    try:
        compiled = compile_filter(text, FIELDS, dict.get)
    except FilterSyntaxError as caught:
        error = caught
    if compiled is not None:
        assert compiled(SYN) in (True, False)
        assert compiled({}) in (True, False)
    else:
        assert error is not None
        assert 1 <= error.column <= len(text) + 1
        assert len(str(error).split("\n")) == 3


# A model: a tree, its text in one of the spellings, and its meaning computed the naive way.

NUMBERS = st.integers(0, 3)
SIGNS = {
    "==": ("eq", lambda values, n: any(v == n for v in values)),
    "!=": ("ne", lambda values, n: bool(values) and all(v != n for v in values)),
    "<": ("lt", lambda values, n: any(v < n for v in values)),
    "<=": ("le", lambda values, n: any(v <= n for v in values)),
    ">": ("gt", lambda values, n: any(v > n for v in values)),
    ">=": ("ge", lambda values, n: any(v >= n for v in values)),
}


@st.composite
def leaves(draw: st.DrawFn) -> tuple[str, int, Any]:
    field = draw(st.sampled_from("abc"))
    sign = draw(st.sampled_from([*SIGNS, "&", "present", "in"]))
    n, m = draw(NUMBERS), draw(NUMBERS)
    if sign == "present":
        return field, 9, lambda record: bool(record[field])
    if sign == "in":
        return (
            f"{field} in {{{n}, {n}..{m}}}",
            9,
            lambda record: any(v == n or n <= v <= m for v in record[field]),
        )
    if sign == "&":
        return f"{field} & {n}", 9, lambda record: any(v & n for v in record[field])
    spelled, meaning = SIGNS[sign]
    written = draw(st.sampled_from([sign, spelled]))
    return f"{field} {written} {n}", 9, lambda record: meaning(record[field], n)


LEVELS = {"or": 1, "xor": 2, "and": 3}
SYMBOLS = {"or": "||", "xor": "^^", "and": "&&", "not": "!"}


def grown(trees: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    @st.composite
    def negated(draw: st.DrawFn) -> tuple[str, int, Any]:
        text, level, meaning = draw(trees)
        sign = draw(st.sampled_from(["not ", "!"]))
        return sign + (text if level >= 8 else f"({text})"), 8, lambda r: not meaning(r)

    @st.composite
    def joined(draw: st.DrawFn) -> tuple[str, int, Any]:
        word = draw(st.sampled_from([*LEVELS]))
        level = LEVELS[word]
        parts = draw(st.lists(trees, min_size=2, max_size=3))
        texts = [t if inner > level else f"({t})" for t, inner, _ in parts]
        sign = draw(st.sampled_from([word, word.upper(), SYMBOLS[word]]))
        join = {"or": any, "and": all, "xor": lambda found: sum(found) % 2 == 1}[word]
        return (
            f" {sign} ".join(texts),
            level,
            lambda record: join([meaning(record) for _, _, meaning in parts]),
        )

    return negated() | joined()


RECORDS = st.fixed_dictionaries({f: st.lists(NUMBERS, max_size=2).map(tuple) for f in "abc"})


@given(st.recursive(leaves(), grown, max_leaves=8), st.lists(RECORDS, min_size=1, max_size=4))
def test_logic_against_a_naive_model(
    tree: tuple[str, int, Any], records: list[dict[str, tuple[int, ...]]]
) -> None:
    """Any nesting, with the fewest parentheses, means what its tree means."""
    text, _, meaning = tree
    compiled = compile_filter(text, dict.fromkeys("abc", FieldType.NUMBER), dict.get)
    for record in records:
        assert compiled(record) == meaning(record)
