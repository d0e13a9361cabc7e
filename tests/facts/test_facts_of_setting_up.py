"""socket, bind, listen, connect, accept, and the requests below them: S0-1 to S0-22.

The study watched a client and a server on Windows 2000 with a monitor, call by call; see
tests/golden. Each docstring begins with the number of the fact, and docs/facts.md lists them.
"""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Any

import pytest
from the_story import CLIENT, PAYLOAD, SERVER, Story, World, comparable, golden, told

import wsock
from wsock import win32

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


# The scenario, and its calls


@BOTH_ORDERS
def test_watching_changes_nothing(order: int) -> None:
    """S0-1: the same program, with and without the monitor: same results, same packets."""
    watched, unwatched = told(order), told(order, watched=False)
    assert watched.rows("client")
    assert not unwatched.rows("client")
    assert not unwatched.rows("server")

    def results(story: Story) -> list[Any]:
        return [
            (step.call, step.packets, step.states)
            + ((step.value,) if isinstance(step.value, (int, bytes)) else ())
            for step in story.steps
        ]

    assert results(watched) == results(unwatched)
    assert watched.network.digest() == unwatched.network.digest()


def test_the_addresses_of_the_scenario() -> None:
    """S0-2: the client is 100.100.100.103 port 100, the server 100.100.100.105 port 10000."""
    (connected,) = [row for row in told().rows("client") if row.request == "TDI_CONNECT"]
    assert connected.local == "TCP:100.100.100.103:100"
    assert connected.remote == "TCP:100.100.100.105:10000"
    (syn,) = [p for p in told().network.captures[0].packets if p.name == "SYN"]
    assert (std.inet_ntoa(syn.ip.source), std.inet_ntoa(syn.ip.destination)) == (
        "100.100.100.103", "100.100.100.105",
    )  # fmt: skip
    assert syn.ports == (100, 10000)


@pytest.mark.parametrize("number", [0, 1], ids=["server", "client"])
def test_socket_alone_is_no_request(number: int) -> None:
    """S0-3: socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) makes a socket and writes no row."""
    step = told().step("socket", number)
    assert isinstance(step.value, wsock.Socket)
    assert (step.value.family, step.value.type, step.value.proto) == (
        std.AF_INET, std.SOCK_STREAM, std.IPPROTO_TCP,
    )  # fmt: skip
    assert (step.client, step.server) == ([], [])


def test_port_0_and_address_0_are_the_systems_choice() -> None:
    """S0-4: after bind to 0 and 0 the port is known, after connect the address too."""

    async def program(world: World) -> None:
        world.listener()
        client = world.socket("client")
        client.bind(("0.0.0.0", 0))
        host, port = client.getsockname()
        assert (host, port > 0) == ("0.0.0.0", True)
        await client.connect(SERVER)
        assert client.getsockname() == ("100.100.100.103", port)

    World().run(program)


@pytest.mark.parametrize(
    ("number", "text"), [(0x67646464, "100.100.100.103"), (0x69646464, "100.100.100.105")]
)
def test_an_address_as_a_number(number: int, text: str) -> None:
    """S0-5: 0x67646464 is 100.100.100.103 as it lies in memory; the port goes through htons."""
    assert win32.inet_addr(text) == number
    address = win32.sockaddr_in()
    assert bytes(address) == bytes(16)
    address.sin_family = win32.AF_INET
    address.sin_port = win32.htons(10000)
    address.sin_addr.s_addr = number
    assert win32.inet_ntoa(address.sin_addr) == text
    assert bytes(address) == b"\x02\x00\x27\x10" + std.inet_aton(text) + bytes(8)
    bound: list[Any] = []

    def bind_there() -> None:
        win32.WSAStartup(win32.MAKEWORD(2, 2), win32.WSADATA())
        s = win32.socket(win32.AF_INET, win32.SOCK_STREAM, 0)
        assert win32.bind(s, address) == 0
        bound.append(win32.socket_object(s).getsockname())
        win32.closesocket(s)

    async def program(world: World) -> None:
        side = "client" if text == CLIENT[0] else "server"
        with world.hosts[side]:
            await win32.start(bind_there)

    World().run(program)
    assert bound == [(text, 10000)]


def test_the_handshake_is_inside_connect() -> None:
    """S0-6: SYN, SYN-ACK, ACK cross between the call and its return, and nothing before."""
    story = told()
    number = story.steps.index(story.step("connect"))
    assert all(step.packets == [] for step in story.steps[:number])
    assert story.steps[number].packets_at_return == ["SYN", "SYN-ACK", "ACK"]
    assert story.steps[number].states["client"] == "CONNECTED"


