"""The other roles of J3: Linux serves and we are the client; and what a bad link must not hurt."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest
from linux_over_tap import (
    BAD,
    LINUX,
    WHY,
    Linux,
    finish,
    linux_beside_us,
    start_linux_server,
)
from talkers import Talker, dial, serve

from wsock.virtual.addresses import packed
from wsock.virtual.probes import Ping
from wsock.virtual.tcp import TcpSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY or "can be run")

PORT = 7000
SIZE = 10_000_000


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


def call(linux: Linux) -> Talker:
    """Connect to Linux' server."""
    talker = Talker()
    dial(linux.host, talker, packed(LINUX), PORT)
    linux.run_until(lambda: "connected" in talker.events)
    return talker


def test_j3_we_get_and_put_ten_megabytes(any_link: Linux) -> None:
    """Linux serves HTTP, in both directions; SHA-256 on both sides is equal."""
    linux = any_link
    process = start_linux_server(
        linux,
        "import hashlib, random\n"
        f"body = random.Random(1).randbytes({SIZE})\n"
        "def head(f):\n"
        "    lines = []\n"
        "    while (line := f.readline()) != b'\\r\\n': lines.append(line)\n"
        "    return lines\n"
        "c, _ = l.accept(); f = c.makefile('rb'); head(f)\n"
        "c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + body); f.close(); c.close()\n"
        "c, _ = l.accept(); f = c.makefile('rb'); head(f)\n"
        f"got = f.read({SIZE})\n"
        "answer = hashlib.sha256(got).hexdigest().encode()\n"
        "c.sendall(b'HTTP/1.0 201 Created\\r\\n\\r\\n' + answer)\n"
        "f.close(); c.close()\n",
    )
    getting = call(linux)
    getting.send(b"GET / HTTP/1.0\r\n\r\n")
    linux.run_until(lambda: "peer closed" in getting.events, 60)
    got = bytes(getting.received).partition(b"\r\n\r\n")[2]
    assert hashlib.sha256(got).digest() == hashlib.sha256(random.Random(1).randbytes(SIZE)).digest()

    body = random.Random(2).randbytes(SIZE)
    putting = call(linux)
    putting.send(b"PUT / HTTP/1.0\r\n\r\n" + body)
    linux.run_until(lambda: "peer closed" in putting.events, 60)
    answer = bytes(putting.received).partition(b"\r\n\r\n")[2]
    assert answer.decode() == hashlib.sha256(body).hexdigest()
    finish(linux, process)


def test_j3_we_open_a_hundred_connections_at_once(any_link: Linux) -> None:
    """Linux serves all; each gets its own answer."""
    linux = any_link
    process = start_linux_server(
        linux,
        "s = [l.accept()[0] for _ in range(100)]\n"
        "for c in s: c.sendall(c.recv(4)[::-1])\n"
        "for c in s: c.recv(1); c.close()\n",
    )
    talkers = [Talker() for _ in range(100)]
    for talker in talkers:
        dial(linux.host, talker, packed(LINUX), PORT)
    linux.run_until(lambda: all("connected" in talker.events for talker in talkers))
    for number, talker in enumerate(talkers):
        talker.send(b"%04d" % number)
    linux.run_until(lambda: all(len(talker.received) == 4 for talker in talkers))
    for number, talker in enumerate(talkers):
        assert bytes(talker.received) == (b"%04d" % number)[::-1]
        talker.close()
    finish(linux, process)


def test_j3_half_close_with_linux_as_client(any_link: Linux) -> None:
    """Linux ends its side; we read to the end and then answer with what we have read."""
    linux = any_link
    talkers: list[Talker] = []

    class Reverser(Talker):
        def peer_closed(self, connection: object) -> None:
            self.events.append("peer closed")
            self.send(bytes(self.received[::-1]))
            self.close_with_peer = False
            self.close()

    def make() -> Talker:
        talkers.append(Reverser())
        return talkers[-1]

    serve(linux.host, PORT, make)
    program = (
        "import random, socket\n"
        "s = socket.create_connection(('192.0.2.1', 7000), 20)\n"
        "data = random.Random(5).randbytes(100_000)\n"
        "s.sendall(data); s.shutdown(socket.SHUT_WR)\n"
        "back = b''\nwhile part := s.recv(65536): back += part\n"
        "print(back == data[::-1])\n"
    )
    assert linux.python(program) == b"True\n"


