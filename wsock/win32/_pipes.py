# Pipes: named pipes and anonymous ones, between the threads of one Trio run.
#
# A name has any number of instances; an instance serves one client at a time. ConnectNamedPipe
# waits for a client, DisconnectNamedPipe sends it away and makes the instance ready for the next;
# without that, an instance whose client has gone serves nobody (ERROR_NO_DATA). The last
# CloseHandle takes the name away.
#
# Rule 1: nothing here knows of threads, handles or last errors: failures are PipeError with the
#         system's code, and the calls that wait are coroutines.
# Rule 2: a write is taken whole. It waits while the other side has bytes unread and this write
#         would pass the buffer size, so a buffer is overshot by one write at most.
#
# Sources: learn.microsoft.com on CreateNamedPipe, ConnectNamedPipe, DisconnectNamedPipe,
# CreateFile, WaitNamedPipe, "Named Pipe Type, Read, and Wait Modes".

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

import trio
from trio.lowlevel import ParkingLot

from wsock.win32.constants import (
    ERROR_BROKEN_PIPE,
    ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_PARAMETER,
    ERROR_NO_DATA,
    ERROR_PIPE_BUSY,
    ERROR_PIPE_CONNECTED,
    ERROR_PIPE_LISTENING,
    ERROR_PIPE_NOT_CONNECTED,
    ERROR_SEM_TIMEOUT,
)

DEFAULT_SIZE: Final = 4096


class PipeError(Exception):
    """A pipe call failed with this code of the system."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class State(Enum):
    """Where an instance stands in its round."""

    LISTENING = "ready for a client"
    CONNECTED = "serving a client"
    CLOSING = "its client has closed"
    DISCONNECTED = "its client was sent away"


class Channel:
    """Bytes in one direction, as the writes that they came in."""

    __slots__ = ("changed", "failure", "size", "unread", "writes")

    def __init__(self, size: int) -> None:
        self.size = size or DEFAULT_SIZE
        self.writes: deque[bytes] = deque()
        self.unread = 0
        self.changed = ParkingLot()
        self.failure = 0  # why the other side will send no more, once ``writes`` is empty

    def end(self, code: int) -> None:
        """Nobody will write any more."""
        self.failure = self.failure or code
        self.changed.unpark_all()

    def drop(self, code: int) -> None:
        """Nobody will read any more: throw away what is there."""
        self.writes.clear()
        self.unread = 0
        self.failure = code
        self.changed.unpark_all()

    async def write(self, data: bytes) -> None:
        while self.unread and self.unread + len(data) > self.size:
            if self.failure:
                break
            await self.changed.park()
        if self.failure:
            raise PipeError(self.failure if self.failure != ERROR_BROKEN_PIPE else ERROR_NO_DATA)
        self.writes.append(data)
        self.unread += len(data)
        self.changed.unpark_all()

    async def read(self, n: int, whole_messages: bool) -> tuple[bytes, bool]:
        """At least a byte, and whether the message goes on; in byte mode as much as fits."""
        while not self.writes:
            if self.failure:
                raise PipeError(self.failure)
            await self.changed.park()
        taken = self._take(n) if whole_messages else self._gather(n)
        more = whole_messages and taken[1]
        self.unread -= len(taken[0])
        self.changed.unpark_all()
        return taken[0], more

    def _take(self, n: int) -> tuple[bytes, bool]:
        data = self.writes.popleft()
        if len(data) > n:
            self.writes.appendleft(data[n:])
        return data[:n], len(data) > n

    def _gather(self, n: int) -> tuple[bytes, bool]:
        parts = bytearray()
        while self.writes and len(parts) < n:
            parts += self._take(n - len(parts))[0]
        return bytes(parts), False


class End:
    """What a handle of a pipe refers to: may read from one channel, write to another."""

    __slots__ = ("__weakref__", "closed", "inward", "messages", "outward")

    def __init__(self, inward: Channel | None, outward: Channel | None, messages: bool) -> None:
        self.inward = inward
        self.outward = outward
        self.messages = messages
        self.closed = False

    async def read(self, n: int) -> tuple[bytes, bool]:
        """ReadFile: some bytes, and whether the rest of the message is still to come."""
        if self.inward is None:
            raise PipeError(ERROR_INVALID_PARAMETER)
        return await self.inward.read(n, self.messages)

    async def write(self, data: bytes) -> None:
        """WriteFile: takes all of it, or fails."""
        if self.outward is None:
            raise PipeError(ERROR_INVALID_PARAMETER)
        await self.outward.write(data)

    async def flush(self) -> None:
        """FlushFileBuffers: waits until the other side has read everything."""
        channel = self.outward
        while channel is not None and channel.unread and not channel.failure:
            await channel.changed.park()

    def close(self) -> None:
        """CloseHandle: what was written stays readable, then the other side is told."""
        self.closed = True
        if self.outward is not None:
            self.outward.end(ERROR_BROKEN_PIPE)
        if self.inward is not None:
            self.inward.drop(ERROR_BROKEN_PIPE)


class Client(End):
    """The client's end of an instance."""

    __slots__ = ("instance",)

    def __init__(self, instance: Instance, readable: bool, writable: bool) -> None:
        pipe = instance.pipe
        inward = instance.outward if readable else None
        super().__init__(inward, instance.inward if writable else None, pipe.messages)
        self.instance = instance

    def close(self) -> None:
        """The client goes: its server reads what is left, then ERROR_BROKEN_PIPE."""
        super().close()
        self.instance.client_gone(self)


