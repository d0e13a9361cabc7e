from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import micro

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


async def test_every_rung_of_the_ladder_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing to Socket, the bytes of the stub come back; posted messages are served."""

    def once(statement: Callable[[], object], calls: int = 0, repeats: int = 0) -> float:
        statement()
        return 1e-6

    monkeypatch.setattr(micro, "seconds", once)
    steps = await micro.measure()
    assert [name for name, _seconds in steps] == [
        "the system's send and recv",
        "nothing",
        "stub in place of the system",
        "+ kernel file",
        "+ tdi connection",
        "+ afd endpoint",
        "+ Socket",
        "readiness to posted message",
        "queue to procedure",
        "await window.get()",
    ]
    assert all(seconds > 0 or name == "queue to procedure" for name, seconds in steps)


async def test_the_stub_answers_as_the_system_would() -> None:
    """64 bytes in, 64 bytes out, through all layers."""
    sock, far = micro.connected_pair()
    with far:
        micro.stubbed(sock)
        assert sock.recv_nowait(micro.READ_BYTES) == micro.DATA
        assert sock.send_nowait(micro.DATA) == len(micro.DATA)
        sock.close()
