"""Textbook Winsock programs, ported line by line; the C text stands beside the calls."""
