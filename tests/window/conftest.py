from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_endpoints import FakeEndpoint

from wsock._window import Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def window() -> AsyncIterator[Window]:
    async with Window() as window:
        yield window


@pytest.fixture
def endpoint(window: Window) -> FakeEndpoint:
    return FakeEndpoint(window)


@pytest.fixture
def another_endpoint(window: Window) -> Callable[[], FakeEndpoint]:
    return lambda: FakeEndpoint(window)
