# trio.socket on a virtual network: programs that never heard of wsock run on it.
#
# > trio face             THIS FILE: socket factory, resolver, and sockets with Trio's methods
#   _socket               Socket: does the work, and is traced like any other (ruling B12)
#
# Rule 1: only Trio's public hooks: set_custom_socket_factory, set_custom_hostname_resolver. What
#         was there before is put back.
# Rule 2: outside the simulation is loud: an option, family or call that does not exist here raises
#         the errno that a kernel would give, and is never ignored.
# Rule 3: errors are a kernel's: OSError with errno. A call on a closed socket, and one whose socket
#         is closed meanwhile, gives EBADF, which Trio's streams read as ClosedResourceError.

# ruff: noqa: ANN401  (these are the signatures of trio.socket, which takes any address and buffer)

"""trio.socket's face of virtual hosts."""

from __future__ import annotations

import errno
import os
import socket as std
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeVar

import trio

from wsock import errors
from wsock._socket_making import socket
from wsock.virtual import addresses
from wsock.virtual.host import current_host, host_of_the_run
from wsock.virtual.layers import ANY_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from wsock._socket import Socket
    from wsock.virtual.host import Host
    from wsock.virtual.pump import Network

__all__ = ["VirtualSocket", "plugged_in"]

_T = TypeVar("_T")

_NUMBERS: Final = {
    errors.WSAEINTR.winerror: errno.EBADF,
    errors.WSAENOTSOCK.winerror: errno.EBADF,
    errors.WSAECONNABORTED.winerror: errno.ECONNRESET,
}


# A kernel ignores other flags, Winsock refuses them.
_RECEIVABLE: Final = std.MSG_PEEK | std.MSG_OOB | std.MSG_WAITALL
_SENDABLE: Final = std.MSG_OOB | std.MSG_DONTROUTE


def kernel_error(error: errors.WSAError) -> OSError:
    """Return what a kernel would have raised."""
    number = _NUMBERS.get(error.winerror) or error.errno or errno.EIO
    return OSError(number, os.strerror(number))


@contextmanager
def _as_kernel() -> Iterator[None]:
    try:
        yield
    except errors.WSAESHUTDOWN as error:
        # A kernel says EPIPE to senders; receivers get the end, which ``recv`` sees to.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
    except errors.WSAError as error:
        raise kernel_error(error) from error


def _unsupported(call: str) -> NoReturn:
    raise OSError(errno.EOPNOTSUPP, f"{call}: a virtual socket has no descriptor of this machine")


def _to_somebody(address: Any) -> Any:
    """Return host and port of a peer; to any address is to this host, as Linux has it."""
    host, port = address[:2]
    return ("127.0.0.1" if host == "0.0.0.0" else host), port


