"""TLSFilter: bytes in, bytes out; nothing here opens a socket."""

from __future__ import annotations

import pickle
import ssl
from typing import TYPE_CHECKING

import pytest
import trio
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

import wsock
from wsock import TLSError, TLSFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tls.conftest import Wire

MIB = 1 << 20


@pytest.fixture
def wire(make_wire: Callable[..., Wire], version: ssl.TLSVersion) -> Wire:
    """Both sides after the handshake, in TLS 1.2 and in 1.3."""
    made = make_wire(version)
    made.move()
    return made


def test_the_handshake_makes_no_data(make_wire: Callable[..., Wire]) -> None:
    """It is complete on both sides, and what it exchanged (tickets, too) is not reported."""
    wire = make_wire()
    assert wire.client.state == wire.server.state == "HANDSHAKE"
    wire.move()
    assert wire.client.state == wire.server.state == "OPEN"
    assert wire.client.handshake_done
    assert wire.client.unread == wire.server.unread == 0
    assert wire.client.ssl_object.version() == "TLSv1.3"
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        wire.client.read(1)


def test_one_byte_at_a_time_is_the_same(make_wire: Callable[..., Wire]) -> None:
    """Records and handshake messages may be cut anywhere."""
    wire = make_wire()
    for _ in range(8):
        for here, there in ((wire.client, wire.server), (wire.server, wire.client)):
            for byte in here.outgoing():
                there.feed(bytes([byte]))
    wire.client.write(b"hello")
    for byte in wire.client.outgoing():
        wire.server.feed(bytes([byte]))
    assert wire.server.read(99) == b"hello"


@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, MIB + 1])
def test_any_size_arrives_whole(wire: Wire, size: int) -> None:
    """A write takes all of it, whatever a record holds; reads may be of other sizes."""
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    assert wire.client.write(memoryview(data)) == size
    wire.move()
    assert wire.server.unread == size
    got = bytearray()
    while wire.server.unread:
        got += wire.server.read(10_000)
    assert bytes(got) == data


def test_a_peek_leaves_what_it_shows(wire: Wire) -> None:
    """Also across the borders of records."""
    for part in (b"ab", b"cd"):
        wire.client.write(part)
        wire.move()
    assert wire.server.read(3, peek=True) == b"abc"
    assert wire.server.read(3) == b"abc"
    assert wire.server.unread == 1
    assert wire.server.read(9) == b"d"


def test_reads_of_no_and_of_negative_length(wire: Wire) -> None:
    """Nothing, at once; and an error."""
    assert wire.client.read(0) == b""
    with pytest.raises(wsock.WSAEINVAL, match="negative"):
        wire.client.read(-1)


def test_close_notify_ends_one_direction(wire: Wire) -> None:
    """After it the other side may still send, and then ends as well; nobody sees an error."""
    wire.server.close_notify()
    wire.move()
    assert wire.client.state == "PEER_CLOSED"
    assert wire.client.read(9) == b""
    with pytest.raises(wsock.WSAESHUTDOWN):
        wire.server.write(b"x")
    wire.client.write(b"last words")
    wire.move()
    assert wire.server.read(99) == b"last words"
    wire.client.close_notify()
    wire.move()
    assert wire.server.read(99) == b""
    assert wire.client.state == wire.server.state == "ENDED"


def test_close_notify_with_data_unread(wire: Wire) -> None:
    """What came before is still read, and what comes after our end too."""
    wire.client.write(b"before ")
    wire.move()
    wire.server.close_notify()
    wire.client.write(b"after")
    wire.move()
    assert wire.server.read(99) == b"before after"


def test_both_may_close_at_once(wire: Wire) -> None:
    """The two close_notify cross on the wire."""
    wire.client.close_notify()
    wire.server.close_notify()
    wire.move()
    assert wire.client.read(1) == wire.server.read(1) == b""
    wire.client.close_notify()
    assert wire.client.outgoing() == b""


def test_what_follows_close_notify_is_dropped(wire: Wire) -> None:
    """By whoever was put there."""
    wire.client.close_notify()
    wire.move()
    wire.server.feed(b"\x17\x03\x03\x00\x05hello")
    assert wire.server.read(9) == b""
    wire.server.feed_eof()
    assert wire.server.error is None


