"""Counting what a program executes: the same on every machine, as no clock is."""

from __future__ import annotations

import os
import subprocess
import sys

# Before the program's own text: ``sys.settrace(counting("line"))`` counts the lines (or each
# "opcode") of every function entered from then on, in ``count``.
PRELUDE = """
import sys
count = 0
def counting(counted):
    def local(frame, what, argument):
        global count
        count += what == counted
        return local
    def every(frame, what, argument):
        frame.f_trace_opcodes = counted == "opcode"
        return local
    return every
"""


def executed(program: str, *arguments: str) -> int:
    """Run ``program`` behind the prelude, in a process of its own; return what it counted."""
    output = subprocess.check_output(
        [sys.executable, "-c", f"{PRELUDE}{program}\nprint(count)", *arguments],
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    return int(output)
