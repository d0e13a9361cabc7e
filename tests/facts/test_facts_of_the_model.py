"""Layers, from the wire to the program: S1-41 to S1-49, S0-42, and the pages that tell of them.

Their listings are run by tests/documentation; here it is what the tables say that is compared.
"""

from __future__ import annotations

import ast
import socket as std
import zlib
from typing import TYPE_CHECKING

import pytest
from calls_and_requests import HEAD, table
from hypothesis import given
from hypothesis import strategies as st

from tests.pages import ROOT, Page
from wsock import win32
from wsock.virtual import Network
from wsock.virtual.capture.explain import OSI_LAYERS
from wsock.virtual.wire import ethernet, ipv4

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Page("docs/network-model.md")
VIRTUAL = ROOT / "wsock" / "virtual"


def test_the_table_of_calls_is_that_of_the_traces() -> None:
    """S0-42: the page's table is the one that the golden traces give."""
    text = Page("docs/calls-and-requests.md").text
    assert text[text.index(HEAD) :].split("\n\n")[0].splitlines() == table()


def test_the_seven_layers() -> None:
    """S1-41: the page has them in order, as a packet's explanation names them, each with a duty."""
    rows = PAGE.rows("layer | name | its duty | examples | here")
    assert [(int(row[0]), row[1]) for row in rows] == [
        (number, name) for number, name, _ in OSI_LAYERS
    ]
    assert [name for _, name, _ in OSI_LAYERS] == [
        "application", "presentation", "session", "transport", "network", "data link", "physical",
    ]  # fmt: skip
    assert all(row[2] for row in rows)


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """File and imported module, of the core of the virtual network."""
    paths = sorted((VIRTUAL / folder).rglob("*.py")) if folder else sorted(VIRTUAL.glob("*.py"))
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield path.name, node.module
                yield from ((path.name, f"{node.module}.{name.name}") for name in node.names)


def test_no_layer_of_the_stack_reaches_past_its_neighbour() -> None:
    """S1-42: TCP knows nothing of frames, wires or adapters; wire formats know nobody above."""
    below = ("ethernet", "arp", "media", "interfaces", "conditions", "building", "capture")
    of_tcp = list(imports("tcp"))
    assert len(of_tcp) > 50
    for file, module in of_tcp:
        assert not any(part in module.split(".") for part in below), (file, module)
    for file, module in imports("wire"):
        if module.startswith("wsock.virtual"):
            assert module.split(".")[2] in {"wire", "checksum", "layers", "addresses"}, (
                file, module,
            )  # fmt: skip


def test_what_became_of_osi() -> None:
    """S1-43: the page says it: abstract, open, good for dividing; too complex to be built."""
    prose = " ".join(PAGE.text.split())
    assert "abstract, open to everybody, and good for dividing the work logically" in prose
    assert "too complex" in prose


@given(st.binary(max_size=1486), st.integers(min_value=0))
def test_a_frame_has_a_check_sequence(payload: bytes, place: int) -> None:
    """S1-44: CRC-32 over the padded frame; any flipped bit is seen. The page says HDLC."""
    frame = ethernet.build(b"\x02" * 6, b"\x04" * 6, ethernet.TYPE_IPV4, payload)
    line = ethernet.on_the_line(frame)
    assert len(line) == max(len(frame), 60) + 4
    assert zlib.crc32(line) == 0x2144DF1C  # the residue of every good frame
    parsed = ethernet.from_the_line(line)
    assert isinstance(parsed, ethernet.Frame)
    assert bytes(parsed.payload[: len(payload)]) == payload
    damaged = bytearray(line)
    damaged[place // 8 % len(line)] ^= 1 << place % 8
    assert ethernet.from_the_line(bytes(damaged)) == "bad frame check sequence"
    assert "Ethernet, SLIP, PPP, HDLC" in PAGE.text
    assert "HDLS" not in PAGE.text


def test_the_internet_layer() -> None:
    """S1-45: IP connects systems over a router; ICMP answers; IP, ICMP, IGMP are 4, 1 and 2."""
    net = Network(seed=1)
    near, _, far = net.chain("near", "router", "far")
    ping = near.start_ping(str(far.address), count=1, size=2000)
    net.run_until(lambda: ping.done)
    assert len(ping.replies) == 1
    rows = {row[1]: row for row in PAGE.rows("layer | name | its duty | examples | here")}
    assert rows["network"][3] == "IP, ICMP, IGMP"
    assert (std.IPPROTO_ICMP, std.IPPROTO_IGMP) == (1, 2)


def test_the_transport_layer() -> None:
    """S1-46: TCP and UDP, the protocols that carry data between applications."""
    rows = {row[1]: row for row in PAGE.rows("layer | name | its duty | examples | here")}
    assert rows["transport"][3] == "TCP, UDP"
    assert "between applications, complete and in order" in rows["transport"][2]


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_byte_orders(short: int, long: int) -> None:
    """S1-47: htons and htonl give the order of the network, ntohs and ntohl the machine's again."""
    assert win32.htons(short).to_bytes(2, "little") == short.to_bytes(2, "big")
    assert win32.htonl(long).to_bytes(4, "little") == long.to_bytes(4, "big")
    assert win32.ntohs(win32.htons(short)) == short
    assert win32.ntohl(win32.htonl(long)) == long


def test_the_four_layers() -> None:
    """S1-48: interface, internet, transfer, application; together they cover the seven."""
    rows = PAGE.rows("TCP/IP | OSI | what is in it")
    assert [row[0] for row in rows] == [
        "application layer", "transfer layer", "internet layer", "interface layer",
    ]  # fmt: skip
    covered = [int(number) for row in rows for number in row[1].split(", ")]
    assert sorted(covered) == [1, 2, 3, 4, 5, 6, 7]
    for row, names in zip(rows, ("Telnet FTP SMTP DNS HTTP", "TCP UDP", "IP ICMP IGMP", "drivers"),
                          strict=True):  # fmt: skip
        for name in names.split():
            assert name in row[2]


@pytest.mark.parametrize("protocol", [6, 17, 253])
def test_a_router_never_touches_what_ip_carries(protocol: int) -> None:
    """S1-49: TTL and checksum change, and not one byte behind the header, whatever it is."""
    net = Network(seed=1)
    near, router, far = net.chain("near", "router", "far")
    before, behind = net.capture(near), net.capture(far)
    carried = bytes(range(256))
    packet = ipv4.build(near.address.packed, far.address.packed, protocol, carried, ttl=9)
    net.inject(packet, router.wires[0])
    net.run_until_quiet()
    assert not router.tcp.connections()
    arrived = behind.packets[0].ip
    assert (arrived.ttl, bytes(arrived.payload)) == (8, carried)
    assert not any(
        packet.ip.payload == carried for packet in before.packets if packet.ip is not None
    )
    prose = " ".join(PAGE.text.split())
    assert "Circuit switching" in prose
    assert "flooding, which spreads a packet over the whole net until it meets its target" in prose
    assert "1G was analogue, 2G digital, 3G made a personal terminal" in prose
