"""The virtual network: hosts, links and a TCP/IP of its own inside one process."""
