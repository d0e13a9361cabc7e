"""The trap programs: what each says, for the trap and for the right way."""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path

import pytest
import trio

import wsock
from examples.traps import __main__ as command
from examples.traps import close_is_not_the_end
from examples.traps.__main__ import NAMES

ROOT = Path(__file__).parents[2]
SAID = {
    "read_without_recv": (
        ["FD_READ for b'one', left without recv", "b'two' has come: no message"],
        ["FD_READ, recv gives b'one'", "FD_READ, recv gives b'two'"],
    ),
    "write_before_send": (
        ["FD_WRITE, send takes 5 bytes", "before the second: no message"],
        [
            "send until WSAEWOULDBLOCK, without waiting for any message",
            "the other side has read: FD_WRITE",
        ],
    ),
    "several_recv": (
        [
            "one FD_READ, four recv: all is read",
            "3 more FD_READ come, each with WSAEWOULDBLOCK",
        ],
        ["four FD_READ, four recv: b'four', and None is left in the queue"],
    ),
    "close_is_not_the_end": (
        ["FD_CLOSE after b'last': closed, the rest is lost"],
        ["FD_CLOSE, recv until b'': b'last words'"],
    ),
    "select_replaces": (
        ["FD_READ selected, then FD_WRITE: FD_WRITE comes", "b'hello' has come: no message"],
        ["FD_READ | FD_WRITE selected: FD_WRITE comes", "b'hello' has come: FD_READ"],
    ),
    "inherited_selection": (
        ["listener: FD_ACCEPT; b'hello' has come: no message"],
        [
            "listener: FD_ACCEPT | FD_READ; b'hello' has come: FD_READ",
            "or the accepted socket selects FD_READ: FD_READ",
        ],
    ),
    "queued_after_cancel": (
        [
            "cancelled, and FD_READ comes all the same",
            "FD_READ for a closed socket: recv raises WSAENOTSOCK",
        ],
        [
            "cancelled, and FD_READ comes: not one of ours, ignored",
            "FD_READ for a closed socket: ignored",
        ],
    ),
    "send_is_not_recv": (
        [
            "two sends, one recv: b'helloworld'",
            "one send of 100000 bytes, one recv of at most 4096: 4096",
        ],
        ["lines, however they came: [b'hello', b'world']"],
    ),
    "stall_by_pending": (
        ["some came back, then nothing more: a stall"],
        ["all came back"],
    ),
}


@pytest.mark.parametrize("name", NAMES)
async def test_the_trap_traps_and_the_right_way_does_not(name: str) -> None:
    """Line by line; where nothing comes, it is by the rule that the program names."""
    if name == "close_is_not_the_end" and wsock.Stack().provider.engine == "waits":
        pytest.skip("it cannot be shown here, and says so: see the next test")
    module = importlib.import_module(f"examples.traps.{name}")
    trapped: list[str] = []
    right: list[str] = []
    with trio.fail_after(60):
        await module.trap(trapped.append)
        await module.right(right.append)
    assert (trapped, right) == SAID[name]


async def test_without_epoll_one_trap_cannot_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and the others are shown."""
    monkeypatch.setenv("WSOCK_ENGINE", "waits")
    said: list[str] = []
    await close_is_not_the_end.trap(said.append)
    await close_is_not_the_end.right(said.append)
    assert said == ["cannot be shown here: it needs epoll"] * 2


def test_each_names_its_rule_and_every_trap_is_listed() -> None:
    """The command without a name runs them all."""
    folder = ROOT / "examples" / "traps"
    programs = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__", "common"}
    assert programs == set(NAMES) == set(SAID)
    for name in NAMES:
        module = importlib.import_module(f"examples.traps.{name}")
        assert module.RULE.endswith(".")
        assert (module.__doc__ or "").startswith("Trap: ")


async def test_the_command_runs_what_it_is_told() -> None:
    """In ASCII; an unknown name is refused with the list of those there are."""
    words = [sys.executable, "-m", "examples.traps"]
    done = await trio.run_process(
        [*words, "several_recv"], cwd=ROOT, capture_stdout=True, capture_stderr=True
    )
    text = done.stdout.decode("ascii")
    assert "== several_recv" in text
    assert "  right: four FD_READ" in text
    assert done.stderr == b""
    done = await trio.run_process([*words, "nonsense"], cwd=ROOT, capture_stderr=True, check=False)
    assert done.returncode == 2
    assert b"stall_by_pending" in done.stderr


@pytest.mark.parametrize("in_a_nursery", [False, True])
def test_ctrl_c_is_one_word(monkeypatch: pytest.MonkeyPatch, in_a_nursery: bool) -> None:
    """As of the other examples; no traceback, also where a trap has opened a nursery."""

    async def interrupted(_names: object) -> None:
        async def wait() -> None:
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

        if in_a_nursery:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
        else:
            await wait()

    monkeypatch.setattr(command, "run", interrupted)
    monkeypatch.setattr(sys, "argv", ["traps"])
    assert command.main() == "stopped"
