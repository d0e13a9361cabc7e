"""Fixtures of the login server's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from login_world import World

from examples.login_server.protocol import Code, Register, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**limits: int) -> World:
        made.append(World(tmp_path, **limits))
        return made[-1]

    yield make
    for world in made:
        world.accounts.close()


@pytest.fixture
async def world(make_world: Callable[..., World]) -> World:
    """A service that knows bob, whose password is ``correct-horse``."""
    made = make_world()
    assert await made.do(Register("bob", "correct-horse")) == Reply(Code.OK, "bob")
    return made
