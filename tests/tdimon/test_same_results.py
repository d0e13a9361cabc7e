"""A program gives the same results with the monitor and without."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import wsock
from wsock import tdimon
from wsock.constants import FD_ACCEPT, FD_CLOSE, FD_READ, WM_USER
from wsock.virtual import Network

TESTS = Path(__file__).parent.parent
BEHAVIOUR = {
    "machine": ("notification", "socket", "async_socket", "window", "event", "streams"),
    "virtual": ("virtual/trio_side", "win32/test_win32_on_virtual_hosts.py", "kernel"),
    "c-face": ("win32", "conformance/test_scenarios.py"),
}


@pytest.mark.parametrize("part", BEHAVIOUR)
def test_the_behaviour_tests_pass_under_the_monitor(part: str) -> None:
    """S0-1: every rule of notifications and calls holds while watched, and rows are written."""
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "under_the_monitor", "-p", "no:cacheprovider"]
        + [str(TESTS / name) for name in BEHAVIOUR[part]],
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": str(TESTS / "tdimon")},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # of a run that takes twenty seconds: a hang is a failure too
    )
    assert finished.returncode == 0, finished.stdout[-4000:]
    watched = re.search(r"watched: (\d+) tests, (\d+) records", finished.stdout)
    assert watched is not None
    assert int(watched[1]) > 100
    assert int(watched[2]) > 10_000


def test_a_program_prints_the_same() -> None:
    """An example says the same, to the letter, when it runs under the monitor."""
    plain, watched = (
        subprocess.check_output(
            [sys.executable, "-m", *options, "examples.traps"],
            cwd=TESTS.parent,
            text=True,
            timeout=120,
        )
        for options in ((), ("wsock", "tdimon", "-q", "-m"))
    )
    assert len(plain) > 200
    assert watched == plain


Told = list[tuple[int, int]]


async def serve(told: Told, *, task_status: trio.TaskStatus[None]) -> None:
    """Echo to two clients; write down what is told about which handle."""
    clients = 0

    def procedure(message: wsock.Message) -> None:
        nonlocal clients
        told.append((message.event, message.socket.handle))
        if message.event == FD_ACCEPT:
            message.socket.accept_nowait()
        elif message.event == FD_READ:
            message.socket.send_all_nowait(message.socket.recv_nowait(65536))
        else:
            message.socket.close()
            clients += 1
            if clients == 2:
                message.window.post_quit()

    async with wsock.Window() as window:
        with wsock.create_server(("0.0.0.0", 7)) as listener:
            listener.async_select(window, WM_USER, FD_ACCEPT | FD_READ | FD_CLOSE)
            task_status.started()
            await window.run(procedure)


async def call() -> None:
    with wsock.socket() as sock:
        await sock.connect(("10.0.0.1", 7))
        for size in (10, 5000, 20000):
            await sock.send_all(bytes(size))
            while size:
                size -= len(await sock.recv(size))


def packets_and_messages(*, watched: bool) -> tuple[bytes, Told]:
    """What goes over a lossy wire, and what a server is told, in virtual time."""
    network = Network(seed=7)
    lan = network.segment("lan", "10.0.0.0/24", latency=0.002)
    hosts = [network.host(f"h{number}", lan, f"10.0.0.{number}") for number in (1, 2, 3)]
    capture = network.capture(*hosts, merged=True)
    network.loss(0.05)
    told: Told = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with hosts[0]:
                await nursery.start(serve, told)
            for host in hosts[1:]:
                with host:
                    nursery.start_soon(call)

    with tdimon.watch(network) if watched else contextlib.nullcontext():
        network.run(main)
    return capture.pcapng(), told


def test_packets_and_messages_are_the_same_to_the_byte() -> None:
    """On a virtual network with loss: the same packets at the same times, the same messages."""
    packets, told = packets_and_messages(watched=False)
    assert len(packets) > 50_000
    assert len(told) > 10
    assert packets_and_messages(watched=True) == (packets, told)
