"""Linux' own TCP/IP against ours over a TUN device (J3). Real time; needs root and namespaces."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import trio
from linux_over_tap import (
    BAD,
    IP,
    LINUX,
    OURS,
    PING,
    WHY,
    Linux,
    finish,
    linux_beside_us,
    start_linux_server,
)
from talkers import Talker, dial, serve

from wsock.virtual import Host
from wsock.virtual import Network as PumpedNetwork
from wsock.virtual.addresses import packed
from wsock.virtual.probes import Ping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CURL = shutil.which("curl")
TSHARK = shutil.which("tshark")

pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY or "can be run")


@pytest.fixture
def linux() -> Iterator[Linux]:
    """Linux over a perfect link."""
    with linux_beside_us() as beside:
        yield beside


@pytest.fixture(params=[{}, BAD], ids=["perfect link", "bad link"])
def any_link(request: pytest.FixtureRequest) -> Iterator[Linux]:
    """Linux over a perfect link, and over a bad one."""
    with linux_beside_us(**request.param) as beside:
        yield beside


@pytest.mark.parametrize("size", [56, 4000])
def test_j3_linux_pings_us(linux: Linux, size: int) -> None:
    """J3: echo with 56 bytes, and with 4000 in fragments."""
    assert linux.python(PING.format(size=size, count=5)) == b"ok\n"


@pytest.mark.parametrize("size", [56, 4000])
def test_j3_we_ping_linux(linux: Linux, size: int) -> None:
    """J3: Linux' ICMP and its reassembly answer ours."""
    ping = Ping(linux.host, LINUX, count=3, size=size, interval=0.05, timeout=5.0)
    linux.run_until(lambda: ping.done)
    assert [reply.error for reply in ping.replies] == [""] * 3


