"""Structures, constants and macros: Windows' layout and Windows' values."""

from __future__ import annotations

import ctypes
import inspect
from pathlib import Path

import pytest

from wsock import constants, errors
from wsock import win32 as w
from wsock.win32 import _border
from wsock.win32 import constants as win32_constants


@pytest.mark.parametrize(
    ("structure", "size"),
    [
        (w.in_addr, 4), (w.sockaddr, 16), (w.sockaddr_in, 16), (w.sockaddr_in6, 28),
        (w.sockaddr_storage, 128), (w.linger, 4), (w.timeval, 8), (w.WSADATA, 408),
        (w.WSANETWORKEVENTS, 44), (w.WSAPOLLFD, 16), (w.MSG, 48), (w.tcp_keepalive, 12),
    ],
)  # fmt: skip
def test_structures_have_the_size_of_win64(structure: type, size: int) -> None:
    """Also as sizeof says it."""
    assert ctypes.sizeof(structure) == size
    assert w.sizeof(structure) == w.sizeof(structure()) == size


def test_sockaddr_in_stands_in_memory_as_on_the_wire() -> None:
    """Port and address in network order, whatever this machine's is."""
    address = w.sockaddr_in(sin_family=w.AF_INET, sin_port=w.htons(0x1234))
    address.sin_addr.s_addr = w.htonl(0x7F000001)
    assert bytes(address)[2:8] == b"\x12\x34\x7f\x00\x00\x01"
    assert address.sin_addr.S_un.S_un_b.s_b1 == 127


def test_errors_are_those_of_the_python_face() -> None:
    """Every name of wsock.errors is here as a number."""
    for name, code in errors.CODES.items():
        if name not in ("WSA_WAIT_TIMEOUT", "WSA_INVALID_HANDLE"):
            assert getattr(w, name) == code, name


def test_constants_have_the_values_of_the_headers() -> None:
    """windows_constants.tsv: name and value, as a C compiler prints them from Windows' headers."""
    rows = (Path(__file__).parent / "windows_constants.tsv").read_text().splitlines()
    values = {name: int(value) for name, value in (row.split("\t") for row in rows)}
    ours = {
        name: value
        for name, value in vars(win32_constants).items()
        if name.isupper() and isinstance(value, int)
    }
    assert ours.keys() == values.keys()
    # Handles are unsigned here, as SOCKET is; a DWORD may print as either.
    wrong = {name for name in ours if (ours[name] - values[name]) % 2**32}
    assert wrong == set()


def test_shared_numbers_are_the_same_object_of_both_faces() -> None:
    """FD_, SD_, WM_ and the ioctl commands of wsock.constants are here too."""
    for name in constants.__all__:
        if name.isupper() and name != "FD":
            assert getattr(w, name) == getattr(constants, name), name


def test_all_names_exist_and_hide_only_what_the_page_says() -> None:
    """``from wsock.win32 import *`` gives exactly __all__; these builtins are not among them."""
    missing = [name for name in w.__all__ if not hasattr(w, name)]
    assert missing == []
    assert len(set(w.__all__)) == len(w.__all__)
    hidden = {"len", "print", "int", "str", "open", "input", "exit", "type", "set", "types", "trio"}
    assert hidden.isdisjoint(w.__all__)


def test_every_function_shows_its_prototype() -> None:
    """help() begins with the C text, in which the function's own name stands."""
    functions = [getattr(w, name) for name in w.__all__ if inspect.isfunction(getattr(w, name))]
    renamed = {"run", "start", "socket_object", "byref", "sizeof", "thread_function"}
    for function in functions:
        if function.__name__ not in renamed:
            first = (function.__doc__ or "").splitlines()[0]
            assert f"{function.__name__}(" in first, function.__name__


def test_border_translates_both_ways() -> None:
    """A family or type of Windows comes back as itself."""
    for ours, theirs in _border.FAMILIES.items():
        assert _border.WINDOWS_FAMILIES[theirs] == ours
    for ours, theirs in _border.TYPES.items():
        assert _border.WINDOWS_TYPES[theirs] == ours
    assert _border.message_flags(w.MSG_PEEK | w.MSG_OOB)
    with pytest.raises(errors.WSAEOPNOTSUPP):
        _border.message_flags(0x4000000)


def test_border_refuses_a_send_what_only_a_receive_knows() -> None:
    """MSG_PEEK and MSG_WAITALL in a send are WSAEOPNOTSUPP, as a flag that does not exist."""
    assert _border.send_flags(w.MSG_OOB | w.MSG_DONTROUTE)
    for flags in (w.MSG_PEEK, w.MSG_WAITALL | w.MSG_OOB, 0x4000000):
        with pytest.raises(errors.WSAEOPNOTSUPP):
            _border.send_flags(flags)


def test_no_other_module_names_the_standard_librarys_constants() -> None:
    """The border is one table: nobody else writes std.SO_something."""
    from pathlib import Path

    folder = Path(win32_constants.__file__).parent
    for path in folder.glob("*.py"):
        if path.name not in ("_border.py", "_names.py", "_addresses.py"):
            assert "import socket as std" not in path.read_text(), path.name


def test_fd_set_keeps_order_and_drops_what_exceeds_its_size() -> None:
    """As the macro: 64 sockets, each once."""
    sockets = w.fd_set()
    for s in range(0, 400, 4):
        w.FD_SET(s, sockets)
        w.FD_SET(s, sockets)
    assert sockets.fd_count == 64
    assert sockets.fd_array[:3] == [0, 4, 8]
    assert w.FD_ISSET(4, sockets)
    assert not w.FD_ISSET(396, sockets)
    w.FD_CLR(4, sockets)
    assert sockets.fd_array[:2] == [0, 8]
    w.FD_ZERO(sockets)
    assert not sockets


def test_fd_setsize_may_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a #define before the header."""
    monkeypatch.setattr(w.fd_set, "FD_SETSIZE", 1000)
    sockets = w.fd_set()
    for s in range(500):
        w.FD_SET(s, sockets)
    assert len(sockets) == 500


def test_words_and_select_messages() -> None:
    """MAKELONG and its parts; an error code in the upper half."""
    lparam = w.WSAMAKESELECTREPLY(w.FD_CONNECT, w.WSAECONNREFUSED)
    assert w.WSAGETSELECTEVENT(lparam) == w.FD_CONNECT
    assert w.WSAGETSELECTERROR(lparam) == 10061
    assert w.MAKEWORD(2, 1) == 0x0102
    assert (w.LOBYTE(0x0102), w.HIBYTE(0x0102)) == (2, 1)
    assert (w.LOWORD(0x274D0010), w.HIWORD(0x274D0010)) == (0x10, 0x274D)


def test_sizeof_buffers() -> None:
    """A bytearray has the size that a char array would."""
    assert w.sizeof(bytearray(512)) == 512
    assert w.sizeof(w.WNDCLASSEX()) == 80
    with pytest.raises(TypeError):
        w.sizeof(3)
