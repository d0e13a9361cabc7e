# The command line: options, signals, start and stop.
#
# Rule 1: every limit is an option, made from limits.Limits, so none can be forgotten.
# Rule 2: SIGTERM and SIGINT arrive as values in a task (trio.open_signal_receiver), never as a
#         KeyboardInterrupt between a system call and its bookkeeping.
"""``python -m examples.login_server``: start the server."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Final

import trio

import wsock

from .accounts import Accounts, DatabaseError, SchemaError
from .certificates import Certificate, CertificateError
from .limits import Limits
from .listeners import adopt_listeners, check_address, inherited_descriptors, open_listener
from .log import LibraryHandler, Log
from .passwords import Argon2Cost, Passwords
from .protocol import DEFAULT_PORT
from .server import LoginServer
from .service import Service
from .tracing import traced

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_DATABASE: Final = "sqlite:///login_accounts.db"
STOP_SIGNALS: Final = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGBREAK")  # SIGBREAK: Windows' way to ask
    if hasattr(signal, name)
]


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; leaves with a message if it is wrong."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}", description="A login server on window messages."
    )
    parser.add_argument("--host", default="127.0.0.1", help="numeric address (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any (%(default)s)")
    parser.add_argument("--database", default=DEFAULT_DATABASE, help="SQLAlchemy URL (%(default)s)")
    parser.add_argument("--log", default="-", help="file to append log lines to; -: stderr")
    parser.add_argument(
        "--plaintext",
        action="store_true",
        help="listen on other addresses than loopback without TLS",
    )
    parser.add_argument("--tls-cert", default="", help="PEM file with certificate and chain: TLS")
    parser.add_argument("--tls-key", default="", help="PEM file with its key; else in --tls-cert")
    parser.add_argument(
        "--trace", action="store_true", help="log every request and event of the transport"
    )
    cost = parser.add_argument_group("Argon2id")
    default_cost = Argon2Cost()
    cost.add_argument("--argon2-memory-kib", type=int, default=default_cost.memory_kib)
    cost.add_argument("--argon2-passes", type=int, default=default_cost.passes)
    cost.add_argument("--argon2-lanes", type=int, default=default_cost.lanes)
    limits = parser.add_argument_group("limits")
    for limit in fields(Limits):
        limits.add_argument(
            "--" + limit.name.replace("_", "-"),
            type=type(limit.default),
            default=limit.default,
            help=f"{limit.metadata['help']} (%(default)s)",
        )
    options = parser.parse_args(arguments)
    if options.tls_key and not options.tls_cert:
        parser.error("--tls-key needs --tls-cert")
    if options.plaintext and options.tls_cert:
        parser.error("--plaintext and --tls-cert exclude each other")
    options.anywhere = options.plaintext or bool(options.tls_cert)
    try:
        check_address(options.host, anywhere=options.anywhere)
        options.limits = Limits(**{f.name: getattr(options, f.name) for f in fields(Limits)})
    except ValueError as problem:
        parser.error(str(problem))
    return options


def open_listeners(options: argparse.Namespace) -> list[wsock.Socket]:
    """What systemd handed over (then --host and --port say nothing), else one socket."""
    inherited = inherited_descriptors(os.environ)
    if inherited:
        return adopt_listeners(inherited, anywhere=options.anywhere)
    return [open_listener(options.host, options.port)]


def raise_descriptor_limit(connections: int) -> None:
    """Let the process have a descriptor per connection, as far as the system allows."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 64
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def give_hash_memory_back() -> None:
    """Have glibc give the 19 MiB of a hash back to the system after each hash.

    By itself it learns from the first one to keep as much for every thread: after 600 guesses on
    200 connections 150 MB were resident, and with this 53 MB.
    """
    m_mmap_threshold = -3  # malloc.h; to set it ends the learning
    try:
        ctypes.CDLL(None).mallopt(m_mmap_threshold, 1 << 20)
    except (AttributeError, OSError, TypeError):  # another libc; Windows: no library has no name
        return


async def show_sockets_at_signal(
    log: Log, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """SIGUSR1: write a line about every open socket."""
    if not hasattr(signal, "SIGUSR1"):
        task_status.started()
        return
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        task_status.started()
        async for _ in signals:
            for row in wsock.netstat():
                log.write("socket", **row)


async def renew_at_signal(
    certificate: Certificate | None,
    log: Log,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """SIGHUP: read the certificate again; one that cannot be used is logged, the old one stays.

    Without TLS there is nothing to renew, but the signal must not end the server either.
    """
    if not hasattr(signal, "SIGHUP"):
        task_status.started()
        return
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            if certificate is None:
                log.write("certificate", renewed=False, text="there is no TLS")
                continue
            try:
                await trio.to_thread.run_sync(certificate.renew)
            except CertificateError as problem:
                log.write("certificate", renewed=False, text=str(problem))
            else:
                log.write("certificate", renewed=True, text="new connections get the new one")


async def stop_at_signals(
    server: LoginServer, log: Log, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The first signal stops gracefully, the second one at once."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        task_status.started()
        async for number in signals:
            log.write("signal", signal=signal.Signals(number).name)
            if server.stopping:
                server.cut()
            else:
                server.stop()


async def serve(options: argparse.Namespace, log: Log) -> int:
    """Run the server until it is stopped. Returns the exit code: 1 if clients had to be cut."""
    raise_descriptor_limit(options.limits.connections)
    give_hash_memory_back()
    certificate = None
    if options.tls_cert:
        certificate = await trio.to_thread.run_sync(Certificate, options.tls_cert, options.tls_key)
    accounts = await trio.to_thread.run_sync(Accounts, options.database)
    try:
        await trio.to_thread.run_sync(accounts.migrate)
        cost = Argon2Cost(
            memory_kib=options.argon2_memory_kib,
            passes=options.argon2_passes,
            lanes=options.argon2_lanes,
        )
        passwords = await trio.to_thread.run_sync(Passwords, cost)
        service = Service(accounts, passwords, options.limits, log)
        server = LoginServer(service, options.limits, log, certificate=certificate)
        async with traced(log, wanted=options.trace), trio.open_nursery() as nursery:
            await nursery.start(stop_at_signals, server, log)
            await nursery.start(show_sockets_at_signal, log)
            await nursery.start(renew_at_signal, certificate, log)
            listeners = open_listeners(options)
            for listener in listeners:
                host, port = listener.getsockname()[:2]
                log.write("listening", host=host, port=port, tls=certificate is not None)
            await server.run(listeners)
            nursery.cancel_scope.cancel()
        log.write("stopped", cut=server.was_cut, lost_log_lines=log.lost)
        return int(server.was_cut)
    finally:
        await trio.to_thread.run_sync(accounts.close)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the server; returns the exit code."""
    options = parse_options(arguments)
    if options.log == "-":
        return _run(options, Log(sys.stderr))
    with open(options.log, "a", encoding="utf-8") as stream:
        return _run(options, Log(stream))


def _run(options: argparse.Namespace, log: Log) -> int:
    library, handler = logging.getLogger("wsock"), LibraryHandler(log)
    library.addHandler(handler)
    try:
        return trio.run(serve, options, log)
    except* (OSError, ValueError, ImportError, DatabaseError, SchemaError) as group:
        for error in _leaves(group):
            print(f"login server: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        library.removeHandler(handler)
    return 2


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
