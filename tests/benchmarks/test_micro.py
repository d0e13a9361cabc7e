from __future__ import annotations

from benchmarks import micro


def test_every_rung_of_the_ladder_runs() -> None:
    """From nothing to the C face, the bytes of the stub come back; posted messages are served."""
    rungs: list[str] = []

    def once(rung: micro.Rung) -> None:
        assert rung.seconds(2) > 0
        rungs.append(rung.name)

    micro.climb(once)
    assert rungs == [
        "the system's send and recv",
        "nothing",
        "stub in place of the system",
        "+ tdi connection, if traced",
        "+ afd endpoint",
        "+ Socket",
        "readiness to posted message",
        "the same, and served by a procedure",
        "await window.get()",
        "recv and send of win32",
    ]


async def test_the_stub_answers_as_the_system_would() -> None:
    """64 bytes in, 64 bytes out, through all layers."""
    sock, far = micro.connected_pair()
    with far:
        micro.stubbed(sock)
        assert sock.recv_nowait(micro.READ_BYTES) == micro.DATA
        assert sock.send_nowait(micro.DATA) == len(micro.DATA)
        sock.close()
