"""Watching real sockets: what is written, for whom, and that nothing else changes."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from wsock import tdimon
from wsock._stack import Stack, new_stack_hooks
from wsock.afd import StreamEndpoint
from wsock.constants import FD_CLOSE, FD_READ
from wsock.tdimon import Trace, words
from wsock.tdimon.attachment import Attachment
from wsock.tdimon.diagram import build
from wsock.tdimon.selection import compile_expression
from wsock.virtual import Network

from .story import GOLDEN, golden_lines, steps

if TYPE_CHECKING:
    from wsock.tdimon import Row

pytestmark = pytest.mark.usefixtures("nobody_watches")


@pytest.fixture
def nobody_watches() -> object:
    """Before and after each test no stack has a tracer, and nothing waits for new stacks."""
    yield
    assert Stack.default().device.tracer is None
    assert new_stack_hooks == []


async def connected(
    stack: Stack | None = None, backlog: int = 2
) -> tuple[wsock.Socket, wsock.Socket, wsock.Socket]:
    """A listener, a client and the accepted socket; both sides bound."""
    listener = wsock.socket(stack=stack)
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    client = wsock.socket(stack=stack)
    client.bind(("127.0.0.1", 0))
    await client.connect(listener.getsockname())
    accepted, _ = await listener.accept()
    return listener, client, accepted


async def receive(sock: wsock.Socket, count: int) -> int:
    taken = 0
    while taken < count:
        taken += len(await sock.recv(count - taken))
    return taken


async def closed_by_peer(sock: wsock.Socket) -> None:
    assert await sock.recv(1) == b""


async def run_story(order: int, stack: Stack | None = None) -> None:
    """The golden story on loopback, closed in the given order."""
    listener, client, accepted = await connected(stack)
    for size in (1000, 2000):
        await client.send(bytes(size))
        await receive(accepted, size)
    if order == 1:
        client.close()
        await closed_by_peer(accepted)
        accepted.close()
        listener.close()
    else:
        accepted.close()
        await closed_by_peer(client)
        listener.close()
        client.close()


def golden_rows(order: int) -> list[list[str]]:
    files = [step[f"{side}_file"] for step in steps(order) for side in ("client", "server")]
    return [line.split("\t") for name in files if name != "-" for line in golden_lines(name)]


#: Rows of data: how the kernel cuts what arrives is its own affair; the sum of bytes is not.
DATA = {"TDI_EVENT_RECEIVE", "TDI_RECEIVE"}


def without_data(rows: list[Row] | list[list[str]]) -> Counter[tuple[str, ...]]:
    """Object, request, result and kind of handler of each row, in any order."""
    return Counter(
        (row[0], row[1], row[4], row[5] if "Event" in row[5] or row[1] == "TDI_SEND" else "")
        for row in rows
        if row[1] not in DATA
    )


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


def indicated(trace: Trace) -> int:
    return sum(record.length for record in trace.records() if record.request in DATA)


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


async def test_nothing_is_written_outside_the_block() -> None:
    """Before and after, the classes are the plain ones, also of sockets that live on."""
    listener, client, accepted = await connected()
    with tdimon.watch() as trace:
        await client.send(b"seen")
        await receive(accepted, 4)
        seen = len(trace)
    assert seen > 0
    assert type(client._endpoint) is StreamEndpoint
    await client.send(b"unseen")
    await receive(accepted, 6)
    assert len(trace) == seen
    for sock in (accepted, client, listener):
        sock.close()


async def test_one_stack_alone() -> None:
    """A watched stack writes, another one does not."""
    watched, other = Stack("watched"), Stack("other")
    with tdimon.watch(watched) as trace:
        for stack in (watched, other):
            for sock in await connected(stack):
                sock.close()
    assert trace.hosts() == ["watched"]


async def test_stacks_that_are_made_later_are_watched_too() -> None:
    """Watching everything includes what comes."""
    with tdimon.watch() as trace:
        for sock in await connected(Stack("later")):
            sock.close()
    assert trace.hosts() == ["later"]


async def test_one_socket_alone() -> None:
    """Of a watched socket: its calls, what they cause and its events; nothing of the others."""
    listener = wsock.socket()
    client = wsock.socket()
    with tdimon.watch(client) as trace:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2)
        client.bind(("127.0.0.1", 0))
        await client.connect(listener.getsockname())
        accepted, _ = await listener.accept()
        await client.send(b"x")
        await receive(accepted, 1)
        await accepted.send(b"y")
        assert await client.recv(1) == b"y"
        accepted.close()
        await closed_by_peer(client)
        client.close()
        listener.close()
    rows = trace.rows(profile="tdimon-2003")
    assert {row.object for row in rows} == {"address", "connect"}
    requests = Counter(row.request for row in rows)
    assert requests["IRP_MJ_CREATE"] == 2
    assert requests["TDI_SEND"] == requests["TDI_CONNECT"] == 1
    assert requests["TDI_EVENT_DISCONNECT"] == 1


async def test_two_traces_of_one_stack() -> None:
    """Each gets every record; one may leave without the other noticing."""
    with tdimon.watch() as outer:
        listener, client, accepted = await connected()
        with tdimon.watch() as inner:
            await client.send(b"both")
            await receive(accepted, 4)
        await client.send(b"one")
        await receive(accepted, 3)
        for sock in (accepted, client, listener):
            sock.close()
    sends = [sum(r.request == "TDI_SEND" for r in trace.rows()) for trace in (outer, inner)]
    assert sends == [2, 1]
    for trace in (outer, inner):
        assert all(record.duration_ns >= 0 for record in trace.records())
        numbers = [record.sequence for record in trace.records()]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_targets_may_come_and_go() -> None:
    """Hosts and networks are known by their stacks; each target can be left alone."""

    class Host:
        def __init__(self, name: str) -> None:
            self.stack = Stack(name)

    class Network:
        def __init__(self, *hosts: Host) -> None:
            self.hosts = {host.stack.name: host for host in hosts}

    one, two, three = (Host(name) for name in ("one", "two", "three"))
    trace = Trace()
    attachment = Attachment(trace.ring)
    attachment.attach(Network(one, two), three)
    attachment.attach(one.stack)
    attachment.detach(one)
    attachment.detach(one.stack)
    for host in (one, two, three):
        for sock in await connected(host.stack):
            sock.close()
    attachment.detach()
    assert trace.hosts() == ["two", "three"]
    assert all(host.stack.device.tracer is None for host in (one, two, three))


def test_a_network_is_watched_with_all_its_hosts() -> None:
    """Hosts that come later, and one that is switched off and on, are in the trace; others not."""

    async def main() -> list[str]:
        lan = network.segment("lan", "10.0.0.0/24")
        first = network.host("first", lan, "10.0.0.1")
        with tdimon.watch(network) as trace:
            network.host("second", lan, "10.0.0.2")
            first.crash()
            first.restart()
            other = Stack("other")
            for stack in (first.stack, network.hosts["second"].stack, other):
                with wsock.socket(stack=stack) as sock:
                    sock.bind(("0.0.0.0", 0))
        assert new_stack_hooks == []
        assert first.stack.device.tracer is None
        return trace.hosts()

    network = Network()
    assert network.run(main) == ["first", "second"]


async def test_a_stack_takes_over_from_its_socket() -> None:
    """A socket that is watched alone is not written twice when its stack is watched too."""
    stack = Stack("both")
    listener, client, accepted = await connected(stack)
    trace = Trace()
    attachment = Attachment(trace.ring)
    attachment.attach(client)
    attachment.attach(stack)
    await client.send(b"x")
    await receive(accepted, 1)
    attachment.detach()
    for sock in (accepted, client, listener):
        sock.close()
    assert [record.request for record in trace.records()].count("TDI_SEND") == 1


async def test_three_traces_of_one_stack() -> None:
    """Leaving in any order leaves the others as they were."""
    stack = Stack("shared")
    traces = [Trace(), Trace(), Trace()]
    attachments = [Attachment(trace.ring) for trace in traces]
    for attachment in attachments:
        attachment.attach(stack)
    lengths = []
    for attachment in attachments:
        for sock in await connected(stack):
            sock.close()
        lengths.append([sum(r.request == "TDI_CONNECT" for r in t.records()) for t in traces])
        attachment.detach(stack)
    assert lengths == [[1, 1, 1], [1, 2, 2], [1, 2, 3]]
    assert stack.device.tracer is None


async def test_a_watched_socket_can_be_left_alone() -> None:
    """Detaching a socket ends its rows."""
    listener, client, accepted = await connected()
    trace = Trace()
    attachment = Attachment(trace.ring)
    attachment.attach(client)
    attachment.attach(client)
    await client.send(b"x")
    await receive(accepted, 1)
    attachment.detach(client)
    for sock in (accepted, client, listener):
        sock.close()
    assert [row.request for row in trace.rows(profile="calls")] == ["send", "  TDI_SEND"]
    assert repr(trace) == f"<Trace of {len(trace)} records>"


class Leaver:
    """A tracer that is taken away while it takes its nth record: another thread may do that."""

    def __init__(self, stack: Stack, last: int) -> None:
        self.stack = stack
        self.last = last
        self.seen = 0

    def emit(self, record: object) -> None:
        self.seen += 1
        if self.seen == self.last:
            self.stack.detach()


async def test_detaching_in_the_middle_of_any_call() -> None:
    """Whichever row is being written when the hooks go: the program notices nothing."""
    last = seen = 0
    while seen == last:
        last += 1
        stack = Stack("left")
        leaver = Leaver(stack, last)
        stack.attach(leaver)
        for order in (1, 2):
            await run_story(order, stack)
        await run_datagrams(stack)
        seen = leaver.seen
        stack.detach()
        assert stack.endpoints == {}
    assert last > 100


async def run_datagrams(stack: Stack) -> None:
    """Two datagrams, one of them to a connected peer."""
    one, other = (wsock.socket(type=socket.SOCK_DGRAM, stack=stack) for _ in range(2))
    with one, other:
        one.bind(("127.0.0.1", 0))
        await other.sendto(b"hello", one.getsockname())
        _, address = await one.recvfrom(10)
        await one.connect(address)
        await one.send(b"there")
        assert await other.recv(10) == b"there"


async def test_bytes_read_while_nobody_watched() -> None:
    """What a trace knew of unread bytes is forgotten when the next one begins."""
    async with wsock.Window() as window:
        listener, client, accepted = await connected()
        accepted.async_select(window, wsock.WM_USER + 1, FD_READ)
        with tdimon.watch() as trace:
            await client.send(bytes(1000))
            await window.get()
        assert indicated(trace) == 1000
        accepted.recv_nowait(2000)
        with tdimon.watch() as trace:
            await client.send(bytes(10))
            await window.get()
        assert indicated(trace) == 10
        for sock in (accepted, client, listener):
            sock.close()


async def test_attach_and_detach_without_a_block() -> None:
    """A trace can begin and end anywhere, to a stream or an AsyncSocket too, and be asked later."""
    listener, client, accepted = await connected()
    stream = wsock.SocketStream(client)
    trace = Trace()
    await stream.send_all(b"a")
    trace.attach(stream)
    await stream.send_all(b"b")
    trace.detach(stream)
    await stream.send_all(b"c")
    await receive(accepted, 3)
    for sock in (accepted, client, listener):
        sock.close()
    assert [row.request for row in trace.rows(profile="calls")] == ["send", "  TDI_SEND"]


async def test_a_wrong_target_attaches_nothing() -> None:
    """Of several targets one is wrong: none is watched."""
    trace = Trace()
    with pytest.raises(TypeError, match="'door' is no stack"):
        trace.attach(Stack.default(), "door")
    assert Stack.default().device.tracer is None


async def test_rows_of_a_socket_by_its_number() -> None:
    """Every row of a socket carries its number, from bind to the last IRP_MJ_CLOSE."""
    stack = Stack("numbers")
    with tdimon.watch(stack) as trace:
        await run_story(1, stack)
    assert {record.socket for record in trace.records()} == {1, 2, 3}
    requests = [r.request for r in trace.records() if r.socket == 2 and r.kind == "tdi"]
    assert requests[0] == "IRP_MJ_CREATE"
    assert requests[-1] == "IRP_MJ_CLEANUP"
    assert {r.request for r in trace.records() if r.socket == 3} >= {"TDI_EVENT_RECEIVE", "recv"}


async def test_two_runs_in_two_threads() -> None:
    """Each thread's rows name its own calls as their cause, and the numbers have no gap."""

    def run(name: str) -> None:
        async def main() -> None:
            stack = Stack(name)
            for _ in range(20):
                await run_story(1, stack)

        trio.run(main)

    with tdimon.watch() as trace:
        threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            await trio.to_thread.run_sync(thread.join)
    numbers = [record.sequence for record in trace.records()]
    assert numbers == list(range(1, len(numbers) + 1))
    for name in ("one", "two"):
        causes = {(r.request, r.cause) for r in trace.records(name) if r.kind == "tdi"}
        assert ("TDI_SEND", "send") in causes
        assert ("TDI_SEND", "recv") not in causes
        assert ("TDI_CONNECT", "send") not in causes
        sends = [r for r in trace.records(name) if r.request == "TDI_SEND"]
        assert len(sends) == 40


async def test_what_cannot_be_watched() -> None:
    """Anything else is a TypeError that names it."""
    with (
        pytest.raises(TypeError, match="42 is no stack, host, network or socket"),
        tdimon.watch(42),
    ):
        pass


async def test_an_error_in_the_block_leaves_as_itself() -> None:
    """The hooks are taken away and the error goes on."""
    with pytest.raises(KeyError), tdimon.watch():
        raise KeyError


async def test_the_first_row_of_the_source() -> None:
    """The tables are those of the source: 19 files, three of them with a header only."""
    files = list(GOLDEN.glob("*-*.tsv"))
    assert len(files) == 22
    assert sum(not golden_lines(file.name) for file in files) == 3


async def test_a_record_is_small() -> None:
    """Ten thousand rows of data take less than ten megabytes: the ring's 100,000 less than 100."""
    with tdimon.watch() as trace:
        listener, client, accepted = await connected()
        tracemalloc.start()
        for _ in range(5_000):
            client.send_nowait(b"x")  # a row for the call and one for TDI_SEND
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(trace) > 10_000
        await receive(accepted, 5_000)
        for sock in (accepted, client, listener):
            sock.close()
    assert used < 10_000_000
