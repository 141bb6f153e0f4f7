"""Run: the newest traces that a query means, found without reading all of them.

Takes   a query and a window, and the spans of a snapshot.
Gives   the summaries of one page, as `lake.trace_list` gives them, and the spans that matched.
Refuses nothing; values are checked by `lake.store`.

Spans are looked through in slices of time, newest first and each once, for candidates: few columns, no repeats left out. Of
as many candidates as a page needs all spans are read, each counted once, and judged. A trace starts no later than any of its
spans; so when the candidates down to some time have been judged, no other trace can come between those that start later,
and the page may be full.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..derived.grouping import groups
from ..identity import latest_spans
from ..relations import Relation, Relations, shifted
from ..schema import SPAN_IDENTITY, SPAN_RECENCY, Promoted, tables_of
from ..summaries import SPAN_COLUMNS, of_spans, put_together, start_ns_of
from ..trace_list import comes_after, nanoseconds, slices, starts_within
from ..wire.arrays import numbers
from .candidates import CandidateSql
from .conditions import Conditions
from .fields import Columns
from .printer import text_of
from .spansets import START_NS, SpansetSql, columns_of
from .tree import Query, Select
from .values import Values

_FEW_SPANS = 200_000
"""Spans that are looked through at once."""
_GROWTH = 8
"""How much more traces are judged at once each time that too few of them were meant."""
_MOST_TRACES = 20_000
"""Traces that are judged at once: all their spans are in memory."""
_SHOWN_SPANS = 3

_CANDIDATES = pa.schema([("trace_id", pa.string()), ("bound_ns", pa.int64())])

Ask = Callable[[str, str, Mapping[str, Any], Relation], pa.Table]
"""Runs a query with some values over a relation; the first text says what it is for."""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Which traces a search is for, and which page of them."""

    query: Query
    since: dt.datetime
    until: dt.datetime
    around: dt.timedelta
    """How far outside the window spans of its traces are looked for."""
    limit: int
    before: tuple[int, str] | None = None
    """Start in nanoseconds and id of the last trace of the page before."""

    @property
    def reach(self) -> tuple[dt.datetime, dt.datetime]:
        """From when to when spans of the traces are looked for."""
        return shifted(self.since, -self.around), shifted(self.until, self.around)


def page(asked: SearchPage, spans: Relations, promoted: tuple[Promoted, ...], ask: Ask) -> pa.Table:
    """The newest traces that are meant, at most `limit`."""
    last = asked.reach[1]
    columns = Columns(promoted)
    needed = columns_of(asked.query, columns)
    search = _Search(asked, spans, columns, ask)
    is_small = spans.row_count("spans", since=asked.since, until=last) <= _FEW_SPANS
    end = last
    for since, _ in slices(asked.since, asked.until, is_small=is_small):
        if not spans.is_empty("spans", since=since, until=end):  # a query over nothing takes its time too
            search.look_through(spans.of("spans", since=since, until=end, columns=needed), since, end)
        if search.is_full(since, is_last=since == asked.since):
            break
        end = since
    return search.found()