def test_an_end_without_close_notify_is_an_error(wire: Wire) -> None:
    """After all that came before it, for whoever cut the line could cut it anywhere."""
    wire.client.write(b"pay 1000")
    wire.move()
    with pytest.raises(TLSError, match="without close_notify"):
        wire.server.feed_eof()
    assert wire.server.read(99) == b"pay 1000"
    for _ in range(2):
        with pytest.raises(TLSError) as caught:
            wire.server.read(99)
    assert caught.value.reason == "UNEXPECTED_EOF_WHILE_READING"
    assert wire.server.state == "FAILED"
    with pytest.raises(TLSError):
        wire.server.write(b"x")


def test_a_ragged_end_may_be_allowed(make_wire: Callable[..., Wire]) -> None:
    """For protocols that know when a message is complete."""
    wire = make_wire(suppress_ragged_eofs=True)
    wire.move()
    wire.server.feed_eof()
    assert wire.server.read(9) == b""


@pytest.mark.parametrize("ragged", [False, True])
def test_an_end_in_the_handshake_is_an_error(make_wire: Callable[..., Wire], ragged: bool) -> None:
    """Always."""
    wire = make_wire(suppress_ragged_eofs=ragged)
    with pytest.raises(TLSError, match="in the middle of the handshake"):
        wire.server.feed_eof()


def test_an_error_of_tls_speaks_of_tls(make_wire: Callable[..., Wire]) -> None:
    """What the code means elsewhere (given up on this side, a time-out) is not what happened."""
    wire = make_wire()
    with pytest.raises(TLSError) as told:
        wire.server.feed_eof()
    assert str(told.value).startswith("WSAECONNABORTED (10053): feed_eof: TLS has failed, or was ")
    assert wsock.WSAECONNABORTED.text not in str(told.value)


@pytest.mark.parametrize(
    ("garbage", "reason", "text"),
    [
        (b"hello world\n", "WRONG_VERSION_NUMBER", "not TLS"),
        (b"GET / HTTP/1.1\r\n", "HTTP_REQUEST", "plain HTTP"),
    ],
)
def test_garbage_instead_of_a_hello(
    make_wire: Callable[..., Wire], garbage: bytes, reason: str, text: str
) -> None:
    """It says what came; all later calls say so too."""
    server = make_wire().server
    with pytest.raises(TLSError, match=text) as caught:
        server.feed(garbage)
    assert caught.value.reason == reason
    assert "TLS handshake" in str(caught.value)
    with pytest.raises(TLSError):
        server.feed(b"more")
    with pytest.raises(TLSError):
        server.write(b"x")


def test_a_record_that_was_changed_is_an_error(wire: Wire) -> None:
    """What came before it can be read; the peer is told by an alert."""
    wire.client.write(b"good")
    wire.move()
    wire.client.write(b"evil")
    data = bytearray(wire.client.outgoing())
    data[-1] ^= 1
    with pytest.raises(TLSError):
        wire.server.feed(data)
    assert wire.server.read(9) == b"good"
    wire.move()
    assert wire.client.error is not None
    assert "alert" in str(wire.client.error)


def test_a_certificate_that_is_not_trusted(server_context: ssl.SSLContext) -> None:
    """Client and server both learn why."""
    stranger = TLSFilter(ssl.create_default_context(), server_hostname="localhost")
    server = TLSFilter(server_context, server_side=True)
    server.feed(stranger.outgoing())
    with pytest.raises(TLSError, match="CERTIFICATE_VERIFY_FAILED: unable to get"):
        stranger.feed(server.outgoing())
    with pytest.raises(TLSError, match="alert unknown ca"):
        server.feed(stranger.outgoing())


