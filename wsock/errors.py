# Errors: what a failed call raises, in every layer.
#
# One class per Winsock code. Each is a WSAError (an OSError), and also the built-in class and the
# Trio class that say the same, so that ``except ConnectionResetError`` and
# ``except trio.BrokenResourceError`` both catch WSAECONNRESET.
#
# Rule 1: known to all layers, imports none of them. Of Trio only exception classes are used.
# Rule 2: an error is built on hot paths (a would-block is the normal answer of a nonblocking call),
#         so nothing is computed before somebody looks: number, errno and name are attributes of the
#         class, there is no Python-level __init__, and the text is made in __str__. Two strings are
#         kept, never the socket: it would live as long as the traceback. Two-argument construction
#         costs 0.15 us here (CPython 3.11), against 0.99 us with an eagerly formatted text.
# Rule 3: the docstring of a class *is* its text, so the table below is the only list of codes.
#         (Under ``python -OO`` the text is left out and the name remains.)
#
# Longer than 400 lines because every class is really defined: type checkers and pickle find the
# names here.
#
# Sources: learn.microsoft.com "Windows Sockets Error Codes" for names and numbers; the texts are
# our own.

from __future__ import annotations

import errno as _errno
import socket
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CLASSES: Final[dict[int, type[WSAError]]] = {}
_codes: Final[dict[str, int]] = {}

CODES: Final[Mapping[str, int]] = MappingProxyType(_codes)
"""Every error's name and its number."""


def _posix_number(symbol: str) -> int | None:
    """This system's number for an errno or EAI name; None where it has none."""
    number = getattr(socket if symbol.startswith("EAI_") else _errno, symbol, None)
    return None if number is None else int(number)


class WSAError(OSError):
    """A failed call of wsock; the subclass says which Winsock error it was.

    Construct a subclass with ``(call, state="", detail="")``, all strings and positional: the
    function that failed, the state of the socket, and whatever else helps to understand it.
    Comparable, printable and picklable without the socket it came from.
    """

    winerror: int = 0  # Winsock's number, such as 10035
    errno: int | None = None  # this system's number for the same, where it has one
    name: ClassVar[str] = "WSAError"  # "WSAEWOULDBLOCK"
    text: ClassVar[str] = ""  # the meaning, in a sentence

    if TYPE_CHECKING:  # at run time OSError's own, written in C

        def __init__(self, call: str, state: str = "", detail: str = "", /) -> None: ...

    def __init_subclass__(cls, code: int | None = None, posix: str = "") -> None:
        super().__init_subclass__()
        if code is None:
            return  # a program's own subclass keeps its parent's number
        cls.winerror = code
        cls.errno = _posix_number(posix) if posix else None
        cls.name = cls.__name__
        cls.text = cls.__doc__ or ""
        _CLASSES[code] = cls

    @property
    def call(self) -> str:
        """The function that failed, as ``"recv_nowait"``."""
        return str(self.args[0]) if self.args else ""

    @property
    def state(self) -> str:
        """The socket's state at that moment, as ``"CONNECTED"``; may be empty."""
        return str(self.args[1]) if len(self.args) > 1 else ""

    @property
    def detail(self) -> str:
        """What else is known: an address, a name, an argument; may be empty."""
        return _third_argument(self) or ""

    @property
    def strerror(self) -> str:  # type: ignore[override]
        """The meaning of the code, as :func:`text` gives it."""
        return self.text

    @property
    def filename(self) -> None:
        """Always None: no socket call is about a file."""
        return

    def __str__(self) -> str:
        article = "an" if self.state.startswith("O") else "a"  # OPEN
        where = f" on {article} {self.state} socket" if self.state else ""
        message = f"{self.name} ({self.winerror}): {self.call}{where}: {self.text}"
        return f"{message} [{self.detail}]" if self.detail else message

    def __repr__(self) -> str:
        arguments = (self.call, self.state, self.detail)
        return f"{self.name}({', '.join(repr(argument) for argument in arguments if argument)})"

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.call, self.state, self.detail)
        return type(self), arguments, self.__dict__ or None


