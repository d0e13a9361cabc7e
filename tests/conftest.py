"""Fixtures for behaviour tests: every provider, a world on it, a pair of connected sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from tests.providers import PROVIDERS, Pair, Provider, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
