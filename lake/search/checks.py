"""Checks: which trees mean something; the grammar alone would let a text be added to a condition.

Takes   a tree within the limits of depth, and the text it was read from.
Gives   nothing.
Refuses comparisons of what cannot be compared, regexes that RE2 does not take, aggregates of texts: `Meaningless`, with the
        position and what to write instead.
"""

from __future__ import annotations

import re
import threading
from functools import cache, lru_cache

import duckdb

from . import fields
from .builder import Meaningless, Nil
from .fields import INTRINSICS
from .tree import (
    ORDERS,
    PATTERNS,
    Aggregate,
    Arithmetic,
    Between,
    By,
    Comparison,
    Exists,
    Field,
    Filter,
    In,
    Literal,
    Metric,
    Negative,
    Node,
    Operand,
    Parent,
    Query,
    Select,
    walk,
)

MAX_REGEX_CHARACTERS = 512

_MARKED = re.compile(r"[.\"']|attr\s*\(", re.IGNORECASE)
"""How a field begins that says of itself that it is one."""


def check(query: Query, text: str) -> None:
    """
    Raises:
        Meaningless: some part of the query means nothing.
    """
    for node, _ in walk(query):
        if isinstance(node, Comparison):
            _check_comparison(node, text)
        elif isinstance(node, In):
            for item in node.items:
                _check_pair("=", node.operand, item, text)
        elif isinstance(node, Between):
            _check_pair(">=", node.operand, node.low, text)
            _check_pair("<=", node.operand, node.high, text)
        elif isinstance(node, Exists):
            _check_one_list([node.operand])
            if not _has_field(node.operand):
                raise Meaningless(node.at, "only a field can be missing")
        elif isinstance(node, Arithmetic):
            _check_number(node.left)
            _check_number(node.right)
        elif isinstance(node, Negative):
            _check_number(node.operand)
        elif isinstance(node, Aggregate | Metric):
            _check_measured(node)
        elif isinstance(node, By | Select):
            _check_fields(node.operands)
        elif isinstance(node, Filter) and not _has_aggregate(node.comparison):
            raise Meaningless(node.at, "compare count(), avg(), min(), max() or sum() with a number")


def _check_comparison(node: Comparison, text: str) -> None:
    _check_pair(node.op, node.left, node.right, text)
    if node.op in ("=~", "!~"):
        assert isinstance(node.right, Literal)  # noqa: S101 - the pair was checked
        check_regex(str(node.right.value), node.right.at)


def _check_pair(op: str, left: Operand, right: Operand, text: str) -> None:
    """Whether two operands can be compared so."""
    kinds = _type(left), _type(right)
    if not isinstance(left, Literal) and isinstance(right, Field) and right.scope == "any" and _is_bare(right, text):
        raise Meaningless(
            right.at, f'{right.key} is no value: write "{right.key}" for a text, .{right.key} for an attribute'
        )
    if op in PATTERNS:
        if not (isinstance(right, Literal) and right.kind == "text"):
            raise Meaningless(right.at, f"{op} is followed by a text in quotes")
        if kinds[0] == "number":
            raise Meaningless(left.at, f"{op} is for texts, and this is a number")
    if "condition" in kinds or "nil" in kinds:
        wrong = (left, right)[kinds[0] not in ("condition", "nil")]
        raise Meaningless(wrong.at, "a comparison is between fields, values and numbers")
    if "number" in kinds and not {"text", "word", "bool"}.isdisjoint(kinds):
        wrong = (left, right)[kinds[0] == "number"]
        raise Meaningless(wrong.at, "a number is compared with a number, a duration such as 100ms or a size such as 4MB")
    if op in ORDERS and not {"word", "bool"}.isdisjoint(kinds):
        raise Meaningless(left.at, f"status, kind, true and false have no order: compare with = or !=, not {op}")
    if not (_has_field(left) or _has_field(right) or _has_aggregate(left) or _has_aggregate(right)):
        raise Meaningless(left.at, "one side of a comparison is a field")
    _check_one_list([left, right])
    if op not in PATTERNS:
        _check_word(left, right)
        _check_word(right, left)


