"""Data, both orders of closing, and how the monitor shows them: S0-23 to S0-45.

The study watched a client and a server on Windows 2000 with a monitor, call by call; see
tests/golden. Each docstring begins with the number of the fact, and docs/facts.md lists them.
"""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest
from the_story import CLIENT, PAYLOAD, SERVER, World, comparable, golden, told

import wsock
from tests.tdimon.story import golden_text
from wsock.tdi import EventKind
from wsock.tdimon.formats import read_tsv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsock.tdimon import Row

HANDLERS = ("Error", "Disconnect", "Receive", "Expedited Receive", "Chained Receive")
RELEASE = ["TDI_DISASSOCIATE_ADDRESS", "IRP_MJ_CLEANUP", "IRP_MJ_CLOSE"]
BOTH_ORDERS = pytest.mark.parametrize("order", [1, 2], ids=["client first", "server first"])


def requests(rows: Iterable[Row]) -> list[str]:
    return [row.request for row in rows]


def shows(rows: list[Row], name: str) -> bool:
    """Whether the rows are exactly those of a golden table."""
    return comparable(rows) == golden(name)


# Data


def test_the_server_sends_as_the_client_does() -> None:
    """S0-23: the rows of data with the roles exchanged are the same rows."""

    story = told()

    async def program(world: World) -> None:
        here = await world.connected()
        for length in (1000, 2000):
            await here.accepted.send(bytes(length))
            mirrored = [
                row[1:2] + row[4:]
                for side in ("server", "client") for row in await world.new_rows(side)
            ]  # fmt: skip
            step = story.step(f"send({length}")
            assert mirrored == [row[1:2] + row[4:] for row in (*step.client, *step.server)]

    World().run(program)


@pytest.mark.parametrize(
    ("length", "name"), [(1000, "07-send-1000.client.tsv"), (2000, "09-send-2000.client.tsv")]
)
def test_one_row_for_each_send(length: int, name: str) -> None:
    """S0-24: TDI_SEND with the length of the call, however many segments it takes."""
    step = told().step(f"send({length}")
    assert shows(step.client, name)
    assert [(row.request, row.detail) for row in step.client] == [("TDI_SEND", f"Length:{length}")]


def test_a_thousand_bytes_arrive() -> None:
    """S0-25: one TDI_EVENT_RECEIVE with all of it, and nobody called recv."""
    (row,) = told(reading=False).step("send(1000").server
    assert shows([row], "08-receive-1000.server.tsv")
    assert (row.request, row.result) == ("TDI_EVENT_RECEIVE", "SUCCESS")
    assert row.detail == "Length:1000 Flags: ENTIRE_MESSAGE LOOKAHEAD DISPATCH"


def test_two_thousand_bytes_arrive() -> None:
    """S0-26: TDI_EVENT_RECEIVE with 1452 and MORE_PROCESSING_REQUIRED, then TDI_RECEIVE."""
    event, receive = told(reading=False).step("send(2000").server
    assert shows([event, receive], "10-receive-2000.server.tsv")
    assert (event.request, event.result) == ("TDI_EVENT_RECEIVE", "MORE_PROCESSING_REQUIRED")
    assert event.detail == "Length:1452 Flags: LOOKAHEAD DISPATCH"
    assert (receive.request, receive.result) == ("TDI_RECEIVE", "SUCCESS")


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (1, ["TDI_EVENT_RECEIVE"]),
        (1452, ["TDI_EVENT_RECEIVE"]),
        (1453, ["TDI_EVENT_RECEIVE", "TDI_RECEIVE"]),
        (5000, ["TDI_EVENT_RECEIVE", "TDI_RECEIVE"]),
    ],
)
def test_more_than_1452_bytes_take_a_request(length: int, expected: list[str]) -> None:
    """S0-27: up to 1452 bytes the event alone, beyond it the event and a TDI_RECEIVE."""

    async def program(world: World) -> None:
        here = await world.connected()
        await here.client.send(bytes(length))
        assert requests(await world.new_rows("server")) == expected

    World().run(program)