@dataclass(slots=True)
class _Search:
    """The traces found so far."""

    asked: SearchPage
    spans: Relations
    columns: Columns
    ask: Ask
    _waiting: pa.Table = field(default_factory=_CANDIDATES.empty_table)
    """Candidates that have not been judged, newest first."""
    _seen: list[pa.Array] = field(default_factory=list)
    """Ids of all candidates."""
    _summaries: list[pa.Table] = field(default_factory=list)
    _starts: list[pa.Table] = field(default_factory=list)
    """Traces that are meant: those with a summary, and those of which no more than id and start are known yet."""
    _size: int = 0

    def look_through(self, spans: Relation, since: dt.datetime, until: dt.datetime) -> None:
        """Add the candidates that have spans in `[since, until)`."""
        found = self.candidates(spans, since, until)
        self._seen.append(found.column("trace_id").combine_chunks())
        together = pa.concat_tables([self._waiting, found.cast(_CANDIDATES)])
        self._waiting = together.sort_by([("bound_ns", "descending"), ("trace_id", "descending")])

    def is_full(self, since: dt.datetime, *, is_last: bool) -> bool:
        """Judge candidates, newest first, until the page is full; whether it is.

        Args:
            since: every trace that is no candidate yet starts before it.
            is_last: there will be no other candidates.
        """
        before_ns = nanoseconds(since) - 1
        least = self.asked.limit + self.asked.limit // 4 + 4
        self._size = self._size or least
        while self._waiting.num_rows >= (1 if is_last else least):
            part = self._waiting.slice(0, self._size)
            self._waiting = self._waiting.slice(self._size)
            self._judge(part.column("trace_id").combine_chunks())
            self._size = min(self._size * _GROWTH, _MOST_TRACES)
            next_ns = self._waiting.column("bound_ns")[0].as_py() if self._waiting.num_rows else before_ns
            if self._starts_after(max(next_ns, before_ns)) >= self.asked.limit:
                return True
        return False

    def candidates(self, spans: Relation, since: dt.datetime, until: dt.datetime) -> pa.Table:
        """Traces with spans in `[since, until)` that can be meant, with a time they start no later than; newest first."""
        values = Values()
        where = f"s.start_time >= {values.bind(since)} AND s.start_time < {values.bind(until)}"
        text = CandidateSql(Conditions(self.columns, values)).select(self.asked.query, spans.text, where)
        found = self.ask("candidates", text, values.used_in(text), spans)
        for seen in self._seen:
            found = found.filter(pc.invert(pc.is_in(found.column("trace_id"), value_set=seen)))
        return self._before(found) if self.asked.before else found

    def _before(self, candidates: pa.Table) -> pa.Table:
        """The candidates that belong on this page or a later one, with the time they do start."""
        if not candidates.num_rows or self.asked.before is None:
            return candidates
        first, last = self.asked.reach
        around = self.spans.of("spans", since=first, until=last, columns=("trace_id", "start_time", "start_ns_remainder"))
        text = f"""
            SELECT trace_id, min({START_NS}) AS bound_ns FROM ({around.text})
            WHERE start_time >= $first AND start_time < $last AND trace_id IN (SELECT trace_id FROM _candidates)
            GROUP BY trace_id HAVING (bound_ns, trace_id) < ($before_ns, $before_id)
            ORDER BY bound_ns DESC, trace_id DESC"""
        before_ns, before_id = self.asked.before
        values = {"first": first, "last": last, "before_ns": before_ns, "before_id": before_id}
        tables = {**around.tables, "_candidates": candidates.select(["trace_id"])}
        return self.ask("starts", text, values, Relation(text, tables))

    def _judge(self, ids: pa.Array) -> None:
        """Keep those of some traces that are meant."""
        if not self._summaries:  # most pages are full after one round: then all is read at once
            self._summaries.append(self._meant(ids))
        else:
            self._starts.append(self._meant(ids, summaries=False))

    def _starts_after(self, ns: int) -> int:
        parts = (*self._summaries, *self._starts)
        return sum(pc.sum(pc.greater(part.column("start_ns"), ns)).as_py() or 0 for part in parts)

    def found(self) -> pa.Table:
        """The page."""
        if not self._summaries:
            self._judge(pa.array([], pa.string()))
        known = [part.select(["trace_id", "start_ns"]) for part in (*self._summaries, *self._starts)]
        newest = _newest(pa.concat_tables(known), self.asked.limit).column("trace_id").combine_chunks()
        summaries = list(self._summaries)
        if self._starts:
            later = newest.filter(pc.invert(pc.is_in(newest, value_set=summaries[0].column("trace_id").combine_chunks())))
            summaries.append(self._meant(later))
        return _newest(pa.concat_tables(summaries), self.asked.limit)

    def _meant(self, ids: pa.Array, *, summaries: bool = True) -> pa.Table:
        """Those of some traces that are meant: their summaries, or id and start."""
        members = self._members(ids, columns=SPAN_COLUMNS if summaries else SPAN_IDENTITY)
        values = Values()
        sql = SpansetSql(self.columns, values)
        sql.expressions.append(("members", f"SELECT *, {START_NS} AS start_ns FROM _members"))
        stage = sql.build(self.asked.query)
        select = _hits(self.asked.query, stage, sql) if summaries else f"SELECT DISTINCT trace_id FROM {stage}"
        text = f"{sql.text()}\n{select}"
        needed = members.select(["n", *sorted(columns_of(self.asked.query, self.columns))])
        hits = self.ask("judge", text, values.used_in(text), Relation(text, {"_members": needed}))
        meant = hits.column("trace_id").combine_chunks()
        members = members.filter(pc.is_in(members.column("trace_id"), value_set=meant))
        traces = put_together(of_spans(members)) if summaries else _starts_of(members)
        traces = traces.filter(self._is_of_page(traces))
        place = pc.index_in(traces.column("trace_id"), value_set=meant)
        for name in hits.column_names[1:]:
            traces = traces.append_column(name, hits.column(name).take(place))
        return traces

    def _is_of_page(self, traces: pa.Table) -> pa.Array:
        """Which traces start in the window, and belong on this page or a later one."""
        start_ns, trace_id = traces.column("start_ns"), traces.column("trace_id")
        found = starts_within(traces, nanoseconds(self.asked.since), nanoseconds(self.asked.until))
        return found if self.asked.before is None else pc.and_(found, comes_after(self.asked.before, start_ns, trace_id))

    def _members(self, ids: pa.Array, columns: Iterable[str]) -> pa.Table:
        """Every span of some traces once, with a number."""
        first, last = self.asked.reach
        needed = sorted(columns_of(self.asked.query, self.columns).union(columns, SPAN_RECENCY))
        if not len(ids):  # nothing has to be read to know that there is nothing
            nothing = tables_of(self.columns.promoted)["spans"].arrow_schema.empty_table().select(needed)
            return nothing.append_column("n", pa.array([], pa.int64()))
        around = self.spans.of("spans", since=first, until=last, columns=needed, trace_ids=ids.to_pylist())
        reach = "start_time >= $first AND start_time < $last"
        text = f"{around.text} WHERE {reach} AND trace_id IN (SELECT trace_id FROM _candidates)"
        tables = {**around.tables, "_candidates": pa.table({"trace_id": ids})}
        found = latest_spans(self.ask("spans", text, {"first": first, "last": last}, Relation(text, tables)))
        return found.append_column("n", pa.array(np.arange(found.num_rows)))


