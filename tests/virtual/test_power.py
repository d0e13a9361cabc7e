"""Hosts that are paused, switched off, and switched on again."""

from __future__ import annotations

import pytest
from datagram_stream import Stream, bound, lan

from wsock.virtual.addresses import packed


def test_a_paused_host_queues_packets_and_goes_on() -> None:
    """Pause: nothing is handled, nothing sent, no timer runs; resume makes up for it."""
    net, (a, b, _) = lan()
    to_b, from_b = Stream(net, a, b), Stream(net, b, a)
    b.pause()
    to_b.send(3)
    from_b.send(2)
    assert to_b.arrived() == from_b.arrived() == []
    b.resume()
    assert from_b.arrived() == [0, 1]
    assert to_b.arrived() == [0, 1, 2]


def test_a_paused_hosts_queue_is_limited() -> None:
    """Packets beyond the limit are dropped, and it is recorded."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    b.pause()
    stream.send(1100)
    net.run_until_quiet()
    b.resume()
    assert stream.arrived() == list(range(1000))
    assert b.counters["host is paused and its queue is full"] == 100


def test_a_crash_takes_everything_and_sends_nothing() -> None:
    """Power cut: what was accepted does not leave; after restart ports and ARP are empty."""
    net, (a, b, _) = lan()
    old_udp = b.udp
    sender = bound(b, 53)
    cap = net.capture(b)
    sender.send(b"never", packed(str(a.address)), 9)
    b.crash()
    net.run_until_quiet()
    assert cap.packets == []
    Stream(net, a, b).send()
    net.run_until_quiet()
    assert b.counters["host is switched off"] == 1
    b.restart()
    assert b.udp is not old_udp
    assert b.interfaces["eth0"].arp_cache == {}  # type: ignore[attr-defined]
    stream = Stream(net, a, b)
    bound(b, 53)
    stream.send()
    assert stream.arrived() == [0]


def test_a_restarted_host_draws_new_secrets() -> None:
    """New ISS, new ports: the streams of a second life are others, and repeat with the seed."""
    lives = []
    for _ in range(2):
        _, (a, _, _) = lan()
        first = a.random("iss").getrandbits(64)
        a.crash()
        a.restart()
        lives.append((first, a.random("iss").getrandbits(64)))
    assert lives[0] == lives[1]
    assert lives[0][0] != lives[0][1]


def test_only_a_host_that_is_off_restarts() -> None:
    """A mistake in a script is an error."""
    _, (a, _, _) = lan()
    with pytest.raises(RuntimeError, match="not switched off"):
        a.restart()