class VirtualSocket(trio.socket.SocketType):
    """A socket of a virtual host with the methods of ``trio.socket.socket``."""

    def __init__(self, sock: Socket) -> None:
        super().__init__()
        self._sock = sock
        self._did_shutdown_SHUT_WR = False
        if sock.type == std.SOCK_STREAM:
            sock._endpoint.file.as_a_kernel = True

    def __repr__(self) -> str:
        return f"<trio.socket.socket on {self._sock.stack.name}: {self._sock!r}>"

    # What it is

    @property
    def family(self) -> std.AddressFamily:
        """The address family."""
        return std.AddressFamily(self._sock.family)

    @property
    def type(self) -> std.SocketKind:
        """The type."""
        return std.SocketKind(self._sock.type)

    @property
    def proto(self) -> int:
        """The protocol."""
        return self._sock.proto

    @property
    def did_shutdown_SHUT_WR(self) -> bool:
        """Whether ``shutdown`` ended the sending side."""
        return self._did_shutdown_SHUT_WR

    def fileno(self) -> int:
        """Return a number of 2**30 or more while open, -1 closed."""
        return self._sock.fileno()

    # Names

    async def bind(self, address: Any) -> None:
        """Bind; names are resolved."""
        await trio.lowlevel.checkpoint()
        host, port = address[:2]
        if host:
            host = (await trio.socket.getaddrinfo(host, port, std.AF_INET))[0][4][0]
        with _as_kernel():
            try:
                self._sock.bind((host, int(port)))
            except errors.WSAEACCES as error:  # Winsock's word for a holder who does not share
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from error

    def listen(self, backlog: int = 128) -> None:
        """Listen; unbound it is bound to some port first, as a kernel does."""
        with _as_kernel():
            if self._sock.state == "OPEN":
                self._sock.bind(("", 0))
            self._sock.listen(backlog)

    def getsockname(self) -> Any:
        """Return the local address; 0.0.0.0 and 0 while unbound."""
        if self._sock.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._sock.state == "OPEN":
            return ("0.0.0.0", 0)
        with _as_kernel():
            return self._sock.getsockname()

    def getpeername(self) -> Any:
        """Return the peer's address."""
        with _as_kernel():
            return self._sock.getpeername()

    # Connections

    async def accept(self) -> tuple[trio.socket.SocketType, Any]:
        """Wait for a client."""
        with _as_kernel():
            sock, address = await self._sock.accept()
        return VirtualSocket(sock), address

    async def connect(self, address: Any) -> None:
        """Connect; cancelled, the socket is closed."""
        with _as_kernel():
            await self._sock.connect(_to_somebody(address))

    def shutdown(self, how: int) -> None:
        """End one direction or both."""
        with _as_kernel():
            self._sock.shutdown(how)
        if how in (std.SHUT_WR, std.SHUT_RDWR):
            self._did_shutdown_SHUT_WR = True

    def close(self) -> None:
        """Close; who waits gets EBADF."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Receiving

    async def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive; ``b""`` at the end, also after own SHUT_RD."""
        try:
            with _as_kernel():
                return await self._heeding_icmp(
                    lambda: self._sock.recv(bufsize, flags & _RECEIVABLE)
                )
        except BrokenPipeError:
            return b""

    async def _heeding_icmp(self, receive: Callable[[], Awaitable[_T]]) -> _T:
        """Treat "nobody listens on that port" as Linux does, where Winsock says WSAECONNRESET.

        A datagram socket that is connected gets ECONNREFUSED; one that is not never hears of it.
        """
        while True:
            try:
                return await receive()
            except errors.WSAECONNRESET:
                if self._sock.type != std.SOCK_DGRAM:
                    raise
                if self._sock._endpoint.peer:
                    raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)) from None

    async def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer."""
        view = memoryview(buffer).cast("B")
        data = await self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Receive a datagram; one that is cut is cut silently, as a kernel does."""
        data, _, address = await self._receive(bufsize, flags)
        return data, address

    async def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Receive a datagram into a buffer."""
        view = memoryview(buffer).cast("B")
        data, address = await self.recvfrom(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), address

    async def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[Any], int, Any]:
        """Receive, and say by MSG_TRUNC whether a datagram was cut. No ancillary data exists."""
        del ancbufsize
        data, cut, address = await self._receive(bufsize, flags)
        return data, [], int(std.MSG_TRUNC) if cut else 0, address

    async def recvmsg_into(
        self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Any], int, Any]:
        """Receive into several buffers, one after the other."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        room = sum(map(len, views))
        data, ancillary, seen, address = await self.recvmsg(room, ancbufsize, flags)
        rest = data
        for view in views:
            part, rest = rest[: len(view)], rest[len(view) :]
            view[: len(part)] = part
        return len(data), ancillary, seen, address

    async def _receive(self, bufsize: int, flags: int) -> tuple[bytes, bool, Any]:
        try:
            with _as_kernel():
                data, address = await self._heeding_icmp(
                    lambda: self._sock.recvfrom(bufsize, flags & _RECEIVABLE)
                )
        except BrokenPipeError:
            return b"", False, None
        except OSError as error:
            cut = error.__cause__
            if not isinstance(cut, errors.WSAEMSGSIZE):
                raise
            return cut.data, True, cut.address  # type: ignore[attr-defined]
        return data, False, address

    def is_readable(self) -> bool:
        """Whether a ``recv`` would not wait: data, the end, or an error."""
        endpoint = self._sock._endpoint
        readable = bool(endpoint.select_state()[0])
        if not readable:
            endpoint.asked_in_vain()
        return readable

    # Sending

    async def send(self, data: Any, flags: int = 0, /) -> int:
        """Send; here always all of it."""
        with _as_kernel():
            try:
                return await self._sock.send(data, flags & _SENDABLE)
            except errors.WSAENOTCONN as error:
                number = errno.EPIPE if self.type == std.SOCK_STREAM else errno.EDESTADDRREQ
                raise OSError(number, os.strerror(number)) from error

    async def sendto(self, *args: Any) -> int:
        """Send a datagram: ``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        data, flags, address = args if len(args) == 3 else (args[0], 0, args[1])
        with _as_kernel():
            return await self._sock.sendto(data, _to_somebody(address), flags & _SENDABLE)

    async def sendmsg(
        self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
    ) -> int:
        """Send several buffers as one; ancillary data does not exist here."""
        if list(ancdata):
            raise OSError(errno.EOPNOTSUPP, "sendmsg: no ancillary data on a virtual socket")
        data = b"".join(bytes(buffer) for buffer in buffers)
        if address is None:
            return await self.send(data, flags)
        return await self.sendto(data, flags, address)

    async def wait_writable(self) -> None:
        """Wait until a ``send`` would be taken."""
        await trio.lowlevel.checkpoint()
        while not self._sock._endpoint.select_state()[1]:
            with _as_kernel():
                await self._sock.wait_turn("send", send=True)

    # Options

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:
        """Return an option."""
        with _as_kernel():
            return self._sock.getsockopt(level, optname, buflen)

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        """Set an option."""
        if value is None:
            value = bytes(optlen or 0)
        with _as_kernel():
            self._sock.setsockopt(level, optname, value)

    # What needs a descriptor of the machine

    def detach(self) -> int:
        """Raise EOPNOTSUPP."""
        _unsupported("detach")

    def dup(self) -> NoReturn:
        """Raise EOPNOTSUPP."""
        _unsupported("dup")

    def share(self, process_id: int, /) -> bytes:
        """Raise EOPNOTSUPP."""
        del process_id
        _unsupported("share")

    def get_inheritable(self) -> bool:
        """Virtual sockets are never inherited."""
        return False

    def set_inheritable(self, inheritable: bool) -> None:
        """Raise EOPNOTSUPP unless it asks for what is so anyway."""
        if inheritable:
            _unsupported("set_inheritable")


class _Factory(trio.abc.SocketFactory):
    """Makes ``trio.socket.socket`` on the current host."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def socket(self, family: int = 0, type: int = 0, proto: int = 0) -> VirtualSocket:  # noqa: A002
        """Make a socket on the current host, or on the only one there is."""
        stack = self._host().stack
        family = std.AF_INET if family in (0, -1) else family
        type = std.SOCK_STREAM if type in (0, -1) else type  # noqa: A001
        with _as_kernel():
            return VirtualSocket(socket(family, type, max(proto, 0), stack=stack))

    def _host(self) -> Host:
        host = current_host()
        if host is not None:
            return host
        raise RuntimeError(
            f"trio.socket.socket: the network has {len(self._network.hosts)} hosts, none is "
            "current, and none is the network's default_host; open "
            "sockets inside `with host:`, or start the task by host.start_soon(nursery, ...)"
        )


