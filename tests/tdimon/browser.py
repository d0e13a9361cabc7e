"""A real browser without a window: what a page looks like, and what its script found out."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="draws in a browser, and none is installed"
)
LIGHT, DARK = "1", "0"  # of the setting preferredColorScheme

Colour = tuple[int, int, int]


def browse(page: Path, scratch: Path, scheme: str, *options: str) -> str:
    """Open a page, without any network; return what the browser prints."""
    assert CHROMIUM is not None
    return subprocess.check_output(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={scratch / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}",
            "--hide-scrollbars",
            "--window-size=1600,1200",
            *options,
            page.as_uri(),
        ],
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
    )


def colours(page: Path, scratch: Path, scheme: str) -> Counter[Colour]:
    """How many pixels of a screenshot have each colour."""
    target = scratch / "screen.png"
    browse(page, scratch, scheme, "--window-size=1400,240", f"--screenshot={target}")
    found: Counter[Colour] = Counter()
    for row in rows_of_png(target.read_bytes()):
        found.update(zip(row[0::4], row[1::4], row[2::4], strict=True))
    return found


def rows_of_png(data: bytes) -> list[bytearray]:
    """The rows of a picture with four bytes a pixel (or three, given a fourth)."""
    width, _, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert depth == 8
    size = {2: 3, 6: 4}[kind]
    packed, at = b"", 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(packed)
    line = bytearray(width * size)
    rows = []
    for start in range(0, len(raw), width * size + 1):
        line = unfiltered(raw[start], raw[start + 1 : start + 1 + width * size], line, size)
        rows.append(line if size == 4 else with_alpha(line))
    return rows


def with_alpha(line: bytearray) -> bytearray:
    return bytearray(b"".join(bytes(line[at : at + 3]) + b"\xff" for at in range(0, len(line), 3)))


def unfiltered(kind: int, line: bytes, above: bytearray, size: int) -> bytearray:
    """Undo the filter of one row, as the PNG specification defines the five."""
    found = bytearray(line)
    for at in range(len(found) if kind else 0):
        left = found[at - size] if at >= size else 0
        up, corner = above[at], above[at - size] if at >= size else 0
        guess = {1: left, 2: up, 3: (left + up) // 2, 4: paeth(left, up, corner)}[kind]
        found[at] = found[at] + guess & 0xFF
    return found


def paeth(left: int, up: int, corner: int) -> int:
    base = left + up - corner
    return min((left, up, corner), key=lambda one: abs(base - one))


def number(text: str, name: str) -> int:
    """A figure that the page's script has printed as ``name=figure``."""
    found = re.search(rf"\b{name}=(\d+)", text)
    assert found is not None, text[:500]
    return int(found[1])
