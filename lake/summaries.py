"""Summaries: traces out of the rows of `trace_summaries`.

Takes   the table of a snapshot, and how far the traces reach.
Gives   its rows, and what they say of each trace together; what spans say of theirs.
Refuses nothing.

Rows of the last hours are kept in memory; where there are too many of them, DuckDB finds what is wanted in the files, within
its bounds of memory.

A span that came in two different requests counts twice until its hour is rewritten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from . import queries
from .derived.grouping import Groups, distinct, groups
from .derived.spans import integers
from .relations import Ask, Relation, Relations, kept
from .schema import TRACE_SUMMARIES
from .wire.arrays import numbers, owners_of

_TABLE = TRACE_SUMMARIES.name

_MOST_KEPT_ROWS = 200_000
"""Rows in the reach of a list up to which they are read through the cache, whose bounds they must not exceed."""


@dataclass(frozen=True, slots=True)
class Summaries:
    """The rows of `trace_summaries` that lie in the reach of a question."""

    relations: Relations
    ask: Ask
    since: dt.datetime
    until: dt.datetime
    are_few: bool
    """They are read through the cache."""

    @classmethod
    def reaching(cls, relations: Relations, ask: Ask, since: dt.datetime, until: dt.datetime) -> Summaries:
        """The rows that start in `[since, until)`."""
        are_few = relations.row_count(_TABLE, since=since, until=until) <= _MOST_KEPT_ROWS
        return cls(relations, ask, since, until, are_few)

    def keys(self, columns: Sequence[str], since: dt.datetime, until: dt.datetime) -> pa.Table:
        """Some of `_KEYS` of the rows that start in `[since, until)`, which lies in the reach; where they are few."""
        parts = self.relations.parts(_TABLE, _KEYS, since=since, until=until)
        return pa.concat_tables([kept(part.select(columns), _starts_within(part, since, until)) for part in parts])

    def groups_with(self, conditions: str, values: Mapping[str, Any], since: dt.datetime, until: dt.datetime) -> pa.Array:
        """Ids of the traces whose rows that start in `[since, until)` meet SQL conditions together, newest first."""
        source = self.relations.of(_TABLE, since=since, until=until)
        text = queries.CANDIDATES.format(summaries=source.text, conditions=conditions)
        return self.ask(text, {"since": since, "reach": until, **values}, source).column("trace_id").combine_chunks()

    def of(self, ids: pa.Array) -> pa.Table:
        """All rows of some traces."""
        if self.are_few:
            return self.relations.matching(
                _TABLE, _KEYS, _OTHERS, lambda rows: self._is_of(ids, rows), since=self.since, until=self.until
            )
        source = self.relations.of(_TABLE, since=self.since, until=self.until)
        text = (
            f"SELECT * FROM ({source.text}) WHERE start_time >= $since AND start_time < $until "
            "AND trace_id IN (SELECT trace_id FROM _candidates)"
        )
        tables = {**source.tables, "_candidates": pa.table({"trace_id": ids})}
        return self.ask(text, {"since": self.since, "until": self.until}, Relation(text, tables))

    def _is_of(self, ids: pa.Array, rows: pa.Table) -> pa.ChunkedArray:
        return pc.and_(pc.is_in(rows.column("trace_id"), value_set=ids), _starts_within(rows, self.since, self.until))


_KEYS = (
    "trace_id", "start_time", "start_ns_remainder", "duration_ns", "services", "error_count", "root_kind", "root_status",
    "root_http_status_code",
)  # fmt: skip
"""What tells whether a trace can be meant."""

_OTHERS = tuple(c.name for c in TRACE_SUMMARIES.columns if c.name not in _KEYS)


def _starts_within(rows: pa.Table, since: dt.datetime, until: dt.datetime) -> pa.ChunkedArray:
    start = rows.column("start_time")
    return pc.and_(pc.greater_equal(start, pa.scalar(since)), pc.less(start, pa.scalar(until)))


def start_ns_of(rows: pa.Table) -> npt.NDArray[np.int64]:
    """When the spans of each row start, in nanoseconds since the Unix epoch."""
    start_ns: npt.NDArray[np.int64] = integers(rows, "start_time") * 1000 + integers(rows, "start_ns_remainder")
    return start_ns


def has_service(rows: pa.Table, service: str) -> npt.NDArray[np.bool_]:
    """Which rows, or traces, have spans of a service."""
    lists = rows.column("services").combine_chunks()
    found = np.zeros(len(rows), np.bool_)
    found[owners_of(lists)[pc.equal(lists.flatten(), service).to_numpy(zero_copy_only=False)]] = True
    return found


def has_failed(kind: pa.ChunkedArray, error_count: pa.ChunkedArray, status_code: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether a trace counts as failed: some span did, or its root is a server that answered 5xx."""
    is_5xx = pc.fill_null(pc.greater_equal(status_code, 500), fill_value=False)
    return pc.or_(pc.greater(error_count, 0), pc.and_(pc.equal(kind, "server"), is_5xx))


