"""Goodput of TCP over a table of losses and buffers, kept as a snapshot (J9).

A change of this table must be meant. ``python tests/virtual/test_netsim.py`` writes it anew.
"""

from __future__ import annotations

import csv
from pathlib import Path

from wsock.virtual.network import Network
from wsock.virtual.programs import Program, connect, serve

TABLE = Path(__file__).parent / "netsim.tsv"

SIZE = 1_000_000
BANDWIDTH = 10_000_000
LATENCY_S = 0.020
LOSSES = (0.0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1)
QUEUES = (3_000, 6_000, 12_000, 25_000, 50_000, 0)


def goodput(loss: float, queue: int) -> int:
    """Return bits each second of one transfer from a to b, profile ``linux``."""
    net = Network(seed=9)
    a, b = net.host("a", profile="linux"), net.host("b", profile="linux")
    net.link(a, b, latency=LATENCY_S, bandwidth=BANDWIDTH, queue=queue, loss=loss)
    sender, receiver = Program(), Program()
    serve(b, 80, receiver)
    connect(a, 80, sender, b)
    net.run_until(lambda: "connected" in sender.events)
    begin = net.scheduler.now
    sender.send(bytes(SIZE))
    net.run_until(lambda: len(receiver.received) == SIZE)
    return SIZE * 8 * 10**9 // (net.scheduler.now - begin)


def measured() -> list[list[str]]:
    """Return the table: a row for each loss, a column for each queue."""
    head = ["loss", *(str(queue) for queue in QUEUES)]
    return [head] + [[str(loss), *(str(goodput(loss, q)) for q in QUEUES)] for loss in LOSSES]


def test_j9_goodput_is_what_the_snapshot_says() -> None:
    """J9: eight losses by six buffers; exact, since everything is deterministic."""
    with TABLE.open(newline="", encoding="ascii") as file:
        assert measured() == list(csv.reader(file, delimiter="\t"))


def test_j9_the_snapshot_makes_sense() -> None:
    """More loss costs goodput, a longer queue is no worse without loss, nothing beats the wire."""
    with TABLE.open(newline="", encoding="ascii") as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file, delimiter="\t"))[1:]]
    without_loss = rows[0][1:]
    assert without_loss[-1] == max(without_loss)
    assert all(0 < cell < BANDWIDTH for row in rows for cell in row[1:])
    for column in range(1, len(QUEUES) + 1):
        assert rows[-1][column] < rows[0][column] / 2


if __name__ == "__main__":
    with TABLE.open("w", newline="", encoding="ascii") as output:
        csv.writer(output, delimiter="\t", lineterminator="\n").writerows(measured())
