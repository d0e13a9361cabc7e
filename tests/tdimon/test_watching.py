"""Watching real sockets: what is written, for whom, and that nothing else changes."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

import wsock
from wsock import tdimon
from wsock.constants import FD_CLOSE, FD_READ
from wsock.tdimon import words
from wsock.tdimon.diagram import build
from wsock.tdimon.selection import compile_expression

from .loopback import connected, golden_rows, indicated, receive, run_story, without_data
from .story import golden_lines

pytestmark = pytest.mark.usefixtures("nobody_watches")


@pytest.mark.parametrize("order", [1, 2])
async def test_golden_story_on_loopback(order: int) -> None:
    """Every control row of the golden story comes on real sockets too, and no other one.

    Order 1 has one row less: a kernel socket is given back at once, so nobody is left to hear the
    release of the peer that closes last (the client's TDI_EVENT_DISCONNECT).
    """
    with tdimon.watch() as trace:
        await run_story(order)
    expected = without_data(golden_rows(order))
    found = without_data(trace.rows(profile="tdimon-2003"))
    missing = expected - found
    assert found - expected == Counter()
    assert {key[1] for key in missing} <= ({"TDI_EVENT_DISCONNECT"} if order == 1 else set())
    assert missing.total() <= (1 if order == 1 else 0)


async def test_every_byte_is_indicated_once() -> None:
    """The lengths of TDI_EVENT_RECEIVE and TDI_RECEIVE sum up to what arrived (tolerant rule)."""
    with tdimon.watch() as trace:
        await run_story(1)
    assert indicated(trace) == 3000


async def test_bytes_that_wait_are_not_indicated_again() -> None:
    """A second arrival behind unread bytes is indicated alone; taking them writes nothing more."""
    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            listener, client, accepted = await connected()
            accepted.async_select(window, wsock.WM_USER + 1, FD_READ | FD_CLOSE)
            await client.send(bytes(1500))
            await window.get()
            assert indicated(trace) == 1500
            accepted.recv_nowait(100)  # re-enables FD_READ: bytes are left
            await window.get()
            await client.send(bytes(500))
            client.close()
            await receive(accepted, 1900)
            assert (await window.get()).event in (FD_READ, FD_CLOSE)
            accepted.close()
            listener.close()
    assert indicated(trace) == 2000


async def test_golden_order_of_setting_up() -> None:
    """What bind, listen, connect and accept cause is in the golden order, row by row."""
    with tdimon.watch() as trace:
        listener, client, accepted = await connected()
    requests = [row.request for row in trace.rows(profile="tdimon-2003")]
    golden = []
    for name in ("03-bind.server", "04-listen.server", "01-bind.client"):
        golden += [line.split("\t")[1] for line in golden_lines(f"{name}.tsv")]
    assert requests[: len(golden)] == golden
    for sock in (accepted, client, listener):
        sock.close()


async def test_contexts_belong_to_their_connections() -> None:
    """One distinct context of eight digits for each connection object."""
    with tdimon.watch() as trace:
        for sock in await connected():
            sock.close()
    rows = trace.rows(profile="tdimon-2003")
    contexts = [row.detail for row in rows if row.detail.startswith("Context:")]
    assert len(contexts) == len(set(contexts)) == 4
    assert all(len(one) == len("Context:0x81120708") for one in contexts)


async def test_calls_are_followed_by_what_they_cause() -> None:
    """In profile calls the rows of a call are indented below it; the network's are not."""
    with tdimon.watch() as trace:
        for sock in await connected():
            sock.close()
    rows = trace.rows(profile="calls")
    assert rows[0].request == "bind"
    assert [row.request for row in rows[1:8]] == [
        "  IRP_MJ_CREATE",
        *["  TDI_SET_EVENT_HANDLER"] * 5,
        "  TDI_QUERY_INFORMATION",
    ]
    assert "TDI_EVENT_CONNECT" in [row.request for row in rows]
    causes = {record.request: record.cause for record in trace.records() if record.kind == "tdi"}
    assert causes["TDI_EVENT_CONNECT"] == "network"
    assert causes["TDI_DISCONNECT"] == "closesocket"


async def test_a_failed_call_shows_its_error() -> None:
    """A nonblocking call that would have to wait says so in its row."""
    with tdimon.watch() as trace:
        listener, client, accepted = await connected()
        with pytest.raises(wsock.WSAEWOULDBLOCK):
            client.recv_nowait(10)
        for sock in (accepted, client, listener):
            sock.close()
    assert any(
        r.request == "recv" and r.result == "WSAEWOULDBLOCK" for r in trace.rows(profile="calls")
    )
    assert all(record.duration_ns >= 0 for record in trace.records())


async def test_rows_name_the_task_that_called() -> None:
    """A call and what it causes carry the name of the Trio task; the network's rows none."""

    async def connect(address: tuple[str, int]) -> None:
        with wsock.socket() as client:
            await client.connect(address)

    with tdimon.watch() as trace, wsock.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect, listener.getsockname(), name="the client")
            accepted, _ = await listener.accept()
            accepted.close()
    tasks = {record.request: record.task for record in trace.records() if record.kind != "state"}
    assert tasks["connect"] == "the client"
    assert tasks["TDI_EVENT_CONNECT"] == ""
    created = compile_expression('row.task == "the client" and tdi.request == IRP_MJ_CREATE')
    assert len(list(filter(created, trace.records()))) == 2


