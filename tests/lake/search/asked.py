"""Asked: queries together with what they mean, as functions over sent spans.

Takes   a source of randomness.
Gives   `Asked`: the text of a query, and which spans of a trace it is about. Neither parser nor tree of the language is
        used here, so that a mistake of theirs cannot hide itself.
Refuses nothing.
"""

from __future__ import annotations

import operator
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.lake.search.sent import MS, Attributes, Sent

Value = str | float | None
Trace = Sequence[Sent]
Get = Callable[[Sent, Trace], Value]
GetAll = Callable[[Sent], list[Value]]
Holds = Callable[[Sent, Trace], bool]
Set = Callable[[Trace], set[int]]
"""Places of the spans of a trace."""

OPS: dict[str, Callable[..., bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Asked:
    text: str
    matched: Set


# what a field is


def text_of(value: str | float | bool | None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def number_of(value: Value) -> float | None:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return value


def attribute(attributes: Attributes, *keys: str, whole: bool = False) -> str | None:
    """The first of some keys that is there; of whole numbers, the first that is one."""
    for key in keys:
        text = text_of(attributes.get(key))
        if text is not None and (not whole or re.fullmatch(r"-?\d+", text)):
            return text
    return None


STATUS_CODE = ("http.response.status_code", "http.status_code")
DB_SYSTEM = ("db.system.name", "db.system")
ENVIRONMENT = ("deployment.environment.name", "deployment.environment")


def duration_of(trace: Trace) -> int:
    return max(s.start_ns + s.duration_ns for s in trace) - min(s.start_ns for s in trace)


def root_of(trace: Trace) -> Sent:
    return min(trace, key=lambda s: (s.parent is not None, s.start_ns, -s.duration_ns, s.id, s.kind))


def parent_of(span: Sent, trace: Trace) -> Sent | None:
    found = [s for s in trace if s.id == span.parent]
    return min(found, key=lambda s: (s.start_ns, s.kind)) if found else None


def of_parent(get: Callable[[Sent], Value]) -> Get:
    def value(span: Sent, trace: Trace) -> Value:
        parent = parent_of(span, trace)
        return None if parent is None else get(parent)

    return value


def alone(get: Callable[[Sent], Value]) -> Get:
    return lambda span, _: get(span)


ATTRIBUTES: list[tuple[Sequence[str], Get]] = [
    (
        ("service.name", ".service.name", "service", "resource.service.name"),
        alone(lambda s: attribute(s.resource, "service.name")),
    ),
    (("span.service.name",), alone(lambda s: attribute(s.attributes, "service.name"))),
    (
        ("http.status_code", "http.response.status_code", ".http.status_code", "span.http.response.status_code"),
        alone(lambda s: attribute(s.attributes, *STATUS_CODE, whole=True)),
    ),
    (("http.route", "span.http.route"), alone(lambda s: attribute(s.attributes, "http.route"))),
    (("db.system", "db.system.name", "span.db.system"), alone(lambda s: attribute(s.attributes, *DB_SYSTEM))),
    (
        ("deployment.environment", "resource.deployment.environment.name"),
        alone(lambda s: attribute(s.resource, *ENVIRONMENT)),
    ),
    (("customer.tier", ".customer.tier"), alone(lambda s: attribute(s.attributes, "customer.tier"))),
    ((".retries", "retries"), alone(lambda s: attribute(s.attributes, "retries") or attribute(s.resource, "retries"))),
    (("span.retries",), alone(lambda s: attribute(s.attributes, "retries"))),
    (("resource.retries",), alone(lambda s: attribute(s.resource, "retries"))),
    ((".ratio", "ratio"), alone(lambda s: attribute(s.attributes, "ratio"))),
    (("cached", "span.cached"), alone(lambda s: attribute(s.attributes, "cached"))),
    (("error",), alone(lambda s: attribute(s.attributes, "error"))),
    (('attr("odd key!")', '."odd key!"', "span.'odd key!'"), alone(lambda s: attribute(s.attributes, "odd key!"))),
    ((".shared", "shared"), alone(lambda s: attribute(s.attributes, "shared") or attribute(s.resource, "shared"))),
    (("resource.shared",), alone(lambda s: attribute(s.resource, "shared"))),
    (("service.version",), alone(lambda s: attribute(s.resource, "service.version"))),
    (("region", "resource.region"), alone(lambda s: attribute(s.resource, "region"))),
    (("instrumentation.short",), alone(lambda s: attribute(s.scope_attributes, "short"))),
    (("parent.customer.tier", "parent.span.customer.tier"), of_parent(lambda s: attribute(s.attributes, "customer.tier"))),
    (("parent.resource.service.name", "parent.service.name"), of_parent(lambda s: attribute(s.resource, "service.name"))),
    (("nowhere.at.all",), lambda *_: None),
]
"""Ways to write an attribute, and its value as text."""

TEXTS: list[tuple[Sequence[str], Get]] = [
    (("name", "span:name"), alone(lambda s: s.name)),
    (("statusMessage", "status_message"), alone(lambda s: s.status_message)),
    (("span_id", "span:id"), alone(lambda s: s.span_id)),
    (("parent_span_id", "span:parentID", "parent"), alone(lambda s: None if s.parent is None else f"{s.parent:016x}")),
    (("trace_id",), alone(lambda s: s.trace_id)),
    (("root.name", "rootName"), lambda _, trace: root_of(trace).name),
    (("root.service", "trace:rootService"), lambda _, trace: attribute(root_of(trace).resource, "service.name")),
    (("instrumentation:name",), alone(lambda s: s.scope[0])),
    (("instrumentation:version",), alone(lambda s: s.scope[1])),
]
NUMBERS: list[tuple[Sequence[str], Get]] = [
    (("duration", "span:duration"), alone(lambda s: s.duration_ns)),
    (("childCount", "span:childCount"), lambda span, trace: sum(s.parent == span.id for s in trace)),
    (("trace.duration", "traceDuration"), lambda _, trace: duration_of(trace)),
    (("trace.span_count",), lambda _, trace: len(trace)),
]
LISTS: list[tuple[Sequence[str], GetAll]] = [
    (("event:name",), lambda s: [e.name for e in s.events]),
    (("event.exception.type",), lambda s: [attribute(e.attributes, "exception.type") for e in s.events]),
    (("event.n",), lambda s: [attribute(e.attributes, "n") for e in s.events]),
    (("link:traceID",), lambda s: [f"{x.trace:032x}" for x in s.links]),
    (("link.why",), lambda s: [attribute(x.attributes, "why") for x in s.links]),
]

TEXT_LITERALS = ("cart", "gold", "GET /", "redis", "prod", "of span", "3", "9", "500", "x", "", "api-gateway", "ValueError",
                 "100% sure_thing", "boom", "retry", "exception", "0" * 31 + "4", "true")  # fmt: skip
PATTERNS = ("GET.*", "g.ld", "(cart|pay)", ".*", "", "[0-9]+", "5..", r"GET /\w+", "Value")
LIKES = ("GET%", "%a%", "_old", "g", "100\\%%", "%", "ValueError")


def compared(op: str, left: Value, right: Value, *, is_number: bool = False) -> bool:
    """A comparison; `is_number` where the right side is written as a number."""
    if left is None or right is None:
        return False
    numbers = number_of(left), number_of(right)
    is_order = op not in ("=", "!=")
    if None not in numbers and (is_order or is_number or not (isinstance(left, str) and isinstance(right, str))):
        return OPS[op](*numbers)
    if not isinstance(left, str):
        return False
    return OPS[op](left, str(right))


def quoted(rnd: random.Random, text: str) -> str:
    quote = rnd.choice("\"'")
    return quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


def query(seed: int) -> Asked:
    """The query of a number."""
    return Asker(random.Random(seed)).query()  # noqa: S311 - repeatable, not secret


class Asker:
    """Makes queries."""

    def __init__(self, rnd: random.Random) -> None:
        self._rnd = rnd

    def query(self) -> Asked:
        draw = self._rnd.random()
        if draw < 0.4:
            text, holds = self.condition(3)
            return Asked(text, where(holds))
        text, matched = self.spansets(2)
        return Asked(text, matched) if draw < 0.75 else self._piped(text, matched)

    # conditions

    def condition(self, depth: int) -> tuple[str, Holds]:
        draw = self._rnd.random()
        if depth == 0 or draw < 0.45:
            return self.predicate()
        if draw < 0.6:
            text, holds = self.condition(depth - 1)
            return f"{self._one('NOT ', 'not ', '!')}({text})", lambda s, t: not holds(s, t)
        parts = [self.condition(depth - 1) for _ in range(self._rnd.choice([2, 2, 3]))]
        listed = [holds for _, holds in parts]
        if draw < 0.8:
            # AND binds tighter, so only what has an OR in it needs parentheses
            text = self._one(" AND ", " and ", " && ").join(f"({text})" if _has_or(text) else text for text, _ in parts)
            return text, lambda s, t: all(holds(s, t) for holds in listed)
        return self._one(" OR ", " || ").join(text for text, _ in parts), lambda s, t: any(holds(s, t) for holds in listed)

    def predicate(self) -> tuple[str, Holds]:
        make: Callable[[], tuple[str, Holds]] = self._one(
            self._of_attribute, self._of_attribute, self._of_attribute, self._of_text, self._of_number, self._of_number,
            self._of_word, self._of_list, self._of_existence, self._of_fields, self._of_arithmetic, self._of_membership,
        )  # fmt: skip
        return make()

    def _of_attribute(self) -> tuple[str, Holds]:
        names, get = self._one(*ATTRIBUTES)
        return self._with_literal(self._one(*names), get)

    def _of_text(self) -> tuple[str, Holds]:
        names, get = self._one(*TEXTS)
        return self._with_literal(self._one(*names), get, numbers=False)

    def _with_literal(self, name: str, get: Get, *, numbers: bool = True) -> tuple[str, Holds]:
        draw = self._rnd.random()
        if draw < 0.3:
            return self._with_pattern(name, get)
        op = self._one(*OPS)
        shown = {"=": self._one("=", "=="), "!=": self._one("!=", "<>")}.get(op, op)
        if draw < 0.5 and numbers:
            number = self._one(0, 1, 2, 3, 9, 200, 500, 0.5, -2.5)
            if self._rnd.random() < 0.2:
                turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)
                return f"{number} {turned} {name}", lambda s, t: compared(op, get(s, t), number, is_number=True)
            return f"{name} {shown} {number}", lambda s, t: compared(op, get(s, t), number, is_number=True)
        if draw < 0.6 and numbers:
            op = self._one("=", "!=")
            truth = self._one("true", "false")
            return f"{name} {op} {truth}", lambda s, t: compared(op, get(s, t), truth)
        text = self._one(*TEXT_LITERALS)
        return f"{name} {shown} {quoted(self._rnd, text)}", lambda s, t: compared(op, get(s, t), text)

    def _with_pattern(self, name: str, get: Get) -> tuple[str, Holds]:
        kind = self._one("=~", "!~", "LIKE", "ilike", "contains")
        is_denied = kind == "!~" or (kind != "=~" and self._rnd.random() < 0.3)
        if kind in ("=~", "!~"):
            pattern = self._one(*PATTERNS)
            fits: Callable[[str], object] = re.compile(pattern).fullmatch
        elif kind == "contains":
            pattern = self._one("a", "GET", "", "of ")
            fits = lambda text: pattern in text  # noqa: E731
        else:
            pattern = self._one("GET%", "%a%", "_old", "g", "%", "ValueError", "100%")
            fits = like(pattern, any_case=kind == "ilike")

        def holds(span: Sent, trace: Trace) -> bool:
            value = get(span, trace)
            return value is not None and bool(fits(str(value))) != is_denied

        word = f"NOT {kind}" if is_denied and kind != "!~" else kind
        return f"{name} {word} {quoted(self._rnd, pattern)}", holds

    def _of_number(self) -> tuple[str, Holds]:
        names, get = self._one(*NUMBERS)
        op = self._one(*OPS)
        text, number = self._one(("100ms", 100 * MS), ("0", 0), ("1", 1), ("2s", 2000 * MS), ("0.1s", 100 * MS), ("3", 3),
                                 ("1000us", MS), ("1ns", 1), ("99.5ms", 99_500_000), ("2", 2))  # fmt: skip
        if self._rnd.random() < 0.2:
            return f"{self._one(*names)} between 1 and {text}", lambda s, t: 1 <= (get(s, t) or 0) <= number
        return f"{self._one(*names)}{op}{text}", lambda s, t: compared(op, get(s, t), number)

    def _of_word(self) -> tuple[str, Holds]:
        name, words, get = self._one(
            ("status", ("unset", "ok", "error"), alone(lambda s: s.status)),
            ("kind", ("internal", "server", "client", "producer"), alone(lambda s: s.kind)),
        )
        word, op = self._one(*words), self._one("=", "!=")
        shown = self._one(word, f'"{word}"')
        return f"{name} {op} {shown}", lambda s, t: compared(op, get(s, t), word)

    def _of_list(self) -> tuple[str, Holds]:
        names, get_all = self._one(*LISTS)
        name, op = self._one(*names), self._one("=", "!=", "=", ">")
        text = self._one("exception", "log", "ValueError", "retry", "x", f"{3:032x}")
        if self._rnd.random() < 0.3:
            is_missing = self._rnd.random() < 0.5

            def is_there(span: Sent, _: Trace) -> bool:
                return any(value is not None for value in get_all(span)) != is_missing

            return f"{name} {'=' if is_missing else '!='} nil", is_there

        def holds(span: Sent, _: Trace) -> bool:
            values = [value for value in get_all(span) if value is not None]
            if op == "!=":  # some are there, and none is it
                return bool(values) and text not in values
            return any(compared(op, value, text) for value in values)

        return f'{name} {op} "{text}"', holds

    def _of_existence(self) -> tuple[str, Holds]:
        names, get = self._one(*ATTRIBUTES, *TEXTS)
        name = self._one(*names)
        form, is_there = self._one(
            ("{} != nil", True), ("{} = nil", False), ("{} IS NOT NULL", True), ("{} is null", False), ("exists {}", True),
            ("{} EXISTS", True), ("{} NOT EXISTS", False), ("nil != {}", True),
        )  # fmt: skip
        return form.format(name), lambda s, t: (get(s, t) is not None) == is_there

    def _of_fields(self) -> tuple[str, Holds]:
        (names, get), (others, other) = self._one(*ATTRIBUTES), self._one(*ATTRIBUTES)
        op = self._one(*OPS)
        name = self._one(*(n for n in others if "." in n)) if any("." in n for n in others) else f".{others[0]}"

        def holds(span: Sent, trace: Trace) -> bool:
            left, right = get(span, trace), other(span, trace)
            both = number_of(left), number_of(right)
            if left is None or right is None:
                return False
            return OPS[op](*both) if None not in both else OPS[op](left, right)

        return f"{self._one(*names)} {op} {name}", holds

    def _of_arithmetic(self) -> tuple[str, Holds]:
        names, get = self._one(*ATTRIBUTES, *NUMBERS)
        name, op = self._one(*names), self._one("<", ">", ">=", "=")
        shape, calculate = self._one(
            ("{} + 1", lambda x: x + 1),
            ("2 * {}", lambda x: 2 * x),
            ("-{}", lambda x: -x),
            ("{} - 1 - 1", lambda x: x - 1 - 1),
            ("10 / {}", lambda x: 10 / x if x else None),
            ("({} + 1) * 2", lambda x: (x + 1) * 2),
            ("{} ^ 2", lambda x: x**2),
        )
        number = self._one(1, 4, 400, -1, 200_000_000)

        def holds(span: Sent, trace: Trace) -> bool:
            value = number_of(get(span, trace))
            return value is not None and compared(op, calculate(value), number)

        return f"{shape.format(name)} {op} {number}", holds

    def _of_membership(self) -> tuple[str, Holds]:
        names, get = self._one(*ATTRIBUTES, *TEXTS)
        items: list[tuple[str, Value, bool]] = [
            self._one(("200", 200, True), ("500", 500, True), ("2", 2, True), *((f'"{x}"', x, False) for x in TEXT_LITERALS))
            for _ in range(self._rnd.choice([1, 2, 4]))
        ]
        is_denied = self._rnd.random() < 0.3
        is_text = any(get is known for _, known in TEXTS)

        def holds(span: Sent, trace: Trace) -> bool:
            value = get(span, trace)
            if value is None:
                return False
            found = any(
                compared("=", value, item, is_number=is_number) for _, item, is_number in items if is_number or not None
            )
            return found != is_denied

        if is_text:
            items = [item for item in items if not item[2]] or [('"x"', "x", False)]
        listed = ", ".join(text for text, _, _ in items)
        return f"{self._one(*names)} {'NOT IN' if is_denied else 'in'} ({listed})", holds

    # sets of spans

    def spansets(self, depth: int) -> tuple[str, Set]:
        draw = self._rnd.random()
        if depth == 0 or draw < 0.35:
            if draw < 0.03:
                return "{ }", where(lambda *_: True)
            text, holds = self.condition(1)
            return f"{{ {text} }}", where(holds)
        (left_text, left), (right_text, right) = self.spansets(depth - 1), self.spansets(depth - 1)
        shown = f"({left_text})", f"({right_text})"
        if draw < 0.5:
            return f"{shown[0]} && {shown[1]}", lambda t: (left(t) | right(t)) if left(t) and right(t) else set()
        if draw < 0.6:
            return f"{shown[0]} || {shown[1]}", lambda t: left(t) | right(t)
        op = self._one(">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>", "&<<", "&~")
        return f"{shown[0]} {op} {shown[1]}", lambda t: structural(op, left(t), right(t), t)

    # pipelines

    def _piped(self, text: str, matched: Set) -> Asked:
        draw = self._rnd.random()
        count = self._rnd.choice([0, 1, 2, 3])
        op = self._one(">", ">=", "=", "<")
        if draw < 0.3:
            return Asked(
                f"{text} | count() {op} {count}", lambda t: m if OPS[op](len(m := matched(t)), count) and m else set()
            )
        if draw < 0.45:
            inner, holds = self.condition(0)
            return Asked(f"{text} | {{ {inner} }}", lambda t: matched(t) & where(holds)(t))
        names, get = self._one(*ATTRIBUTES, *TEXTS)
        name = self._one(*names)
        if draw < 0.6:
            text = f"{text} | by({name}) | count() {op} {count}"
            return Asked(text, lambda t: _in_groups(matched(t), get, t, lambda group: OPS[op](len(group), count)))
        function, calculate = self._one(("avg", lambda x: sum(x) / len(x)), ("min", min), ("max", max), ("sum", sum))

        def keeps(trace: Trace) -> Callable[[set[int]], bool]:
            return lambda group: OPS[op](calculate([trace[place].duration_ns for place in group]), limit_ns)

        limit_text, limit_ns = self._one(("1ms", MS), ("100ms", 100 * MS), ("1s", 1000 * MS))
        if draw < 0.8:
            text = f"{text} | by({name}) | {function}(duration) {op} {limit_text}"
            return Asked(text, lambda t: _in_groups(matched(t), get, t, keeps(t)))
        text = f"{text} | by({name}) | coalesce() | {function}(duration) {op} {limit_text} | select({name})"
        return Asked(text, lambda t: m if (m := matched(t)) and keeps(t)(m) else set())

    def _one(self, *choices):
        return self._rnd.choice(choices)


def _has_or(text: str) -> bool:
    return " OR " in text or " || " in text


def like(pattern: str, *, any_case: bool) -> Callable[[str], bool]:
    if any_case:
        pattern = pattern.lower()
    shell = "".join({"%": "*", "_": "?"}.get(c, f"[{c}]" if c in "*?[" else c) for c in pattern)
    return lambda text: fnmatchcase(text.lower() if any_case else text, shell)


def where(holds: Holds) -> Set:
    return lambda trace: {place for place, span in enumerate(trace) if holds(span, trace)}


def _in_groups(matched: set[int], get: Get, trace: Trace, keeps: Callable[[set[int]], bool]) -> set[int]:
    groups: defaultdict[Value, set[int]] = defaultdict(set)
    for place in matched:
        groups[get(trace[place], trace)].add(place)
    return {place for group in groups.values() if keeps(group) for place in group}


def structural(op: str, left: set[int], right: set[int], trace: Trace) -> set[int]:
    relation = op.lstrip("!&")
    found = {b for b in right if any(related(relation, a, b, trace) for a in left)}
    if op.startswith("!"):
        return right - found
    if op.startswith("&"):
        return found | {a for a in left if any(related(relation, a, b, trace) for b in right)}
    return found


def related(relation: str, a: int, b: int, trace: Trace) -> bool:
    """Whether b is to a what the relation says."""
    if relation == "<":
        return related(">", b, a, trace)
    if relation == "<<":
        return related(">>", b, a, trace)
    if relation == ">":
        return trace[b].parent == trace[a].id
    if relation == "~":
        return a != b and trace[a].parent is not None and trace[a].parent == trace[b].parent
    above = {trace[a].id, *ids_below(trace[a].id, trace)}
    return trace[b].parent in above


def ids_below(id_: int, trace: Trace) -> set[int]:
    """Ids of all descendants; one of a circle is below itself."""
    below: set[int] = set()
    left = [id_]
    while left:
        above = left.pop()
        new = {s.id for s in trace if s.parent == above} - below
        below |= new
        left.extend(new)
    return below


def answer(asked: Asked, spans: Iterable[Sent]) -> dict[str, tuple[int, list[str]]]:
    """What a search for it must find: by trace, how many spans and the ids of the first three."""
    traces: defaultdict[int, list[Sent]] = defaultdict(list)
    for span in spans:
        traces[span.trace].append(span)
    found = {}
    for trace in traces.values():
        matched = sorted((trace[place] for place in asked.matched(trace)), key=lambda s: (s.start_ns, s.id, s.kind))
        if matched:
            found[trace[0].trace_id] = len(matched), [s.span_id for s in matched[:3]]
    return found
