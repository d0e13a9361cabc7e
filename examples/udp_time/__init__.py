"""A time server over UDP and its client: ``python -m examples.udp_time PORT``."""
