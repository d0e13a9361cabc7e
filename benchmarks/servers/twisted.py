# Twisted's epoll reactor.

from __future__ import annotations

import socket

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import interfaces, protocol, reactor  # noqa: E402 (after install)
from zope.interface import implementer  # noqa: E402

from benchmarks.servers.common import BLOCK, Work, arguments, listener  # noqa: E402


@implementer(interfaces.IHalfCloseableProtocol)
class Echo(protocol.Protocol):  # type: ignore[misc]
    """Send back what comes; the transport pauses its own reading while its buffer is full."""

    def connectionMade(self) -> None:
        """Let the transport be its own producer."""
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        """The peer has ended: send the rest, then close."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Nothing to do."""


class Sink(Echo):
    """Throw away what comes."""

    def dataReceived(self, data: bytes) -> None:
        """Nothing."""


class Source(Echo):
    """Send the block whenever the transport asks for more."""

    def connectionMade(self) -> None:
        """Be a pull producer."""
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Everything before is with the system."""
        self.transport.write(BLOCK)

    def stopProducing(self) -> None:
        """The connection is gone."""


def serve(port: int, work: Work) -> None:
    """Serve for ever."""
    factory = protocol.Factory.forProtocol({"echo": Echo, "sink": Sink, "source": Source}[work])
    listening = listener(port)
    reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, factory)
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    serve(*arguments())