def _starts_of(spans: pa.Table) -> pa.Table:
    """Id and start of each trace."""
    alike = groups(spans.column("trace_id"))
    ids = spans.column("trace_id").take(pa.array(alike.example))
    return pa.table({"trace_id": ids, "start_ns": numbers(alike.lowest(start_ns_of(spans)))})


def _newest(traces: pa.Table, limit: int) -> pa.Table:
    return traces.sort_by([("start_ns", "descending"), ("trace_id", "descending")]).slice(0, limit)


LATEST_FIRST = ", ".join(f"{name} DESC" for name in SPAN_RECENCY)


def _hits(query: Query, stage: str, sql: SpansetSql) -> str:
    """How many spans of each trace matched, and the first of them."""
    order = "s.start_ns, s.span_id, s.kind"
    shown = {"matched_span_ids": "s.span_id"}
    selected = [operand for step in query.stages if isinstance(step, Select) for operand in step.operands]
    if selected:
        names = ", ".join(sql.values.bind(str(text_of(operand))) for operand in selected)
        shown["matched_fields"] = f"MAP([{names}], [{', '.join(map(sql.conditions().text, selected))}])"
    listed = ", ".join(f"(list({value} ORDER BY {order}))[1:{_SHOWN_SPANS}] AS {name}" for name, value in shown.items())
    return (
        f"SELECT s.trace_id, count(*) AS matched_spans, {listed} FROM {sql.source} "
        f"WHERE s.n IN (SELECT n FROM {stage}) GROUP BY s.trace_id"
    )
