"""Who is watched, from when until when, by how many at once."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections import Counter

import pytest
import trio

import wsock
from wsock import tdimon
from wsock._stack import Stack, new_stack_hooks
from wsock.afd import StreamEndpoint
from wsock.constants import FD_READ
from wsock.tdimon import Trace
from wsock.tdimon.attachment import Attachment
from wsock.virtual import Network

from .loopback import closed_by_peer, connected, indicated, receive, run_story
from .story import GOLDEN, golden_lines

pytestmark = pytest.mark.usefixtures("nobody_watches")


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


async def test_data_passes_by_the_connection_object_while_nobody_watches() -> None:
    """A live connection's data goes through its object from the attaching to the detaching."""
    listener, client, accepted = await connected()
    file, endpoint = client._endpoint.file, client._endpoint
    assert (endpoint.transport, file.reader) == (file, endpoint)
    with tdimon.watch():
        assert (endpoint.transport, file.reader) == (endpoint.connection, endpoint.connection)
        late_listener, late, late_accepted = await connected()
        assert late._endpoint.transport is late._endpoint.connection
    assert (endpoint.transport, file.reader) == (file, endpoint)
    assert late._endpoint.transport is late._endpoint.file
    client.close()
    assert file.reader is None
    for sock in (accepted, listener, late, late_accepted, late_listener):
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