def serve_files(linux: Linux, body: bytes) -> list[Talker]:
    """An HTTP server on port 80: GET gives ``body``, PUT keeps what comes."""
    talkers: list[Talker] = []

    def answer(talker: Talker) -> None:
        head, found, _ = bytes(talker.received[:4096]).partition(b"\r\n\r\n")
        if not found or "answered" in talker.events:
            return
        if head.startswith(b"PUT"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(talker.received) < len(head) + 4 + length:
                return
            talker.events.append("answered")
            talker.send(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            talker.events.append("answered")
            header = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            talker.send(header.encode() + body)

    def make() -> Talker:
        talkers.append(Talker(answer))
        return talkers[-1]

    serve(linux.host, 80, make)
    return talkers


def get_and_put(linux: Linux, size: int, folder: Path) -> None:
    """GET and PUT by curl with equal SHA-256."""
    assert CURL is not None
    body = random.Random(size).randbytes(size)
    talkers = serve_files(linux, body)
    path = folder / "body"
    linux.run(CURL, "-sS", "-o", str(path), f"http://{OURS}/")
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(body).digest()
    linux.run(CURL, "-sS", "-H", "Expect:", "-T", str(path), f"http://{OURS}/x")
    sent = bytes(talkers[-1].received).partition(b"\r\n\r\n")[2]
    assert hashlib.sha256(sent).digest() == hashlib.sha256(body).digest()


@pytest.mark.skipif(CURL is None, reason="needs curl")
def test_j3_curl_gets_and_puts_ten_megabytes(linux: Linux, tmp_path: Path) -> None:
    """J3: Linux is the client, in both directions; the bytes are equal."""
    get_and_put(linux, 10_000_000, tmp_path)


@pytest.mark.skipif(CURL is None, reason="needs curl")
def test_j3_curl_over_a_bad_link(tmp_path: Path) -> None:
    """J3: 2 % loss, reordering and duplicates on the link: the bytes are still equal."""
    with linux_beside_us(**BAD) as linux:
        get_and_put(linux, 10_000_000, tmp_path)
        dropped = [entry for entry in linux.net.log if "dropped" in entry.text]
        assert len(dropped) > 100


def test_j3_linux_is_refused_at_a_closed_port_and_so_are_we(any_link: Linux) -> None:
    """J3: RST both ways, read as ECONNREFUSED."""
    linux = any_link
    program = (
        "import socket\n"
        "s = socket.socket()\n"
        "try: s.connect(('192.0.2.1', 81))\n"
        "except ConnectionRefusedError: print('refused')\n"
    )
    assert linux.python(program) == b"refused\n"
    talker = Talker()
    dial(linux.host, talker, packed(LINUX), 81)
    linux.run_until(lambda: bool(talker.events))
    assert talker.events == ["failed ECONNREFUSED"]


@pytest.mark.skipif(CURL is None or TSHARK is None, reason="needs curl and tshark")
def test_j3_tshark_finds_nothing_wrong_in_what_linux_was_sent(linux: Linux, tmp_path: Path) -> None:
    """J1 and J3 together: a transfer each way, and not one bad checksum or malformed packet."""
    capture = linux.net.capture(linux.host)
    get_and_put(linux, 200_000, tmp_path)
    assert TSHARK is not None
    wrong = "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0"
    options = [word for sum_ in ("tcp", "ip") for word in ("-o", f"{sum_}.check_checksum:TRUE")]
    capture.save(tmp_path / "linux.pcapng")
    found = subprocess.run(
        [TSHARK, "-r", str(tmp_path / "linux.pcapng"), *options, "-Y", wrong],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert found.stdout == ""


def test_j3_half_close_with_linux_as_server(any_link: Linux) -> None:
    """J3: we end our side, Linux reads to the end and then answers with what it has read."""
    linux = any_link
    process = start_linux_server(
        linux,
        "c, _ = l.accept()\ndata = b''\nwhile part := c.recv(65536): data += part\n"
        "c.sendall(data[::-1]); c.close()\n",
    )
    talker = Talker()
    dial(linux.host, talker, packed(LINUX), 7000)
    linux.run_until(lambda: "connected" in talker.events)
    data = random.Random(5).randbytes(100_000)
    talker.send(data)
    linux.run_until(lambda: not talker.unsent)
    assert talker.connection is not None
    talker.connection.close()
    finish(linux, process)
    linux.run_until(lambda: "peer closed" in talker.events)
    assert bytes(talker.received) == data[::-1]


def test_j3_a_reset_from_linux_and_one_to_linux(linux: Linux) -> None:
    """J3: SO_LINGER 0 there is a reset here; an abort here is ECONNRESET there."""
    process = start_linux_server(
        linux,
        "import struct\nc, _ = l.accept()\n"
        "c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); c.close()\n"
        "c, _ = l.accept()\ntry: c.recv(1)\nexcept ConnectionResetError: print('reset')\n",
    )
    first, second = Talker(), Talker()
    dial(linux.host, first, packed(LINUX), 7000)
    linux.run_until(lambda: any(event.startswith("reset") for event in first.events))
    connection = dial(linux.host, second, packed(LINUX), 7000)
    linux.run_until(lambda: "connected" in second.events)
    connection.abort()
    assert finish(linux, process) == b"reset\n"


def test_j3_a_hundred_connections_at_once(any_link: Linux) -> None:
    """J3: all are served, each gets its own answer."""
    linux = any_link

    def echo(talker: Talker) -> None:
        talker.send(bytes(talker.received))
        talker.received.clear()

    serve(linux.host, 7001, lambda: Talker(echo))
    program = (
        "import socket\n"
        "s = [socket.create_connection(('192.0.2.1', 7001), 20) for _ in range(100)]\n"
        "for n, c in enumerate(s): c.sendall(b'%04d' % n)\n"
        "print(all(c.recv(4) == b'%04d' % n for n, c in enumerate(s)))\n"
    )
    assert linux.python(program) == b"True\n"


def test_j3_datagrams_of_4000_bytes_both_ways(linux: Linux) -> None:
    """J3: UDP in fragments, there and back."""
    endpoint = linux.host.udp.open()
    assert endpoint.bind(port=7002) is None

    def echo() -> None:
        datagram = endpoint.receive()
        assert datagram is not None
        endpoint.send(datagram.data[::-1], datagram.source, datagram.source_port)

    endpoint.on_readable = echo
    program = (
        "import os, socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)\n"
        "data = os.urandom(4000); s.sendto(data, ('192.0.2.1', 7002))\n"
        "print(s.recv(65535) == data[::-1])\n"
        "s.connect(('192.0.2.1', 7003)); s.send(b'x')\n"
        "try: s.recv(1)\nexcept ConnectionRefusedError: print('refused')\n"
    )
    assert linux.python(program) == b"True\nrefused\n"


def test_j3_keep_alive_of_linux_is_answered(linux: Linux) -> None:
    """J3: Linux probes an idle connection every second; it stays alive."""
    serve(linux.host, 7004, Talker)
    program = (
        "import socket, time\n"
        "s = socket.create_connection(('192.0.2.1', 7004), 20)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n"
        "for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1),"
        " (socket.TCP_KEEPCNT, 1)):\n"
        "    s.setsockopt(socket.IPPROTO_TCP, option, value)\n"
        "time.sleep(3.5); s.sendall(b'alive'); print('alive')\n"
    )
    capture = linux.net.capture(linux.host)
    assert linux.python(program) == b"alive\n"
    probes = capture.filter("tcp.len == 0 && ip.src == 192.0.2.2 && tcp.flags == 0x10")
    assert len(probes) >= 3


@pytest.mark.skipif(CURL is None, reason="needs curl")
def test_a_trio_server_on_a_virtual_host_answers_curl(tmp_path: Path) -> None:
    """``trio.serve_tcp`` under the system's clock; the pump reads the tap."""
    with linux_beside_us(make=PumpedNetwork) as linux:
        assert CURL is not None
        path = tmp_path / "answer"
        command = [IP, "netns", "exec", linux.namespace, CURL, "-sS", "-o", str(path)]

        async def answer(stream: trio.SocketStream) -> None:
            assert (await stream.receive_some()).startswith(b"GET / ")
            await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\nfrom Trio")
            await stream.aclose()

        async def main() -> None:
            assert isinstance(linux.net, PumpedNetwork)
            assert isinstance(linux.host, Host)
            async with linux.net.attach(), linux.host.running(trio.serve_tcp, answer, 80):
                with trio.fail_after(30):
                    await trio.run_process([*command, f"http://{OURS}/"])  # type: ignore[list-item]

        trio.run(main)
        assert path.read_bytes() == b"from Trio"


def test_a_tap_and_a_virtual_clock_do_not_go_together() -> None:
    """Linux does not wait for virtual time; the error says what to do."""
    with linux_beside_us(make=PumpedNetwork) as linux:
        assert isinstance(linux.net, PumpedNetwork)
        with pytest.raises(RuntimeError, match="a tap joins real time"):
            linux.net.run(trio.sleep, 1)
