"""Trace list: the newest traces of a window, found without reading all of it.

Takes   the filters of a list, and the table `trace_summaries` of a snapshot.
Gives   one page: what `lake.summaries.put_together` says of every trace of the window, no more than asked for.
Refuses nothing; values are checked by `lake.store`.

A window is looked through in slices, newest first, and ends where the page is full. A trace may have several rows, made of
spans that came at different times. Of a slice, cheap conditions on its rows leave the traces that can be meant; only of
those all rows are read, put together, and judged.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .derived.grouping import groups
from .derived.spans import integers
from .relations import Ask, Relations, shifted
from .schema import TRACE_SUMMARIES
from .summaries import Summaries, has_failed, has_service, put_together, start_ns_of
from .wire.arrays import booleans, numbers

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_TABLE = TRACE_SUMMARIES.name

_SHARES = (64, 8, 1)
"""Parts of the window that the first slices reach over; the last one has the rest."""

_FEW_ROWS = 20_000
"""Rows that are looked through at once."""

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
    search = _Search(asked, Summaries.reaching(relations, ask, *asked.reach))
    is_small = relations.row_count(_TABLE, since=asked.since, until=asked.end) <= _FEW_ROWS
    for since, until in slices(asked.since, asked.end, is_small=is_small):
        ids = search.candidates(since, until)
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


_MAY_BE: Mapping[str | None, str] = {
    "error": "bool_or(error_count > 0 OR (root_kind = 'server' AND root_http_status_code >= 500))",
    "ok": "bool_or(root_status = 'ok')",
}
"""What some row of a trace of this status has."""


@dataclass(slots=True)
class _Search:
    """The traces found so far."""

    asked: TraceFilter
    summaries: Summaries
    _parts: list[pa.Table] = field(default_factory=list)
    _count: int = 0
    _waiting: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """Ids of traces that are not judged yet, newest first."""
    _until: dt.datetime | None = None
    """End of the part of the window that they are of."""

    def candidates(self, since: dt.datetime, until: dt.datetime) -> pa.Array:
        """Ids of the traces of a slice that can be meant, by what the slice knows of them; newest first."""
        asked = self.asked
        # only a filter needs more of a trace than its first row
        reach = asked.reach[1] if asked.is_filtered else until
        if not self.summaries.are_few:
            return self.summaries.groups_with(*self._conditions(until), since, reach)
        rows = self.summaries.keys(self._columns, since, reach)
        alike = groups(rows.column("trace_id"))
        start_ns = start_ns_of(rows)
        first_ns = alike.lowest(start_ns)
        wanted = first_ns < nanoseconds(until)
        if asked.min_duration_ns is not None:
            wanted &= alike.highest(start_ns + integers(rows, "duration_ns")) - first_ns >= asked.min_duration_ns
        for is_some in self._marks(rows):
            wanted &= alike.sums(is_some) > 0
        found = pa.table(
            {
                "trace_id": rows.column("trace_id").take(pa.array(alike.example[wanted])),
                "start_ns": numbers(first_ns[wanted]),
            }
        )
        return found.sort_by(_NEWEST_FIRST).column("trace_id").combine_chunks()

    def _conditions(self, until: dt.datetime) -> tuple[str, dict[str, Any]]:
        """The same in SQL, where the rows are too many to be held."""
        asked = self.asked
        values: dict[str, Any] = {"until_ns": nanoseconds(until)}
        conditions = ["min(start_ns) < $until_ns"]
        if asked.service is not None:
            conditions.append("bool_or(list_contains(services, $service))")
            values["service"] = asked.service
        if asked.min_duration_ns is not None:
            conditions.append("max(start_ns + duration_ns) - min(start_ns) >= $min_duration_ns")
            values["min_duration_ns"] = asked.min_duration_ns
        if asked.status in _MAY_BE:
            conditions.append(_MAY_BE[asked.status])
        return " AND ".join(conditions), values

    @property
    def _columns(self) -> list[str]:
        """What tells whether a trace can be meant."""
        asked, found = self.asked, ["trace_id", "start_time", "start_ns_remainder"]
        if asked.min_duration_ns is not None:
            found.append("duration_ns")
        if asked.service is not None:
            found.append("services")
        if asked.status is not None:
            found += ["error_count", "root_kind", "root_status", "root_http_status_code"]
        return found

    def _marks(self, rows: pa.Table) -> Iterator[npt.NDArray[np.bool_]]:
        """What some row of a trace that is meant has."""
        if self.asked.service is not None:
            yield has_service(rows, self.asked.service)
        if self.asked.status == "error":
            columns = (rows.column(name) for name in ("root_kind", "error_count", "root_http_status_code"))
            yield has_failed(*columns).to_numpy()
        if self.asked.status == "ok":
            yield pc.equal(rows.column("root_status"), "ok").to_numpy()

    def is_full_with(self, ids: pa.Array, since: dt.datetime, *, is_last: bool) -> bool:
        """Take these traces of the next slice, and judge once there are enough for the page; whether it is full.

        Args:
            ids: newest first.
            since: begin of the slice.
        """
        # a trace that came with a newer slice too started in this one
        newer = self._waiting
        if len(newer) and len(ids):
            newer = newer.filter(pc.invert(pc.is_in(newer, value_set=ids)))
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
        traces = put_together(self.summaries.of(ids))
        traces = traces.filter(self._is_meant(traces, nanoseconds(since), nanoseconds(until)))
        return traces.sort_by(_NEWEST_FIRST).slice(0, self.asked.limit - self._count)

    def _is_meant(self, traces: pa.Table, since_ns: int, until_ns: int) -> pa.ChunkedArray:
        asked, start_ns = self.asked, traces.column("start_ns")
        meant = starts_within(traces, since_ns, until_ns)
        if asked.service is not None:
            meant = pc.and_(meant, booleans(has_service(traces, asked.service)))
        if asked.min_duration_ns is not None:
            duration_ns = traces.column("end_ns").to_numpy() - start_ns.to_numpy()
            meant = pc.and_(meant, booleans(duration_ns >= asked.min_duration_ns))
        if asked.status is not None:
            meant = pc.and_(meant, pc.equal(traces.column("status"), asked.status))
        if asked.before is not None:
            meant = pc.and_(meant, comes_after(asked.before, start_ns, traces.column("trace_id")))
        return meant


_NEWEST_FIRST = [("start_ns", "descending"), ("trace_id", "descending")]


def starts_within(traces: pa.Table, since_ns: int, until_ns: int) -> pa.BooleanArray:
    """Which traces start in `[since_ns, until_ns)`; a time of the calendar may be one that 64 bits cannot tell."""
    start_ns = traces.column("start_ns").to_numpy()
    return booleans((start_ns >= since_ns) & (start_ns < until_ns))


def comes_after(before: tuple[int, str], start_ns: pa.ChunkedArray, trace_id: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which traces come after one, given by start and id, in a list that has the newest first."""
    is_equal = pc.and_(pc.equal(start_ns, before[0]), pc.less(trace_id, before[1]))
    return pc.or_(pc.less(start_ns, before[0]), is_equal)


def nanoseconds(time: dt.datetime) -> int:
    """Nanoseconds since the Unix epoch, exactly."""
    return (time - EPOCH) // dt.timedelta(microseconds=1) * 1000
