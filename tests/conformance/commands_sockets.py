# Commands of a scenario: the socket calls.
"""One function for each socket command."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from wsock import win32 as w

from . import language
from .language import Malformed, number, result

if TYPE_CHECKING:
    from collections.abc import Callable

    from .names import Names

_MOST_SENDS = 4000
_BIG = 1 << 20
_TRIES, _PAUSE_MS = 100, 10

# name: (level, option, how its value prints)
_OPTIONS: dict[str, tuple[int, int, str]] = {
    "SO_ERROR": (w.SOL_SOCKET, w.SO_ERROR, "error"),
    "SO_TYPE": (w.SOL_SOCKET, w.SO_TYPE, "type"),
    "SO_LINGER": (w.SOL_SOCKET, w.SO_LINGER, "linger"),
    "SO_DONTLINGER": (w.SOL_SOCKET, w.SO_DONTLINGER, "bool"),
    "SO_RCVBUF": (w.SOL_SOCKET, w.SO_RCVBUF, "int"),
    "SO_SNDBUF": (w.SOL_SOCKET, w.SO_SNDBUF, "int"),
    "SO_RCVTIMEO": (w.SOL_SOCKET, w.SO_RCVTIMEO, "int"),
    "SO_SNDTIMEO": (w.SOL_SOCKET, w.SO_SNDTIMEO, "int"),
    "SO_ACCEPTCONN": (w.SOL_SOCKET, w.SO_ACCEPTCONN, "bool"),
    "SO_REUSEADDR": (w.SOL_SOCKET, w.SO_REUSEADDR, "bool"),
    "SO_EXCLUSIVEADDRUSE": (w.SOL_SOCKET, w.SO_EXCLUSIVEADDRUSE, "bool"),
    "SO_OOBINLINE": (w.SOL_SOCKET, w.SO_OOBINLINE, "bool"),
    "SO_KEEPALIVE": (w.SOL_SOCKET, w.SO_KEEPALIVE, "bool"),
    "SO_BROADCAST": (w.SOL_SOCKET, w.SO_BROADCAST, "bool"),
    "TCP_NODELAY": (w.IPPROTO_TCP, w.TCP_NODELAY, "bool"),
    "SO_BAD": (w.SOL_SOCKET, 0x7ABC, "int"),
}


def socket(names: Names, name: str, *kind: str) -> str:
    families = {("tcp",): (w.AF_INET, w.SOCK_STREAM, 0), ("udp",): (w.AF_INET, w.SOCK_DGRAM, 0)}
    family, type_, protocol = families[kind] if kind in families else map(number, kind)
    handle = w.socket(family, type_, protocol)
    if handle == w.INVALID_SOCKET:
        return f"INVALID_SOCKET {language.error_name(w.WSAGetLastError())}"
    names.add_socket(name, handle)
    return "ok"


def _listener(backlog: int) -> tuple[int, w.sockaddr_in]:
    handle = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    address = w.sockaddr_in(sin_family=w.AF_INET)
    address.sin_addr.s_addr = w.htonl(w.INADDR_LOOPBACK)
    assert w.bind(handle, address, 16) == 0
    assert w.listen(handle, backlog) == 0
    assert w.getsockname(handle, address) == 0
    return handle, address


def pair(names: Names, near: str, far: str) -> str:
    listener, address = _listener(1)
    client = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    assert w.connect(client, address) == 0
    accepted = w.accept(listener, None, None)
    assert accepted != w.INVALID_SOCKET
    w.closesocket(listener)
    names.add_socket(near, client)
    names.add_socket(far, accepted)
    return "ok"


def server(names: Names, name: str, backlog: str = "5") -> str:
    names.add_socket(name, _listener(number(backlog))[0])
    return "ok"


def bind(names: Names, name: str, address: str, length: str = "16") -> str:
    if address == "null":
        return result(w.bind(names.handle(name), None, 0))
    done = result(w.bind(names.handle(name), names.address(address), number(length)))
    names.learn_port(name)
    return done


def listen(names: Names, name: str, backlog: str) -> str:
    return result(w.listen(names.handle(name), number(backlog)))


def accept(names: Names, new: str, name: str, wanted: str = "") -> str:
    address = w.sockaddr_in() if wanted else None
    length = ctypes.c_int(16) if wanted else None
    handle = w.accept(names.handle(name), address, length)
    if handle == w.INVALID_SOCKET:
        return f"INVALID_SOCKET {language.error_name(w.WSAGetLastError())}"
    names.add_socket(new, handle, accepted=True)
    return f"ok from {names.shown(address)}" if address is not None else "ok"


def connect(names: Names, name: str, address: str, *length: str) -> str:
    done = result(w.connect(names.handle(name), names.address(address), *map(number, length)))
    names.learn_port(name)
    return done


def send(names: Names, name: str, data: str, flags: str = "0") -> str:
    payload = language.data(data)
    return result(w.send(names.handle(name), payload, len(payload), language.flags(flags)))


def sendto(names: Names, name: str, data: str, address: str, flags: str = "0") -> str:
    payload, to = language.data(data), names.address(address)
    handle = names.handle(name)
    done = result(w.sendto(handle, payload, len(payload), language.flags(flags), to, 16))
    names.learn_port(name)
    return done


def _received(names: Names, count: int, room: bytearray, sender: w.sockaddr_in | None) -> str:
    cut = count == w.SOCKET_ERROR and w.WSAGetLastError() == w.WSAEMSGSIZE
    text = result(count)
    if count > 0:
        text += " " + language.shown(bytes(room[:count]))
    if cut:
        text += " buffer " + language.shown(bytes(room))
    if sender is not None and (count >= 0 or cut) and sender.sin_family == w.AF_INET:
        text += " from " + names.shown(sender)
    return text


def recv(names: Names, name: str, length: str, flags: str = "0") -> str:
    room = bytearray(b"~" * max(number(length), 0))
    count = w.recv(names.handle(name), room, number(length), language.flags(flags))
    return _received(names, count, room, None)


def recvfrom(names: Names, name: str, length: str, flags: str = "0") -> str:
    room, sender = bytearray(b"~" * max(number(length), 0)), w.sockaddr_in()
    asked = language.flags(flags)
    count = w.recvfrom(
        names.handle(name), room, number(length), asked, sender, ctypes.c_int(16)
    )
    return _received(names, count, room, sender)


def shutdown(names: Names, name: str, how: str) -> str:
    return result(w.shutdown(names.handle(name), number(how)))


def closesocket(names: Names, name: str) -> str:
    done = w.closesocket(names.handle(name))
    if done == 0:
        names.socket(name).open = False
    return result(done)


def ioctlsocket(names: Names, name: str, command: str, value: str = "0xdeadbeef") -> str:
    commands = {
        "FIONBIO": w.FIONBIO, "FIONREAD": w.FIONREAD, "SIOCATMARK": w.SIOCATMARK, "BAD": 0x667F,
    }  # fmt: skip
    argument = ctypes.c_ulong(number(value))
    done = w.ioctlsocket(names.handle(name), commands[command], argument)
    shown = f" value {argument.value}" if done == 0 and command != "FIONBIO" else ""
    return result(done) + shown


def setsockopt(names: Names, name: str, option: str, *values: str) -> str:
    level, code, kind = _OPTIONS[option]
    numbers = [number(value) for value in values]
    value = w.linger(*numbers) if kind == "linger" else ctypes.c_int(numbers[0])
    return result(w.setsockopt(names.handle(name), level, code, value, 4))


def getsockopt(names: Names, name: str, option: str) -> str:
    level, code, kind = _OPTIONS[option]
    value = w.linger() if kind == "linger" else ctypes.c_int(0)
    done = w.getsockopt(names.handle(name), level, code, value, ctypes.c_int(4))
    return result(done) + (_option_value(kind, value) if done == 0 else "")


def _option_value(kind: str, value: w.linger | ctypes.c_int) -> str:
    if isinstance(value, w.linger):
        return " onoff 0" if not value.l_onoff else f" onoff 1 linger {value.l_linger}"
    shown: dict[str, Callable[[int], object]] = {
        "error": language.error_name,
        "type": lambda code: {w.SOCK_STREAM: "SOCK_STREAM", w.SOCK_DGRAM: "SOCK_DGRAM"}[code],
        "bool": lambda code: int(code != 0),
        "int": int,
    }
    return f" value {shown[kind](value.value)}"


def _name_call(names: Names, call: Callable[..., int], name: str, length: tuple[str, ...]) -> str:
    address = w.sockaddr_in()
    done = call(names.handle(name), address, *[ctypes.c_int(number(room)) for room in length])
    return result(done) + (f" {names.shown(address)}" if done == 0 else "")


def getsockname(names: Names, name: str, *length: str) -> str:
    return _name_call(names, w.getsockname, name, length)


def getpeername(names: Names, name: str, *length: str) -> str:
    return _name_call(names, w.getpeername, name, length)


def select(names: Names, *arguments: str) -> str:
    asked: dict[str, list[str]] = {}
    timeout: w.timeval | None = w.timeval(0, 0)
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "t":
            ms = None if value == "null" else number(value)
            timeout = None if ms is None else w.timeval(ms // 1000, ms % 1000 * 1000)
        elif key in ("r", "w", "x"):
            asked[key] = [name for name in value.split(",") if name]
        else:
            raise Malformed("select takes r= w= x= t=")
    sets = {key: w.fd_set(map(names.handle, members)) for key, members in asked.items()}
    before = None if timeout is None else (timeout.tv_sec, timeout.tv_usec)
    done = w.select(0, sets.get("r"), sets.get("w"), sets.get("x"), timeout)
    text = result(done)
    if done != w.SOCKET_ERROR:
        for key in ("r", "w", "x"):
            if key in sets:
                found = [name for name in asked[key] if names.handle(name) in sets[key]]
                text += f" {key}={{{','.join(found)}}}"
    if timeout is not None and before != (timeout.tv_sec, timeout.tv_usec):
        text += " timeval-changed"
    return text


def fill(names: Names, name: str, chunk: str = "65536", check: str = "") -> str:
    """Send until the first failure."""
    named, payload = names.socket(name), b"f" * number(chunk)
    sent, whole, last = 0, True, 0
    while sent < _MOST_SENDS:
        last = w.send(named.handle, payload, len(payload), 0)
        if last <= 0:
            break
        sent += 1
        named.filled += last
        whole = whole and last == len(payload)
    text = {True: "whole sends, ", False: "partial sends, "}[whole] if check else ""
    text += "" if sent else "nothing sent, "
    return text + ("never full" if last > 0 else result(last))


def _receive_all(handle: int, wanted: int, tries: int) -> tuple[int, int]:
    """Bytes got, and what recv said last: not before ``wanted`` bytes, except for failures."""
    room, got, left = bytearray(_BIG), 0, tries
    while True:
        last = w.recv(handle, room, len(room), 0)
        if last > 0:
            got, left = got + last, tries
        elif last == 0 or w.WSAGetLastError() != w.WSAEWOULDBLOCK or got >= wanted or not left:
            return got, last
        else:
            left -= 1
            w.Sleep(_PAUSE_MS)


def drain(names: Names, name: str, source: str) -> str:
    """Receive what ``fill`` sent, until the first 0 or failure."""
    filled = names.socket(source)
    got, last = _receive_all(names.handle(name), filled.filled, _TRIES)
    whole = "everything" if got == filled.filled else "not everything"
    filled.filled = 0
    return f"{whole}, then {result(last)}"


def drainall(names: Names, name: str, count: str) -> str:
    """Receive exactly so many bytes."""
    room, got, left, handle = bytearray(_BIG), 0, 5 * _TRIES, names.handle(name)
    while got < number(count) and left:
        last = w.recv(handle, room, len(room), 0)
        if last > 0:
            got, left = got + last, 5 * _TRIES
        elif last == 0 or w.WSAGetLastError() != w.WSAEWOULDBLOCK:
            break
        else:
            left -= 1
            w.Sleep(_PAUSE_MS)
    return "everything" if got == number(count) else "not everything"


COMMANDS = {
    command.__name__: command
    for command in (
        socket, pair, server, bind, listen, accept, connect, send, sendto, recv, recvfrom,
        shutdown, closesocket, ioctlsocket, setsockopt, getsockopt, getsockname, getpeername,
        select, fill, drain, drainall,
    )
}  # fmt: skip