def test_a_certificate_of_another_name(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Is refused, and the text names it."""
    client = TLSFilter(client_context, server_hostname="bank.example")
    server = TLSFilter(server_context, server_side=True)
    server.feed(client.outgoing())
    with pytest.raises(TLSError, match=r"'bank\.example'"):
        client.feed(server.outgoing())


def test_a_client_certificate_can_be_asked_for(
    authority: trustme.CA, client_context: ssl.SSLContext
) -> None:
    """In 1.3 the client's handshake is complete before the server has refused it: it fails then."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = TLSFilter(client_context, server_hostname="localhost")
    server = TLSFilter(context, server_side=True)
    server.feed(client.outgoing())
    client.feed(server.outgoing())
    assert client.handshake_done
    with pytest.raises(TLSError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        server.feed(client.outgoing())
    with pytest.raises(TLSError, match="certificate required"):
        client.feed(server.outgoing())


def test_no_versions_in_common(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """The server says it by an alert."""
    only = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    only.minimum_version = ssl.TLSVersion.TLSv1_3
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = TLSFilter(client_context, server_hostname="localhost")
    server = TLSFilter(only, server_side=True)
    with pytest.raises(TLSError, match="versions of TLS"):
        server.feed(client.outgoing())
    with pytest.raises(TLSError, match="alert protocol version"):
        client.feed(server.outgoing())


def test_a_context_of_the_wrong_side(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Is refused at once, and so is a client that has no name to check."""
    with pytest.raises(ValueError, match="PROTOCOL_TLS_SERVER"):
        TLSFilter(server_context, server_hostname="localhost")
    with pytest.raises(ValueError, match="PROTOCOL_TLS_CLIENT"):
        TLSFilter(client_context, server_side=True)
    with pytest.raises(ValueError, match="server_hostname"):
        TLSFilter(client_context)


def test_no_write_before_the_handshake_is_complete(make_wire: Callable[..., Wire]) -> None:
    """Nothing is taken; and closing sends nothing that looks like a good end."""
    client = make_wire().client
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        client.write(b"x")
    client.outgoing()
    client.close_notify()
    assert client.outgoing() == b""


def test_the_error_is_the_fields_and_pickles(make_wire: Callable[..., Wire]) -> None:
    """A WSAECONNABORTED, the built-in and Trio's."""
    server = make_wire().server
    with pytest.raises(ConnectionAbortedError) as caught:
        server.feed(b"garbage\n" * 9)
    error = caught.value
    assert isinstance(error, trio.BrokenResourceError)
    assert error.winerror == 10053
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason) == (str(error), error.reason)
    assert again.reason


def test_the_repr_tells_the_state(wire: Wire) -> None:
    """And how much can be read."""
    wire.client.write(b"abc")
    wire.move()
    assert repr(wire.server) == "<TLSFilter OPEN, 3 bytes unread>"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "read", "carry", "peek"]),
        st.booleans(),
        st.integers(0, 40_000),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(steps=STEPS)
def test_any_order_of_calls_keeps_the_bytes_in_order(steps: list[tuple[str, bool, int]]) -> None:
    """Against two plain buffers: what was carried whole can be read, in order, and no more."""
    client = TLSFilter(_CLIENT, server_hostname="localhost")
    server = TLSFilter(_SERVER, server_side=True)
    sides = (client, server)
    for _ in range(4):
        server.feed(client.outgoing())
        client.feed(server.outgoing())
    written = [bytearray(), bytearray()]  # by each side
    read = [bytearray(), bytearray()]  # of each side, by the other
    on_the_wire = [b"", b""]
    for what, second, size in steps:
        me, other = int(second), int(not second)
        if what == "write":
            data = bytes([len(written[me]) % 251]) * size
            assert sides[me].write(data) == size
            written[me] += data
            on_the_wire[me] += sides[me].outgoing()
        elif what == "carry":
            part, on_the_wire[me] = on_the_wire[me][:size], on_the_wire[me][size:]
            sides[other].feed(part)
        elif what == "peek" and sides[me].unread and size:
            have = len(read[other])
            shown = sides[me].read(size, peek=True)
            assert shown == written[other][have : have + len(shown)]
        elif what == "read" and sides[me].unread:
            read[other] += sides[me].read(size)
    for me, other in ((0, 1), (1, 0)):
        sides[other].feed(on_the_wire[me])
        while sides[other].unread:
            read[me] += sides[other].read(9999)
        assert read[me] == written[me]


_AUTHORITY = trustme.CA()
_SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
_AUTHORITY.issue_cert("localhost").configure_cert(_SERVER)
_CLIENT = ssl.create_default_context()
_AUTHORITY.configure_trust(_CLIENT)
