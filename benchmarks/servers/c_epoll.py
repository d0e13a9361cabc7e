# The loop of raw_epoll.py in C (c_epoll.c), compiled on the spot; replaces this process.

from __future__ import annotations

import os

from benchmarks.build import compile_c
from benchmarks.servers.common import arguments

if __name__ == "__main__":
    port, work = arguments()
    program = compile_c("c_epoll", ["servers/c_epoll.c"])
    os.execv(program, [str(program), str(port), work])
