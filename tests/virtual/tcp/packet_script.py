# An interpreter for scripts in packetdrill's language, under virtual time.
#
# A script is a list of lines: a time, and a system call with its result, a packet that arrives
# (``<``) or a packet that must leave (``>``). Times are absolute, ``+`` since the line before, or
# ``*`` for whenever. Numbers of the host's stream count from its SYN, which is 0, as they do in
# packetdrill.
#
# Understood: socket, setsockopt (TCP_NODELAY, SO_KEEPALIVE), bind, listen, connect, accept, write,
# read, shutdown (SHUT_WR), close; TCP packets with their options; ICMP unreachable. Anything else
# is an error of the script, and says its line.

"""Runs packet scripts against one TcpLayer."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from tcp_wire import SECOND, A, B, Client, Script, Sent

from wsock.virtual.tcp import Connection, Listener
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, PSH, RST, SYN, URG

if TYPE_CHECKING:
    from collections.abc import Callable

FLAGS = {"S": SYN, "F": FIN, "R": RST, "P": PSH, ".": ACK, "U": URG}

LINE = re.compile(r"(?P<time>\*|\+?[\d.]+)\s+(?P<rest>.+)")
CALL = re.compile(
    r"(?P<name>\w+)\((?P<arguments>.*)\)\s*=\s*(?P<result>-?\d+)(?:\s+(?P<error>\w+))?"
)
PACKET = re.compile(
    r"(?P<way>[<>])\s+(?P<flags>[SFRPU.]+)\s+(?P<seq>\d+):(?P<end>\d+)\((?P<length>\d+)\)"
    r"(?:\s+ack\s+(?P<ack>\d+))?(?:\s+win\s+(?P<window>\d+))?(?:\s+<(?P<options>.*)>)?$"
)
ICMP = re.compile(
    r"<\s+\[(?P<seq>\d+):\d+\(\d+\)\]\s+icmp\s+unreachable\s+(?P<what>\w+)(?:\s+mtu\s+(?P<mtu>\d+))?$"
)
UNREACHABLE = {
    "net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2,
    "port_unreachable": 3, "frag_needed": 4,
}  # fmt: skip


class Pulled(Client):
    """A client whose bytes wait until the script reads them."""

    def __init__(self) -> None:
        super().__init__(room=0)

    def read(self, limit: int) -> int:
        """Take up to ``limit`` bytes; return how many came, -1 for none yet."""
        assert self.connection is not None
        before = len(self.data)
        self.room = limit
        self.connection.resume()
        self.room = 0
        taken = len(self.data) - before
        return taken if taken or "peer_closed" in self.events else -1


class PacketScript:
    """One run of one script."""

    def __init__(self, text: str, profile: str = "linux") -> None:
        self.lines = text.splitlines()
        self.script = Script(profile)
        self.wire = self.script.wire
        self.script.settings.iss = 0
        self.seen = 0  # packets of the log that the script has accounted for
        self.time = 0
        self.sockets: dict[int, Pulled | Listener | None] = {}

    def run(self) -> None:
        """Run every line; at the end nothing unexpected may have been sent.

        Raises:
          AssertionError: something differs; the text begins with the line's number.
        """
        for number, line in enumerate(self.lines, 1):
            bare = line.partition("//")[0].strip()
            if not bare:
                continue
            try:
                self._line(bare)
            except AssertionError as error:
                raise AssertionError(f"line {number}: {line.strip()}: {error}") from None
        rest = [str(sent) for sent in self.wire.log[self.seen :]]
        assert not rest, f"unexpected at the end: {rest}"

    def _line(self, line: str) -> None:
        matched = LINE.match(line)
        assert matched, "not a line of a script"
        when, rest = matched["time"], matched["rest"]
        if when.startswith("+"):
            self.time += round(float(when) * SECOND)
        elif when != "*":
            self.time = round(float(when) * SECOND)
        if when != "*":
            self.wire.run_until(self.time)
        if icmp := ICMP.match(rest):
            self._icmp(icmp)
        elif packet := PACKET.match(rest):
            (self._arrives if packet["way"] == "<" else self._leaves)(packet, when == "*")
        elif call := CALL.match(rest):
            self._call(call)
            self.wire.flush()
        else:
            raise AssertionError("neither a call nor a packet")

    # Packets

    def _arrives(self, packet: re.Match[str], _: bool) -> None:
        flags = sum(FLAGS[letter] for letter in packet["flags"])
        log = self.wire.log
        self.wire.log = []
        self.script.inject(
            flags, int(packet["seq"]), int(packet["ack"] or 0), bytes(int(packet["length"])),
            window=int(packet["window"] or 65535), options=parse_options(packet["options"] or ""),
        )  # fmt: skip
        self.wire.log = log + self.wire.log

    def _leaves(self, packet: re.Match[str], any_time: bool) -> None:
        if any_time:
            while self.seen == len(self.wire.log) and self.wire.scheduler.next_time() is not None:
                self.wire.run_until(self.wire.scheduler.next_time() or 0)
            self.time = self.wire.scheduler.now
        assert self.seen < len(self.wire.log), "nothing was sent"
        sent = self.wire.log[self.seen]
        self.seen += 1
        assert abs(sent.time - self.time) < SECOND // 1000, f"sent at {sent.time / SECOND}"
        assert describe(sent) == expectation(packet), f"sent was {describe(sent)}"
        if packet["window"]:
            assert sent.segment.window == int(packet["window"]), sent.segment.window
        if packet["options"] and packet["options"] != "...":
            wanted = parse_options(packet["options"])
            got = sent.segment.options
            for name in ("mss", "window_shift", "sack_permitted", "sack"):
                assert getattr(got, name) == getattr(wanted, name), f"option {name}: {got}"

    def _icmp(self, icmp: re.Match[str]) -> None:
        header = bytearray(20)
        header[12:16], header[16:20] = B, A
        ports = self.script.local_port << 16 | self.script.peer_port
        quoted = ports.to_bytes(4, "big") + int(icmp["seq"]).to_bytes(4, "big")
        self.script.host.tcp.icmp_error(
            3, UNREACHABLE[icmp["what"]], memoryview(header), memoryview(quoted),
            int(icmp["mtu"] or 0),
        )  # fmt: skip
        self.wire.flush()

    # Calls

    def _call(self, call: re.Match[str]) -> None:
        arguments = [argument.strip() for argument in call["arguments"].split(",")]
        method: Callable[[list[str]], int] | None = getattr(self, f"_{call['name']}", None)
        assert method is not None, f"unknown call {call['name']}"
        result = method(arguments)
        if call["error"]:
            assert result == -getattr(errno, call["error"]), f"returned {result}"
        else:
            assert result == int(call["result"]), f"returned {result}"

    def _socket(self, _: list[str]) -> int:
        number = 3 + len(self.sockets)
        self.sockets[number] = None
        return number

    def _setsockopt(self, arguments: list[str]) -> int:
        value = bool(int(arguments[3].strip("[]")))
        names = {"TCP_NODELAY": "no_delay", "SO_KEEPALIVE": "keep_alive"}
        if arguments[2] in names:
            setattr(self.script.settings, names[arguments[2]], value)
        return 0

    def _bind(self, _: list[str]) -> int:
        return 0

    def _listen(self, arguments: list[str]) -> int:
        binding = self.script.host.tcp.bind(bytes(4), 80)
        listener = self.script.host.tcp.listen(  # type: ignore[arg-type]
            binding, int(arguments[1]), settings=self.script.settings
        )
        assert isinstance(listener, Listener)
        self.sockets[int(arguments[0])] = listener
        return 0

    def _accept(self, arguments: list[str]) -> int:
        listener = self.sockets[int(arguments[0])]
        assert isinstance(listener, Listener)
        client = Pulled()
        client.connection = listener.accept(client)
        if client.connection is None:
            return -errno.EAGAIN
        number = 3 + len(self.sockets)
        self.sockets[number] = client
        return number

    def _connect(self, arguments: list[str]) -> int:
        client = Pulled()
        self.script.client = client
        client.connection = self.script.connect()
        self.sockets[int(arguments[0])] = client
        return -errno.EINPROGRESS

    def _connection(self, argument: str) -> Connection:
        client = self.sockets[int(argument)]
        assert isinstance(client, Pulled)
        assert client.connection is not None
        return client.connection

    def _write(self, arguments: list[str]) -> int:
        count = int(arguments[2])
        error = self._connection(arguments[0]).send(bytes(count))
        return -error if error else count

    def _read(self, arguments: list[str]) -> int:
        client = self.sockets[int(arguments[0])]
        assert isinstance(client, Pulled)
        for event in client.events:
            if isinstance(event, tuple) and event[0] in ("reset", "failed"):
                return -int(event[1])
        taken = client.read(int(arguments[2]))
        return -errno.EAGAIN if taken < 0 else taken

    def _shutdown(self, arguments: list[str]) -> int:
        assert arguments[1] == "SHUT_WR"
        return -self._connection(arguments[0]).close()

    def _close(self, arguments: list[str]) -> int:
        if isinstance(listener := self.sockets[int(arguments[0])], Listener):
            listener.close()
            return 0
        self._connection(arguments[0]).close(final=True)
        return 0


def describe(sent: Sent) -> tuple[str, int, int, int | None]:
    """What the wire saw, as a script says it."""
    segment = sent.segment
    letters = "".join(letter for letter in "SFRPU." if segment.flags & FLAGS[letter])
    ack = segment.ack if segment.flags & ACK else None
    return letters, segment.seq, len(segment.data), ack


def expectation(packet: re.Match[str]) -> tuple[str, int, int, int | None]:
    """What a script wants to see."""
    letters = "".join(letter for letter in "SFRPU." if letter in packet["flags"])
    ack = int(packet["ack"]) if packet["ack"] else None
    return letters, int(packet["seq"]), int(packet["length"]), ack


def parse_options(text: str) -> Options:
    """Read options as scripts write them: ``mss 1000,sackOK,nop,wscale 7,sack 1:2 3:4``."""
    options = Options()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition(" ")
        if name == "mss":
            options.mss = int(value)
        elif name == "wscale":
            options.window_shift = int(value)
        elif name == "sackOK":
            options.sack_permitted = True
        elif name == "sack":
            pairs = (block.split(":") for block in value.split())
            options.sack = tuple((int(left), int(right)) for left, right in pairs)
        elif name != "nop":
            raise AssertionError(f"unknown option {part}")
    return options
