"""The story of the traces, row by row: endpoints over a provider in memory.

The rows are those of a study of Winsock calls on Windows 2000 (facts S0-1 to S0-45); see
tests/golden. What a scripted wire cannot show (packets, TIME-WAIT) the virtual network shows.
"""

from __future__ import annotations

import csv
import re
import socket as std
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scripted import ScriptedProvider, Wire, at
from wsock import Stack, errors
from wsock.tdi import EventKind, Status
from wsock.tdimon import Trace

if TYPE_CHECKING:
    from wsock.afd import StreamEndpoint

GOLDEN = Path(__file__).parent.parent / "golden"
CLIENT, SERVER = "100.100.100.103", "100.100.100.105"
CONTEXT = re.compile(r"^Context:0x[0-9A-F]{8}$")


class Story:
    """Client and server on one wire, watched."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.trace = Trace()
        self.stacks = {
            side: Stack(side, provider=ScriptedProvider(self.wire, host))
            for side, host in (("client", CLIENT), ("server", SERVER))
        }
        for stack in self.stacks.values():
            stack.attach(self.trace.ring)
        self.seen = {"client": 0, "server": 0}
        self.contexts: dict[tuple[str, str], str] = {}

    def socket(self, side: str) -> StreamEndpoint:
        return self.stacks[side].open(std.AF_INET, std.SOCK_STREAM, 0)

    def new_rows(self, side: str) -> list[tuple[str, ...]]:
        """The rows that came since the last look, contexts made comparable."""
        rows = self.trace.rows(side, profile="tdimon-2003")[self.seen[side] :]
        self.seen[side] += len(rows)
        return [self._comparable(side, row) for row in rows]

    def _comparable(self, side: str, row: tuple[str, ...]) -> tuple[str, ...]:
        if not CONTEXT.match(row[5]):
            return tuple(row)
        known = self.contexts.setdefault((side, row[0]), row[5])
        assert known == row[5]
        assert len(set(self.contexts.values())) == len(self.contexts), "contexts are distinct"
        return (*row[:5], "Context")

    def expect(self, side: str, name: str, *, local: str = "", remote: str = "") -> None:
        """Compare what came on ``side`` with a golden file; ``-`` stands for no row at all."""
        self.wire.run()
        expected = [] if name == "-" else golden(name, local, remote)
        assert self.new_rows(side) == expected

    def expect_nothing(self) -> None:
        self.expect("client", "-")
        self.expect("server", "-")


def golden(name: str, local: str = "", remote: str = "") -> list[tuple[str, ...]]:
    with (GOLDEN / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    port = local.rpartition(":")[2]
    found = []
    for row in rows:
        cells = [
            cell.replace("@L0", f"0.0.0.0:{port}").replace("@L", local).replace("@R", remote)
            for cell in row
        ]
        if cells[5].startswith("Context:"):
            cells[5] = "Context"
        found.append(tuple(cells))
    return found


def begin(*, receive: bool) -> tuple[Story, StreamEndpoint, StreamEndpoint, StreamEndpoint]:
    """Steps 1 to 11 of ORDER.tsv, each with its rows."""
    story = Story()
    listener = story.socket("server")
    story.expect_nothing()
    listener.bind(at(SERVER, 10000))
    story.expect("server", "03-bind.server.tsv")
    listener.listen(2)
    story.expect("server", "04-listen.server.tsv")
    client = story.socket("client")
    story.expect_nothing()
    client.bind(at(CLIENT, 100))
    story.expect("client", "01-bind.client.tsv")
    client.connect(at(SERVER, 10000))
    story.expect("client", "02-connect.client.tsv")
    story.expect("server", "05-connect-indication.server.tsv")
    accepted = listener.accept()
    accepted.begin()
    story.expect("server", "06-accept.server.tsv")
    story.expect("client", "-")
    for length, sent, got in (
        (1000, "07-send-1000.client.tsv", "08-receive-1000.server.tsv"),
        (2000, "09-send-2000.client.tsv", "10-receive-2000.server.tsv"),
    ):
        assert client.send(bytes(length)) == length
        story.expect("client", sent)
        story.expect("server", got)
        if receive:
            assert accepted.recv(length) == bytes(length)
            story.expect_nothing()
    return story, client, listener, accepted


@pytest.mark.parametrize("receive", [True, False], ids=["with recv", "without recv"])
def test_the_story_closed_by_the_client_first(receive: bool) -> None:
    """Facts S0-3 to S0-33, S0-45: every row, also when the server never calls recv."""
    story, client, listener, accepted = begin(receive=receive)
    client.close()
    story.expect("client", "close1-1-client-closes.client.tsv")
    story.expect("server", "close1-1-client-closes.server.tsv")
    accepted.close()
    story.expect("client", "close1-2-accepted-closes.client.tsv")
    story.expect("server", "close1-2-accepted-closes.server.tsv")
    listener.close()
    story.expect("client", "close1-3-listener-closes.client.tsv")
    story.expect("server", "close1-3-listener-closes.server.tsv")
    assert_all_given_back(story)


@pytest.mark.parametrize("receive", [True, False], ids=["with recv", "without recv"])
def test_the_story_closed_by_the_server_first(receive: bool) -> None:
    """Facts S0-34 to S0-37."""
    story, client, listener, accepted = begin(receive=receive)
    accepted.close()
    story.expect("client", "close2-1-accepted-closes.client.tsv")
    story.expect("server", "close2-1-accepted-closes.server.tsv")
    listener.close()
    story.expect("client", "close2-2-listener-closes.client.tsv")
    story.expect("server", "close2-2-listener-closes.server.tsv")
    client.close()
    story.expect("client", "close2-3-client-closes.client.tsv")
    story.expect("server", "close2-3-client-closes.server.tsv")
    assert_all_given_back(story)


def assert_all_given_back(story: Story) -> None:
    """Facts S0-38, S0-39: as many objects closed as created, no endpoint left."""
    for stack in story.stacks.values():
        assert stack.device.live_connections == 0
        assert stack.device.live_addresses == 0
        assert stack.endpoints == {}


def server_only(backlog: int) -> tuple[Story, StreamEndpoint]:
    story = Story()
    listener = story.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(backlog)
    story.new_rows("server")
    return story, listener


def connect(story: Story, port: int = 0) -> StreamEndpoint:
    client = story.socket("client")
    if port:
        client.bind(at(CLIENT, port))
    client.connect(at(SERVER, 10000))
    return client


@pytest.mark.parametrize("backlog", [1, 2, 5, 17])
def test_listen_makes_as_many_objects_as_the_backlog(backlog: int) -> None:
    """Fact S0-18: backlog n gives 2n+1 rows, created and associated one after the other."""
    story = Story()
    listener = story.socket("server")
    listener.bind(at(SERVER, 10000))
    story.new_rows("server")
    listener.listen(backlog)
    assert len(story.new_rows("server")) == 2 * backlog + 1


def test_a_second_client_gets_the_object_made_at_accept() -> None:
    """Fact S0-22, ruling R3: Connect 3 serves it, and its accept makes Connect 4."""
    story, listener = server_only(2)
    connect(story, 100)
    story.wire.run()
    listener.accept()
    story.new_rows("server")
    connect(story, 101)
    story.wire.run()
    listener.accept()
    story.expect(
        "server",
        "derived/second-client.server.tsv",
        local=f"{SERVER}:10000",
        remote=f"{CLIENT}:101",
    )


def test_a_full_backlog_refuses() -> None:
    """Fact S1-17, ruling R4: INSUFFICIENT_RESOURCES, and connect fails with 10061."""
    story, _ = server_only(2)
    clients = [connect(story, 100 + number) for number in range(2)]
    story.wire.run()
    story.new_rows("server")
    third = connect(story, 102)
    story.expect(
        "server", "derived/backlog-full.server.tsv", local=f"{SERVER}:10000", remote=f"{CLIENT}:102"
    )
    assert [client.state for client in clients] == ["CONNECTED", "CONNECTED"]
    assert third.connect_code == errors.WSAECONNREFUSED.winerror
    assert third.state == "BOUND"


def test_connect_without_bind_binds_first() -> None:
    """Fact S0-16, ruling R14: the seven rows of bind, then the three of connect."""
    story, _ = server_only(2)
    story.new_rows("client")
    client = connect(story)
    story.wire.run()
    local = "{}:{}".format(*std_address(client.local_address()))
    story.expect(
        "client", "derived/connect-unbound.client.tsv", local=local, remote=f"{SERVER}:10000"
    )


def std_address(packed: bytes) -> tuple[str, int]:
    return std.inet_ntoa(packed[:4]), int.from_bytes(packed[4:], "big")


def test_a_listener_closed_first_leaves_its_address_to_the_accepted_socket() -> None:
    """Ruling R10: the address's own rows come when the last accepted socket is given back."""
    story, client, listener, accepted = begin(receive=True)
    del client
    listener.close()
    story.expect("server", "derived/listener-closes-first.server.tsv", local=f"{SERVER}:10000")
    accepted.close()
    story.expect("server", "derived/accepted-closes-last.server.tsv", local=f"{SERVER}:10000")


