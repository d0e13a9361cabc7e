"""A world for plain functions, which need no Trio run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.providers import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.providers import Provider


@pytest.fixture
def world_free(provider: Provider) -> Iterator[World]:
    world = World(provider)
    yield world
    world.close()
