"""Rules: what people want to be told of, checked.

Takes   a mapping as JSON or TOML has it: name, condition, channels, severity.
Gives   `Rule`, frozen, and the mapping back as it was given.
Refuses fields that are missing, unknown or cannot be: `InvalidParameter` names the field as `condition.window`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args

from lake.errors import InvalidParameter
from lake.search import Query, parse
from lake.search.metrics import is_duration
from lake.search.tree import Metric as QueryMetric
from lake.search.tree import Select

from .channels.channel import Channel, read_channel
from .durations import seconds, text_of
from .metrics import QUERY, Metric, metric_named
from .notifications import Severity

Operator = Literal[">", ">=", "<", "<="]
GroupBy = Literal["service", "endpoint"]
Policy = Literal["keep", "ok", "alert"]
"""What a window without an answer means: nothing, that the condition does not hold, or that it does."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
OPERATORS: tuple[Operator, ...] = get_args(Operator)
GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)
POLICIES: tuple[Policy, ...] = get_args(Policy)

NAME_MAX_CHARACTERS = 120
WINDOW_MIN_S, WINDOW_MAX_S = 30, 86_400
SPANS_BELOW_S = 120
"""Windows shorter than this are read from spans, the others from counts per minute."""
FOR_MAX_S = 7 * 86_400
MAX_CHANNELS = 20
REPEAT_DEFAULT_S = 4 * 3_600
APDEX_DEFAULT_MS = 500.0

_TEXT_MAX_CHARACTERS = 1_000
_OF_SPANS = ("operation", "cluster", "min_requests")
"""What errors do not know of themselves."""
_SAID_BY_A_QUERY = ("service", "operation", "environment", "cluster", "group_by", "min_requests", "apdex_threshold_ms")

