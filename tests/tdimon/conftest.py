"""What the tests of the monitor share."""

from __future__ import annotations

import pytest

from wsock._stack import Stack, new_stack_hooks


@pytest.fixture
def nobody_watches() -> object:
    """Before and after each test no stack has a tracer, and nothing waits for new stacks."""
    yield
    assert Stack.default().device.tracer is None
    assert new_stack_hooks == []
