"""The profiles' numbers are those of the documents that wsock/virtual/profile.py names."""

from __future__ import annotations

import dataclasses

import pytest

from wsock.virtual.profile import LINUX, RFC, WINDOWS2000, TcpProfile

MS, S = 1_000_000, 1_000_000_000

#: What is asked, then the answers of rfc, linux, windows2000.
TABLE = {
    "initial_rto_ns": (1 * S, 1 * S, 3 * S),
    "minimum_rto_ns": (1 * S, 200 * MS, 300 * MS),
    "maximum_rto_ns": (60 * S, 120 * S, 240 * S),
    "rto_after_lost_syn_ns": (3 * S, 3 * S, 3 * S),
    "syn_resends": (None, 6, 2),
    "syn_timeout_ns": (180 * S, None, None),
    "data_resends": (None, 15, 5),
    "data_timeout_ns": (100 * S, None, None),
    "syn_retries_on_reset": (0, 0, 0),
    "syn_retry_on_reset_delay_ns": (500 * MS, 500 * MS, 500 * MS),
    "time_wait_ns": (240 * S, 60 * S, 240 * S),
    "fin_wait_2_ns": (None, 60 * S, 240 * S),
    "reset_on_unread_data": (True, True, False),
    "full_backlog": ("refuse", "drop", "refuse"),
    "delayed_ack_ns": (200 * MS, 40 * MS, 200 * MS),
    "initial_window_segments": (10, 10, 2),
    "duplicate_ack_threshold": (3, 3, 2),
    "receive_window": (65_535, 65_536, 17_520),
    "window_scaling": ("offer", "offer", "accept"),
    "timestamps": ("offer", "offer", "accept"),
    "sack": (True, True, True),
    "receive_buffer": (65_536, 65_536, 8_192),
    "send_buffer": (65_536, 65_536, 8_192),
    "keep_alive_idle_ns": (7200 * S, 7200 * S, 7200 * S),
    "keep_alive_interval_ns": (75 * S, 75 * S, 1 * S),
    "keep_alive_probes": (9, 9, 5),
    "challenge_acks_per_second": (100, 100, 100),
    "time_to_live": (64, 64, 128),
    "ephemeral_ports": ((49_152, 65_535), (32_768, 60_999), (1_024, 5_000)),
    "arp_entry_lifetime_ns": (60 * S, 60 * S, 120 * S),
    "reassembly_timeout_ns": (60 * S, 30 * S, 60 * S),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_number_is_that_of_the_documents(name: str) -> None:
    """Every choice of every profile."""
    assert tuple(getattr(each, name) for each in (RFC, LINUX, WINDOWS2000)) == TABLE[name]


def test_the_table_is_complete() -> None:
    """No choice is made that it does not name."""
    names = {field.name for field in dataclasses.fields(TcpProfile)}
    assert names == {"name", *TABLE}
