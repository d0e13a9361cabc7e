"""Names have one form, passwords keep theirs."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.login_server.names import (
    MAX_NAME,
    NotAllowedError,
    check_new_password,
    clean_name,
    clean_password,
)


@pytest.mark.parametrize(
    "text",
    ["alice", "ALICE", "\uff21\uff2c\uff29\uff23\uff25", "\u24d0lice"],
)
def test_names_that_look_the_same_are_the_same(text: str) -> None:
    """Case, full width and circles do not make another account."""
    assert clean_name(text) == "alice"


def test_composed_and_decomposed_accents_are_one_name() -> None:
    """NFC or NFD on the client's side makes no difference."""
    assert clean_name("Jose\u0301") == clean_name("JOS\u00c9") == "jos\u00e9"


def test_names_of_other_scripts_are_allowed() -> None:
    """Korean, Greek, Arabic digits: letters are letters."""
    for name in ("\ud64d\uae38\ub3d9", "\u03b1\u03b2\u03b3", "user.name-1_x@host+tag", "\u0661"):
        assert clean_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "line\nfeed",
        "nul\x00",
        "\u202etxet",  # right-to-left override
        "zero\u200bwidth",
        "soft\u00adhyphen",
        "hangul\u3164filler",
        "variation\ufe0f",
        "\u0301accent",
        "\U0001f600",
        "quote'",
        "$(id)",
        "../etc",
        "\ud800",
        "\U000e0041",  # a tag
        "x" * (MAX_NAME + 1),
        "\ufdfa" * MAX_NAME,  # one character that becomes 18
    ],
)
def test_invisible_empty_and_overlong_names_are_refused(text: str) -> None:
    """What nobody can read or type is no name; the refusal does not repeat it."""
    with pytest.raises(NotAllowedError) as caught:
        clean_name(text)
    assert str(caught.value).isascii()


@given(st.text(max_size=20))
def test_cleaning_a_name_twice_changes_nothing(text: str) -> None:
    """The form is stable, and any case of it leads back to it."""
    try:
        name = clean_name(text)
    except NotAllowedError:
        return
    assert clean_name(name) == name
    assert unicodedata.normalize("NFKC", name) == name
    assert clean_name(unicodedata.normalize("NFD", name)) == name


def test_a_password_is_the_same_however_the_keyboard_composes_it() -> None:
    """NFC; case and all else is kept."""
    assert clean_password("Pa\u0301ss") == "P\u00e1ss"
    assert clean_password("PASS") != clean_password("pass")


@pytest.mark.parametrize("password", ["short-7", "x" * 129, "a" * 12, "Bartholomew"])
def test_passwords_nobody_should_have_are_refused(password: str) -> None:
    """Too short, too long, one character only, or the name."""
    with pytest.raises(NotAllowedError):
        check_new_password(password, "bartholomew")


def test_eight_characters_are_enough() -> None:
    """The bounds themselves are allowed, whatever the characters."""
    check_new_password("12345678", "bob")
    check_new_password("ab" * 64, "bob")
