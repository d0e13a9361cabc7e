from __future__ import annotations

import pytest

from wsock import constants
from wsock.constants import FD, fd_bit

EVENTS = [
    "READ", "WRITE", "OOB", "ACCEPT", "CONNECT", "CLOSE", "QOS", "GROUP_QOS",
    "ROUTING_INTERFACE_CHANGE", "ADDRESS_LIST_CHANGE",
]  # fmt: skip


@pytest.mark.parametrize(("index", "name"), list(enumerate(EVENTS)))
def test_each_event_is_the_bit_at_its_index(index: int, name: str) -> None:
    """FD_x is 1 << FD_x_BIT, and FD knows it by name."""
    event = getattr(constants, f"FD_{name}")
    assert event == 1 << index
    assert getattr(constants, f"FD_{name}_BIT") == index == fd_bit(event)
    assert FD(event).name == name


def test_all_events_are_ten() -> None:
    """FD_ALL_EVENTS has FD_MAX_EVENTS bits and is plain int."""
    assert (constants.FD_MAX_EVENTS, constants.FD_ALL_EVENTS) == (10, (1 << 10) - 1)
    assert type(constants.FD_READ) is int


def test_flags_show_their_names() -> None:
    """str() of events is for people."""
    assert str(FD(constants.FD_READ | constants.FD_CLOSE)) == "READ|CLOSE"
    assert str(FD(0)) == "0"


@pytest.mark.parametrize("event", [0, -1, 3, 0x400])
def test_only_one_event_has_an_index(event: int) -> None:
    """fd_bit refuses none, several and unknown ones."""
    with pytest.raises(ValueError, match="one FD_ event"):
        fd_bit(event)


def test_values_are_windows() -> None:
    """The numbers of winsock2.h and winuser.h."""
    expected = {
        "SD_RECEIVE": 0, "SD_SEND": 1, "SD_BOTH": 2, "WM_NULL": 0, "WM_QUIT": 0x12,
        "WM_TIMER": 0x113, "WM_USER": 0x400, "SOMAXCONN": 0x7FFFFFFF, "SO_DONTLINGER": -129,
        "SO_EXCLUSIVEADDRUSE": -5, "FIONBIO": 0x8004667E, "FIONREAD": 0x4004667F,
        "SIOCATMARK": 0x40047307,
    }  # fmt: skip
    assert {name: getattr(constants, name) for name in expected} == expected


def test_everything_exported_exists() -> None:
    """__all__ is what ``from wsock.constants import *`` gives: every public name, no other."""
    public = {name for name in vars(constants) if name.isupper() and not name.startswith("_")}
    assert set(constants.__all__) == public | {"fd_bit"}
