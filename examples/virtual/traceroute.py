"""Ping and traceroute through three routers, and fragments on a narrow link.

    python -m examples.virtual.traceroute

Watch: traceroute finds each router by a packet whose time to live ends there. A large ping leaves
in fragments; the router before the narrow link (MTU 576) cuts them again, and only the last host
puts them together. The answer goes back in the same way.
"""

from __future__ import annotations

from wsock.virtual import Network


def main() -> None:
    """home - r1 - r2 = r3 - far, where = is narrow."""
    net = Network()
    home, *_, far = net.chain("home", "r1", "r2", "r3", "far", latency=0.010)
    net.mtu(576, net.media["r2-r3"])
    captures = {}

    async def run() -> None:
        print(await home.ping("far", count=2), "\n")
        print(await home.traceroute("far"), "\n")
        for text, host in (("leave", home), ("arrive", far)):
            captures[text] = net.capture(host)
        print(await home.ping("far", count=1, size=2000), "\n")

    net.run(run)
    for text, capture in captures.items():
        sizes = [len(packet.data) for packet in capture.filter("ip.src == 10.0.0.1")]
        print(f"fragments as they {text}: {', '.join(map(str, sizes))} bytes")
        print(capture.ladder(), end="\n\n")


if __name__ == "__main__":
    main()
