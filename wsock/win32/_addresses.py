# ws2_32: byte order, address texts, and sockaddr structures as the Python face's addresses.
#
# Rule 1: the structures stay Windows' own (AF_INET6 is 23 in them); tuples are the standard
#         library's. The two meet in address_of and fill.
# Rule 2: what a program passes wrongly is a WSAError, never an exception of ctypes.
#
# Sources: learn.microsoft.com on each function; inet_addr's forms are BSD's.

from __future__ import annotations

import ctypes
import socket as std
import sys
from typing import TYPE_CHECKING, Any, Final

from wsock import errors
from wsock.win32._buffers import number, store, target, view
from wsock.win32._threads import current
from wsock.win32.constants import (
    AF_INET,
    AF_INET6,
    INADDR_NONE,
    SOCKET_ERROR,
    WSAEAFNOSUPPORT,
    WSAEFAULT,
    WSAEINVAL,
)
from wsock.win32.types import in6_addr, in_addr, sockaddr_in, sockaddr_in6

if TYPE_CHECKING:
    from typing import TypeAlias

    Address: TypeAlias = "tuple[str, int] | tuple[str, int, int, int]"

_SIZES: Final = {AF_INET: ctypes.sizeof(sockaddr_in), AF_INET6: ctypes.sizeof(sockaddr_in6)}
_STD_FAMILIES: Final = {AF_INET: std.AF_INET, AF_INET6: std.AF_INET6}


# ----------------------------------------------------------------------------------- byte order


def htons(hostshort: int) -> int:
    """u_short htons(u_short): host order to network order."""
    return std.htons(hostshort & 0xFFFF)


def ntohs(netshort: int) -> int:
    """u_short ntohs(u_short): network order to host order."""
    return std.ntohs(netshort & 0xFFFF)


def htonl(hostlong: int) -> int:
    """u_long htonl(u_long): host order to network order."""
    return std.htonl(hostlong & 0xFFFFFFFF)


def ntohl(netlong: int) -> int:
    """u_long ntohl(u_long): network order to host order."""
    return std.ntohl(netlong & 0xFFFFFFFF)


# --------------------------------------------------------------------------------- structures


def family_of(name: Any, namelen: Any = None) -> int:
    """The family (Windows' number) in a sockaddr.

    Raises:
      WSAEFAULT: NULL, or a length too short for that.
    """
    raw = target(name)
    if raw is None or (namelen is not None and number(namelen) < 2):
        raise errors.WSAEFAULT("sockaddr", "", "no address, or a length too short")
    return int.from_bytes(view(raw)[:2], sys.byteorder)


def address_of(name: Any, namelen: Any = None) -> tuple[int, Address]:
    """The family (Windows' number) and the address in a sockaddr.

    Raises:
      WSAEFAULT: NULL, or a length too short.
      WSAEAFNOSUPPORT: neither IPv4 nor IPv6.
    """
    family = family_of(name, namelen)
    memory = view(target(name))
    room = memory.nbytes if namelen is None else min(number(namelen), memory.nbytes)
    if room < _SIZES.get(family, 0):
        raise errors.WSAEFAULT("sockaddr", "", f"{room} bytes are too few")
    port = int.from_bytes(memory[2:4], "big")
    if family == AF_INET:
        return family, (std.inet_ntoa(bytes(memory[4:8])), port)
    if family == AF_INET6:
        flow = int.from_bytes(memory[4:8], "big")
        scope = int.from_bytes(memory[24:28], sys.byteorder)
        return family, (std.inet_ntop(std.AF_INET6, bytes(memory[8:24])), port, flow, scope)
    raise errors.WSAEAFNOSUPPORT("sockaddr", "", f"address family {family}")


def packed(address: Address) -> sockaddr_in | sockaddr_in6:
    """A sockaddr made of the standard library's address."""
    host, port = address[0], address[1]
    if len(address) == 2:
        four = sockaddr_in(sin_family=AF_INET, sin_port=std.htons(port))
        four.sin_addr = in_addr.from_buffer_copy(std.inet_aton(host))
        return four
    flow, scope = address[2], address[3]
    six = sockaddr_in6(sin6_family=AF_INET6, sin6_port=std.htons(port), sin6_scope_id=scope)
    six.sin6_flowinfo = std.htonl(flow)
    six.sin6_addr = in6_addr.from_buffer_copy(std.inet_pton(std.AF_INET6, host.split("%")[0]))
    return six


def room_for(name: Any, namelen: Any, family: int) -> None:
    """Check that an out-parameter has room for an address of this family; NULL has no wish.

    Raises:
      WSAEFAULT: it has not.
    """
    raw = target(name)
    if raw is None:
        return
    length = view(raw).nbytes if namelen is None else number(namelen)
    if length < _SIZES[family]:
        raise errors.WSAEFAULT("sockaddr", "", f"{length} bytes are too few")


def fill(name: Any, namelen: Any, address: Address) -> None:
    """Write an address, and its size, through out-parameters that room_for has seen."""
    raw = target(name)
    if raw is None:
        return
    data = bytes(packed(address))
    view(raw)[: len(data)] = data
    store(namelen if isinstance(namelen, ctypes._SimpleCData) else None, len(data))


# ---------------------------------------------------------------------------------------- texts


def _part(text: str) -> int:
    """One number of a dotted address, in C's notation; -1 if it is none."""
    digits = text.lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") and digits != "0" else 10
    try:
        return int(digits, base) if digits.isalnum() else -1
    except ValueError:
        return -1


