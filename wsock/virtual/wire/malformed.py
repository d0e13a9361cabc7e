# What a parser returns when bytes are no packet. A value and not an exception: what comes from the
# wire is never an error of this program, and a flood of it must stay cheap.

"""The result of parsing bytes that are no packet."""

from __future__ import annotations


class Malformed(str):
    """Why bytes cannot be read; the text is the name of the counter that goes up."""

    __slots__ = ()