def test_tdi_receive_is_not_recv() -> None:
    """S0-28: recv() writes no row; what TDI_RECEIVE fetched stays until somebody reads it."""
    for length in (1000, 2000):
        step = told().step(f"recv() until {length}")
        assert step.value == PAYLOAD[length]
        assert (step.client, step.server) == ([], [])


# Close


def test_who_closes_first_decides_the_rows() -> None:
    """S0-29: each order of closing has its own rows, on either side."""
    closing = {
        order: [
            (side, requests(getattr(step, side)))
            for step in told(order).steps[-3:] for side in ("client", "server")
        ]
        for order in (1, 2)
    }  # fmt: skip
    assert closing[1] != closing[2]
    for order, client, server in ((1, 11, 18), (2, 11, 17)):
        rows = closing[order]
        assert sum(len(found) for side, found in rows if side == "client") == client
        assert sum(len(found) for side, found in rows if side == "server") == server


def test_the_client_closes_first() -> None:
    """S0-30: TDI_DISCONNECT RELEASE with the peer's address, and nothing else."""
    (row,) = told(1).step("closesocket(client)").client
    assert shows([row], "close1-1-client-closes.client.tsv")
    assert (row.object, row.request, row.remote, row.detail) == (
        "connect", "TDI_DISCONNECT", "100.100.100.105:10000", "RELEASE",
    )  # fmt: skip


def test_the_server_learns_of_the_release() -> None:
    """S0-31: at that moment TDI_EVENT_DISCONNECT on the address object, without any call."""
    (row,) = told(1).step("closesocket(client)").server
    assert shows([row], "close1-1-client-closes.server.tsv")
    assert (row.object, row.request, row.result, row.detail) == (
        "address", "TDI_EVENT_DISCONNECT", "SUCCESS", "RELEASE",
    )  # fmt: skip


def test_then_the_server_closes_the_accepted_socket() -> None:
    """S0-32: Connect 2 is released and given back; the client gives back all it had."""
    step = told(1).step("closesocket(accepted)")
    assert shows(step.server, "close1-2-accepted-closes.server.tsv")
    assert {row.object for row in step.server} == {"Connect 2"}
    assert requests(step.server) == ["TDI_DISCONNECT", *RELEASE]
    assert shows(step.client, "close1-2-accepted-closes.client.tsv")
    assert requests(step.client) == [
        "TDI_EVENT_DISCONNECT", *RELEASE, *["TDI_SET_EVENT_HANDLER"] * 5, "IRP_MJ_CLEANUP",
    ]  # fmt: skip
    assert [row.detail for row in step.client[4:9]] == [f"{name} Event: NULL" for name in HANDLERS]


def test_then_the_server_closes_the_listening_socket() -> None:
    """S0-33: the connect handler, Connect 3, Connect 1, five handlers, the address; no reaction."""
    step = told(1).step("closesocket(listening)")
    assert shows(step.server, "close1-3-listener-closes.server.tsv")
    assert step.server[0].detail == "Connect Event: NULL"
    assert [row.object for row in step.server[1:7]] == ["Connect 3"] * 3 + ["Connect 1"] * 3
    assert requests(step.server[1:7]) == RELEASE * 2
    assert [row.detail for row in step.server[7:12]] == [f"{name} Event: NULL" for name in HANDLERS]
    assert (step.server[12].object, step.server[12].request) == ("address", "IRP_MJ_CLEANUP")
    assert len(step.server) == 13
    assert step.client == []


def test_the_server_closes_first() -> None:
    """S0-34: the same four rows at once; the client shows the event alone."""
    step = told(2).step("closesocket(accepted)")
    assert shows(step.server, "close2-1-accepted-closes.server.tsv")
    assert step.server == told(1).step("closesocket(accepted)").server
    (row,) = step.client
    assert shows([row], "close2-1-accepted-closes.client.tsv")
    assert (row.request, row.result, row.detail) == ("TDI_EVENT_DISCONNECT", "SUCCESS", "RELEASE")


def test_then_its_listening_socket() -> None:
    """S0-35: the same thirteen rows as in the other order; the client shows nothing."""
    step = told(2).step("closesocket(listening)")
    assert shows(step.server, "close2-2-listener-closes.server.tsv")
    assert step.server == told(1).step("closesocket(listening)").server
    assert step.client == []