@pytest.mark.parametrize("length", [1000, 2000])
def test_send_returns_its_length_and_the_bytes_arrive(length: int) -> None:
    """S0-7: send of 1000 bytes returns 1000, and the peer receives the same bytes."""
    assert told().step(f"send({length}").value == length
    assert told().step(f"recv() until {length}").value == PAYLOAD[length]


def test_closesocket_ends_the_connection_and_the_socket() -> None:
    """S0-8: a FIN goes out; every later call on the socket is WSAENOTSOCK."""

    async def program(world: World) -> None:
        here = await world.connected()
        before = len(world.segments())
        here.client.close()
        await world.network.settle()
        assert world.segments()[before] == "FIN-ACK"
        for call in (
            here.client.getsockname,
            lambda: here.client.send_nowait(b"x"),
            here.client.listen,
        ):
            with pytest.raises(wsock.WSAENOTSOCK):
                call()

    World().run(program)


def test_accept_makes_a_new_socket() -> None:
    """S0-9: another socket for that client, with its address; each is closed separately."""
    accepted, peer = told().step("accept").value
    assert accepted is not told().step("socket").value
    assert peer == CLIENT

    async def program(world: World) -> None:
        here = await world.connected()
        assert here.accepted.handle != here.listener.handle
        second = world.socket("client")
        await second.connect(SERVER)
        here.accepted.close()
        also = await world.accept(here.listener)
        here.listener.close()
        await second.send(b"still there")
        assert await also.recv(100) == b"still there"
        also.close()

    World().run(program)


# bind, connect, listen, accept


@pytest.mark.parametrize("side", ["client", "server"])
def test_what_bind_asks_for(side: str) -> None:
    """S0-10: an address object, five handlers in this order, its address: seven rows."""
    number = 0 if side == "server" else 1
    rows = getattr(told().step("bind", number), side)
    assert shows(rows, "01-bind.client.tsv" if side == "client" else "03-bind.server.tsv")
    assert requests(rows) == [
        "IRP_MJ_CREATE", *["TDI_SET_EVENT_HANDLER"] * 5, "TDI_QUERY_INFORMATION",
    ]  # fmt: skip
    assert [row.detail for row in rows] == [
        "Address Open", *(f"{name} Event" for name in HANDLERS), "Query Address",
    ]  # fmt: skip


def test_handlers_are_called_without_a_call() -> None:
    """S0-11: data, and the peer's disconnect, reach the server while its program does nothing."""
    story = told(reading=False)
    by_the_client = [story.step("send"), story.step("send", 1), story.step("closesocket(client)")]
    assert [step.server[0].request for step in by_the_client] == [
        "TDI_EVENT_RECEIVE", "TDI_EVENT_RECEIVE", "TDI_EVENT_DISCONNECT",
    ]  # fmt: skip
    assert not [step for step in story.steps if step.call.startswith("recv")]


def test_the_connect_handler_belongs_to_listen() -> None:
    """S0-12: bind registers no connect event; listen does, and a client never."""
    story = told()
    with_it = [
        step.call for step in story.steps
        for row in step.server if row.detail == "Connect Event"
    ]  # fmt: skip
    assert with_it == ["listen(backlog=2)"]
    assert not [row for row in story.rows("client") if "Connect Event" in row.detail]


def test_what_connect_asks_for() -> None:
    """S0-13: a connection object with a context, its association, TDI_CONNECT: three rows."""
    rows = told().step("connect").client
    assert shows(rows, "02-connect.client.tsv")
    assert requests(rows) == ["IRP_MJ_CREATE", "TDI_ASSOCIATE_ADDRESS", "TDI_CONNECT"]
    assert rows[0].detail.startswith("Context:0x")
    assert rows[1].detail == "TCP:100.100.100.103:100"


def test_the_connection_exists_before_accept() -> None:
    """S0-14: TDI_EVENT_CONNECT and TDI_ACCEPT come at the client's connect, which succeeds."""
    story = told()
    connect = story.step("connect")
    assert story.steps.index(connect) < story.steps.index(story.step("accept"))
    assert shows(connect.server, "05-connect-indication.server.tsv")
    assert connect.states["client"] == "CONNECTED"


