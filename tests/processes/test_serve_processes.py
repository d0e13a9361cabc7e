"""serve_processes: several workers on one listening socket, and none of their clients lost."""

from __future__ import annotations

import os
import signal
import socket as std
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

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
    refused,
    served_by,
    serving,
    until,
)

import wsock
from wsock import _processes, _worker

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a worker leaves by SIGTERM")

UNKNOWN = (wsock.WSAHOST_NOT_FOUND, wsock.WSATRY_AGAIN)  # the latter where no resolver answers


@pytest.mark.parametrize("program", [programs.echo, programs.blocking_echo])
async def test_every_worker_serves(program: Callable[..., Awaitable[object]]) -> None:
    """All share the listening socket: whichever cannot come, another one accepts."""
    async with serving(program) as server:
        first, second = server.pids
        for asleep, awake in ((first, second), (second, first)):
            os.kill(asleep, signal.SIGSTOP)
            assert await ask(server) == awake
            os.kill(asleep, signal.SIGCONT)


async def test_clients_that_come_one_by_one_are_shared_out() -> None:
    """Idle workers all get some: the first to come does not take everyone."""
    async with serving() as server:
        await server.wait_ready()
        streams = [await connected(server) for _ in range(40)]
        served = {await served_by(stream) for stream in streams}
        for stream in streams:
            await stream.aclose()
    assert served == set(server.pids)


async def test_who_has_more_sockets_than_another_stands_back() -> None:
    """Not behind one that has as many, nor behind one that is gone or leaves."""
    mine = len(wsock.current_stack().endpoints)
    loads = [mine - 1, 0, _worker.GONE]
    share = _worker.Share(loads, 1)
    assert share.delay() == _worker.STAND_BACK_S
    assert loads[1] == mine
    loads[0] = mine
    assert share.delay() == 0.0
    loads[0] = _worker.GONE
    assert share.delay() == 0.0
    share.leave()
    assert loads[1] == _worker.GONE
    assert _worker.Share([mine], 0).delay() == 0.0


async def test_a_worker_that_dies_is_replaced() -> None:
    """The place is filled again, and clients that come meanwhile are served."""
    async with serving(workers=1) as server:
        (before,) = server.pids
        assert await ask(server) == before
        os.kill(before, signal.SIGKILL)
        after = await ask(server)
        assert after != before
        assert server.pids == [after]
        assert server.restarts == 1


