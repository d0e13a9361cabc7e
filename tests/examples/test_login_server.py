"""The login server on sockets: order, back-pressure, time-outs, bad clients, stopping."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, ClassVar

import pytest
import trio
import trio.testing
from login_clients import Running, contexts, running
from login_world import World, wait_for

from examples.login_server import server as server_module
from examples.login_server.connection import RECEIVE_BYTES
from examples.login_server.log import Log
from examples.login_server.server import WM_ANSWERED, LoginServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from examples.login_server.protocol import Command
    from examples.login_server.service import Answer

LOGIN = "LOGIN bob correct-horse"
# Without epoll a reset behind unread data, or while nobody reads, gives no wake-up: it is seen by
# the next call.
RESET_IS_SEEN = (
    os.environ.get("WSOCK_ENGINE", "epoll" if hasattr(select, "epoll") else "") == "epoll"
)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
async def server(world: World, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """In plain text and over TLS: the same server to whoever can speak."""
    async with running(world, tls=request.param) as run:
        yield run


async def test_a_conversation(server: Running) -> None:
    """What the README shows, on one connection; then the log line."""
    client = await server.connect()
    assert await client.ask("REGISTER ann long-enough") == "OK ann"
    token = (await client.ask("LOGIN ann long-enough")).removeprefix("OK ")
    assert await client.ask(f"WHOAMI {token}") == "OK ann"
    assert (await client.ask("LOGIN ann wrong")).startswith("ERR DENIED ")
    fresh = (await client.ask(f"PASSWD {token} long-enough longer-still")).removeprefix("OK ")
    assert (await client.ask(f"WHOAMI {token}")).startswith("ERR TOKEN ")
    assert await client.ask(f"LOGOUT {fresh}") == "OK"
    assert await client.ask("QUIT") == "OK bye"
    assert await client.line() == ""
    await client.stream.aclose()
    await server.gone()
    (line,) = server.log("connection")
    assert line["name"] == "ann"
    assert (line["commands"], line["ok"], line["failed"]) == (8, 6, 2)
    assert line["reason"] == "quit"
    for secret in (token, fresh, "long"):
        assert secret not in server.world.log.getvalue()


async def test_replies_come_in_the_order_of_the_commands(server: Running) -> None:
    """Though some take a thread and some nothing; one packet has them all."""
    client = await server.connect()
    await client.send("NONSENSE", LOGIN, "WHOAMI x", "REGISTER bob another-one", "QUIT", "IGNORED")
    replies = [line.split() for line in await client.lines()]
    assert [words[0] for words in replies] == ["ERR", "OK", "ERR", "ERR", "OK"]
    assert [words[1] for words in replies if words[0] == "ERR"] == ["SYNTAX", "TOKEN", "TAKEN"]
    assert replies[-1] == ["OK", "bye"]


async def test_commands_sent_ahead_stay_with_the_client(server: Running) -> None:
    """While a password is hashed nothing more is read, however much is sent."""
    server.world.passwords.gate.clear()
    client, connection = await server.connected()
    await client.send(LOGIN)
    await wait_for(lambda: server.world.passwords.verified == 1)
    with trio.move_on_after(1.0):
        while True:
            await client.stream.send_all(b"WHOAMI x\n" * 10_000)
    assert connection.session.counts.bytes_in <= RECEIVE_BYTES <= 65536
    client.reset()
    if not RESET_IS_SEEN:
        server.world.passwords.gate.set()
    await server.gone()
    assert server.log("connection")[0]["reason"] == "reset"


async def test_who_ends_its_side_still_gets_its_replies(server: Running) -> None:
    """``printf ... | nc``: the end of input comes with the command."""
    client = await server.connect()
    await client.send(LOGIN, "WHOAMI x")
    await client.stream.send_eof()
    replies = await client.lines()
    assert [reply.split()[0] for reply in replies] == ["OK", "ERR"]
    await server.gone()
    assert server.log("connection")[0]["reason"] == "closed"


async def test_a_command_that_the_end_cuts_off_is_not_executed(server: Running) -> None:
    """It is told so."""
    client = await server.connect()
    await client.stream.send_all(b"REGISTER ann long-enough")
    await client.stream.send_eof()
    assert [line.split()[1] for line in await client.lines()] == ["SYNTAX"]
    assert server.world.accounts.find("ann") is None


async def test_a_client_that_goes_while_its_password_is_hashed(server: Running) -> None:
    """By a reset or by a close: the thread ends, the server goes on."""
    server.world.passwords.gate.clear()
    rude, polite = await server.connect(), await server.connect()
    await rude.send(LOGIN)
    await polite.send(LOGIN)
    await wait_for(lambda: server.world.passwords.verified == 2)
    rude.reset()
    if RESET_IS_SEEN:
        await server.gone(1)
    await polite.stream.aclose()
    server.world.passwords.gate.set()
    await server.gone()
    await wait_for(lambda: server.world.service.pool.calls == 0)
    assert (await (await server.connect()).ask(LOGIN)).startswith("OK ")
    assert sorted(line["reason"] for line in server.log("connection")) == ["closed", "reset"]


async def test_hostile_lines_get_a_clear_answer_each(server: Running) -> None:
    """NULs, bad UTF-8, telnet options, 1 MiB; the connection works on."""
    client = await server.connect()
    for data, code in (
        (b"LOGIN b\x00b x\n", "CHARS"),
        (b"\xff\xfb\x01\xff\xfe\n", "CHARS"),
        (b"x" * (1 << 20) + b"\n", "TOOLONG"),
        (b"\n", "SYNTAX"),
        ("LOGIN \u202etxet x\n".encode(), "NAME"),
    ):
        await client.stream.send_all(data)
        assert (await client.line()).split()[:2] == ["ERR", code]
    assert (await client.ask(LOGIN)).startswith("OK ")


async def test_who_sends_no_commands_is_closed_after_a_while(server: Running) -> None:
    """An HTTP client, say: so many answers, then the end, and its last reply arrives."""
    client = await server.connect()
    await client.send(*["GET / HTTP/1.1"] * 1000)
    replies = await client.lines()
    assert len(replies) == server.world.limits.bad_lines
    assert replies[-1].startswith("ERR TOOMANY ")
    await client.stream.aclose()
    await server.gone()
    assert server.log("connection")[0]["reason"] == "bad lines"


async def test_a_byte_now_and_then_does_not_keep_a_connection(server: Running) -> None:
    """The time to log in is over, the client is told, and closed though it goes on dripping."""
    client, _ = await server.connected()
    for _ in range(30):
        await client.stream.send_all(b"x")
        server.world.now += 2.0
        server.server.sweep()
    assert (await client.line()).startswith("ERR TIMEOUT ")
    assert await client.line() == ""
    server.world.now += server.world.limits.drain_seconds
    server.server.sweep()
    assert server.server.connections == 0
    assert server.log("connection")[0]["reason"] == "timeout"


async def test_who_is_logged_in_may_be_idle_longer_but_not_for_ever(server: Running) -> None:
    """The time to log in no longer counts; the idle time does."""
    client = await server.connect()
    assert (await client.ask(LOGIN)).startswith("OK ")
    server.world.now += 299.0
    server.server.sweep()
    assert (await client.ask("WHOAMI x")).startswith("ERR TOKEN ")
    server.world.now += 299.0
    server.server.sweep()
    assert server.server.connections == 1
    server.world.now += 1.0
    server.server.sweep()
    assert (await client.line()).startswith("ERR TIMEOUT ")


async def test_who_does_not_read_its_replies_is_cut_off(make_world: Callable[..., World]) -> None:
    """It is not read either, costs one reply of memory, and is reset when its time is over."""
    world = make_world(bad_lines=1_000_000_000)
    async with running(world) as run:
        client, connection = await run.connected()
        while not connection._unsent:  # and from there on no checkpoint before the sweep
            with trio.move_on_after(0.05):
                await client.stream.send_all(b"\n" * 65536)
        assert len(connection._unsent) < 200
        world.now += world.limits.login_seconds
        run.server.sweep()
        assert run.server.connections == 0
        with pytest.raises(trio.BrokenResourceError):
            await client.stream.send_all(b"x" * 1_000_000)


async def test_connections_of_one_peer_are_limited(make_world: Callable[..., World]) -> None:
    """One too many is told so; who leaves makes room. Refusals are counted in the log."""
    async with running(make_world(connections_per_peer=2)) as run:
        first, _ = await run.connected()
        await run.connected()
        for _ in range(3):
            refused = await run.connect()
            assert (await refused.line()).startswith("ERR LIMIT ")
            assert await refused.line() == ""
        run.server.sweep()
        assert [line["connections"] for line in run.log("refused")] == [3]
        await first.stream.aclose()
        await run.gone(1)
        assert (await (await run.connect()).ask("WHOAMI x")).startswith("ERR TOKEN ")


async def test_who_is_refused_is_told_though_it_has_spoken_already(
    make_world: Callable[..., World],
) -> None:
    """What it sent ahead is taken off: unread, it would turn the close into a reset."""
    async with running(make_world(connections_per_peer=1)) as run:
        await run.connected()
        with socket.create_connection(("127.0.0.1", run.port), timeout=30) as eager:
            eager.sendall(f"{LOGIN}\nQUIT\n".encode())  # all before the server's loop turns
            await wait_for(lambda: bool(run.server._refused))
            said = await trio.to_thread.run_sync(eager.makefile("rb").read)
    assert said.startswith(b"ERR LIMIT ")
    assert said.count(b"\n") == 1


async def test_a_flood_of_connections_is_survived(make_world: Callable[..., World]) -> None:
    """A thousand at once, most of them refused; afterwards the server serves."""
    async with running(make_world(connections_per_peer=20)) as run:

        async def knock() -> None:
            with suppress(OSError, trio.BrokenResourceError):
                client = await run.connect()
                await client.ask("QUIT")
                await client.stream.aclose()

        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(knock)
        await run.gone()
        assert (await (await run.connect()).ask("QUIT")) == "OK bye"


async def test_what_a_handler_raises_resets_that_client_only(server: Running) -> None:
    """And is logged with the connection's number, without the input."""
    execute = server.world.service.execute

    async def faulty(command: Command, peer: str) -> Answer:
        if "ann" in repr(command):
            raise OSError("error expected")
        return await execute(command, peer)

    server.world.service.execute = faulty  # type: ignore[method-assign]
    good, (bad, connection) = await server.connect(), await server.connected()
    await bad.send("LOGIN ann correct-horse")
    with pytest.raises(trio.BrokenResourceError):
        await bad.line()
    assert (await good.ask(LOGIN)).startswith("OK ")
    (error,) = server.log("error")
    assert (error["id"], error["error"]) == (connection.number, "OSError")
    assert server.log("connection")[0]["reason"] == "error"


