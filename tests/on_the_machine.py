# Which behaviour tests run on the machine's sockets alone, and why.
#
# Every other test of the folders below that takes a provider runs on a virtual host, too, and must
# find the same results and error codes there.
#
# Rule: a test is left out for what a virtual host does not have, never for what it does otherwise.
"""Tests that need the machine's sockets."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

#: Their tests run on virtual hosts, but for those below. (tests/event knows no sockets.)
FOLDERS: Final = ("async_socket/", "notification/", "socket/", "streams/", "tls/")

#: Reason: file: tests.
_REASONS: Final[dict[str, dict[str, set[str]]]] = {
    "A virtual host has no descriptors: none can be adopted, given away or looked at below.": {
        "async_socket/test_async_socket.py": {
            "test_attach_and_detach",
            "test_events_may_be_chosen",
            "test_running_out_of_descriptors_is_survived",
            "test_send_all_queues_behind_what_waits",
        },
        "notification/test_fd_write.py": {
            "test_success_of_send_all_nowait_never_arms",
        },
        "socket/test_families_and_adopting.py": {
            "test_a_descriptor_is_adopted_once",
            "test_adopted_bound_and_fresh",
            "test_adopted_listener",
            "test_adopted_pair",
            "test_an_adoption_that_fails_half_way_gives_the_descriptor_back",
            "test_detach",
        },
        "socket/test_options.py": {
            "test_small_buffers_are_not_handed_to_the_kernel",
        },
        "streams/test_stream_contract.py": {"test_streams_over_a_socketpair_keep_it_too"},
        "socket/test_states_and_codes.py": {
            "test_refused_and_again_the_new_descriptor_has_the_options",
        },
    },
    "A virtual host speaks IPv4 alone.": {
        "async_socket/test_async_socket.py": {"test_datagrams"},
        "socket/test_datagrams.py": {"test_ipv6", "test_port_unreachable_over_ipv6"},
        "socket/test_families_and_adopting.py": {
            "test_ipv6",
            "test_ipv6_codes",
            "test_ipv6_refused_and_again",
        },
    },
    "AF_UNIX: also for the only datagrams that meet a full peer, as UDP's are dropped.": {
        "socket/test_datagrams.py": {"test_full"},
        "socket/test_families_and_adopting.py": {
            "test_unix",
            "test_unix_connect_to_nobody",
            "test_unix_names_that_cannot_be",
            "test_unix_connect_cancelled_or_closed_while_it_waits",
            "test_unix_connect_under_way_is_notified",
            "test_unix_connect_waits_for_room_in_the_queue",
            "test_unix_connect_whose_listener_goes_is_refused",
        },
    },
    "No other process shares a virtual host's ports or its listeners.": {
        "notification/test_fd_accept.py": {
            "test_defer_accepting_asks_before_each_connection",
            "test_defer_accepting_ends_with_none",
        },
        "socket/test_options.py": {"test_address_of_a_foreign_process"},
    },
}


def _by_file() -> dict[str, frozenset[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for files in _REASONS.values():
        for file, names in files.items():
            found[file] |= names
    return {file: frozenset(names) for file, names in found.items()}


ON_THE_MACHINE: Final = _by_file()