def test_the_client_closes_last() -> None:
    """S0-36: disconnect, connection, five handlers and address in one go; the server nothing."""
    step = told(2).step("closesocket(client)")
    assert shows(step.client, "close2-3-client-closes.client.tsv")
    assert requests(step.client) == [
        "TDI_DISCONNECT", *RELEASE, *["TDI_SET_EVENT_HANDLER"] * 5, "IRP_MJ_CLEANUP",
    ]  # fmt: skip
    assert step.client[0].remote == "100.100.100.105:10000"
    assert step.server == []


@BOTH_ORDERS
def test_the_peers_end_is_learnt_through_the_handler(order: int) -> None:
    """S0-37: FD_CLOSE, and recv of 0 bytes, come with TDI_EVENT_DISCONNECT and not before."""

    async def program(world: World) -> None:
        here = await world.connected()
        closing, told_of_it = (
            (here.client, here.accepted) if order == 1 else (here.accepted, here.client)
        )
        side = "server" if order == 1 else "client"
        async with wsock.Window() as window:
            told_of_it.async_select(window, wsock.WM_USER, wsock.FD_READ | wsock.FD_CLOSE)
            await world.network.settle()
            assert window.peek() is None
            with pytest.raises(wsock.WSAEWOULDBLOCK):
                told_of_it.recv_nowait(100)
            assert await world.new_rows(side) == []
            closing.close()
            (row,) = await world.new_rows(side)
            assert row.request == "TDI_EVENT_DISCONNECT"
            message = await window.get()
            assert (message.event, message.error) == (wsock.FD_CLOSE, 0)
            assert told_of_it.recv_nowait(100) == b""
            told_of_it.close()

    World().run(program)


@BOTH_ORDERS
def test_every_object_is_given_back(order: int) -> None:
    """S0-38: connections by three rows, addresses by clearing handlers and IRP_MJ_CLEANUP."""
    story = told(order)
    assert story.objects == {"client": (0, 0), "server": (0, 0)}
    for side in ("client", "server"):
        rows = story.rows(side)
        for name in {row.object for row in rows} - {"address"}:
            assert requests(row for row in rows if row.object == name)[-3:] == RELEASE
        cleared = [row.detail for row in rows if row.detail.endswith("Event: NULL")]
        assert cleared[-5:] == [f"{name} Event: NULL" for name in HANDLERS]
        assert [row.request for row in rows if row.object == "address"][-1] == "IRP_MJ_CLEANUP"


@BOTH_ORDERS
def test_unused_objects_go_with_the_listener(order: int) -> None:
    """S0-39: as many connection objects are closed as were created, used or not."""
    rows = told(order).rows("server")
    created = [row.object for row in rows if row.request == "IRP_MJ_CREATE"]
    closed = [row.object for row in rows if row.request == "IRP_MJ_CLOSE"]
    assert created == ["address", "Connect 1", "Connect 2", "Connect 3"]
    assert sorted(closed) == created[1:]
    at_the_end = told(order).step("closesocket(listening)").server
    assert [row.object for row in at_the_end if row.request == "IRP_MJ_CLOSE"] == [
        "Connect 3", "Connect 1",
    ]  # fmt: skip


@BOTH_ORDERS
def test_who_does_what(order: int) -> None:
    """S0-40: handlers are the address's, connection and data the connection object's.

    A handler on a connection, or a send of stream data through an address, does not even exist.
    """
    of_the_address = {"TDI_SET_EVENT_HANDLER", "TDI_EVENT_CONNECT", "TDI_EVENT_DISCONNECT"}
    of_the_connection = {
        "TDI_ASSOCIATE_ADDRESS", "TDI_CONNECT", "TDI_ACCEPT", "TDI_SEND", "TDI_RECEIVE",
        "TDI_EVENT_RECEIVE", "TDI_DISCONNECT", "TDI_DISASSOCIATE_ADDRESS",
    }  # fmt: skip
    for side in ("client", "server"):
        rows = told(order).rows(side)
        assert {row.object for row in rows if row.request in of_the_address} == {"address"}
        assert "address" not in {row.object for row in rows if row.request in of_the_connection}

    async def program(world: World) -> None:
        here = await world.connected()
        endpoint = here.client._endpoint
        assert endpoint.address.handlers[EventKind.RECEIVE] is not None
        assert not hasattr(endpoint.connection, "set_event_handler")
        assert not hasattr(endpoint.connection, "handlers")
        assert not hasattr(endpoint.address, "send")

    World().run(program)


