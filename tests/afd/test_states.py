"""The states of an endpoint: one literal table, and nothing beside it changes a state."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

import wsock
from tests.scripted import ScriptedProvider, Wire
from wsock.afd.states import TRANSITIONS, State, Trigger

STATES, TRIGGERS = set(get_args(State)), set(get_args(Trigger))
SOURCES = sorted(Path(wsock.__file__).parent.rglob("*.py"))


def test_the_table_is_a_literal_of_known_words() -> None:
    """Every state and every trigger appears; no other does."""
    assert {old for old, _ in TRANSITIONS} | set(TRANSITIONS.values()) == STATES
    assert {trigger for _, trigger in TRANSITIONS} == TRIGGERS


def test_every_state_can_be_reached_and_left_for_closed() -> None:
    """From OPEN to each state, and from each state to CLOSED, which nothing leaves."""
    for start, wanted in (("OPEN", STATES), *((state, {"CLOSED"}) for state in STATES)):
        seen, new = {start}, [start]
        while new:
            old = new.pop()
            for (source, _), target in TRANSITIONS.items():
                if source == old and target not in seen:
                    seen.add(target)
                    new.append(target)
        assert wanted <= seen, start
    assert all(old != "CLOSED" for old, _ in TRANSITIONS)


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("trigger", sorted(TRIGGERS))
def test_a_step_is_the_tables_or_a_fault(state: State, trigger: Trigger) -> None:
    """Where the table has no step, ``step`` raises and the state stays."""
    provider = ScriptedProvider(Wire(), "10.0.0.1")
    endpoint = wsock.Stack("host", provider=provider).open(2, 1, 0)
    endpoint.state = state
    if (state, trigger) in TRANSITIONS:
        endpoint.step(trigger)
        assert endpoint.state == TRANSITIONS[state, trigger]
    else:
        with pytest.raises(KeyError):
            endpoint.step(trigger)
        assert endpoint.state == state


def test_nothing_else_sets_a_state() -> None:
    """Of all the code above the transport, ``Endpoint.step`` alone assigns an endpoint's state."""
    layers = ("afd", "tdi", "kernel", "tdimon")
    found = [
        f"{path.name}:{function.name}"
        for path in SOURCES
        if path.parent.name in (*layers, "wsock")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and target.attr == "state"
    ]
    assert sorted(found) == ["endpoint.py:__init__", "endpoint.py:step"]
