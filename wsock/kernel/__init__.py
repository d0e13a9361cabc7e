# kernel: the transport provider on the machine's sockets.
#
#   afd              endpoints                      which event is pending, what re-enables it
#   tdi              addresses, connections         verbs and events of the transport
# > kernel           the machine's sockets          THIS LAYER: one epoll under Trio
#
# Rule 1: it knows tdi, and nothing above it.
# Rule 2: no user code runs in its tasks, and nothing leaves them.
"""The machine's sockets as a TDI provider."""

from __future__ import annotations

from .provider import Engine, KernelProvider, default_engine
from .reactor import current_reactor

__all__ = ["Engine", "KernelProvider", "current_reactor", "default_engine"]
