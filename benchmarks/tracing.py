# What watching costs: nothing while nobody watches, and how much while somebody does.
#
#   python -m benchmarks.tracing [--rounds N] [--callgrind] [--json FILE]
#
# Off: two processes echo the same messages, one that has never imported wsock.tdimon and one that
# has watched and stopped. They take turns every few milliseconds, so what disturbs one disturbs the
# other; each turn is measured in CPU time, and the ratio is that of the medians. --callgrind counts
# instructions instead, which nothing disturbs (minutes; needs valgrind). On: what 100,000 requests
# cost more when they are traced, in time and in memory.

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import socket as std
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

import wsock
from benchmarks.report import markdown
from wsock import FD_CLOSE, FD_READ, WM_USER
from wsock._message_loop import serve_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

DATA: Final = bytes(64)
VARIANTS: Final = ("never", "off")
TURN_MESSAGES: Final = 500
REQUESTS: Final = 100_000
GOALS: Final = {"off / never": 1.01, "seconds": 1.0, "megabytes": 100.0}


# Off


def prepare(variant: str) -> None:
    """Become a program that has never watched, or one that has and does no more."""
    if variant == "off":
        from wsock import tdimon

        with tdimon.watch():
            std.socketpair()[0].close()
    elif "wsock.tdimon" in sys.modules:
        raise RuntimeError("this process has imported the monitor already")


async def serve(wait_for_turn: Callable[[], bool], say: Callable[[int], object]) -> None:
    """Echo TURN_MESSAGES messages a turn through a window; say how many ns of CPU a turn took."""

    def procedure(message: wsock.Message) -> None:
        message.socket.send_nowait(message.socket.recv_nowait(65536))

    near, far = std.socketpair()
    near.setblocking(False)
    sock = wsock.from_stdlib_socket(near)
    async with wsock.Window() as window:
        sock.async_select(window, WM_USER, FD_READ | FD_CLOSE)
        await trio.lowlevel.checkpoint()
        queue, turn = window.queue, sock.stack.turn
        while wait_for_turn():
            began = time.process_time_ns()
            for _ in range(TURN_MESSAGES):
                far.send(DATA)
                turn()
                serve_until_idle(queue, procedure, None)
                far.recv(64)
            say(time.process_time_ns() - began)
    far.close()


def child(variant: str, turns: int | None) -> None:
    """One of the two processes: a line in, a turn, a line out; or a number of turns at once."""
    prepare(variant)
    left = iter(range(turns)) if turns is not None else None

    def wait_for_turn() -> bool:
        return bool(sys.stdin.readline()) if left is None else next(left, None) is not None

    trio.run(serve, wait_for_turn, lambda spent_ns: print(spent_ns, flush=True))


def command(variant: str, *options: str) -> list[str]:
    """The command line of one of the two."""
    return [sys.executable, "-m", "benchmarks.tracing", "--child", variant, *options]


def interleaved(rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every turn, the two processes in turns and the first one changing."""
    children = {
        variant: subprocess.Popen(
            command(variant), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for variant in VARIANTS
    }
    spent: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    try:
        for number in range(rounds + 5):
            for variant in VARIANTS[:: -1 if number % 2 else 1]:
                one = children[variant]
                assert one.stdin is not None
                assert one.stdout is not None
                one.stdin.write("\n")
                one.stdin.flush()
                seconds = int(one.stdout.readline()) / 1e9
                if number >= 5:  # the first ones fill the caches
                    spent[variant].append(seconds)
    finally:
        for one in children.values():
            one.communicate()
    return spent


def instructions(variant: str, turns: int) -> int:
    """Instructions of a whole process with that many turns, by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        counted = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"),
                *command(variant, "--turns", str(turns)),
            ],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.search(r"Collected : (\d+)", counted.stderr)
    assert found is not None
    return int(found[1])


def counted_ratio() -> tuple[float, dict[str, float]]:
    """The ratio in instructions, and those a message: of ten turns, less those of one."""
    messages = 9 * TURN_MESSAGES
    each = {v: (instructions(v, 10) - instructions(v, 1)) / messages for v in VARIANTS}
    return each["off"] / each["never"], each


# On


def send_all(requests: int, *, traced: bool) -> tuple[float, Any]:
    """CPU seconds of so many sends, and the trace of them, if they are traced."""
    from wsock import tdimon

    async def main() -> tuple[float, Any]:
        near, far = std.socketpair()
        near.setblocking(False)
        sock = wsock.from_stdlib_socket(near)
        with far, tdimon.watch(sock.stack) if traced else nullcontext() as trace:
            gc.collect()
            began = time.process_time()
            for _ in range(requests // 100):
                for _ in range(100):
                    sock.send_nowait(b"x")
                far.recv(100)
            spent = time.process_time() - began
            sock.close()
        return spent, trace

    return trio.run(main)


def cost_of_tracing(requests: int, repeats: int = 3) -> dict[str, float]:
    """What ``requests`` cost more when they are traced: seconds, megabytes, records."""
    send_all(requests // 100, traced=True)
    spent: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * repeats):
        traced = bool(number % 2)
        spent[traced].append(send_all(requests, traced=traced)[0])
    tracemalloc.start()
    _, trace = send_all(requests, traced=True)
    megabytes = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    records: int = trace.ring.count
    return {
        "seconds": min(spent[True]) - min(spent[False]),
        "megabytes": megabytes,
        "records": records,
    }


def main() -> None:
    """Measure, judge, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing")
    parser.add_argument("--rounds", type=int, default=400, help="turns of each process")
    parser.add_argument("--callgrind", action="store_true", help="count instructions, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.turns)
        return
    spent = interleaved(options.rounds)
    medians = {v: statistics.median(times) / TURN_MESSAGES * 1e6 for v, times in spent.items()}
    found: dict[str, float] = {"off / never": medians["off"] / medians["never"]}
    rows = [[f"{v}: us a message", f"{us:.3f}"] for v, us in medians.items()]
    if options.callgrind:
        found["off / never, instructions"], each = counted_ratio()
        rows += [[f"{v}: instructions a message", f"{count:.0f}"] for v, count in each.items()]
    found |= cost_of_tracing(REQUESTS)
    goals = GOALS | {"off / never, instructions": GOALS["off / never"]}
    for name, figure in found.items():
        goal = goals.get(name)
        verdict = "" if goal is None else f"goal {goal:g}: {'met' if figure <= goal else 'MISSED'}"
        rows.append([name, f"{figure:.4g}", verdict])
    print(markdown(["tracing", "", ""], [[*row, ""][:3] for row in rows]))
    if options.json:
        options.json.write_text(json.dumps(found | {"us": medians}, indent=1))


if __name__ == "__main__":
    main()
