"""What accept of the system may fail with: what is skipped, what is tried again, and when (A9)."""

from __future__ import annotations

import errno
import logging
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import trio.testing

import wsock
from tests.providers import WM_SOCKET, World, events_in, messages
from wsock import FD_ACCEPT
from wsock.kernel import listener as listener_module
from wsock.kernel.listener import KernelListener

if TYPE_CHECKING:
    from collections.abc import Iterator

blocked = trio.testing.wait_all_tasks_blocked


class Failures:
    """The numbers that accept of the system fails with, one after the other, before it works."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left: list[int] = []
        accept = KernelListener._accept

        def fail_or_accept(file: KernelListener) -> tuple[int, object]:
            if self.left:
                number = self.left.pop(0)
                raise OSError(number, os.strerror(number))
            return accept(file)

        patch.setattr(KernelListener, "_accept", fail_or_accept, raising=False)


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failures]:
    return Failures(monkeypatch)


@pytest.mark.parametrize(
    "number", [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EPERM]
)
async def test_an_error_of_one_connection_is_skipped(
    world: World, window: wsock.Window, failures: Failures, number: int
) -> None:
    """accept(2) tells errors of the connection that was about to come: the next one may be well."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    failures.left = [number, number]
    client = await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    accepted, address = listener.accept_nowait()
    world.keep(accepted)
    assert address == client.getsockname()
    assert failures.left == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_out_of_something_it_is_tried_again_after_100_ms(
    world: World,
    window: wsock.Window,
    failures: Failures,
    mock_clock: trio.testing.MockClock,
    number: int,
) -> None:
    """Not earlier, whatever arrives; accept says meanwhile why."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    failures.left = [number]
    await world.connected(listener)
    await world.settle(listener)
    await blocked()
    assert failures.left == []
    with pytest.raises((wsock.WSAEMFILE, wsock.WSAENOBUFS)):
        listener.accept_nowait()
    await world.connected(listener)
    await world.settle(listener)
    mock_clock.jump(0.099)
    await blocked()
    assert events_in(window) == []
    mock_clock.jump(0.002)
    await blocked()
    assert events_in(window) == [FD_ACCEPT]
    for left in (1, 0):
        world.keep(listener.accept_nowait()[0]).async_select(None, 0, 0)
        assert events_in(window) == [FD_ACCEPT] * left


async def test_it_is_logged_once_a_second(
    world: World,
    failures: Failures,
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Thirty tries in three seconds: at the first, and then a line each second."""
    monkeypatch.setattr(listener_module, "time", SimpleNamespace(monotonic=mock_clock.current_time))
    listener = world.listener()
    failures.left = [errno.EMFILE] * 30
    with caplog.at_level(logging.ERROR, "wsock"):
        with pytest.raises(wsock.WSAEMFILE):
            listener.accept_nowait()
        for _ in range(29):
            mock_clock.jump(0.1 + 1e-9)
            await blocked()
    assert failures.left == []
    assert len([record for record in caplog.records if "accept" in record.message]) == 3


async def test_a_listener_that_closes_meanwhile_tries_no_more(
    world: World, failures: Failures, mock_clock: trio.testing.MockClock
) -> None:
    """Closed in the pause, it asks the system no more."""
    listener = world.listener()
    failures.left = [errno.EMFILE] * 2
    with pytest.raises(wsock.WSAEMFILE):
        listener.accept_nowait()
    listener.close()
    mock_clock.jump(1)
    await blocked()
    assert failures.left == [errno.EMFILE]