def test_a_datagram_exchange_has_rows_too() -> None:
    """S0-41: UDP, watched the same way: handlers for errors and datagrams, no connection."""

    async def program(world: World) -> None:
        server, client = (world.socket(side, type=std.SOCK_DGRAM) for side in ("server", "client"))
        server.bind(SERVER)
        assert [(row.request, row.local, row.detail) for row in await world.new_rows("server")] == [
            ("IRP_MJ_CREATE", "UDP:100.100.100.105:10000", "Address Open"),
            ("TDI_SET_EVENT_HANDLER", "UDP:100.100.100.105:10000", "Error Event"),
            ("TDI_SET_EVENT_HANDLER", "UDP:100.100.100.105:10000", "Receive Datagram Event"),
            ("TDI_QUERY_INFORMATION", "UDP:100.100.100.105:10000", "Query Address"),
        ]
        client.bind(CLIENT)
        await world.new_rows("client")
        await client.sendto(b"x" * 1000, SERVER)
        (sent,), (came,) = await world.new_rows("client"), await world.new_rows("server")
        assert (sent.request, sent.remote, sent.detail) == (
            "TDI_SEND_DATAGRAM", "100.100.100.105:10000", "Length:1000",
        )  # fmt: skip
        assert (came.request, came.remote, came.detail) == (
            "TDI_EVENT_RECEIVE_DATAGRAM", "100.100.100.103:100", "Length:1000",
        )  # fmt: skip
        assert await server.recvfrom(2000) == (b"x" * 1000, CLIENT)
        server.close()
        assert [(row.request, row.detail) for row in await world.new_rows("server")] == [
            ("TDI_SET_EVENT_HANDLER", "Error Event: NULL"),
            ("TDI_SET_EVENT_HANDLER", "Receive Datagram Event: NULL"),
            ("IRP_MJ_CLEANUP", ""),
        ]

    World().run(program)


# Display


@BOTH_ORDERS
@pytest.mark.parametrize("side", ["client", "server"])
def test_the_text_of_the_monitor(order: int, side: str) -> None:
    """S0-43: six columns (object, request, local, remote, result, detail), character by character.

    The detail is what the monitor printed behind the status: Address Open, the event's name,
    Context, the associated address, Query Address, Length and Flags, RELEASE, ``Event: NULL``.
    """
    text = told(order).table[side]
    expected = golden_text(side, order).splitlines()
    assert expected[0].split("\t") == ["object", "request", "local", "remote", "result", "detail"]
    assert comparable(line.split("\t") for line in text.splitlines()) == comparable(
        line.split("\t") for line in expected[1:]
    )
    assert len(read_tsv(golden_text(side, order))) == len(expected) - 1


def test_how_addresses_are_printed() -> None:
    """S0-44: TCP:ip:port, and TCP:Connection obj for a connection that has none."""
    for side, (host, port) in (("client", CLIENT), ("server", SERVER)):
        rows = told().rows(side)
        assert {row.local for row in rows} == {f"TCP:{host}:{port}", "TCP:Connection obj"}
        without = {row.request for row in rows if row.local == "TCP:Connection obj"}
        assert without == {
            "IRP_MJ_CREATE", "TDI_ASSOCIATE_ADDRESS", "IRP_MJ_CLEANUP", "IRP_MJ_CLOSE",
        }  # fmt: skip


@BOTH_ORDERS
def test_a_server_that_never_reads(order: int) -> None:
    """S0-45: without any recv the rows of data and of the graceful close are the same."""
    with_recv = [step for step in told(order).steps if not step.call.startswith("recv")]
    without = told(order, reading=False).steps
    for one, other in zip(with_recv, without, strict=True):
        assert one.call == other.call
        for side in ("client", "server"):
            assert comparable(getattr(one, side)) == comparable(getattr(other, side))
        assert "RST-ACK" not in other.packets
        assert "RST" not in other.packets
