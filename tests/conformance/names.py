# Names: what a scenario calls its sockets, windows and events, and who owns which port.
"""The objects of a scenario by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from wsock import win32 as w

from .language import Malformed

NO_SOCKETS = {"INVALID": w.INVALID_SOCKET, "ZERO": 0, "JUNK": 0xABACAB}


@dataclass(slots=True)
class NamedSocket:
    """A socket of the scenario; it stays known after it was closed."""

    name: str
    handle: int
    accepted: bool = False  # then its port is the listener's
    open: bool = True
    port: int = 0  # in network order, as getsockname gave it last
    filled: int = 0  # bytes that ``fill`` got rid of


@dataclass(slots=True)
class Names:
    """Everything that has a name."""

    sockets: list[NamedSocket] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)

    def socket(self, name: str) -> NamedSocket:
        """The latest socket of this name."""
        for known in reversed(self.sockets):
            if known.name == name:
                return known
        raise Malformed(f"unknown socket: {name}")

    def handle(self, name: str) -> int:
        """The handle of a socket, or one that is no socket."""
        return NO_SOCKETS[name] if name in NO_SOCKETS else self.socket(name).handle

    def event(self, name: str) -> int | None:
        """The handle of an event; ``-`` is none, JUNK one that does not exist."""
        if name == "-":
            return None
        return 0xABACAB if name == "JUNK" else _known(self.events, name)

    def window(self, name: str) -> int | None:
        """The handle of a window; ``-`` is none, JUNK one that does not exist."""
        if name == "-":
            return None
        return 0x7ABACAB if name == "JUNK" else _known(self.windows, name)

    def add_socket(self, name: str, handle: int, accepted: bool = False) -> None:
        self.sockets.append(NamedSocket(name, handle, accepted))
        self.learn_port(name)

    def learn_port(self, name: str) -> None:
        """Remember the port of a socket while it has one; the last error stays as it is."""
        if name in NO_SOCKETS:
            return
        named, address, before = self.socket(name), w.sockaddr_in(), w.WSAGetLastError()
        if w.getsockname(named.handle, address) == 0 and address.sin_port:
            named.port = address.sin_port
        w.WSASetLastError(before)

    def name_of_socket(self, handle: int) -> str:
        same = [known for known in reversed(self.sockets) if known.handle == handle]
        alive = [known for known in same if known.open]
        return (alive or same)[0].name if same else "?"

    def name_of_window(self, handle: int) -> str:
        if not handle:
            return "-"
        return next((name for name, known in self.windows.items() if known == handle), "?")

    def name_of_port(self, port: int) -> str:
        """Whose port it is: accepted sockets share their listener's, so they come last."""
        if not port:
            return "0"
        owners = [known for known in reversed(self.sockets) if known.port == port]
        owners.sort(key=lambda known: known.accepted)
        return owners[0].name if owners else "?"

    def address(self, word: str) -> w.sockaddr_in:
        """``@L``, ``@any:L``, ``@loop:0``, ``@10.0.0.1:80``, ``@badfamily:L``, ``@unspec:0``."""
        if not word.startswith("@"):
            raise Malformed(f"an address starts with @: {word}")
        host, colon, port = word[1:].partition(":")
        if not colon:
            host, port = "loop", host
        address = w.sockaddr_in(sin_family=w.AF_INET)
        address.sin_port = w.htons(int(port)) if port.isdigit() else self.socket(port).port
        address.sin_family = {"badfamily": 0xDEAD, "unspec": w.AF_UNSPEC}.get(host, w.AF_INET)
        if host in ("loop", "badfamily"):
            address.sin_addr.s_addr = w.htonl(w.INADDR_LOOPBACK)
        elif host not in ("any", "unspec"):
            address.sin_addr.s_addr = w.inet_addr(host)
        return address

    def shown(self, address: w.sockaddr_in) -> str:
        """An address with the name of the port's owner."""
        return f"{w.inet_ntoa(address.sin_addr)}:{self.name_of_port(address.sin_port)}"


def _known(table: dict[str, int], name: str) -> int:
    if name not in table:
        raise Malformed(f"unknown name: {name}")
    return table[name]
