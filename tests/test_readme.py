"""The README keeps its word: its listings run, verbatim."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Any

import pytest
import trio

import wsock
from tests.pages import Page, without_comments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

README = Page("README.md")
KOREAN = Page("docs/README.ko.md")
LISTINGS = [listing.program for listing in README.listings]


def namespace(listing: str) -> dict[str, Any]:
    """Run a listing's definitions, not its ``trio.run``."""
    found: dict[str, Any] = {"trio": trio, "wsock": wsock}
    exec(compile(listing.replace("trio.run(main)", ""), "README.md", "exec"), found)
    return found


@pytest.fixture
async def echo(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, int]]:
    """The first listing, serving; only the port is the test's."""
    listeners: list[wsock.Socket] = []

    def create_server(address: tuple[str, int]) -> wsock.Socket:
        assert address == ("127.0.0.1", 7777)
        listeners.append(make(("127.0.0.1", 0)))
        return listeners[0]

    make = wsock.create_server
    monkeypatch.setattr(wsock, "create_server", create_server)
    nursery.start_soon(namespace(LISTINGS[0])["main"])
    await trio.testing.wait_all_tasks_blocked()
    yield listeners[0].getsockname()
    nursery.cancel_scope.cancel()
    listeners[0].close()


async def echoed(address: tuple[str, int], data: bytes) -> bytes:
    with trio.fail_after(10):
        stream = await trio.open_tcp_stream(*address)
        async with stream:
            await stream.send_all(data)
            await stream.send_eof()
            return b"".join([part async for part in stream])


def test_the_first_listing_is_twelve_lines() -> None:
    """Twelve lines of code make an echo server."""
    lines = [line for line in LISTINGS[0].splitlines() if line.strip()]
    assert len(lines) == 12


async def test_it_echoes(echo: tuple[str, int]) -> None:
    """Every byte comes back, then the end."""
    assert await echoed(echo, b"hello" * 1000) == b"hello" * 1000


async def test_it_survives_a_client_that_resets(echo: tuple[str, int]) -> None:
    """The next client is served as if nothing had happened."""
    rude = std.create_connection(echo)
    rude.sendall(b"x" * 100_000)
    rude.setsockopt(std.SOL_SOCKET, std.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    rude.close()
    assert await echoed(echo, b"polite") == b"polite"


async def test_a_client_that_never_reads_costs_bounded_memory(echo: tuple[str, int]) -> None:
    """It may owe the server's limit and one more send, then it is reset; others go on."""
    stream = await trio.open_tcp_stream(*echo)
    owed: list[int] = []

    async def only_send() -> None:
        while True:
            await stream.send_all(bytes(65536))
            owed.extend(row["unsent"] for row in wsock.netstat())

    with trio.fail_after(30), pytest.raises(trio.BrokenResourceError):
        await only_send()
    await stream.aclose()
    assert max(owed) <= (1 << 20) + 65536
    assert await echoed(echo, b"others") == b"others"


@pytest.mark.parametrize("number", range(1, len(LISTINGS)))
def test_the_other_listings_are_programs(number: int) -> None:
    """Each defines what it shows, with wsock's real names."""
    names = namespace(LISTINGS[number])
    assert len(names) > 3


async def test_the_listings_of_the_tour_do_what_they_say(
    echo: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocking client, polling, and event objects, against the echo server."""
    port = str(echo[1])
    blocking, polling, watching = (
        namespace(one.replace("7777", port))
        for name in ("client", "poll", "watch")
        for one in LISTINGS
        if f"def {name}(" in one
    )
    with trio.fail_after(10):
        await blocking["client"]()
        sock = wsock.socket()
        await sock.connect(echo)
        assert polling["poll"](sock) is None
        await sock.send(b"tour")
        sock.shutdown(wsock.SD_SEND)
        await watching["watch"](sock)
        sock.close()
    assert capsys.readouterr().out == "b'hello'\nb'tour'\n"


def test_the_korean_readme_has_the_same_programs_and_commands() -> None:
    """Block for block; comments may be in Korean, nothing else differs."""
    assert [kind for kind, _ in KOREAN.blocks] == [kind for kind, _ in README.blocks]
    for ours, theirs in zip(README.listings, KOREAN.listings, strict=True):
        assert without_comments(ours.program) == without_comments(theirs.program)
    assert KOREAN.commands == README.commands


def test_the_korean_readme_says_as_much() -> None:
    """The same headings by level, as many rows in each table, and links to the same places."""

    def levels(page: Page) -> list[int]:
        prose = [line for line in page.prose.splitlines() if line.startswith("#")]
        return [len(line) - len(line.lstrip("#")) for line in prose]

    def rows(page: Page) -> int:
        return sum(line.startswith("|") for line in page.prose.splitlines())

    def targets(page: Page) -> set[str]:
        return {page.target(link) for link in page.links} - {"README.md", "docs/README.ko.md"}

    assert levels(KOREAN) == levels(README)
    assert rows(KOREAN) == rows(README)
    assert targets(KOREAN) == targets(README)
