"""Winsock and what its programs need of Windows, by C's names, on Trio.

``from wsock.win32 import *`` and the line-by-line port of a textbook's program runs: plain
functions, C's parameter order, C's return values, ``WSAGetLastError()`` for each thread. Start it
with ``win32.run(main)``. ``help()`` of a function shows its C prototype, and what differs.
"""

# The flat face. The modules inside are named after the DLLs.
#
#   ws2_32        sockets                       kernel32, user32, msvcrt    what they live among
#   types         structures                    macros, constants           what headers define
#
# Rule 1: nobody imports this package but programs; it needs greenback (the extra "win32").

from __future__ import annotations

from wsock.win32 import constants, kernel32, macros, msvcrt, types, user32, ws2_32
from wsock.win32._calls import socket_object
from wsock.win32._threads import run, start
from wsock.win32.constants import *  # noqa: F403
from wsock.win32.kernel32 import *  # noqa: F403
from wsock.win32.macros import *  # noqa: F403
from wsock.win32.msvcrt import *  # noqa: F403
from wsock.win32.types import *  # noqa: F403
from wsock.win32.user32 import *  # noqa: F403
from wsock.win32.ws2_32 import *  # noqa: F403

__all__ = ["run", "socket_object", "start"]
__all__ += constants.__all__
__all__ += kernel32.__all__
__all__ += macros.__all__
__all__ += msvcrt.__all__
__all__ += types.__all__
__all__ += user32.__all__
__all__ += ws2_32.__all__
