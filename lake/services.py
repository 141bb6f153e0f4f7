"""Services: what each service and endpoint did in a time, from counts per minute.

Takes   a window and the table `endpoint_minutes` of a snapshot.
Gives   one row per service or per endpoint: how often, how many errors, how fast.
Refuses nothing; values are checked by `lake.store`.

Cost follows minutes and endpoints, not spans. Latencies are off by at most one percent (`lake.derived.histogram`); a window
begins and ends with whole minutes (`whole_minutes`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .derived.grouping import Groups, Integers, distinct, groups
from .derived.histogram import latencies, merged
from .derived.spans import integers, times
from .relations import Relations, kept
from .wire.arrays import booleans, numbers, offsets_of, owners_of

DEFAULT_CLUSTER = "default"
"""The cluster of what names none."""

_MINUTE = dt.timedelta(minutes=1)

_COLUMNS = (
    "minute", "service_name", "endpoint", "kind", "is_request", "environment", "cluster", "service_version", "sdk_language",
    "span_count", "error_count", "latency_bins", "latency_counts",
)  # fmt: skip
"""Of `endpoint_minutes`; the same for every question, so that a file is read once."""


_WORDS = ("service_name", "endpoint", "kind", "environment", "cluster", "service_version", "sdk_language")

_MOST_HELD_ROWS = 200_000
"""Rows that are held before those of different minutes are added up: some 60 MiB."""


@dataclass(frozen=True, slots=True)
class MinuteFilter:
    """Which counts are asked for."""

    since: dt.datetime
    until: dt.datetime
    service: str | None = None
    environment: str | None = None
    cluster: str | None = None


def whole_minutes(since: dt.datetime, until: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The smallest window of whole minutes around another one."""
    begin, end = (time.replace(second=0, microsecond=0) for time in (since, until))
    return begin, end if end == until else end + _MINUTE


def services(asked: MinuteFilter, relations: Relations) -> pa.Table:
    """One row for each service that had spans, in the order of their names.

    Returns:
        service_name, environments, clusters, versions (lists), sdk_language, first_seen_at, last_seen_at (minutes),
        span_count, request_count, error_count (of requests), endpoint_count, p50_ns, p95_ns, p99_ns, avg_ns, max_ns (of
        requests; null without any).
    """
    rows = _minutes(asked, relations)
    rows = kept(rows, pc.is_valid(rows.column("service_name")))
    alike = groups(rows.column("service_name"))
    is_request = rows.column("is_request").to_numpy()
    offsets, languages = distinct(alike, rows.column("sdk_language"))
    found = pa.table(
        {
            "service_name": rows.column("service_name").take(pa.array(alike.example)),
            "environments": _listed(alike, rows.column("environment")),
            "clusters": _listed(alike, _cluster(rows)),
            "versions": _listed(alike, rows.column("service_version")),
            "sdk_language": languages.take(pa.array(offsets[1:] - 1, mask=offsets[1:] == offsets[:-1])),
            **_seen(alike, rows),
            "span_count": numbers(alike.sums(integers(rows, "span_count"))),
            "request_count": numbers(alike.sums(integers(rows, "span_count") * is_request)),
            "error_count": numbers(alike.sums(integers(rows, "error_count") * is_request)),
            "endpoint_count": numbers(_endpoint_counts(alike, rows)),
        }
    )
    requests = rows.select(["service_name", "latency_bins", "latency_counts"]).filter(rows.column("is_request"))
    alike = groups(requests.column("service_name"))
    known = requests.column("service_name").take(pa.array(alike.example)).combine_chunks()
    place = pc.index_in(found.column("service_name"), value_set=known)
    for name, values in _latencies(alike, requests).items():
        found = found.append_column(name, numbers(values).take(place))
    return found.sort_by("service_name")


def endpoints(
    asked: MinuteFilter, relations: Relations, *, limit: int, after: tuple[str, str, str] | None = None
) -> pa.Table:
    """One row for each endpoint that was called, in the order of service, endpoint and kind.

    Args:
        after: service (empty for none), endpoint and kind of the last row of the page before.

    Returns:
        service_name (empty for none), endpoint, kind, is_request, request_count, error_count, first_seen_at, last_seen_at
        (minutes), p50_ns, p95_ns, p99_ns, avg_ns, max_ns.
    """
    rows = _minutes(asked, relations)
    names = {"service_name": pc.fill_null(rows.column("service_name"), ""), "endpoint": rows.column("endpoint"),
             "kind": rows.column("kind")}  # fmt: skip
    alike = groups(*names.values())
    every = pa.table(names).take(pa.array(alike.example)).append_column("group", numbers(np.arange(len(alike))))
    if after is not None:
        every = every.filter(_later(every, after))
    shown = every.sort_by([(name, "ascending") for name in names]).slice(0, limit)
    place = np.full(len(alike), -1)
    place[shown.column("group").to_numpy()] = np.arange(len(shown))
    is_shown = place[alike.of_row] >= 0
    rows = rows.filter(booleans(is_shown))
    of_shown = Groups(place[alike.of_row][is_shown], np.arange(len(shown)))
    found = shown.select([*names])
    counts = {"request_count": "span_count", "error_count": "error_count"}
    columns = {
        "is_request": booleans(of_shown.sums(rows.column("is_request").to_numpy()) > 0),
        **{name: numbers(of_shown.sums(integers(rows, source))) for name, source in counts.items()},
        **_seen(of_shown, rows),
        **{name: numbers(values) for name, values in _latencies(of_shown, rows).items()},
    }
    for name, column in columns.items():
        found = found.append_column(name, column)
    return found


