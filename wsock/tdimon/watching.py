# Watching: which stacks and sockets write to which trace.
#
# > watching   watch, attach, detach        THIS FILE: plugs a tracer in, and out again
#   _stack     Stack.attach, detach         swaps the classes
#   ring       where records arrive
#
# Rule 1: several traces may watch one stack; each gets records of its own. The last one to leave
#         takes the hooks away.
# Rule 2: watching everything means every stack there is and every one that is made meanwhile.
"""Attaching traces to stacks, hosts, networks and single sockets."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from wsock import _stack
from wsock.tdimon.ring import CAPACITY, Fan, OneSocket
from wsock.tdimon.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsock._stack import Stack
    from wsock.tdi.trace import Tracer

__all__ = ["Attachment", "watch"]


class Attachment:
    """What one tracer watches; made empty.

    Args:
      tracer: who takes the records, usually a trace's ring.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        #: Stack and the tracer that was plugged into it, by the target that asked for it.
        self._hooks: dict[object, tuple[Stack, Tracer]] = {}
        self._everything = False
        self._networks: list[object] = []
        self._listening = False

    def attach(self, *targets: object) -> None:
        """Watch stacks, hosts, networks or sockets; without any, everything there is and will be.

        Of a network: also the hosts that it gets later, and those that are switched on again. Of
        one socket: its calls, what they cause, and the events of its objects; the other sockets of
        its stack are passed over.

        Raises:
          TypeError: one of them is none of these.
        """
        if not targets:
            self._everything = True
            targets = tuple(_stack.stacks)
        for target in targets:
            endpoint: Any = getattr(target, "_endpoint", None)
            if endpoint is not None:
                self._hook_socket(endpoint)
                continue
            for stack in _stacks_of(target):
                self._hook(stack)
            if _is_network(target):
                self._networks.append(target)
        if (self._everything or self._networks) and not self._listening:
            self._listening = True
            _stack.new_stack_hooks.append(self._new_stack)

    def _new_stack(self, stack: Stack) -> None:
        network = getattr(getattr(stack.provider, "host", None), "network", None)
        if self._everything or any(one is network for one in self._networks):
            self._hook(stack)

    def _hook(self, stack: Stack) -> None:
        if stack in self._hooks:
            return
        for key, (other, _) in list(self._hooks.items()):
            if other is stack:  # one of its sockets, which would be written twice now
                _leave(*self._hooks.pop(key))
        self._hooks[stack] = (stack, self._tracer)
        _join(stack, self._tracer)

    def _hook_socket(self, endpoint: Any) -> None:  # noqa: ANN401
        if endpoint not in self._hooks and endpoint.host not in self._hooks:
            self._hooks[endpoint] = (endpoint.host, OneSocket(self._tracer, endpoint))
            _join(*self._hooks[endpoint])

    def detach(self, *targets: object) -> None:
        """Watch these no longer; without any, nothing any more."""
        if not targets:
            self._everything = False
            self._networks.clear()
            for stack, tracer in self._hooks.values():
                _leave(stack, tracer)
            self._hooks.clear()
        for target in targets:
            endpoint = getattr(target, "_endpoint", None)
            self._networks = [one for one in self._networks if one is not target]
            for key in [endpoint] if endpoint is not None else list(_stacks_of(target)):
                if key in self._hooks:
                    _leave(*self._hooks.pop(key))
        if self._listening and not self._everything and not self._networks:
            self._listening = False
            _stack.new_stack_hooks.remove(self._new_stack)


def _is_network(target: object) -> bool:
    return hasattr(target, "hosts") and not isinstance(target, _stack.Stack)


def _stacks_of(target: Any) -> Iterator[Stack]:  # noqa: ANN401
    """Yield the stacks of a target, known by what it has: the virtual network is not imported."""
    if isinstance(target, _stack.Stack):
        yield target
    elif isinstance(getattr(target, "stack", None), _stack.Stack):
        yield target.stack
    elif _is_network(target):
        hosts = target.hosts
        for host in hosts.values() if hasattr(hosts, "values") else hosts:
            yield host.stack
    else:
        raise TypeError(f"{target!r} is no stack, host, network or socket")


def _join(stack: Stack, tracer: Tracer) -> None:
    others = _watching(stack)
    if others:
        stack.device.tracer = Fan(*others, tracer)
    else:
        stack.attach(tracer)


def _leave(stack: Stack, tracer: Tracer) -> None:
    others = tuple(one for one in _watching(stack) if one is not tracer)
    if not others:
        stack.detach()
    else:
        stack.device.tracer = others[0] if len(others) == 1 else Fan(*others)


def _watching(stack: Stack) -> tuple[Tracer, ...]:
    current = stack.device.tracer
    if current is None:
        return ()
    return current.tracers if isinstance(current, Fan) else (current,)


@contextlib.contextmanager
def watch(*targets: object, capacity: int = CAPACITY, payload_bytes: int = 0) -> Iterator[Trace]:
    """Watch stacks, hosts, networks or sockets while the block runs.

    ``with tdimon.watch() as trace:`` watches everything, also stacks that are made meanwhile. The
    trace can be read during the block and afterwards. Never a checkpoint; the program gives the
    same results with and without it.

    Args:
      targets: what to watch; nothing named means everything.
      capacity: how many records are kept.
      payload_bytes: how many of the bytes that a call moves are kept; none unless asked for.

    Raises:
      TypeError: a target is nothing that can be watched.
    """
    trace = Trace(capacity, payload_bytes)
    attachment = Attachment(trace.ring)
    try:
        attachment.attach(*targets)
        yield trace
    finally:
        attachment.detach()