async def test_one_that_fails_at_once_is_not_started_in_a_loop(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each start waits longer than the one before; the log says how the worker ended."""
    async with serving(programs.fail, workers=1) as server:
        await until(lambda: server.restarts >= 2)
    assert "ended with exit code 1; the next one starts in 0.1 s" in caplog.text
    assert "the next one starts in 0.2 s" in caplog.text
    assert "LookupError: worker 0 is not well" in capfd.readouterr().err


def test_pauses_double_up_to_a_limit_and_end_with_a_healthy_worker() -> None:
    """0.1 s, 0.2 s ... 30 s; none after a worker that lived long."""
    place = _processes._Place(0)
    pauses = [place.next_pause(1.0) for _ in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == _processes.LONGEST_PAUSE_S
    assert place.next_pause(_processes.HEALTHY_S) == 0.0
    assert place.next_pause(1.0) == 0.1


async def test_reload_replaces_every_worker_and_refuses_nobody() -> None:
    """While clients come and go all the time, each one is served."""
    async with serving() as server:
        before = set(server.pids)
        over = trio.Event()
        served = []

        async def come_and_go() -> None:
            while not over.is_set():
                served.append(await ask(server))

        async with trio.open_nursery() as clients:
            for _ in range(3):
                clients.start_soon(come_and_go)
            await until(lambda: len(served) > 10)
            server.reload()
            await until(lambda: before.isdisjoint(server.pids) and all(map(gone, before)))
            over.set()
        assert len(served) > 10
        assert await ask(server) in server.pids
        assert server.restarts == 0


async def test_reload_replaces_one_worker_after_the_other(tmp_path: Path) -> None:
    """The second one's turn comes when the first new one is ready: never two at once."""
    gate = tmp_path / "gate"
    gate.touch()
    async with serving(programs.slow_to_start, args=(str(gate),), wait_ready=True) as server:
        await server.wait_ready()
        first, second = server.pids
        gate.unlink()
        server.reload()
        await until(lambda: len(server._alive) == 3)
        await trio.testing.wait_all_tasks_blocked()  # the supervisor would have started another
        assert len(server._alive) == 3
        assert server.pids == [first, second]
        gate.touch()
        await until(lambda: gone(first) and gone(second))
        assert len(server.pids) == 2


async def test_a_client_stays_with_the_worker_that_is_replaced() -> None:
    """The old worker serves it until it goes, beside the new one."""
    async with serving(workers=1) as server:
        (old,) = server.pids
        async with await connected(server) as stream:
            assert await served_by(stream) == old
            server.reload()
            while await ask(server) == old:
                pass  # it accepts until it has seen an empty queue
            assert await served_by(stream) == old
        await until(lambda: gone(old))


async def test_reload_keeps_the_old_worker_if_the_new_one_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in the new program costs nothing but a line in the log."""
    mark = tmp_path / "broken"
    async with serving(
        programs.slow_to_start, args=(str(mark),), workers=1, wait_ready=True
    ) as server:
        mark.touch()
        (old,) = server.pids
        assert await ask(server) == old
        mark.unlink()
        server.reload()
        with suppress(ProcessLookupError):
            await until(lambda: len(server._alive) == 2)
            (fresh,) = (process.pid for process in server._alive if process.pid != old)
            os.kill(fresh, signal.SIGKILL)
        await until(lambda: "did not become ready" in caplog.text)
        assert await ask(server) == old


async def test_reload_waits_until_the_new_worker_is_ready(tmp_path: Path) -> None:
    """With wait_ready the old one serves until ``worker.ready()``."""
    gate = tmp_path / "gate"
    gate.touch()
    async with serving(
        programs.slow_to_start, args=(str(gate),), workers=1, wait_ready=True
    ) as server:
        (old,) = server.pids
        assert await ask(server) == old
        gate.unlink()
        server.reload()
        await until(lambda: len(server._alive) == 2)
        assert await ask(server) == old
        gate.touch()
        await until(lambda: gone(old))
        assert await ask(server) == server.pids[0]


async def test_stop_serves_clients_to_their_end() -> None:
    """serve_processes returns after the last client has gone, and not before."""
    returned = trio.Event()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:

            async def serve(task_status: trio.TaskStatus[wsock.ProcessServer]) -> None:
                await wsock.serve_processes(
                    programs.echo, (HOST, 0), workers=2, signals=False, task_status=task_status
                )
                returned.set()

            server = await nursery.start(serve)
            async with await connected(server) as stream:
                who = await served_by(stream)
                others = [pid for pid in server.pids if pid != who]
                server.stop()
                await until(lambda: all(map(gone, others)))
                assert await served_by(stream) == who
                assert not returned.is_set()
    assert returned.is_set()


async def test_stop_serves_clients_that_wait_in_the_queue() -> None:
    """Who was connected before the stop is not reset by it, though nobody had accepted it."""
    async with serving(workers=1) as server:
        (pid,) = server.pids
        await ask(server)
        os.kill(pid, signal.SIGSTOP)
        streams = [await connected(server) for _ in range(20)]
        server.stop()
        os.kill(pid, signal.SIGCONT)
        for stream in streams:
            async with stream:
                assert await served_by(stream) == pid
        await until(lambda: gone(pid))


async def test_a_worker_may_tell_its_clients() -> None:
    """``worker.stopping`` is set when it has been asked to leave."""
    async with (
        serving(programs.farewell, workers=1) as server,
        await connected(server) as stream,
    ):
        assert await stream.receive_some(100) == b"hello"
        server.stop()
        assert await stream.receive_some(100) == b" bye"
        assert await stream.receive_some(100) == b""


async def test_drain_timeout_cancels_a_worker_whose_client_stays(tmp_path: Path) -> None:
    """Its program may clean up; the client sees the end of the connection."""
    mark = tmp_path / "mark"
    async with serving(
        programs.cleans_up, args=(str(mark),), workers=1, drain_timeout=0.1
    ) as server:
        (pid,) = server.pids
        async with await connected(server) as stream:
            await served_by(stream)
            server.stop()
            with suppress(trio.BrokenResourceError):
                assert await stream.receive_some(100) == b""
        await until(lambda: gone(pid))
    assert mark.read_text(encoding="utf-8") == "done"


async def test_a_second_stop_kills() -> None:
    """Whoever cannot wait asks twice."""
    async with serving(workers=1) as server:
        (pid,) = server.pids
        async with await connected(server) as stream:
            await served_by(stream)
            server.stop()
            server.stop()
            await until(lambda: gone(pid))


async def test_cancelled_it_leaves_no_worker_behind() -> None:
    """When serve_processes raises, each worker has ended and was reaped."""
    async with serving() as server:
        pids = server.pids
        await ask(server)
    assert all(map(gone, pids))


async def test_sockets_of_the_caller_stay_open() -> None:
    """A listening socket that was handed in may be used again afterwards."""
    with std.create_server((HOST, 0)) as sock:
        async with trio.open_nursery() as nursery:
            serve = partial(wsock.serve_processes, programs.echo, sock, workers=1, signals=False)
            server = await nursery.start(serve)
            assert server.addresses == [sock.getsockname()]
            await ask(server)
            server.stop()
        assert sock.getsockopt(std.SOL_SOCKET, std.SO_ACCEPTCONN)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        ((programs.echo,), {}, ValueError, "at least one address"),
        ((programs.echo, (HOST, 0)), {"workers": 0}, ValueError, "workers=0"),
        ((lambda worker: None, (HOST, 0)), {}, TypeError, "top level of a module"),
        ((programs.echo, ("192.0.2.1", 1)), {}, wsock.WSAEADDRNOTAVAIL, "192.0.2.1:"),
        ((programs.echo, ("no.such.invalid", 1)), {}, UNKNOWN, "no.such.invalid:1"),
        ((programs.echo, (HOST, 99999)), {}, wsock.WSAEFAULT, "serve_processes.*99999.*0 to 65535"),
        ((programs.echo, (HOST, "80")), {}, wsock.WSAEFAULT, "serve_processes.*'80'.*an int"),
        ((programs.echo, HOST), {}, wsock.WSAEFAULT, "expected .host, port."),
    ],
)
async def test_bad_arguments(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    """They are refused before any process is started."""
    with pytest.raises(error, match=text):
        await wsock.serve_processes(*arguments, signals=False, **options)


async def test_a_socket_that_does_not_listen_is_refused() -> None:
    """ValueError, naming the socket."""
    with std.socket() as sock, pytest.raises(ValueError, match="expected a socket that listens"):
        await wsock.serve_processes(programs.echo, sock, signals=False)


# As a program of its own


async def test_signals(program: tuple[subprocess.Popen[str], int]) -> None:
    """SIGHUP replaces the workers, SIGTERM ends them; the program's exit code is 0."""
    process, port = program
    with trio.fail_after(PATIENCE_S):
        before = await ask_port(port)
        process.send_signal(signal.SIGHUP)
        await until(lambda: gone(before))
        assert await ask_port(port) != before
        process.send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(process.wait) == 0


async def test_sigterm_lets_clients_finish(program: tuple[subprocess.Popen[str], int]) -> None:
    """The program ends after the last client has gone, and not before."""
    process, port = program
    with trio.fail_after(PATIENCE_S):
        await ask_port(port)
        async with await trio.open_tcp_stream(HOST, port) as stream:
            who = await served_by(stream)
            while (other := await ask_port(port)) == who:
                pass
            process.send_signal(signal.SIGTERM)
            await until(lambda: gone(other))
            assert await served_by(stream, b"still here") == who
            assert process.poll() is None
        assert await trio.to_thread.run_sync(process.wait) == 0


async def test_a_hang_up_of_the_whole_process_group(
    program: tuple[subprocess.Popen[str], int],
) -> None:
    """A terminal that is closed: the workers are replaced, and nothing else has ended."""
    process, port = program
    with trio.fail_after(PATIENCE_S):
        before = await ask_port(port)
        os.killpg(process.pid, signal.SIGHUP)
        await until(lambda: gone(before))
        assert await ask_port(port) != before
        process.send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(process.wait) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
async def test_a_signal_to_the_group_meets_a_worker_that_begins(name: str) -> None:
    """Before it runs any code of ours it is as deaf to it as later."""
    async with serving(workers=1) as server:
        fresh = server.pids[0]
        os.kill(fresh, getattr(signal, name))
        await server.wait_ready()
        assert await ask(server) == fresh
        assert server.restarts == 0


async def test_no_signal_stays_blocked() -> None:
    """Programs that a worker starts hear what the worker ignores, if they want to."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    async with (
        serving(programs.tells_what_is_blocked, workers=1) as server,
        await connected(server) as stream,
    ):
        assert await stream.receive_some(100) == b"[]"
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


async def test_workers_do_not_outlive_their_supervisor(
    program: tuple[subprocess.Popen[str], int],
) -> None:
    """Even if it is killed: they serve their clients and end, and the port is free."""
    process, port = program
    with trio.fail_after(PATIENCE_S):
        worker = await ask_port(port)
        process.kill()
        await until(lambda: gone(worker))
        await until(lambda: refused(port))


async def test_a_port_that_is_in_use_is_an_error_of_winsock() -> None:
    """As from ``create_server``, and it says which address."""
    with std.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(wsock.WSAEADDRINUSE, match=f"{HOST}:{port}"):
            await wsock.serve_processes(programs.echo, (HOST, port), workers=1, signals=False)