def of_spans(spans: pa.Table) -> pa.Table:
    """Each span as if it were all that is known of its trace, as a row that `put_together` takes.

    Args:
        spans: rows of `spans`, each span once, with at least `SPAN_COLUMNS`.
    """
    services = spans.column("service_name").combine_chunks()
    offsets = np.concatenate(([0], np.cumsum(services.is_valid().to_numpy(zero_copy_only=False)))).astype(np.int32)
    columns = {column: spans.column(source) for column, source in _OF_SPAN.items()} | {
        "span_count": numbers(np.ones(len(spans), np.int64)),
        "error_count": pc.equal(spans.column("status"), "error").cast(pa.int64()),
        "services": pa.ListArray.from_arrays(numbers(offsets), services.drop_null()),
        "root_missing": spans.column("parent_span_id").is_valid(),
        "root_offset_ns": numbers(np.zeros(len(spans), np.int64)),
    }
    return pa.table(columns)


_OF_SPAN = {
    "trace_id": "trace_id", "start_time": "start_time", "start_ns_remainder": "start_ns_remainder",
    "duration_ns": "duration_ns", "root_span_id": "span_id", "root_duration_ns": "duration_ns", "root_kind": "kind",
    "root_service": "service_name", "root_name": "name", "root_status": "status", "root_environment": "environment",
    "root_version": "service_version", "root_git_sha": "git_sha", "root_http_method": "http_method",
    "root_http_route": "http_route", "root_http_status_code": "http_status_code",
}  # fmt: skip
"""Columns of a summary and those of its only span."""

SPAN_COLUMNS = frozenset((*_OF_SPAN.values(), "parent_span_id"))


def put_together(rows: pa.Table) -> pa.Table:
    """The traces that some rows of `trace_summaries` are of, in no order.

    Returns:
        trace_id, start_ns, end_ns, span_count, error_count, services, root (struct), status.
    """
    alike = groups(rows.column("trace_id"))
    start_ns = start_ns_of(rows)
    root = rows.take(pa.array(_roots(rows, alike, start_ns + integers(rows, "root_offset_ns"))))
    error_count = numbers(alike.sums(integers(rows, "error_count")))
    lists = rows.column("services").combine_chunks()
    of_service = Groups(alike.of_row[owners_of(lists)], alike.example)
    offsets, services = distinct(of_service, pa.chunked_array([lists.flatten()]))
    failed = has_failed(root.column("root_kind"), pa.chunked_array([error_count]), root.column("root_http_status_code"))
    is_ok = pc.equal(root.column("root_status"), "ok")
    return pa.table(
        {
            "trace_id": root.column("trace_id"),
            "start_ns": numbers(alike.lowest(start_ns)),
            "end_ns": numbers(alike.highest(start_ns + integers(rows, "duration_ns"))),
            "span_count": numbers(alike.sums(integers(rows, "span_count"))),
            "error_count": error_count,
            "services": pa.ListArray.from_arrays(numbers(offsets.astype(np.int32)), services.combine_chunks()),
            "root": pa.StructArray.from_arrays([root.column(c).combine_chunks() for c in _ROOT.values()], names=[*_ROOT]),
            "status": pc.if_else(failed, "error", pc.if_else(is_ok, "ok", "unset")),
        }
    )


_ROOT = {
    "service": "root_service", "operation": "root_name", "status": "root_status", "kind": "root_kind",
    "missing": "root_missing", "span_id": "root_span_id", "environment": "root_environment", "version": "root_version",
    "git_sha": "root_git_sha", "http_method": "root_http_method", "http_route": "root_http_route",
    "http_status_code": "root_http_status_code",
}  # fmt: skip
"""Fields of a root and the columns they come from."""


def _roots(rows: pa.Table, alike: Groups, root_start_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The row of each trace that has its root: no parent, earliest, longest; without any, the earliest span of all."""
    order = pa.table(
        {
            "trace": numbers(alike.of_row),
            "missing": rows.column("root_missing"),
            "start": numbers(root_start_ns),
            "shortness": numbers(-integers(rows, "root_duration_ns")),
            "span_id": rows.column("root_span_id"),
            "kind": rows.column("root_kind"),
        }
    )
    in_order = pc.sort_indices(order, sort_keys=[(name, "ascending") for name in order.column_names]).to_numpy()
    found: npt.NDArray[np.int64] = in_order[np.searchsorted(alike.of_row[in_order], np.arange(len(alike)))]
    return found
