"""Hosts that pause, crash and restart under Trio programs."""

from __future__ import annotations

import pytest
import trio

from wsock.virtual import Host, Network


def pair() -> tuple[Network, Host, Host]:
    """A server and a client, 10 ms apart."""
    net = Network(seed=3)
    lan = net.segment("lan", "192.0.2.0/24", latency=0.010)
    server, client = net.host("server", lan), net.host("client", lan)
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    return net, server, client


async def serve(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Echo on port 7."""

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    await trio.serve_tcp(echo, 7, task_status=task_status)  # type: ignore[arg-type]


def test_a_paused_host_answers_when_it_goes_on() -> None:
    """Its tasks go on, but nothing of them reaches a wire; TCP's peers see only time passing."""
    net, server, client = pair()

    async def main() -> float:
        async with server.running(serve):
            await trio.sleep(0.1)
            with client:
                stream = await trio.open_tcp_stream("server", 7)
            async with stream:
                server.pause()
                net.at(net.time + 5.0, server.resume)
                start = trio.current_time()
                await stream.send_all(b"are you there?")
                assert await stream.receive_some() == b"are you there?"
                return trio.current_time() - start

    assert 5.0 <= net.run(main) < 8.0


def test_a_crash_is_silent_and_the_peer_learns_by_reset_after_the_restart() -> None:
    """Tasks end without a FIN or RST; the next data meet a RST; the new life listens again."""
    net, server, client = pair()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server.start_soon(nursery, serve)
            await trio.sleep(0.1)
            with client:
                stream = await trio.open_tcp_stream("server", 7)
                await stream.send_all(b"x")
                assert await stream.receive_some() == b"x"
                capture = net.capture(server)
                server.crash()
                await trio.sleep(60)
                assert [packet for packet in capture.packets if packet.outgoing] == []
                server.restart()
                server.start_soon(nursery, serve)
                await trio.sleep(0.1)
                await stream.send_all(b"still there?")
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
                await stream.aclose()
                async with await trio.open_tcp_stream("server", 7) as again:
                    await again.send_all(b"y")
                    assert await again.receive_some() == b"y"
            nursery.cancel_scope.cancel()

    net.run(main)
