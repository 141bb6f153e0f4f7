"""Summaries: what a list says of each trace, without reading its spans.

Takes   spans.
Gives   rows of `trace_summaries`: one per trace and hour. Those of one trace can be put together (`lake.queries`), so spans
        that come later, and those of the next hour, make further rows.
Refuses nothing.

The root is the span without parent that is earliest, then longest; where every span has a parent, the earliest of all.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..dictionaries import without_dictionaries
from ..schema import TRACE_SUMMARIES
from ..wire.arrays import numbers
from .grouping import Groups, Integers, groups
from .spans import HOUR_US, Spans, times

_OF_ROOT = {
    "root_kind": "kind",
    "root_service": "service_name",
    "root_name": "name",
    "root_status": "status",
    "root_environment": "environment",
    "root_version": "service_version",
    "root_git_sha": "git_sha",
    "root_http_method": "http_method",
    "root_http_route": "http_route",
    "root_http_status_code": "http_status_code",
    "root_missing": "has_parent",
}
"""Columns, and what they are of the root's facet."""

_HIGHEST = np.iinfo(np.int64).max


def trace_summaries_of(spans: Spans) -> pa.Table:
    """Summarize the traces of some spans."""
    if not len(spans):
        return TRACE_SUMMARIES.arrow_schema.empty_table()
    hour = spans.start_us // HOUR_US
    traces = groups(spans.traces.of_row, hour - hour.min())
    first_ns = traces.lowest(spans.start_ns)
    root = _roots(spans, traces)
    of_root = spans.facets.select(list(_OF_ROOT.values())).take(pa.array(spans.facet[root]))
    is_error = pc.equal(spans.facets.column("status"), "error")
    columns = {name: of_root.column(source) for name, source in _OF_ROOT.items()} | {
        "trace_id": spans.rows.column("trace_id").take(pa.array(traces.example)),
        "start_time": times(first_ns // 1000),
        "start_ns_remainder": numbers((first_ns % 1000).astype(np.int16)),
        "duration_ns": numbers(traces.highest(spans.start_ns + spans.duration_ns) - first_ns),
        "span_count": numbers(np.bincount(traces.of_row, minlength=len(traces)).astype(np.int64)),
        "error_count": numbers(traces.sums(spans.flags(is_error))),
        "services": _services(spans, traces),
        "root_span_id": spans.rows.column("span_id").take(pa.array(root)),
        "root_offset_ns": numbers(spans.start_ns[root] - first_ns),
        "root_duration_ns": numbers(spans.duration_ns[root]),
        "ingested_at": times(traces.highest(spans.ingested_us)),
    }
    schema = TRACE_SUMMARIES.arrow_schema
    return pa.table([columns[field.name] for field in schema], schema=schema)


def _roots(spans: Spans, traces: Groups) -> Integers:
    """The row of each trace's root."""
    rows = np.arange(len(spans))
    for rank in (spans.has_parent.astype(np.int64), spans.start_ns, -spans.duration_ns):
        best = np.full(len(traces), _HIGHEST)
        np.minimum.at(best, traces.of_row[rows], rank[rows])
        rows = rows[rank[rows] == best[traces.of_row[rows]]]
    if len(rows) > len(traces):  # equal to the nanosecond: by span id, so that everybody takes the same one
        equal = without_dictionaries(spans.rows.select([name for name, _ in _BY_SPAN]).take(pa.array(rows)))
        rows = rows[pc.sort_indices(equal, sort_keys=_BY_SPAN).to_numpy()]
    root = np.zeros(len(traces), np.int64)
    root[traces.of_row[rows[::-1]]] = rows[::-1]
    return root


_BY_SPAN = [("span_id", "ascending"), ("kind", "ascending")]


def _services(spans: Spans, traces: Groups) -> pa.ListArray:
    """The services of each trace in order."""
    names = spans.facets.column("service_name")
    in_order = pc.array_sort_indices(names.combine_chunks()).to_numpy()
    services = groups(names.take(pa.array(in_order)))  # numbered in the order of their names
    of_facet = np.zeros(len(names), np.int64)
    of_facet[in_order] = services.of_row
    every = traces.of_row * len(services) + of_facet[spans.facet]
    pairs = np.sort(every[groups(every).example])
    texts = names.take(pa.array(in_order[services.example])).take(pa.array(pairs % len(services)))
    named = pc.is_valid(texts).to_numpy()
    offsets = np.searchsorted((pairs // len(services))[named], np.arange(len(traces) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), texts.filter(pa.array(named)).combine_chunks())
