"""Here every test runs by both columns: what Microsoft's pages say, and what Windows does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.providers import PROVIDERS, Provider, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORLDS = [(provider, column) for provider in PROVIDERS for column in provider.columns]


@pytest.fixture(params=WORLDS, ids=lambda world: f"{world[0].name}-{world[1]}")
def choice(request: pytest.FixtureRequest) -> tuple[Provider, str]:
    provider, column = request.param
    return provider.ready(request), column


@pytest.fixture
async def world(choice: tuple[Provider, str]) -> AsyncIterator[World]:
    provider, column = choice
    world = World(provider, notifications=column)
    with trio.fail_after(30):
        yield world
    world.close()
