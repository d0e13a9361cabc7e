"""A system without what POSIX and Linux have beyond Windows, as far as Python can pretend it.

``python -m tests.portable.bare_system NAME``: take all that away, then run one of the programs
below. What Trio and the standard library need for themselves was looked up before.
"""

from __future__ import annotations

import asyncio  # noqa: F401  (these look at the system when they are imported)
import importlib
import multiprocessing  # noqa: F401
import os
import pkgutil
import select
import signal
import socket
import ssl  # noqa: F401
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401
import types
from functools import partial
from typing import TYPE_CHECKING

import trio
import trio.lowlevel
import trio.testing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GONE = {
    os: (
        "fork", "forkpty", "register_at_fork", "getuid", "geteuid", "getgid", "getegid", "getpgid",
        "setsid", "killpg", "uname", "pipe2", "mkfifo", "openpty", "sched_getaffinity",
        "sched_setaffinity", "posix_spawn", "writev", "readv", "sendfile", "eventfd",
        "memfd_create", "wait3", "wait4", "getloadavg", "O_NONBLOCK", "chown",
    ),
    select: ("epoll", "poll", "EPOLLIN", "POLLIN", "POLLOUT", "POLLPRI", "POLLHUP", "POLLERR"),
    signal: (
        "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGQUIT", "SIGWINCH",
        "SIGTSTP", "SIGCONT", "SIGSTOP", "SIGKILL", "alarm", "setitimer", "pause", "sigwait",
    ),
    socket: (
        "AF_UNIX", "AF_PACKET", "AF_NETLINK", "SO_REUSEPORT", "MSG_NOSIGNAL", "MSG_DONTWAIT",
        "SO_PEERCRED", "SCM_RIGHTS", "CMSG_LEN", "CMSG_SPACE", "TCP_INFO", "TCP_USER_TIMEOUT",
        "TCP_QUICKACK", "TCP_CORK", "SO_BINDTODEVICE", "send_fds", "recv_fds", "IP_RECVERR",
    ),
}  # fmt: skip
MODULES = ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "readline")


def take_away() -> None:
    """Take the names away. Trio keeps an epoll of its own: on Windows it has something else."""
    kept = types.ModuleType("select")
    kept.__dict__.update(select.__dict__)
    for name, module in list(sys.modules.items()):
        if name.startswith("trio.") and getattr(module, "select", None) is select:
            module.select = kept  # type: ignore[attr-defined]
    for module, names in GONE.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    socket.socketpair = _pair_over_loopback
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # from now on an ImportError


def _pair_over_loopback(*_: object) -> tuple[socket.socket, socket.socket]:
    """A socketpair where there is no AF_UNIX."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def without_vectors() -> None:
    """Windows' sockets have no sendmsg and no recvmsg."""
    from wsock.kernel import datagram, stream
    from wsock.kernel.files import KernelFile

    class Missing:
        def __get__(self, instance: object, owner: object = None) -> object:
            raise AttributeError("not on this system")

    datagram._VECTORED = stream._VECTORED = False
    for name in ("sendmsg", "recvmsg", "recvmsg_into", "sendmsg_afalg"):
        setattr(KernelFile, name, Missing())


# The programs


def imports() -> None:
    """Every module of wsock and of the examples, and the tables in the command."""
    names = []
    for package in ("wsock", "examples"):
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
                names.append(found.name)
    assert len(names) > 150, names
    assert importlib.import_module("wsock").Stack().provider.engine == "waits"


async def _echo(model: str) -> None:
    import wsock
    from examples.echo.client import echo

    serve: Callable[..., Awaitable[object]]
    serve = importlib.import_module(f"examples.echo.{model}").serve
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(serve, 0))
        with wsock.socket() as sock:
            await sock.connect(("127.0.0.1", port))
            for data in (b"hello", bytes(range(256)) * 4000):
                assert await echo(sock, data) == data
        stream = await trio.open_tcp_stream("127.0.0.1", port)  # somebody else's client
        async with stream:
            await stream.send_all(b"again")
            assert await stream.receive_some(5) == b"again"
        nursery.cancel_scope.cancel()


def echo() -> None:
    """The echo server in each model."""
    without_vectors()
    for model in ("blocking", "polling", "select", "message", "event", "async_socket", "stream"):
        trio.run(_echo, model)


async def _core() -> None:
    import wsock

    listener = wsock.create_server(("127.0.0.1", 0))
    with listener, wsock.socket() as client, wsock.socket() as refused:
        await client.connect(listener.getsockname())
        peer, _ = await listener.accept()
        with peer:
            # More than the system takes at once, in several pieces: the rest waits and goes out.
            total = got = 0
            while client.unsent < 800_000:
                total += client.send_all_nowait(bytes(100_000))
            while got < total:
                got += len(await peer.recv(1 << 20))
            client.send_nowait(b"!", socket.MSG_OOB)
            with trio.fail_after(10):
                while True:
                    try:
                        assert peer.recv_nowait(1, socket.MSG_OOB) == b"!"
                    except wsock.WSAEWOULDBLOCK:
                        await trio.lowlevel.checkpoint()
                    else:
                        break
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            nobody = probe.getsockname()
        for _ in range(2):  # and a failed connect may be tried again
            try:
                await refused.connect(nobody)
            except wsock.WSAECONNREFUSED:
                continue
            raise AssertionError("connected to nobody")
    assert not listener.stack.netstat()


