# Scenarios: the exchanges that every course on TCP/IP draws on the board, run and captured.
#
#   wsock scenario        prints the ladder, writes the capture
# > scenarios             THIS FILE: nine of them, each a function of a fresh network
#   programs, network     who does what;  the manual driver: no Trio
#
# Rule 1: a scenario is an ordinary network with ordinary programs. A ladder draws nothing that
#         did not cross a wire.
# Rule 2: client and server have the addresses of the source notes, 100.100.100.103 and .105, on a
#         LAN of MTU 1492, 10 ms apart.

"""The classic exchanges of TCP and IP, ready to be watched."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

from wsock.virtual.network import Network
from wsock.virtual.probes import Ping
from wsock.virtual.programs import Program, connect, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.capture import Capture
    from wsock.virtual.node import HostCore

REQUEST: Final = b"GET / HTTP/1.0\r\n\r\n"
ANSWER: Final = b"HTTP/1.0 200 OK\r\n\r\nhello\n"
PORT: Final = 80
LATENCY_S: Final = 0.010


class Scenario:
    """A scenario that has run.

    Attributes:
      name: how it is called.
      story: what to watch in it.
      network: where it ran.
      capture: what the client's interface saw.
    """

    def __init__(self, name: str, story: str, profile: str, seed: int) -> None:
        self.name = name
        self.story = story
        self.network = Network(seed)
        self.lan = self.network.segment("lan", "100.100.100.0/24", mtu=1492, latency=LATENCY_S)
        self.client = self.network.host("client", self.lan, "100.100.100.103", profile=profile)
        self.server = self.network.host("server", self.lan, "100.100.100.105", profile=profile)
        self.capture: Capture = self.network.capture(self.client)

    def resolve_neighbours(self) -> None:
        """Fill the ARP caches, so that the ladder begins with what the scenario is about."""
        self.network.run_until_quiet()
        ping = Ping(self.client, self.server.address, count=1)
        self.network.run_until(lambda: ping.done)
        self.watch(self.client)

    def watch(self, host: HostCore) -> None:
        """Begin a new capture at a host."""
        self.capture.close()
        self.network.captures.clear()
        self.capture = self.network.capture(host)

    def talk(self, client: Program, server: Program, *, receive_buffer: int = 0) -> None:
        """Let the server listen and the client connect."""
        serve(self.server, PORT, server, receive_buffer=receive_buffer)
        connect(self.client, PORT, client, self.server)

    def open(self, client: Program, server: Program, *, receive_buffer: int = 0) -> None:
        """Run the handshake, and a moment longer."""
        self.talk(client, server, receive_buffer=receive_buffer)
        self.network.run_until(lambda: "accepted" in server.events)
        self.network.run_for(0.1)

    def ladder(self) -> str:
        """Return the diagram of what was captured."""
        return self.capture.ladder()


def _handshake(run: Scenario) -> None:
    """The three-way handshake.

    SYN, SYN-ACK, ACK: three packets without data. Each side tells its first sequence number, its
    window and the longest segment it takes, and acknowledges the other's number plus one.
    """
    run.open(Program(), Program())


def _close1(run: Scenario) -> None:
    """Four-way close, the client first.

    FIN, ACK, FIN, ACK. The side that closes first, here the client, stays in TIME-WAIT.
    """
    client, server = Program(), Program(on_data=lambda program: program.send(ANSWER))
    run.open(client, server)
    client.send(REQUEST)
    run.network.run_for(0.5)
    client.close()
    run.network.run_for(0.5)
    server.close()
    run.network.run_for(1.0)


def _close2(run: Scenario) -> None:
    """Four-way close, the server first.

    As web servers do it: the answer is sent, and that was all. Now the server stays in TIME-WAIT.
    """
    client, server = Program(), Program(on_data=lambda program: program.send(ANSWER))
    run.open(client, server)
    client.send(REQUEST)
    run.network.run_for(0.5)
    server.close()
    run.network.run_for(0.5)
    client.close()
    run.network.run_for(1.0)


def _time_wait(run: Scenario) -> None:
    """TIME-WAIT lasts two maximum segment lifetimes.

    The client closes first, keeps the pair of addresses for 2 MSL, and only then forgets it.
    """
    client, server = Program(), Program()
    run.open(client, server)
    client.close()
    run.network.run_for(0.5)
    server.close()
    run.network.run_until(lambda: not run.client.tcp.connections(), limit=1000.0)


def _lost_ack(run: Scenario) -> None:
    """Why TIME-WAIT exists: the last ACK is lost.

    The server repeats its FIN. Because the client has kept the connection, it can acknowledge once
    more; a new socket on the same port would have met a FIN that was not meant for it.
    """
    client, server = Program(), Program()
    run.open(client, server)
    client.close()
    run.network.run_for(0.5)
    with run.network.drop("tcp.flags.ack == 1", run.client, run.server, count=1, both=False):
        server.close()
        run.network.run_until(lambda: not run.server.tcp.connections())
    run.network.run_for(1.0)


def _retransmission(run: Scenario) -> None:
    """A lost segment is sent again, later and later.

    The request is dropped three times. The retransmission timeout doubles each time; when the
    fourth copy arrives, the exchange goes on as if nothing had been.
    """
    client, server = Program(), Program(on_data=lambda program: program.send(ANSWER))
    run.open(client, server)
    with run.network.drop("tcp.len > 0", run.client, run.server, count=3, both=False):
        client.send(REQUEST)
        run.network.run_until(lambda: len(client.received) == len(ANSWER))
    run.network.run_for(1.0)


def _zero_window(run: Scenario) -> None:
    """A slow receiver: its window closes, and the sender has to ask.

    The server does not read. Its window of 4000 bytes fills and becomes zero; the client probes,
    at longer and longer intervals, until the server reads and the window opens.
    """
    client, server = Program(), Program()
    server.reading = False
    run.open(client, server, receive_buffer=4000)
    client.send(bytes(6000))
    run.network.run_for(12.0)
    server.read()
    run.network.run_until(lambda: len(server.received) == 6000)
    run.network.run_for(1.0)


def _fragmentation(run: Scenario) -> None:
    """Ping through three routers, the middle link narrow.

    3000 bytes of data make three fragments on the LAN; the router before the narrow link cuts them
    again. Only the last host puts them together. Watched where they arrive.
    """
    network = run.network
    first = network.router("r1")
    network.join(first, run.lan)
    *_, far = network.chain(first, "r2", "r3", network.host("far"), latency=LATENCY_S)
    network.fill_routes()
    run.watch(far)
    with network.mtu(576, network.media["r2-r3"]):
        ping = Ping(run.client, far.address, count=1, size=3000)
        network.run_until(lambda: ping.done)


def _refused(run: Scenario) -> None:
    """Nobody listens: the SYN is answered by a reset.

    The RST's acknowledgement is the SYN's number plus one; the program's connect fails.
    """
    connect(run.client, PORT, Program(), run.server)
    run.network.run_for(1.0)


SCENARIOS: Final[dict[str, Callable[[Scenario], None]]] = {
    "handshake": _handshake,
    "close1": _close1,
    "close2": _close2,
    "time-wait": _time_wait,
    "lost-ack": _lost_ack,
    "retransmission": _retransmission,
    "zero-window": _zero_window,
    "fragmentation": _fragmentation,
    "refused": _refused,
}


def title(name: str) -> str:
    """Return the first line of a scenario's story."""
    return inspect.cleandoc(SCENARIOS[name].__doc__ or "").splitlines()[0]


def run(name: str, *, profile: str = "rfc", seed: int = 1) -> Scenario:
    """Run a scenario to its end, in virtual time.

    Args:
      name: one of ``SCENARIOS``.
      profile: whose TCP: ``"rfc"``, ``"linux"``, ``"windows2000"``.
      seed: of the network.

    Raises:
      ValueError: there is no such scenario.
    """
    try:
        act = SCENARIOS[name]
    except KeyError:
        known = ", ".join(SCENARIOS)
        raise ValueError(f"no scenario is called {name!r}; there are {known}") from None
    scenario = Scenario(name, inspect.cleandoc(act.__doc__ or ""), profile, seed)
    scenario.resolve_neighbours()
    act(scenario)
    return scenario
