"""Wires: latency, bandwidth, queues, chance with a fixed number of draws."""

from __future__ import annotations

import pytest

from wsock.virtual.conditions import Conditions, Direction, Traffic, changes
from wsock.virtual.random_streams import RandomStreams, shuffled
from wsock.virtual.scheduler import Scheduler

MS = 1_000_000


class Sink:
    """Notes what arrives, and when."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.arrivals: list[tuple[int, bytes]] = []

    def deliver(self, data: bytes) -> None:
        """Take a packet."""
        self.arrivals.append((self.scheduler.now, data))


class Wire:
    """One direction with a sink at its end."""

    def __init__(self, seed: int = 1, **conditions: object) -> None:
        self.scheduler = Scheduler()
        self.traffic = Traffic()
        stream = RandomStreams(seed).stream("wire", "test")
        self.direction = Direction(
            "test", self.scheduler, stream, self.traffic, Conditions(**changes(**conditions))
        )
        self.sink = Sink(self.scheduler)

    def send(self, *packets: bytes) -> list[str | None]:
        """Send packets at this instant; return the reasons of drops."""
        return [self.direction.carry(packet, (self.sink,)) for packet in packets]

    def arrivals(self) -> list[tuple[int, bytes]]:
        """Run until nothing is on the wire."""
        while self.scheduler.step():
            pass
        assert self.traffic.in_flight == 0
        return self.sink.arrivals


def test_latency_is_the_time_from_sending_to_arriving() -> None:
    """Latency in seconds, and nothing else by default."""
    wire = Wire(latency=0.25)
    wire.send(b"a", b"b")
    assert wire.traffic.in_flight == 2
    assert wire.arrivals() == [(250 * MS, b"a"), (250 * MS, b"b")]


def test_bandwidth_takes_serialization_time_for_each_packet() -> None:
    """1000 bytes at 8 Mbit/s take 1 ms each, one after the other."""
    wire = Wire(bandwidth=8_000_000, latency=0.010)
    wire.send(bytes(1000), bytes(1000))
    assert [when for when, _ in wire.arrivals()] == [11 * MS, 12 * MS]


def test_full_queue_drops_the_last() -> None:
    """Tail drop: what does not fit into the queue's bytes is lost, with the reason."""
    wire = Wire(bandwidth=8_000_000, queue=2500)
    assert wire.send(bytes(1000), bytes(1000), bytes(1000)) == [None, None, "queue full"]


def test_jitter_keeps_order_and_its_bounds() -> None:
    """A wire keeps order: jitter delays, it never lets a packet overtake."""
    wire = Wire(latency=0.010, jitter=0.005)
    packets = [bytes([i]) for i in range(200)]
    wire.send(*packets)
    arrivals = wire.arrivals()
    assert [data for _, data in arrivals] == packets
    assert all(5 * MS <= when <= 15 * MS for when, _ in arrivals)
    assert len({when for when, _ in arrivals}) > 5


@pytest.mark.parametrize("distribution", ["uniform", "normal", "exponential"])
def test_jitter_never_delivers_before_sending(distribution: str) -> None:
    """However wide the jitter, time does not run backwards."""
    wire = Wire(latency=0.001, jitter=0.1, distribution=distribution)
    wire.send(*[b"x"] * 300)
    assert all(when >= 0 for when, _ in wire.arrivals())


def test_reorder_holds_a_packet_back_while_others_pass() -> None:
    """``reorder`` is the one condition under which packets overtake."""
    wire = Wire(reorder=0.3, reorder_by=0.002)
    packets = [bytes([i]) for i in range(100)]
    wire.send(*packets)
    arrived = [data for _, data in wire.arrivals()]
    assert arrived != packets
    assert sorted(arrived) == packets


