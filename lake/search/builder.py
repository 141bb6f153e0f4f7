"""Builder: what the grammar found becomes a tree, rule by rule; lark calls it while it parses, so nothing recurses.

Takes   tokens and the trees of their parts.
Gives   a `Query`. Words of other languages become the ones of this: `==` is `=`, `IS NULL` is `= nil`.
Refuses literals that have no value (`9e999`, a duration beyond 292 years) and names that mean nothing: `Meaningless`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, cast

from lark import Token, Transformer

from . import fields
from .tree import (
    Aggregate,
    And,
    Arithmetic,
    Between,
    Both,
    By,
    Coalesce,
    Comparison,
    Condition,
    Either,
    Exists,
    Field,
    Filter,
    In,
    Literal,
    Metric,
    Negative,
    Node,
    Not,
    Operand,
    Or,
    Parent,
    Query,
    Scope,
    Select,
    Spanset,
    Spansets,
    Stage,
    Structural,
)

MAX_INTEGER = 2**63 - 1
"""Of a duration in nanoseconds and a size in bytes."""

_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
       "d": 86400 * 10**9}  # fmt: skip
_BYTES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
          "ki": 2**10, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip
_DURATION_PART = re.compile(r"([0-9.]+)([a-zµμ]+)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
_OPS = {"==": "=", "<>": "!="}


class Meaningless(Exception):
    """A part of a query that can be read and means nothing.

    Attributes:
        at: where it stands, from 0.
    """

    def __init__(self, at: int, problem: str) -> None:
        super().__init__(problem)
        self.at = at


class Nil(Node):
    """`nil`, until the comparison around it becomes `Exists`."""


Parts = list[Any]


class Builder(Transformer[Token, Query]):
    """One method for each rule of `grammar.lark`."""

    # values

    def text(self, parts: Parts) -> Literal:
        (token,) = parts
        return Literal(unescaped(token[1:-1]), "text", at=_at(token))

    def raw_text(self, parts: Parts) -> Literal:
        (token,) = parts
        return Literal(str(token[1:-1]), "text", at=_at(token))

    def number(self, parts: Parts) -> Literal:
        (token,) = parts
        if token.isdigit() and int(token) <= MAX_INTEGER:
            return Literal(int(token), "number", at=_at(token))
        value = float(token)
        if value == float("inf"):
            raise Meaningless(_at(token), f"{token} is beyond all numbers")
        return Literal(value, "number", at=_at(token))

    def duration(self, parts: Parts) -> Literal:
        (token,) = parts
        exact = sum(Fraction(number) * _NS[unit] for number, unit in _DURATION_PART.findall(token))
        return _whole(token, exact, "duration")

    def size(self, parts: Parts) -> Literal:
        (token,) = parts
        number = re.match("[0-9.]+", token)
        assert number is not None  # noqa: S101 - the terminal begins with it
        return _whole(token, Fraction(number[0]) * _BYTES[token[number.end() : -1]], "size")

    def bool(self, parts: Parts) -> Literal:
        (token,) = parts
        return Literal(token.lower() == "true", "bool", at=_at(token))

    def nil(self, parts: Parts) -> Nil:
        return Nil(at=_at(parts[0]))

    def word(self, parts: Parts) -> Literal:
        """A name in a list: it can only be a word."""
        found = self.name(parts)
        if not isinstance(found, Literal):
            raise Meaningless(found.at, f'{parts[0]} is no value: write "{parts[0]}"')
        return found

    # fields

    def name(self, parts: Parts) -> Literal | Field | Parent:
        (token,) = parts
        if token in fields.WORDS:
            return Literal(str(token), "word", at=_at(token))
        try:
            return fields.named(str(token), at=_at(token))
        except fields.UnknownField as error:
            raise Meaningless(_at(token), str(error)) from error

    def quoted_name(self, parts: Parts) -> Field | Parent:
        (token,) = parts
        quote = re.search("[\"']", token)
        assert quote is not None  # noqa: S101 - the terminal has one
        key, scopes = unescaped(token[quote.end() : -1]), token[: quote.start()].removesuffix(".").split(".")
        scope = cast("Scope", scopes[-1]) if scopes[-1] in fields.SCOPES else "any"
        if not key:
            raise Meaningless(_at(token), "an attribute has a name")
        found = Field(scope, key, at=_at(token))
        return Parent(found, at=_at(token)) if scopes[0] == "parent" else found

    def attr(self, parts: Parts) -> Field | Parent:
        (token,) = parts
        quoted = token[token.index("(") + 1 : -1].strip()
        return self.quoted_name([Token("QUOTED_NAME", f".{quoted}", start_pos=token.start_pos)])

    # numbers

    def arithmetic(self, parts: Parts) -> Arithmetic:
        left, op, right = parts
        return Arithmetic(str(op), _field(left), _field(right), at=_at(op))

    def negative(self, parts: Parts) -> Operand:
        minus, operand = parts
        if isinstance(operand, Literal) and not isinstance(operand.value, str | bool):
            return Literal(-operand.value, operand.kind, at=_at(minus))
        return Negative(_field(operand), at=_at(minus))

    # conditions

    def comparison(self, parts: Parts) -> Condition:
        left, op, right = parts
        op = _OPS.get(op, str(op))
        if isinstance(left, Nil):
            left, right = right, left
        if isinstance(right, Nil):
            if op not in ("=", "!="):
                raise Meaningless(right.at, "nil is compared with = or != only")
            return Exists(_field(left), op == "=", at=left.at)
        left = _field(left)
        return Comparison(op, left, _field(right) if isinstance(left, Literal) else right, at=left.at)

    def comparison_by_pattern(self, parts: Parts) -> Comparison:
        left, not_, op, right = parts
        return Comparison(f"{'NOT ' if not_ else ''}{op.upper()}", _field(left), right, at=left.at)

    def membership(self, parts: Parts) -> In:
        operand, not_, *items = parts
        return In(_field(operand), tuple(items), not_ is not None, at=operand.at)

    def between(self, parts: Parts) -> Between:
        operand, not_, low, high = parts
        return Between(_field(operand), low, high, not_ is not None, at=operand.at)

    def is_nil(self, parts: Parts) -> Exists:
        operand, not_, _ = parts
        return Exists(_field(operand), not_ is None, at=operand.at)

    def exists(self, parts: Parts) -> Exists:
        operand, not_ = parts if len(parts) > 1 else (parts[0], None)
        return Exists(_field(operand), not_ is not None, at=operand.at)

    def negation(self, parts: Parts) -> Not:
        part = parts[-1]
        return Not(condition(part), at=part.at)

    def conjunction(self, parts: Parts) -> And:
        return And(tuple(condition(part) for part in parts), at=parts[0].at)

    def disjunction(self, parts: Parts) -> Or:
        return Or(tuple(condition(part) for part in parts), at=parts[0].at)

    # spansets

    def spanset(self, parts: Parts) -> Spanset:
        return Spanset(condition(parts[0]) if parts else And(()), at=parts[0].at if parts else 0)

    def structural(self, parts: Parts) -> Structural:
        left, op, right = parts
        return Structural(str(op), left, right, at=_at(op))

    def both(self, parts: Parts) -> Both:
        return Both(tuple(parts), at=parts[0].at)

    def either(self, parts: Parts) -> Either:
        return Either(tuple(parts), at=parts[0].at)

    # pipeline

    def filter(self, parts: Parts) -> Filter:
        left, op, right = parts
        return Filter(Comparison(_OPS.get(op, str(op)), left, right, at=_at(op)), at=_at(op))

    def count(self, _: Parts) -> Aggregate:
        return Aggregate("count", None)

    def aggregate(self, parts: Parts) -> Aggregate:
        function, operand = parts
        return Aggregate(function.lower(), _field(operand), at=_at(function))

    def by(self, parts: Parts) -> By:
        return By(tuple(_field(part) for part in parts), at=parts[0].at)

    def select(self, parts: Parts) -> Select:
        return Select(tuple(_field(part) for part in parts), at=parts[0].at)

    def coalesce(self, _: Parts) -> Coalesce:
        return Coalesce()

    def stage(self, parts: Parts) -> Stage:
        return cast("Stage", parts[0])

    def measure(self, parts: Parts) -> Metric:
        function, *rest = parts
        quantiles = tuple(self.number([token]) for token in rest[1:])
        return Metric(function.lower(), _field(rest[0]) if rest else None, quantiles, at=_at(function))

    def grouping(self, parts: Parts) -> By:
        return self.by(parts)

    def threshold(self, parts: Parts) -> tuple[str, Literal]:
        op, value = parts
        return _OPS.get(op, str(op)), value

    def metric(self, parts: Parts) -> Metric:
        measure, *rest = parts
        by = next((part.operands for part in rest if isinstance(part, By)), ())
        threshold = next((part for part in rest if isinstance(part, tuple)), None)
        return Metric(measure.function, measure.operand, measure.quantiles, by, threshold, at=measure.at)

    def start(self, parts: Parts) -> Query:
        source, *rest = parts
        spansets = source if isinstance(source, Spansets) else Spanset(condition(source), at=source.at)
        metric = rest.pop() if rest and isinstance(rest[-1], Metric) else None
        return Query(spansets, tuple(rest), metric)


def condition(part: Node) -> Condition:
    """What stands where something must hold or not: a field alone must be true."""
    if isinstance(part, Condition):
        return part
    if isinstance(part, Literal) and part.kind == "bool":
        return And((), at=part.at) if part.value else Or((), at=part.at)
    found = _field(part)
    if not isinstance(found, Field | Parent):
        raise Meaningless(part.at, "here must stand what holds or not, such as duration > 100ms")
    return Comparison("=", found, Literal(True, "bool", at=part.at), at=part.at)


def unescaped(text: str) -> str:
    r"""The text that stands between quotes; `\d` and what else no escape is keeps its backslash, as regexes need it."""
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), text)


def _field(part: Any) -> Any:  # noqa: ANN401 - of any rule
    """A word where only a field can stand is a field: `error = true`."""
    if isinstance(part, Literal) and part.kind == "word":
        return Field("any", str(part.value), at=part.at)
    return part


def _whole(token: Token, exact: Fraction | int, kind: Any) -> Literal:  # noqa: ANN401 - of Literal
    if exact > MAX_INTEGER:
        raise Meaningless(_at(token), f"{token} is beyond what a {kind} can be")
    return Literal(int(exact), kind, at=_at(token))


def _at(token: Token) -> int:
    return token.start_pos or 0
