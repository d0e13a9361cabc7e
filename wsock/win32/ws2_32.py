# ws2_32: Winsock's calls. The work is in the private files; here they are together.
#
#   _startup      WSAStartup, WSACleanup, WSAGetLastError
#   _sockets      socket, bind, listen, accept, connect, shutdown, closesocket, names
#   _transfer     send, recv, and their WSA and datagram forms
#   _options      getsockopt, setsockopt, ioctlsocket, WSAIoctl
#   _select       select, WSAPoll
#   _notify       WSAAsyncSelect, WSAEventSelect, event objects
#   _names        getaddrinfo and its relatives
#   _addresses    byte order, address texts

from __future__ import annotations

from wsock.win32 import (
    _addresses,
    _names,
    _notify,
    _options,
    _select,
    _sockets,
    _startup,
    _transfer,
)
from wsock.win32._addresses import *  # noqa: F403
from wsock.win32._names import *  # noqa: F403
from wsock.win32._notify import *  # noqa: F403
from wsock.win32._options import *  # noqa: F403
from wsock.win32._select import *  # noqa: F403
from wsock.win32._sockets import *  # noqa: F403
from wsock.win32._startup import *  # noqa: F403
from wsock.win32._transfer import *  # noqa: F403

__all__: list[str] = []
__all__ += _addresses.__all__
__all__ += _names.__all__
__all__ += _notify.__all__
__all__ += _options.__all__
__all__ += _select.__all__
__all__ += _sockets.__all__
__all__ += _startup.__all__
__all__ += _transfer.__all__