class Instance(End):
    """A server's end: CreateNamedPipe makes one at each call."""

    __slots__ = ("client", "pipe", "state", "turned")

    def __init__(self, pipe: NamedPipe) -> None:
        super().__init__(None, None, pipe.messages)
        self.pipe = pipe
        self.client: Client | None = None
        self.turned = ParkingLot()
        self.listen()

    def __repr__(self) -> str:
        return f"<Instance of {self.pipe.name!r}: {self.state.value}>"

    def listen(self) -> None:
        """Ready for a client, with fresh channels."""
        self.state = State.LISTENING
        self.inward = Channel(self.pipe.in_size) if self.pipe.inbound else None
        self.outward = Channel(self.pipe.out_size) if self.pipe.outbound else None
        self.pipe.freed.unpark_all()

    def open(self, readable: bool, writable: bool) -> Client:
        """A client takes this instance."""
        self.client = Client(self, readable, writable)
        self.state = State.CONNECTED
        self.turned.unpark_all()
        return self.client

    def client_gone(self, client: Client) -> None:
        """The client closed its handle; only DisconnectNamedPipe frees the instance again."""
        if self.client is client:
            self.client = None
            self.state = State.CLOSING

    async def connect(self) -> None:
        """ConnectNamedPipe: wait for a client."""
        if self.state is State.CONNECTED:
            raise PipeError(ERROR_PIPE_CONNECTED)
        if self.state is State.CLOSING:
            raise PipeError(ERROR_NO_DATA)
        if self.state is State.DISCONNECTED:
            self.listen()
        while self.state is State.LISTENING and not self.closed:
            await self.turned.park()
        if self.closed:
            raise PipeError(ERROR_BROKEN_PIPE)

    def disconnect(self) -> None:
        """DisconnectNamedPipe: send the client away; what it has not read is lost."""
        if self.state is State.LISTENING:
            raise PipeError(ERROR_PIPE_LISTENING)
        self.state = State.DISCONNECTED
        self.client = None
        for channel in (self.inward, self.outward):
            if channel is not None:
                channel.drop(ERROR_PIPE_NOT_CONNECTED)

    async def read(self, n: int) -> tuple[bytes, bool]:
        """ReadFile by the server; fails while there is no client."""
        if self.state is State.LISTENING:
            raise PipeError(ERROR_PIPE_LISTENING)
        return await super().read(n)

    async def write(self, data: bytes) -> None:
        """WriteFile by the server; fails while there is no client."""
        if self.state is State.LISTENING:
            raise PipeError(ERROR_PIPE_LISTENING)
        await super().write(data)

    def close(self) -> None:
        """CloseHandle: the instance is gone, with the last one the name."""
        super().close()
        self.turned.unpark_all()
        self.pipe.instances.remove(self)
        self.pipe.freed.unpark_all()


class NamedPipe:
    """A name with its instances."""

    __slots__ = (
        "freed", "in_size", "inbound", "instances", "limit", "messages", "name", "out_size",
        "outbound",
    )  # fmt: skip

    def __init__(
        self, name: str, access: int, messages: bool, limit: int, sizes: tuple[int, int]
    ) -> None:
        self.name = name
        self.inbound = bool(access & 1)
        self.outbound = bool(access & 2)
        self.messages = messages
        self.limit = limit
        self.out_size, self.in_size = sizes
        self.instances: list[Instance] = []
        self.freed = ParkingLot()

    def free(self) -> Instance | None:
        """The instance that has been ready for a client the longest."""
        ready = (each for each in self.instances if each.state is State.LISTENING)
        return next(ready, None)


class PipeTable:
    """The names of one Trio run; they do not tell upper from lower case."""

    __slots__ = ("_pipes",)

    def __init__(self) -> None:
        self._pipes: dict[str, NamedPipe] = {}

    def find(self, name: str) -> NamedPipe:
        """The pipe of this name.

        Raises:
          PipeError: ERROR_FILE_NOT_FOUND, no instance of it is left.
        """
        pipe = self._pipes.get(name.lower())
        if pipe is None or not pipe.instances:
            raise PipeError(ERROR_FILE_NOT_FOUND)
        return pipe

    def create(self, pipe: NamedPipe) -> Instance:
        """An instance of the pipe: of the one that has the name already, if there is one."""
        try:
            pipe = self.find(pipe.name)
        except PipeError:
            self._pipes[pipe.name.lower()] = pipe
        if len(pipe.instances) >= pipe.limit:
            raise PipeError(ERROR_PIPE_BUSY)
        instance = Instance(pipe)
        pipe.instances.append(instance)
        return instance

    def open(self, name: str, readable: bool, writable: bool) -> Client:
        """CreateFile by a client: takes a free instance, never waits for one."""
        pipe = self.find(name)
        instance = pipe.free()
        if instance is None:
            raise PipeError(ERROR_PIPE_BUSY)
        return instance.open(readable, writable)

    async def wait_free(self, name: str, seconds: float) -> None:
        """WaitNamedPipe: until an instance is free, at most ``seconds``."""
        pipe = self.find(name)
        with trio.move_on_after(seconds):
            while pipe.free() is None:
                await pipe.freed.park()
                self.find(name)
            return
        raise PipeError(ERROR_SEM_TIMEOUT)


def anonymous(size: int) -> tuple[End, End]:
    """CreatePipe: the end to read from, and the end to write to."""
    channel = Channel(size)
    return End(channel, None, messages=False), End(None, channel, messages=False)
