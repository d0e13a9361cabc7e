"""Line 60 of the TCP rules once more, with Linux as the judge: one segment, two stacks, one answer.

A state is reached by the same segments on Linux (in a namespace, over a TUN device) and on our
stack in profile ``linux``; then one more segment is sent to both. No clock decides: a ping behind
the segment comes back only when Linux has dealt with it.

Not compared, since there the two may differ: segments without ACK, which Linux drops before the
first check of RFC 9293, and data or a FIN in order, whose acknowledgement may wait.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from test_tap import IP, LINUX, OURS, WHY, linux_beside_us
from virtual.tcp.tcp_wire import Script

from wsock.virtual.addresses import packed
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, RST, SYN, Segment, build, parse
from wsock.virtual.wire import icmp, ipv4

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY or "can be run")

KINDS = {
    "SYN": (SYN, b""), "SYN-ACK": (SYN | ACK, b""), "ACK": (ACK, b""), "FIN": (FIN | ACK, b""),
    "RST": (RST, b""), "RST-ACK": (RST | ACK, b""), "data": (ACK, b"0123456789"),
}  # fmt: skip
POSITIONS = {"left of": -50, "at": 0, "inside": 100, "right of": 66_000}
PEER_ISS = 1000
MSS = Options(mss=1000)

SERVER = f"""
import socket, sys
l = socket.socket(); l.bind(("{LINUX}", 80)); l.listen(50)
print("ready", flush=True)
for line in sys.stdin:
    if line == "accept\\n": c, _ = l.accept()
    elif line == "shut\\n": c.shutdown(socket.SHUT_WR)
    elif line == "drop\\n":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0"); c.close()
    print("done", flush=True)
"""


class Kernel:
    """Linux' TCP: one connection after the other, each from another port of ours."""

    def __init__(self, descriptor: int, server: subprocess.Popen[str]) -> None:
        self._descriptor = descriptor
        self._server = server
        self._port = 20_000
        self.iss = 0

    def tell(self, word: str) -> None:
        """Have the server do something."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{word}\n")
        self._server.stdin.flush()
        assert self._server.stdout.readline() == "done\n"

    def inject(self, flags: int, seq: int, ack: int = 0, data: bytes = b"", *,
               options: bytes = b"") -> list[Segment]:  # fmt: skip
        """Send a segment; what came back until a ping behind it was answered."""
        ends = packed(OURS), packed(LINUX)
        raw = build(*ends, self._port, 80, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, flags, 65535, 0,
                    options, data)  # fmt: skip
        os.write(self._descriptor, ipv4.build(*ends, 6, raw))
        return self.settled()

    def settled(self) -> list[Segment]:
        """What has come back when Linux answers a ping."""
        ends = packed(OURS), packed(LINUX)
        os.write(self._descriptor, ipv4.build(*ends, 1, icmp.build_echo(8, 7, 7, b"")))
        found: list[Segment] = []
        while select.select([self._descriptor], [], [], 10)[0]:
            packet = memoryview(os.read(self._descriptor, 2000))
            if packet[0] >> 4 == 4 and packet[9] == 1:
                return found
            if packet[0] >> 4 == 4 and packet[9] == 6:
                segment = parse(bytes(packet[12:16]), bytes(packet[16:20]), packet[20:])
                if isinstance(segment, Segment) and segment.destination_port == self._port:
                    found.append(segment)
        raise AssertionError("Linux does not answer")

    def reach(self, state: str) -> None:
        self._port += 1
        (answer,) = self.inject(SYN, PEER_ISS, options=MSS.encode())
        self.iss = answer.seq
        self.inject(ACK, PEER_ISS + 1, self.iss + 1)
        self.tell("accept")
        if state != "ESTABLISHED":
            self.tell("shut")
            self.settled()
        if state == "FIN-WAIT-2":
            self.inject(ACK, PEER_ISS + 1, self.iss + 2)

    def leave(self) -> None:
        self.inject(RST, PEER_ISS + 1)
        self.tell("drop")
        self.settled()


class Ours:
    """Our stack, in virtual time."""

    iss = 7000

    def reach(self, state: str) -> None:
        options = {"timestamps": "accept", "window_scaling": "accept", "sack": False}
        self._script = Script("linux", **options)
        self.inject = self._script.inject
        connection = self._script.open(options=MSS)
        if state != "ESTABLISHED":
            connection.close()
            self._script.outputs()
        if state == "FIN-WAIT-2":
            self.inject(ACK, PEER_ISS + 1, self.iss + 2)
        assert str(connection.state) == state


def asked(stack: Kernel | Ours, state: str, kind: str, position: str, acked: int) -> list[object]:
    """The answers to one segment, their numbers counted from both ISS."""
    stack.reach(state)
    flags, data = KINDS[kind]
    ack = stack.iss + acked if flags & ACK else 0
    answers = stack.inject(flags, PEER_ISS + 1 + POSITIONS[position], ack, data)
    return [
        (
            segment.flags,
            (segment.seq - stack.iss) & 0xFFFFFFFF,
            (segment.ack - PEER_ISS) & 0xFFFFFFFF if segment.flags & ACK else 0,
            len(segment.data),
        )
        for segment in answers
    ]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    assert IP is not None
    with linux_beside_us() as linux:
        command = [IP, "netns", "exec", linux.namespace, sys.executable, "-c", SERVER]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as server:  # type: ignore[call-overload]
            assert server.stdout.readline() == "ready\n"
            yield Kernel(linux.tap.fileno(), server)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2"])
def test_60_linux_gives_the_same_answer(kernel: Kernel, state: str, kind: str) -> None:
    """Four places of the window; an ACK of all, of less than was ever sent, of more than that."""
    sent = 1 if state == "ESTABLISHED" else 2
    for position in POSITIONS:
        if kind in ("data", "FIN") and position == "at":
            continue
        for acked in (sent, sent + 100, -100):
            linux = asked(kernel, state, kind, position, acked)
            kernel.leave()
            assert asked(Ours(), state, kind, position, acked) == linux, (position, acked)
