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


def test_a_pause_ends_with_its_block_and_so_does_a_crash() -> None:
    """``with host.pause():`` and ``with host.crash():`` undo themselves, as every fault does."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    with b.pause() as pause:
        stream.send()
        assert stream.arrived() == []
        assert net.faults == [pause]
        assert b.pause() is pause
    assert stream.arrived() == [0]
    old_udp = b.udp
    with b.crash() as crash:
        assert b.is_off
        assert b.crash() is crash
    assert b.is_running
    assert b.udp is not old_udp
    assert net.faults == []


def test_what_was_undone_by_hand_is_not_undone_twice() -> None:
    """resume and restart end the fault; leaving its block then does nothing."""
    net, (_, b, _) = lan()
    with b.pause():
        b.resume()
        assert net.faults == []
    with b.crash():
        b.restart()
        udp = b.udp
    assert b.udp is udp
    with b.pause(), b.crash():
        assert [fault.text for fault in net.faults] == ["crash b"]
    assert b.is_running
    assert net.faults == []


def test_pause_and_crash_as_timed_script_entries() -> None:
    """``net.at(5.0, host.crash, lasting=2.0)``, like any verb."""
    net, (_, b, _) = lan()
    net.at(1.0, b.pause, lasting=1.0)
    net.at(3.0, b.crash, lasting=1.0)
    states = []
    for time in (0.5, 1.5, 2.5, 3.5, 4.5):
        net.run_for(time - net.time)
        states.append("off" if b.is_off else "running" if b.is_running else "paused")
    assert states == ["running", "paused", "running", "off", "running"]
