from __future__ import annotations

import copy
import errno as errnos
import pickle
import socket

import pytest
import trio

from wsock import errors
from wsock.errors import WSAError

DOCUMENTED = {  # winsock2.h; the gaps between the numbers are gaps there too
    *(10000 + n for n in (4, 9, 13, 14, 22, 24, *range(35, 72), 91, 92, 93, *range(101, 113))),
    *range(11001, 11005),
    *(6, 8, 87, 258, 995, 996, 997),
}
ALL = sorted(errors.CODES.items(), key=lambda item: item[1])
WITH_ERRNO = [
    code
    for _, code in ALL
    if 10000 < code < 11000 and errors.error_class(code).errno not in (None, errnos.EBADF)
]


def test_every_documented_code_is_there_and_no_other() -> None:
    """10004 to 10112, 11001 to 11004 and the codes of waiting, each once."""
    assert {code for _, code in ALL} == DOCUMENTED
    assert len(ALL) == len(DOCUMENTED)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(("WSAEINTR", 10004), ("WSAEFAULT", 10014), ("WSAEINVAL", 10022), ("WSAEMFILE", 10024)),
        *(("WSAEWOULDBLOCK", 10035), ("WSAEALREADY", 10037), ("WSAENOTSOCK", 10038)),
        *(("WSAEMSGSIZE", 10040), ("WSAEOPNOTSUPP", 10045), ("WSAEADDRINUSE", 10048)),
        *(("WSAEADDRNOTAVAIL", 10049), ("WSAENETUNREACH", 10051), ("WSAECONNABORTED", 10053)),
        *(("WSAECONNRESET", 10054), ("WSAENOBUFS", 10055), ("WSAEISCONN", 10056)),
        *(("WSAENOTCONN", 10057), ("WSAESHUTDOWN", 10058), ("WSAETIMEDOUT", 10060)),
        *(("WSAECONNREFUSED", 10061), ("WSANOTINITIALISED", 10093), ("WSAEREFUSED", 10112)),
        *(("WSAHOST_NOT_FOUND", 11001), ("WSANO_DATA", 11004), ("WSA_INVALID_HANDLE", 6)),
        *(("WSA_INVALID_PARAMETER", 87), ("WSA_WAIT_TIMEOUT", 258)),
    ],
)
def test_numbers_are_windows(name: str, code: int) -> None:
    """Each by itself; all of them are compared with Windows' headers in tests/win32."""
    assert errors.CODES[name] == code


@pytest.mark.parametrize(("name", "code"), ALL)
def test_each_code_has_a_class_under_its_name(name: str, code: int) -> None:
    """``errors.WSAE...`` is the class of the number, exported, with a sentence of its own."""
    cls = errors.error_class(code)
    assert getattr(errors, name) is cls
    assert name in errors.__all__
    assert (cls.name, cls.winerror, cls.__name__) == (name, code, name)
    assert errors.text(code).endswith(".")
    assert sum(errors.text(other) == errors.text(code) for _, other in ALL) == 1


@pytest.mark.parametrize(("name", "code"), ALL)
def test_each_error_survives_pickle_and_copy(name: str, code: int) -> None:
    """Class, call, state, detail and notes come back; no socket is needed."""
    error = errors.error_class(code)("recv_nowait", "CONNECTED", "port 7")
    error.add_note("while testing")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert (again.call, again.state, again.detail) == ("recv_nowait", "CONNECTED", "port 7")
        assert (again.winerror, again.errno) == (code, error.errno)
        assert again.__notes__ == ["while testing"]


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (errors.WSAEINTR, (InterruptedError, trio.ClosedResourceError)),
        (errors.WSAEACCES, (PermissionError,)),
        (errors.WSAEWOULDBLOCK, (BlockingIOError, trio.WouldBlock)),
        (errors.WSAEINPROGRESS, (BlockingIOError,)),
        (errors.WSAEALREADY, (BlockingIOError,)),
        (errors.WSAENOTSOCK, (trio.ClosedResourceError,)),
        (errors.WSAENETRESET, (trio.BrokenResourceError,)),
        (errors.WSAECONNABORTED, (ConnectionAbortedError, trio.BrokenResourceError)),
        (errors.WSAECONNRESET, (ConnectionResetError, trio.BrokenResourceError)),
        (errors.WSAESHUTDOWN, (BrokenPipeError,)),
        (errors.WSAETIMEDOUT, (TimeoutError,)),
        (errors.WSAECONNREFUSED, (ConnectionRefusedError,)),
        (errors.WSA_WAIT_TIMEOUT, (TimeoutError, trio.TooSlowError)),
        (errors.WSAHOST_NOT_FOUND, (socket.gaierror,)),
    ],
)
def test_an_error_is_the_matching_built_in_and_trio_class(
    error: type[WSAError], bases: tuple[type[Exception], ...]
) -> None:
    """Whoever catches Python's or Trio's name for a failure catches Winsock's."""
    for base in (*bases, WSAError, OSError):
        with pytest.raises(base):
            raise error("call")


@pytest.mark.parametrize("code", WITH_ERRNO)
def test_a_class_is_what_python_would_raise_for_its_errno(code: int) -> None:
    """Python chooses a subclass of OSError by errno; ours derive from the same one."""
    cls = errors.error_class(code)
    assert cls.errno is not None
    assert issubclass(cls, type(OSError(cls.errno, "")))


