"""SIGTERM: who is in is served, who comes is refused at once, and nobody is reset in between."""

from __future__ import annotations

import os
import signal
import socket as std
import sys
from typing import TYPE_CHECKING

import programs
import pytest
import trio
import trio.testing
from process_clients import (
    HOST,
    PATIENCE_S,
    ask,
    ask_port,
    connected,
    gone,
    served_by,
    serving,
    until,
)

from wsock import _processes, _worker
from wsock._listener_shutdown import handshake_under_way

if TYPE_CHECKING:
    import subprocess

    import wsock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can shut a listener")


def listens(server: wsock.ProcessServer, which: int = 0) -> bool:
    return bool(server._sockets[which].getsockopt(std.SOL_SOCKET, std.SO_ACCEPTCONN))


async def comes(address: tuple[str, int]) -> trio.SocketStream:
    """A client that comes now; ConnectionRefusedError is what it is told, and not wrapped."""
    sock = trio.socket.socket()
    try:
        await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def is_refused(address: tuple[str, int]) -> bool:
    try:
        stream = await comes(address)
    except ConnectionRefusedError:
        return True
    await stream.aclose()
    return False


async def until_refused(address: tuple[str, int]) -> None:
    while not await is_refused(address):
        await trio.lowlevel.checkpoint()


async def asleep(server: wsock.ProcessServer) -> list[int]:
    """Have all workers sleep, once they have begun: what comes waits in the kernel's queue."""
    await server.wait_ready()
    for pid in server.pids:
        os.kill(pid, signal.SIGSTOP)
    return server.pids


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the supervisor sees from now on when it looks for handshakes under way."""
    looks = []

    def look(sock: std.socket) -> bool:
        looks.append(handshake_under_way(sock))
        return looks[-1]

    monkeypatch.setattr(_processes, "handshake_under_way", look)
    return looks


async def test_newcomers_are_refused_while_clients_are_served() -> None:
    """They do not wait for the end of those that are in."""
    async with serving() as server, await connected(server) as stream:
        who = await served_by(stream)
        server.stop()
        await until_refused(server.addresses[0])
        assert await served_by(stream) == who


async def test_who_waits_in_the_queue_is_served_and_who_comes_later_is_refused() -> None:
    """The stop is the line between them, although nobody has accepted either."""
    async with serving(workers=1) as server, trio.open_nursery() as nursery:
        (pid,) = await asleep(server)
        streams = [await connected(server) for _ in range(20)]
        server.stop()
        await trio.testing.wait_all_tasks_blocked()

        async def come() -> None:
            with pytest.raises(ConnectionRefusedError):
                await comes(server.addresses[0])

        nursery.start_soon(come)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(pid, signal.SIGCONT)
        for stream in streams:
            async with stream:
                assert await served_by(stream) == pid


async def test_nobody_is_reset_though_clients_come_all_the_time(
    program: tuple[subprocess.Popen[str], int],
) -> None:
    """Each is served, or told by its connect that it comes too late."""
    process, port = program
    served = 0

    async def come_and_go() -> None:
        nonlocal served
        while True:
            try:
                stream = await comes((HOST, port))
            except ConnectionRefusedError:
                return
            async with stream:
                await served_by(stream)
            served += 1

    with trio.fail_after(PATIENCE_S):
        await ask_port(port)
        async with await comes((HOST, port)) as staying:
            await served_by(staying)
            async with trio.open_nursery() as clients:
                for _ in range(20):
                    clients.start_soon(come_and_go)
                await until(lambda: served > 100)
                process.send_signal(signal.SIGTERM)
            await served_by(staying)
        assert await trio.to_thread.run_sync(process.wait) == 0


async def test_who_waits_in_the_queue_of_a_slow_program_is_served() -> None:
    """One that takes one client at a time has the whole of ``drain_timeout`` for it."""
    async with serving(programs.one_at_a_time, workers=1) as server:
        first, *others = [await connected(server) for _ in range(4)]
        async with first:
            pid = await served_by(first)
            server.stop()
            await trio.sleep(_worker.LINGER_S * 1.5)  # longer than a worker that is replaced waits
            assert await served_by(first) == pid
        for stream in others:
            async with stream:
                assert await served_by(stream) == pid


async def test_a_handshake_under_way_is_completed_and_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client believes that it is in: with TCP_DEFER_ACCEPT the server lets it wait for that."""
    async with serving(workers=1) as server:
        await server.wait_ready()
        server._sockets[0].setsockopt(std.IPPROTO_TCP, std.TCP_DEFER_ACCEPT, 60)
        async with await connected(server) as stream:
            looks = counted(monkeypatch)
            server.stop()
            await until(lambda: len(looks) > 3)
            assert looks.count(True) == len(looks)
            assert await served_by(stream) == server.pids[0]
            await until(lambda: not listens(server))


