"""The login server, far away: 200 ms each way and 5 % loss, in virtual time.

    python -m examples.virtual.login_far_away       (extra: server)

Watch: the server and its client are those of examples.login_server, unchanged. A command takes one
round trip, or a retransmission more. Hashing passwords in a thread takes no virtual time; and the
minute of waiting at the end, until the server puts out who does not log in, takes no real time.
"""

from __future__ import annotations

import io
import tempfile

import wsock
from wsock.virtual import Network

from ..login_server import accounts, limits, listeners, log, passwords, server, service
from ..login_server.client import LoginClient

COMMANDS = "REGISTER alice correct-horse", "LOGIN alice wrong", "LOGIN alice correct-horse", "QUIT"


async def serve(database: accounts.Accounts) -> None:
    """Run the server on the host that this task belongs to."""
    quiet, defaults = log.Log(io.StringIO()), limits.Limits()
    logins = service.Service(database, passwords.Passwords(), defaults, quiet)
    listener = listeners.open_listener("0.0.0.0", 7023)
    await server.LoginServer(logins, defaults, quiet).run([listener])


async def talk(net: Network) -> None:
    """Say the commands; then connect once more, and say nothing."""
    await net.settle()
    with wsock.socket() as sock, wsock.socket() as silent:
        await sock.connect(("server", 7023))
        client = LoginClient(sock)
        for command in COMMANDS:
            start = net.time
            reply = (await client.ask(command))[:32]
            print(f"{net.time - start:6.2f} s  {command:<28}  {reply}")
        await silent.connect(("server", 7023))
        print(f"put out: {await silent.recv(100)!r} at {net.time:.1f} s")


async def main(net: Network) -> None:
    """Run both on two hosts."""
    net.link(net.host("server"), net.host("client"), latency=0.200, loss=0.05)
    with tempfile.TemporaryDirectory() as folder:
        database = accounts.Accounts(f"sqlite:///{folder}/accounts.db")
        database.migrate()
        async with net.hosts["server"].running(serve, database):
            with net.hosts["client"]:
                await talk(net)
        database.close()


if __name__ == "__main__":
    (network := Network(seed=3)).run(main, network)