def test_the_errno_is_the_one_of_the_same_name() -> None:
    """WSAEADDRINUSE has EADDRINUSE's number, and so on, where this system has that name."""
    wrong = {
        name
        for name, code in ALL
        if name.startswith("WSAE")
        and hasattr(errnos, name.removeprefix("WSA"))
        and errors.error_class(code).errno != getattr(errnos, name.removeprefix("WSA"))
    }
    assert wrong == set()
    assert errors.error_class(10035).errno == errnos.EWOULDBLOCK


def test_the_text_names_call_state_and_detail() -> None:
    """What failed, in which state, Winsock's name and number, and what it means."""
    message = str(errors.WSAENOTCONN("send", "BOUND", "127.0.0.1:7"))
    assert message == (
        "WSAENOTCONN (10057): send on a BOUND socket: The socket is not connected. [127.0.0.1:7]"
    )
    assert " on an OPEN socket: " in str(errors.WSAENOTCONN("send", "OPEN"))
    assert str(errors.WSAENOTCONN("send")) == (
        "WSAENOTCONN (10057): send: The socket is not connected."
    )
    assert repr(errors.WSAENOTCONN("send", "BOUND")) == "WSAENOTCONN('send', 'BOUND')"


def test_an_oserror_s_own_attributes_make_sense() -> None:
    """``errno`` is this system's number, ``strerror`` the text; there is no file."""
    error = errors.WSAECONNRESET("recv", "CONNECTED", "detail")
    assert error.errno == errnos.ECONNRESET
    assert error.strerror == errors.text(10054)
    assert error.filename is None


def test_a_missing_state_or_detail_is_empty() -> None:
    """Only the call must be given."""
    error = errors.WSAEINVAL("listen")
    assert (error.call, error.state, error.detail) == ("listen", "", "")


def test_an_unknown_code_gets_a_class_of_its_own() -> None:
    """One class for a number, the same each time, also after pickling."""
    cls = errors.error_class(10999)
    assert cls is errors.error_class(10999)
    assert issubclass(cls, errors.WSAUnknownError)
    assert cls.winerror == 10999
    assert errors.text(10999)
    again = pickle.loads(pickle.dumps(cls("ioctl", "BOUND", "what")))
    assert (type(again), again.call, again.state, again.detail) == (cls, "ioctl", "BOUND", "what")
    assert 10999 not in errors.CODES.values()


def test_a_program_s_own_subclass_keeps_the_number() -> None:
    """Deriving from an error does not take its place in the table."""

    class MyReset(errors.WSAECONNRESET):
        pass

    assert MyReset("recv").winerror == 10054
    assert errors.error_class(10054) is errors.WSAECONNRESET


def test_text_of_zero_is_empty() -> None:
    """0 means no error."""
    assert errors.text(0) == ""
    assert errors.text(10035).startswith("The call would have to wait")


@pytest.mark.parametrize("code", WITH_ERRNO)
def test_errno_and_code_convert_both_ways(code: int) -> None:
    """An errno that belongs to a code leads back to it (of two codes with one, to the first)."""
    number = errors.error_class(code).errno
    assert number is not None
    back = errors.code_from_errno(number)
    assert errors.error_class(back).errno == number
    assert back <= code


@pytest.mark.parametrize(
    ("number", "cls"),
    [
        (errnos.EAGAIN, errors.WSAEWOULDBLOCK),
        (errnos.EBADF, errors.WSAENOTSOCK),
        (errnos.EPIPE, errors.WSAECONNRESET),
        (errnos.EPROTO, errors.WSAECONNABORTED),
        (errnos.ENFILE, errors.WSAEMFILE),
        (errnos.ENOMEM, errors.WSAENOBUFS),
        (errnos.EPERM, errors.WSAEACCES),
        (errnos.EXDEV, errors.WSASYSCALLFAILURE),
    ],
)
def test_errno_that_winsock_says_otherwise(number: int, cls: type[WSAError]) -> None:
    """What this system says in words of its own; what makes no sense is a failed system call."""
    assert errors.code_from_errno(number) == cls.winerror


def test_windows_numbers_and_zero_stay() -> None:
    """Windows' Python has Winsock numbers in errno already."""
    assert errors.code_from_errno(10054) == 10054
    assert errors.code_from_errno(0) == 0


def test_name_look_up_errors_convert() -> None:
    """getaddrinfo's numbers become 11001 to 11004; what else can go wrong has its own code."""
    assert errors.code_from_gaierror(socket.EAI_NONAME) == 11001
    assert errors.code_from_gaierror(socket.EAI_AGAIN) == 11002
    assert errors.code_from_gaierror(socket.EAI_FAIL) == 11003
    assert errors.code_from_gaierror(socket.EAI_FAMILY) == 10047
    assert errors.code_from_gaierror(11001) == 11001
    assert errors.code_from_gaierror(-9999) == 11003


def test_codes_cannot_be_changed() -> None:
    """The table is for reading."""
    with pytest.raises(TypeError):
        errors.CODES["WSAEINTR"] = 1  # type: ignore[index]