async def test_all_connections_may_be_answered_at_once(server: Running) -> None:
    """The window has room for an answer to each."""
    execute, gate = server.world.service.execute, trio.Event()
    held: list[Command] = []

    async def hold(command: Command, peer: str) -> Answer:
        held.append(command)
        await gate.wait()
        return await execute(command, peer)

    server.world.service.execute = hold  # type: ignore[method-assign]
    server.world.service._find_by_token = no_account  # type: ignore[method-assign]
    clients = [await server.connect() for _ in range(5)]
    for client in clients:
        await client.send("WHOAMI x")
    await wait_for(lambda: len(held) == 5)
    gate.set()  # five tasks go on in the same pass, before the window's
    for client in clients:
        assert (await client.line()).startswith("ERR TOKEN ")


async def no_account(token: str) -> None:
    """Found without a thread."""


async def test_what_is_raised_after_the_client_has_gone_is_still_logged(server: Running) -> None:
    """A fault of the server is no smaller because nobody waits for the answer."""
    client, connection = await server.connected()
    client.reset()
    await server.gone()
    server.server.window.post(WM_ANSWERED, connection, OSError("error expected"))
    await wait_for(lambda: bool(server.log("error")))
    assert server.log("error")[0]["id"] == connection.number
    assert len(server.log("connection")) == 1


