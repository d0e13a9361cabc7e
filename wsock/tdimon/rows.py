# Rows: the six columns, in the profile that the reader wants.
#
#   views, formats, cli   print rows
# > rows                  profile -> columns        THIS FILE: who is called what, what is blank
#   words                 values -> text
#
# Rule 1: what a profile hides or renames is data in PROFILES. The record keeps everything.
# Rule 2: a renderer reads records in their order: names of objects depend on the records before.
#
# The quirks of "tdimon-2003" are the display's of the old monitor, as its printed tables show them:
#   - the peer is blank for requests that concern one side only, for the disconnect rows it is
#     shown only on one side, and TDI_CONNECT alone puts ``TCP:`` before it (R7);
#   - a connection object without address is ``TCP:Connection obj`` (R7); TDI_RECEIVE prints no
#     length (R6); the IRP_MJ_CLOSE of an address object is not shown (R9);
#   - for a wildcard address, rows of the address object show 0.0.0.0 with the port (R14);
#   - objects are ``address``, ``connect`` for the one that connected, ``Connect n`` for the nth
#     that a listening socket made.
"""Trace rows: six columns of text, in one of several profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.tdimon import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from wsock.tdi.trace import TraceRecord
    from wsock.tdimon.ring import Ring

__all__ = ["PROFILES", "Profile", "Renderer", "Row", "RowFeed", "gap_row", "profile_named"]


class Row(NamedTuple):
    """One row of a trace as text; an empty column is ``""``."""

    object: str
    request: str
    local: str
    remote: str
    result: str
    detail: str


def gap_row(lost: int) -> Row:
    """Return the row that stands where ``lost`` records were dropped."""
    return Row("", "(gap)", "", "", "", f"{lost} records lost")


class Profile(NamedTuple):
    """What a trace shows. ``remote`` and ``detail`` override columns for single requests."""

    name: str
    about: str
    kinds: frozenset[str]
    label: Callable[[Renderer, TraceRecord], str]
    no_address: str
    hidden: frozenset[tuple[str, str]]  # (object kind, request)
    remote: Mapping[str, Callable[[TraceRecord], str]]
    detail: Mapping[str, Callable[[TraceRecord], str]]
    indent: bool = False


def _label_2003(renderer: Renderer, record: TraceRecord) -> str:
    kind = record.object_kind
    return f"Connect {record.number}" if kind == "Connect" else kind


def _label_plain(renderer: Renderer, record: TraceRecord) -> str:
    number = renderer.number_of(record)
    if record.object_kind == "socket" and record.socket:
        return f"socket {record.socket}"
    if record.kind != "tdi" or record.object_kind == "address":
        return f"{record.object_kind or 'socket'} {number}"
    place = f" (Connect {record.number})" if record.object_kind == "Connect" else ""
    return f"connection {number}{place}"


def _blank(record: TraceRecord) -> str:
    return ""


def _is_active(record: TraceRecord) -> bool:
    """Whether the row is about the side that connected."""
    if record.object_kind == "address":
        return bool((record.extra or {}).get("active"))
    return record.object_kind == "connect"


_CONNECTIONS: Final = frozenset({"connect", "Connect"})
_TDI: Final = frozenset({"tdi"})
_ALL: Final = frozenset({"tdi", "call", "fd", "message", "state"})

PROFILES: Final[dict[str, Profile]] = {
    "tdimon-2003": Profile(
        name="tdimon-2003",
        about="exactly what the monitor of 2003 printed, quirks included",
        kinds=_TDI,
        label=_label_2003,
        no_address="TCP:Connection obj",
        hidden=frozenset({("address", "IRP_MJ_CLOSE")}),
        remote={
            "IRP_MJ_CREATE": _blank,
            "IRP_MJ_CLEANUP": _blank,
            "IRP_MJ_CLOSE": _blank,
            "TDI_ASSOCIATE_ADDRESS": _blank,
            "TDI_DISASSOCIATE_ADDRESS": _blank,
            "TDI_SET_EVENT_HANDLER": _blank,
            "TDI_CONNECT": lambda record: f"{words.protocol(record)}:{words.remote(record)}",
            "TDI_DISCONNECT": lambda record: words.remote(record) if _is_active(record) else "",
            "TDI_EVENT_DISCONNECT": lambda r: "" if _is_active(r) else words.remote(r),
        },
        detail={"TDI_RECEIVE": _blank},
    ),
    "plain": Profile(
        name="plain",
        about="TDI rows with numbered objects, the peer always shown",
        kinds=_TDI,
        label=_label_plain,
        no_address="",
        hidden=frozenset(),
        remote={},
        detail={},
    ),
    "calls": Profile(
        name="calls",
        about="Winsock calls, each followed by the TDI rows that it caused, indented",
        kinds=frozenset({"tdi", "call"}),
        label=_label_plain,
        no_address="",
        hidden=frozenset(),
        remote={},
        detail={},
        indent=True,
    ),
    "events": Profile(
        name="events",
        about="FD_ notifications and the traffic of message queues",
        kinds=frozenset({"fd", "message"}),
        label=_label_plain,
        no_address="",
        hidden=frozenset(),
        remote={},
        detail={},
    ),
    "states": Profile(
        name="states",
        about="changes of a socket's state",
        kinds=frozenset({"state"}),
        label=_label_plain,
        no_address="",
        hidden=frozenset(),
        remote={},
        detail={},
    ),
    "all": Profile(
        name="all",
        about="everything, calls with what they caused",
        kinds=_ALL,
        label=_label_plain,
        no_address="",
        hidden=frozenset(),
        remote={},
        detail={},
        indent=True,
    ),
}


def profile_named(name: str) -> Profile:
    """Return a profile.

    Raises:
      ValueError: there is none of that name; the text lists them.
    """
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ValueError(f"no profile {name!r}; there are: {known}") from None


class Renderer:
    """Makes rows of records, which it must be given in their order."""

    def __init__(self, profile: str | Profile = "plain") -> None:
        self.profile = profile_named(profile) if isinstance(profile, str) else profile
        # Ids are memory addresses, and a later object may get a dead one's: a number belongs to
        # the object that lives from one IRP_MJ_CREATE to the next, or to a socket until CLOSED.
        self._numbers: dict[tuple[str, int], int] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._call: tuple[str, str] | None = None

    def number_of(self, record: TraceRecord) -> int:
        """Return the number of the record's object: 1 for the first of its kind on its host."""
        key = (record.host, record.object_id)
        number = self._numbers.get(key)
        if number is None or record.request == "IRP_MJ_CREATE":
            kind = (record.host, record.object_kind.lower())  # Connect n and connect: connections
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            self._numbers[key] = number
        if record.kind == "state" and words.request(record) == "CLOSED":
            del self._numbers[key]
        return number

    def _indented(self, record: TraceRecord, request: str) -> str:
        """A call stands at the margin, what it caused is indented below it."""
        if record.kind == "call":
            self._call = (record.host, record.request)
        elif record.cause and (record.host, record.cause) == self._call:
            return f"  {request}"
        return request

    def row(self, record: TraceRecord) -> Row | None:
        """Return the record's row, ``None`` where the profile does not show it."""
        profile = self.profile
        shown = record.kind in profile.kinds
        if not shown or (record.object_kind, record.request) in profile.hidden:
            return None
        request = words.request(record)
        remote = profile.remote.get(request, words.remote)
        detail = profile.detail.get(request, words.detail)
        no_address = profile.no_address if record.object_kind in _CONNECTIONS else ""
        return Row(
            profile.label(self, record),
            self._indented(record, request) if profile.indent else request,
            words.local(record) or no_address,
            remote(record),
            words.result(record),
            detail(record),
        )


class RowFeed:
    """Makes rows of a trace that goes on: feed it what is new, and gaps show."""

    def __init__(self, profile: str = "plain", *, host: str | None = None, seen: int = 0) -> None:
        #: Number of the last record that was fed; 0: the first one may have any number.
        self.seen = seen
        self._host = host
        self._renderer = Renderer(profile)

    def feed(self, records: Iterable[TraceRecord]) -> Iterator[tuple[TraceRecord | None, Row]]:
        """Yield each record that is shown with its row; ``None`` with the row of a gap."""
        for record in records:
            if self.seen and record.sequence > self.seen + 1:
                yield None, gap_row(record.sequence - self.seen - 1)
            self.seen = record.sequence
            if self._host is None or record.host == self._host:
                row = self._renderer.row(record)
                if row is not None:
                    yield record, row

    def feed_from(self, ring: Ring) -> Iterator[tuple[TraceRecord | None, Row]]:
        """Yield what a ring holds that was not fed yet; what it dropped before is a gap."""
        records = ring.since(self.seen)
        if records and not self.seen and records[0].sequence > ring.forgotten + 1:
            yield None, gap_row(records[0].sequence - ring.forgotten - 1)
        yield from self.feed(records)