def test_duplicate_and_loss_follow_their_chances() -> None:
    """Certain chances are certain; halves are about halves and repeat with the seed."""
    assert len(_received(Wire(duplicate=1.0), 50)) == 100
    assert len(_received(Wire(loss=1.0), 50)) == 0
    lost = 1000 - len(_received(Wire(loss=0.5), 1000))
    assert 400 < lost < 600
    assert lost == 1000 - len(_received(Wire(loss=0.5), 1000))


def _received(wire: Wire, count: int) -> list[bytes]:
    wire.send(*[i.to_bytes(2, "big") for i in range(count)])
    return [data for _, data in wire.arrivals()]


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_corrupt_flips_exactly_so_many_bits(bits: int) -> None:
    """Corruption flips ``corrupt_bits`` different bits, and changes no length."""
    (data,) = _received(Wire(corrupt=1.0, corrupt_bits=bits), 1)
    assert int.from_bytes(data, "big").bit_count() == bits


def test_a_packet_draws_the_same_whatever_is_switched_on() -> None:
    """D4: switching duplicates on does not change which packets are lost."""
    plain = _received(Wire(loss=0.3), 300)
    with_more = _received(Wire(loss=0.3, duplicate=0.4, corrupt=0.2, jitter=0.001), 300)
    lost = set(range(300)) - {int.from_bytes(d, "big") for d in plain}
    others = _received(Wire(loss=0.3, duplicate=0.4), 300)
    assert lost == set(range(300)) - {int.from_bytes(d, "big") for d in others}
    assert len(with_more) >= len(plain)


def test_packets_that_nothing_could_happen_to_draw_too() -> None:
    """D4: which packets a later fault takes does not depend on whether there was one before."""
    fates = []
    for before in ({}, {"jitter": 0.0, "duplicate": 1e-9}):
        wire = Wire(**before)
        wire.send(*[b"before"] * 10)
        wire.direction.change(changes(loss=0.5))
        fates.append(_received(wire, 100))
    assert fates[0] == fates[1]
    assert 10 < len(fates[0]) < 100


def test_changed_conditions_hold_for_what_is_sent_then() -> None:
    """Packets on their way keep what they were given; undoing restores the base."""
    wire = Wire(latency=0.1)
    wire.send(b"slow")
    change = changes(latency=0.01)
    wire.direction.change(change)
    wire.send(b"fast")
    wire.direction.undo(change)
    wire.send(b"slow again")
    assert wire.arrivals() == [(10 * MS, b"fast"), (100 * MS, b"slow"), (100 * MS, b"slow again")]


def test_changes_are_undone_in_any_order() -> None:
    """Two faults at one wire end independently of each other."""
    wire = Wire(latency=0.1)
    first, second = changes(latency=0.2, loss=0.5), changes(latency=0.3)
    wire.direction.change(first)
    wire.direction.change(second)
    wire.direction.undo(first)
    assert wire.direction.conditions == Conditions(latency_ns=300 * MS)
    wire.direction.undo(second)
    assert wire.direction.conditions == Conditions(latency_ns=100 * MS)


@pytest.mark.parametrize(
    "bad", [{"loss": 1.5}, {"mtu": 20}, {"latency": -1.0}, {"distribution": "cauchy"}]
)
def test_impossible_conditions_are_refused(bad: dict[str, object]) -> None:
    """A bad value is an error where it is written, and changes nothing."""
    with pytest.raises(ValueError, match=r".+"):
        Conditions(**changes(**bad))


def test_an_unknown_condition_is_refused() -> None:
    """A misspelt condition is no silent nothing."""
    with pytest.raises(TypeError, match="latencey"):
        changes(latencey=1)


def test_shuffled_is_a_permutation_that_the_seed_decides() -> None:
    """Draws by ``random()`` alone, so that it is the same on every Python."""
    streams = RandomStreams(3)
    items = list(range(50))
    once = shuffled(items, streams.stream("s", "o"))
    assert sorted(once) == items != once
    assert once == shuffled(items, streams.stream("s", "o"))
