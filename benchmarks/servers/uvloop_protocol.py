# The Protocol of asyncio_protocol on uvloop: the fastest thing a Python server has had so far.

from __future__ import annotations

import uvloop

from benchmarks.servers.asyncio_protocol import serve
from benchmarks.servers.common import arguments

if __name__ == "__main__":
    uvloop.run(serve(*arguments()))
