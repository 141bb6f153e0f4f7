"""Endpoints: what the spans of each minute did, how often, how fast and how well.

Takes   spans.
Gives   rows of `endpoint_minutes`: counts and a latency histogram per minute and endpoint. They add up: `merged` makes one
        row of those with equal keys, and the same of the rows of all spans, however they were split before, as long as no
        service has more than `MAX_ENDPOINTS`.
Refuses nothing.

An endpoint is `GET /users/{id}` (method and http.route), else rpc service and method, else messaging operation and
destination, else the span's name with ids left out. A service that has more than `MAX_ENDPOINTS` in an hour has the rarest
of them counted together: a name that has an id in it nobody foresaw must not make a row for each span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..schema import ENDPOINT_MINUTES
from ..wire.arrays import numbers, owners_of
from . import histogram
from .grouping import Integers, groups
from .spans import HOUR_US, MINUTE_US, Spans, integers, times

MAX_ENDPOINTS = 1000
"""Endpoints of one service in one hour that are counted apart."""

OTHER = "(other)"
"""The endpoint that stands for all further ones."""

_KEYS = ("service_name", "endpoint", "kind", "is_request", "environment", "cluster", "service_version", "sdk_language")
_MINUTES_PER_HOUR = HOUR_US // MINUTE_US

_IDS = (
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",  # UUID
    r"\b(?:0x)?[0-9a-fA-F]{16,}\b",
    r"\b[0-9]+\b",
)


def endpoint_minutes_of(spans: Spans) -> pa.Table:
    """Count some spans."""
    facets = spans.facets
    counted = _Counted(
        minute=spans.start_us // MINUTE_US,
        span_count=np.ones(len(spans), np.int64),
        error_count=spans.flags(facets.column("failed")).astype(np.int64),
        ingested_us=spans.ingested_us,
        row_of_bin=np.arange(len(spans)),
        bins=histogram.bins_of(spans.duration_ns),
        bin_counts=np.ones(len(spans), np.int64),
    )
    return counted.by(facets.append_column("endpoint", endpoint_of(facets)).select(_KEYS), spans.facet)


def merged(rows: pa.Table) -> pa.Table:
    """Make one row of those with equal keys.

    Args:
        rows: of `endpoint_minutes`.
    """
    bins, counts = (rows.column(name).combine_chunks() for name in ("latency_bins", "latency_counts"))
    counted = _Counted(
        minute=integers(rows, "minute") // MINUTE_US,
        span_count=integers(rows, "span_count"),
        error_count=integers(rows, "error_count"),
        ingested_us=integers(rows, "ingested_at"),
        row_of_bin=owners_of(bins).astype(np.int64),
        bins=bins.flatten().to_numpy(),
        bin_counts=counts.flatten().to_numpy(),
    )
    return counted.by(rows.select(_KEYS), np.arange(len(rows)))


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted, row by row."""

    minute: Integers
    """Minutes since the Unix epoch."""
    span_count: Integers
    error_count: Integers
    ingested_us: Integers
    row_of_bin: Integers
    """The row of each entry of the histograms."""
    bins: npt.NDArray[np.int16]
    bin_counts: Integers

    def by(self, keys: pa.Table, key_of_row: Integers) -> pa.Table:
        """One row per minute and key.

        Args:
            keys: `_KEYS`, where rows may be equal.
        """
        if not len(self.minute):
            return ENDPOINT_MINUTES.arrow_schema.empty_table()
        keys, key_of_row = self._limited(keys, key_of_row)
        found = groups(key_of_row, self.minute - self.minute.min())
        latency_bins, latency_counts = histogram.merged(
            found.of_row[self.row_of_bin], len(found), self.bins, self.bin_counts
        )
        taken = keys.take(pa.array(key_of_row[found.example]))
        columns = {name: taken.column(name) for name in _KEYS} | {
            "minute": times(self.minute[found.example] * MINUTE_US),
            "span_count": numbers(found.sums(self.span_count)),
            "error_count": numbers(found.sums(self.error_count)),
            "latency_bins": latency_bins,
            "latency_counts": latency_counts,
            "ingested_at": times(found.highest(self.ingested_us)),
        }
        schema = ENDPOINT_MINUTES.arrow_schema
        return pa.table([columns[field.name] for field in schema], schema=schema)

    def _limited(self, keys: pa.Table, key_of_row: Integers) -> tuple[pa.Table, Integers]:
        """The keys, each one once, with `OTHER` for the endpoints of an hour and a service that are too many."""
        names = groups(keys.column("service_name"), keys.column("endpoint"))
        if len(names) > MAX_ENDPOINTS:
            hour = self.minute // _MINUTES_PER_HOUR
            hour -= hour.min()
            endpoints = groups(names.of_row[key_of_row], hour)
            named = keys.select(["service_name", "endpoint"]).take(pa.array(key_of_row[endpoints.example]))
            rarity = -endpoints.sums(self.span_count)
            rarity[pc.equal(named.column("endpoint"), OTHER).to_numpy()] = 1  # behind all, or it takes the place of one
            rare = _rare(named, hour[endpoints.example], rarity)
            key_of_row = key_of_row + np.where(rare[endpoints.of_row], len(keys), 0)
            place, others = keys.schema.get_field_index("endpoint"), pa.repeat(OTHER, len(keys))
            keys = pa.concat_tables([keys, keys.set_column(place, keys.schema.field(place), others)])
        once = groups(*(keys.column(name) for name in _KEYS))
        return keys.take(pa.array(once.example)), once.of_row[key_of_row]


def _rare(named: pa.Table, hour: Integers, rarity: Integers) -> npt.NDArray[np.bool_]:
    """Which endpoints lie behind the first `MAX_ENDPOINTS` of their service and hour: the seldom ones, by name if equal.

    Args:
        named: `service_name` and `endpoint`.
    """
    ordered = named.append_column("hour", numbers(hour)).append_column("rarity", numbers(rarity))
    by = [(name, "ascending") for name in ("service_name", "hour", "rarity", "endpoint")]
    order = pc.sort_indices(ordered, sort_keys=by).to_numpy().astype(np.int64)
    service = groups(named.column("service_name"), hour).of_row[order]
    starts = np.flatnonzero(np.append(True, service[1:] != service[:-1]))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    rare = np.zeros(len(order), np.bool_)
    rare[order] = rank >= MAX_ENDPOINTS
    return rare


def endpoint_of(facets: pa.Table) -> pa.StringArray:
    """The endpoint of each row.

    Args:
        facets: with the columns of `spans` that name what a span does.
    """
    return pc.coalesce(
        _joined(facets, "http_method", "http_route", " "),
        _joined(facets, "rpc_service", "rpc_method", "/"),
        _joined(facets, "messaging_operation", "messaging_destination", " "),
        without_ids(facets.column("name")),
    )


def _joined(facets: pa.Table, first: str, second: str, separator: str) -> pa.StringArray:
    """Both texts, the second alone where there is no first, null where there is no second."""
    last = facets.column(second)
    return pc.coalesce(pc.binary_join_element_wise(facets.column(first), last, separator), last)


def without_ids(name: pa.StringArray) -> pa.StringArray:
    """Names with `{id}` for UUIDs, long hexadecimal numbers and whole numbers."""
    for pattern in _IDS:
        name = pc.replace_substring_regex(name, pattern, "{id}")
    return name
