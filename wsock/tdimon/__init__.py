# tdimon: watch every TDI request and event, filter, save, compare and draw them.
#
#   cli                      wsock tdimon ...        the only user of click and rich
# > watch, Trace, rows       trace, views, diagrams  THIS FOLDER: records -> what people read
#   _stack, tdi.trace        the hooks               records are made there, while it runs
#
# Rule 1: nobody below imports this folder; a program that does not watch pays nothing for it.
# Rule 2: text is made when it is read, and from copies.
"""Watch the transport: ``with tdimon.watch() as trace``."""

from __future__ import annotations

from wsock._filters import FilterSyntaxError
from wsock.tdi.trace import TraceRecord
from wsock.tdimon.formats import FormatError
from wsock.tdimon.remote import allow
from wsock.tdimon.rows import PROFILES, Row
from wsock.tdimon.selection import FIELDS, PRESETS, Selection
from wsock.tdimon.trace import Trace, load
from wsock.tdimon.watching import watch

__all__ = [
    "FIELDS",
    "PRESETS",
    "PROFILES",
    "FilterSyntaxError",
    "FormatError",
    "Row",
    "Selection",
    "Trace",
    "TraceRecord",
    "allow",
    "load",
    "watch",
]