@BOTH_ORDERS
def test_data_goes_through_the_connection_object(order: int) -> None:
    """S0-15: TDI_SEND, TDI_EVENT_RECEIVE and TDI_RECEIVE name a connection, never the address."""
    story = told(order)
    for side, name in (("client", "connect"), ("server", "Connect 2")):
        data = [
            row for row in story.rows(side)
            if row.request in {"TDI_SEND", "TDI_EVENT_RECEIVE", "TDI_RECEIVE"}
        ]  # fmt: skip
        assert {row.object for row in data} == {name}


def test_connect_without_bind() -> None:
    """S0-16: the seven rows of bind come first; address and port are what the system picks."""

    async def program(world: World) -> None:
        world.listener()
        client = world.socket("client")
        await client.connect(SERVER)
        host, port = client.getsockname()
        assert (host, port > 0) == (CLIENT[0], True)
        names = {"L": f"{host}:{port}", "L0": f"0.0.0.0:{port}", "R": "100.100.100.105:10000"}
        rows = await world.new_rows("client")
        assert comparable(rows) == golden("derived/connect-unbound.client.tsv", **names)
        assert len(rows) == 10

    World().run(program)


def test_bind_means_the_same_on_both_sides() -> None:
    """S0-17: the rows of server and client differ in the address alone."""
    server, client = told().step("bind").server, told().step("bind", 1).client
    assert [row._replace(local="TCP:100.100.100.103:100") for row in server] == client


@pytest.mark.parametrize("backlog", [0, 1, 2, 3, 7, 200, wsock.SOMAXCONN])
def test_listen_makes_its_objects_beforehand(backlog: int) -> None:
    """S0-18: as many connection objects as the backlog, then the connect handler: 2n+1 rows.

    At least one, and at most 200.
    """
    places = min(max(backlog, 1), 200)
    assert shows(told().step("listen").server, "04-listen.server.tsv")

    async def program(world: World) -> None:
        listener = world.socket("server")
        listener.bind(SERVER)
        await world.new_rows("server")
        listener.listen(backlog)
        rows = await world.new_rows("server")
        assert requests(rows) == [
            *["IRP_MJ_CREATE", "TDI_ASSOCIATE_ADDRESS"] * places, "TDI_SET_EVENT_HANDLER",
        ]  # fmt: skip
        names = [f"Connect {number}" for number in range(1, places + 1)]
        assert [row.object for row in rows[:-1:2]] == names
        assert [row.object for row in rows[1::2]] == names
        assert rows[-1].detail == "Connect Event"

    World().run(program)


def test_a_client_comes_in_without_a_call() -> None:
    """S0-19: the event is the address's, the accept that of the object made last (Connect 2)."""
    event, accept = told().step("connect").server
    assert (event.object, event.request, event.result) == (
        "address", "TDI_EVENT_CONNECT", "MORE_PROCESSING_REQUIRED",
    )  # fmt: skip
    assert (accept.object, accept.request, accept.result) == ("Connect 2", "TDI_ACCEPT", "SUCCESS")


@BOTH_ORDERS
def test_tdi_accept_is_not_accept(order: int) -> None:
    """S0-20: the one TDI_ACCEPT row comes at the client's connect, and none at accept()."""
    found = [
        step.call for step in told(order).steps
        for row in step.server if row.request == "TDI_ACCEPT"
    ]  # fmt: skip
    assert found == ["connect(100.100.100.105:10000)"]


def test_what_accept_asks_for() -> None:
    """S0-21: a new connection object, associated, then the address of the one handed over."""
    rows = told().step("accept").server
    assert shows(rows, "06-accept.server.tsv")
    assert [(row.object, row.request) for row in rows] == [
        ("Connect 3", "IRP_MJ_CREATE"),
        ("Connect 3", "TDI_ASSOCIATE_ADDRESS"),
        ("Connect 2", "TDI_QUERY_INFORMATION"),
    ]


def test_a_second_client_gets_the_object_made_at_accept() -> None:
    """S0-22: Connect 2 serves this client alone; Connect 3 waits for a further one."""

    async def program(world: World) -> None:
        here = await world.connected()
        await here.client.send(b"first")
        second = world.socket("client")
        await second.connect(SERVER)
        await second.send(b"second")
        rows = await world.new_rows("server")
        assert [row.object for row in rows if row.request == "TDI_ACCEPT"] == ["Connect 3"]
        assert [row.object for row in rows if row.request == "TDI_EVENT_RECEIVE"] == [
            "Connect 2", "Connect 3",
        ]  # fmt: skip

    World().run(program)
