from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsock import _handles
from wsock.constants import FD_CLOSE, FD_READ, WM_USER

if TYPE_CHECKING:
    from fake_endpoints import FakeEndpoint

    from wsock._window import Window


async def test_a_notification_carries_socket_event_and_error(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """And wParam and lParam as Windows packs them."""
    endpoint.report(FD_CLOSE, 10054)
    message = await window.get()
    assert message.window is window
    assert message.message == WM_USER
    assert message.socket is endpoint.socket
    assert (message.event, message.error) == (FD_CLOSE, 10054)
    assert message.wparam == endpoint.socket.handle
    assert message.lparam == FD_CLOSE | 10054 << 16
    assert "event 0x20 error 10054" in repr(message)


async def test_a_posted_message_has_any_parameters_and_no_socket(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """Also if its wparam looks like a handle: its number is not a selection's."""
    parameters = (object(), [1])
    window.post(WM_USER + 1, *parameters)
    window.post(WM_USER + 5, endpoint.socket.handle, FD_READ)
    message = await window.get()
    assert (message.wparam, message.lparam) == parameters
    for posted in (message, await window.get()):
        assert (posted.socket, posted.event, posted.error) == (None, 0, 0)
    assert "0x0401" in repr(message)


async def test_a_program_may_post_as_the_network_does(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """With a selection's number and an open socket's handle it reads like a notification."""
    window.post(WM_USER, endpoint.socket.handle, FD_READ | 10053 << 16)
    message = await window.get()
    assert message.socket is endpoint.socket
    assert (message.event, message.error) == (FD_READ, 10053)


@pytest.mark.parametrize("lparam", ["text", None])
async def test_a_posted_lparam_that_is_no_number_is_no_event(
    window: Window, endpoint: FakeEndpoint, lparam: object
) -> None:
    """The socket is found, the event is 0."""
    window.post(WM_USER, endpoint.socket.handle, lparam)
    message = await window.get()
    assert (message.socket, message.event, message.error) == (endpoint.socket, 0, 0)


async def test_a_stale_handle_finds_nothing(window: Window, endpoint: FakeEndpoint) -> None:
    """A closed socket's number names no other one, and neither does another thing's."""
    _handles.handle_of(endpoint.socket)
    _handles.forget(endpoint.socket)
    window.post(WM_USER, endpoint.socket.handle, FD_READ)
    window.post(WM_USER, window.handle, FD_READ)
    window.post(WM_USER, 12345, FD_READ)
    for _ in range(3):
        assert (await window.get()).socket is None


async def test_unknown_attributes_stay_unknown(window: Window) -> None:
    """Only socket, event and error are found out late."""
    window.post(WM_USER)
    message = await window.get()
    with pytest.raises(AttributeError, match="sockets"):
        _ = message.sockets  # type: ignore[attr-defined]
