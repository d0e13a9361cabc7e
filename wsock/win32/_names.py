# ws2_32: names of hosts and services.
#
# Rule 1: what asks the resolver waits in a worker thread and suspends only the calling thread.
# Rule 2: WSAAsyncGetHostByName runs in the program's nursery, like a thread; a cancelled one posts
#         nothing.
#
# Sources: learn.microsoft.com on each function.

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Any, Final

import trio

from wsock import errors
from wsock._handles import handle_of
from wsock.win32 import _border, _threads
from wsock.win32._addresses import address_of, packed
from wsock.win32._buffers import target, view
from wsock.win32._calls import check_started, failed, winsock_call
from wsock.win32._queues import queue_of
from wsock.win32._threads import current
from wsock.win32.constants import (
    AF_INET,
    AI_CANONNAME,
    AI_NUMERICHOST,
    AI_NUMERICSERV,
    AI_PASSIVE,
    NI_DGRAM,
    NI_NAMEREQD,
    NI_NOFQDN,
    NI_NUMERICHOST,
    NI_NUMERICSERV,
)
from wsock.win32.types import addrinfo, hostent, servent

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.win32._queues import Window

_IPV4_SIZE: Final = 4
_HINT_FLAGS: Final = {
    AI_PASSIVE: std.AI_PASSIVE,
    AI_CANONNAME: std.AI_CANONNAME,
    AI_NUMERICHOST: std.AI_NUMERICHOST,
    AI_NUMERICSERV: std.AI_NUMERICSERV,
}
_NAME_FLAGS: Final = {
    NI_NOFQDN: std.NI_NOFQDN,
    NI_NUMERICHOST: std.NI_NUMERICHOST,
    NI_NAMEREQD: std.NI_NAMEREQD,
    NI_NUMERICSERV: std.NI_NUMERICSERV,
    NI_DGRAM: std.NI_DGRAM,
}


def _here(flags: int, table: dict[int, Any]) -> int:
    return sum(int(theirs) for ours, theirs in table.items() if flags & ours)


def _resolver_failure(call: str, error: OSError) -> errors.WSAError:
    code = errors.code_from_gaierror(error.errno or 0)
    return errors.error_class(code)(call, "", str(error.strerror))


# ----------------------------------------------------------------------------------- old calls


async def _host(name: str, find: Callable[[str], Any] = std.gethostbyname_ex) -> hostent:
    try:
        found = await trio.to_thread.run_sync(find, name, abandon_on_cancel=True)
    except std.gaierror as error:
        raise _resolver_failure("gethostbyname", error) from None
    except std.herror as error:
        raise errors.WSAHOST_NOT_FOUND("gethostbyaddr", "", str(error.strerror)) from None
    entry = hostent()
    entry.h_name, entry.h_aliases, addresses = found
    entry.h_addrtype, entry.h_length = AF_INET, 4
    entry.h_addr_list = [std.inet_aton(address) for address in addresses]
    return entry


def gethostbyname(name: str) -> hostent | None:
    """struct hostent *gethostbyname(const char *name): IPv4 addresses, packed, in h_addr_list.

    NULL with WSAHOST_NOT_FOUND, WSATRY_AGAIN, WSANO_RECOVERY or WSANO_DATA.
    """
    try:
        check_started()
        return _threads.wait(_host, name)
    except errors.WSAError as error:
        failed(error)
        return None


def gethostbyaddr(addr: Any, len: int, type: int) -> hostent | None:  # noqa: A002
    """struct hostent *gethostbyaddr(const char *addr, int len, int type): who has this address.

    ``addr`` is an in_addr, or its 4 bytes. NULL with WSAHOST_NOT_FOUND, WSAEAFNOSUPPORT (another
    type than AF_INET), WSAEFAULT.
    """
    try:
        check_started()
        if type != AF_INET:
            raise errors.WSAEAFNOSUPPORT("gethostbyaddr", "", f"address family {type}")
        if target(addr) is None or len < _IPV4_SIZE:
            raise errors.WSAEFAULT("gethostbyaddr", "", "an address of 4 bytes is needed")
        name = std.inet_ntoa(bytes(view(target(addr))[:_IPV4_SIZE]))
        return _threads.wait(_host, name, std.gethostbyaddr)
    except errors.WSAError as error:
        failed(error)
        return None


