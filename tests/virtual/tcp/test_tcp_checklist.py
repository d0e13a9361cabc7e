"""Every rule of the list below has a test that bears its number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKLIST = {
    1: "header fields and flags", 2: "checksum", 3: "options", 4: "MSS", 5: "wrap-around",
    6: "initial sequence numbers", 7: "three-way handshake", 8: "passive open and backlog",
    9: "simultaneous open", 10: "SYN-RECEIVED remembers how it came about", 11: "resent SYNs",
    12: "closed ports", 13: "old duplicates and half-open peers", 14: "text on a SYN",
    15: "no broadcast, no multicast", 16: "listeners by address", 17: "segmentation",
    18: "PUSH", 19: "acceptability", 20: "trimming and overlaps", 21: "acknowledgement range",
    22: "window updates", 23: "the right edge", 24: "receiver's SWS", 25: "sender's SWS, Nagle",
    26: "delayed acknowledgement", 27: "aggregated acknowledgements", 28: "zero window",
    29: "back-pressure", 30: "urgent data", 31: "RTO", 32: "Karn", 33: "timer, R1, R2",
    34: "what is resent", 35: "slow start and avoidance", 36: "after a timeout",
    37: "fast retransmit", 38: "NewReno", 39: "limited transmit", 40: "restart after idle",
    41: "SACK", 42: "window scale", 43: "timestamps and PAWS", 44: "path MTU",
    45: "four-way close", 46: "simultaneous close", 47: "half-close", 48: "FIN",
    49: "TIME-WAIT", 50: "close with unread data", 51: "RFC 5961", 52: "RST in each state",
    53: "numbers of a RST", 54: "abort", 55: "FIN-WAIT-2 limit", 56: "data after the close",
    57: "keep-alive", 58: "ICMP", 59: "TTL and DSCP", 60: "the grid",
}  # fmt: skip

TESTS = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_tcp_*.py"))


@pytest.mark.parametrize("number", CHECKLIST)
def test_each_line_has_a_test(number: int) -> None:
    """A function named ``test_NN_...`` exists."""
    assert re.search(rf"^def test_{number:02}_\w+\(", TESTS, re.MULTILINE), CHECKLIST[number]
