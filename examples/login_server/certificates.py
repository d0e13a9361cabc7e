# The server's certificate: read from files, renewed without a restart.
#
#   server          gives each new connection the context of the moment
# > certificates    Certificate                   THIS FILE: files in, an ssl.SSLContext out
#
# Rule 1: a context is complete before anybody gets it. A file that is missing, half written or of
#         another key leaves the old one in force.
# Rule 2: nothing here asks: a key that is encrypted is an error, not a prompt on a terminal that a
#         server does not have.
# Rule 3: connections that exist go on with what they have; a renewal ends none of them.
"""Certificate and key of the login server."""

from __future__ import annotations

import ssl
from typing import Final


class CertificateError(ValueError):
    """The certificate or its key cannot be used; the text says which file, and why."""


class Certificate:
    """A certificate chain and its key in PEM files, as a context for servers.

    Args:
      chain: file with the certificate and those that lead to its authority.
      key: file with its private key; "" if that is in ``chain``.

    Attributes:
      context: what new connections take; replaced by ``renew``.

    Raises:
      CertificateError: they cannot be used.
    """

    __slots__ = ("_chain", "_key", "context")

    def __init__(self, chain: str, key: str = "") -> None:
        self._chain: Final = chain
        self._key: Final = key
        self.context = self._load()

    def renew(self) -> None:
        """Read the files again. They are read from the disk: call it in a thread.

        Raises:
          CertificateError: they cannot be used; the old certificate stays.
        """
        self.context = self._load()

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        files = f"{self._chain} and {self._key}" if self._key else self._chain
        try:
            context.load_cert_chain(self._chain, self._key or None, password=_refuse_password)
        except (OSError, ValueError) as problem:  # SSLError is an OSError
            raise CertificateError(f"{files}: {_why(problem)}") from None
        return context


def _refuse_password() -> str:
    raise ValueError("the key is encrypted; nobody is there to type its password")


def _why(problem: OSError | ValueError) -> str:
    if isinstance(problem, ssl.SSLError):
        return str(problem.reason or problem).replace("_", " ").lower()
    return getattr(problem, "strerror", None) or str(problem)