def WSAAsyncGetHostByName(
    hWnd: int, wMsg: int, name: str, buf: hostent, buflen: int = 0
) -> int:
    """HANDLE WSAAsyncGetHostByName(HWND, wMsg, name, buf, buflen): the answer comes as a message.

    ``buf`` is a hostent, filled before wMsg is posted; wParam is the handle that this returned,
    WSAGETASYNCERROR(lParam) the error code. (C's buf is raw bytes that are read as a hostent.)
    """
    try:
        check_started()
    except errors.WSAError as error:
        failed(error)
        return 0
    thread = current()
    window = thread.process.windows.get(hWnd)
    if window is None:
        failed(errors.WSAEINVAL("WSAAsyncGetHostByName", "", f"{hWnd!r} is no window"))
        return 0
    request = _Request()
    handle = thread.process.add_object(request)
    thread.program.nursery.start_soon(_answer_later, request, handle, window, wMsg, name, buf)
    return handle


class _Request:
    """A name that is being resolved; WSACancelAsyncRequest ends it."""

    __slots__ = ("__weakref__", "scope")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()


async def _answer_later(
    request: _Request, handle: int, window: Window, message: int, name: str, room: hostent
) -> None:
    code = 0
    with request.scope:
        try:
            found = await _host(name)
        except errors.WSAError as error:
            code = error.winerror
        else:
            for field in hostent.__slots__:
                setattr(room, field, getattr(found, field))
    window.thread.process.objects.pop(handle, None)
    if not request.scope.cancelled_caught and handle_of(window) in window.thread.process.windows:
        queue_of(window.thread).messages.post(window, message, handle, code << 16)


@winsock_call
def WSACancelAsyncRequest(hAsyncTaskHandle: int) -> int:
    """int WSACancelAsyncRequest(HANDLE): no message will come; WSAEINVAL for another handle."""
    request = current().process.objects.pop(hAsyncTaskHandle, None)
    if not isinstance(request, _Request):
        raise errors.WSAEINVAL("WSACancelAsyncRequest", "", "no such request")
    request.scope.cancel()
    return 0


@winsock_call
def gethostname(name: Any, namelen: int) -> int:
    """int gethostname(char *name, int namelen): this machine's name, into a bytearray."""
    check_started()
    text = std.gethostname().encode() + b"\0"
    if target(name) is None or namelen < len(text):
        raise errors.WSAEFAULT("gethostname", "", f"{len(text)} bytes are needed")
    view(target(name))[: len(text)] = text
    return 0


def _service(find: Callable[[], servent]) -> servent | None:
    try:
        check_started()
        return find()
    except errors.WSAError as error:
        failed(error)
    except OSError:
        failed(errors.WSANO_DATA("getserv", "", "no such service"))
    return None


def getservbyname(name: str, proto: str | None = None) -> servent | None:
    """struct servent *getservbyname(name, proto): s_port in network order; NULL with WSANO_DATA."""

    def find() -> servent:
        port = std.getservbyname(name, proto) if proto else std.getservbyname(name)
        return servent(name, std.htons(port), proto or "tcp")

    return _service(find)


def getservbyport(port: int, proto: str | None = None) -> servent | None:
    """struct servent *getservbyport(int port, proto): the port in network order."""

    def find() -> servent:
        number = std.ntohs(port)
        name = std.getservbyport(number, proto) if proto else std.getservbyport(number)
        return servent(name, port, proto or "tcp")

    return _service(find)


# ----------------------------------------------------------------------------------- new calls


