# From raw samples to medians, ratios and verdicts. Pure arithmetic, no I/O.
#
# A ratio is taken round by round, between runs that were neighbours in time, and the median of
# these ratios is what counts: what slows the machine for a minute slows both. The spread is the
# distance between the quartiles of the ratios. A verdict is given only if the spread is smaller
# than the distance between median and bound.

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Sample = dict[str, Any]
Verdict = Literal["met", "missed", "undecided", "not measured"]


@dataclass(frozen=True)
class Figure:
    """The middle of several values, and how far apart their quartiles are."""

    median: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure | None:
        """The figure of the values; None if there are none."""
        if not values:
            return None
        if len(values) < 2:
            return cls(values[0], float("inf"), 1)
        low, _middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), high - low, len(values))

    def verdict(self, bound: float) -> Verdict:
        """Is it at most `bound`? "undecided" while the spread is as large as the distance."""
        if self.spread >= abs(self.median - bound):
            return "undecided"
        return "met" if self.median < bound else "missed"


class Table:
    """Samples by server, cell and round."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._rounds: dict[tuple[str, str], dict[int, Sample]] = defaultdict(dict)
        self.errors: dict[tuple[str, str], str] = {}
        for sample in samples:
            place = (sample["server"], sample["cell"])
            if "error" in sample:
                self.errors[place] = sample["error"]
            else:
                self._rounds[place][sample["round"]] = sample

    def cells(self) -> list[str]:
        """Names of the cells, in the order in which they were first measured."""
        return list(dict.fromkeys(cell for _server, cell in self._rounds))

    def servers(self, cell: str) -> list[str]:
        """Names of the servers that were measured in a cell."""
        return [server for server, name in self._rounds if name == cell]

    def values(self, server: str, cell: str, metric: str) -> list[float]:
        """One value a round."""
        rounds = self._rounds.get((server, cell), {})
        return [float(sample[metric]) for sample in rounds.values() if metric in sample]

    def figure(self, server: str, cell: str, metric: str) -> Figure | None:
        """Median and spread over the rounds."""
        return Figure.of(self.values(server, cell, metric))

    def ratio(self, above: tuple[str, str], below: tuple[str, str], metric: str) -> Figure | None:
        """Median and spread of above / below, each a (server, cell), over common rounds."""
        tops, bottoms = self._rounds.get(above, {}), self._rounds.get(below, {})
        return Figure.of(
            [
                top[metric] / bottoms[number][metric]
                for number, top in tops.items()
                if metric in top and number in bottoms and bottoms[number].get(metric)
            ]
        )


def compared(servers: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], list[list[str]]]:
    """What is equal for all servers that have it, and a row for each setting that is not."""
    names = dict.fromkeys(name for settings in servers.values() for name in settings)
    equal: dict[str, Any] = {}
    apart = []
    for name in names:
        values = {server: told[name] for server, told in servers.items() if name in told}
        if len(set(map(str, values.values()))) == 1:
            equal[name] = next(iter(values.values()))
        else:
            apart += [[name, str(value), server] for server, value in values.items()]
    return equal, apart