class _Resolver(trio.abc.HostnameResolver):
    """Answers from the network's names; nothing leaves the process."""

    def __init__(self, network: Network) -> None:
        self._names = network.names

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Resolve a name of the network."""
        name = "" if host is None else host.decode()
        await self._delay(name)
        if family not in (0, std.AF_INET):
            raise std.gaierror(std.EAI_NONAME, f"{name}: virtual hosts have IPv4 addresses alone")
        if name:
            found = self._names.resolve(name, current_host())
        else:
            found = [ANY_ADDRESS if flags & std.AI_PASSIVE else addresses.LOOPBACK]
        answers: list[Any] = []
        for address in found:
            answers += std.getaddrinfo(
                std.inet_ntoa(address), port, std.AF_INET, type, proto, flags | std.AI_NUMERICHOST
            )
        return answers

    async def _delay(self, name: str) -> None:
        delay = self._names.delay_of(name)
        if delay:
            await trio.sleep(delay)
        else:
            await trio.lowlevel.checkpoint()

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        """Return the name of an address."""
        await trio.lowlevel.checkpoint()
        host, port = sockaddr[:2]
        if flags & std.NI_NUMERICHOST:
            return host, str(port)
        return self._names.reverse(std.inet_aton(host)), str(port)


@contextmanager
def plugged_in(network: Network) -> Iterator[None]:
    """Have ``trio.socket`` make sockets of this network and resolve its names, in this Trio run."""
    old_factory = trio.socket.set_custom_socket_factory(_Factory(network))
    old_resolver = trio.socket.set_custom_hostname_resolver(_Resolver(network))
    token = host_of_the_run.set(network.host_without_name)
    try:
        yield
    finally:
        host_of_the_run.reset(token)
        trio.socket.set_custom_socket_factory(old_factory)
        trio.socket.set_custom_hostname_resolver(old_resolver)
