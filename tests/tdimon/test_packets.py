"""Packets of the virtual network carry the rows that they caused."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from wsock import Stack
from wsock.tdi.addresses import pack
from wsock.tdimon.packets import comment_packets
from wsock.virtual.network import Network
from wsock.virtual.tdi_provider import VirtualProvider

if TYPE_CHECKING:
    from pathlib import Path

CLIENT, SERVER = "100.100.100.103", "100.100.100.105"


def test_each_packet_says_what_it_caused(tmp_path: Path) -> None:
    """The SYN causes TDI_EVENT_CONNECT, the SYN-ACK TDI_CONNECT, the ACK TDI_ACCEPT, and so on.

    What a program asks for is no packet's doing.
    """
    network = Network(seed=1)
    lan = network.segment("lan", "100.100.100.0/24", mtu=1492)
    hosts, stacks = [], []
    for name, address in (("client", CLIENT), ("server", SERVER)):
        host = network.host(name, lan, address, profile="windows2000")
        hosts.append(host)
        stacks.append(Stack(name, provider=VirtualProvider(host)))
    capture = network.capture(*hosts, merged=True)
    client, listener = (stack.open(socket.AF_INET, socket.SOCK_STREAM, 0) for stack in stacks)
    with comment_packets(capture, *stacks):
        listener.bind(pack(socket.AF_INET, (SERVER, 10000)))
        listener.listen(2)
        client.bind(pack(socket.AF_INET, (CLIENT, 100)))
        client.connect(pack(socket.AF_INET, (SERVER, 10000)))
        network.run_until_quiet()
        client.send(bytes(2000))
        network.run_until_quiet()
    comments = [
        (packet.interface, comment)
        for packet in sorted(capture.filter("tcp"), key=lambda packet: packet.number)
        for comment in packet.comments
        if comment.startswith("tdi: ")
    ]
    requests = [
        (interface, next(word for word in comment.split() if word.startswith(("TDI_", "IRP_"))))
        for interface, comment in comments
    ]
    assert requests == [
        ("server.eth0", "TDI_EVENT_CONNECT"),
        ("client.eth0", "TDI_CONNECT"),
        ("server.eth0", "TDI_ACCEPT"),
        ("server.eth0", "TDI_EVENT_RECEIVE"),
        ("server.eth0", "TDI_RECEIVE"),
        ("client.eth0", "TDI_SEND"),
    ]
    assert comments[0][1] == (
        "tdi: address TDI_EVENT_CONNECT TCP:100.100.100.105:10000 100.100.100.103:100 "
        "MORE_PROCESSING_REQUIRED"
    )
    assert len(capture.filter('frame.comment contains "TDI_EVENT_RECEIVE"')) == 1
    capture.save(tmp_path / "story.pcapng")
    assert b"tdi: connect TDI_CONNECT" in (tmp_path / "story.pcapng").read_bytes()
