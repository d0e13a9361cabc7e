# The functions of asyncio_streams on uvloop.

from __future__ import annotations

import uvloop

from benchmarks.servers.asyncio_streams import serve
from benchmarks.servers.common import arguments

if __name__ == "__main__":
    uvloop.run(serve(*arguments()))
