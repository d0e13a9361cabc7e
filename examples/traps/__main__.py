"""``python -m examples.traps [NAME ...]``: run the traps named, or all of them."""

from __future__ import annotations

import argparse
import importlib
import sys
from functools import partial
from typing import Final

import trio

NAMES: Final = (
    "read_without_recv",
    "write_before_send",
    "several_recv",
    "close_is_not_the_end",
    "select_replaces",
    "inherited_selection",
    "queued_after_cancel",
    "send_is_not_recv",
    "stall_by_pending",
)


async def run(names: list[str]) -> None:
    """Run one after the other: the rule, the trap, the right way."""
    for name in names:
        module = importlib.import_module(f".{name}", __package__)
        print(f"== {name}\n   {module.RULE}")
        for label, fn in (("trap", module.trap), ("right", module.right)):
            await fn(partial(print, f"{label:>7}:"))
        print()


def main() -> str | None:
    """Read the command line and run. Returns what came between."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or list(NAMES)
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    problem = None
    try:
        trio.run(run, names, restrict_keyboard_interrupt_to_checkpoints=True)
    except* KeyboardInterrupt:  # in a group where a trap has opened a nursery
        problem = "stopped"
    return problem


if __name__ == "__main__":
    sys.exit(main())