def _minutes(asked: MinuteFilter, relations: Relations) -> pa.Table:
    """The rows of `endpoint_minutes` that are asked about, with the last minute that each stands for.

    Of a long window there are more than memory should hold; then rows that differ in their minute only become one.
    """
    held: list[pa.Table] = []
    most = _MOST_HELD_ROWS
    for part in relations.parts("endpoint_minutes", _COLUMNS, since=asked.since, until=asked.until):
        held.append(kept(part, _is_asked_for(asked, part)))
        held[-1] = held[-1].append_column("last_minute", held[-1].column("minute"))
        if sum(map(len, held)) > most:
            held = [_folded(pa.concat_tables(held))]
            most = max(_MOST_HELD_ROWS, 2 * len(held[0]))
    return pa.concat_tables(held)


def _is_asked_for(asked: MinuteFilter, rows: pa.Table) -> pa.ChunkedArray:
    minute = rows.column("minute")
    wanted = pc.and_(pc.greater_equal(minute, pa.scalar(asked.since)), pc.less(minute, pa.scalar(asked.until)))
    if asked.service is not None:
        wanted = pc.and_(wanted, pc.equal(rows.column("service_name"), asked.service))
    if asked.environment is not None:
        wanted = pc.and_(wanted, pc.equal(rows.column("environment"), asked.environment))
    if asked.cluster is not None:
        wanted = pc.and_(wanted, pc.equal(_cluster(rows), asked.cluster))
    return wanted


def _folded(rows: pa.Table) -> pa.Table:
    """One row for those that differ in their minute only."""
    is_request = rows.column("is_request").to_numpy().astype(np.int64)
    alike = groups(*(rows.column(name) for name in _WORDS), is_request)
    examples = rows.take(pa.array(alike.example))
    bins, counts = _histograms(alike, rows)
    columns = {name: examples.column(name) for name in rows.column_names} | {
        "minute": times(alike.lowest(integers(rows, "minute"))),
        "last_minute": times(alike.highest(integers(rows, "last_minute"))),
        "span_count": numbers(alike.sums(integers(rows, "span_count"))),
        "error_count": numbers(alike.sums(integers(rows, "error_count"))),
        "latency_bins": bins,
        "latency_counts": counts,
    }
    return pa.table(columns, schema=rows.schema)


def _cluster(rows: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(rows.column("cluster"), DEFAULT_CLUSTER)


def _seen(alike: Groups, rows: pa.Table) -> dict[str, pa.Array]:
    """The first and the last minute of each group."""
    first, last = integers(rows, "minute"), integers(rows, "last_minute")
    return {"first_seen_at": times(alike.lowest(first)), "last_seen_at": times(alike.highest(last))}


def _endpoint_counts(alike: Groups, rows: pa.Table) -> Integers:
    """How many endpoints the rows of each group are of."""
    pairs = groups(alike.of_row, rows.column("endpoint"))
    return np.bincount(alike.of_row[pairs.example], minlength=len(alike))


def _listed(alike: Groups, column: pa.ChunkedArray) -> pa.ListArray:
    offsets, values = distinct(alike, column)
    return pa.ListArray.from_arrays(numbers(offsets.astype(np.int32)), values.combine_chunks())


def _latencies(alike: Groups, rows: pa.Table) -> dict[str, npt.NDArray[np.float64]]:
    """The latencies of each group, from all of its rows together."""
    bins, counts = _histograms(alike, rows)
    return latencies(offsets_of(bins).astype(np.int64), bins.flatten().to_numpy(), counts.flatten().to_numpy())


def _histograms(alike: Groups, rows: pa.Table) -> tuple[pa.ListArray, pa.ListArray]:
    """The bins of each group, and how many durations lie in each."""
    bins, counts = (rows.column(name).combine_chunks() for name in ("latency_bins", "latency_counts"))
    entries = bins.flatten().to_numpy(), counts.flatten().to_numpy()
    return merged(alike.of_row[owners_of(bins)], len(alike), *entries)


def _later(endpoints: pa.Table, than: tuple[str, str, str]) -> pa.ChunkedArray:
    """Which endpoints come after one, by service, endpoint and kind."""
    service, endpoint, kind = (endpoints.column(name) for name in ("service_name", "endpoint", "kind"))
    of_endpoint = pc.or_(pc.greater(endpoint, than[1]), pc.and_(pc.equal(endpoint, than[1]), pc.greater(kind, than[2])))
    return pc.or_(pc.greater(service, than[0]), pc.and_(pc.equal(service, than[0]), of_endpoint))
