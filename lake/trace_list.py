"""Trace list: the newest traces of a window, found without reading all of it.

Takes   the filters of a list, and the table `trace_summaries` of a snapshot.
Gives   one page: what `lake.queries.SUMMARIES` says of every trace of the window, no more than asked for.
Refuses nothing; values are checked by `lake.store`.

A window is looked through in slices, newest first, and ends where the page is full. A trace may have several rows, made of
spans that came at different times. Of a slice, cheap conditions on its rows leave the traces that can be meant; only of
those all rows are read, put together, and judged.

A span that came in two different requests counts twice until its hour is rewritten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import queries
from .relations import Ask, Relation, Relations, shifted
from .schema import TRACE_SUMMARIES

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_TABLE = TRACE_SUMMARIES.name

_SHARES = (64, 8, 1)
"""Parts of the window that the first slices reach over; the last one has the rest."""

_FEW_ROWS, _FEW_FILTERED_ROWS = 20_000, 200_000
"""Rows that are looked through at once, because a query more costs as much as to read them. A list without filters has its
page in the first slice nearly always.
"""

_GROWTH = 8
"""How much more traces are judged at once each time that too few of them were meant."""


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which traces a list is of, and which page of it."""

    since: dt.datetime
    until: dt.datetime
    around: dt.timedelta
    """How far outside the window spans of its traces are looked for."""
    limit: int
    service: str | None = None
    min_duration_ns: int | None = None
    status: str | None = None
    before: tuple[int, str] | None = None
    """Start in nanoseconds and id of the last trace of the page before."""

    @property
    def is_filtered(self) -> bool:
        return (self.service, self.min_duration_ns, self.status) != (None, None, None)

    @property
    def end(self) -> dt.datetime:
        """Where the traces end that can still come."""
        if self.before is None:
            return self.until
        return min(self.until, EPOCH + dt.timedelta(microseconds=self.before[0] // 1000 + 1))

    @property
    def reach(self) -> tuple[dt.datetime, dt.datetime]:
        """From when to when spans of the traces are looked for."""
        return shifted(self.since, -self.around), shifted(self.until, self.around)


def page(asked: TraceFilter, relations: Relations, ask: Ask) -> pa.Table:
    """The newest traces that are meant, at most `limit`."""
    first, last = asked.reach
    around = relations.of(_TABLE, since=first, until=last)
    search = _Search(asked, around, ask)
    few = _FEW_FILTERED_ROWS if asked.is_filtered else _FEW_ROWS
    is_small = relations.row_count(_TABLE, since=asked.since, until=asked.end) <= few
    for since, until in slices(asked.since, asked.end, is_small=is_small):
        # only a filter needs more of a trace than its first row
        reach = last if asked.is_filtered else until
        ids = _candidates(asked, relations.of(_TABLE, since=since, until=reach), (since, until, reach), ask)
        if search.is_full_with(ids, since, is_last=since == asked.since):
            break
    return search.found()


def slices(since: dt.datetime, until: dt.datetime, *, is_small: bool = False) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The parts of `[since, until)`, newest first, each larger than the one before; all in one if there is little."""
    end = until
    for share in _SHARES[-1:] if is_small else _SHARES:
        begin = until - (until - since) / share
        if begin < end:
            yield begin, end
            end = begin


def _candidates(
    asked: TraceFilter, summaries: Relation, times: tuple[dt.datetime, dt.datetime, dt.datetime], ask: Ask
) -> pa.Array:
    """Ids of the traces of a slice that can be meant, newest first."""
    since, until, reach = times
    values: dict[str, Any] = {"since": since, "reach": reach, "until_ns": nanoseconds(until)}
    conditions = ["min(start_ns) < $until_ns"]
    if asked.service is not None:
        conditions.append("bool_or(list_contains(services, $service))")
        values["service"] = asked.service
    if asked.min_duration_ns is not None:
        conditions.append("max(start_ns + duration_ns) - min(start_ns) >= $min_duration_ns")
        values["min_duration_ns"] = asked.min_duration_ns
    if asked.status in _MAY_BE:
        conditions.append(_MAY_BE[asked.status])
    query = queries.CANDIDATES.format(summaries=summaries.text, conditions=" AND ".join(conditions))
    return ask(query, values, summaries).column("trace_id").combine_chunks()


_MAY_BE: Mapping[str | None, str] = {
    "error": "bool_or(error_count > 0 OR (root_kind = 'server' AND root_http_status_code >= 500))",
    "ok": "bool_or(root_status = 'ok')",
}
"""What some row of a trace of this status has."""


@dataclass(slots=True)
class _Search:
    """The traces found so far."""

    asked: TraceFilter
    around: Relation
    ask: Ask
    _parts: list[pa.Table] = field(default_factory=list)
    _count: int = 0
    _waiting: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """Ids of traces that are not judged yet, newest first."""
    _until: dt.datetime | None = None
    """End of the part of the window that they are of."""

    def is_full_with(self, ids: pa.Array, since: dt.datetime, *, is_last: bool) -> bool:
        """Take these traces of the next slice, and judge once there are enough for the page; whether it is full.

        Args:
            ids: newest first.
            since: begin of the slice.
        """
        # a trace that came with a newer slice too started in this one
        newer = self._waiting.filter(pc.invert(pc.is_in(self._waiting, value_set=ids)))
        self._waiting = pa.concat_arrays([newer, ids])
        if len(self._waiting) >= self.asked.limit - self._count or is_last:
            self._judge(self._waiting, since, self._until or self.asked.end)
            self._waiting, self._until = ids[:0], since
        return self._count >= self.asked.limit

    def _judge(self, ids: pa.Array, since: dt.datetime, until: dt.datetime) -> None:
        """Judge traces, newest first, until the page is full."""
        start, size = 0, 2 * self.asked.limit
        while start < len(ids) and self._count < self.asked.limit:
            part = self._judged(ids.slice(start, size), since, until)
            self._parts.append(part)
            self._count += part.num_rows
            start, size = start + size, size * _GROWTH

    def found(self) -> pa.Table:
        if not self._parts:
            self._parts.append(self._judged(pa.array([], pa.string()), self.asked.since, self.asked.until))
        return pa.concat_tables(self._parts)

    def _judged(self, ids: pa.Array, since: dt.datetime, until: dt.datetime) -> pa.Table:
        first, last = self.asked.reach
        text = (
            f"SELECT * FROM ({self.around.text}) WHERE start_time >= $first AND start_time < $last "
            "AND trace_id IN (SELECT trace_id FROM _candidates)"
        )
        values: dict[str, Any] = {"first": first, "last": last, "limit": self.asked.limit - self._count}
        conditions, bounds = self._conditions(since, until)
        query = queries.SUMMARIES.format(summaries=text, conditions=" AND ".join(conditions))
        tables = {**self.around.tables, "_candidates": pa.table({"trace_id": ids})}
        return self.ask(query, values | bounds, Relation(query, tables))

    def _conditions(self, since: dt.datetime, until: dt.datetime) -> tuple[list[str], dict[str, Any]]:
        asked = self.asked
        conditions = ["start_ns >= $since_ns", "start_ns < $until_ns"]
        values: dict[str, Any] = {"since_ns": nanoseconds(since), "until_ns": nanoseconds(until)}
        for name, text in (
            ("service", "list_contains(services, $service)"),
            ("min_duration_ns", "end_ns - start_ns >= $min_duration_ns"),
            ("status", "status = $status"),
        ):
            if getattr(asked, name) is not None:
                conditions.append(text)
                values[name] = getattr(asked, name)
        if asked.before is not None:
            conditions.append("(start_ns < $before_ns OR (start_ns = $before_ns AND trace_id < $before_id))")
            values["before_ns"], values["before_id"] = asked.before
        return conditions, values


def nanoseconds(time: dt.datetime) -> int:
    """Nanoseconds since the Unix epoch, exactly."""
    return (time - EPOCH) // dt.timedelta(microseconds=1) * 1000
