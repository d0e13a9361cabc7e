"""A Linux in a network namespace at the far end of a TUN device, for tests of a tap.

The namespaces are made here and taken away again; the machine's own network is never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wsock.virtual.network import Network
from wsock.virtual.tap import Tap, open_tun, run_in_real_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wsock.virtual.node import HostCore

IP = shutil.which("ip")
#: Documentation addresses (RFC 5737).
OURS, LINUX = "192.0.2.1", "192.0.2.2"


def reason_to_skip() -> str:
    """Why Linux cannot be asked here; empty if it can."""
    if sys.platform != "linux" or IP is None:
        return "needs Linux and the ip command"
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return "needs root and /dev/net/tun"
    probe = f"wsock-probe-{os.getpid()}"
    try_out = subprocess.run([IP, "netns", "add", probe], capture_output=True, check=False)
    if try_out.returncode:
        return "cannot make network namespaces"
    subprocess.run([IP, "netns", "del", probe], check=True)
    return ""


WHY = reason_to_skip()


class Linux:
    """A network namespace with a TUN device at 192.0.2.2, and the virtual host 192.0.2.1."""

    def __init__(self, namespace: str, net: Network, host: HostCore, tap: Tap) -> None:
        self.namespace = namespace
        self.net, self.host, self.tap = net, host, tap

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program in the namespace."""
        assert IP is not None
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([IP, "netns", "exec", self.namespace, *command], **pipes)  # type: ignore[call-overload,no-any-return]

    def run_until(self, condition: Callable[[], bool], limit: float = 30.0) -> None:
        """Let real time pass."""
        run_in_real_time(self.net, [self.tap], condition, limit=limit)

    def run(self, *command: str, limit: float = 60.0) -> bytes:
        """Run a program in the namespace to its end; return what it printed."""
        with self.start(*command) as process:
            try:
                self.run_until(lambda: process.poll() is not None, limit)
            finally:
                process.kill()
            output, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
        return output

    def python(self, program: str, limit: float = 60.0) -> bytes:
        """Run a Python program in the namespace."""
        return self.run(sys.executable, "-c", program, limit=limit)


@contextmanager
def namespace_with_tun(tag: str, address: str) -> Iterator[tuple[str, int]]:
    """Make a network namespace with a TUN device of this address; its name, the descriptor.

    Who uses the descriptor closes it. The namespace is taken away again. Its TCP is Reno.
    """
    assert IP is not None
    namespace, device = f"wsock-{os.getpid()}{tag}", f"wst{os.getpid() % 100000}{tag}"
    subprocess.run([IP, "netns", "add", namespace], check=True)
    try:
        descriptor = open_tun(device)
        for command in (
            f"link set {device} netns {namespace}",
            f"-n {namespace} addr add {address}/24 dev {device}",
            f"-n {namespace} link set {device} up mtu 1500",
            f"-n {namespace} link set lo up",
        ):
            subprocess.run([IP, *command.split()], check=True)
        choose = "echo reno > /proc/sys/net/ipv4/tcp_congestion_control"
        subprocess.run([IP, "netns", "exec", namespace, "sh", "-c", choose], check=True)
        yield namespace, descriptor
    finally:
        subprocess.run([IP, "netns", "del", namespace], check=True)


@contextmanager
def linux_beside_us(
    make: Callable[[int], Network] = Network, **conditions: float
) -> Iterator[Linux]:
    """Make the namespace, the device and the network; take them away at the end."""
    with namespace_with_tun("", LINUX) as (namespace, descriptor):
        net = make(1)
        host = net.host("ours", profile="linux")
        tap = net.tap(host, descriptor, (OURS, LINUX), **conditions)  # type: ignore[arg-type]
        try:
            yield Linux(namespace, net, host, tap)
        finally:
            tap.close()


#: What J3 asks for once more: 2 % loss, duplicates, reordering.
BAD = {"latency": 0.002, "loss": 0.02, "duplicate": 0.02, "reorder": 0.02, "reorder_by": 0.003}

PING = """
import os, socket, struct, sys
size, count = {size}, {count}
def checksum(data):
    data += bytes(len(data) & 1)
    return 0xFFFF ^ (int.from_bytes(data, "big") % 0xFFFF or 0xFFFF)
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(5)
s.connect(("192.0.2.1", 0))
for n in range(count):
    data = os.urandom(size)
    head = struct.pack("!BBHHH", 8, 0, 0, 77, n)
    s.send(struct.pack("!BBHHH", 8, 0, checksum(head + data), 77, n) + data)
    while True:
        reply = s.recv(65535)[20:]
        if reply[0] == 0 and reply[4:8] == struct.pack("!HH", 77, n):
            break
    assert reply[8:] == data
print("ok")
"""

LISTEN = """
import socket, sys
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("", 7000)); l.listen(200); l.settimeout(20)
print("ready", flush=True)
"""


def start_linux_server(linux: Linux, body: str) -> subprocess.Popen[bytes]:
    """Start a server program; return when it listens."""
    process = linux.start(sys.executable, "-c", LISTEN + body)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def finish(linux: Linux, process: subprocess.Popen[bytes]) -> bytes:
    """Run until the program has ended; return what it printed."""
    linux.run_until(lambda: process.poll() is not None)
    output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return output
