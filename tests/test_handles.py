from __future__ import annotations

import gc

import pytest
import trio

from wsock import _handles


class Thing:
    pass


async def test_a_handle_is_a_multiple_of_four_and_stays() -> None:
    """Given at first use, the same every time, and it leads back to the object."""
    first, second = Thing(), Thing()
    handle = _handles.handle_of(first)
    assert handle % 4 == 0
    assert handle > 0
    assert _handles.handle_of(first) == handle != _handles.handle_of(second)
    assert _handles.object_of(handle) is first


async def test_a_number_is_never_given_again() -> None:
    """Neither after the object is collected, nor after it was forgotten."""
    seen = set()
    for round_number in range(200):
        thing = Thing()
        handle = _handles.handle_of(thing)
        assert handle not in seen
        seen.add(handle)
        if round_number % 2:
            _handles.forget(thing)
        del thing
        gc.collect(0)
        assert _handles.object_of(handle) is None


async def test_a_forgotten_object_keeps_its_number_but_is_not_found() -> None:
    """A stale wParam names nothing."""
    thing = Thing()
    handle = _handles.handle_of(thing)
    _handles.forget(thing)
    assert _handles.object_of(handle) is None
    assert _handles.handle_of(thing) == handle
    _handles.forget(Thing())  # never had one: nothing happens


async def test_an_object_s_own_equality_has_no_say() -> None:
    """Two objects that say they are equal have two handles."""

    class Same:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    one, two = Same(), Same()
    assert _handles.handle_of(one) != _handles.handle_of(two)


def test_each_run_has_its_own_table() -> None:
    """A handle of one run names nothing in the next; outside of a run there are none."""
    thing = Thing()

    async def ask() -> int:
        assert len(_handles.current_table()) == 0
        return _handles.handle_of(thing)

    assert trio.run(ask) == trio.run(ask) == _handles.FIRST_HANDLE
    with pytest.raises(RuntimeError):
        _handles.handle_of(thing)
