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
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .derived.grouping import groups
from .derived.histogram import latencies
from .relations import Ask, Relations
from .wire.arrays import numbers

DEFAULT_CLUSTER = "default"
"""The cluster of what names none."""

_MINUTE = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class MinuteFilter:
    """Which counts are asked for."""

    since: dt.datetime
    until: dt.datetime
    service: str | None = None
    environment: str | None = None
    cluster: str | None = None

    @property
    def conditions(self) -> str:
        """A condition on rows of `endpoint_minutes`."""
        parts = ["minute >= $since", "minute < $until"]
        if self.service is not None:
            parts.append("service_name = $service")
        if self.environment is not None:
            parts.append("environment = $environment")
        if self.cluster is not None:
            parts.append(f"coalesce(cluster, '{DEFAULT_CLUSTER}') = $cluster")
        return " AND ".join(parts)

    @property
    def values(self) -> dict[str, Any]:
        given = {"service": self.service, "environment": self.environment, "cluster": self.cluster}
        return {"since": self.since, "until": self.until} | {name: v for name, v in given.items() if v is not None}


def whole_minutes(since: dt.datetime, until: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The smallest window of whole minutes around another one."""
    begin, end = (time.replace(second=0, microsecond=0) for time in (since, until))
    return begin, end if end == until else end + _MINUTE


def services(asked: MinuteFilter, relations: Relations, ask: Ask) -> pa.Table:
    """One row for each service that had spans, in the order of their names.

    Returns:
        service_name, environments, clusters, versions (lists), sdk_language, first_seen_at, last_seen_at (minutes),
        span_count, request_count, error_count (of requests), endpoint_count, p50_ns, p95_ns, p99_ns, avg_ns, max_ns (of
        requests; null without any).
    """
    minutes = relations.of("endpoint_minutes", since=asked.since, until=asked.until)
    where = f"{asked.conditions} AND service_name IS NOT NULL"
    found = ask(_SERVICES.format(rows=minutes.text, where=where), asked.values, minutes)
    histograms = _HISTOGRAMS.format(rows=minutes.text, where=f"{where} AND is_request", keys="service_name")
    latency = _latencies(ask(histograms, asked.values, minutes), ("service_name",))
    place = pc.index_in(found.column("service_name"), value_set=latency.column("service_name").combine_chunks())
    for name in latency.column_names[1:]:
        found = found.append_column(name, latency.column(name).take(place))
    return found


def endpoints(
    asked: MinuteFilter, relations: Relations, ask: Ask, *, limit: int, after: tuple[str, str, str] | None = None
) -> pa.Table:
    """One row for each endpoint that was called, in the order of service, endpoint and kind.

    Args:
        after: service (empty for none), endpoint and kind of the last row of the page before.

    Returns:
        service_name (empty for none), endpoint, kind, is_request, request_count, error_count, first_seen_at, last_seen_at
        (minutes), p50_ns, p95_ns, p99_ns, avg_ns, max_ns.
    """
    minutes = relations.of("endpoint_minutes", since=asked.since, until=asked.until)
    where, values = asked.conditions, asked.values
    if after is not None:
        where += f" AND {_later_than('after')}"
        values |= dict(zip(("after_service", "after_endpoint", "after_kind"), after, strict=True))
    found = ask(_ENDPOINTS.format(rows=minutes.text, where=where), values | {"limit": limit}, minutes)
    if not found.num_rows:
        return found
    last = [found.column(name)[-1].as_py() for name in ("service_name", "endpoint", "kind")]
    where += f" AND NOT {_later_than('last')}"
    values |= dict(zip(("last_service", "last_endpoint", "last_kind"), last, strict=True))
    histograms = _HISTOGRAMS.format(rows=minutes.text, where=where, keys=f"{_SERVICE} AS service_name, endpoint, kind")
    latency = _latencies(ask(histograms, values, minutes), _BY)
    for name in latency.column_names[len(_BY) :]:  # of the same endpoints in the same order
        found = found.append_column(name, latency.column(name))
    return found


def _latencies(histograms: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    """The latencies of each key.

    Args:
        histograms: the keys, bin and counted; in order.
    """
    alike = groups(*(histograms.column(name) for name in keys))
    offsets = np.append(alike.example, len(histograms))
    found = latencies(offsets, histograms.column("bin").to_numpy(), histograms.column("counted").to_numpy())
    of_group = histograms.select(keys).take(pa.array(alike.example))
    for name, values in found.items():
        of_group = of_group.append_column(name, numbers(values))
    return of_group


_SERVICES = f"""
    SELECT service_name,
        coalesce(list_sort(list(DISTINCT environment) FILTER (environment IS NOT NULL)), []) AS environments,
        list_sort(list(DISTINCT coalesce(cluster, '{DEFAULT_CLUSTER}'))) AS clusters,
        coalesce(list_sort(list(DISTINCT service_version) FILTER (service_version IS NOT NULL)), []) AS versions,
        max(sdk_language) AS sdk_language,
        min(first_seen_at) AS first_seen_at, max(last_seen_at) AS last_seen_at,
        sum(span_count)::BIGINT AS span_count,
        coalesce(sum(span_count) FILTER (is_request), 0)::BIGINT AS request_count,
        coalesce(sum(error_count) FILTER (is_request), 0)::BIGINT AS error_count,
        count(DISTINCT endpoint) AS endpoint_count
    FROM (
        SELECT service_name, environment, cluster, service_version, sdk_language, endpoint, is_request,
            min(minute) AS first_seen_at, max(minute) AS last_seen_at, sum(span_count) AS span_count,
            sum(error_count) AS error_count
        FROM ({{rows}}) WHERE {{where}} GROUP BY ALL)
    GROUP BY service_name ORDER BY service_name
"""

_BY = ("service_name", "endpoint", "kind")
_SERVICE = "coalesce(service_name, '')"
_ENDPOINT = f"{_SERVICE}, endpoint, kind"
"""What an endpoint is told apart by."""


def _later_than(name: str) -> str:
    """A condition: the endpoint comes after the one of `$<name>_service`, `$<name>_endpoint` and `$<name>_kind`."""
    return (
        f"({_SERVICE} > ${name}_service OR ({_SERVICE} = ${name}_service AND (endpoint > ${name}_endpoint "
        f"OR (endpoint = ${name}_endpoint AND kind > ${name}_kind))))"
    )


_ENDPOINTS = f"""
    SELECT {_SERVICE} AS service_name, endpoint, kind, bool_or(is_request) AS is_request,
        sum(span_count)::BIGINT AS request_count, sum(error_count)::BIGINT AS error_count,
        min(minute) AS first_seen_at, max(minute) AS last_seen_at
    FROM ({{rows}}) WHERE {{where}} GROUP BY {_ENDPOINT} ORDER BY {_ENDPOINT} LIMIT $limit
"""

_HISTOGRAMS = """
    SELECT {keys}, bin, sum(counted)::BIGINT AS counted
    FROM (SELECT {keys}, unnest(latency_bins) AS bin, unnest(latency_counts) AS counted FROM ({rows}) WHERE {where})
    GROUP BY ALL ORDER BY ALL
"""
