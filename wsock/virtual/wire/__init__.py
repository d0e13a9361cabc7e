"""Wire formats: bytes to records and back, for Ethernet, ARP, IPv4, ICMP and UDP.

A parser takes any bytes and returns a record or a :class:`Malformed`; it never raises. A builder
takes values that its caller has checked and returns bytes with the checksum in place.
"""
