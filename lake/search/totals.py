"""Totals: what many queries of metrics say of one window, out of one reading of its spans.

Takes   queries that single spans can answer (`metrics.reads_single_spans`), and a window.
Gives   for each query the value of each set of labels, as `metrics.series` has it for one step as long as the window.
Refuses nothing.

Queries with the same labels are aggregates of one statement, each with its own condition.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import Promoted
from .conditions import Conditions
from .fields import Columns
from .metrics import MAX_SERIES, SpanTables, label_names, measured, reads_single_spans
from .parser import InvalidQuery
from .printer import text_of
from .run import Ask
from .spansets import columns_of
from .tree import Metric, Query, Spanset
from .values import Values

Labels = tuple[tuple[str, str], ...]

"""What tells a series apart; a label without a value is empty."""

_SINGLE_VALUES = ("rate", "count_over_time", "min_over_time", "max_over_time", "avg_over_time", "sum_over_time")


@lru_cache(maxsize=4096)
def has_total(query: Query) -> bool:
    """Whether a query can be answered here."""
    metric = query.metric
    return (
        metric is not None and metric.function in _SINGLE_VALUES and metric.threshold is None and reads_single_spans(query)
    )


def totals(
    queries: Sequence[Query],
    since: dt.datetime,
    until: dt.datetime,
    spans: SpanTables,
    promoted: tuple[Promoted, ...],
    ask: Ask,
) -> list[dict[Labels, float]]:
    """The values of each query in `[since, until)`, by labels.

    Args:
        queries: `has_total` says so of each.

    Raises:
        InvalidQuery: `by` makes more than `MAX_SERIES` series.
    """
    columns = Columns(promoted)
    needed = frozenset().union(*(_needed(query, columns) for query in queries))
    source = spans.of("spans", since=since, until=until, columns=needed)
    found: list[dict[Labels, float]] = [{} for _ in queries]
    by_labels = defaultdict(list)
    for place, query in enumerate(queries):
        by_labels[_metric(query).by].append(place)
    for places in by_labels.values():
        text, values = _statement(tuple(queries[place] for place in places), columns)
        text = text.replace(_SOURCE, source.text)
        rows = ask("totals", text, {**values, "since": since, "until": until}, source)
        for number, place in enumerate(places):
            found[place] = _values(queries[place], rows, number, (until - since).total_seconds())
    return found


_SOURCE = "{{source}}"
"""Stands for the spans in a statement."""


@lru_cache(maxsize=4096)
def _needed(query: Query, columns: Columns) -> frozenset[str]:
    return frozenset(columns_of(query, columns))


@lru_cache(maxsize=64)
def _statement(queries: tuple[Query, ...], columns: Columns) -> tuple[str, Mapping[str, Any]]:
    """What gives one row per set of labels, with the count n<i> and the value v<i> of each query; and its values.

    The same rules ask the same every minute, and to write it takes as long as to run it.
    """
    values = Values()
    conditions = Conditions(columns, values)
    aggregates, meant = [], []
    labels = measured(_metric(queries[0]), conditions)[0]
    for number, query in enumerate(queries):
        assert isinstance(query.spansets, Spanset)  # noqa: S101 - `has_total`
        condition, metric = conditions.sql(query.spansets.condition), _metric(query)
        value = measured(metric, conditions)[1]
        counted = condition if metric.operand is None else f"({condition}) AND ({value}) IS NOT NULL"
        aggregates.append(f"count(*) FILTER (WHERE {counted}) AS n{number}")
        if metric.operand is not None:
            function = metric.function.removesuffix("_over_time")
            aggregates.append(f"({function}({value}) FILTER (WHERE {counted}))::DOUBLE AS v{number}")
        meant.append(f"n{number} > 0")
    text = f"""
        SELECT [{labels}]::VARCHAR[] AS labels, {", ".join(aggregates)} FROM ({_SOURCE}) s
        WHERE s.start_time >= $since AND s.start_time < $until
        GROUP BY 1 HAVING {" OR ".join(meant)} ORDER BY 1"""
    return text, values.used_in(text)


def _values(query: Query, rows: pa.Table, number: int, length_s: float) -> dict[Labels, float]:
    """The values of one query."""
    metric = _metric(query)
    counts = rows.column(f"n{number}")
    mine = rows.filter(pc.greater(counts, 0))
    if mine.num_rows > MAX_SERIES:
        problem = f"by() makes more than {MAX_SERIES} series: group by less"
        raise InvalidQuery(str(query), str(query).rindex(text_of(metric)), problem)
    if metric.operand is not None:
        values = mine.column(f"v{number}").to_pylist()
    else:
        values = [n / (length_s if metric.function == "rate" else 1) for n in mine.column(f"n{number}").to_pylist()]
    names = label_names(metric)
    keys = [
        tuple(zip(names, ("" if word is None else word for word in labels), strict=True))
        for labels in mine.column("labels").to_pylist()
    ]
    found = dict(zip(keys, values, strict=True))
    return found or ({(): 0.0} if metric.operand is None and not metric.by else {})


def _metric(query: Query) -> Metric:
    assert query.metric is not None  # noqa: S101 - `has_total`
    return query.metric
