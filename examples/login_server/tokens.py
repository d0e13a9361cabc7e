# Tokens: what a client shows after it has logged in.
#
# Rule 1: the token itself is sent once and kept nowhere. The table has its SHA-256, so who reads
#         the table (a backup, an injection elsewhere) cannot log in with it. A plain hash is
#         enough: the token has 256 random bits, there is nothing to guess.
# Rule 2: comparing is done by looking the hash up; a difference in time tells about the hash, from
#         which nobody can go back to a token.
"""Random tokens and the form in which they are stored."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

TOKEN_BYTES: Final = 32


def new_token() -> str:
    """A token nobody can guess: 43 characters of A-Z a-z 0-9 - and _."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> str:
    """What is stored of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()
