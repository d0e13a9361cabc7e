"""TDI_ASSOCIATE_ADDRESS and TDI_DISASSOCIATE_ADDRESS: the two requests that can fail by state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.scripted import ScriptedProvider, Wire, at
from wsock import Stack
from wsock.tdi import Status, StatusError
from wsock.tdimon import Trace

if TYPE_CHECKING:
    from wsock.tdi import AddressObject, Device


@pytest.fixture
def trace() -> Trace:
    return Trace()


@pytest.fixture(params=[False, True], ids=["plain", "traced"])
def device(request: pytest.FixtureRequest, trace: Trace) -> Device:
    stack = Stack("host", provider=ScriptedProvider(Wire(), "10.0.0.1"))
    if request.param:
        stack.attach(trace.ring)
    return stack.device


def an_address(device: Device, port: int) -> AddressObject:
    address = device.open_address(device.provider.open(2, 1, 0), 6, 2)
    address.create(at("10.0.0.1", port))
    return address


def failures(trace: Trace) -> list[tuple[str, str, str]]:
    rows = [(row.request, row.result, row.detail) for row in trace.rows("host")]
    return [row for row in rows if row[1] != "SUCCESS"]


def test_a_second_association_is_an_invalid_parameter(device: Device, trace: Trace) -> None:
    """The connection keeps the address that it has; the trace shows what was asked, and the answer.

    Source: the page of TDI_ASSOCIATE_ADDRESS.
    """
    first, second = an_address(device, 100), an_address(device, 200)
    connection = device.open_connection(0)
    connection.associate(first)
    for address in (second, first):
        with pytest.raises(StatusError) as caught:
            connection.associate(address)
        assert caught.value.status == Status.INVALID_PARAMETER
        assert connection.address is first
    if device.tracer is not None:
        assert failures(trace) == [
            ("TDI_ASSOCIATE_ADDRESS", "INVALID_PARAMETER", f"TCP:10.0.0.1:{port}")
            for port in (200, 100)
        ]


def test_disassociating_without_an_address_is_an_invalid_connection(
    device: Device, trace: Trace
) -> None:
    """Before the first association, and after a disassociation; then it can be associated again.

    Source: the page of TDI_DISASSOCIATE_ADDRESS.
    """
    address = an_address(device, 100)
    connection = device.open_connection(0)
    for _ in range(2):
        with pytest.raises(StatusError) as caught:
            connection.disassociate()
        assert caught.value.status == Status.INVALID_CONNECTION
        connection.associate(address)
        assert connection.address is address
        connection.disassociate()
        assert connection.address is None
    if device.tracer is not None:
        assert failures(trace) == [("TDI_DISASSOCIATE_ADDRESS", "INVALID_CONNECTION", "")] * 2
