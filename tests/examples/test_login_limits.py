"""Limits: finite, bounded in memory, and not to be talked out of."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.login_server.limits import (
    Backoff,
    Limits,
    LoginGuard,
    PeerCount,
    RecentSet,
    peer_key,
)


class Clock:
    """A time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def backoff(clock: Clock, *, free: int = 3, max_keys: int = 100) -> Backoff:
    return Backoff(free=free, first=1.0, longest=60.0, forget=600.0, max_keys=max_keys, clock=clock)


def test_every_limit_has_a_finite_default_above_zero() -> None:
    """There is no way to run without a limit, by default or by option."""
    names = [field.name for field in dataclasses.fields(Limits)]
    assert names
    for name in names:
        for value in (0, -1, math.inf, math.nan):
            with pytest.raises(ValueError, match=name):
                dataclasses.replace(Limits(), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_a_peer_is_an_ipv4_address_or_an_ipv6_64(host: str, key: str) -> None:
    """Who owns a /64 does not become many by changing addresses."""
    assert peer_key(host) == key


def test_the_first_failures_are_free_and_then_the_wait_doubles(clock: Clock) -> None:
    """Three for nothing, then 1, 2, 4 ... seconds, never above the longest."""
    table = backoff(clock)
    waits = []
    for _ in range(12):
        waits.append(table.wait("k"))
        clock.now += table.wait("k")
        table.begin("k")
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_runs_down_with_the_clock(clock: Clock) -> None:
    """After the wait the key may try once more, not three times."""
    table = backoff(clock, free=1)
    table.begin("k")
    clock.now += 0.75
    assert table.wait("k") == 0.25
    clock.now += 0.25
    assert table.wait("k") == 0.0
    table.begin("k")
    assert table.wait("k") == 2.0


def test_concurrent_attempts_count_before_their_answers(clock: Clock) -> None:
    """Fifty connections cannot begin fifty guesses within three free failures."""
    table = backoff(clock)
    begun = 0
    for _ in range(50):
        if table.wait("k") == 0.0:
            table.begin("k")
            begun += 1
    assert begun == 3


def test_failures_are_forgotten_after_a_while_without_one(clock: Clock) -> None:
    """Also from memory."""
    table = backoff(clock)
    for _ in range(9):
        table.begin("k")
    clock.now += 600.0
    assert table.wait("k") == 0.0
    assert len(table) == 0


def test_forgiving_takes_back_one_attempt(clock: Clock) -> None:
    """And a key without failures takes no memory."""
    table = backoff(clock, free=1)
    table.begin("k")
    table.begin("k")
    table.forgive("k")
    assert table.wait("k") == 1.0
    table.forgive("k")
    table.forgive("k")
    assert len(table) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("bfc"), st.floats(0, 400))))
def test_the_table_is_bounded_whatever_is_done(steps: list[tuple[int, str, float]]) -> None:
    """Never more than ``max_keys``; a wait is between 0 and the longest."""
    clock = Clock()
    table = backoff(clock, max_keys=5)
    for key, action, seconds in steps:
        clock.now += seconds
        {"b": table.begin, "f": table.forgive, "c": table.clear}[action](key)
        assert len(table) <= 5
        assert 0.0 <= table.wait(key) <= 60.0


def test_a_full_table_forgets_the_oldest_failure_first(clock: Clock) -> None:
    """The key that fails right now stays."""
    table = backoff(clock, free=1, max_keys=2)
    for key in "aba":
        table.begin(key)
    table.begin("c")
    assert table.wait("b") == 0.0
    assert table.wait("a") > 0.0
    assert table.wait("c") > 0.0


def guard(clock: Clock, **limits: int) -> LoginGuard:
    return LoginGuard(dataclasses.replace(Limits(), **limits), clock)


def test_a_name_waits_whoever_asks(clock: Clock) -> None:
    """A thousand peers guessing at one name are one guesser."""
    table = guard(clock, failures_per_name=5)
    for number in range(5):
        table.begin(f"192.0.2.{number}", "bob")
    assert table.wait("198.51.100.1", "bob") > 0.0
    assert table.wait("198.51.100.1", "ann") == 0.0


def test_a_peer_waits_whatever_name_it_tries(clock: Clock) -> None:
    """One password tried on many names is many failures of one peer."""
    table = guard(clock, failures_per_peer=10)
    for number in range(10):
        table.begin("192.0.2.1", f"user{number}")
    assert table.wait("192.0.2.1", "another") > 0.0
    assert table.wait("192.0.2.2", "another") == 0.0


def test_an_own_login_does_not_buy_more_guesses(clock: Clock) -> None:
    """Success forgives its own attempt at the peer, nothing more."""
    table = guard(clock, failures_per_peer=10)
    for number in range(10):
        table.begin("192.0.2.1", f"user{number}")
    clock.now += 1.0
    assert table.wait("192.0.2.1", "mine") == 0.0
    table.begin("192.0.2.1", "mine")
    table.succeeded("192.0.2.1", "mine")
    assert table.wait("192.0.2.1", "user3") > 0.0


def test_strangers_do_not_lock_an_owner_out_where_he_has_logged_in_before(clock: Clock) -> None:
    """A peer that proved the password waits for its own failures only, and does wait for those."""
    table = guard(clock, failures_per_name=5)
    table.begin("192.0.2.1", "bob")
    table.succeeded("192.0.2.1", "bob")
    for number in range(20):
        table.begin(f"198.51.100.{number}", "bob")
    assert table.wait("192.0.2.1", "bob") == 0.0
    assert table.wait("192.0.2.2", "bob") > 0.0
    for _ in range(5):
        table.begin("192.0.2.1", "bob")
    assert table.wait("192.0.2.1", "bob") > 0.0


def test_an_attempt_that_was_not_made_is_forgiven(clock: Clock) -> None:
    """BUSY answers do not lock anybody out."""
    table = guard(clock, failures_per_name=1, failures_per_peer=1)
    table.begin("192.0.2.1", "bob")
    table.forgive("192.0.2.1", "bob")
    assert table.wait("192.0.2.1", "bob") == 0.0


def test_a_recent_set_forgets_the_oldest() -> None:
    """It never holds more than its bound; adding again renews."""
    recent = RecentSet(2)
    for key in "abac":
        recent.add(key)
    assert "a" in recent
    assert "b" not in recent
    assert len(recent) == 2


def test_connections_are_counted_in_all_and_per_peer() -> None:
    """One too many is told why and is not counted; who leaves makes room."""
    count = PeerCount(dataclasses.replace(Limits(), connections=3, connections_per_peer=2))
    assert count.enter("a") == ""
    assert count.enter("a") == ""
    assert "your address" in count.enter("a")
    assert count.enter("b") == ""
    assert "the server" in count.enter("c")
    assert len(count) == 3
    for peer in "aab":
        count.leave(peer)
    assert len(count) == 0
    assert count.enter("a") == ""
