"""The golden tables on the virtual network: real segments, and every row equal.

Hosts 100.100.100.103 and .105 with profile windows2000 on a link of MTU 1492, so that one full
segment is 1,452 bytes (facts S0-2, S0-26). Driven by hand, without Trio.
"""

from __future__ import annotations

import csv
import re
import socket as std
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wsock import Stack, errors
from wsock.tdi import addresses
from wsock.tdimon import Trace
from wsock.virtual.network import Network
from wsock.virtual.tdi_provider import VirtualProvider

if TYPE_CHECKING:
    from wsock.afd import StreamEndpoint

GOLDEN = Path(__file__).parent.parent.parent / "golden"
CLIENT, SERVER = "100.100.100.103", "100.100.100.105"


def at(host: str, port: int) -> bytes:
    return addresses.pack(std.AF_INET, (host, port))


class World:
    """Client and server, watched."""

    def __init__(self) -> None:
        self.network = Network(seed=1)
        lan = self.network.segment("lan", "100.100.100.0/24", mtu=1492)
        self.trace = Trace()
        self.stacks: dict[str, Stack] = {}
        for side, address in (("client", CLIENT), ("server", SERVER)):
            host = self.network.host(side, lan, address, profile="windows2000")
            self.stacks[side] = Stack(side, provider=VirtualProvider(host))
            self.stacks[side].attach(self.trace.ring)
        self.seen = {"client": 0, "server": 0}

    def socket(self, side: str) -> StreamEndpoint:
        return self.stacks[side].open(std.AF_INET, std.SOCK_STREAM, 0)  # type: ignore[return-value]

    def expect(self, side: str, name: str) -> None:
        self.network.run_until_quiet()
        rows = self.trace.rows(side, profile="tdimon-2003")[self.seen[side] :]
        self.seen[side] += len(rows)
        found = [(*row[:5], re.sub("^Context:0x[0-9A-F]{8}$", "Context", row[5])) for row in rows]
        assert found == ([] if name == "-" else golden(name))