async def test_payload_is_kept_only_if_asked_for() -> None:
    """The first bytes of what send and recv moved, and nothing without asking."""
    for limit, texts in ((0, [None, None]), (4, [b"hell", b"hell"])):
        with tdimon.watch(payload_bytes=limit) as trace:
            listener, client, accepted = await connected()
            await client.send(b"hello")
            buffer = bytearray(10)
            assert await accepted.recv_into(buffer) == 5
            for sock in (accepted, client, listener):
                sock.close()
        moved = [r for r in trace.records() if r.kind == "call" and r.length == 5]
        assert [words.payload(record) for record in moved] == texts
        found = trace.select('ws.payload contains "ell"', profile="calls")
        assert [row.detail for row in found] == ["Length:5 payload=b'hell'"] * (limit // 2)


async def test_notifications_and_states_are_rows() -> None:
    """FD_ notifications name event and message; states name what was left."""
    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            listener, client, accepted = await connected()
            accepted.async_select(window, wsock.WM_USER + 1, FD_READ | FD_CLOSE)
            await client.send(b"hello")
            assert (await window.get()).event == FD_READ
            accepted.recv_nowait(10)
            client.close()
            assert (await window.get()).event == FD_CLOSE
            accepted.close()
            listener.close()
    events = trace.rows(profile="events")
    assert [(row.request, row.detail) for row in events] == [
        ("FD_READ", "WM_USER+1"),
        ("GetMessage", "WM_USER+1 FD_READ"),
        ("FD_CLOSE", "WM_USER+1"),
        ("GetMessage", "WM_USER+1 FD_CLOSE"),
    ]
    first = trace.rows(profile="states")[0].object
    states = [row.request for row in trace.rows(profile="states") if row.object == first]
    assert states == ["BOUND", "LISTENING", "CLOSING", "CLOSED"]


async def test_a_real_trace_can_be_drawn() -> None:
    """Every lane but the queue is there; the picture is text, Mermaid and SVG."""
    with tdimon.watch() as trace:
        await run_story(1)
    diagram = build(trace.records())
    assert [lane.role for lane in diagram.lanes] == [
        "application",
        "endpoint buffers",
        "TDI objects",
        "wire",
    ]
    assert "socket " in diagram.to_text()
    assert ": CONNECTED]" in diagram.to_text()
    assert diagram.to_svg().count('class="arrow call"') > 10
