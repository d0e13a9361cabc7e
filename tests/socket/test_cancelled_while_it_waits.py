"""Every waiting call there is, cancelled before it begins and while it waits: the next one works.

(That a call is cancelled in the moment when it is served: test_cancelled_anywhere.)
"""

from __future__ import annotations

import inspect
import socket as std
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from tests.providers import WM_SOCKET, World, drain
from tests.socket.test_waiting_calls import cancelled_before, cancelled_while_waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[[], Awaitable[object]]
    #: A call that would wait, and what shows afterwards that nothing is lost.
    Scene = Callable[[World], Awaitable[tuple[Call, Call]]]


async def receiving(name: str, world: World) -> tuple[Call, Call]:
    """recv, recv_into and a stream's receive_some, ended by a byte of the peer."""
    pair = await world.pair()
    call: Call = {
        "recv": lambda: pair.near.recv(9),
        "recv_into": lambda: pair.near.recv_into(bytearray(9)),
        "recvfrom": lambda: pair.near.recvfrom(9),
        "wait_turn": lambda: pair.near.wait_turn("recv"),
        "receive_some": lambda: wsock.SocketStream(pair.near).receive_some(9),
        "__anext__": lambda: wsock.SocketStream(pair.near).__anext__(),
    }[name]
    expected = {"recv_into": 1, "recvfrom": (b"x", None), "wait_turn": None}.get(name, b"x")

    async def after() -> None:
        pair.far.send_nowait(b"x")
        assert await call() == expected

    return call, after


async def receiving_datagrams(world: World) -> tuple[Call, Call]:
    near, far = world.bound_datagram(), world.bound_datagram()

    async def after() -> None:
        far.sendto_nowait(b"x", near.getsockname())
        assert await near.recvfrom(9) == (b"x", far.getsockname())

    return lambda: near.recvfrom(9), after


async def sending(name: str, world: World) -> tuple[Call, Call]:
    """send and its kin with every buffer full: cancelled, nothing of it was accepted."""
    pair = await world.pair()
    sent = await world.fill(pair.near)
    stream = wsock.SocketStream(pair.near)
    call: Call = {
        "send": lambda: pair.near.send(b"x"),
        "send_all": lambda: pair.near.send_all(b"x"),
        "sendto": lambda: pair.near.sendto(b"x", ("192.0.2.9", 9)),
        "stream": lambda: stream.send_all(b"x"),
        "wait_send_room": pair.near.wait_send_room,
        "wait_send_all_might_not_block": stream.wait_send_all_might_not_block,
    }[name]

    async def after() -> None:
        assert await drain(pair.far, sent) == sent
        await call()
        pair.near.shutdown(wsock.SD_SEND)
        assert await drain(pair.far, 9) == (0 if name.startswith("wait") else 1)

    return call, after


async def accepting(name: str, world: World) -> tuple[Call, Call]:
    listener = world.listener()
    taken = wsock.SocketListener(listener)

    async def after() -> None:
        client = await world.connected(listener)
        if name == "accept":
            accepted = (await listener.accept())[0]
        else:
            accepted = (await taken.accept()).socket
        assert world.keep(accepted).getpeername() == client.getsockname()

    return listener.accept if name == "accept" else taken.accept, after


async def connecting(world: World) -> tuple[Call, Call]:
    sock = world.socket()
    unanswered = world.provider.unanswered()
    address = unanswered.__enter__()

    async def after() -> None:
        unanswered.__exit__(None, None, None)
        assert sock.closed

    return lambda: sock.connect(address), after


async def waiting_for_a_connection(world: World) -> tuple[Call, Call]:
    sock = world.socket()
    unanswered = world.provider.unanswered()
    assert sock.connect_ex(unanswered.__enter__()) == wsock.WSAEWOULDBLOCK.winerror

    async def after() -> None:
        assert sock.state == "CONNECTING"
        sock.close()
        unanswered.__exit__(None, None, None)

    return sock.wait_connected, after


async def opening_a_stream(world: World) -> tuple[Call, Call]:
    unanswered = world.provider.unanswered()
    address = unanswered.__enter__()

    async def after() -> None:
        unanswered.__exit__(None, None, None)
        assert not [row for row in world.stack.netstat() if row["state"] == "CONNECTING"]

    return lambda: wsock.open_tcp_stream(*address, stack=world.stack), after


async def closing(world: World) -> tuple[Call, Call]:
    pair = await world.pair()
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 20))
    pair.near.send_nowait(bytes(20_000_000))

    async def after() -> None:
        assert pair.near.state == "CLOSED"
        with pytest.raises(wsock.WSAECONNRESET):
            await drain(pair.far, 20_000_000)

    return pair.near.aclose, after


