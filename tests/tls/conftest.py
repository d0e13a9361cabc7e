"""Certificates, made once for a run, and two filters that are wired to each other."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from async_ends import Far, Near

from wsock import TLSError, TLSFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    import wsock
    from tests.providers import Pair

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Wire:
    """A client's and a server's filter; ``move`` carries what they have to say."""

    def __init__(self, client: TLSFilter, server: TLSFilter) -> None:
        self.client = client
        self.server = server

    def move(self) -> None:
        """Carry bytes both ways until neither has any left."""
        moved = True
        while moved:
            moved = False
            for here, there in ((self.client, self.server), (self.server, self.client)):
                data = here.outgoing()
                if data and there.error is None:
                    moved = True
                    try:
                        there.feed(data)
                    except TLSError:
                        continue  # it says so by ``error``, and its alert is carried


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    return request.param


@pytest.fixture
def make_wire(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> Callable[..., Wire]:
    def make(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, **options: bool) -> Wire:
        client_context.maximum_version = version
        client = TLSFilter(client_context, server_hostname="localhost", **options)
        return Wire(client, TLSFilter(server_context, server_side=True, **options))

    return make


@pytest.fixture
def ends(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> tuple[Near, Far]:
    near = Near(window)
    near.attach(pair.near)
    near.start_tls(server_context, server_side=True)
    return near, Far(pair.far, client_context)
