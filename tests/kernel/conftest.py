"""Here the machine's sockets are meant: both engines, and no virtual network."""

from __future__ import annotations

import pytest

from tests.providers import KERNEL, Provider


@pytest.fixture(params=KERNEL, ids=lambda provider: provider.name)
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.param