# OSError keeps a third argument as its file name; the class above hides it under that name.
_third_argument: Final[Callable[[WSAError], str | None]] = OSError.filename.__get__


class WSAUnknownError(WSAError):
    """An error whose number Winsock's list does not have."""

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.winerror, self.call, self.state, self.detail)
        return _make_unknown, arguments, self.__dict__ or None


def _make_unknown(code: int, call: str, state: str, detail: str) -> WSAError:
    return error_class(code)(call, state, detail)


def error_class(code: int) -> type[WSAError]:
    """The class of the error with this Winsock number.

    A number that Winsock does not know gets a subclass of :class:`WSAUnknownError` of its own, and
    the same one each time. Never a checkpoint.
    """
    known = _CLASSES.get(code)
    if known is None:
        namespace = {"__doc__": WSAUnknownError.__doc__, "__module__": __name__}
        known = type(f"WSAError{code}", (WSAUnknownError,), namespace, code=code)
    return known


def text(code: int) -> str:
    """The meaning of a Winsock number in a sentence; empty for 0."""
    if code == 0:
        return ""
    known = _CLASSES.get(code, WSAUnknownError)
    return known.text or known.__doc__ or ""


def code_from_errno(errno: int) -> int:
    """The Winsock number that says what this system's ``errno`` says; 0 for 0.

    Numbers from 10000 on are Winsock's already (Windows' Python has them in ``OSError.errno``) and
    stay. An ``errno`` that no socket call should give is WSASYSCALLFAILURE.
    """
    if errno == 0 or errno >= 10000:
        return errno
    return _FROM_ERRNO.get(errno, WSASYSCALLFAILURE.winerror)


def code_from_gaierror(number: int) -> int:
    """The Winsock number for the ``errno`` of a :class:`socket.gaierror`."""
    if number >= 10000:
        return number
    return _FROM_EAI.get(number, WSANO_RECOVERY.winerror)


class WSAEINTR(WSAError, InterruptedError, trio.ClosedResourceError, code=10004, posix="EINTR"):
    """The waiting call was interrupted: the socket was closed, or the wait was cancelled."""


class WSAEBADF(WSAError, code=10009, posix="EBADF"):
    """The handle given does not name an open file."""


class WSAEACCES(WSAError, PermissionError, code=10013, posix="EACCES"):
    """The address is protected: another socket holds it exclusively, or a right is missing."""


class WSAEFAULT(WSAError, code=10014, posix="EFAULT"):
    """An argument does not point at usable memory, or the room given is too small."""


class WSAEINVAL(WSAError, code=10022, posix="EINVAL"):
    """An argument, or the call itself, makes no sense in the socket's present state."""


class WSAEMFILE(WSAError, code=10024, posix="EMFILE"):
    """Too many sockets are open."""


class WSAEWOULDBLOCK(WSAError, BlockingIOError, trio.WouldBlock, code=10035, posix="EWOULDBLOCK"):
    """The call would have to wait. Not a failure: a notification tells when to try again."""


class WSAEINPROGRESS(WSAError, BlockingIOError, code=10036, posix="EINPROGRESS"):
    """A blocking call is still under way."""


class WSAEALREADY(WSAError, BlockingIOError, code=10037, posix="EALREADY"):
    """The operation was started before and has not ended yet."""


class WSAENOTSOCK(WSAError, trio.ClosedResourceError, code=10038, posix="ENOTSOCK"):
    """The handle is not a socket, or the socket has been closed."""


class WSAEDESTADDRREQ(WSAError, code=10039, posix="EDESTADDRREQ"):
    """A destination address is needed and none was given."""


class WSAEMSGSIZE(WSAError, code=10040, posix="EMSGSIZE"):
    """The datagram is larger than the buffer, or than the transport can carry."""


class WSAEPROTOTYPE(WSAError, code=10041, posix="EPROTOTYPE"):
    """The protocol does not fit the type of the socket."""


class WSAENOPROTOOPT(WSAError, code=10042, posix="ENOPROTOOPT"):
    """The option is unknown, or not supported at this level."""


