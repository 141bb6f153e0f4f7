"""Printer: a tree as text, the same for equal trees; what it prints is read as the same tree.

Takes   any part of a query.
Gives   TraceQL with the words of TQ where TraceQL has none: `{ .service.name = "cart" && duration > 100ms } | count() > 2`.
Refuses nothing.
"""

from __future__ import annotations

import re
from functools import singledispatch

from .tree import (
    Aggregate,
    And,
    Arithmetic,
    Between,
    Both,
    By,
    Coalesce,
    Comparison,
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
    Or,
    Parent,
    Query,
    Select,
    Spanset,
    Structural,
)

_SCOPES = ("span", "resource", "event", "link", "instrumentation")
_NAME = re.compile(r"[^\W\d][\w.\-/:]*")
_DURATIONS = (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))
_SIZES = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10),
          ("kB", 10**3), ("B", 1))  # fmt: skip
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}

_STRENGTHS: tuple[tuple[type[Node], ...], ...] = ((Or, Either), (And, Both), (Not,), (Comparison, In, Between, Exists))
"""Nodes that need parentheses inside of those further down; arithmetic comes after them."""
_OPS = {"+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "^": 7}
_STRUCTURAL, _NEGATIVE, _ATOM = 4, 8, 9


@singledispatch
def text_of(node: object) -> str:
    """The canonical text of a node."""
    raise TypeError(f"a query has no {type(node).__name__}")


def _strength(node: Node) -> int:
    for strength, kinds in enumerate(_STRENGTHS):
        if isinstance(node, kinds):
            return _ATOM if isinstance(node, And | Or) and not node.parts else strength
    if isinstance(node, Structural):
        return _STRUCTURAL
    if isinstance(node, Arithmetic):
        return _OPS[node.op]
    is_negative = isinstance(node, Negative) or (isinstance(node, Literal) and text_of(node).startswith("-"))
    return _NEGATIVE if is_negative else _ATOM


def _inside(node: Node, least: int) -> str:
    """A part, in parentheses if what is around it would pull it apart."""
    text = text_of(node)
    return text if _strength(node) >= least else f"({text})"


@text_of.register
def _(node: Literal) -> str:
    if node.kind == "bool":
        return "true" if node.value else "false"
    if isinstance(node.value, str):
        return quoted(node.value) if node.kind == "text" else node.value
    if node.kind == "duration":
        return _with_unit(int(node.value), _DURATIONS)
    return _with_unit(int(node.value), _SIZES) if node.kind == "size" else repr(node.value)


def _with_unit(value: int, units: tuple[tuple[str, int], ...]) -> str:
    """A whole number of the largest unit that gives one."""
    unit, size = next((unit, size) for unit, size in units if value % size == 0) if value else units[-1]
    return f"{value // size}{unit}"


def quoted(text: str) -> str:
    """A text as it stands in a query."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'


@text_of.register
def _(node: Field) -> str:
    if node.scope == "intrinsic":
        return node.key
    return f"{'' if node.scope == 'any' else node.scope}.{_key(node.key)}"


def _key(key: str) -> str:
    return key if _NAME.fullmatch(key) else quoted(key)


@text_of.register
def _(node: Parent) -> str:
    key = node.field.key
    if node.field.scope == "any" and key.partition(".")[0] in _SCOPES:
        return f"parent.{quoted(key)}"  # it would be read as a scope
    return f"parent.{text_of(node.field).removeprefix('.')}"


@text_of.register
def _(node: Negative) -> str:
    return f"-{_inside(node.operand, _NEGATIVE)}"


@text_of.register
def _(node: Arithmetic) -> str:
    strength = _OPS[node.op]
    # a power takes no other power on either side; the others are read from left to right
    left = strength + 1 if node.op == "^" else strength
    return f"{_inside(node.left, left)} {node.op} {_inside(node.right, strength + 1)}"


@text_of.register
def _(node: Aggregate) -> str:
    return f"{node.function}({'' if node.operand is None else _number(node.operand)})"


def _number(node: Node) -> str:
    return _inside(node, _OPS["+"])


@text_of.register
def _(node: Comparison) -> str:
    return f"{_number(node.left)} {node.op} {_number(node.right)}"


@text_of.register
def _(node: In) -> str:
    return f"{_number(node.operand)} {'NOT IN' if node.negated else 'IN'} ({_list(node.items)})"


@text_of.register
def _(node: Between) -> str:
    op = "NOT BETWEEN" if node.negated else "BETWEEN"
    return f"{_number(node.operand)} {op} {text_of(node.low)} AND {text_of(node.high)}"


@text_of.register
def _(node: Exists) -> str:
    return f"{_number(node.operand)} {'=' if node.negated else '!='} nil"


@text_of.register
def _(node: Not) -> str:
    return f"NOT {_inside(node.part, 2)}"


@text_of.register
def _(node: And) -> str:
    return " && ".join(_inside(part, 2) for part in node.parts) or "true"


@text_of.register
def _(node: Or) -> str:
    return " || ".join(_inside(part, 1) for part in node.parts) or "false"


@text_of.register
def _(node: Spanset) -> str:
    text = text_of(node.condition)
    return "{ }" if text == "true" else f"{{ {text} }}"


@text_of.register
def _(node: Both) -> str:
    return " && ".join(_inside(part, _STRUCTURAL) for part in node.parts)


@text_of.register
def _(node: Either) -> str:
    return " || ".join(_inside(part, 1) for part in node.parts)


@text_of.register
def _(node: Structural) -> str:
    return f"{_inside(node.left, _STRUCTURAL)} {node.op} {_inside(node.right, _STRUCTURAL + 1)}"


@text_of.register
def _(node: Filter) -> str:
    return text_of(node.comparison)


@text_of.register
def _(node: By) -> str:
    return f"by({_list(node.operands)})"


@text_of.register
def _(_: Coalesce) -> str:
    return "coalesce()"


@text_of.register
def _(node: Select) -> str:
    return f"select({_list(node.operands)})"


@text_of.register
def _(node: Metric) -> str:
    operands = [node.operand] if node.operand is not None else []
    parts = [f"{node.function}({_list([*operands, *node.quantiles])})"]
    if node.by:
        parts.append(f"by({_list(node.by)})")
    if node.threshold is not None:
        op, value = node.threshold
        parts.append(f"{op} {text_of(value)}")
    return " ".join(parts)


@text_of.register
def _(node: Query) -> str:
    ends = () if node.metric is None else (node.metric,)
    return " | ".join(text_of(part) for part in (node.spansets, *node.stages, *ends))


def _list(nodes: tuple[Node, ...] | list[Node]) -> str:
    return ", ".join(_number(node) for node in nodes)
