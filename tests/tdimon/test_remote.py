"""Watching a running program: only if it allows it, only its owner, and only while one looks."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from wsock import tdimon
from wsock._stack import Stack
from wsock.tdi.trace import TraceRecord
from wsock.tdimon import remote

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """\
import sys, trio, wsock
from wsock import tdimon

async def main():
    listener = wsock.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2)
    with tdimon.allow(sys.argv[1]):
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        client = wsock.socket()
        await client.connect(listener.getsockname())
        conn, _ = await listener.accept()
        for sock in (client, conn, listener):
            sock.close()

trio.run(main)
"""


def watched(stack: Stack) -> bool:
    return stack.device.tracer is not None


def test_attach_to_a_running_program(tmp_path: Path) -> None:
    """What happens from then on is shown and saved; when the program ends, so does the command."""
    (tmp_path / "server.py").write_text(SERVER, encoding="utf-8")
    door = str(tmp_path / "door")
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "server.py"), door],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        records = remote.follow(door)
        with subprocess.Popen(
            [sys.executable, "-m", "wsock", "tdimon", "attach", door, "-s", "run.jsonl"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        ) as command:
            assert command.stderr is not None
            assert command.stderr.readline().startswith("watching the program behind ")
            server.stdin.write("go\n")
            server.stdin.flush()
            found = list(records)
            output, _ = command.communicate(timeout=60)
        assert server.wait(60) == 0
    assert "TDI_CONNECT" in output
    assert "IRP_MJ_CREATE" in output  # the client's; the listener's were before
    saved = tdimon.load(tmp_path / "run.jsonl").rows(profile="tdimon-2003")
    assert [row.request for row in saved].count("TDI_CONNECT") == 1
    assert [record.request for record in found].count("TDI_CONNECT") == 1


def test_sigterm_keeps_what_attach_has_seen(tmp_path: Path) -> None:
    """The command that watches is stopped: it ends by the signal as ever, the trace is saved."""
    stack = Stack("watched")
    with (
        tdimon.allow(tmp_path / "door"),
        subprocess.Popen(
            [sys.executable, "-m", "wsock", "tdimon", "attach", "door", "-s", "run.jsonl"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        ) as command,
    ):
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stderr.readline().startswith("watching the program behind ")
        tracer = stack.device.tracer
        assert tracer is not None
        tracer.emit(TraceRecord("tdi", "TDI_SEND", 0, 5))
        assert "TDI_SEND" in command.stdout.readline()
        command.send_signal(signal.SIGTERM)
        assert command.wait(60) == -signal.SIGTERM
    saved = tdimon.load(tmp_path / "run.jsonl").records()
    assert [record.request for record in saved] == ["TDI_SEND"]


def test_nothing_is_attached_while_nobody_looks(tmp_path: Path) -> None:
    """The hooks come with the first caller and go with the last one."""
    stack = Stack("lonely")
    with tdimon.allow(tmp_path / "door"):
        assert not watched(stack)
        records = remote.follow(tmp_path / "door")
        assert stack.device.tracer is not None
        stack.device.tracer.emit(TraceRecord("state", "x", 0, 5))
        assert next(records).time_ns == 5
        records.close()
        while watched(stack):
            threading.Event().wait(0.01)
    assert not (tmp_path / "door").exists()


def test_a_running_call_is_sent_when_it_has_its_result(tmp_path: Path) -> None:
    """A reader never sees a call without its result."""
    stack = Stack("calling")
    with tdimon.allow(tmp_path / "door"):
        records = remote.follow(tmp_path / "door")
        tracer = stack.device.tracer
        assert tracer is not None
        call = TraceRecord("call", "send", 0, 1)
        call.duration_ns = -1
        tracer.emit(call)
        tracer.emit(TraceRecord("tdi", "TDI_SEND", 0, 2))
        call.duration_ns = 9
        found = [next(records), next(records)]
        records.close()
    assert [(one.request, one.duration_ns) for one in found] == [("send", 9), ("TDI_SEND", 0)]
    assert found[1].cause == "send"


def test_only_the_owner_may_open_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's mode says so, and a caller of another user is turned away."""
    path = tmp_path / "door"
    with tdimon.allow(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        monkeypatch.setattr(remote, "_is_owner", lambda connection: False)
        with pytest.raises(PermissionError, match="lets only its owner in"):
            remote.follow(path)


def test_the_owner_is_known_by_its_credentials() -> None:
    """Both ends of a pair belong to this user."""
    near, far = socket.socketpair()
    with near, far:
        assert remote._is_owner(near)


def test_a_door_is_never_put_over_a_file(tmp_path: Path) -> None:
    """What is there stays there."""
    path = tmp_path / "door"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(OSError), tdimon.allow(path):  # noqa: PT011  (the system's own words)
        pass
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_door_takes_the_place_of_one_whose_program_was_killed(tmp_path: Path) -> None:
    """A server that was killed starts again under the same command."""
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with tdimon.allow(path), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
    assert not path.exists()


def test_a_door_that_is_in_use_stays_its_programs(tmp_path: Path) -> None:
    """The second program is told which path it was; the first one can be watched as before."""
    path = tmp_path / "door"
    with tdimon.allow(path):
        with pytest.raises(OSError, match="another program") as refusal, tdimon.allow(path):
            pass
        assert refusal.value.filename == str(path)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))


def test_attach_where_there_is_no_door(tmp_path: Path) -> None:
    """One line that names the door, exit code 1."""
    result = subprocess.run(
        [sys.executable, "-m", "wsock", "tdimon", "attach", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: cannot attach: ")
    assert str(tmp_path / "none") in result.stderr


def test_a_caller_that_is_no_monitor(tmp_path: Path) -> None:
    """Something else behind the path is told as such."""
    path = tmp_path / "other"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        found: list[BaseException] = []

        def call() -> None:
            try:
                remote.follow(path)
            except ValueError as error:
                found.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 hello\n")
        caller.join(60)
    assert isinstance(found[0], tdimon.FormatError)