class WSAEPROTONOSUPPORT(WSAError, code=10043, posix="EPROTONOSUPPORT"):
    """The protocol is not there, or not for this address family."""


class WSAESOCKTNOSUPPORT(WSAError, code=10044, posix="ESOCKTNOSUPPORT"):
    """This type of socket does not exist in this address family."""


class WSAEOPNOTSUPP(WSAError, code=10045, posix="EOPNOTSUPP"):
    """The operation is not possible on this kind of socket."""


class WSAEPFNOSUPPORT(WSAError, code=10046, posix="EPFNOSUPPORT"):
    """The protocol family is not there."""


class WSAEAFNOSUPPORT(WSAError, code=10047, posix="EAFNOSUPPORT"):
    """The address family does not fit the protocol, or is not there."""


class WSAEADDRINUSE(WSAError, code=10048, posix="EADDRINUSE"):
    """Another socket already uses the address."""


class WSAEADDRNOTAVAIL(WSAError, code=10049, posix="EADDRNOTAVAIL"):
    """The address is not one of this host's, or not one to connect to."""


class WSAENETDOWN(WSAError, code=10050, posix="ENETDOWN"):
    """The network on this side has failed."""


class WSAENETUNREACH(WSAError, code=10051, posix="ENETUNREACH"):
    """There is no route to the network."""


class WSAENETRESET(WSAError, trio.BrokenResourceError, code=10052, posix="ENETRESET"):
    """Keep-alive found the connection dead."""


class WSAECONNABORTED(
    WSAError, ConnectionAbortedError, trio.BrokenResourceError, code=10053, posix="ECONNABORTED"
):
    """The connection was given up on this side, after a time-out or a protocol error."""


class WSAECONNRESET(
    WSAError, ConnectionResetError, trio.BrokenResourceError, code=10054, posix="ECONNRESET"
):
    """The peer reset the connection, or answered that nobody listens on the port."""


class WSAENOBUFS(WSAError, code=10055, posix="ENOBUFS"):
    """There is no buffer space, or a queue is full."""


class WSAEISCONN(WSAError, code=10056, posix="EISCONN"):
    """The socket is connected already."""


class WSAENOTCONN(WSAError, code=10057, posix="ENOTCONN"):
    """The socket is not connected."""


class WSAESHUTDOWN(WSAError, BrokenPipeError, code=10058, posix="ESHUTDOWN"):
    """This direction was shut down before."""


class WSAETOOMANYREFS(WSAError, code=10059, posix="ETOOMANYREFS"):
    """Too many references to some object of the system."""


class WSAETIMEDOUT(WSAError, TimeoutError, code=10060, posix="ETIMEDOUT"):
    """No answer came in the time allowed."""


class WSAECONNREFUSED(WSAError, ConnectionRefusedError, code=10061, posix="ECONNREFUSED"):
    """The peer's host refused the connection: nobody listens there."""


class WSAELOOP(WSAError, code=10062, posix="ELOOP"):
    """A name leads back to itself."""


class WSAENAMETOOLONG(WSAError, code=10063, posix="ENAMETOOLONG"):
    """A name is too long."""


class WSAEHOSTDOWN(WSAError, code=10064, posix="EHOSTDOWN"):
    """The peer's host is down."""


class WSAEHOSTUNREACH(WSAError, code=10065, posix="EHOSTUNREACH"):
    """There is no route to the host."""


class WSAENOTEMPTY(WSAError, code=10066, posix="ENOTEMPTY"):
    """The directory is not empty."""


class WSAEPROCLIM(WSAError, code=10067, posix="EPROCLIM"):
    """Too many programs use the network at once."""


class WSAEUSERS(WSAError, code=10068, posix="EUSERS"):
    """A quota of users is used up."""


class WSAEDQUOT(WSAError, code=10069, posix="EDQUOT"):
    """A quota of disk space is used up."""


class WSAESTALE(WSAError, code=10070, posix="ESTALE"):
    """The handle refers to a file that is gone."""


class WSAEREMOTE(WSAError, code=10071, posix="EREMOTE"):
    """The item is not on this host."""


