# Netstat: what a host's stack holds, endpoint by endpoint.

"""The endpoints of a virtual host, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wsock.virtual import addresses
from wsock.virtual.scheduler import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsock.virtual.node import HostCore
    from wsock.virtual.tcp import Connection


class NetstatRow(NamedTuple):
    """One endpoint. Sizes in bytes; ``cwnd`` and ``rto`` (seconds) are None but for connections."""

    protocol: str
    local: str
    remote: str
    state: str
    #: received and not read by TCP's user (datagrams: how many).
    unread: int
    #: accepted and not acknowledged (datagrams: how many not yet sent).
    unsent: int
    cwnd: int | None = None
    rto: float | None = None


def netstat(node: HostCore) -> list[NetstatRow]:
    """Return a row for every endpoint of a host that is switched on."""
    if node.is_off:
        return []
    rows = [
        NetstatRow("tcp", _text(listener.address, listener.port), "*:*", "LISTEN",
                   listener.waiting, 0)
        for listener in node.tcp.listeners()
    ]  # fmt: skip
    rows += [_connection(connection) for connection in node.tcp.connections()]
    rows += [
        NetstatRow("udp", _text(e.local, e.local_port), _text(e.remote, e.remote_port), "",
                   e.waiting, e.unsent)
        for e in node.udp.endpoints
    ]  # fmt: skip
    rows += [
        NetstatRow("raw", _text(e.local, e.protocol), _text(e.remote, 0), "", e.waiting, 0)
        for e in node.raw.endpoints
    ]
    return rows


def _connection(connection: Connection) -> NetstatRow:
    status = connection.status()
    return NetstatRow(
        "tcp", _text(*status.local), _text(*status.remote), str(status.state), status.unread,
        status.unsent + status.unacknowledged, status.cwnd, seconds(status.rto),
    )  # fmt: skip


def _text(address: bytes, port: int) -> str:
    shown = "*" if address == bytes(4) else addresses.text(address)
    return f"{shown}:{port or '*'}"


def as_text(rows: Iterable[NetstatRow]) -> str:
    """Return rows as a table for people."""
    lines = [("proto", "local", "remote", "state", "unread", "unsent", "cwnd", "rto")]
    lines += [
        (row.protocol, row.local, row.remote, row.state, str(row.unread), str(row.unsent),
         "" if row.cwnd is None else str(row.cwnd), "" if row.rto is None else f"{row.rto:g}")
        for row in rows
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
