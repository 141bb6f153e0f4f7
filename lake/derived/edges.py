"""Edges: who calls whom, per minute.

Takes   spans.
Gives   rows of `service_edges`: calls whose both sides are known, counted; and single sides that wait for the other one.
        `resolved` puts sides together, whichever rows they came with, so the edges of a time are those of all its spans
        however they were split. `settled` does so for an hour that is over, and keeps what may reach into another one.
Refuses nothing.

A call is a client span with the server span that has it as its parent, or a producer with each of its consumers, in
different services. A client span without such a child calls what its attributes name: a database, a queue, another
address. Where a server has no parent but lies, in the same trace and hour, within a client span that nobody answered, that
client is taken for its caller (`inferred`).

The two sides of a call may lie in different hours if the caller is not over when its hour is, or is a producer, for whom
nobody waits. So an hour can settle what is over, and clocks that differ do not make it another call later.

As the service graphs of Tempo do it: https://grafana.com/docs/tempo/latest/metrics-from-traces/service_graphs
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..wire.arrays import numbers, owners_of
from . import histogram
from .grouping import Groups, Integers, groups
from .sides import SCHEMA, Booleans, Sides, sides_of
from .spans import HOUR_US, MINUTE_US, Spans, integers, times

_ALIKE = ("source", "source_type", "target", "target_type", "type", "inferred", "environment", "cluster", "target_cluster")
"""Calls of one minute that are equal in these are counted together."""


MAX_PAIRS = 10_000
"""Pairs of a client and a server without a parent that are looked at in one trace and hour. One that has more is no trace:
somebody sends everything under one id."""


def service_edges_of(spans: Spans) -> pa.Table:
    """The calls of some spans, and the sides that have no other side among them."""
    callers, to_databases, callees = sides_of(spans)
    calls, callers, callees = _paired(callers, callees)
    return pa.concat_tables([_counted([_lone(to_databases), calls]), callers.rows("caller"), callees.rows("callee")])


def joined(rows: pa.Table) -> pa.Table:
    """The same calls in fewer rows: sides that were apart are put together, and calls that are alike counted together.

    Args:
        rows: of `service_edges`, of one hour.
    """
    edges, callers, callees = _split(rows)
    calls, callers, callees = _paired(callers, callees)
    return pa.concat_tables([_counted([edges, calls]), callers.rows("caller"), callees.rows("callee")])


def settled(rows: pa.Table) -> pa.Table:
    """The rows of one hour that is over: each call counted, but for sides whose other one may lie in another hour.

    Args:
        rows: of `service_edges`, derived from whole traces as far as they lie in the hour.
    """
    if not rows.num_rows:
        return rows
    edges, callers, callees = _split(rows)
    calls, callers, callees = _paired(callers, callees)
    inferred, callers, callees = _inferred(callers, callees)
    over = ~_outlasts_its_hour(callers)
    lone = _lone(callers.take(over & callers.knows("target")))
    waiting = callees.has_parent | callees.knows("source")
    return pa.concat_tables(
        [
            _counted([edges, calls, inferred, lone]),
            callers.take(~over).rows("caller"),
            callees.take(waiting).rows("callee"),
        ]
    )


def resolved(rows: pa.Table) -> pa.Table:
    """The calls that some rows know of, as rows of the role `edge`: one for those of a minute that are alike.

    Args:
        rows: of `service_edges`, of any number of hours.
    """
    edges, callers, callees = _split(rows)
    calls, callers, callees = _paired(callers, callees, any_hour=True)
    inferred, callers, callees = _inferred(callers, callees)
    lone = _lone(callers.take(callers.knows("target") & ~callers.answered))
    return _counted([edges, calls, inferred, lone, _lone(callees.take(callees.knows("source")))])


def _outlasts_its_hour(callers: Sides) -> Booleans:
    """Whether the other side of each caller may lie in another hour."""
    outlasts: Booleans = (callers.start_us + callers.duration_ns // 1000) // HOUR_US > callers.start_us // HOUR_US
    return outlasts | callers.is_producer


def _split(rows: pa.Table) -> tuple[pa.Table, Sides, Sides]:
    """The calls that are counted already, the callers and the callees."""
    rows = rows.select(SCHEMA.names).cast(SCHEMA)  # a query knows nothing of what cannot be null
    role = rows.column("role")
    callers, callees = (Sides.of_rows(rows.filter(pc.equal(role, word))).once() for word in ("caller", "callee"))
    return rows.filter(pc.equal(role, "edge")), callers, callees


def _paired(callers: Sides, callees: Sides, *, any_hour: bool = False) -> tuple[pa.Table, Sides, Sides]:
    """The calls whose both sides are here, by the link to the parent, and the sides that are left.

    A client has one callee, the first one; further ones come of a retry below it. If it is counted before that one came, the
    one that it was counted with stays until the hour is made again. A producer has any number, so it stays.

    Args:
        any_hour: also those whose sides lie in different hours.
    """
    if not len(callers) or not len(callees):
        return SCHEMA.empty_table(), callers, callees
    place = pc.index_in(numbers(callees.parent_key), value_set=numbers(callers.span_key))
    caller = pc.fill_null(place, 0).to_numpy()
    found = callees.has_parent & pc.is_valid(place).to_numpy(zero_copy_only=False)
    found &= _in_same_hour(callers.take(caller), callees) | (any_hour & _outlasts_its_hour(callers)[caller])
    callee = np.flatnonzero(found)
    caller, callee = _first_answers(callers, callees, caller[callee], callee)
    calls = _calls(callers.take(caller), callees.take(callee))
    answered = callers.answered.copy()
    answered[caller] = True
    left = np.ones(len(callees), np.bool_)
    left[callee] = False
    callers = replace(callers, answered=answered)
    return calls, callers.take(~answered | callers.is_producer), callees.take(left)


def _first_answers(callers: Sides, callees: Sides, caller: Integers, callee: Integers) -> tuple[Integers, Integers]:
    """The pairs, of a client only the one whose callee started first, one in its own hour before others."""
    if np.bincount(caller, minlength=1).max() <= 1:
        return caller, callee
    elsewhere = ~_in_same_hour(callers.take(caller), callees.take(callee))
    order = np.lexsort((callees.span_key[callee], callees.start_us[callee], elsewhere, caller))
    caller, callee = caller[order], callee[order]
    kept = np.append(True, caller[1:] != caller[:-1]) | callers.is_producer[caller]
    return caller[kept], callee[kept]


def _in_same_hour(callers: Sides, callees: Sides) -> Booleans:
    same: Booleans = callers.start_us // HOUR_US == callees.start_us // HOUR_US
    return same


def _inferred(callers: Sides, callees: Sides) -> tuple[pa.Table, Sides, Sides]:
    """The calls of clients that nobody answered to servers without a parent that lie within them, and what is left.

    Of several such clients the shortest one is taken, which is the innermost. A client that outlasts its hour may have its
    callee in the next one, and so is nobody's.
    """
    clients = np.flatnonzero(~_outlasts_its_hour(callers))
    servers = np.flatnonzero(~callees.has_parent & ~callees.knows("source"))
    caller, callee = _in_one_trace(callers.take(clients), callees.take(servers))
    caller, callee = clients[caller], servers[callee]
    within = _lies_within(callers.take(caller), callees.take(callee))
    caller, callee = caller[within], callee[within]
    order = np.lexsort((callers.span_key[caller], callers.duration_ns[caller], callee))
    caller, callee = caller[order], callee[order]
    first = np.append(np.ones(min(1, len(callee)), np.bool_), callee[1:] != callee[:-1])
    caller, callee = caller[first], callee[first]
    calls = _calls(callers.take(caller), callees.take(callee), inferred=True)
    return calls, callers.take(_without(len(callers), caller)), callees.take(_without(len(callees), callee))


def _lies_within(clients: Sides, servers: Sides) -> Booleans:
    """Whether each server lies within its client, in another service, and at the address that was called if it is known."""
    within = clients.start_us <= servers.start_us
    within &= servers.start_us + servers.duration_ns // 1000 <= clients.start_us + clients.duration_ns // 1000
    pairs = groups(clients.facet, servers.facet)
    client = clients.words.take(pa.array(clients.facet[pairs.example]))
    server = servers.words.take(pa.array(servers.facet[pairs.example]))
    same_address = pc.fill_null(pc.equal(client.column("address"), server.column("address")), True)
    apart = pc.fill_null(pc.not_equal(client.column("source"), server.column("target")), False)
    found: Booleans = within & pc.and_(same_address, apart).to_numpy()[pairs.of_row]
    return found


def _in_one_trace(clients: Sides, servers: Sides) -> tuple[Integers, Integers]:
    """The pairs of clients and servers of one trace and hour, but for traces that have more than `MAX_PAIRS`."""
    count = len(clients)
    traces = groups(
        numbers(np.append(clients.trace_key, servers.trace_key)),
        numbers(np.append(clients.start_us, servers.start_us) // HOUR_US),
    )
    of_client, of_server = traces.of_row[:count], traces.of_row[count:]
    per_trace = np.bincount(of_client, minlength=len(traces))
    few = per_trace * np.bincount(of_server, minlength=len(traces)) <= MAX_PAIRS
    order = np.argsort(of_client, kind="stable")
    first = np.cumsum(per_trace) - per_trace
    server = np.flatnonzero(few[of_server])
    pairs = per_trace[of_server[server]]
    place = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs) + np.repeat(first[of_server[server]], pairs)
    return order[place], np.repeat(server, pairs)


def _without(count: int, gone: Integers) -> Booleans:
    left = np.ones(count, np.bool_)
    left[gone] = False
    return left


def _calls(callers: Sides, callees: Sides, *, inferred: bool = False) -> pa.Table:
    """The calls of each pair whose services differ, counted."""
    # what the caller waited; nobody waits for a consumer
    duration_ns = np.where(callers.is_producer, callees.duration_ns, callers.duration_ns)
    minute = callers.start_us // MINUTE_US
    found = groups(callers.facet, callees.facet, minute - minute.min(initial=0))
    source = callers.words.take(pa.array(callers.facet[found.example]))
    target = callees.words.take(pa.array(callees.facet[found.example]))
    words = {name: source.column(name) for name in ("source", "source_type", "type", "cluster")}
    words |= {name: target.column(name) for name in ("target", "target_type", "target_cluster")}
    words["environment"] = pc.coalesce(source.column("environment"), target.column("environment"))
    rows = _edges(
        found, words, minute, duration_ns, callers.failed | callees.failed,
        np.maximum(callers.ingested_us, callees.ingested_us), inferred=inferred,
    )  # fmt: skip
    return rows.filter(pc.fill_null(pc.not_equal(rows.column("source"), rows.column("target")), True))


def _lone(sides: Sides) -> pa.Table:
    """Calls of which one side is a span and the other one what its attributes name."""
    minute = sides.start_us // MINUTE_US
    found = groups(sides.facet, minute - minute.min(initial=0))
    words = sides.words.take(pa.array(sides.facet[found.example]))
    columns = {name: words.column(name) for name in words.column_names}
    return _edges(found, columns, minute, sides.duration_ns, sides.failed, sides.ingested_us)


def _edges(
    found: Groups,
    words: dict[str, pa.ChunkedArray],
    minute: Integers,
    duration_ns: Integers,
    failed: Booleans,
    ingested_us: Integers,
    *,
    inferred: bool = False,
) -> pa.Table:
    """One row of the role `edge` for each group of calls."""
    one_each = np.ones(len(minute), np.int64)
    bins, counts = histogram.merged(found.of_row, len(found), histogram.bins_of(duration_ns), one_each)
    columns = words | {
        "role": pa.repeat("edge", len(found)),
        "start_time": times(minute[found.example] * MINUTE_US),
        "inferred": pa.repeat(inferred, len(found)),
        "call_count": numbers(found.sums(one_each)),
        "error_count": numbers(found.sums(failed)),
        "latency_bins": bins,
        "latency_counts": counts,
        "ingested_at": times(found.highest(ingested_us)),
    }
    columns |= {field.name: pa.nulls(len(found), field.type) for field in SCHEMA if field.name in _OF_SIDE}
    return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)


_OF_SIDE = ("span_key", "parent_key", "trace_key", "duration_ns", "address", "answered")
"""Columns that only single sides have."""


def _counted(calls: list[pa.Table]) -> pa.Table:
    """One row of the calls that are alike."""
    rows = pa.concat_tables(calls)
    if not rows.num_rows:
        return rows
    minute = integers(rows, "start_time") // MINUTE_US
    found = groups(*(rows.column(name) for name in _ALIKE), minute - minute.min())
    if len(found) == len(rows):
        return rows
    bins, counts = (rows.column(name).combine_chunks() for name in ("latency_bins", "latency_counts"))
    merged = histogram.merged(
        found.of_row[owners_of(bins)], len(found), bins.flatten().to_numpy(), counts.flatten().to_numpy()
    )
    examples = rows.take(pa.array(found.example))
    columns = {name: examples.column(name) for name in rows.column_names} | {
        "call_count": numbers(found.sums(integers(rows, "call_count"))),
        "error_count": numbers(found.sums(integers(rows, "error_count"))),
        "latency_bins": merged[0],
        "latency_counts": merged[1],
        "ingested_at": times(found.highest(integers(rows, "ingested_at"))),
    }
    return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)
