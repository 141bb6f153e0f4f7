"""Tree: a TQ query as frozen values, the same for search, metrics and the conditions of alerts.

Takes   what `lake.search.parser` read, or what code puts together.
Gives   `Query`; equal queries are equal trees. `str(query)` is its canonical text (`lake.search.printer`).
Refuses nothing; `lake.search.checks` says which trees mean something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal as OneOf
from typing import TypeAlias

Scope: TypeAlias = OneOf["any", "span", "resource", "event", "link", "instrumentation", "parent", "intrinsic"]
"""Where a field is looked for; `any` is the attribute's own column, else the span, else its resource."""


@dataclass(frozen=True, slots=True)
class Node:
    """Any part of a query."""

    at: int = field(default=0, compare=False, repr=False, kw_only=True)
    """Where it stands in the text, from 0."""


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A value.

    Attributes:
        kind: a `duration` is its nanoseconds, a `size` its bytes; a `word` is one of the words of status and kind.
    """

    value: str | int | float | bool
    kind: OneOf["text", "number", "duration", "size", "bool", "word"]


@dataclass(frozen=True, slots=True)
class Field(Node):
    """An attribute, or an intrinsic by its canonical name (see `lake.search.fields`)."""

    scope: Scope
    key: str


@dataclass(frozen=True, slots=True)
class Parent(Node):
    """A field of the parent span."""

    field: Field


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """`-x`."""

    operand: Operand


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """`left op right`; op is one of + - * / % ^."""

    op: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """`count()`, or `avg`, `min`, `max` or `sum` of a number over the spans of a group; only in a pipeline."""

    function: str
    operand: Operand | None


Operand: TypeAlias = Literal | Field | Parent | Negative | Arithmetic | Aggregate


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`left op right`; op is one of `COMPARISONS`."""

    op: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class In(Node):
    """`operand [NOT] IN (items)`."""

    operand: Operand
    items: tuple[Literal, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Between(Node):
    """`operand [NOT] BETWEEN low AND high`, both included."""

    operand: Operand
    low: Literal
    high: Literal
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """`operand != nil`; negated: `operand = nil`."""

    operand: Operand
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Not(Node):
    """What does not hold, also where a field is missing."""

    part: Condition


@dataclass(frozen=True, slots=True)
class And(Node):
    """All parts hold; of no parts: always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or(Node):
    """One part holds; of no parts: never."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | In | Between | Exists | Not | And | Or
Predicate: TypeAlias = Comparison | In | Between | Exists


@dataclass(frozen=True, slots=True)
class Spanset(Node):
    """`{ condition }`: the spans on which the whole condition holds."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Both(Node):
    """`a && b`: the spans of all parts, in traces that have some of each."""

    parts: tuple[Spansets, ...]


@dataclass(frozen=True, slots=True)
class Either(Node):
    """`a || b`: the spans of all parts."""

    parts: tuple[Spansets, ...]


@dataclass(frozen=True, slots=True)
class Structural(Node):
    """`left op right`: the spans of the right that stand so to one of the left; op is one of `RELATIONS`, with `!` or `&`.

    With `!` those that stand so to none of the left; with `&` the spans of both sides.
    """

    op: str
    left: Spansets
    right: Spansets


Spansets: TypeAlias = Spanset | Both | Either | Structural


@dataclass(frozen=True, slots=True)
class Filter(Node):
    """`| count() > 3`: the groups whose aggregates compare so."""

    comparison: Comparison


@dataclass(frozen=True, slots=True)
class By(Node):
    """`| by(x)`: one group for each value; the spans without one are a group too."""

    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Coalesce(Node):
    """`| coalesce()`: all groups of a trace are one again."""


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`| select(x)`: fields to show of each span."""

    operands: tuple[Operand, ...]


Stage: TypeAlias = Spanset | Filter | By | Coalesce | Select


@dataclass(frozen=True, slots=True)
class Metric(Node):
    """`| rate() by(x) > 5`: a number for each step of time and each value of `by`.

    Attributes:
        operand: what is measured, None for `rate` and `count_over_time`.
        quantiles: 0 to 1, of `quantile_over_time` only.
        threshold: op and number: only points that compare so.
    """

    function: str
    operand: Operand | None = None
    quantiles: tuple[Literal, ...] = ()
    by: tuple[Operand, ...] = ()
    threshold: tuple[str, Literal] | None = None


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A whole query; a bare expression is a single spanset."""

    spansets: Spansets
    stages: tuple[Stage, ...] = ()
    metric: Metric | None = None

    def __str__(self) -> str:
        from .printer import text_of  # noqa: PLC0415 - the printer imports the tree

        return text_of(self)


EQUALITIES = ("=", "!=")
ORDERS = ("<", "<=", ">", ">=")
PATTERNS = ("=~", "!~", "LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE", "CONTAINS", "NOT CONTAINS")
COMPARISONS = (*EQUALITIES, *ORDERS, *PATTERNS)
OPPOSITES = {
    "!=": "=", "!~": "=~", "NOT LIKE": "LIKE", "NOT ILIKE": "ILIKE", "NOT CONTAINS": "CONTAINS",
}  # fmt: skip
"""A comparison that says no, and the one that it denies."""

RELATIONS = (">", "<", ">>", "<<", "~")
"""child, parent, descendant, ancestor, sibling: what the right side is to the left one."""


def children(node: Node) -> Iterator[Node]:
    """The parts of a node."""
    for place in fields(node):
        value = getattr(node, place.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Node):
                yield part


def walk(node: Node) -> Iterator[tuple[Node, int]]:
    """Every node under this one and itself, with its depth from 1; as deep as it may be."""
    left = [(node, 1)]
    while left:
        found, depth = left.pop()
        yield found, depth
        left.extend((part, depth + 1) for part in children(found))
