"""Shutting a listening socket: what the kernel does when it is asked for that."""

from __future__ import annotations

import select
import socket as std
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from wsock import _listener_shutdown
from wsock._listener_shutdown import handshake_under_way, hold_back, queued, shut

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can shut a listener")

SO_LOCK_FILTER = 44
PATIENCE_S = 30.0
BEFORE_A_SECOND_SYN_S = 0.3


class Machine:
    """A listening socket, and clients that come to it."""

    def __init__(self, host: str, opened: ExitStack) -> None:
        self.opened = opened
        self.family = std.AF_INET6 if ":" in host else std.AF_INET
        self.listener = opened.enter_context(std.create_server((host, 0), family=self.family))
        self.listener.setblocking(False)

    def client(self) -> std.socket:
        """One that has begun to connect."""
        sock = self.opened.enter_context(std.socket(self.family))
        sock.setblocking(False)
        sock.connect_ex(self.listener.getsockname())
        return sock


@pytest.fixture(params=["127.0.0.1", "::1"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with ExitStack() as opened:
        try:
            made = Machine(request.param, opened)
        except OSError as error:
            pytest.skip(f"{request.param}: {error}")
        yield made


def connected(sock: std.socket, patience_s: float) -> bool:
    """Whether its connect ends within that time; raises if it fails."""
    if not select.select([], [sock], [], patience_s)[1]:
        return False
    if code := sock.getsockopt(std.SOL_SOCKET, std.SO_ERROR):
        raise OSError(code, "connect")
    return True


def test_who_is_in_the_queue_is_counted(machine: Machine) -> None:
    """Until it is accepted."""
    assert queued(machine.listener) == 0
    for sock in [machine.client() for _ in range(3)]:
        assert connected(sock, PATIENCE_S)
    assert queued(machine.listener) == 3
    machine.opened.enter_context(machine.listener.accept()[0])
    assert queued(machine.listener) == 2


def test_who_is_in_stays_and_who_comes_is_refused(machine: Machine) -> None:
    """First by silence, then, when the socket is shut, by a word; in other processes, too."""
    early = machine.client()
    assert connected(early, PATIENCE_S)
    assert hold_back(machine.listener)
    late = machine.client()
    assert not connected(late, BEFORE_A_SECOND_SYN_S)
    assert queued(machine.listener) == 1
    sock = machine.opened.enter_context(machine.listener.accept()[0])
    with machine.listener.dup() as same:
        shut(same)
    with pytest.raises(ConnectionRefusedError):
        connected(late, PATIENCE_S)
    with pytest.raises(ConnectionRefusedError):
        connected(machine.client(), PATIENCE_S)
    early.send(b"still here")
    sock.settimeout(PATIENCE_S)
    assert sock.recv(100) == b"still here"


def test_a_handshake_under_way_is_seen_and_not_held_back(machine: Machine) -> None:
    """With TCP_DEFER_ACCEPT one ends when the client says something."""
    machine.listener.setsockopt(std.IPPROTO_TCP, std.TCP_DEFER_ACCEPT, 60)
    assert not handshake_under_way(machine.listener)
    sock = machine.client()
    assert connected(sock, PATIENCE_S)
    assert hold_back(machine.listener)
    assert handshake_under_way(machine.listener)
    assert queued(machine.listener) == 0
    sock.send(b"x")
    assert not handshake_under_way(machine.listener)
    assert queued(machine.listener) == 1


def test_handshakes_at_other_ports_do_not_count(machine: Machine) -> None:
    """They are somebody else's."""
    machine.listener.setsockopt(std.IPPROTO_TCP, std.TCP_DEFER_ACCEPT, 60)
    assert connected(machine.client(), PATIENCE_S)
    host = machine.listener.getsockname()[0]
    assert not handshake_under_way(Machine(host, machine.opened).listener)


def test_without_sock_diag_no_handshake_is_seen(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no reason to fail."""
    machine.listener.setsockopt(std.IPPROTO_TCP, std.TCP_DEFER_ACCEPT, 60)
    assert connected(machine.client(), PATIENCE_S)
    monkeypatch.setattr(_listener_shutdown, "_NETLINK_SOCK_DIAG", 31)  # there is no such protocol
    assert not handshake_under_way(machine.listener)


def test_a_kernel_that_refuses_the_filter(machine: Machine) -> None:
    """As one does that keeps whatever filter there is."""
    machine.listener.setsockopt(std.SOL_SOCKET, SO_LOCK_FILTER, 1)
    assert not hold_back(machine.listener)
    assert connected(machine.client(), PATIENCE_S)


@pytest.mark.parametrize("answer", [b"", bytes(40)])
def test_a_sandbox_that_takes_what_it_does_not_know(answer: bytes) -> None:
    """What it then says of the filter tells that there is none."""

    class Sandbox:
        def setsockopt(self, *_: Any) -> None:
            pass

        def getsockopt(self, *_: Any) -> bytes:
            return answer

    assert not hold_back(Sandbox())  # type: ignore[arg-type]


def test_to_shut_it_twice_is_fine(machine: Machine) -> None:
    """A program may have done so by itself."""
    shut(machine.listener)
    shut(machine.listener)
    assert queued(machine.listener) == 0
