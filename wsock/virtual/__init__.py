# virtual: a transport provider that is a whole network inside the process.
#
#   afd              endpoints                      which event is pending, what re-enables it
#   tdi              addresses, connections         verbs and events of the transport
# > virtual          hosts, links, packets          THIS LAYER: its own TCP/IP
#
# Rule 1: the core knows tdi and no Trio; host, pump and trio_face stand above the stack and join
#         the two.
"""Virtual networks: hosts, links and a TCP/IP of their own inside one process."""

from __future__ import annotations

from wsock.virtual.host import Host, current_host
from wsock.virtual.pump import Network

__all__ = ["Host", "Network", "current_host"]
