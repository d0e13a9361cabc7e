"""TCP as RFC 9293 describes it: one state machine, without I/O, in integer nanoseconds."""

from wsock.virtual.tcp.client import ConnectAnswer, TcpClient
from wsock.virtual.tcp.connection import Connection, TcbStatus
from wsock.virtual.tcp.layer import TcpLayer
from wsock.virtual.tcp.listener import Listener
from wsock.virtual.tcp.port_table import Binding
from wsock.virtual.tcp.settings import TcpSettings
from wsock.virtual.tcp.states import State, StateChange

__all__ = [
    "Binding",
    "ConnectAnswer",
    "Connection",
    "Listener",
    "State",
    "StateChange",
    "TcbStatus",
    "TcpClient",
    "TcpLayer",
    "TcpSettings",
]
