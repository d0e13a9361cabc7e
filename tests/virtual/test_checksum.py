"""The Internet checksum by one division equals the sum of words of RFC 1071."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsock.virtual import checksum


def sum_of_words(data: bytes) -> int:
    """RFC 1071, as it is written."""
    total = 0
    for position in range(0, len(data), 2):
        total += int.from_bytes(data[position : position + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ total


@given(st.binary(min_size=1, max_size=200).filter(any))
def test_checksum_equals_the_sum_of_words(data: bytes) -> None:
    """Any length, odd ones padded by a zero; only all-zero data may differ."""
    assert checksum.checksum(data) == sum_of_words(data)


@given(st.binary(min_size=2, max_size=100), st.integers(0, 799))
def test_data_with_their_checksum_verify_and_a_flipped_bit_does_not(data: bytes, bit: int) -> None:
    """S1-60: a flipped bit is seen."""
    even = data + bytes(len(data) & 1)
    whole = bytearray(even + checksum.checksum(even).to_bytes(2, "big"))
    assert checksum.verifies(whole)
    whole[bit // 8 % len(whole)] ^= 1 << bit % 8
    assert not checksum.verifies(whole)


@given(st.binary(min_size=20, max_size=20), st.integers(0, 0xFFFF))
def test_an_updated_checksum_is_the_one_made_anew(header: bytes, word: int) -> None:
    """RFC 1624: mending the checksum of a changed word gives what a new sum gives."""
    before = bytearray(b"\x45" + header[1:])
    before[10:12] = b"\0\0"
    after = before.copy()
    after[8:10] = word.to_bytes(2, "big")
    mended = checksum.updated(checksum.checksum(before), int.from_bytes(before[8:10], "big"), word)
    assert mended == checksum.checksum(after)


def test_known_header_vector() -> None:
    """S1-60: the example header of RFC 1071's kind: 45 00 ... gives b861."""
    header = bytes.fromhex("45000073000040004011 0000 c0a80001c0a800c7".replace(" ", ""))
    assert checksum.checksum(header) == 0xB861


@given(st.binary(max_size=60))
def test_transport_checksum_covers_the_pseudo_header(segment: bytes) -> None:
    """RFC 768: the same bytes between other addresses do not verify."""
    here, there, other = b"\x0a\0\0\1", b"\x0a\0\0\2", b"\x0a\0\0\3"
    body = segment + bytes(len(segment) & 1)
    value = checksum.transport_checksum(here, there, 17, body + b"\0\0")
    whole = body + value.to_bytes(2, "big")
    assert checksum.transport_verifies(here, there, 17, whole)
    assert not checksum.transport_verifies(here, other, 17, whole)
