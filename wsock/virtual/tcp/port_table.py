# The port table: who holds which local address and port.
#
#   layer             OPEN, demultiplexing
# > port_table        THIS FILE: bindings, and when two may stand side by side
#   ports             the choice of a free port (RFC 6056)
#
# Rule 1: a binding is an address (or the wildcard) and a port. A wildcard and a specific address
#         may share a port, the specific one is asked first; two equal ones may only if both said
#         SO_REUSEADDR. (RFC 9293 MUST-41, 42; the table of SO_EXCLUSIVEADDRUSE in Winsock.)
#         A kernel's sockets are stricter (``posix``): whatever overlaps is in use, unless both said
#         SO_REUSEADDR and nobody listens there.
# Rule 2: a connection whose binding is gone still holds its port until it is forgotten, in
#         TIME-WAIT most of all: nobody gets it who did not say SO_REUSEADDR, or whose face lets
#         every binder past it, as Winsock does. What would happen otherwise: the peer's repeated
#         FIN would end somebody else's connection. The pair of addresses stays taken in any case.

"""Local addresses and ports in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.ports import EphemeralPorts

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.random_streams import RandomStream


class Binding:
    """A local address and port that somebody holds."""

    __slots__ = ("address", "exclusive", "port", "posix", "reuse")

    def __init__(
        self, address: bytes, port: int, *, reuse: bool, exclusive: bool, posix: bool = False
    ) -> None:
        self.address = address
        self.port = port
        #: A kernel's rules hold for its owner, not Winsock's.
        self.posix = posix
        #: SO_REUSEADDR, SO_EXCLUSIVEADDRUSE.
        self.reuse = reuse
        self.exclusive = exclusive

    def overlaps(self, address: bytes) -> bool:
        """Whether something could come for both this and ``address``."""
        return self.address == address or ANY_ADDRESS in (self.address, address)

    def __repr__(self) -> str:
        return f"<Binding {'.'.join(map(str, self.address))}:{self.port}>"


class PortTable:
    """The bindings of one host's TCP."""

    __slots__ = ("_bindings", "_ephemeral", "_lingers", "_listens")

    def __init__(
        self,
        ports: tuple[int, int],
        stream: RandomStream,
        lingers: Callable[[bytes, int, bool], bool],
        listens: Callable[[bytes, int], bool],
    ) -> None:
        """Make an empty table.

        Args:
          ports: first and last ephemeral port.
          stream: the host's stream for choosing among them.
          lingers: whether a connection exists at a local address (or any) and port; with a third
            argument of True those do not count whose sockets said SO_REUSEADDR.
          listens: whether somebody listens at just this local address and port.
        """
        self._bindings: dict[int, list[Binding]] = {}
        self._ephemeral = EphemeralPorts(ports, stream)
        self._lingers = lingers
        self._listens = listens

    def bind(
        self,
        address: bytes,
        port: int,
        *,
        reuse: bool = False,
        exclusive: bool = False,
        past_connections: bool = False,
        posix: bool = False,
    ) -> Binding | LocalError:
        """Take a local address and port; port 0 has one chosen.

        Args:
          address, port: where.
          reuse, exclusive: SO_REUSEADDR, SO_EXCLUSIVEADDRUSE.
          past_connections: connections that nobody's binding holds do not count.
          posix: a kernel's rules, not Winsock's; the two above do not exist there.

        Returns:
          the binding, or EADDRINUSE, EACCES (held exclusively, or not shared by its holder), or
          ENOBUFS when no port is free.
        """
        if port == 0:
            chosen = self._ephemeral.choose(address, lambda port: self.is_free(address, port))
            if chosen is None:
                return LocalError.ENOBUFS
            port = chosen
        elif posix:
            if self._in_use(address, port, reuse=reuse):
                return LocalError.EADDRINUSE
        else:
            problem = self._conflict(address, port, reuse=reuse, exclusive=exclusive)
            if problem is not None:
                return problem
            free = reuse or past_connections or port in self._bindings
            if not free and self._lingers(address, port, False):
                return LocalError.EADDRINUSE
        binding = Binding(address, port, reuse=reuse, exclusive=exclusive, posix=posix)
        self._bindings.setdefault(port, []).append(binding)
        return binding

    def _in_use(self, address: bytes, port: int, *, reuse: bool) -> bool:
        """Whether a kernel says EADDRINUSE: both must have said SO_REUSEADDR, and none listens."""
        for held in self._bindings.get(port, ()):
            shared = reuse and held.reuse and not self._listens(held.address, port)
            if held.overlaps(address) and not shared:
                return True
        return self._lingers(address, port, reuse)

    def _conflict(
        self, address: bytes, port: int, *, reuse: bool, exclusive: bool
    ) -> LocalError | None:
        for held in self._bindings.get(port, ()):
            same = held.address == address
            overlap = held.overlaps(address)
            if overlap and held.exclusive:
                return LocalError.EADDRINUSE if same and not reuse else LocalError.EACCES
            if overlap and exclusive:
                return LocalError.EADDRINUSE
            if same and not (reuse and held.reuse):
                return LocalError.EACCES if reuse else LocalError.EADDRINUSE
        return None

    def is_free(self, address: bytes, port: int) -> bool:
        """Whether nothing at all is at this port."""
        return port not in self._bindings and not self._lingers(ANY_ADDRESS, port, False)

    def choose_for(self, where: bytes, is_free: Callable[[int], bool]) -> int | None:
        """Return a port for an active OPEN to ``where``; connections elsewhere may share it."""
        return self._ephemeral.choose(
            where, lambda port: port not in self._bindings and is_free(port)
        )

    def release(self, binding: Binding) -> None:
        """Give a binding back. Doing it twice does no harm."""
        held = self._bindings.get(binding.port, [])
        if binding in held:
            held.remove(binding)
            if not held:
                del self._bindings[binding.port]
