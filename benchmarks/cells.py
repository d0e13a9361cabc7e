# What is measured: a cell is one kind of load, measured on several servers.

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["echo", "churn", "sink", "source", "slow", "idle"]
Work = Literal["echo", "sink", "source"]

WSOCK: Final = ("message", "async_socket", "event", "blocking", "stream", "win32_message")
LIMITS: Final = ("c_epoll", "raw_epoll")
PEERS: Final = (
    "uvloop_protocol",
    "uvloop_streams",
    "asyncio_protocol",
    "asyncio_streams",
    "trio_socket",
    "trio_stream",
    "anyio",
    "gevent",
    "twisted",
    "threads",
)
SERVERS: Final = WSOCK + LIMITS + PEERS

# More than this under way at once is a test of the kernel's memory limits, not of a server.
MAX_BYTES_UNDER_WAY: Final = 1 << 30


@dataclass(frozen=True)
class Cell:
    """One kind of load."""

    name: str
    mode: Mode = "echo"
    connections: int = 50
    size: int = 64
    depth: int = 1
    rate: float = 0.0  # messages a second; 0: closed loop
    slow: int = 0
    servers: tuple[str, ...] = SERVERS

    @property
    def work(self) -> Work:
        """What the server must do for it."""
        return self.mode if self.mode in ("sink", "source") else "echo"

    def options(self) -> list[str]:
        """The load generator's options."""
        values = {
            "mode": self.mode,
            "connections": self.connections,
            "size": self.size,
            "depth": self.depth,
            "rate": self.rate,
            "slow": self.slow,
        }
        return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def size_name(size: int) -> str:
    """64, 1K, 16K, 1M."""
    for unit, letter in ((1 << 20, "M"), (1 << 10, "K")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def echo_cell(connections: int, size: int, depth: int, servers: tuple[str, ...] = SERVERS) -> Cell:
    """An echo cell of the grid; its name tells its place."""
    name = f"echo {connections}x{size_name(size)}" + (f" depth {depth}" if depth > 1 else "")
    return Cell(name, "echo", connections, size, depth, servers=servers)


MAIN: Final = ("message", "async_socket", "event", "blocking", "stream", *LIMITS)
MAIN_PEERS: Final = ("uvloop_protocol", "trio_socket", "trio_stream")

# The first question: what does a message cost, beside every other server?
FIRST: Final = (echo_cell(50, 64, 1),)

# Every cell that a goal speaks of, on the servers that the goal compares.
QUICK: Final = (
    echo_cell(50, 64, 1, (*MAIN, *MAIN_PEERS)),
    echo_cell(1000, 64, 1, ("message", "async_socket", "uvloop_protocol", "c_epoll")),
    echo_cell(5000, 64, 1, ("message", "async_socket")),
    echo_cell(50, 16384, 1, ("message", "uvloop_protocol")),
    echo_cell(1, 64, 1, ("message", "blocking", "uvloop_protocol", "trio_stream")),
    Cell("churn", "churn", servers=("message", "raw_epoll", *MAIN_PEERS)),
    Cell("source 4x1M", "source", 4, 1 << 20, servers=("message", "raw_epoll", "uvloop_protocol")),
    Cell("sink 4x1M", "sink", 4, 1 << 20, servers=("message", "raw_epoll", "uvloop_protocol")),
    Cell("idle 9000", "idle", 9000, servers=("message", "blocking", "uvloop_protocol")),
)


def full_grid() -> tuple[Cell, ...]:
    """1, 50, 1,000, 5,000 connections x 64 B to 1 MiB x depth 1 and 16; churn, bulk, idle, rate."""
    grid = [
        echo_cell(connections, size, depth)
        for connections in (1, 50, 1000, 5000)
        for size in (64, 1024, 16384, 1 << 20)
        for depth in (1, 16)
        if connections * size * depth <= MAX_BYTES_UNDER_WAY
    ]
    return (
        *grid,
        Cell("churn", "churn"),
        Cell("source 4x1M", "source", 4, 1 << 20),
        Cell("sink 4x1M", "sink", 4, 1 << 20),
        Cell("slow readers", "slow", 50, 1024, slow=5),
        Cell("rate 20000/s", "echo", 50, 64, rate=20000.0),
        Cell("idle 9000", "idle", 9000),
    )
