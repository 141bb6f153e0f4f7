"""Conditions: what must hold on one span, as SQL over its columns.

Takes   conditions, and where the fields of a lake stand (`lake.search.fields.Columns`).
Gives   SQL that is true where the condition holds and false or null elsewhere; what it compares with is bound.
Refuses nothing; `lake.search.checks` did.

A comparison with a field that is missing is null in SQL. AND and OR treat null as they treat false as long as only truth
counts, so null must become false under NOT alone, and `service_name = $v1` stays what Parquet's statistics can rule out.

What follows from one row without the rest of its trace (`of_row`) finds candidates: it is true wherever the whole condition
is, and null where nothing can be said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .fields import Columns, Value, is_of_span, list_of
from .tree import (
    OPPOSITES,
    ORDERS,
    And,
    Arithmetic,
    Between,
    Comparison,
    Condition,
    Exists,
    Field,
    In,
    Literal,
    Negative,
    Node,
    Not,
    Operand,
    Or,
    Parent,
    Predicate,
    walk,
)
from .values import Values

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_EXACT_INTEGER = 2**53
"""Beyond it not every integer is a DOUBLE, and two that differ could be equal."""


def fields_of(node: Node) -> Iterable[Field | Parent]:
    """Every field of a part of a query; of a field of the parent the whole of it."""
    inner = {id(found.field) for found, _ in walk(node) if isinstance(found, Parent)}
    return [found for found, _ in walk(node) if isinstance(found, Field | Parent) and id(found) not in inner]


class Conditions:
    """SQL for one statement over a relation `s` of spans, and `p` of their parents where a query asks for them."""

    def __init__(self, columns: Columns, values: Values) -> None:
        self._columns = columns
        self._values = values

    def sql(self, condition: Condition) -> str:
        """True where the condition holds."""
        if isinstance(condition, And | Or):
            word, empty = (" AND ", "true") if isinstance(condition, And) else (" OR ", "false")
            parts = sorted(condition.parts, key=self._cost)
            return f"({word.join(map(self.sql, parts))})" if parts else empty
        if isinstance(condition, Not):
            return f"({self.sql(condition.part)}) IS NOT TRUE"
        return self._predicate(condition)

    def of_row(self, condition: Condition) -> str | None:
        """True at least where the condition holds, from what one row has; None if that is everywhere."""
        if isinstance(condition, And):
            parts = [self.of_row(part) for part in sorted(condition.parts, key=self._cost)]
            known = [part for part in parts if part is not None]
            return f"({' AND '.join(known)})" if known else None
        if isinstance(condition, Or) and condition.parts:
            parts = [self.of_row(part) for part in condition.parts]
            known = [part for part in parts if part is not None]
            return f"({' OR '.join(known)})" if len(known) == len(parts) else None
        return self.sql(condition) if all(map(is_of_span, fields_of(condition))) else None

    def number(self, operand: Operand) -> str:
        """An operand as DOUBLE, null where it is no number."""
        value = self.value(operand)
        cast = "CAST" if value.type == "number" or value.is_whole else "TRY_CAST"
        return f"{cast}({value.sql} AS DOUBLE)"

    def text(self, operand: Operand) -> str:
        """An operand as text."""
        value = self.value(operand)
        return f"CAST({value.sql} AS VARCHAR)" if value.type == "number" or value.is_whole else value.sql

    def value(self, operand: Operand) -> Value:
        """An operand as what it is."""
        if isinstance(operand, Field | Parent):
            return self._columns.value(operand, self._values.bind)
        if isinstance(operand, Literal):
            if isinstance(operand.value, bool):
                return Value(self._values.bind("true" if operand.value else "false"), "text")
            return Value(self._values.bind(operand.value), "text" if isinstance(operand.value, str) else "number")
        if isinstance(operand, Negative):
            return Value(f"(-{self.number(operand.operand)})", "number")
        if isinstance(operand, Arithmetic):
            return Value(self._arithmetic(operand), "number")
        raise TypeError("an aggregate has no value on one span")

    def _arithmetic(self, node: Arithmetic) -> str:
        left, right = self.number(node.left), self.number(node.right)
        if node.op == "^":
            return f"pow({left}, {right})"
        if node.op in "/%":
            right = f"nullif({right}, 0)"  # what is divided by 0 has no value
        return f"({left} {node.op} {right})"

    def _predicate(self, node: Predicate) -> str:
        lists = {name for name in map(list_of, fields_of(node)) if name}
        if not lists:
            return self._plain(node)
        (name,) = lists
        if isinstance(node, Exists):
            found = self._some(name, self._exists(node.operand))
            return f"NOT {found}" if node.negated else found
        denied = _denied(node)
        if denied is None:
            return self._some(name, self._plain(node))
        # some element has the field, and none is like that
        present = " AND ".join(self._exists(operand) for operand in _operands(node))
        return f"({self._some(name, present)} AND NOT {self._some(name, self._plain(denied))})"

    def _some(self, name: str, condition: str) -> str:
        return f"(len(list_filter(coalesce(s.{name}, []), lambda e: {condition})) > 0)"

    def _exists(self, operand: Operand) -> str:
        return f"{self.value(operand).sql} IS NOT NULL"

    def _plain(self, node: Predicate) -> str:
        """A predicate of values that a span, or an element `e` of a list, has once."""
        if isinstance(node, Exists):
            return f"{self.value(node.operand).sql} IS {'' if node.negated else 'NOT '}NULL"
        if isinstance(node, In):
            return self._in(node)
        if isinstance(node, Between):
            inside = f"({self._compared('>=', node.operand, node.low)} AND {self._compared('<=', node.operand, node.high)})"
            return f"NOT {inside}" if node.negated else inside
        return self._compared(node.op, node.left, node.right)

    def _in(self, node: In) -> str:
        value = self.value(node.operand)
        if not node.items:
            return "false"
        if not value.is_whole and all(isinstance(item.value, str) for item in node.items):
            listed = ", ".join(self._values.bind(item.value) for item in node.items)
            return f"{value.sql} {'NOT IN' if node.negated else 'IN'} ({listed})"
        found = " OR ".join(self._compared("=", node.operand, item) for item in node.items)
        return f"({value.sql} IS NOT NULL AND ({found}) IS NOT TRUE)" if node.negated else f"({found})"

    def _compared(self, op: str, left: Operand, right: Operand) -> str:
        if isinstance(left, Literal) and not isinstance(right, Literal):
            return self._compared(_TURNED.get(op, op), right, left)
        if op not in ("=", "!=", *ORDERS):
            return self._matched(op, self.text(left), self.text(right))
        if isinstance(right, Literal):
            if isinstance(right.value, str | bool):
                return self._with_text(op, left, right)
            return self._with_number(op, left, right)
        return self._with_field(op, left, right)

    def _matched(self, op: str, text: str, pattern: str) -> str:
        match op.removeprefix("NOT "):
            case "=~":
                return f"regexp_full_match({text}, {pattern})"
            case "!~":
                return f"NOT regexp_full_match({text}, {pattern})"
            case "CONTAINS":
                return f"{'NOT ' if op != 'CONTAINS' else ''}contains({text}, {pattern})"
            case like:
                return f"{text} {'NOT ' if op != like else ''}{like} {pattern}"

    def _with_text(self, op: str, left: Operand, right: Literal) -> str:
        text = f"{self.text(left)} {op} {self.value(right).sql}"
        if op in ORDERS and _NUMBER.fullmatch(str(right.value)):
            # an order of numbers where both are; as texts 9 would come after 10
            return f"coalesce({self.number(left)} {op} {self._values.bind(float(str(right.value)))}, {text})"
        return text

    def _with_number(self, op: str, left: Operand, right: Literal) -> str:
        value = self.value(left)
        number = self.value(right).sql
        if value.type == "number" or value.is_whole:
            return f"{value.sql} {op} {number}"
        if right.kind == "number":
            text = f"{value.sql} {op} {self._values.bind(str(right.value))}"
            if op in ("=", "!=") and isinstance(right.value, int) and abs(right.value) > _EXACT_INTEGER:
                return text
            return f"coalesce({self.number(left)} {op} {number}, {text})"
        return f"{self.number(left)} {op} {number}"

    def _with_field(self, op: str, left: Operand, right: Operand) -> str:
        values = self.value(left), self.value(right)
        numbers = f"{self.number(left)} {op} {self.number(right)}"
        if all(value.type == "number" or value.is_whole for value in values):
            return f"{values[0].sql} {op} {values[1].sql}"
        if "number" in (values[0].type, values[1].type):
            return numbers
        return f"coalesce({numbers}, {self.text(left)} {op} {self.text(right)})"

    def _cost(self, condition: Condition) -> int:
        """A rank by what has to be read: columns, then texts of maps, then lists."""
        needed = {name for found in fields_of(condition) for name in self._columns.needed(found)}
        return sum(_COSTS.get(name, 1) for name in needed)


_COSTS = {"attributes": 100, "resource_attributes": 50, "scope_attributes": 20, "events": 200, "links": 100}


def _denied(node: Predicate) -> Predicate | None:
    """The predicate that this one is the NOT of, for a field that is there."""
    if isinstance(node, Comparison) and node.op in OPPOSITES:
        return Comparison(OPPOSITES[node.op], node.left, node.right)
    if isinstance(node, In) and node.negated:
        return In(node.operand, node.items)
    if isinstance(node, Between) and node.negated:
        return Between(node.operand, node.low, node.high)
    return None


def _operands(node: Predicate) -> list[Operand]:
    if isinstance(node, Comparison):
        return [operand for operand in (node.left, node.right) if not isinstance(operand, Literal)]
    return [node.operand]