async def test_a_handshake_that_does_not_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A port scan leaves some, and so does a client that was cut off."""
    monkeypatch.setattr(_processes, "HANDSHAKE_S", 0.1)
    async with serving(workers=1) as server, await connected(server) as stream:
        who = await served_by(stream)
        server._sockets[0].setsockopt(std.IPPROTO_TCP, std.TCP_DEFER_ACCEPT, 60)
        async with await connected(server):
            looks = counted(monkeypatch)
            server.stop()
            await until_refused(server.addresses[0])
            assert looks[-1]
            assert await served_by(stream) == who


async def test_sockets_of_others_are_not_shut() -> None:
    """Who handed it in, or its next user, goes on with it: newcomers wait for that one."""
    with std.create_server((HOST, 0)) as sock:
        async with serving(programs.echo, sock) as server, await connected(server) as stream:
            who = await served_by(stream)
            others = [pid for pid in server.pids if pid != who]
            server.stop()
            await until(lambda: all(map(gone, others)))
            newcomer = await connected(server)
            await served_by(stream)
        async with newcomer, serving(programs.echo, sock) as successor:
            assert await served_by(newcomer) in successor.pids


async def test_of_several_sockets_those_made_here_are_shut() -> None:
    """Each by itself."""
    with std.create_server((HOST, 0)) as sock:
        addresses = (HOST, 0), sock, (HOST, 0)
        async with (
            serving(programs.echo, *addresses) as server,
            await connected(server) as stream,
        ):
            await served_by(stream)
            server.stop()
            await until_refused(server.addresses[0])
            await until_refused(server.addresses[2])
            async with await comes(server.addresses[1]):
                await served_by(stream)


async def test_a_kernel_that_cannot_hold_back_shuts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty queue would say nothing there: who comes waits, as for a successor."""
    monkeypatch.setattr(_processes, "hold_back", lambda _: False)
    async with serving(workers=1) as server:
        async with await connected(server) as stream:
            who = await served_by(stream)
            server.stop()
            await until(lambda: not any(process.taking for process in server._alive))
            async with await comes(server.addresses[0]):
                assert await served_by(stream) == who
        await until(lambda: gone(who))
    assert await is_refused(server.addresses[0])


async def test_the_port_is_free_for_a_successor() -> None:
    """It need not wait for the last client of the one that leaves."""
    with std.create_server((HOST, 0)) as probe:
        address = probe.getsockname()
    async with serving(programs.echo, address) as server, await connected(server) as stream:
        who = await served_by(stream)
        server.stop()
        await until(lambda: not listens(server))
        async with serving(programs.echo, address) as successor:
            assert await ask(successor) in successor.pids
        assert await served_by(stream) == who


async def test_a_worker_that_is_still_beginning_serves_who_waits() -> None:
    """SIGTERM does not end it: there is nobody else."""
    async with serving(workers=1) as server:
        (pid,) = server.pids
        stream = await connected(server)
        server.stop()
        async with stream:
            assert await served_by(stream) == pid


async def test_a_worker_that_begins_after_the_end_just_ends() -> None:
    """Others had served all, and it finds a socket that does not listen: no error, no traceback."""
    async with serving() as server:
        late, other = (place.process for place in server._places)
        assert late is not None
        assert other is not None
        os.kill(late.pid, signal.SIGSTOP)
        async with await connected(server) as stream:
            assert await served_by(stream) == other.pid
            server.stop()
            await until(lambda: not listens(server))
            os.kill(late.pid, signal.SIGCONT)
            await late.ended.wait()
            assert late.how_it_ended() == "exit code 0"
            assert await served_by(stream) == other.pid


async def test_a_worker_that_dies_meanwhile() -> None:
    """The others serve who waits."""
    async with serving() as server:
        first, second = await asleep(server)
        streams = [await connected(server) for _ in range(10)]
        server.stop()
        await trio.testing.wait_all_tasks_blocked()
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGCONT)
        for stream in streams:
            async with stream:
                assert await served_by(stream) == second


