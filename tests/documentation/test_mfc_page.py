"""docs/mfc.md: every member of CAsyncSocket has a row, and what stands beside it exists."""

from __future__ import annotations

import re

import wsock
from tests.pages import Page

PAGE = Page("docs/mfc.md")
ROWS = PAGE.rows("CAsyncSocket | AsyncSocket | what differs")

#: All public and protected members by the class's page (learn.microsoft.com, CAsyncSocket Class),
#: but for the assignment, which MFC itself forbids to use.
MEMBERS = [
    "CAsyncSocket",
    "Accept",
    "AsyncSelect",
    "Attach",
    "Bind",
    "Close",
    "Connect",
    "Create",
    "CreateEx",
    "Detach",
    "FromHandle",
    "GetLastError",
    "GetPeerName",
    "GetPeerNameEx",
    "GetSockName",
    "GetSockNameEx",
    "GetSockOpt",
    "IOCtl",
    "Listen",
    "Receive",
    "ReceiveFrom",
    "ReceiveFromEx",
    "Send",
    "SendTo",
    "SendToEx",
    "SetSockOpt",
    "ShutDown",
    "Socket",
    "OnAccept",
    "OnClose",
    "OnConnect",
    "OnOutOfBandData",
    "OnReceive",
    "OnSend",
    "m_hSocket",
]


def test_every_member_has_a_row() -> None:
    """None is forgotten, none invented."""
    named = [name for row in ROWS for name in re.findall(r"`(\w+)(?:\(|`)", row[0])]
    assert sorted(named) == sorted(MEMBERS)


def test_what_stands_beside_it_exists() -> None:
    """As a method of AsyncSocket, or of its socket."""
    ours = [row[1] for row in ROWS]
    for method in re.findall(r"`([a-z]\w*)\(", " ".join(ours)):
        assert callable(getattr(wsock.AsyncSocket, method)), method
    for member in re.findall(r"`(?:self\.socket|sock)\.(\w+)", " ".join(ours)):
        assert hasattr(wsock.Socket, member), member


def test_every_method_to_override_has_a_row() -> None:
    """And every call of AsyncSocket."""
    public = {name for name in vars(wsock.AsyncSocket) if not name.startswith("_")}
    unnamed = {"accepted_class", "dispatch", "on_error", "socket", "tls", "window"}
    assert public - unnamed == set(re.findall(r"`([a-z]\w*)\(", " ".join(row[1] for row in ROWS)))
    for name in unnamed:
        assert name in PAGE.text


async def test_a_program_may_pump_itself(window: wsock.Window) -> None:
    """A procedure of one's own hands messages over to a socket's object, if it has one."""
    heard = []

    class Client(wsock.AsyncSocket):
        def on_connect(self, error: int) -> None:
            heard.append(error)
            self.close()
            self.window.post_quit()

    def procedure(message: wsock.Message) -> None:
        if message.socket is not None and message.socket.handler is not None:
            message.socket.handler.dispatch(message)

    with wsock.create_server(("127.0.0.1", 0)) as listener:
        client = Client(window)
        client.create()
        client.connect(listener.getsockname())
        await window.run(procedure)
    assert heard == [0]
