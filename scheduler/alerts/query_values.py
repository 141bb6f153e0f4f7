"""Query values: what TQ queries say of some windows.

Takes   queries of metrics, and the spans of a snapshot.
Gives   for each query and window the value of each set of labels.
Refuses nothing: a query that fails says why, and the others go on.

Queries that look at single spans share one statement and so one reading of a window (`lake.search.totals`), and where many
windows overlap their spans are held in memory. A query of whole traces reads what it needs by itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lake.errors import LakeError
from lake.queries import identifier
from lake.relations import Ask, Relation, Relations
from lake.search import Query
from lake.search.fields import Columns
from lake.search.metrics import SpanTables, Steps, series
from lake.search.run import Ask as RunsSearch
from lake.search.spansets import columns_of
from lake.search.totals import has_total, totals

from .minute_counts import Series, Windows
from .problems import problem_of

AROUND = dt.timedelta(hours=1)
"""How far outside a window other spans of its traces are looked for."""

_MOST_SPANS = 2_000_000
"""Spans that are held in memory at once; a window that has more is read by each query."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The spans of a window in memory; others are read from the tables."""

    tables: Relations
    windows: Windows
    spans: pa.Table

    def of(
        self,
        name: str,
        *,
        since: dt.datetime | None,
        until: dt.datetime | None,
        columns: Collection[str] | None,
    ) -> Relation:
        is_within = since is not None and until is not None and self.windows.since <= since and until <= self.windows.until
        if is_within and columns is not None and set(columns) <= set(self.spans.schema.names):
            return Relation("SELECT * FROM _held", {"_held": self.spans})
        return self.tables.of(name, since=since, until=until, columns=columns)


@dataclass(frozen=True, slots=True)
class QueryValues:
    """What one query says."""

    windows: tuple[Mapping[Series, float], ...]
    """For each window the value of each set of labels."""
    problem: str | None = None
    """Why there are none."""


def values_of(queries: Sequence[Query], windows: Windows, tables: Relations, ask: Ask) -> list[QueryValues]:
    """Ask every query of some windows."""

    def run(_: str, text: str, values: Mapping[str, Any], source: Relation) -> pa.Table:
        return ask(text, values, source)

    together = [place for place, query in enumerate(queries) if has_total(query)]
    some = [queries[place] for place in together]
    spans: SpanTables = tables
    if len(windows.ends) > 1 and some and _fits(windows, tables):
        spans = _Held(tables, windows, _read(windows, some, tables, ask))
    by_place = dict(zip(together, _together(some, windows, spans, tables, run), strict=True))
    return [by_place.get(place) or _alone(query, windows, tables, run) for place, query in enumerate(queries)]


def _fits(windows: Windows, tables: Relations) -> bool:
    return tables.row_count("spans", since=windows.since, until=windows.until) <= _MOST_SPANS


def _read(windows: Windows, queries: Sequence[Query], tables: Relations, ask: Ask) -> pa.Table:
    known = Columns(tables.snapshot.lake.promoted)
    columns = sorted({name for query in queries for name in columns_of(query, known)})
    source = tables.of("spans", since=windows.since, until=windows.until, columns=columns)
    listed = ", ".join(map(identifier, columns))
    text = f"SELECT {listed} FROM ({source.text}) WHERE start_time >= $since AND start_time < $until"
    return ask(text, {"since": windows.since, "until": windows.until}, source)


def _together(
    queries: Sequence[Query], windows: Windows, spans: SpanTables, tables: Relations, run: RunsSearch
) -> list[QueryValues]:
    """Queries that share one statement; where that fails each is asked alone, and says itself what is wrong with it."""
    promoted = tables.snapshot.lake.promoted
    try:
        by_end = [totals(queries, end - windows.length, end, spans, promoted, run) for end in windows.ends if queries]
    except LakeError:
        return [_alone(query, windows, tables, run) for query in queries]
    return [QueryValues(tuple(one[place] for one in by_end)) for place in range(len(queries))]


def _alone(query: Query, windows: Windows, tables: Relations, run: RunsSearch) -> QueryValues:
    promoted, length_s = tables.snapshot.lake.promoted, windows.length.total_seconds()
    found = []
    try:
        for end in windows.ends:
            rows = series(query, Steps(end - windows.length, end, length_s), tables, promoted, AROUND, run)
            found.append({_labels(row["labels"]): row["value"] for row in rows.to_pylist() if row["value"] is not None})
    except LakeError as error:
        return QueryValues((), problem_of(error))
    return QueryValues(tuple(found))


def _labels(labels: Sequence[tuple[str, str | None]]) -> Series:
    return tuple((name, "" if value is None else value) for name, value in labels)