def getaddrinfo(
    pNodeName: str | None, pServiceName: str | None, pHints: addrinfo | None, ppResult: Any
) -> int:
    """INT getaddrinfo(node, service, const addrinfo *hints, addrinfo **result).

    ``result`` is a list that gets the chain as its one item; or an addrinfo(), which becomes the
    first link. The code comes back: 0, WSAHOST_NOT_FOUND, WSATYPE_NOT_FOUND, WSAEAFNOSUPPORT ...
    """
    hints = target(pHints) or addrinfo()
    try:
        check_started()
        first = _threads.wait(_addresses, pNodeName, pServiceName, hints)
    except errors.WSAError as error:
        failed(error)
        return error.winerror
    out = target(ppResult)
    if isinstance(out, list):
        out[:] = [first]
    else:
        for field in addrinfo.__slots__:
            setattr(out, field, getattr(first, field))
    return 0


async def _addresses(node: str | None, service: str | None, hints: addrinfo) -> addrinfo:
    if node is None and service is None:
        raise errors.WSAHOST_NOT_FOUND("getaddrinfo", "", "neither a node nor a service")
    if hints.ai_family and hints.ai_family not in _border.FAMILIES:
        raise errors.WSAEAFNOSUPPORT("getaddrinfo", "", f"family {hints.ai_family}")
    family = _border.FAMILIES.get(hints.ai_family, 0)
    kind = _border.TYPES.get(hints.ai_socktype, 0)
    flags = _here(hints.ai_flags, _HINT_FLAGS)
    try:
        found = await trio.socket.getaddrinfo(
            node, service, family, kind, hints.ai_protocol, flags
        )
    except std.gaierror as error:
        raise _resolver_failure("getaddrinfo", error) from None
    return _chain(found)


def _chain(found: list[Any]) -> addrinfo:
    links: list[addrinfo] = []
    for family, kind, protocol, name, address in found:
        link = addrinfo()
        link.ai_family = _border.WINDOWS_FAMILIES.get(family, 0)
        link.ai_socktype = _border.WINDOWS_TYPES.get(kind, 0)
        link.ai_protocol = protocol
        link.ai_canonname = name or None
        link.ai_addr = packed(address)
        link.ai_addrlen = len(bytes(link.ai_addr))
        if links:
            links[-1].ai_next = link
        links.append(link)
    return links[0]


def freeaddrinfo(pAddrInfo: addrinfo | None) -> None:
    """void freeaddrinfo(addrinfo *): nothing to do, Python frees."""


def getnameinfo(
    pSockaddr: Any,
    SockaddrLength: int,
    pNodeBuffer: Any,
    NodeBufferSize: int,
    pServiceBuffer: Any,
    ServiceBufferSize: int,
    Flags: int,
) -> int:
    """INT getnameinfo(sockaddr, length, node, node_size, service, service_size, flags).

    The buffers are bytearrays. The code comes back: 0, WSAHOST_NOT_FOUND, WSAEFAULT ...
    """
    try:
        check_started()
        _, address = address_of(pSockaddr, SockaddrLength)
        node, service = _threads.wait(_names, address, Flags)
        for out, size, text in (
            (pNodeBuffer, NodeBufferSize, node),
            (pServiceBuffer, ServiceBufferSize, service),
        ):
            _write_text(target(out), size, text)
    except errors.WSAError as error:
        failed(error)
        return error.winerror
    return 0


async def _names(address: Any, flags: int) -> tuple[str, str]:
    try:
        return await trio.socket.getnameinfo(address, _here(flags, _NAME_FLAGS))
    except std.gaierror as error:
        raise _resolver_failure("getnameinfo", error) from None


def _write_text(out: Any, size: int, text: str) -> None:
    if out is None:
        return
    data = text.encode() + b"\0"
    if size < len(data):
        raise errors.WSAEFAULT("getnameinfo", "", f"{len(data)} bytes are needed")
    view(out)[: len(data)] = data


def gai_strerror(ecode: int) -> str:
    """char *gai_strerror(int): the text of a code of getaddrinfo."""
    return errors.text(ecode)


__all__ = [
    "WSAAsyncGetHostByName", "WSACancelAsyncRequest", "freeaddrinfo", "gai_strerror", "getaddrinfo",
    "gethostbyaddr", "gethostbyname", "gethostname", "getnameinfo", "getservbyname",
    "getservbyport",
]  # fmt: skip
