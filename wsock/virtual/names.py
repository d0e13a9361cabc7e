# Names: who is called what, for the resolver of the Trio face. No packet is sent for a look-up, and
# no real DNS is ever asked.

"""Host names of a virtual network."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Literal, NamedTuple

from wsock.virtual import addresses

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore

Failure = Literal["noname", "again"]


class _Trouble(NamedTuple):
    failure: Failure | None
    delay_s: float


class NameTable:
    """Names and addresses, both ways. Names are compared without regard to case."""

    __slots__ = ("_addresses", "_aliases", "_names", "_trouble")

    def __init__(self) -> None:
        self._addresses: dict[str, list[bytes]] = {}
        self._names: dict[bytes, str] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._trouble: dict[str, _Trouble] = {}

    def add(self, name: str, address: bytes) -> None:
        """Let ``name`` stand for ``address`` too; the first name of an address is its own."""
        known = self._addresses.setdefault(_key(name), [])
        if address not in known:
            known.append(address)
        self._names.setdefault(address, name)

    def alias(self, alias: str, name: str, host: HostCore | None = None) -> None:
        """Let ``alias`` stand for ``name``: on one host, or on all."""
        self._aliases["" if host is None else host.name, _key(alias)] = name

    def fail(self, name: str, failure: Failure | None = None, *, delay_s: float = 0.0) -> None:
        """Make look-ups of ``name`` fail, or take ``delay_s`` seconds; without either: heal."""
        if failure not in (None, "noname", "again"):
            raise ValueError(f"a look-up fails by 'noname' or 'again', not {failure!r}")
        self._trouble[_key(name)] = _Trouble(failure, delay_s)

    def delay_of(self, name: str) -> float:
        """Return how many seconds a look-up of ``name`` takes."""
        trouble = self._trouble.get(_key(name))
        return 0.0 if trouble is None else trouble.delay_s

    def resolve(self, name: str, host: HostCore | None = None) -> list[bytes]:
        """Return the addresses of a name, as seen on ``host``.

        Raises:
          socket.gaierror: EAI_NONAME (unknown) or EAI_AGAIN (made to fail so).
        """
        try:
            return [socket.inet_aton(name)] if name.count(".") == 3 else self._look_up(name, host)
        except OSError as error:
            if isinstance(error, socket.gaierror):
                raise
            return self._look_up(name, host)

    def _look_up(self, name: str, host: HostCore | None) -> list[bytes]:
        trouble = self._trouble.get(_key(name))
        if trouble is not None and trouble.failure == "again":
            raise socket.gaierror(socket.EAI_AGAIN, f"{name}: no answer (made to fail)")
        if trouble is not None and trouble.failure == "noname":
            raise socket.gaierror(socket.EAI_NONAME, f"{name}: unknown (made to fail)")
        key = _key(name)
        if key == "localhost":
            return [addresses.LOOPBACK]
        here = "" if host is None else host.name
        target = self._aliases.get((here, key)) or self._aliases.get(("", key))
        known = self._addresses.get(_key(target) if target else key)
        if not known:
            raise socket.gaierror(socket.EAI_NONAME, f"{name}: no host has this name")
        return list(known)

    def reverse(self, address: bytes) -> str:
        """Return the name of an address.

        Raises:
          socket.gaierror: EAI_NONAME.
        """
        if addresses.is_loopback(address):
            return "localhost"
        try:
            return self._names[address]
        except KeyError:
            text = addresses.text(address)
            raise socket.gaierror(socket.EAI_NONAME, f"{text}: no host has it") from None

    def items(self) -> list[tuple[bytes, str]]:
        """Return every address with its name, in order of address (for captures)."""
        return sorted(self._names.items())


def _key(name: str) -> str:
    return name.rstrip(".").lower()
