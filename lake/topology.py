"""Topology: who calls whom in a time.

Takes   a window and the tables `service_edges` and `endpoint_minutes` of a snapshot.
Gives   the services with what they call, databases, queues and other addresses among it, and the calls between them.
Refuses nothing; values are checked by `lake.store`.

A call belongs to the minute in which its caller started. Both of its sides are looked for an hour around the window, as
far as they are not counted already (`lake.derived.edges`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .derived.edges import joined, resolved
from .derived.grouping import groups
from .derived.histogram import latencies, merged
from .derived.sides import SCHEMA
from .relations import Relations, shifted
from .schema import TIMESTAMP
from .services import DEFAULT_CLUSTER, MinuteFilter, services
from .wire.arrays import numbers, offsets_of, owners_of

SIDES_WITHIN = dt.timedelta(hours=1)
"""How far from a call its other side may start: a consumer may be late."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The graph of a window."""

    nodes: pa.Table
    """id, name, type (service, database, queue, external), cluster, request_count, error_count, p50_ns, p95_ns, p99_ns,
    avg_ns; of what is no service, of the calls to it."""
    edges: pa.Table
    """source, target, type, inferred, call_count, error_count, p50_ns, p95_ns, p99_ns, avg_ns; by source and target."""


def topology(asked: MinuteFilter, relations: Relations) -> Topology:
    """The graph of a window of whole minutes."""
    calls = _calls(asked, relations)
    known = services(asked, relations)
    return Topology(_nodes(known, calls), _edges(calls))


def edges(asked: MinuteFilter, relations: Relations) -> pa.Table:
    """The edges of the graph alone."""
    return _edges(_calls(asked, relations))


def _edges(calls: pa.Table) -> pa.Table:
    return _summed(calls, ("source", "target", "inferred"), ("type",))


def _touches(calls: pa.Table, cluster: str) -> pa.ChunkedArray:
    """Which calls begin or end in a cluster."""
    source = pc.coalesce(calls.column("cluster"), DEFAULT_CLUSTER)
    target = pc.coalesce(calls.column("target_cluster"), calls.column("cluster"), DEFAULT_CLUSTER)
    return pc.or_(pc.equal(source, cluster), pc.equal(target, cluster))


def _nodes(known: pa.Table, calls: pa.Table) -> pa.Table:
    """Services that had spans, then what is only called or only calls, by id."""
    of_services = pa.table(
        {
            "id": known.column("service_name"),
            "name": known.column("service_name"),
            "type": pa.repeat("service", len(known)),
            "cluster": pc.list_element(known.column("clusters"), 0) if len(known) else pa.array([], pa.string()),
            **{name: known.column(name) for name in _COUNTS},
        }
    )
    called = _summed(_renamed(calls, "target", "target_type", "target_cluster"), ("id",), ("type", "cluster"))
    called = called.rename_columns({"call_count": "request_count"})
    callers = _renamed(calls, "source", "source_type", "cluster").select(["id", "type", "cluster"])
    alone = callers.take(pa.array(groups(callers.column("id")).example))
    others = pa.concat_tables([called, alone.filter(_not_in(alone, called))], promote_options="default")
    others = others.filter(_not_in(others, of_services))
    zeros = {name: pc.fill_null(others.column(name), 0) for name in ("request_count", "error_count")}
    others = pa.table({name: zeros.get(name, others.column(name)) for name in ("id", "type", "cluster", *_COUNTS)})
    others = others.set_column(2, "cluster", pc.coalesce(others.column("cluster"), DEFAULT_CLUSTER))
    others = others.add_column(1, "name", pc.replace_substring_regex(others.column("id"), "^(db|queue|external):", ""))
    return pa.concat_tables([of_services, others], promote_options="permissive").sort_by("id")


_COUNTS = ("request_count", "error_count", "p50_ns", "p95_ns", "p99_ns", "avg_ns")


def _renamed(calls: pa.Table, node: str, kind: str, cluster: str) -> pa.Table:
    """The calls by what stands at one of their ends."""
    numbers_ = ["call_count", "error_count", "latency_bins", "latency_counts"]
    return calls.select([node, kind, cluster, *numbers_]).rename_columns(["id", "type", "cluster", *numbers_])


def _not_in(rows: pa.Table, others: pa.Table) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(rows.column("id"), value_set=others.column("id").combine_chunks()))


def _summed(calls: pa.Table, keys: tuple[str, ...], shared: tuple[str, ...]) -> pa.Table:
    """The calls with equal keys together, in order: the keys, what they share, counts and latencies."""
    alike = groups(*(calls.column(name) for name in keys))
    bins, counts = (calls.column(name).combine_chunks() for name in ("latency_bins", "latency_counts"))
    of_entry = alike.of_row[owners_of(bins)]
    bins, counts = merged(of_entry, len(alike), bins.flatten().to_numpy(), counts.flatten().to_numpy())
    found = latencies(offsets_of(bins).astype(np.int64), bins.flatten().to_numpy(), counts.flatten().to_numpy())
    rows = calls.select([*keys, *shared]).take(pa.array(alike.example))
    for name in ("call_count", "error_count"):
        rows = rows.append_column(name, numbers(alike.sums(calls.column(name).to_numpy())))
    for name, values in found.items():
        rows = rows.append_column(name, numbers(values))
    return rows.sort_by([(name, "ascending") for name in keys])


def _calls(asked: MinuteFilter, relations: Relations) -> pa.Table:
    """The calls of the window's minutes that begin or end in the cluster that is asked for."""
    first, last = shifted(asked.since, -SIDES_WITHIN), shifted(asked.until, SIDES_WITHIN)
    rows = relations.digest("service_edges", SCHEMA.names, joined, since=first, until=last, by_hour=True)
    calls = resolved(rows.filter(_known(rows, asked, first, last)))
    begins, ends = calls.column("start_time"), (calls.column("source"), calls.column("target"))
    inside = pc.and_(pc.greater_equal(begins, pa.scalar(asked.since)), pc.less(begins, pa.scalar(asked.until)))
    calls = calls.filter(pc.and_(inside, pc.and_(*(pc.is_valid(end) for end in ends))))
    return calls if asked.cluster is None else calls.filter(_touches(calls, asked.cluster))


def _known(rows: pa.Table, asked: MinuteFilter, first: dt.datetime, last: dt.datetime) -> pa.ChunkedArray:
    """Which rows tell of the calls of the window: calls of its minutes, and sides from `first` to `last`."""
    start, role = rows.column("start_time"), rows.column("role")
    is_edge = pc.equal(role, "edge")
    begin, end = (
        pc.if_else(is_edge, pa.scalar(of_edge, TIMESTAMP), pa.scalar(of_side, TIMESTAMP))
        for of_edge, of_side in ((asked.since, first), (asked.until, last))
    )
    # a server without parent is of use only where some client waits for its server
    callers = rows.column("trace_key").filter(pc.equal(role, "caller"))
    is_awaited = pc.is_in(rows.column("trace_key"), value_set=callers.combine_chunks())
    knows_caller = pc.or_(pc.is_valid(rows.column("parent_key")), pc.is_valid(rows.column("source")))
    is_of_use = pc.or_(pc.or_(is_edge, knows_caller), is_awaited)
    return pc.and_(is_of_use, pc.and_(pc.greater_equal(start, begin), pc.less(start, end)))
