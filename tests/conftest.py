"""Fixtures for behaviour tests: every provider, a world on it, a pair of connected sockets."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from tests.providers import PROVIDERS, Pair, Provider, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored, and programs under test inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.name)
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.param


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
