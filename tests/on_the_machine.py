# Which behaviour tests run on the machine's sockets alone.
#
# These adopt descriptors, use families or processes that a virtual host has not, look below with
# sockets of the standard library, or rely on a kernel's buffers, urgent byte or order of events.
# What a virtual host does there has tests of its own in tests/virtual. Every other test of the
# folders notification and socket that takes a provider runs on a virtual host, too.
"""Tests that need the machine's sockets."""

from __future__ import annotations

from typing import Final

ON_THE_MACHINE: Final[dict[str, frozenset[str]]] = {
    "notification/test_fd_accept.py": frozenset(
        {
            "test_defer_accepting_asks_before_each_connection",
            "test_defer_accepting_ends_with_none",
            "test_reports_data_that_came_before_accept",
        }
    ),
    "notification/test_fd_close.py": frozenset(
        {
            "test_shutdown_of_receiving_resets_on_data",
            "test_shutdown_of_receiving_with_data_unread",
        }
    ),
    "notification/test_fd_connect.py": frozenset(
        {
            "test_refused",
        }
    ),
    "notification/test_fd_oob.py": frozenset(
        {
            "test_each_urgent_byte_that_was_read_makes_room_for_the_next",
            "test_inline_urgent_data_is_read",
            "test_recv_past_the_mark_keeps_the_urgent_byte",
            "test_second_urgent_byte_before_recv",
            "test_urgent_byte_apart_from_normal_data",
        }
    ),
    "notification/test_fd_write.py": frozenset(
        {
            "test_success_of_send_all_nowait_never_arms",
        }
    ),
    "notification/test_hints.py": frozenset(
        {
            "test_close",
            "test_urgent",
            "test_write_is_owed",
        }
    ),
    "socket/test_cancelled_elsewhere.py": frozenset(
        {
            "test_open_tcp_stream",
            "test_sendto",
        }
    ),
    "socket/test_datagrams.py": frozenset(
        {
            "test_full",
            "test_ipv6",
            "test_watchers_look_and_take_nothing",
        }
    ),
    "socket/test_families_and_adopting.py": frozenset(
        {
            "test_a_descriptor_is_adopted_once",
            "test_adopted_bound_and_fresh",
            "test_adopted_listener",
            "test_adopted_pair",
            "test_an_adoption_that_fails_half_way_gives_the_descriptor_back",
            "test_detach",
            "test_ipv6",
            "test_ipv6_codes",
            "test_ipv6_refused_and_again",
            "test_unix",
            "test_unix_connect_cancelled_or_closed_while_it_waits",
            "test_unix_connect_under_way_is_notified",
            "test_unix_connect_waits_for_room_in_the_queue",
            "test_unix_connect_whose_listener_goes_is_refused",
        }
    ),
    "socket/test_options.py": frozenset(
        {
            "test_address_of_a_foreign_process",
            "test_booleans",
            "test_rebinding_past_time_wait",
            "test_small_buffers_are_not_handed_to_the_kernel",
            "test_two_binders_that_share_both_listen",
        }
    ),
    "socket/test_states_and_codes.py": frozenset(
        {
            "test_a_task_for_each_client",
            "test_listen_on_a_connected_socket",
            "test_refused_and_again_on_the_same_socket",
            "test_send_waits_until_the_peer_reads",
        }
    ),
    "socket/test_threads.py": frozenset(
        {
            "test_before_and_after_a_run_any_thread_may_call",
        }
    ),
    "socket/test_waiting_calls.py": frozenset(
        {
            "test_a_socket_that_waited_needs_no_collector",
            "test_cancelled_connect_closes",
            "test_close_drops_what_a_waiting_send_had_left",
            "test_close_wakes_accept_connect_and_recvfrom",
            "test_close_wakes_who_waits",
            "test_connect_states",
            "test_recv_that_need_not_wait_never_does",
            "test_second_waiter_is_refused",
            "test_send_and_accept_time_out",
            "test_send_cancelled_before_the_first_byte",
            "test_tasks_in_line",
        }
    ),
}
