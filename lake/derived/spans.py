"""Spans: some rows of `spans` with what several derived tables ask of them, worked out once.

Takes   rows of `spans`.
Gives   numbers per span, and its facet: the combination of words that many spans share (service, kind, name, route, ...).
        What depends on a facet alone is worked out for the few facets and not for each span.
Refuses nothing.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..dictionaries import without_dictionaries
from ..schema import TIMESTAMP
from ..wire.arrays import booleans, numbers
from .grouping import Groups, Integers, groups

_WORDS = (
    "name", "kind", "status", "service_name", "service_version", "environment", "cluster", "git_sha", "sdk_language",
    "http_method", "http_route", "rpc_system", "rpc_service", "rpc_method", "messaging_system", "messaging_operation",
    "messaging_destination", "db_system", "db_namespace", "peer_service", "server_address", "http_status_code",
)  # fmt: skip

SOURCE_COLUMNS = (
    "trace_id", "span_id", "parent_span_id", "start_time", "start_ns_remainder", "duration_ns", "ingested_at", *_WORDS,
)  # fmt: skip
"""The columns of `spans` that are looked at here."""

HOUR_US, MINUTE_US = 3_600_000_000, 60_000_000


class Spans:
    """Some spans."""

    def __init__(self, rows: pa.Table) -> None:
        """
        Args:
            rows: of `spans`, at least `SOURCE_COLUMNS`.
        """
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def _facets(self) -> Groups:
        return groups(*(self.rows.column(name) for name in _WORDS), self.has_parent.astype(np.int64))

    @property
    def facet(self) -> Integers:
        """The facet of each span."""
        return self._facets.of_row

    @cached_property
    def facets(self) -> pa.Table:
        """One row for each facet: the words, `has_parent`, `failed` and `is_request`."""
        rows = without_dictionaries(self.rows.select(_WORDS).take(pa.array(self._facets.example)).combine_chunks())
        kind, has_parent = rows.column("kind"), booleans(self.has_parent[self._facets.example])
        is_5xx = pc.fill_null(pc.greater_equal(rows.column("http_status_code"), 500), False)
        failed = pc.or_(pc.equal(rows.column("status"), "error"), pc.and_(is_5xx, pc.equal(kind, "server")))
        answers = pc.is_in(kind, value_set=pa.array(["server", "consumer"]))
        rows = rows.append_column("has_parent", has_parent).append_column("failed", failed)
        return rows.append_column("is_request", pc.or_(answers, pc.invert(has_parent)))

    def flags(self, facet_flags: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """What a column of `facets` says of each span."""
        found: npt.NDArray[np.bool_] = facet_flags.to_numpy()[self.facet]
        return found

    @cached_property
    def traces(self) -> Groups:
        """The spans of each trace."""
        return groups(self.rows.column("trace_id"))

    @cached_property
    def has_parent(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = pc.is_valid(self.rows.column("parent_span_id")).to_numpy()
        return found

    @cached_property
    def start_us(self) -> Integers:
        """Microseconds since the Unix epoch."""
        return integers(self.rows, "start_time")

    @cached_property
    def start_ns(self) -> Integers:
        """Nanoseconds since the Unix epoch."""
        return self.start_us * 1000 + integers(self.rows, "start_ns_remainder")

    @cached_property
    def duration_ns(self) -> Integers:
        return integers(self.rows, "duration_ns")

    @cached_property
    def ingested_us(self) -> Integers:
        """Microseconds since the Unix epoch."""
        return integers(self.rows, "ingested_at")


def integers(rows: pa.Table, name: str) -> Integers:
    """A column without nulls as numbers; times in microseconds since the Unix epoch."""
    found: Integers = rows.column(name).cast(pa.int64()).to_numpy()
    return found


def times(us: Integers) -> pa.Array:
    """Microseconds since the Unix epoch as a column."""
    return numbers(us).view(TIMESTAMP)
