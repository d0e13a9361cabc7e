# Attachment: which stacks and sockets write to which tracer.
#
#   watching, Trace    watch, attach, detach
# > attachment         targets -> stacks         THIS FILE: plugs a tracer in, and out again
#   _stack             Stack.attach, detach      swaps the classes; _message_trace those of queues
#   ring               where records arrive
#
# Rule 1: several traces may watch one stack; each gets records of its own. The last one to leave
#         takes the hooks away.
# Rule 2: watching everything means every stack there is and every one that is made meanwhile.
"""Attaching tracers to stacks, hosts, networks and single sockets."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any, Final

from wsock import _message_trace, _stack
from wsock.tdimon.ring import Fan, OneSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsock._stack import Stack
    from wsock.tdi.trace import Tracer

__all__ = ["Attachment"]


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
          TypeError: one of them is none of these; nothing was attached then.
        """
        with _lock:
            # All are known before one is hooked: a wrong one leaves everything as it was.
            endpoints = [_endpoint_of(target) for target in targets]
            stacks = [
                list(_stacks_of(target)) if endpoint is None else []
                for target, endpoint in zip(targets, endpoints, strict=True)
            ]
            if not targets:
                self._everything = True
                stacks = [list(_stack.stacks)]
            for endpoint in endpoints:
                if endpoint is not None:
                    self._hook_socket(endpoint)
            for stack in itertools.chain.from_iterable(stacks):
                self._hook(stack)
            self._networks += [target for target in targets if _is_network(target)]
            self._settle()

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
        with _lock:
            if not targets:
                self._everything = False
                self._networks.clear()
                for stack, tracer in self._hooks.values():
                    _leave(stack, tracer)
                self._hooks.clear()
            for target in targets:
                endpoint = _endpoint_of(target)
                self._networks = [one for one in self._networks if one is not target]
                for key in [endpoint] if endpoint is not None else list(_stacks_of(target)):
                    if key in self._hooks:
                        _leave(*self._hooks.pop(key))
            self._settle()

    def _settle(self) -> None:
        """Hear of new stacks while some would be watched, see the queues while anything is."""
        open_ended = bool(self._everything or self._networks)
        if open_ended != self._listening:
            self._listening = open_ended
            if open_ended:
                _stack.new_stack_hooks.append(self._new_stack)
            else:
                _stack.new_stack_hooks.remove(self._new_stack)
        _message_trace.trace_queues(self, on=open_ended or bool(self._hooks))


#: Attaching and detaching happen in any thread: a caller at the door has one of its own.
_lock: Final = threading.RLock()


def _endpoint_of(target: Any) -> Any:  # noqa: ANN401
    """Return the endpoint of a socket, or of what has one (a SocketStream, an AsyncSocket)."""
    found = getattr(target, "_endpoint", None)
    return getattr(getattr(target, "socket", None), "_endpoint", None) if found is None else found


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