async def _datagrams() -> None:
    import wsock

    with wsock.socket(type=socket.SOCK_DGRAM) as near, wsock.socket(type=socket.SOCK_DGRAM) as far:
        for sock in (near, far):
            sock.bind(("127.0.0.1", 0))
        far.sendto_nowait(b"", near.getsockname())
        far.sendto_nowait(b"0123456789", near.getsockname())
        assert await near.recvfrom(100) == (b"", far.getsockname())
        try:
            await near.recvfrom(4)
        except wsock.WSAEMSGSIZE as error:
            assert error.data == b"0123"  # type: ignore[attr-defined]  # noqa: PT017  (no pytest here)
        else:
            raise AssertionError("a cut datagram was not told")
        far.sendto_nowait(b"next", near.getsockname())
        assert await near.recv(100) == b"next"


def core() -> None:
    """Connect, a rest that waits, urgent data, a refused connect, datagrams."""
    without_vectors()
    trio.run(_core)
    trio.run(_datagrams)


async def _window() -> None:
    import wsock

    seen = []

    def serve(message: wsock.Message) -> None:
        seen.append(message.event)
        if message.event == wsock.FD_ACCEPT:
            message.socket.accept_nowait()
        elif not message.socket.send_all_nowait(message.socket.recv_nowait(65536)):
            message.socket.close()
            window.post_quit(7)

    listener = wsock.create_server(("127.0.0.1", 0))
    async with wsock.Window() as window, trio.open_nursery() as nursery:
        window.set_timer(1, 60)
        listener.async_select(
            window, wsock.WM_USER, wsock.FD_ACCEPT | wsock.FD_READ | wsock.FD_CLOSE
        )

        async def client() -> None:
            async with await wsock.open_tcp_stream(*listener.getsockname()) as stream:
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"hello"

        nursery.start_soon(client)
        assert await window.run(serve) == 7
    listener.close()
    assert seen == [wsock.FD_ACCEPT, wsock.FD_READ, wsock.FD_CLOSE]


def window() -> None:
    """The message loop, to its end."""
    trio.run(_window)


def c_face() -> None:
    """A C server and its client, two threads."""
    import wsock.win32 as w
    from examples.win32 import lesson_client, lesson_server  # noqa: F401

    def program() -> None:
        w.WSAStartup(0x0202, w.WSADATA())
        listener = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
        address = w.sockaddr_in()
        address.sin_family = w.AF_INET
        address.sin_addr.s_addr = w.htonl(w.INADDR_LOOPBACK)
        assert w.bind(listener, address) == 0
        assert w.listen(listener, 5) == 0
        assert w.getsockname(listener, address) == 0
        thread = w.CreateThread(talk, address)
        accepted = w.accept(listener, None)
        buffer = bytearray(100)
        count = w.recv(accepted, buffer, 100, 0)
        assert w.send(accepted, buffer[:count], count, 0) == count
        assert w.WaitForSingleObject(thread, w.INFINITE) == w.WAIT_OBJECT_0
        assert (w.closesocket(accepted), w.closesocket(listener)) == (0, 0)
        assert w.WSACleanup() == 0

    def talk(address: w.sockaddr_in) -> int:
        sock = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
        assert w.connect(sock, address) == 0
        assert w.send(sock, b"hello", 5, 0) == 5
        answer = bytearray(100)
        assert (w.recv(sock, answer, 100, 0), bytes(answer[:5])) == (5, b"hello")
        return w.closesocket(sock)

    w.run(program)


async def _virtual() -> None:
    import wsock
    from wsock.virtual import Network

    net = Network(seed=1)
    segment = net.segment("lan", "10.0.0.0/24")
    server, client = net.host("server", segment), net.host("client", segment)
    async with net.attach(), trio.open_nursery() as nursery:

        async def serve() -> None:
            with wsock.socket(stack=server.stack) as listener:
                listener.bind((str(server.address), 7))
                listener.listen(1)
                started.set()
                peer, _ = await listener.accept()
                with peer:
                    while data := await peer.recv(4096):
                        await peer.send(data)

        started = trio.Event()
        nursery.start_soon(serve)
        await started.wait()
        with wsock.socket(stack=client.stack) as sock:
            await sock.connect((str(server.address), 7))
            await sock.send(b"hello")
            assert await sock.recv(100) == b"hello"


def virtual() -> None:
    """Two hosts of a virtual network."""
    trio.run(_virtual, clock=trio.testing.MockClock())


def command() -> None:
    """The command: doctor, explain, a scenario, the examples."""
    from wsock.__main__ import main

    for arguments in (["doctor"], ["explain", "FD_READ"], ["scenario", "handshake"], ["examples"]):
        sys.argv = ["wsock", *arguments]
        try:
            main()
        except SystemExit as leaving:
            assert not leaving.code, arguments  # noqa: PT017  (no pytest here)


def hints() -> None:
    """The hints, too."""
    from wsock import _hints

    _hints.install()
    window()


PROGRAMS = {
    program.__name__: program
    for program in (imports, echo, core, window, c_face, virtual, command, hints)
}

if __name__ == "__main__":
    take_away()
    wanted = sys.argv[1]
    PROGRAMS[wanted]()
    print("done", wanted)
