"""A busy program on a bad network, to be run by itself: it prints the digest of all packets.

    python tests/virtual/trio_side/deterministic_program.py

Tasks race (Trio runs them in random order), packets are lost, late, doubled and out of order, hosts
crash and come back. Every run prints the same digest, whatever PYTHONHASHSEED, Python's version and
the machine's speed are. With interpreters as arguments it runs itself 30 times by each of them, and
fails unless all digests are one:

    python tests/virtual/trio_side/deterministic_program.py python3.11 python3.12 python3.13
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import trio

if TYPE_CHECKING:
    from wsock.virtual import Host, Network

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = 6


def build() -> tuple[Network, Host, list[Host]]:
    """A star with a slow and unreliable middle."""
    from wsock.virtual import Network

    net = Network(seed="determinism")
    names = ["server", *(f"client{number}" for number in range(CLIENTS))]
    _, hosts = net.star(
        "router", names, latency=0.01, jitter=0.004, loss=0.03, duplicate=0.02, reorder=0.02,
        bandwidth=20_000_000, queue=60_000,
    )  # fmt: skip
    for host in hosts:
        net.capture(host)
    server, *clients = cast("list[Host]", hosts)
    return net, server, clients


async def echo(stream: trio.SocketStream) -> None:
    """Serve one client; a broken connection is its own affair."""
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def exchange(stream: trio.SocketStream, block: bytes) -> None:
    """Send a block and read it back, both at once."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, block)
        got = 0
        while got < len(block) and (data := await stream.receive_some()):
            got += len(data)


async def talk(number: int) -> None:
    """Open connections side by side, send much and little, close in different ways."""
    block = bytes([number]) * 20_000

    async def one(turn: int) -> None:
        await trio.sleep(turn * 0.05)
        try:
            with trio.move_on_after(20):
                async with await trio.open_tcp_stream("server", 80) as stream:
                    await exchange(stream, block[turn:])
        except* OSError:
            pass
        except* trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        for turn in range(5):
            nursery.start_soon(one, turn)


async def datagrams(host: Host) -> None:
    """Ping-pong over UDP with time-outs."""
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("", 0))
        for number in range(20):
            await sock.sendto(b"%d %s" % (number, host.name.encode()), ("server", 53))
            with trio.move_on_after(0.1):
                await sock.recv(100)


async def answer() -> None:
    """Send datagrams back."""
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(("", 53))
        while True:
            data, peer = await sock.recvfrom(100)
            await sock.sendto(data, peer)


def run() -> str:
    """Run it once; the digest."""
    net, server, clients = build()

    async def main() -> None:
        async with trio.open_nursery() as background:
            server.start_soon(background, partial(trio.serve_tcp, echo, 80))
            server.start_soon(background, answer)
            await net.settle()
            net.at(1.0, net.partition, "client1", lasting=3.0)
            net.at(1.5, clients[2].crash)
            net.swizzle(clients[3:], interval=0.7)
            async with trio.open_nursery() as nursery:
                for number, client in enumerate(clients):
                    client.start_soon(nursery, talk, number)
                    client.start_soon(nursery, datagrams, client)
            background.cancel_scope.cancel()

    net.run(main)
    return f"{net.digest()} {sum(map(len, net.captures))} packets, {net.time:.9f} s"


def digests(interpreter: str, runs: int) -> list[str]:
    """Run this file ``runs`` times by an interpreter, each with another PYTHONHASHSEED."""
    found = []
    for _ in range(runs):
        seed = str(random.SystemRandom().randrange(2**32))
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [interpreter, __file__], env=environment, capture_output=True, text=True, check=True
        )
        found.append(done.stdout.strip())
    return found


if __name__ == "__main__":
    if not sys.argv[1:]:
        print(run())
    else:
        everything = {}
        for interpreter in sys.argv[1:]:
            everything[interpreter] = digests(interpreter, 30)
            for line in sorted(set(everything[interpreter])):
                print(f"{interpreter}: {everything[interpreter].count(line)} x {line}", flush=True)
        sys.exit(len({line for lines in everything.values() for line in lines}) != 1)
