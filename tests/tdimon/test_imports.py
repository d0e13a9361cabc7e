"""tdimon is there without its extras, and on systems that lack what POSIX has."""

from __future__ import annotations

import subprocess
import sys

import pytest

MISSING = """\
import sys, socket, trio
for name in {missing!r}:
    sys.modules[name] = None  # an import of it fails
vars(socket).pop("AF_UNIX", None)
import wsock.tdimon
with wsock.tdimon.watch() as trace:
    pass
{then}
"""


@pytest.mark.parametrize(
    ("missing", "then"),
    [
        (["click", "rich", "greenback"], "assert trace.rows() == []"),
        (["termios", "tty", "fcntl", "resource"], "import wsock.tdimon.cli, wsock._cli"),
        (["greenback"], "import wsock.tdimon.cli, wsock._cli"),
    ],
)
def test_imports_without(missing: list[str], then: str) -> None:
    """Nothing is asked for before it is needed."""
    subprocess.run([sys.executable, "-c", MISSING.format(missing=missing, then=then)], check=True)


def test_allowing_where_there_are_no_unix_sockets() -> None:
    """A system without them says so, instead of failing inside."""
    then = """\
try:
    with wsock.tdimon.allow("door"):
        pass
except OSError as error:
    assert "no Unix sockets" in str(error)
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", MISSING.format(missing=[], then=then)], check=True)


def test_nobody_imports_tdimon() -> None:
    """A program that does not watch does not even load it (the layer test knows the rest)."""
    check = "import sys, wsock; sys.exit('wsock.tdimon' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