Word = TypeVar("Word", bound=str)


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of a window."""

    metric: str
    """As it was given; `measure` is what it means."""
    threshold: float
    window: str
    """`5m`; a window ends with a whole minute."""
    operator: Operator = ">"
    service: str | None = None
    operation: str | None = None
    """An endpoint, as `/v1/endpoints` names it."""
    environment: str | None = None
    cluster: str | None = None
    min_requests: int = 1
    """With fewer in the window nothing is known of it."""
    hold: str = "0s"
    """How long it must hold before the alert fires: `for` in JSON."""
    keep_firing_for: str = "0s"
    group_by: GroupBy | None = None
    no_data: Policy = "keep"
    on_error: Policy = "keep"
    apdex_threshold_ms: float = APDEX_DEFAULT_MS
    """The T of apdex: up to T is satisfied, up to 4 T tolerated."""
    query: str | None = None
    """TQ in place of a metric."""

    @property
    def measure(self) -> Metric:
        """What is measured."""
        if self.query is None:
            return metric_named(self.metric)
        operand = _metric_of(self.query).operand
        return replace(QUERY, unit="s" if operand is not None and is_duration(operand) else "", is_count=operand is None)

    @property
    def window_s(self) -> int:
        return seconds("condition.window", self.window)

    @property
    def hold_s(self) -> int:
        return seconds("condition.for", self.hold)

    @property
    def keep_firing_for_s(self) -> int:
        return seconds("condition.keep_firing_for", self.keep_firing_for)

    @property
    def counts_query(self) -> Query:
        """The query as one of metrics, without a comparison: a query of traces counts the spans that it means."""
        return _counting(self.query or "")

    @property
    def traces_query(self) -> Query:
        """The query as one of the traces that it looks at."""
        return replace(_counting(self.query or ""), metric=None)

    @property
    def grouping(self) -> tuple[object, ...]:
        """What its series are: empty if there is one only. Conditions that are equal in this have the same series."""
        if self.query is None:
            filters = (self.service, self.operation, self.environment, self.cluster)
            return (self.group_by, *filters) if self.group_by else ()
        query = self.counts_query
        return (query,) if query.metric and (query.metric.by or query.metric.quantiles) else ()

    def holds(self, value: float) -> bool:
        """Whether it holds of a value."""
        if self.operator == ">":
            return value > self.threshold
        if self.operator == ">=":
            return value >= self.threshold
        return value < self.threshold if self.operator == "<" else value <= self.threshold


@dataclass(frozen=True, slots=True)
class Rule:
    """What somebody wants to be told of."""

    name: str
    condition: Condition
    channels: tuple[Channel, ...]
    severity: Severity = "warning"
    enabled: bool = True
    repeat_s: int = REPEAT_DEFAULT_S
    """Seconds after which an alert that still fires is told again unless somebody acknowledged it; 0: never."""


def rule_of(given: Mapping[str, Any]) -> Rule:
    """Check a rule.

    Args:
        given: name, condition, channels, and if need be severity, enabled and repeat_interval.

    Raises:
        InvalidParameter: it is none.
    """
    fields = _Fields("", given, ("name", "condition", "channels", "severity", "enabled", "repeat_interval"))
    return Rule(
        name=_name(fields.text("name", NAME_MAX_CHARACTERS)),
        condition=condition_of(fields.mapping("condition")),
        channels=_channels(fields.needed("channels")),
        severity=fields.word("severity", SEVERITIES, "warning"),
        enabled=fields.flag("enabled", default=True),
        repeat_s=fields.seconds("repeat_interval", REPEAT_DEFAULT_S, 0, FOR_MAX_S),
    )


def condition_of(given: Mapping[str, Any]) -> Condition:
    """Check a condition.

    Raises:
        InvalidParameter: it is none.
    """
    fields = _Fields("condition.", given, _CONDITION_FIELDS)
    query = fields.maybe_text("query", 4_096)
    own = _comparison(fields, query) if query is not None else None
    if query is None:
        metric_named(fields.text("metric", _TEXT_MAX_CHARACTERS))
    condition = Condition(
        metric=fields.maybe_text("metric", _TEXT_MAX_CHARACTERS) or QUERY.name,
        threshold=own[1] if own else fields.number("threshold"),
        window=fields.duration("window", None, WINDOW_MIN_S, WINDOW_MAX_S),
        operator=own[0] if own else fields.word("operator", OPERATORS, ">"),
        service=fields.maybe_text("service", _TEXT_MAX_CHARACTERS),
        operation=fields.maybe_text("operation", _TEXT_MAX_CHARACTERS),
        environment=fields.maybe_text("environment", _TEXT_MAX_CHARACTERS),
        cluster=fields.maybe_text("cluster", _TEXT_MAX_CHARACTERS),
        min_requests=fields.integer("min_requests", 1, 1, 1_000_000_000),
        hold=fields.duration("for", "0s", 0, FOR_MAX_S),
        keep_firing_for=fields.duration("keep_firing_for", "0s", 0, FOR_MAX_S),
        group_by=fields.word("group_by", GROUPS, None),
        no_data=fields.word("no_data", POLICIES, "keep"),
        on_error=fields.word("on_error", POLICIES, "keep"),
        apdex_threshold_ms=fields.number("apdex_threshold_ms", APDEX_DEFAULT_MS),
        query=query,
    )
    _check_together(fields, condition)
    return condition


def shown(condition: Condition) -> dict[str, Any]:
    """A condition as JSON has it: what was given, and the operator."""
    default = Condition(condition.metric, condition.threshold, condition.window)
    fields = {name: _attribute(name) for name in _CONDITION_FIELDS}
    return {
        name: getattr(condition, attribute)
        for name, attribute in fields.items()
        if name in _ALWAYS or getattr(condition, attribute) != getattr(default, attribute)
    }


_CONDITION_FIELDS = (
    "metric", "operator", "threshold", "window", "service", "operation", "environment", "cluster", "min_requests", "for",
    "keep_firing_for", "group_by", "no_data", "on_error", "apdex_threshold_ms", "query",
)  # fmt: skip
_ALWAYS = ("metric", "operator", "threshold", "window")


def _attribute(name: str) -> str:
    return "hold" if name == "for" else name


def _check_together(fields: _Fields, condition: Condition) -> None:
    window_s, source = condition.window_s, condition.measure.source
    if window_s >= SPANS_BELOW_S and window_s % 60:
        raise fields.wrong("window", f"{condition.window!r} must be whole minutes, as every window from 2m on")
    if condition.query is not None:
        for name in _SAID_BY_A_QUERY:
            if fields.given.get(name) is not None:
                raise fields.wrong(name, "say it in the query itself, where there is one")
    if condition.apdex_threshold_ms <= 0:
        raise fields.wrong("apdex_threshold_ms", "must be above 0")
    if source in ("errors", "new_errors"):
        for name in _OF_SPANS:
            if fields.given.get(name) is not None:
                raise fields.wrong(name, f"{condition.metric} is of errors, which do not know it; leave it out")
        if condition.group_by == "endpoint":
            raise fields.wrong("group_by", f"{condition.metric} is of errors: group it by service, or not at all")


def _comparison(fields: _Fields, query: str) -> tuple[Operator, float] | None:
    """The comparison that a query ends with, if the condition leaves that to it.

    Raises:
        InvalidParameter: the query is none, or both have one.
    """
    if fields.given.get("metric") not in (None, QUERY.name):
        raise fields.wrong("metric", "either a metric or a query; leave it out beside a query")
    try:
        metric = _metric_of(query)
    except InvalidParameter as error:
        raise InvalidParameter("condition.query", f"condition.query: {error}") from error
    if metric.function == "histogram_over_time":
        raise fields.wrong("query", "a histogram is no number; use quantile_over_time()")
    if metric.threshold is None or not _is_operator(metric.threshold[0]):
        if metric.threshold is not None:
            raise fields.wrong("query", f"it may end with one of {', '.join(OPERATORS)}, not {metric.threshold[0]}")
        return None
    operator, literal = metric.threshold
    number = float(literal.value)
    own = next(o for o in OPERATORS if o == operator), number / 1e9 if literal.kind == "duration" else number
    for name, value in zip(("operator", "threshold"), own, strict=True):
        if fields.given.get(name) not in (None, value):
            raise fields.wrong(name, "the query ends with a comparison of its own; leave one of them out")
    return own


def _is_operator(text: str) -> bool:
    return text in OPERATORS


@lru_cache(maxsize=4096)
def _metric_of(query: str) -> QueryMetric:
    return parse(query).metric or QueryMetric("count_over_time")


@lru_cache(maxsize=4096)
def _counting(query: str) -> Query:
    read = parse(query)
    stages = tuple(stage for stage in read.stages if not isinstance(stage, Select))
    return replace(read, stages=stages, metric=replace(_metric_of(query), threshold=None))


def _name(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise InvalidParameter("name", f"name: {name!r} must be printable text of 1 to {NAME_MAX_CHARACTERS} characters")
    return name


def _channels(given: object) -> tuple[Channel, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not 0 < len(given) <= MAX_CHANNELS:
        raise InvalidParameter("channels", f"channels: must be a list of 1 to {MAX_CHANNELS}")
    return tuple(read_channel(said, f"channels[{place}]") for place, said in enumerate(given))


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of an object, each read as what it must be."""

    prefix: str
    given: Mapping[str, Any]
    known: Collection[str]

    def __post_init__(self) -> None:
        if not isinstance(self.given, Mapping):
            raise InvalidParameter(self.prefix.rstrip("."), f"{self.prefix.rstrip('.') or 'rule'}: must be an object")
        for name in self.given:
            if name not in self.known:
                raise self.wrong(name, f"is not known here; known are {', '.join(self.known)}")

    def wrong(self, name: str, problem: str) -> InvalidParameter:
        return InvalidParameter(f"{self.prefix}{name}", f"{self.prefix}{name}: {problem}")

    def needed(self, name: str) -> Any:  # noqa: ANN401 - whatever the mapping has
        if self.given.get(name) is None:
            raise self.wrong(name, "is missing")
        return self.given[name]

    def mapping(self, name: str) -> Mapping[str, Any]:
        found = self.needed(name)
        if not isinstance(found, Mapping):
            raise self.wrong(name, "must be an object")
        return found

    def text(self, name: str, most: int) -> str:
        found = self.needed(name)
        if not isinstance(found, str) or not 0 < len(found) <= most:
            raise self.wrong(name, f"must be text of 1 to {most} characters")
        return found

    def maybe_text(self, name: str, most: int) -> str | None:
        return None if self.given.get(name) is None else self.text(name, most)

    def word(self, name: str, words: Sequence[Word], default: Any) -> Any:  # noqa: ANN401 - one of the words, or the default
        found = self.given.get(name)
        if found is None:
            return default
        if found not in words:
            raise self.wrong(name, f"{found!r} must be one of {', '.join(words)}")
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        found = self.given.get(name)
        found = default if found is None else found
        if not isinstance(found, bool):
            raise self.wrong(name, "must be true or false")
        return found

    def number(self, name: str, default: float | None = None) -> float:
        found = self.given.get(name)
        found = default if found is None else found
        if found is None:
            raise self.wrong(name, "is missing")
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise self.wrong(name, "must be a number")
        return float(found)

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        found = self.given.get(name)
        found = default if found is None else found
        if isinstance(found, bool) or not isinstance(found, int) or not lowest <= found <= highest:
            raise self.wrong(name, f"must be a whole number from {lowest} to {highest}")
        return found

    def duration(self, name: str, default: str | None, lowest: int, highest: int) -> str:
        """The text of a duration; one that was given as seconds is made text."""
        found = self.needed(name) if default is None else self.given.get(name)
        found = default if found is None else found
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            found = text_of(found)
        if not isinstance(found, str):
            raise self.wrong(name, "must be a duration such as 5m, or whole seconds")
        if not lowest <= seconds(f"{self.prefix}{name}", found) <= highest:
            raise self.wrong(name, f"{found!r} must be from {text_of(lowest)} to {text_of(highest)}")
        return found

    def seconds(self, name: str, default: int, lowest: int, highest: int) -> int:
        return seconds(f"{self.prefix}{name}", self.duration(name, text_of(default), lowest, highest))