def test_1452_bytes_are_one_row_and_1453_are_two() -> None:
    """Fact S0-27."""
    story, client, _, _ = begin(receive=True)
    for length, rows in ((1452, 1), (1453, 2)):
        client.send(bytes(length))
        story.wire.run()
        assert len(story.new_rows("server")) == rows


def test_the_server_sends_as_the_client_does() -> None:
    """Fact S0-23: the rows of data, mirrored."""
    story, _, _, accepted = begin(receive=True)
    accepted.send(bytes(1000))
    story.wire.run()
    assert [row[:2] + row[4:] for row in story.new_rows("server")] == [
        ("Connect 2", "TDI_SEND", "SUCCESS", "Length:1000")
    ]
    assert [row[:2] + row[4:] for row in story.new_rows("client")] == [
        (
            "connect",
            "TDI_EVENT_RECEIVE",
            "SUCCESS",
            "Length:1000 Flags: ENTIRE_MESSAGE LOOKAHEAD DISPATCH",
        )
    ]


def test_handlers_belong_to_the_address_and_data_to_the_connection() -> None:
    """Fact S0-40: the address has no send of a stream, the connection no handler."""
    _, client, _, _ = begin(receive=True)
    assert not hasattr(client.connection, "set_event_handler")
    assert not hasattr(client.address, "send")
    assert client.address is not None
    assert client.address.handlers[EventKind.RECEIVE] is not None
    assert client.address.handlers[EventKind.CONNECT] is None