async def test_what_a_message_handler_raises_resets_that_client_only(server: Running) -> None:
    """The same for an exception out of on_receive."""
    bad, connection = await server.connected()

    def fail(data: bytes) -> None:
        raise OSError("error expected")

    class Faulty(type(connection.session)):  # type: ignore[misc]
        feed = staticmethod(fail)

    connection.session = Faulty(server.world.limits, 0.0)
    await bad.send("WHOAMI x")
    with pytest.raises(trio.BrokenResourceError):
        await bad.line()
    assert server.log("error")[0]["id"] == connection.number
    assert (await (await server.connect()).ask(LOGIN)).startswith("OK ")


async def test_a_client_that_cannot_be_served_is_closed_and_the_next_one_is(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong before the first message of a connection is logged as "accept"."""

    def fail(*_args: object) -> None:
        raise OSError("error expected")

    with monkeypatch.context() as patch:
        patch.setattr(server_module, "Connection", fail)
        client = await server.plain()
        with suppress(trio.BrokenResourceError):
            assert await client.line() == ""
    assert server.log("accept")[0]["text"] == "error expected"
    assert len(server.server._count) == 0
    assert (await (await server.connect()).ask("QUIT")) == "OK bye"


async def test_a_fault_in_a_timeout_ends_that_client_only(server: Running) -> None:
    """The sweep goes on to the others."""
    bad, connection = await server.connected()
    good, _ = await server.connected()

    def fail() -> float:
        raise OSError("error expected")

    class Faulty(type(connection.session)):  # type: ignore[misc]
        deadline = staticmethod(fail)

    connection.session = Faulty(server.world.limits, 0.0)
    server.world.now += server.world.limits.login_seconds
    server.server.sweep()
    with pytest.raises(trio.BrokenResourceError):
        await bad.line()
    assert (await good.line()).startswith("ERR TIMEOUT ")
    assert server.log("error")[0]["id"] == connection.number


async def test_expired_tokens_are_purged_now_and_then(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    """Every ten minutes, also after a time that failed."""

    class Purging:
        times: ClassVar[list[float]] = []

        async def purge(self) -> int:
            await trio.lowlevel.checkpoint()
            self.times.append(trio.current_time())
            if len(self.times) == 1:
                raise OSError("error expected")
            return 0

    server = LoginServer(Purging(), world.limits, Log(world.log))  # type: ignore[arg-type]
    start = trio.current_time()
    with trio.move_on_after(1300.0):
        await server._purge_on()
    assert [time - start for time in Purging.times] == [600.0, 1200.0]
    assert '"event": "purge"' in world.log.getvalue()


async def test_a_stop_answers_the_login_under_way(server: Running) -> None:
    """Idle clients are closed, newcomers refused by the system, the hash is waited for."""
    server.world.passwords.gate.clear()
    busy, idle = await server.connect(), (await server.connected())[0]
    await busy.send(LOGIN, "WHOAMI x")
    await wait_for(lambda: server.world.passwords.verified == 1)
    server.server.stop()
    assert await idle.line() == ""
    await idle.stream.aclose()
    await server.gone(1)
    with pytest.raises(OSError, match="all attempts to connect"):
        await server.connect()
    server.world.passwords.gate.set()
    assert (await busy.line()).startswith("OK ")
    assert (await busy.line()).startswith("ERR STOPPING ")
    assert await busy.line() == ""
    await busy.stream.aclose()
    await server.stopped.wait()
    assert not server.server.was_cut


async def test_a_stop_that_takes_too_long_is_cut(server: Running) -> None:
    """A client that does not close its side, and one whose login never ends."""
    stubborn, _ = await server.connected()
    server.server.stop()
    assert await stubborn.line() == ""
    server.world.passwords.gate.clear()
    server.world.now += server.world.limits.drain_seconds
    server.server.sweep()
    await server.stopped.wait()
    assert server.server.connections == 0


async def test_a_second_stop_cuts(server: Running) -> None:
    """Also a login under way; its thread is waited for, its client is not."""
    server.world.passwords.gate.clear()
    client = await server.connect()
    await client.send(LOGIN)
    await wait_for(lambda: server.world.passwords.verified == 1)
    server.server.stop()
    assert server.server.connections == 1
    server.server.cut()
    assert server.server.connections == 0
    with pytest.raises(trio.BrokenResourceError):
        await client.line()
    server.world.passwords.gate.set()
    await server.stopped.wait()
    assert server.server.was_cut
    assert server.log("connection")[0]["reason"] == "cut"


async def test_the_stop_has_a_deadline(server: Running) -> None:
    """A login that hangs does not keep the server."""
    server.world.passwords.gate.clear()
    client = await server.connect()
    await client.send(LOGIN)
    await wait_for(lambda: server.world.passwords.verified == 1)
    server.server.stop()
    server.world.now += server.world.limits.stop_seconds
    server.server.sweep()
    server.world.passwords.gate.set()
    await server.stopped.wait()
    assert server.server.was_cut
    assert server.log("stop deadline")[0]["connections"] == 1


async def test_resets_at_every_stage_leave_nothing_behind(server: Running) -> None:
    """After connecting, in a line, behind a command, behind a reply, in the farewell."""
    for lines, replies in (
        (b"", 0),
        (b"LOGI", 0),
        (b"LOGIN bob correct-horse\n", 0),
        (b"WHOAMI x\n", 1),
        (b"QUIT\n", 1),
    ):
        client = await server.connect()
        await client.stream.send_all(lines)
        for _ in range(replies):
            await client.line()
        client.reset()
    await server.gone()
    assert len(server.server._count) == 0
    await wait_for(lambda: server.world.service.pool.calls == 0)


async def test_a_full_queue_says_busy_on_the_line(make_world: Callable[..., World]) -> None:
    """At once, and the connection works on."""
    world = make_world(hash_threads=1, hash_waiting=1)
    async with running(world) as run:
        first = await run.connect()
        assert await first.ask("REGISTER bob correct-horse") == "OK bob"
        world.passwords.gate.clear()
        second, third = await run.connect(), await run.connect()
        await first.send(LOGIN)
        await second.send(LOGIN)
        await wait_for(lambda: world.service.pool.calls == 2)
        assert (await third.ask(LOGIN)).startswith("ERR BUSY ")
        world.passwords.gate.set()
        assert (await first.line()).startswith("OK ")
        assert (await second.line()).startswith("OK ")
        assert (await third.ask(LOGIN)).startswith("OK ")


async def test_the_standard_librarys_blocking_socket_is_a_client(server: Running) -> None:
    """In a thread of its own, with makefile; over TLS wrapped by its ssl."""
    answers: list[str] = []

    def talk() -> None:
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as plain:
            if server.tls:
                sock: socket.socket = contexts()[1].wrap_socket(plain, server_hostname="localhost")
            else:
                sock = plain
            with sock, sock.makefile("rw", encoding="utf-8", newline="\n") as file:
                for line in (LOGIN, "QUIT"):
                    file.write(line + "\n")
                    file.flush()
                    answers.append(file.readline())

    thread = threading.Thread(target=talk)
    thread.start()
    await trio.to_thread.run_sync(thread.join)
    assert answers[0].startswith("OK ")
    assert answers[1] == "OK bye\n"
