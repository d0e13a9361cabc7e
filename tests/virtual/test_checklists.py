"""Every rule below TCP, and every verb that breaks something, has a test that bears its name."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wsock.virtual import Network
from wsock.virtual.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.fault import Fault

RULES = {
    "ip1": "header and checksum", "ip2": "options", "ip3": "TTL", "ip4": "fragmentation",
    "ip5": "reassembly", "ip6": "routing", "ip7": "identification", "ip8": "impossible addresses",
    "ip9": "broadcast and groups", "ip10": "any bytes",
    "ic1": "echo", "ic2": "unreachable", "ic3": "no error about errors", "ic4": "the right socket",
    "ic5": "ping and traceroute", "ic6": "rate limit",
    "ar1": "request and reply", "ar2": "ageing", "ar3": "one request a second", "ar4": "waiting",
    "ar5": "gratuitous, conflicts", "ar6": "its own segment only", "ar7": "captures",
    "ud1": "header and checksum", "ud2": "bind", "ud3": "connected sockets", "ud4": "sizes",
    "ud5": "receive queue", "ud6": "empty datagrams", "ud7": "groups",
}  # fmt: skip

TESTS = "\n".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_a_test(rule: str) -> None:
    """A function named ``test_ip1_...`` exists."""
    pattern = rf"^(async )?def test_(\w+_)?{rule}_\w+\("
    assert re.search(pattern, TESTS, re.MULTILINE), RULES[rule]


def begin(net: Network) -> dict[str, Callable[[], Fault]]:
    """Every verb whose effect lasts, with arguments that fit."""
    return {
        "partition": lambda: net.partition("a", "b"),
        "isolate": lambda: net.isolate("a"),
        "hold": lambda: net.hold("a", "b"),
        "drop": lambda: net.drop("icmp"),
        "latency": lambda: net.latency(0.1),
        "bandwidth": lambda: net.bandwidth(1000),
        "queue": lambda: net.queue(1000),
        "mtu": lambda: net.mtu(576),
        "loss": lambda: net.loss(0.5),
        "duplicate": lambda: net.duplicate(0.5),
        "reorder": lambda: net.reorder(0.5),
        "corrupt": lambda: net.corrupt(0.5),
        "blackhole_icmp": net.blackhole_icmp,
        "swizzle": lambda: net.swizzle(["a", "b"]),
        "pause": net.hosts["a"].pause,
        "crash": net.hosts["a"].crash,
    }


def network() -> Network:
    net = Network(seed=1)
    lan = net.segment("lan", "192.0.2.0/24", latency=0.001)
    net.host("a", lan)
    net.host("b", lan)
    return net


VERBS = list(begin(network()))


def answered(net: Network) -> bool:
    """Whether a ping gets through unharmed and at once."""
    ping = net.hosts["a"].start_ping("192.0.2.2", count=1, timeout=0.5)
    net.run_until(lambda: ping.done)
    reply = ping.replies[0]
    return not reply.error


def test_the_list_of_verbs_is_complete() -> None:
    """Whatever returns a Fault is in it."""
    lasting = {
        name
        for name, method in inspect.getmembers(Faults, inspect.isfunction)
        if not name.startswith("_") and method.__annotations__.get("return") == "Fault"
    }
    assert lasting | {"pause", "crash"} == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_as_a_block(verb: str) -> None:
    """It is in force inside, and undone after it, also when the block raises."""
    net = network()
    faults = []

    def break_off() -> None:
        with begin(net)[verb]() as fault:
            faults.append(fault)
            assert net.faults
            net.run_for(0.1)
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert not faults[0].active
    assert net.faults == []
    net.run_for(10.0)
    assert net.faults == []
    assert answered(net)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_as_a_timed_script_entry(verb: str) -> None:
    """From second 1 to second 2."""
    net = network()
    net.at(1.0, begin(net)[verb], lasting=1.0)
    net.run_for(0.5)
    assert net.faults == []
    net.run_for(1.0)
    assert net.faults
    net.run_for(1.0)
    assert net.faults == []
    net.run_for(10.0)
    assert answered(net)
