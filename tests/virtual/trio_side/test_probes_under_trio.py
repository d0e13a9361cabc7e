"""``await host.ping()`` and ``await host.traceroute()`` (checklist IC5)."""

from __future__ import annotations

import socket

import pytest
import trio

from wsock.virtual import Host, Network


def way() -> tuple[Network, Host]:
    """A host, two routers, a host named far."""
    net = Network(seed=3)
    near, *_ = net.chain("near", "r1", "r2", "far", latency=0.001)
    assert isinstance(near, Host)
    return net, near


def test_ic5_ping_by_name() -> None:
    """IC5: four requests, a second apart, in no time at all."""
    net, near = way()
    ping = net.run(lambda: near.ping("far"))
    assert [reply.error for reply in ping.replies] == [""] * 4
    assert ping.replies[0].rtt == pytest.approx(0.006)
    assert net.time >= 3.0


def test_ic5_traceroute_by_name() -> None:
    """IC5: both routers and the host."""
    net, near = way()
    trace = net.run(lambda: near.traceroute("far", probes=1))
    assert trace.path == ["10.0.0.2", "10.0.0.6", "10.0.0.10"]


def test_a_cancelled_ping_stops() -> None:
    """Nothing is sent any more, and the host keeps no raw socket."""
    net, near = way()

    async def main() -> None:
        with trio.move_on_after(2.5):
            await near.ping("far", count=1000)
        capture = net.capture(near)
        await trio.sleep(10)
        assert len(capture) == 0

    net.run(main)
    assert near.raw.endpoints == []


def test_ping_of_a_name_that_nobody_has() -> None:
    """The resolver's error, as programs get it."""
    net, near = way()
    with pytest.raises(socket.gaierror):
        net.run(lambda: near.ping("nowhere"))
