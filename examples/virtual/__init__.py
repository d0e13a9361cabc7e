"""Lessons on a virtual network: every packet seen, any of them lost, in no time at all."""
