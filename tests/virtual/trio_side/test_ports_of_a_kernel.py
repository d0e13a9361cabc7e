"""Who may bind a port beside whom: trio.socket on a virtual host answers as this machine's Linux.

The same program runs on both; its table of answers must be the same.
"""

from __future__ import annotations

import errno
import socket as std
import struct
import sys
from contextlib import ExitStack
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import trio

from wsock.virtual import Host, Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settle = Callable[[], Awaitable[object]]
    Program = Callable[[Settle], Awaitable[object]]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux")

HERE, ANY = "127.0.0.1", "0.0.0.0"
OFF_ON = (False, True)


def on_a_virtual_host(program: Program) -> object:
    """Run it on a host of profile linux, and return what it returns."""
    net = Network(seed=3)
    host = net.host("host", net.segment("lan", "192.0.2.0/24"), profile="linux")
    assert isinstance(host, Host)

    async def main() -> object:
        with host:
            return await program(net.settle)

    return net.run(main)


def on_both(program: Program) -> tuple[object, object]:
    """Run it on this machine and on a virtual host."""

    async def here() -> object:
        return await program(trio.lowlevel.checkpoint)

    return trio.run(here), on_a_virtual_host(program)


def make(*, reuse: bool, kind: int = std.SOCK_STREAM) -> Any:
    sock = trio.socket.socket(type=kind)
    if reuse:
        sock.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
    return sock


async def answer(call: Callable[..., Any], *args: object) -> str:
    """Return "ok", or the name of the errno."""
    try:
        result = call(*args)
        if hasattr(result, "__await__"):
            await result
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


async def closed_first(near: Any, far: Any) -> None:
    near.close()
    assert await far.recv(1) == b""
    far.close()


@pytest.mark.parametrize("holder", ["bound", "listening", "in TIME-WAIT", "with a connection"])
def test_a_second_binder(holder: str) -> None:
    """Overlapping addresses need SO_REUSEADDR of both, and then nobody may be listening."""

    async def second(where: tuple[str, str], reuse: tuple[bool, bool], settle: Settle) -> list[str]:
        first, other, client = make(reuse=reuse[0]), make(reuse=reuse[1]), make(reuse=False)
        with first, other, client, ExitStack() as closing:
            await first.bind((where[0], 0))
            port = first.getsockname()[1]
            if holder != "bound":
                first.listen()
            if holder in ("in TIME-WAIT", "with a connection"):
                await client.connect((HERE, port))
                near, _ = await first.accept()
                closing.enter_context(near)
                if holder == "in TIME-WAIT":
                    await closed_first(near, client)
                first.close()
            await settle()
            answers = [await answer(other.bind, (where[1], port))]
            if answers == ["ok"]:
                answers.append(await answer(other.listen))
            if holder == "bound":
                answers.append(await answer(first.listen))
            return answers

    async def program(settle: Settle) -> dict[object, list[str]]:
        return {
            (where, reuse): await second(where, reuse, settle)
            for where in product((HERE, ANY), repeat=2)
            for reuse in product(OFF_ON, repeat=2)
        }

    linux, virtual = on_both(program)
    assert virtual == linux


def test_a_second_binder_of_udp() -> None:
    """SO_REUSEADDR of both, or the address is in use."""

    async def program(settle: Settle) -> dict[object, str]:
        del settle
        found = {}
        for where in product((HERE, ANY), repeat=2):
            for reuse in product(OFF_ON, repeat=2):
                first, other = (make(reuse=each, kind=std.SOCK_DGRAM) for each in reuse)
                with first, other:
                    await first.bind((where[0], 0))
                    port = first.getsockname()[1]
                    found[where, reuse] = await answer(other.bind, (where[1], port))
        return found

    linux, virtual = on_both(program)
    assert virtual == linux


def client_program(how: str, *, connect: bool) -> Program:
    """A client that had bound its port ends as ``how`` says; may another one have the port?"""

    async def again(reuse: tuple[bool, bool], settle: Settle) -> list[str]:
        listener, client, other = make(reuse=False), make(reuse=reuse[0]), make(reuse=reuse[1])
        with listener, client, other:
            await listener.bind((HERE, 0))
            listener.listen()
            await client.bind((HERE, 0))
            where = client.getsockname()
            await client.connect(listener.getsockname())
            near, _ = await listener.accept()
            with near:
                if how == "closed first":
                    await closed_first(client, near)
                elif how == "closed, the peer not":
                    client.close()
                    assert await near.recv(1) == b""
                elif how == "closed last":
                    await closed_first(near, client)
                elif how == "reset":
                    linger = struct.pack("ii", 1, 0)
                    client.setsockopt(std.SOL_SOCKET, std.SO_LINGER, linger)
                    client.close()
                await settle()
                answers = [await answer(other.bind, where)]
                if connect and answers == ["ok"]:
                    answers.append(await answer(other.connect, listener.getsockname()))
                return answers

    async def program(settle: Settle) -> dict[object, list[str]]:
        return {reuse: await again(reuse, settle) for reuse in product(OFF_ON, repeat=2)}

    return program


@pytest.mark.parametrize("how", ["connected", "closed last", "reset"])
def test_a_clients_own_port_again(how: str) -> None:
    """While it is connected, after the peer closed first, and after a reset."""
    linux, virtual = on_both(client_program(how, connect=True))
    assert virtual == linux


@pytest.mark.parametrize("how", ["closed first", "closed, the peer not"])
def test_a_clients_own_port_again_after_it_closed_first(how: str) -> None:
    """In FIN-WAIT-2 and TIME-WAIT: with SO_REUSEADDR on both (ruling R15)."""
    linux, virtual = on_both(client_program(how, connect=False))
    assert virtual == linux
    assert virtual == {
        (False, False): ["EADDRINUSE"], (False, True): ["EADDRINUSE"],
        (True, False): ["EADDRINUSE"], (True, True): ["ok"],
    }  # fmt: skip


@pytest.mark.parametrize("how", ["closed first", "closed, the peer not"])
def test_the_pair_itself_stays_taken(how: str) -> None:
    """Linux lets loopback have it again (tcp_tw_reuse = 2), a way through a network never."""
    virtual = on_a_virtual_host(client_program(how, connect=True))
    assert isinstance(virtual, dict)
    assert virtual[True, True] == ["ok", "EADDRNOTAVAIL"]


def test_when_no_port_is_left() -> None:
    """EADDRINUSE from bind, EADDRNOTAVAIL from connect."""
    net = Network(seed=3)
    lan = net.segment("lan", "192.0.2.0/24")
    host = net.host("host", lan, profile="linux")
    assert isinstance(host, Host)
    first, last = host.profile.ephemeral_ports
    for port in range(first, last + 1):
        host.tcp.bind(bytes(4), port)

    async def main() -> None:
        with host, make(reuse=False) as sock, make(reuse=False) as other:
            assert await answer(sock.bind, (HERE, 0)) == "EADDRINUSE"
            assert await answer(other.connect, ("192.0.2.1", 9)) == "EADDRNOTAVAIL"

    net.run(main)
