"""Runs and lifetimes: the end of a run, the next run, forks, children, collection."""

from __future__ import annotations

import copy
import os
import pickle
import select
import signal
import socket as std
import subprocess
import sys
import threading
import warnings
import weakref

import pytest
import trio
import trio.testing

import wsock
from tests.providers import WM_SOCKET, Pair, Provider, World, drain, fill
from wsock import FD_READ

# Plain functions here make runs of their own (trio.run): pytest-trio leaves them alone.


class Sink(threading.Thread):
    """A peer in another thread: connects and, once told, reads to the end."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.sock = std.create_connection(address)
        self.got = 0
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            while data := self.sock.recv(1 << 20):
                self.got += len(data)
        except OSError as error:
            self.error = error

    def finish(self) -> None:
        self.join(20)
        self.sock.close()


@pytest.mark.parametrize("close", [True, False])
def test_accepted_bytes_are_delivered_although_main_returns(
    provider: Provider, close: bool
) -> None:
    """Five million accepted bytes reach the peer although main returns at once, closed or not."""
    stack = provider.make_stack()
    peers: list[Sink] = []

    async def main() -> None:
        with wsock.socket(stack=stack) as listener:
            listener.bind((provider.host, 0))
            listener.listen()
            peers.append(Sink(listener.getsockname()))
            sock, _ = await listener.accept()
        sock.send_nowait(bytes(5_000_000))
        peers[0].start()
        if close:
            sock.close()
        else:
            kept.append(sock)

    kept: list[wsock.Socket] = []
    trio.run(main)
    for sock in kept:
        sock.close()
    peers[0].finish()
    assert peers[0].error is None
    assert peers[0].got == 5_000_000


def test_exit_flush_timeout(provider: Provider) -> None:
    """At the end of a run a peer that reads nothing is given up, reset, and counted."""
    stack = provider.make_stack(exit_flush_timeout=0.05)
    peers: list[Sink] = []

    async def main() -> None:
        with wsock.socket(stack=stack) as listener:
            listener.bind((provider.host, 0))
            listener.listen()
            peers.append(Sink(listener.getsockname()))
            sock, _ = await listener.accept()
        fill(sock)
        sock.close()

    trio.run(main)
    assert stack.provider.flushes_given_up == 1
    assert stack.netstat() == []
    peers[0].start()
    peers[0].finish()
    assert isinstance(peers[0].error, ConnectionResetError)


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [({}, 2, 15), ({"exit_flush_timeout": 6}, 6, 15), ({"exit_flush_timeout": 1000}, 30, 500)],
)
def test_how_long_the_end_of_a_run_may_take(
    provider: Provider, options: dict[str, float], least: float, most: float
) -> None:
    """exit_flush_timeout without progress, 2 s by default; 30 s in all. (It is a fast clock.)"""
    clock = trio.testing.MockClock(rate=10 if most < 100 else 100)
    stack = provider.make_stack(**options)
    peers: list[Sink] = []
    ended: list[float] = []

    async def main() -> None:
        with wsock.socket(stack=stack) as listener:
            listener.bind((provider.host, 0))
            listener.listen()
            peers.append(Sink(listener.getsockname()))
            sock, _ = await listener.accept()
        fill(sock)
        sock.close()
        ended.append(trio.current_time())

    trio.run(main, clock=clock)
    assert least <= clock.current_time() - ended[0] <= most
    assert stack.provider.flushes_given_up == 1
    peers[0].sock.close()


def test_an_open_socket_with_a_rest_closes_after_the_run(provider: Provider) -> None:
    """A socket whose rest could not go out in its run: close() after it still gives all back."""
    stack = provider.make_stack(exit_flush_timeout=0.02)
    kept: list[wsock.Socket] = []
    peers: list[Sink] = []

    async def main() -> None:
        with wsock.socket(stack=stack) as listener:
            listener.bind((provider.host, 0))
            listener.listen()
            peers.append(Sink(listener.getsockname()))
            kept.append((await listener.accept())[0])
        fill(kept[0])

    trio.run(main)
    kept[0].close()
    assert kept[0].state == "CLOSED"
    assert stack.netstat() == []
    peers[0].sock.close()


def test_used_after_its_run(provider: Provider) -> None:
    """After its run close() works; everything else is a RuntimeError that says so."""
    stack = provider.make_stack()
    kept: list[wsock.Socket] = []

    async def main() -> None:
        world = World(provider)
        world.stack = stack
        pair = await world.pair()
        listener = world.listener()
        kept.extend((pair.near, pair.far, listener))
        with trio.move_on_after(0.01):
            await listener.accept()

    async def again() -> None:
        with pytest.raises(RuntimeError, match="run"):
            await near.recv(1)
        with pytest.raises(RuntimeError, match="run"):
            await listener.accept()

    trio.run(main)
    near, far, listener = kept
    for call in (
        lambda: near.recv_nowait(1),
        lambda: near.send_nowait(b"x"),
        lambda: far.shutdown(wsock.SD_SEND),
        listener.accept_nowait,
        near.getsockname,
        lambda: near.ioctl(wsock.FIONREAD),
    ):
        with pytest.raises(RuntimeError, match="run"):
            call()
    trio.run(again)
    for sock in kept:
        sock.close()
        assert sock.closed
    assert stack.netstat() == []


def test_before_a_run(provider: Provider) -> None:
    """socket, bind, listen and options work before a run; a socket never tied closes anywhere."""
    stack = provider.make_stack()
    with wsock.socket(stack=stack) as listener:
        listener.setsockopt(std.SOL_SOCKET, std.SO_KEEPALIVE, 1)
        listener.bind((provider.host, 0))
        listener.listen()

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                client = wsock.socket(stack=stack)
                nursery.start_soon(client.connect, listener.getsockname())
                accepted, _ = await listener.accept()
            accepted.close()
            client.close()

        trio.run(main)


def test_send_on_a_socket_adopted_before_the_run(provider: Provider) -> None:
    """A first send ties a socket to the run too: its rest goes out without any wait."""
    stack = provider.make_stack()
    left, right = std.socketpair()
    sock = wsock.from_stdlib_socket(left, stack=stack)
    got = []

    async def main() -> None:
        sock.send_nowait(bytes(5_000_000))
        sock.close()

        def read() -> None:
            while data := right.recv(1 << 20):
                got.append(len(data))

        await trio.to_thread.run_sync(read)

    with right:
        trio.run(main)
    assert sum(got) == 5_000_000


async def test_forked_child_harms_nothing(pair: Pair, window: wsock.Window) -> None:
    """A forked child that closes what it inherited deafens nobody in the parent."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    await trio.testing.wait_all_tasks_blocked()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            pair.near.close()
            pair.far.close()
            code = 0
        finally:
            os._exit(code)
    _, status = await trio.to_thread.run_sync(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    for _ in range(2):
        pair.far.send_nowait(b"abc")
        with trio.fail_after(5):
            assert (await window.get()).event == FD_READ
        assert pair.near.recv_nowait(9) == b"abc"


def test_a_forked_child_has_bindings_of_its_own(provider: Provider) -> None:
    """What the parent holds is for the kernel to judge there, as with any other process."""
    world = World(provider)
    holder = world.socket()
    holder.bind((provider.host, 0))
    address = holder.getsockname()
    with pytest.raises(wsock.WSAEADDRINUSE):
        world.socket().bind(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            world.socket().bind(address)  # neither listens: for Linux that is no conflict
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    world.close()


def test_all_stacks_of_a_process_share_its_bindings(provider: Provider) -> None:
    """One process is one host: another stack, of whatever engine, holds its addresses too."""
    holder = wsock.socket(stack=provider.make_stack())
    holder.bind((provider.host, 0))
    for stack in (provider.make_stack(), wsock.Stack(engine="waits")):
        with wsock.socket(stack=stack) as other:
            with pytest.raises(wsock.WSAEADDRINUSE):
                other.bind(holder.getsockname())
            other.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
            with pytest.raises(wsock.WSAEACCES):
                other.bind(holder.getsockname())
    holder.close()


def test_forked_children_serve_one_listener(provider: Provider) -> None:
    """Made before any run and forked, a listener serves in each child, in a run of its own."""
    world = World(provider)
    listener = world.listener()

    async def serve() -> None:
        while True:
            accepted, _ = await listener.accept()
            with accepted:
                await accepted.send(str(os.getpid()).encode())

    children = []
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            children.append(os.fork())
        if children[-1] == 0:
            try:
                trio.run(serve)
            finally:
                os._exit(1)
    try:
        for _ in range(20):
            with std.create_connection(listener.getsockname(), timeout=10) as client:
                assert int(client.recv(100)) in children
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    world.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a listener's backlog")
async def test_the_kernel_gets_the_backlog_as_given(world: World) -> None:
    """At the first listen and at each later one, whatever the pool of connection objects is."""
    listener = world.listener(7)
    for backlog in (7, 0, 1, 300, 5):
        listener.listen(backlog)
        with std.socket(fileno=listener.fileno()) as raw:
            info = raw.getsockopt(std.IPPROTO_TCP, std.TCP_INFO, 32)
            raw.detach()
        assert int.from_bytes(info[28:32], sys.byteorder) == backlog  # tcpi_sacked
    fresh = world.listener(300)
    with std.socket(fileno=fresh.fileno()) as raw:
        info = raw.getsockopt(std.IPPROTO_TCP, std.TCP_INFO, 32)
        raw.detach()
    assert int.from_bytes(info[28:32], sys.byteorder) == 300


async def test_copy_of_the_descriptor_elsewhere(world: World, window: wsock.Window) -> None:
    """Closed here while a copy lives: nothing of it is reported for the next socket's number."""
    listener = world.listener()
    old_far = await world.connected(listener)
    old_near = await world.accept(listener)
    number = old_near.fileno()
    copy_of_it = os.dup(number)
    old_near.async_select(window, WM_SOCKET, FD_READ)
    old_near.close()
    new_far = await world.connected(listener)
    assert new_far.fileno() == number
    new_far.async_select(window, WM_SOCKET, FD_READ)
    old_far.send_nowait(b"to the copy")
    with std.socket(fileno=copy_of_it) as other:
        other.settimeout(5)
        assert other.recv(99) == b"to the copy"
    new_near = await world.accept(listener)
    new_near.send_nowait(b"to the new one")
    with trio.fail_after(5):
        assert (await window.get()).socket is new_far
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        window.get_nowait()


async def test_children_inherit_nothing(pair: Pair) -> None:
    """A subprocess inherits no socket."""
    numbers = [pair.near.fileno(), pair.far.fileno()]
    look = f"import os; print([n for n in {numbers} if os.path.exists(f'/proc/self/fd/{{n}}')])"
    command = [sys.executable, "-c", look]
    done = subprocess.run(command, stdout=subprocess.PIPE, close_fds=False, check=True)  # noqa: ASYNC221
    assert done.stdout.strip() == b"[]"


async def test_unreferenced_socket_warns_and_closes(world: World) -> None:
    """A socket that nobody refers to is closed, with a ResourceWarning."""
    listener = world.listener()
    far = await world.connected(listener)
    holder = [(await listener.accept())[0]]
    weak = weakref.ref(holder[0])
    with pytest.warns(ResourceWarning, match="unclosed <Socket CONNECTED"):
        holder.clear()
    assert weak() is None
    assert await far.recv(1) == b""


async def test_collected_in_another_thread(world: World) -> None:
    """A socket that another thread collects is closed in the loop's thread."""
    listener = world.listener()
    far = await world.connected(listener)
    holder = [(await listener.accept())[0]]
    endpoint = holder[0]._endpoint

    def collect() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            holder.clear()

    await trio.to_thread.run_sync(collect)
    assert await far.recv(1) == b""
    assert endpoint.state == "CLOSED"


async def test_pickling_is_refused(pair: Pair, window: wsock.Window) -> None:
    """Sockets, windows and events belong to a process and a run: they do not pickle, nor copy."""
    for thing in (pair.near, window, wsock.Event()):
        for refused in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="pickle"):
                refused(thing)


async def test_repr_tells_the_state(world: World) -> None:
    """repr tells state, addresses and what is unsent."""
    sock = world.socket()
    assert repr(sock) == "<Socket OPEN unbound>"
    sock.bind((world.provider.host, 0))
    assert repr(sock) == f"<Socket BOUND 127.0.0.1:{sock.getsockname()[1]}>"
    pair = await world.pair()
    local, remote = pair.near.getsockname()[1], pair.far.getsockname()[1]
    assert repr(pair.near) == f"<Socket CONNECTED 127.0.0.1:{local} <-> 127.0.0.1:{remote}>"
    fill(pair.near)
    assert repr(pair.near).endswith(f"{pair.near.unsent} bytes unsent>")
    pair.far.close()
    assert repr(pair.far) == "<Socket CLOSED>"


async def test_netstat(world: World, window: wsock.Window) -> None:
    """S1-21: netstat shows every socket; a server for n clients holds n + 1."""
    listener = world.listener()
    clients = [await world.connected(listener) for _ in range(3)]
    accepted = [await world.accept(listener) for _ in range(3)]
    assert len(world.stack.netstat()) == 3 + 3 + 1
    clients[0].send_nowait(b"abc")
    await world.settle(accepted[0], unread=3)
    accepted[0].async_select(window, WM_SOCKET, FD_READ)
    rows = {(row["local"], row["remote"]): row for row in world.stack.netstat()}
    host, port = accepted[0].getsockname()
    row = rows[f"{host}:{port}", "{}:{}".format(*clients[0].getsockname())]
    assert (row["state"], row["unread"], row["unsent"]) == ("CONNECTED", 3, 0)
    assert (row["mask"], row["target"]) == (FD_READ, "message")


async def test_netstat_names_handles(world: World) -> None:
    """A socket that has been asked for its handle is shown with it."""
    asked, other = world.listener(), world.listener()
    handle = asked.handle
    rows = {row["local"]: row["handle"] for row in wsock.netstat(world.stack)}
    shown = ["{}:{}".format(*sock.getsockname()) for sock in (asked, other)]
    assert [rows[name] for name in shown] == [handle, None]


async def test_connections_stay_apart(world: World) -> None:
    """S1-4, S1-20: many connections from one client address to one port never mix."""
    listener = world.listener()
    pairs = []
    for _ in range(100):
        far = await world.connected(listener)
        pairs.append(Pair(world, await world.accept(listener), far))
    for number, pair in enumerate(pairs):
        pair.far.data = number
        pair.far.send_nowait(str(number).encode())
    for number, pair in enumerate(pairs):
        assert await pair.near.recv(9) == str(number).encode()
    assert pairs[7].far.data == 7


def test_handles(provider: Provider) -> None:
    """S1-7: a handle is a multiple of 4, one for each socket, and not given again."""
    stack = provider.make_stack()

    async def main() -> None:
        first, second = wsock.socket(stack=stack), wsock.socket(stack=stack)
        assert first.handle % 4 == second.handle % 4 == 0
        assert first.handle == first.handle != second.handle
        old = first.handle
        first.close()
        with wsock.socket(stack=stack) as third:
            assert third.handle not in (old, second.handle)
        second.close()

    trio.run(main)


def test_engine_by_environment() -> None:
    """WSOCK_ENGINE chooses the engine of the default stack; an unknown one is a ValueError."""
    program = "import wsock; print(wsock.Stack.default().provider.engine)"
    env = {**os.environ, "WSOCK_ENGINE": "waits"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True)
    assert done.stdout.strip() == b"waits"
    with pytest.raises(ValueError, match="engine 'poll'"):
        wsock.Stack(engine="poll")
    with pytest.raises(ValueError, match="needs epoll"):
        wsock.Stack(engine="waits", notifications="windows")


async def test_streams_have_no_boundaries(pair: Pair) -> None:
    """S1-29: three sends may come as one recv: a stream has no boundaries."""
    for part in (b"a", b"b", b"c"):
        pair.far.send_nowait(part)
    await pair.settle(unread=3)
    assert pair.near.recv_nowait(9) == b"abc"
    pair.far.close()
    assert await drain(pair.near, 1) == 0


async def test_what_is_ready_is_told_within_a_pass(window: wsock.Window) -> None:
    """The epoll engine serves in Trio's loop, before tasks run: data that is there when a task
    passes the scheduler has been reported when it goes on."""
    if not hasattr(select, "epoll"):
        pytest.skip("this system has no epoll")
    near, far = std.socketpair()
    with far, wsock.from_stdlib_socket(near, stack=wsock.Stack(engine="epoll")) as sock:
        sock.async_select(window, WM_SOCKET, FD_READ)
        await trio.testing.wait_all_tasks_blocked()
        far.send(b"x")
        await trio.lowlevel.checkpoint()
        message = window.peek()
        assert message is not None
        assert message.event == FD_READ