def golden(name: str) -> list[tuple[str, ...]]:
    with (GOLDEN / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [(*row[:5], re.sub("^Context:.*", "Context", row[5])) for row in rows]


def story(world: World, order: int, *, receive: bool) -> None:
    """Walk ORDER.tsv with one of the orders of closing."""
    with (GOLDEN / "ORDER.tsv").open(encoding="utf-8", newline="") as file:
        steps = list(csv.DictReader(file, delimiter="\t"))
    sockets: dict[str, StreamEndpoint] = {}
    for step in steps:
        if step["seq"].startswith(f"close{3 - order}"):
            continue
        if not receive and step["call"].startswith("recv"):
            continue
        act(world, sockets, step["side"], step["call"])
        world.expect("client", step["client_file"])
        world.expect("server", step["server_file"])


def act(world: World, sockets: dict[str, StreamEndpoint], side: str, call: str) -> None:
    name, _, argument = call.rstrip(")").partition("(")
    if name == "socket":
        sockets["listening" if side == "server" else "client"] = world.socket(side)
    elif name == "bind":
        host, _, port = argument.partition(":")
        sockets["listening" if side == "server" else "client"].bind(at(host, int(port)))
    elif name == "listen":
        sockets["listening"].listen(int(argument.partition("=")[2]))
    elif name == "connect":
        host, _, port = argument.partition(":")
        sockets["client"].connect(at(host, int(port)))
    elif name == "accept":
        sockets["accepted"] = sockets["listening"].accept()
        sockets["accepted"].begin()
    elif name == "send":
        sockets["client"].send(bytes(int(argument.partition(" ")[0])))
    elif name.startswith("recv"):
        wanted = int(re.findall(r"\d+", call)[0])
        assert len(sockets["accepted"].recv(wanted)) == wanted
    else:
        assert name == "closesocket", call
        sockets[argument].close()


@pytest.mark.parametrize("order", [1, 2], ids=["client closes first", "server closes first"])
@pytest.mark.parametrize("receive", [True, False], ids=["with recv", "without recv"])
def test_every_row_of_the_story(order: int, receive: bool) -> None:
    """Facts S0-3 to S0-39, S0-45: all six columns, both orders of closing."""
    world = World()
    story(world, order, receive=receive)
    for stack in world.stacks.values():
        assert stack.device.live_connections == 0
        assert stack.device.live_addresses == 0
        assert stack.endpoints == {}


def test_a_full_backlog_refuses_with_a_reset() -> None:
    """Fact S1-17, ruling R4: the third client of backlog 2 fails with 10061."""
    world = World()
    listener = world.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(2)
    clients = [world.socket("client") for _ in range(3)]
    for client in clients:
        client.connect(at(SERVER, 10000))
        world.network.run_until_quiet()
    assert [client.state for client in clients] == ["CONNECTED", "CONNECTED", "BOUND"]
    assert clients[2].connect_code == errors.WSAECONNREFUSED.winerror


def test_data_for_a_closed_waiting_client_resets() -> None:
    """Ruling R8: TDI_DISCONNECT ABORT of its own, then what was kept back is given back."""
    world = World()
    listener = world.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(2)
    client = world.socket("client")
    client.connect(at(SERVER, 10000))
    world.network.run_until_quiet()
    accepted = listener.accept()
    client.close()
    world.network.run_until_quiet()
    before = len(world.trace.rows("client", profile="tdimon-2003"))
    accepted.send(b"too late")
    world.network.run_until_quiet()
    rows = world.trace.rows("client", profile="tdimon-2003")[before:]
    assert [row.request for row in rows] == [
        "TDI_DISCONNECT", "TDI_DISASSOCIATE_ADDRESS", "IRP_MJ_CLEANUP", "IRP_MJ_CLOSE",
        *["TDI_SET_EVENT_HANDLER"] * 5, "IRP_MJ_CLEANUP",
    ]  # fmt: skip
    assert (rows[0].result, rows[0].detail) == ("SUCCESS", "ABORT")
    with pytest.raises(errors.WSAECONNABORTED):  # its own send provoked the reset
        accepted.recv(10)


def test_a_reset_of_a_closed_waiting_client_is_an_event() -> None:
    """Ruling R8: here it is the peer that aborts, and TDI_EVENT_DISCONNECT says so."""
    world = World()
    listener = world.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(2)
    client = world.socket("client")
    client.connect(at(SERVER, 10000))
    world.network.run_until_quiet()
    accepted = listener.accept()
    client.close()
    world.network.run_until_quiet()
    before = len(world.trace.rows("client", profile="tdimon-2003"))
    accepted.close(abort=True)
    world.network.run_until_quiet()
    rows = world.trace.rows("client", profile="tdimon-2003")[before:]
    assert (rows[0].request, rows[0].detail) == ("TDI_EVENT_DISCONNECT", "ABORT")
    assert rows[-1].request == "IRP_MJ_CLEANUP"


def test_the_pair_stays_reserved_after_the_objects_are_gone() -> None:
    """Ruling R15, fact S3-7: TIME-WAIT outlives the address object."""
    world = World()
    story(world, 1, receive=True)
    listener = world.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(2)
    again = world.socket("client")
    with pytest.raises(errors.WSAEADDRINUSE):
        reuse_pair(again)


def reuse_pair(again: StreamEndpoint) -> None:
    again.bind(at(CLIENT, 100))
    again.connect(at(SERVER, 10000))


def test_a_megabyte_goes_through_both_ways() -> None:
    """Facts S1-9, S3-15 to S3-17: order and integrity through refusals and closed windows."""
    world = World()
    listener = world.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(2)
    client = world.socket("client")
    client.connect(at(SERVER, 10000))
    world.network.run_until_quiet()
    accepted = listener.accept()
    data = bytes(range(256)) * 4096
    for near, far in ((client, accepted), (accepted, client)):
        near.send(data)
        got = bytearray()
        for _ in range(2000):
            world.network.run_for(0.01)
            got += everything(far)
        assert bytes(got) == data
        assert near.unsent == 0


def everything(endpoint: StreamEndpoint) -> bytes:
    """What can be received now."""
    got = bytearray()
    while True:
        try:
            got += endpoint.recv(5000)
        except errors.WSAEWOULDBLOCK:
            return bytes(got)


def test_urgent_data_and_resets_reach_the_endpoint() -> None:
    """Ruling R16: TDI_EVENT_RECEIVE_EXPEDITED; an abort is WSAECONNRESET at the peer."""
    world = World()
    listener = world.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(1)
    client = world.socket("client")
    client.connect(at(SERVER, 10000))
    world.network.run_until_quiet()
    accepted = listener.accept()
    client.send(b"!", std.MSG_OOB)
    world.network.run_until_quiet()
    assert accepted.recv(1, std.MSG_OOB) == b"!"
    client.close(abort=True)
    world.network.run_until_quiet()
    with pytest.raises(errors.WSAECONNRESET):
        accepted.recv(1)


def test_datagrams_and_the_port_that_is_not_there() -> None:
    """Facts S1-10, S4-2, S4-3: boundaries kept; port unreachable comes back as WSAECONNRESET."""
    world = World()
    server = world.stacks["server"].open(std.AF_INET, std.SOCK_DGRAM, 0)
    server.bind(at(SERVER, 5000))
    client = world.stacks["client"].open(std.AF_INET, std.SOCK_DGRAM, 0)
    client.sendto(b"one", at(SERVER, 5000))  # type: ignore[union-attr]
    client.sendto(b"", at(SERVER, 5000))  # type: ignore[union-attr]
    world.network.run_until_quiet()
    data, cut, source = server.recvfrom(100)  # type: ignore[union-attr]
    assert (data, cut, addresses.unpack(std.AF_INET, source)[0]) == (b"one", False, CLIENT)
    assert server.recvfrom(100)[0] == b""  # type: ignore[union-attr]
    client.sendto(b"lost", at(SERVER, 5001))  # type: ignore[union-attr]
    world.network.run_until_quiet()
    with pytest.raises(errors.WSAECONNRESET):
        client.recvfrom(100)  # type: ignore[union-attr]
