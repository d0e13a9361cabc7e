# Filter grammar: comparisons and logic of a display filter, by recursive descent.
#
#   operands   reads what stands on one side of a comparison
# > grammar    THIS FILE: comparisons and logic over it
#
# Rule: every method returns a test, a plain function of one record. Chains of ``and`` and ``or``
#       are flat; only parentheses nest, and their depth is bounded.
"""Comparisons and logic of display filters."""

from __future__ import annotations

import functools
import operator
import re
from typing import TYPE_CHECKING, Any, Final

from wsock._filters.operands import Operand, OperandParser, Test, Values
from wsock._filters.values import (
    FieldType,
    Order,
    equal_to_literal,
    full_address,
    in_range,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock._filters.tokens import Token

__all__ = ["Parser"]

#: Deeper nesting is a mistake or an attack; each level costs the parser several Python frames.
MAX_DEPTH: Final = 50

_ORDERS: Final[dict[str, Order]] = {
    "==": operator.eq, "!=": operator.eq, "===": operator.eq, "!==": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Parser(OperandParser):
    """Parses a whole filter: ``whole()`` returns its test."""

    depth = 0

    # -- logic

    def whole(self) -> Test:
        test = self.either()
        if self.now.kind != "end":
            hint = "; join two tests with 'and' or 'or'" if self.now.kind == "word" else ""
            self.fail(self.now, f"{self.name(self.now)} was not expected here{hint}")
        return test

    def either(self) -> Test:
        tests = [self.exclusive()]
        while self.at("||"):
            self.take()
            tests.append(self.exclusive())
        if len(tests) == 1:
            return tests[0]
        return lambda record: any(test(record) for test in tests)

    def exclusive(self) -> Test:
        tests = [self.both()]
        while self.at("^^"):
            self.take()
            tests.append(self.both())
        if len(tests) == 1:
            return tests[0]
        return lambda record: sum(test(record) for test in tests) % 2 == 1

    def both(self) -> Test:
        tests = [self.negation()]
        while self.at("&&"):
            self.take()
            tests.append(self.negation())
        if len(tests) == 1:
            return tests[0]
        return lambda record: all(test(record) for test in tests)

    def negation(self) -> Test:
        turned = False
        while self.at("!"):
            self.take()
            turned = not turned
        test = self.group() if self.at("(") else self.comparison()
        return (lambda record: not test(record)) if turned else test

    def group(self) -> Test:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(self.now, f"more than {MAX_DEPTH} parentheses inside each other")
        self.take()
        test = self.either()
        self.expect(")", "to close the group")
        self.depth -= 1
        return test

    # -- comparisons

    def comparison(self) -> Test:
        left = self.operand()
        tests: list[Test] = []
        while self.at(*_ORDERS, "contains", "~", "in") or self.at_not_in():
            turned = self.at("!")
            if turned:
                self.take()
            sign = self.take()
            if sign.text == "in":
                test = self.membership(left)
                tests.append(_negated(test, left) if turned else test)
                break
            right = self.operand()
            tests.append(self.compare(left, sign, right))
            left = right  # 1 < tcp.len < 5
        if tests:
            return tests[0] if len(tests) == 1 else lambda record: all(t(record) for t in tests)
        if left.kind is None:
            self.fail_literal(left.token)
        return left.present

    def at_not_in(self) -> bool:
        after = self.tokens[min(self.place + 1, len(self.tokens) - 1)]
        return self.at("!") and after.kind == "operator" and after.text == "in"

    def compare(self, left: Operand, sign: Token, right: Operand) -> Test:
        if sign.text in ("contains", "~"):
            return self.search(left, sign, right)
        if left.kind is None and right.kind is not None:
            mirrored = sign._replace(text=_MIRRORED.get(sign.text, sign.text))
            return self.compare(right, mirrored, left)
        if left.kind is None:
            self.fail_literal(left.token)
        order = _ORDERS[sign.text]
        if right.kind is not None:
            if not same(left.kind, right.kind):
                kinds = f"{left.kind.value} with {right.kind.value}"
                self.fail(right.token, f"these two cannot be compared: {kinds}")
            return _pairwise(left.values, right.values, order, sign.text)
        value = self.value(right.token, left.kind)
        if sign.text in _MIRRORED and left.kind is FieldType.ADDRESS:
            value = self.checked(right.token, left.kind, functools.partial(full_address, value))
        elif order in (operator.eq, operator.ne):
            order = _equality(left.kind, order)
        return _against(left.values, value, order, sign.text)

    def search(self, left: Operand, sign: Token, right: Operand) -> Test:
        """``contains`` and ``matches``: for text and bytes, with a literal at the right."""
        if left.kind is None:
            self.fail_literal(left.token)
        if left.kind not in (FieldType.STRING, FieldType.BYTES, FieldType.PROTOCOL):
            self.fail(sign, f"{self.name(sign)} needs text or bytes, and "
                      f"{self.name(left.token)} is a {left.kind.value}")  # fmt: skip
        if right.kind is not None:
            self.fail(right.token, f"{self.name(sign)} needs a literal at its right")
        if sign.text == "contains":
            part = self.value(right.token, left.kind)
            return lambda record: any(part in value for value in left.values(record))
        pattern = self.pattern(right.token, left.kind)
        return lambda record: any(pattern.search(value) for value in left.values(record))

    def pattern(self, token: Token, kind: FieldType) -> re.Pattern[Any]:
        # In a plain string only the quote's own escape is undone, as regex escapes are meant.
        source = token.text
        if token.kind == "string":
            source = self.text[token.start + 1 : token.end - 1].replace('\\"', '"')
        try:
            if kind is FieldType.STRING:
                return re.compile(source, re.IGNORECASE)
            return re.compile(source.encode("utf-8", "surrogateescape"), re.IGNORECASE)
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            self.fail(token, f"not a regular expression: {error}")

    def membership(self, left: Operand) -> Test:
        if left.kind is None:
            self.fail_literal(left.token)
        kind = left.kind
        self.expect("{", "to open a set")
        tests: list[Test] = []
        while True:
            first = self.literal_token()
            low = self.value(first, kind)
            if self.at(".."):
                self.take()
                last = self.literal_token()
                high = self.value(last, kind)
                tests.append(self.checked(last, kind, functools.partial(in_range, low, high, kind)))
            else:
                tests.append(functools.partial(_flipped, equal_to_literal(kind), low))
            if not self.at(","):
                break
            self.take()
        self.expect("}", "to close the set")
        return lambda record: any(t(value) for value in left.values(record) for t in tests)


def _flipped(equal: Order, literal: Any, value: Any) -> bool:  # noqa: ANN401
    return equal(value, literal)


def _negated(test: Test, left: Operand) -> Test:
    """``not in`` needs the field, as ``!=`` does."""
    return lambda record: bool(left.values(record)) and not test(record)


def _equality(kind: FieldType, order: Order) -> Order:
    equal = equal_to_literal(kind)
    return equal if order is operator.eq else lambda value, literal: not equal(value, literal)


def _joined(sign: str) -> Callable[[list[bool]], bool]:
    """How the answers for a field's several values make one."""
    if sign == "!=":
        return lambda found: bool(found) and not any(found)
    if sign == "===":
        return lambda found: bool(found) and all(found)
    return any


def _against(values: Values, literal: Any, order: Order, sign: str) -> Test:  # noqa: ANN401
    join = _joined(sign)
    return lambda record: join([order(value, literal) for value in values(record)])


def _pairwise(left: Values, right: Values, order: Order, sign: str) -> Test:
    join = _joined(sign)
    return lambda record: join([order(a, b) for a in left(record) for b in right(record)])
