"""Byte order, address texts, sockaddr structures."""

from __future__ import annotations

import socket as std

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ported import program

from wsock import errors
from wsock import win32 as w
from wsock.win32._addresses import address_of, packed


@given(st.integers(0, 0xFFFFFFFF))
def test_byte_order_functions_undo_each_other(value: int) -> None:
    """And agree with the dotted text."""
    assert w.ntohl(w.htonl(value)) == value
    assert w.ntohs(w.htons(value & 0xFFFF)) == value & 0xFFFF
    address = w.in_addr()
    address.s_addr = w.htonl(value)
    assert w.inet_addr(w.inet_ntoa(address)) == w.htonl(value)


@pytest.mark.parametrize(
    "text",
    ["1.2.3.4", "1.2.3", "1.2", "1", "0x7f.1", "010.1.1.1", "0", "255.255.255.254", "4294967295"],
)
def test_inet_addr_reads_what_c_reads(text: str) -> None:
    """The last number fills what is left; octal and hexadecimal count."""
    assert w.inet_addr(text) == int.from_bytes(std.inet_aton(text), "little")


@pytest.mark.parametrize("text", ["", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "a.b", "08.1", "1..2"])
def test_inet_addr_refuses_the_rest(text: str) -> None:
    """INADDR_NONE, all ones."""
    assert w.inet_addr(text) == w.INADDR_NONE


@pytest.mark.parametrize("address", [("127.0.0.1", 80), ("::1", 443, 0, 0), ("fe80::1", 1, 0, 3)])
def test_structures_carry_addresses(address: tuple[str, int]) -> None:
    """Made and read back, IPv4 and IPv6."""
    structure = packed(address)
    family, back = address_of(structure)
    assert back == address
    assert family == (w.AF_INET if len(address) == 2 else w.AF_INET6)


def test_bad_structures_are_winsock_errors() -> None:
    """NULL, too short, another family."""
    with pytest.raises(errors.WSAEFAULT):
        address_of(None)
    with pytest.raises(errors.WSAEFAULT):
        address_of(w.sockaddr_in(sin_family=w.AF_INET), 8)
    with pytest.raises(errors.WSAEAFNOSUPPORT):
        address_of(w.sockaddr_in(sin_family=77))


@program
def test_address_texts_with_ports() -> None:
    """WSAAddressToString and WSAStringToAddress are inverse."""
    for text, family, size in (
        ("127.0.0.1:80", w.AF_INET, 16),
        ("[::1]:443", w.AF_INET6, 28),
        ("10.0.0.1", w.AF_INET, 16),
        ("fe80::1%3", w.AF_INET6, 28),
    ):
        room, length = w.sockaddr_storage(), w.INT(128)
        assert w.WSAStringToAddress(text, family, None, room, length) == 0
        assert length.value == size
        out, out_length = bytearray(64), w.DWORD(64)
        assert w.WSAAddressToString(room, size, None, out, out_length) == 0
        assert out[: out_length.value] == text.encode() + b"\0"


@program
def test_address_text_without_room() -> None:
    """WSAEFAULT, and how much is needed."""
    length = w.DWORD(4)
    address = packed(("127.0.0.1", 80))
    assert w.WSAAddressToString(address, 16, None, bytearray(4), length) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEFAULT
    assert length.value == len("127.0.0.1:80") + 1


@program
def test_strings_that_are_no_addresses() -> None:
    """WSAEINVAL."""
    for text in ("host.example", "1.2.3.4:99999", "1.2.3.4:x", ""):
        done = w.WSAStringToAddress(text, w.AF_INET, None, w.sockaddr_in(), w.INT(16))
        assert (done, w.WSAGetLastError()) == (w.SOCKET_ERROR, w.WSAEINVAL), text


@program
def test_inet_pton_and_ntop() -> None:
    """1, 0 and -1; the text also goes into a buffer."""
    six = w.in6_addr()
    assert w.inet_pton(w.AF_INET6, "::1", six) == 1
    assert bytes(six) == b"\0" * 15 + b"\1"
    assert w.inet_ntop(w.AF_INET6, six) == "::1"
    four, text = w.in_addr(), bytearray(16)
    assert w.inet_pton(w.AF_INET, "1.2.3.4", four) == 1
    assert w.inet_ntop(w.AF_INET, four, text, 16) == "1.2.3.4"
    assert text[:8] == b"1.2.3.4\0"
    assert w.inet_pton(w.AF_INET, "1.2.3", four) == 0
    assert w.inet_pton(99, "1.2.3.4", four) == -1
    assert w.WSAGetLastError() == w.WSAEAFNOSUPPORT
    assert w.inet_ntop(w.AF_INET, four, text, 4) is None
