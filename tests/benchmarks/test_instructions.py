from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import instructions
from benchmarks.cells import SERVERS


@pytest.mark.parametrize("word", ["summary", "totals"])
def test_the_total_is_read_from_what_callgrind_writes(tmp_path: Path, word: str) -> None:
    """Both of its words for it."""
    output = tmp_path / "out"
    output.write_text(f"events: Ir\nfn=(1)\n1 2\n{word}: 12345\n", encoding="utf-8")
    assert instructions.total(output) == 12345


def test_a_file_without_a_total_is_an_error(tmp_path: Path) -> None:
    """The server ended before callgrind could write, or wrote elsewhere."""
    with pytest.raises(instructions.CountError, match="no total"):
        instructions.total(tmp_path / "missing")


def test_the_servers_that_are_counted_exist() -> None:
    """The default is a choice of the benchmark's servers."""
    assert set(instructions.DEFAULT) <= set(SERVERS)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_a_server_is_counted() -> None:
    """Thousands of instructions for a message, not the millions of a start."""
    count = instructions.instructions(Path(sys.executable), "raw_epoll", few=1, many=11)
    assert 500 < count < 50_000
