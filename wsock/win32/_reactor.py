# The reactor, as the C calls see it: one look, without waiting, at what has happened.
#
# Rule 1: turned before every answer that means "not now" (then the call looks again, and passes the
#         scheduler), and before calls whose result or order depends on what a peer on this machine
#         has caused already: a selection, a post, a reset of an event object.

from __future__ import annotations

from wsock._stack import current_stack


def turn() -> None:
    """Let everything that has arrived be reported. Never a checkpoint; runs no user code."""
    current_stack().turn()