def _check_word(side: Operand, other: Operand) -> None:
    """A typing error in a status would find nothing without a word."""
    words = INTRINSICS[side.key].words if isinstance(side, Field) and side.scope == "intrinsic" else ()
    if not words or not isinstance(other, Literal) or other.value in words:
        return
    if isinstance(side, Field) and side.key == "kind" and str(other.value).isdigit():
        return  # a kind that the specification does not have yet
    assert isinstance(side, Field)  # noqa: S101 - it has words
    raise Meaningless(other.at, f"{side.key} is one of {', '.join(words)}")


def _check_number(operand: Operand) -> None:
    if _type(operand) not in ("number", "any"):
        raise Meaningless(operand.at, "arithmetic is done with numbers and attributes")


def _check_measured(node: Aggregate | Metric) -> None:
    if node.operand is not None:
        if _type(node.operand) not in ("number", "any") or not _has_field(node.operand):
            raise Meaningless(node.operand.at, f"{node.function} is of a field with numbers, such as duration")
        _check_no_list(node.operand)
    if isinstance(node, Aggregate):
        return
    _check_fields(node.by)
    for quantile in node.quantiles:
        if not 0 <= float(quantile.value) <= 1:
            raise Meaningless(quantile.at, "a quantile is from 0 to 1")
    if node.threshold is not None:
        op, value = node.threshold
        if op in PATTERNS or not isinstance(value, Literal) or isinstance(value.value, str | bool):
            raise Meaningless(node.at, "the points of a metric are compared with a number or a duration")


def _check_fields(operands: tuple[Operand, ...]) -> None:
    for operand in operands:
        if not _has_field(operand) or _type(operand) == "condition":
            raise Meaningless(operand.at, "by and select take fields")
        _check_no_list(operand)


def _check_no_list(operand: Operand) -> None:
    for node, _ in walk(operand):
        if isinstance(node, Field) and fields.list_of(node):
            raise Meaningless(node.at, "a span can have many events and links: this is for what it has once")


def _check_one_list(operands: list[Operand]) -> None:
    found = [node for operand in operands for node, _ in walk(operand) if isinstance(node, Field) and fields.list_of(node)]
    if len({fields.list_of(node) for node in found}) > 1:
        raise Meaningless(found[-1].at, "one comparison is about events or about links, not both")
    for operand in operands:
        for node, _ in walk(operand):
            if isinstance(node, Parent) and fields.list_of(node.field):
                raise Meaningless(node.at, "events and links of a parent cannot be asked for")


def _type(operand: Node) -> str:
    """number, text, word, bool, any; condition or nil where no operand should be."""
    if isinstance(operand, Literal):
        return operand.kind if operand.kind in ("text", "word", "bool") else "number"
    if isinstance(operand, Field | Parent):
        return fields.type_of(operand)
    if isinstance(operand, Negative | Arithmetic | Aggregate):
        return "number"
    return "nil" if isinstance(operand, Nil) else "condition"


def _has_field(operand: Node) -> bool:
    return any(isinstance(node, Field) for node, _ in walk(operand))


def _has_aggregate(operand: Node) -> bool:
    return any(isinstance(node, Aggregate) for node, _ in walk(operand))


def _is_bare(field: Field, text: str) -> bool:
    return "." not in field.key and not _MARKED.match(text, field.at)


def check_regex(regex: str, at: int = 0) -> None:
    """
    Raises:
        Meaningless: it is longer than 512 characters, or RE2 does not take it.
    """
    if len(regex) > MAX_REGEX_CHARACTERS:
        raise Meaningless(at, f"a regex has at most {MAX_REGEX_CHARACTERS} characters")
    problem = _regex_problem(regex)
    if problem:
        raise Meaningless(at, f"this regex cannot be (the syntax is RE2's): {problem}")


@lru_cache(maxsize=256)
def _regex_problem(regex: str) -> str | None:
    try:
        with _LOCK:
            _engine().execute("SELECT regexp_full_match('', $regex)", {"regex": regex}).fetchall()
    except duckdb.Error as error:
        return str(error).removeprefix("Invalid Input Error: ")
    return None


_LOCK = threading.Lock()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """Who reads regexes: the one that will run them."""
    return duckdb.connect(":memory:", config={"threads": 1})