def test_j3_resets_over_a_bad_link() -> None:
    """A reset that is lost is sent again for the next segment, both ways."""
    with linux_beside_us(**BAD) as linux:
        process = start_linux_server(
            linux,
            "import struct, time\nc, _ = l.accept(); c.recv(1)\n"
            "c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
            "c.close()\nc, _ = l.accept(); c.recv(1)\n"
            "try:\n    while True: c.sendall(b'x'); time.sleep(0.02)\n"
            "except ConnectionError: print('reset')\n",
        )
        first = call(linux)
        first.send(b"now")

        def is_reset() -> bool:
            if first.connection is not None and not first.unsent:
                first.send(b"?")
            return any(event.startswith("reset") for event in first.events)

        linux.run_until(is_reset)
        second = call(linux)
        second.send(b"now")
        linux.run_until(lambda: bool(second.received))
        assert second.connection is not None
        second.connection.abort()
        assert finish(linux, process) == b"reset\n"


@pytest.mark.parametrize("size", [56, 4000])
def test_j3_pings_over_a_bad_link(size: int) -> None:
    """Most come back, none is wrong: a reassembly never mixes fragments of two."""
    with linux_beside_us(**BAD) as linux:
        ping = Ping(linux.host, LINUX, count=60, size=size, interval=0.005, timeout=0.5)
        linux.run_until(lambda: ping.done)
        errors = [reply.error for reply in ping.replies]
        assert errors.count("") > 30
        assert set(errors) <= {"", "time out"}


def test_j3_datagrams_of_4000_bytes_to_a_server_on_linux(any_link: Linux) -> None:
    """In fragments, there and back; what is lost is asked for again."""
    linux = any_link
    process = linux.start(
        "python3", "-c",
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7002))\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    data, peer = s.recvfrom(65535)\n"
        "    if not data: break\n"
        "    s.sendto(data[::-1], peer)\n",
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    endpoint = linux.host.udp.open()
    assert endpoint.bind(port=7003) is None
    answers: list[bytes] = []

    def take() -> None:
        datagram = endpoint.receive()
        assert datagram is not None
        answers.append(bytes(datagram.data))

    endpoint.on_readable = take
    data = random.Random(4).randbytes(4000)
    asked = linux.net.time
    endpoint.send(data, packed(LINUX), 7002)

    def answered() -> bool:
        nonlocal asked
        if not answers and linux.net.time > asked + 0.3:
            asked = linux.net.time
            endpoint.send(data, packed(LINUX), 7002)
        return bool(answers)

    linux.run_until(answered)
    assert answers[0] == data[::-1]

    def ended() -> bool:
        endpoint.send(b"", packed(LINUX), 7002)
        return process.poll() is not None

    linux.run_until(ended)
    process.communicate()


def test_j3_our_keep_alive_is_answered_by_linux(linux: Linux) -> None:
    """We probe an idle connection five times a second; Linux answers, and it stays alive."""
    process = start_linux_server(linux, "c, _ = l.accept(); print(c.recv(5))\n")
    settings = TcpSettings(linux.host.profile)
    settings.keep_alive = True
    settings.keep_alive_idle_ns = settings.keep_alive_interval_ns = 200_000_000
    settings.keep_alive_probes = 2
    talker = Talker()
    capture = linux.net.capture(linux.host)
    linux.host.tcp.connect(talker, packed(LINUX), PORT, settings=settings)
    began = linux.net.time
    linux.run_until(lambda: linux.net.time > began + 1.5)
    assert talker.events == ["connected"]
    probes = capture.filter("tcp.len == 0 && ip.dst == 192.0.2.2 && tcp.flags == 0x10")
    assert len(probes) >= 5
    talker.send(b"alive")
    assert finish(linux, process) == b"b'alive'\n"
