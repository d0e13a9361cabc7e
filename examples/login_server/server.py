# The network side: one window, one listener per address, one Connection per client.
#
# > server        window, listeners           THIS FILE: accepts, hands out, counts, stops
#   connection    an AsyncSocket per client   sends, reads, waits for nothing
#   session       order, limits of one client
#   service       REGISTER, LOGIN, ...        awaits threads, so it runs in tasks of its own
#
# How a command goes: FD_READ -> on_receive -> one recv -> session -> a task executes the command
# (threads hash, the database is asked) -> the task posts WM_ANSWERED to the window -> the reply is
# sent -> the next command. That is how Winsock's own slow calls answer (WSAAsyncGetHostByName): by
# a message. So all that touches a connection happens in one place, one message after the other.
#
# Rule 1: nothing here waits but ``run`` and the tasks it starts.
# Rule 2: what a handler raises ends that connection, with a reset and a log line; never the server.
# Rule 3: time-outs are looked for by a task and not by WM_TIMER: that message comes only when no
#         other is left, so a busy enough client would keep everybody's deadlines from being seen.
"""The login server on window messages."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

import wsock
from wsock.constants import FD_ACCEPT, WM_USER

from .connection import RECEIVE_BYTES, Connection
from .limits import PeerCount, peer_key
from .protocol import Code, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .certificates import Certificate
    from .limits import Limits
    from .log import Log
    from .protocol import Command
    from .service import Answer, Service

WM_ANSWERED: Final = WM_USER + 1  # wparam: the Connection; lparam: an Answer, or what was raised
SWEEP_SECONDS: Final = 1.0  # how late a time-out may be
PURGE_SECONDS: Final = 600.0


class Listener(wsock.AsyncSocket):
    """Accepts clients for the server."""

    def __init__(self, server: LoginServer, sock: wsock.Socket) -> None:
        super().__init__(server.window)
        self._server = server
        self.attach(sock, FD_ACCEPT)

    def on_accept(self, error: int) -> None:
        """A client has connected."""
        sock, peer = self.socket.accept_nowait()
        self._server.accepted(sock, peer)

    def on_error(self, error: Exception) -> None:
        """One client could not be served. (Nobody there, no descriptors: FD_ACCEPT comes again.)"""
        self._server.log.failure("accept", error)


class LoginServer:
    """Serves the login protocol until ``stop`` has done its work, or ``cut``."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        log: Log,
        *,
        certificate: Certificate | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.limits: Final = limits
        self.log: Final = log
        self.clock: Final = clock
        self._certificate: Final = certificate
        # Messages that are posted: one per command under way at most, so this many always fit.
        self.window: Final = wsock.Window(max_messages=limits.connections + 1)
        self.stopping = False
        self.was_cut = False
        self._service = service
        self._count = PeerCount(limits)
        self._connections: dict[int, Connection] = {}
        self._listeners: list[Listener] = []
        self._nursery: trio.Nursery | None = None
        self._accepted = 0
        self._refused = 0
        self._stop_until = float("inf")

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def run(
        self,
        listening: list[wsock.Socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept on the sockets given, and serve, until stopped.

        Args:
          listening: sockets that listen; they are closed at the stop.
          task_status: told as soon as clients are served.
        """
        async with self.window, trio.open_nursery() as nursery:
            self._nursery = nursery
            self._listeners = [Listener(self, sock) for sock in listening]
            nursery.start_soon(self._sweep_on)
            nursery.start_soon(self._purge_on)
            task_status.started()
            try:
                await self.window.run(self._procedure, self._on_error)
            finally:
                self._close_all()
                nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Stop gracefully: accept no more, answer what is under way, close. Asking twice is once.

        After ``stop_seconds`` who is still there is cut.
        """
        if self.stopping:
            return
        self.stopping = True
        self._stop_until = self.clock() + self.limits.stop_seconds
        for listener in self._listeners:
            listener.close()
        for connection in self._all():
            self._guarded(connection, connection.stop)
        self._quit_if_empty()

    def cut(self) -> None:
        """Stop now: every connection is reset."""
        self.stopping = True
        self.was_cut = True
        for connection in self._all():
            connection.reset("cut")
        self._quit_if_empty()

    def sweep(self) -> None:
        """Look for time-outs."""
        now = self.clock()
        for connection in self._all():
            self._guarded(connection, connection.check_time, now)
        if self._refused:
            self.log.write("refused", connections=self._refused)
            self._refused = 0
        if now >= self._stop_until and self._connections:
            self.log.write("stop deadline", connections=len(self._connections))
            self.cut()

    # For listeners and connections

    def accepted(self, sock: wsock.Socket, peer: tuple[str, int]) -> None:
        """Serve a new client, or refuse it."""
        key = peer_key(peer[0])
        problem = self._count.enter(key)
        if problem:
            self._refuse(sock, problem)
            return
        self._accepted += 1
        try:
            context = None if self._certificate is None else self._certificate.context
            connection = Connection(self, sock, peer, self._accepted, context)
        except BaseException:
            self._count.leave(key)
            sock.close()
            raise
        self._connections[connection.number] = connection

    def execute(self, connection: Connection, command: Command) -> None:
        """Execute a command in a task; WM_ANSWERED will tell the outcome."""
        assert self._nursery is not None
        self._nursery.start_soon(self._execute, connection, command)

    def fail(self, connection: Connection, error: Exception) -> None:
        """A handler raised: log it and reset that client."""
        self.log.failure("error", error, id=connection.number, peer=connection.peer[0])
        connection.reset("error")

    def left(self, connection: Connection, reason: str) -> None:
        """A connection has ended: count it out, write its line."""
        del self._connections[connection.number]
        self._count.leave(connection.peer_key)
        session = connection.session
        counts = session.counts
        self.log.write(
            "connection",
            id=connection.number,
            peer=connection.peer[0],
            port=connection.peer[1],
            seconds=round(self.clock() - connection.opened_at, 3),
            reason=reason,
            tls=connection.tls_version,
            name=session.name,
            commands=counts.commands,
            ok=counts.ok,
            failed=counts.failed,
            bytes_in=counts.bytes_in,
            bytes_out=counts.bytes_out,
        )
        self._quit_if_empty()

    # Inside

    def _procedure(self, message: wsock.Message) -> None:
        """The window procedure: answers here, sockets to their AsyncSockets."""
        if message.message == WM_ANSWERED:
            message.wparam.answered(message.lparam)
        elif message.socket is not None and message.socket.handler is not None:
            message.socket.handler.dispatch(message)

    def _on_error(self, error: Exception, message: wsock.Message) -> None:
        if message.message == WM_ANSWERED:
            self.fail(message.wparam, error)
        else:
            self.log.failure("error", error)

    async def _execute(self, connection: Connection, command: Command) -> None:
        outcome: Answer | Exception
        with connection.scope:
            try:
                outcome = await self._service.execute(command, connection.peer_key)
            except Exception as error:
                outcome = error
            self.window.post(WM_ANSWERED, connection, outcome)

    async def _sweep_on(self) -> None:
        while True:
            await trio.sleep(SWEEP_SECONDS)
            self.sweep()

    async def _purge_on(self) -> None:
        while True:
            await trio.sleep(PURGE_SECONDS)
            try:
                await self._service.purge()
            except Exception as error:
                self.log.failure("purge", error)

    def _refuse(self, sock: wsock.Socket, problem: str) -> None:
        """Say why and close, without keeping anything: a flood costs a few calls each.

        Over TLS nothing is said: that would take a handshake, and so what is to be saved.
        """
        self._refused += 1
        with sock:
            if self._certificate is not None:
                return
            with suppress(OSError):
                sock.recv_nowait(RECEIVE_BYTES)  # unread input would turn the close into a reset
            with suppress(OSError):
                sock.send_nowait(Reply(Code.LIMIT, problem).encode())

    def _guarded(self, connection: Connection, fn: Callable[..., None], *args: float) -> None:
        if connection.finished:
            return
        try:
            fn(*args)
        except Exception as error:
            self.fail(connection, error)

    def _all(self) -> list[Connection]:
        return list(self._connections.values())

    def _quit_if_empty(self) -> None:
        if self.stopping and not self._connections:
            self.window.post_quit()

    def _close_all(self) -> None:
        """Leave nothing behind, whatever ended the loop."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in self._all():
            connection.reset("cut")
