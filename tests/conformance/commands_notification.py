# Commands of a scenario: selections, event objects, waits.
"""One function for each command on notification."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wsock import win32 as w

from . import language
from .language import error_name, number, result, truth

if TYPE_CHECKING:
    from .names import Names

_UNTOUCHED = 77777


def select_events(names: Names, name: str, event: str, mask: str) -> str:
    return result(w.WSAEventSelect(names.handle(name), names.event(event), language.events(mask)))


def enumerate_events(names: Names, name: str, event: str) -> str:
    found = w.WSANETWORKEVENTS()
    found.iErrorCode[:] = [_UNTOUCHED] * len(found.iErrorCode)
    done = w.WSAEnumNetworkEvents(names.handle(name), names.event(event), found)
    if done != 0:
        return result(done)
    parts, touched = [], False
    for bit, (label, value) in enumerate(language.EVENTS.items()):
        if found.lNetworkEvents & value:
            parts.append(f"{label}:{error_name(found.iErrorCode[bit])}")
        elif found.iErrorCode[bit] != _UNTOUCHED:
            touched = True
    return " ".join(["0", *(parts or ["none"]), *(["other-codes-touched"] if touched else [])])


def _made(names: Names, name: str, handle: int) -> str:
    if not handle:
        return f"WSA_INVALID_EVENT {error_name(w.WSAGetLastError())}"
    names.events[name] = handle
    return "ok"


def wsa_create_event(names: Names, name: str) -> str:
    return _made(names, name, w.WSACreateEvent())


def create_event(names: Names, name: str, reset: str, state: str) -> str:
    return _made(names, name, w.CreateEvent(None, reset == "manual", state == "set", None))


def set_event(names: Names, name: str) -> str:
    return truth(w.WSASetEvent(names.event(name)))


def reset_event(names: Names, name: str) -> str:
    return truth(w.WSAResetEvent(names.event(name)))


def close_event(names: Names, name: str) -> str:
    return truth(w.WSACloseEvent(names.event(name)))


def wait(names: Names, how: str, ms: str, *events: str) -> str:
    handles: list[int | None] = []
    for word in events:
        repeated = re.fullmatch(r"(\d+)\*(\S+)", word)
        count, name = (int(repeated[1]), repeated[2]) if repeated else (1, word)
        handles += [names.event(name)] * count
    timeout = w.WSA_INFINITE if ms == "inf" else number(ms)
    done = w.WSAWaitForMultipleEvents(len(handles), handles, how == "all", timeout, False)
    if done == w.WSA_WAIT_TIMEOUT:
        return "WSA_WAIT_TIMEOUT"
    if done == w.WSA_WAIT_FAILED:
        return f"WSA_WAIT_FAILED {error_name(w.WSAGetLastError())}"
    return f"WSA_WAIT_EVENT_0+{done - w.WSA_WAIT_EVENT_0}"


COMMANDS = {
    "WSAEventSelect": select_events,
    "WSAEnumNetworkEvents": enumerate_events,
    "WSACreateEvent": wsa_create_event,
    "CreateEvent": create_event,
    "WSASetEvent": set_event,
    "WSAResetEvent": reset_event,
    "WSACloseEvent": close_event,
    "WSAWaitForMultipleEvents": wait,
}