async def reading_a_window(name: str, world: World) -> tuple[Call, Call]:
    pair = await world.pair()
    window = wsock.Window()
    pair.near.async_select(window, WM_SOCKET, wsock.FD_READ)
    seen: list[wsock.Message] = []

    async def run() -> None:
        assert await window.run(seen.append) == 7

    async def batches() -> None:
        async for batch in window.batches():
            seen.extend(batch)

    async def get() -> None:
        seen.append(await window.get())

    async def iterate() -> None:
        seen.extend([message async for message in window])

    call: Call = {"run": run, "batches": batches, "get": get, "__anext__": iterate}[name]

    async def after() -> None:
        pair.far.send_nowait(b"x")
        await world.until(lambda: window.peek() is not None)
        window.post_quit(7)
        await call()
        assert [message.event for message in seen] == [wsock.FD_READ]
        window.close()

    return call, after


async def waiting_for_events(name: str, world: World) -> tuple[Call, Call]:
    pair = await world.pair()
    event, other = wsock.Event(manual_reset=False), wsock.Event(manual_reset=False)
    pair.near.event_select(event, wsock.FD_READ)
    call: Call = {
        "wait": event.wait,
        "any": lambda: wsock.wait_for_multiple_events([other, event]),
        "all": lambda: wsock.wait_for_multiple_events([other, event], wait_all=True),
    }[name]

    async def after() -> None:
        other_is_set = name == "all"
        if other_is_set:
            other.set()
        pair.far.send_nowait(b"x")
        await world.until(event.is_set)
        assert other.is_set() == other_is_set
        assert await call() == (1 if name == "any" else None)
        assert not event.is_set()
        assert not other.is_set()

    return call, after


async def serving(world: World) -> tuple[Call, Call]:
    async def after() -> None:
        assert not [row for row in world.stack.netstat() if row["state"] == "LISTENING"]

    async def echo(stream: wsock.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    return lambda: wsock.serve_tcp(echo, 0, host=world.provider.host, stack=world.stack), after


SCENES: dict[str, Scene] = {
    **{
        f"Socket.{name}": partial(receiving, name)
        for name in ("recv", "recv_into", "recvfrom", "wait_turn")
    },
    "Socket.recvfrom of a datagram": receiving_datagrams,
    **{
        f"Socket.{name}": partial(sending, name)
        for name in ("send", "send_all", "sendto", "wait_send_room")
    },
    "Socket.accept": partial(accepting, "accept"),
    "Socket.connect": connecting,
    "Socket.wait_connected": waiting_for_a_connection,
    "Socket.aclose": closing,
    **{
        f"Window.{name}": partial(reading_a_window, name)
        for name in ("get", "run", "__anext__", "batches")
    },
    "Event.wait": partial(waiting_for_events, "wait"),
    "wait_for_multiple_events": partial(waiting_for_events, "any"),
    "wait_for_multiple_events, all": partial(waiting_for_events, "all"),
    **{f"SocketStream.{name}": partial(receiving, name) for name in ("receive_some", "__anext__")},
    "SocketStream.send_all": partial(sending, "stream"),
    "SocketStream.wait_send_all_might_not_block": partial(sending, "wait_send_all_might_not_block"),
    "SocketListener.accept": partial(accepting, "SocketListener"),
    "open_tcp_stream": opening_a_stream,
    "serve_tcp": serving,
}

#: Calls that are a checkpoint and wait for nothing that a test could hold back.
CHECKPOINTS = {
    "Window.aclose",
    "SocketStream.aclose",
    "SocketStream.send_eof",
    "SocketListener.aclose",
    "open_tcp_listeners",
    "resolve",  # a thread: see tests of names
}
#: What Window.get and Window.run wait with.
BENEATH = {"MessageQueue.get", "MessageQueue.wait"}
#: Calls that run worker processes, with tests of their own.
OF_PROCESSES = {"ProcessServer.run", "ProcessServer.wait_ready", "serve_processes"}


@pytest.mark.parametrize("cancel", [cancelled_before, cancelled_while_waiting])
@pytest.mark.parametrize("name", SCENES)
async def test_cancelled_it_has_taken_nothing_and_the_next_one_works(
    world: World, name: str, cancel: Callable[[Call], Awaitable[None]]
) -> None:
    """Whatever it waits for comes afterwards, and is there once."""
    call, after = await SCENES[name](world)
    await cancel(call)
    with trio.fail_after(10):
        await after()


def test_no_waiting_call_is_forgotten() -> None:
    """What the package offers to await is in the list above."""
    found = set()
    for name in wsock.__all__:
        thing = getattr(wsock, name)
        if inspect.iscoroutinefunction(thing):
            found.add(name)
        elif inspect.isclass(thing) and not issubclass(thing, BaseException):
            found |= {
                f"{name}.{method}"
                for method, function in inspect.getmembers(thing, inspect.iscoroutinefunction)
                if method == "__anext__" or not method.startswith("_")
            }
    listed = {name.split(" of ")[0].split(",")[0] for name in SCENES}
    listed.remove("Window.batches")  # a plain function: its iterator waits
    assert found == listed | CHECKPOINTS | BENEATH | OF_PROCESSES