class WSASYSNOTREADY(WSAError, code=10091):
    """The network subsystem is not ready."""


class WSAVERNOTSUPPORTED(WSAError, code=10092):
    """The version of Winsock asked for is not there."""


class WSANOTINITIALISED(WSAError, code=10093):
    """WSAStartup was not called, or did not succeed."""


class WSAEDISCON(WSAError, code=10101):
    """The peer has begun to end the connection in good order."""


class WSAENOMORE(WSAError, code=10102):
    """There are no more results."""


class WSAECANCELLED(WSAError, code=10103, posix="ECANCELED"):
    """The call was cancelled while it went on."""


class WSAEINVALIDPROCTABLE(WSAError, code=10104):
    """A service provider's table of procedures is not valid."""


class WSAEINVALIDPROVIDER(WSAError, code=10105):
    """A service provider is not valid."""


class WSAEPROVIDERFAILEDINIT(WSAError, code=10106):
    """A service provider could not be loaded or started."""


class WSASYSCALLFAILURE(WSAError, code=10107):
    """A call of the system failed that should never fail."""


class WSASERVICE_NOT_FOUND(WSAError, code=10108):
    """No such service is known in this name space."""


class WSATYPE_NOT_FOUND(WSAError, code=10109):
    """No such class of services is known."""


class WSA_E_NO_MORE(WSAError, code=10110):
    """There are no more results to look up."""


class WSA_E_CANCELLED(WSAError, code=10111, posix="ECANCELED"):
    """The look-up was cancelled while it went on."""


class WSAEREFUSED(WSAError, code=10112):
    """The query was refused."""


class WSAHOST_NOT_FOUND(WSAError, socket.gaierror, code=11001, posix="EAI_NONAME"):
    """No host has this name."""


class WSATRY_AGAIN(WSAError, socket.gaierror, code=11002, posix="EAI_AGAIN"):
    """The name could not be looked up just now; later it may work."""


class WSANO_RECOVERY(WSAError, socket.gaierror, code=11003, posix="EAI_FAIL"):
    """The name cannot be looked up: the name server failed for good."""


class WSANO_DATA(WSAError, socket.gaierror, code=11004, posix="EAI_NODATA"):
    """The name exists, but has no data of the kind asked for."""


class WSA_INVALID_HANDLE(WSAError, code=6, posix="EBADF"):
    """The handle does not name an event object."""


class WSA_NOT_ENOUGH_MEMORY(WSAError, code=8, posix="ENOMEM"):
    """There is not enough memory."""


class WSA_INVALID_PARAMETER(WSAError, code=87, posix="EINVAL"):
    """An argument of a wait is not valid."""


class WSA_WAIT_TIMEOUT(WSAError, TimeoutError, trio.TooSlowError, code=258, posix="ETIMEDOUT"):
    """The wait ended by its time-out before an event was set."""


class WSA_OPERATION_ABORTED(WSAError, code=995, posix="ECANCELED"):
    """The overlapped operation was aborted, because its socket was closed."""


class WSA_IO_INCOMPLETE(WSAError, BlockingIOError, code=996, posix="EAGAIN"):
    """The overlapped operation has not ended yet."""


class WSA_IO_PENDING(WSAError, BlockingIOError, code=997, posix="EINPROGRESS"):
    """The overlapped operation was started and will end later."""


def _errno_table() -> dict[int, int]:
    table = {
        cls.errno: code
        for code, cls in reversed(_CLASSES.items())  # of two with one errno the first stays
        if cls.errno is not None and code < WSAHOST_NOT_FOUND.winerror and code > 10000
    }
    # What the system says in other words. EBADF on a socket call means that the socket is closed.
    # EPIPE: our own shutdown is known without asking, so what is left is a peer that reset.
    # EPROTO: accept reports so a connection that broke before it was taken.
    also: dict[str, type[WSAError]] = {
        "EBADF": WSAENOTSOCK,
        "EPERM": WSAEACCES,
        "EAGAIN": WSAEWOULDBLOCK,
        "EPIPE": WSAECONNRESET,
        "EPROTO": WSAECONNABORTED,
        "ENFILE": WSAEMFILE,
        "ENOMEM": WSAENOBUFS,
        "ENONET": WSAENETUNREACH,
        "ENODEV": WSAENETDOWN,
        "ENXIO": WSAEADDRNOTAVAIL,
        "ECANCELED": WSAECANCELLED,
        "ENOTSUP": WSAEOPNOTSUPP,
    }
    for symbol, cls in also.items():
        number = _posix_number(symbol)
        if number is not None:
            table[number] = cls.winerror
    return table