def inet_addr(cp: str | bytes) -> int:
    """unsigned long inet_addr(const char *): in network order; INADDR_NONE if it is no address.

    As in C the parts may be decimal, octal or hexadecimal, and the last one fills what is left:
    1.2.3 is 1.2.0.3.
    """
    text = cp.decode("ascii", "replace") if isinstance(cp, bytes) else cp
    parts = [_part(part) for part in text.split(" ")[0].split(".")]
    if len(parts) > 4 or min(parts) < 0 or any(part > 255 for part in parts[:-1]):
        return INADDR_NONE
    rest = 8 * (5 - len(parts))
    if parts[-1] >= 1 << rest:
        return INADDR_NONE
    value = parts[-1]
    for position, part in enumerate(parts[:-1]):
        value |= part << 24 - 8 * position
    return htonl(value)


def inet_ntoa(address: in_addr) -> str:
    """char *inet_ntoa(struct in_addr): the dotted text."""
    return std.inet_ntoa(bytes(target(address)))


def inet_pton(Family: int, pszAddrString: str, pAddrBuf: Any) -> int:
    """INT inet_pton(family, text, buffer): 1; 0 if it is no address; -1 for another family.

    The buffer is an in_addr, an in6_addr or anything of that size.
    """
    family = _STD_FAMILIES.get(Family)
    if family is None:
        current().last_error = WSAEAFNOSUPPORT
        return SOCKET_ERROR
    try:
        data = std.inet_pton(family, pszAddrString)
    except OSError:
        return 0
    view(target(pAddrBuf))[: len(data)] = data
    return 1


def inet_ntop(
    Family: int, pAddr: Any, pStringBuf: Any = None, StringBufSize: int = 0
) -> str | None:
    """PCSTR inet_ntop(family, address, buffer, size): the text, also put into the buffer.

    The buffer may be left out. NULL with WSAEINVAL if it is too small, WSAEAFNOSUPPORT for
    another family.
    """
    family = _STD_FAMILIES.get(Family)
    if family is None:
        current().last_error = WSAEAFNOSUPPORT
        return None
    size = 4 if Family == AF_INET else 16
    text = std.inet_ntop(family, bytes(view(target(pAddr))[:size]))
    out = target(pStringBuf)
    if out is not None:
        if len(text) + 1 > StringBufSize:
            current().last_error = WSAEINVAL
            return None
        view(out)[: len(text) + 1] = text.encode() + b"\0"
    return text


def _failed(code: int) -> int:
    current().last_error = code
    return SOCKET_ERROR


def _text(address: Address) -> str:
    host, port = address[0], address[1]
    if len(address) == 2:
        return f"{host}:{port}" if port else host
    scope = f"%{address[3]}" if address[3] else ""
    return f"[{host}{scope}]:{port}" if port else host + scope


def WSAAddressToString(
    lpsaAddress: Any,
    dwAddressLength: int,
    lpProtocolInfo: None,
    lpszAddressString: Any,
    lpdwAddressStringLength: Any,
) -> int:
    """INT WSAAddressToString(address, length, NULL, buffer, LPDWORD size): ``1.2.3.4:80``.

    Without a port the address alone. Too small a buffer: WSAEFAULT, and the size that is needed.
    """
    try:
        _, address = address_of(lpsaAddress, dwAddressLength)
    except errors.WSAEAFNOSUPPORT:
        return _failed(WSAEINVAL)
    except errors.WSAError as error:
        return _failed(error.winerror)
    text = _text(address).encode() + b"\0"
    room = number(lpdwAddressStringLength)
    store(lpdwAddressStringLength, len(text))
    out = target(lpszAddressString)
    if out is None or room < len(text):
        return _failed(WSAEFAULT)
    view(out)[: len(text)] = text
    return 0


def _split_port(text: str, family: int) -> tuple[str, str]:
    if family == AF_INET:
        host, _, port = text.partition(":")
        return host, port
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    return text, ""


def WSAStringToAddress(
    AddressString: str,
    AddressFamily: int,
    lpProtocolInfo: None,
    lpAddress: Any,
    lpAddressLength: Any,
) -> int:
    """INT WSAStringToAddress(text, family, NULL, sockaddr, LPINT size): numbers only, no names."""
    if AddressFamily not in _SIZES:
        return _failed(WSAEINVAL)
    host, port = _split_port(AddressString, AddressFamily)
    try:
        if AddressFamily == AF_INET:
            address: Address = (std.inet_ntop(std.AF_INET, std.inet_pton(std.AF_INET, host)), 0)
        else:
            host, _, scope = host.partition("%")
            std.inet_pton(std.AF_INET6, host)
            address = (host, 0, 0, int(scope or "0"))
        value = int(port) if port else 0
    except (OSError, ValueError):
        return _failed(WSAEINVAL)
    if not 0 <= value <= 0xFFFF:
        return _failed(WSAEINVAL)
    try:
        room_for(lpAddress, lpAddressLength, AddressFamily)
    except errors.WSAError as error:
        return _failed(error.winerror)
    rest: Any = address[2:]
    fill(lpAddress, lpAddressLength, (address[0], value, *rest))
    return 0


__all__ = [
    "WSAAddressToString", "WSAStringToAddress", "htonl", "htons", "inet_addr", "inet_ntoa",
    "inet_ntop", "inet_pton", "ntohl", "ntohs",
]  # fmt: skip