@pytest.mark.parametrize("how", ["killed", "second stop"])
async def test_when_no_worker_is_left_it_is_over(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits is reset, since nobody could serve it, and the log says so."""
    async with serving() as server:
        pids = await asleep(server)
        stream = await connected(server)
        server.stop()
        await trio.testing.wait_all_tasks_blocked()
        assert listens(server)
        if how == "killed":
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        else:
            server.stop()
        async with stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some(1)
    assert "1 client in the queue of ('127.0.0.1'" in caplog.text


async def test_without_any_worker_it_is_over_at_once() -> None:
    """All have failed, and the next one is not due yet."""
    async with serving(programs.fail, workers=1) as server:
        await until(lambda: server.restarts and not server._alive)
        async with await connected(server) as stream:
            server.stop()
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some(1)
        await until_refused(server.addresses[0])


async def test_a_stop_in_the_midst_of_a_reload(tmp_path: trio.Path) -> None:
    """The old worker, which the new one was to replace, serves who waits."""
    gate = tmp_path / "gate"
    gate.touch()
    async with serving(
        programs.slow_to_start, args=(str(gate),), workers=1, wait_ready=True
    ) as server:
        await server.wait_ready()
        gate.unlink()
        server.reload()
        await until(lambda: len(server._alive) == 2)
        (old,) = await asleep(server)
        stream = await connected(server)
        server.stop()
        os.kill(old, signal.SIGCONT)
        async with stream:
            assert await served_by(stream) == old
            await until_refused(server.addresses[0])


async def test_a_reload_shuts_nothing() -> None:
    """The queue is for whoever replaces those that leave."""
    async with serving() as server:
        before = set(server.pids)
        async with await connected(server) as stream:
            await served_by(stream)
            server.reload()
            await until(lambda: before.isdisjoint(server.pids))
            assert await ask(server) > 0
            await served_by(stream)
        await until(lambda: all(map(gone, before)))
        assert listens(server)
        assert await ask(server) in server.pids


async def test_sigterm_to_the_whole_process_group(
    program: tuple[subprocess.Popen[str], int],
) -> None:
    """As systemd does unless told otherwise: workers and supervisor hear of it at once."""
    process, port = program
    with trio.fail_after(PATIENCE_S):
        await ask_port(port)
        async with await comes((HOST, port)) as stream:
            who = await served_by(stream)
            os.killpg(process.pid, signal.SIGTERM)
            await until_refused((HOST, port))
            assert await served_by(stream) == who
        assert await trio.to_thread.run_sync(process.wait) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


async def test_a_supervisor_that_dies_meanwhile(
    program: tuple[subprocess.Popen[str], int],
) -> None:
    """Its workers serve who waits, and do not wait for it to shut anything."""
    process, port = program
    with trio.fail_after(PATIENCE_S):
        pids = {await ask_port(port)}
        while len(pids) < 2:
            pids.add(await ask_port(port))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        streams = [await comes((HOST, port)) for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(0.5) as held_back:
            await until_refused((HOST, port))
        assert held_back.cancelled_caught
        process.kill()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for stream in streams:
            async with stream:
                assert await served_by(stream) in pids
        await until(lambda: all(map(gone, pids)))


async def test_a_program_that_closes_its_listener_is_not_waited_for() -> None:
    """It says so by that: nobody of those that wait will be served."""
    async with (
        serving(programs.closes_its_listener, workers=1) as server,
        await connected(server) as stream,
    ):
        assert await stream.receive_some(100) == b"hello"
        (pid,) = await asleep(server)
        async with await connected(server), await connected(server) as late:
            server.stop()
            await trio.testing.wait_all_tasks_blocked()
            os.kill(pid, signal.SIGCONT)
            with pytest.raises(trio.BrokenResourceError):
                await late.receive_some(1)
        await until_refused(server.addresses[0])
        await stream.send_all(b"bye")
        assert await stream.receive_some(100) == b"bye"


async def test_workers_that_left_by_themselves_keep_no_newcomer_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who was asked by another (kill PID) takes nobody any more, though it still serves."""
    async with serving(workers=1) as server, await connected(server) as stream:
        pid = await served_by(stream)
        os.kill(pid, signal.SIGTERM)
        await until(lambda: not any(process.taking for process in server._alive))
        async with await connected(server) as late:
            server.stop()
            with pytest.raises(trio.BrokenResourceError):
                await late.receive_some(1)
        assert await is_refused(server.addresses[0])
        assert await served_by(stream) == pid
    assert "1 client in the queue" in caplog.text
