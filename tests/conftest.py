"""Fixtures for behaviour tests: every provider, a world on it, a pair of connected sockets."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from tests.on_the_machine import FOLDERS, ON_THE_MACHINE
from tests.providers import PROVIDERS, Pair, Provider, Virtual, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and programs under test inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the tests on virtual hosts that need the machine's sockets."""
    items[:] = [item for item in items if not _needs_the_machine(item)]


def _needs_the_machine(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    provider = parameters.get("provider") or parameters.get("choice", (None,))[0]
    if not isinstance(provider, Virtual):
        return False
    file = item.path.relative_to(Path(__file__).parent).as_posix()
    if not file.startswith(FOLDERS):
        return True
    return item.originalname in ON_THE_MACHINE.get(file, ())  # type: ignore[attr-defined]


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.name)
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.param.ready(request)


@pytest.fixture
async def world(provider: Provider) -> AsyncIterator[World]:
    world = World(provider)
    with trio.fail_after(30):
        yield world
    world.close()


@pytest.fixture
async def pair(world: World) -> Pair:
    return await world.pair()


@pytest.fixture
async def window() -> AsyncIterator[wsock.Window]:
    async with wsock.Window() as window:
        yield window
