"""Winsock's I/O models for Python on Trio."""
