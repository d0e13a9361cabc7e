"""Every scenario, on both engines and a virtual host by Microsoft's pages, and as Windows does."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path

import pytest
import trio

from wsock import Stack, _stack
from wsock.virtual import Host, Network
from wsock.virtual.profile import MILLISECOND, WINDOWS2000

from .interpreter import WATCHDOG_S, transcript

HERE = Path(__file__).parent
SCENARIOS = sorted(path.stem for path in (HERE / "scenarios").glob("*.scn"))

# What the stack is told, and whether only the transcript of Windows itself will do. The pages and
# Windows differ in a few places; there an alternative transcript lies beside the golden one.
COLUMNS = {
    "epoll": ({"engine": "epoll"}, False),
    "waits": ({"engine": "waits"}, False),
    "windows": ({"engine": "epoll", "notifications": "windows"}, True),
}
# The kernel sets the limit, whatever the stack is told.
KERNEL_LIMITS: set[str] = set()


def lines_of(path: Path) -> list[str]:
    """A recorded transcript without its remarks."""
    lines = path.read_text(encoding="latin-1").splitlines()
    return [line.rstrip() for line in lines if not line.startswith("#")]


def accepted(name: str, strict: bool) -> list[list[str]]:
    """The golden transcript, and its alternatives unless ``strict``."""
    golden = HERE / "golden"
    others = [] if strict else sorted(golden.glob(f"{name}.alt*.txt"))
    return [lines_of(path) for path in (golden / f"{name}.txt", *others)]


# A machine that talks to itself acknowledges at once. With Windows' 200 ms a second small send
# would wait for the first one's acknowledgement (Nagle), and the scenarios look sooner.
LOOPBACK = dataclasses.replace(WINDOWS2000, delayed_ack_ns=MILLISECOND)


def virtual(name: str) -> list[list[str]]:
    """What a virtual host prints instead, where the recorded answer is that of a kernel."""
    return [lines_of(path) for path in (HERE / "golden").glob(f"{name}.virtual.txt")]


def scenario_of(name: str) -> str:
    return (HERE / "scenarios" / f"{name}.scn").read_text(encoding="latin-1")


def compare(printed: str, right: list[list[str]]) -> None:
    """Fail, with the difference, unless a transcript is one of those that are right."""
    got = [line.rstrip() for line in printed.splitlines()]
    if got not in right:
        difference = difflib.unified_diff(right[0], got, "golden", "wsock", lineterm="", n=3)
        pytest.fail("\n".join(difference), pytrace=False)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(name: str, column: str) -> None:
    """The transcript is the one of a real Winsock, line by line."""
    settings, strict = COLUMNS[column]
    right = accepted(name, strict and name not in KERNEL_LIMITS)
    _stack.current.set(Stack(**settings))
    with trio.fail_after(WATCHDOG_S):
        printed = await transcript(scenario_of(name))
    compare(printed, right)


@pytest.mark.parametrize("strict", [False, True], ids=["virtual", "virtual windows"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_on_a_virtual_host(name: str, strict: bool) -> None:
    """The same transcript from a host that talks to itself; nothing there is the kernel's."""
    network = Network()
    host = network.host("localhost", profile=LOOPBACK)
    assert isinstance(host, Host)
    stack = Stack(
        provider=host.stack.provider,
        notifications="windows" if strict else "documented",
        receive_buffer=LOOPBACK.receive_buffer,
        send_buffer=LOOPBACK.send_buffer,
    )

    async def main() -> str:
        _stack.current.set(stack)
        with trio.fail_after(WATCHDOG_S):
            printed: str = await transcript(scenario_of(name))
        return printed

    compare(network.run(main), virtual(name) or accepted(name, strict))


def test_every_scenario_says_what_it_pins() -> None:
    """A rule, a source, and a transcript; no transcript without a scenario."""
    for name in SCENARIOS:
        text = (HERE / "scenarios" / f"{name}.scn").read_text(encoding="latin-1")
        assert text.startswith("# rule: "), name
        assert "\n# source: " in text, name
    recorded = {path.name.split(".")[0] for path in (HERE / "golden").glob("*.txt")}
    assert recorded == set(SCENARIOS)
