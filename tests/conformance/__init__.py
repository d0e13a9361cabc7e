"""Scenarios in a small language, transcripts of a real Winsock, and the interpreter of both."""