def test_the_program_behaves_the_same_without_a_tracer() -> None:
    """Fact S0-1: attaching changes no result."""
    results = []
    for watched in (True, False):
        story = Story()
        if not watched:
            for stack in story.stacks.values():
                stack.detach()
        listener = story.socket("server")
        listener.bind(at(SERVER, 10000))
        listener.listen(2)
        client = connect(story, 100)
        story.wire.run()
        accepted = listener.accept()
        client.send(b"abc" * 1000)
        story.wire.run()
        results.append((accepted.recv(5000), client.state, accepted.state))
        assert bool(story.trace.rows()) is watched
    assert results[0] == results[1]


def test_attaching_to_live_sockets_writes_from_then_on() -> None:
    """Ruling A5: classes are swapped on live objects, there and back."""
    story = Story()
    for stack in story.stacks.values():
        stack.detach()
    listener = story.socket("server")
    listener.bind(at(SERVER, 10000))
    listener.listen(1)
    assert story.new_rows("server") == []
    story.stacks["server"].attach(story.trace.ring)
    connect(story, 100)
    story.wire.run()
    assert [row[1] for row in story.new_rows("server")] == ["TDI_EVENT_CONNECT", "TDI_ACCEPT"]
    story.stacks["server"].detach()
    listener.accept()
    assert story.new_rows("server") == []


def test_data_for_a_closed_waiting_client_resets() -> None:
    """Ruling R8: TDI_DISCONNECT ABORT, then the release rows."""
    story, client, _, accepted = begin(receive=True)
    client.close()
    story.wire.run()
    story.new_rows("client")
    accepted.send(b"too late")
    story.wire.run()
    rows = story.new_rows("client")
    assert rows[0][1] == "TDI_DISCONNECT"
    assert rows[0][5] == "ABORT"
    assert [row[1] for row in rows[1:4]] == [
        "TDI_DISASSOCIATE_ADDRESS",
        "IRP_MJ_CLEANUP",
        "IRP_MJ_CLOSE",
    ]
    with pytest.raises(errors.WSAECONNABORTED):  # its own send provoked the reset
        accepted.recv(10)


def test_a_refused_receive_resumes_with_one_request() -> None:
    """tdi-afd 6: beyond SO_RCVBUF the transport keeps the data until recv makes room."""
    story, client, _, accepted = begin(receive=True)
    client.send(bytes(8192))
    story.wire.run()
    story.new_rows("server")
    client.send(b"beyond")
    story.wire.run()
    refused = story.new_rows("server")
    assert [row[1:2] + row[4:5] for row in refused] == [
        ("TDI_EVENT_RECEIVE", Status.DATA_NOT_ACCEPTED.name)
    ]
    assert accepted.recv(8192) == bytes(8192)
    assert [row[1] for row in story.new_rows("server")] == ["TDI_RECEIVE"]
    assert accepted.recv(100) == b"beyond"


def test_what_comes_before_accept_is_not_lost() -> None:
    """The connection exists before accept (fact S0-14), so its data waits with it, in order."""
    story, listener = server_only(2)
    first, second = connect(story, 100), connect(story, 101)
    story.wire.run()
    first.send(b"one")
    second.send(b"two")
    second.close()
    story.wire.run()
    assert [listener.accept().recv(10) for _ in range(2)] == [b"one", b"two"]
    assert listener.rx is None


def test_a_listener_that_closes_resets_those_who_wait_with_data() -> None:
    """Ruling R10: pending connections, oldest first, TDI_DISCONNECT ABORT and three rows each."""
    story, listener = server_only(2)
    client = connect(story, 100)
    story.wire.run()
    client.send(b"unheard")
    story.wire.run()
    story.new_rows("server")
    listener.close()
    story.wire.run()
    assert [row[1] for row in story.new_rows("server")][1:5] == [
        "TDI_DISCONNECT",
        "TDI_DISASSOCIATE_ADDRESS",
        "IRP_MJ_CLEANUP",
        "IRP_MJ_CLOSE",
    ]
    with pytest.raises(errors.WSAECONNRESET):
        client.recv(10)
    assert story.stacks["server"].endpoints == {}
