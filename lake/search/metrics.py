"""Metrics: numbers over time of the spans that a query means.

Takes   a query that ends with rate(), quantile_over_time() or the like, a window and a step.
Gives   series: one value for each step of time and each set of labels.
Refuses a step that makes too many points, and a `by` that makes too many series: `InvalidParameter`, `InvalidQuery`.

A span counts at the time it started. Where single spans tell, they are counted as they came, so one that was sent again may
count twice until its hour is rewritten; where a query needs whole traces, each span counts once.

rate() and count_over_time() have a 0 where a series has no span; the others have no point there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from .. import queries
from ..errors import InvalidParameter
from ..relations import Relation, shifted
from ..schema import SPAN_IDENTITY, SPAN_RECENCY, Promoted
from .candidates import CandidateSql
from .conditions import Conditions, fields_of
from .fields import Columns, is_of_span
from .parser import InvalidQuery
from .printer import text_of
from .run import LATEST_FIRST, Ask
from .spansets import START_NS, SpansetSql, columns_of
from .tree import Field, Metric, Operand, Query, Spanset
from .values import Values

MAX_POINTS = 11_000
"""Steps of one series."""
MAX_SERIES = 1_000
MAX_VALUES = 200_000
"""Points of all series together."""

_NS_A_SECOND = 10**9
_OWN_LABELS = {"quantile_over_time": "quantile", "histogram_over_time": "bucket"}
"""Label that a function makes: which quantile it is; the highest value of the bucket, a power of 2."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A window in equal steps; the last one may reach beyond its end."""

    since: dt.datetime
    until: dt.datetime
    step_s: float

    def __post_init__(self) -> None:
        if not self.step_s > 0 or self.step_us < 1:
            raise InvalidParameter("step", "'step' must be above 0")
        if self.count > MAX_POINTS:
            least = (self.until - self.since).total_seconds() / MAX_POINTS
            raise InvalidParameter(
                "step", f"'step' makes {self.count} points, at most {MAX_POINTS} can be: {least:g} s or more"
            )

    @property
    def step_us(self) -> int:
        return round(self.step_s * 1_000_000)

    @property
    def count(self) -> int:
        return -(-(self.until - self.since) // dt.timedelta(microseconds=self.step_us))


class SpanTables(Protocol):
    """Where spans can be read from: the tables of a snapshot, or a part of them that is in memory."""

    def of(
        self, name: str, *, since: dt.datetime | None, until: dt.datetime | None, columns: Collection[str] | None
    ) -> Relation: ...


def reads_single_spans(query: Query) -> bool:
    """Whether each span tells by itself if it is meant: then no span outside the window matters."""
    return isinstance(query.spansets, Spanset) and not query.stages and all(map(is_of_span, fields_of(query)))


def series(
    query: Query, steps: Steps, spans: SpanTables, promoted: tuple[Promoted, ...], around: dt.timedelta, ask: Ask
) -> pa.Table:
    """The series of a metric: time (start of the step), labels (map), value; by labels, then time.

    Raises:
        InvalidQuery: `by` makes too many series.
    """
    metric = query.metric
    assert metric is not None  # noqa: S101 - the caller checked
    values = Values()
    sql = SpansetSql(Columns(promoted), values)
    prepare = _single_spans if reads_single_spans(query) else _whole_traces
    relation, where = prepare(query, steps, spans, around, sql)
    begin, step = values.bind(steps.since), values.bind(steps.step_us)
    most = max(1, min(MAX_SERIES, MAX_VALUES // steps.count))
    labels, value = measured(metric, sql.conditions())
    at = f"(epoch_us(s.start_time) - epoch_us({begin})) // {step}"
    of_spans = f"SELECT {at} AS step, [{labels}]::VARCHAR[] AS labels, {value} AS x FROM {sql.source} WHERE {where}"
    is_count = metric.operand is None
    sql.expressions += [
        ("measured", of_spans),
        ("of_steps", _of_steps(metric, steps, values)),
        ("series", f"SELECT DISTINCT labels FROM of_steps LIMIT {most + 1}" if metric.by or not is_count else _ONE_SERIES),
        ("points", _FILLED.format(steps=values.bind(steps.count)) if is_count else _PRESENT),
    ]
    names = ", ".join(map(values.bind, label_names(metric)))
    text = f"""{sql.text()}
SELECT {begin} + to_microseconds(step * {step}) AS time, MAP([{names}]::VARCHAR[], labels) AS labels, value::DOUBLE AS value,
    dense_rank() OVER (ORDER BY labels) AS series
FROM points WHERE {_threshold(metric, values)} ORDER BY series, time"""
    found = ask("metrics", text, values.used_in(text), Relation(text, relation.tables))
    if (pc.max(found.column("series")).as_py() or 0) > most:
        problem = f"by() makes more than {most} series of {steps.count} points: group by less, or ask for a longer step"
        raise InvalidQuery(str(query), str(query).rindex(text_of(metric)), problem)
    return found.drop_columns(["series"])


_ONE_SERIES = "SELECT []::VARCHAR[] AS labels"
_PRESENT = "SELECT o.* FROM of_steps o JOIN series USING (labels)"
_FILLED = """
    SELECT n.step, k.labels, coalesce(o.value, 0) AS value
    FROM (SELECT unnest(range({steps})) AS step) n CROSS JOIN series k
    LEFT JOIN of_steps o ON o.step = n.step AND o.labels IS NOT DISTINCT FROM k.labels"""
"""A value for every step of a series: where there is no span, 0 of them."""


def _single_spans(
    query: Query, steps: Steps, spans: SpanTables, around: dt.timedelta, sql: SpansetSql
) -> tuple[Relation, str]:
    """The spans of the window as they came, and the condition on them."""
    assert isinstance(query.spansets, Spanset)  # noqa: S101 - the caller checked
    del around  # no other span matters
    source = spans.of("spans", since=steps.since, until=steps.until, columns=columns_of(query, sql.columns))
    sql.expressions.append(("s", source.text))
    return source, f"{_within(steps, sql.values)} AND {sql.conditions().sql(query.spansets.condition)}"


def _whole_traces(
    query: Query, steps: Steps, spans: SpanTables, around: dt.timedelta, sql: SpansetSql
) -> tuple[Relation, str]:
    """Every span, once, of the traces that can be meant, and the condition on them."""
    first, last = shifted(steps.since, -around), shifted(steps.until, around)
    needed = columns_of(query, sql.columns).union(SPAN_IDENTITY, SPAN_RECENCY)
    source = spans.of("spans", since=first, until=last, columns=needed)
    reach = f"start_time >= {sql.values.bind(first)} AND start_time < {sql.values.bind(last)}"
    candidates = CandidateSql(Conditions(sql.columns, sql.values)).select(query, source.text, reach)
    members = f"""
        SELECT {", ".join(map(queries.identifier, sorted(needed)))}, {START_NS} AS start_ns, row_number() OVER () AS n
        FROM ({source.text}) WHERE {reach} AND trace_id IN (SELECT trace_id FROM ({candidates}))
        QUALIFY row_number() OVER (PARTITION BY {", ".join(SPAN_IDENTITY)} ORDER BY {LATEST_FIRST}) = 1"""
    sql.expressions.append(("members", members))
    stage = sql.build(query)
    return source, f"{_within(steps, sql.values)} AND s.n IN (SELECT n FROM {stage})"


def _within(steps: Steps, values: Values) -> str:
    return f"s.start_time >= {values.bind(steps.since)} AND s.start_time < {values.bind(steps.until)}"


def measured(metric: Metric, conditions: Conditions) -> tuple[str, str]:
    """The labels of a span, and what is measured of it; durations in seconds."""
    labels = ", ".join(map(conditions.text, metric.by))
    if metric.operand is None:
        return labels, "1"
    value = conditions.number(metric.operand)
    return labels, f"{value} / {_NS_A_SECOND}" if is_duration(metric.operand) else value


def _of_steps(metric: Metric, steps: Steps, values: Values) -> str:
    """The value of each step and series that has spans."""
    if metric.operand is None:
        value = f"count(*) / {values.bind(steps.step_s)}" if metric.function == "rate" else "count(*)"
        return f"SELECT step, labels, {value} AS value FROM measured GROUP BY step, labels"
    if metric.function == "histogram_over_time":
        bucket = "CASE WHEN x > 0 THEN pow(2, ceil(log2(x))) ELSE 0 END"
        return (
            f"SELECT step, list_append(labels, ({bucket})::VARCHAR) AS labels, count(*) AS value "
            f"FROM measured WHERE x IS NOT NULL GROUP BY ALL"
        )
    if metric.function == "quantile_over_time":
        quantiles = [(values.bind(str(q.value)), values.bind(float(q.value))) for q in metric.quantiles]
        of_each = [
            f"SELECT step, list_append(m.labels, {label}) AS labels, quantile_cont(x, {quantile}) AS value "
            "FROM measured m WHERE x IS NOT NULL GROUP BY step, m.labels"
            for label, quantile in quantiles
        ]
        return " UNION ALL ".join(of_each)
    function = metric.function.removesuffix("_over_time")
    return f"SELECT step, labels, {function}(x) AS value FROM measured WHERE x IS NOT NULL GROUP BY step, labels"


def label_names(metric: Metric) -> list[str]:
    """What the labels of a series are called."""
    names = [text_of(operand).removeprefix(".") for operand in metric.by]
    own = _OWN_LABELS.get(metric.function)
    return [*names, own] if own else names


def _threshold(metric: Metric, values: Values) -> str:
    if metric.threshold is None:
        return "true"
    op, literal = metric.threshold
    number = float(literal.value)
    return f"value {op} {values.bind(number / _NS_A_SECOND if literal.kind == 'duration' else number)}"


def is_duration(operand: Operand) -> bool:
    """Whether a number is one of nanoseconds."""
    return any(
        isinstance(known, Field) and known.scope == "intrinsic" and known.key in _DURATIONS for known in fields_of(operand)
    )


_DURATIONS = ("duration", "trace:duration")
