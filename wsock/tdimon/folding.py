# Folding: what a listening socket does with each of its places, told once.
#
#   screen, diagram   show what is folded
# > folding           runs of alike rows -> one with a count      THIS FILE
#   rows              record -> six columns
#
# Rule 1: listen(128) makes 128 connection objects: 256 rows; closing gives back each, in three.
#         Only such rows are folded: TDI's, about connection objects of a pool, without bytes.
# Rule 2: three or more; the source notes' story, with its pool of two, stays as it is printed.
# Rule 3: folding is for eyes. Rows of a Trace, files and the profile of 2003 are never folded.
"""Folds the rows of a pool of connection objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsock.tdi.trace import TraceRecord
    from wsock.tdimon.rows import Row

__all__ = ["Folded", "fold"]

Pair = tuple["TraceRecord | None", "Row"]

_FEWEST: Final = 3
_LONGEST_PATTERN: Final = 3  # TDI_DISASSOCIATE_ADDRESS, IRP_MJ_CLEANUP, IRP_MJ_CLOSE


class Folded(NamedTuple):
    """A row, and for how many rows it stands: those of the first and ``times - 1`` more objects."""

    record: TraceRecord | None
    row: Row
    times: int = 1


def fold(pairs: Sequence[Pair]) -> Iterator[Folded]:
    """Yield the rows in order; those of three or more places of a pool become one with a count."""
    keys = [_key(record) for record, _ in pairs]
    at = 0
    while at < len(pairs):
        length, count = _run(keys, at)
        for number in range(length):
            same = pairs[at + number : at + length * count : length]
            yield _folded(same) if count > 1 else Folded(*same[0])
        at += length * count


def _key(record: TraceRecord | None) -> tuple[object, ...] | None:
    """What two rows have in common that may be folded; ``None`` for one that may not."""
    if (
        record is None
        or record.kind != "tdi"
        or record.object_kind != "Connect"
        or record.length >= 0
        or record.remote
    ):
        return None
    return (record.host, record.request, record.status, record.cause)


def _run(keys: Sequence[tuple[object, ...] | None], at: int) -> tuple[int, int]:
    """Return the pattern that begins at a place, as its length and how often it is there."""
    best = (1, 1)
    for length in range(1, _LONGEST_PATTERN + 1):
        pattern = keys[at : at + length]
        if None in pattern:
            break
        count = 1
        while keys[at + length * count : at + length * (count + 1)] == pattern:
            count += 1
        if count >= _FEWEST and length * count > best[0] * best[1]:
            best = (length, count)
    return best


def _folded(pairs: Sequence[Pair]) -> Folded:
    (first, row), (last, _) = pairs[0], pairs[-1]
    assert first is not None
    assert last is not None
    details = {one.detail for _, one in pairs}
    detail = f"{row.detail} " if len(details) == 1 and row.detail else ""
    name = f"Connect {first.number} to {last.number}"
    return Folded(first, row._replace(object=name, detail=f"{detail}x{len(pairs)}"), len(pairs))