def _eai_table() -> dict[int, int]:
    names: dict[str, type[WSAError]] = {
        "EAI_NONAME": WSAHOST_NOT_FOUND,
        "EAI_AGAIN": WSATRY_AGAIN,
        "EAI_FAIL": WSANO_RECOVERY,
        "EAI_NODATA": WSANO_DATA,
        "EAI_ADDRFAMILY": WSANO_DATA,
        "EAI_FAMILY": WSAEAFNOSUPPORT,
        "EAI_SERVICE": WSATYPE_NOT_FOUND,
        "EAI_SOCKTYPE": WSAESOCKTNOSUPPORT,
        "EAI_BADFLAGS": WSAEINVAL,
        "EAI_MEMORY": WSA_NOT_ENOUGH_MEMORY,
    }
    numbers = {_posix_number(symbol): cls.winerror for symbol, cls in names.items()}
    return {number: code for number, code in numbers.items() if number is not None}


_FROM_ERRNO: Final = _errno_table()
_FROM_EAI: Final = _eai_table()
_codes.update({cls.name: code for code, cls in _CLASSES.items()})

__all__ = [
    "WSAEACCES", "WSAEADDRINUSE", "WSAEADDRNOTAVAIL", "WSAEAFNOSUPPORT", "WSAEALREADY",
    "WSAEBADF", "WSAECANCELLED", "WSAECONNABORTED", "WSAECONNREFUSED", "WSAECONNRESET",
    "WSAEDESTADDRREQ", "WSAEDISCON", "WSAEDQUOT", "WSAEFAULT", "WSAEHOSTDOWN",
    "WSAEHOSTUNREACH", "WSAEINPROGRESS", "WSAEINTR", "WSAEINVAL", "WSAEINVALIDPROCTABLE",
    "WSAEINVALIDPROVIDER", "WSAEISCONN", "WSAELOOP", "WSAEMFILE", "WSAEMSGSIZE",
    "WSAENAMETOOLONG", "WSAENETDOWN", "WSAENETRESET", "WSAENETUNREACH", "WSAENOBUFS",
    "WSAENOMORE", "WSAENOPROTOOPT", "WSAENOTCONN", "WSAENOTEMPTY", "WSAENOTSOCK",
    "WSAEOPNOTSUPP", "WSAEPFNOSUPPORT", "WSAEPROCLIM", "WSAEPROTONOSUPPORT", "WSAEPROTOTYPE",
    "WSAEPROVIDERFAILEDINIT", "WSAEREFUSED", "WSAEREMOTE", "WSAESHUTDOWN", "WSAESOCKTNOSUPPORT",
    "WSAESTALE", "WSAETIMEDOUT", "WSAETOOMANYREFS", "WSAEUSERS", "WSAEWOULDBLOCK",
    "WSAHOST_NOT_FOUND", "WSANOTINITIALISED", "WSANO_DATA", "WSANO_RECOVERY",
    "WSASERVICE_NOT_FOUND", "WSASYSCALLFAILURE", "WSASYSNOTREADY", "WSATRY_AGAIN",
    "WSATYPE_NOT_FOUND", "WSAVERNOTSUPPORTED", "WSA_E_CANCELLED", "WSA_E_NO_MORE",
    "WSA_INVALID_HANDLE", "WSA_INVALID_PARAMETER", "WSA_IO_INCOMPLETE", "WSA_IO_PENDING",
    "WSA_NOT_ENOUGH_MEMORY", "WSA_OPERATION_ABORTED", "WSA_WAIT_TIMEOUT", "WSAError",
    "WSAUnknownError",
]
