"""The table of docs/calls-and-requests.md, made from the golden traces."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from the_story import golden, order_of_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = "| call | requests and events on its own side | on the other side, without any call |"
SOCKETS = {"listening": "the listening socket", "accepted": "the accepted socket"}
CLOSERS = {1: "client", 2: "server"}


def in_words(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows as a list, object by object: what was asked of each; repetitions are counted."""
    parts = []
    for name, of_one in groupby(rows, lambda row: row[0]):
        kind = "address" if name == "address" else "connection"
        parts.append(f"{kind}: {', '.join(_counted(_told(row) for row in of_one))}")
    return "; ".join(_counted(parts)) or "nothing"


def _counted(words: Iterable[str]) -> list[str]:
    counts = [(word, len(list(alike))) for word, alike in groupby(words)]
    return [f"{count} x {word}" if count > 1 else word for word, count in counts]


def _told(row: tuple[str, ...]) -> str:
    request, detail = row[1], row[5]
    if "DISCONNECT" in request:
        return f"{request} {detail}"
    return f"{request} NULL" if detail.endswith("NULL") else request


def table() -> list[str]:
    """All lines of the table."""
    lines = [HEAD, "| --- | --- | --- |"]
    for order in (1, 2):
        for step in order_of_calls(order):
            if order == 1 or step["seq"].startswith("close"):
                lines.append(_of_step(step, order))
            if step["call"].startswith("connect") and order == 1:
                lines.append(_unbound())
    return lines


def _of_step(step: dict[str, str], order: int) -> str:
    own = step["side"]
    other = "server" if own == "client" else "client"
    names = step[f"{own}_file"], step[f"{other}_file"]
    shown = " | ".join(in_words([] if name == "-" else golden(name)) for name in names)
    return f"| {_call(step, order)} | {shown} |"


def _unbound() -> str:
    own = golden("derived/connect-unbound.client.tsv")
    other = golden("05-connect-indication.server.tsv")
    return f"| `connect` without `bind` | {in_words(own)} | {in_words(other)} |"


def _call(step: dict[str, str], order: int) -> str:
    name, _, rest = step["call"].partition("(")
    if name == "closesocket":
        sock = SOCKETS.get(rest.rstrip(")"), "the client's socket")
        return f"`closesocket` of {sock}, the {CLOSERS[order]} closing first"
    if name in {"send", "recv"}:
        return f"`{name}` of {''.join(letter for letter in rest if letter.isdigit())} bytes"
    return f"`{name}` ({step['side']})"
