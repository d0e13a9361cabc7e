"""Captures: packets as a monitor on an interface sees them, parsed, drawn, and saved."""

from wsock.virtual.capture.capture import Capture
from wsock.virtual.capture.packet import CapturedPacket

__all__ = ["Capture", "CapturedPacket"]
