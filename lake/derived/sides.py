"""Sides: each span of a call between services as one side of it, while the other side is not known.

Takes   spans, or rows of `service_edges` of the roles caller and callee.
Gives   `Sides`: numbers per side, and the words that many sides share.
Refuses nothing.

A side is told apart by 64 bits of a hash of its trace and span id: among a hundred million sides that wait there are two
equal ones with a chance of one in four thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..schema import BINS_TYPE, COUNTS_TYPE, SERVICE_EDGES
from ..wire.arrays import numbers
from .grouping import Integers, groups
from .spans import Spans, integers, times

Booleans = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

WORDS = (
    "source", "source_type", "target", "target_type", "type", "environment", "cluster", "target_cluster", "address",
    "is_producer",
)  # fmt: skip
"""What many sides share."""

_TECHNOLOGIES = (
    ("db_system", "database"), ("messaging_system", "messaging"), ("rpc_system", "rpc"), ("http_method", "http"),
)  # fmt: skip

SCHEMA = SERVICE_EDGES.arrow_schema

_NO_TEXT = pa.scalar(None, pa.string())


@dataclass(frozen=True, slots=True)
class Sides:
    """Callers, or callees."""

    words: pa.Table
    """`WORDS` of each facet."""
    facet: Integers
    """The facet of each side."""
    start_us: Integers
    """Microseconds since the Unix epoch."""
    duration_ns: Integers
    failed: Booleans
    span_key: Integers
    parent_key: Integers
    has_parent: Booleans
    trace_key: Integers
    answered: Booleans
    """Of producers: some consumer is counted already."""
    ingested_us: Integers

    def __len__(self) -> int:
        return len(self.facet)

    def take(self, rows: Integers | Booleans) -> Self:
        """Some of the sides, by number or by mask."""
        per_side = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name != "words"}
        return replace(self, **per_side)

    @property
    def is_producer(self) -> Booleans:
        found: Booleans = self.words.column("is_producer").to_numpy()[self.facet]
        return found

    def knows(self, word: str) -> Booleans:
        """Whether the word of each side is known."""
        found: Booleans = pc.is_valid(self.words.column(word)).to_numpy()[self.facet]
        return found

    def once(self) -> Self:
        """Each side once, however often it came."""
        alike = groups(numbers(self.span_key))
        if len(alike) == len(self):
            return self
        return replace(self.take(alike.example), answered=alike.sums(self.answered) > 0)

    def rows(self, role: str) -> pa.Table:
        """The sides as rows of `service_edges`."""
        count = len(self)
        columns = dict(zip(WORDS, self.words.take(pa.array(self.facet)).columns, strict=True)) | {
            "role": pa.repeat(role, count),
            "start_time": times(self.start_us),
            "inferred": pa.repeat(False, count),
            "call_count": numbers(np.ones(count, np.int64)),
            "error_count": numbers(self.failed.astype(np.int64)),
            "latency_bins": _no_lists(BINS_TYPE, count),
            "latency_counts": _no_lists(COUNTS_TYPE, count),
            "span_key": numbers(self.span_key),
            "parent_key": numbers(self.parent_key, ~self.has_parent),
            "trace_key": numbers(self.trace_key),
            "duration_ns": numbers(self.duration_ns),
            "answered": pc.if_else(pa.array(self.is_producer), pa.array(self.answered), pa.scalar(None, pa.bool_())),
            "ingested_at": times(self.ingested_us),
        }
        return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)

    @classmethod
    def of_rows(cls, rows: pa.Table) -> Self:
        """The sides that rows of `service_edges` of one role are."""
        rows = rows.append_column("is_producer", pc.is_valid(rows.column("answered")))
        alike = groups(*(rows.column(name) for name in WORDS))
        parent = rows.column("parent_key")
        return cls(
            words=rows.select(WORDS).take(pa.array(alike.example)),
            facet=alike.of_row,
            start_us=integers(rows, "start_time"),
            duration_ns=integers(rows, "duration_ns"),
            failed=integers(rows, "error_count") > 0,
            span_key=integers(rows, "span_key"),
            parent_key=pc.fill_null(parent, 0).to_numpy(),
            has_parent=pc.is_valid(parent).to_numpy(),
            trace_key=integers(rows, "trace_key"),
            answered=pc.fill_null(rows.column("answered"), False).to_numpy(),
            ingested_us=integers(rows, "ingested_at"),
        )


def sides_of(spans: Spans) -> tuple[Sides, Sides, Sides]:
    """The callers whose other side may be a span, those that call a database, and the callees."""
    facets = spans.facets
    kind = facets.column("kind")
    calls_database = pc.and_(pc.equal(kind, "client"), pc.is_valid(facets.column("db_system")))
    calls = pc.and_(pc.is_in(kind, value_set=pa.array(["client", "producer"])), pc.invert(calls_database))
    answers = pc.is_in(kind, value_set=pa.array(["server", "consumer"]))
    hashes = _Hashes(spans)
    callers = _callers(facets)
    return (
        hashes.sides(spans.flags(calls), callers),
        hashes.sides(spans.flags(calls_database), callers),
        hashes.sides(spans.flags(answers), _callees(facets)),
    )


class _Hashes:
    """The hashes of some spans."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        ids = spans.rows.column("trace_id").take(pa.array(spans.traces.example))
        self._trace = _hashed(np.zeros(len(ids), np.uint64), ids)[spans.traces.of_row]

    def sides(self, mask: Booleans, words: pa.Table) -> Sides:
        """Some of the spans as sides.

        Args:
            words: of each facet of the spans.
        """
        spans, trace = self._spans, self._trace[mask]
        alike = groups(*words.columns)  # a facet has more words than a side
        has_parent = spans.has_parent[mask]
        ids = spans.rows.select(["span_id", "parent_span_id"]).filter(pa.array(mask))
        parent_key = np.zeros(len(trace), np.int64)
        parents = ids.column("parent_span_id").drop_null()
        parent_key[has_parent] = _key(trace[has_parent], parents)
        return Sides(
            words=words.take(pa.array(alike.example)),
            facet=alike.of_row[spans.facet[mask]],
            start_us=spans.start_us[mask],
            duration_ns=spans.duration_ns[mask],
            failed=spans.flags(spans.facets.column("failed"))[mask],
            span_key=_key(trace, ids.column("span_id")),
            parent_key=parent_key,
            has_parent=has_parent,
            trace_key=trace.view(np.int64),
            answered=np.zeros(len(trace), np.bool_),
            ingested_us=spans.ingested_us[mask],
        )


def _callers(facets: pa.Table) -> pa.Table:
    """What is known of client and producer spans, and of whom they call."""
    peers = (
        (_named("db:", facets.column("db_system"), facets.column("db_namespace")), "database"),
        (_named("queue:", facets.column("messaging_system"), facets.column("messaging_destination")), "queue"),
        (facets.column("peer_service"), "external"),
        (_named("external:", facets.column("server_address")), "external"),
    )
    return _words(
        facets,
        source=facets.column("service_name"),
        source_type=pa.repeat("service", len(facets)),
        target=pc.coalesce(*(peer for peer, _ in peers)),
        target_type=pc.coalesce(*(pc.if_else(pc.is_valid(peer), kind, _NO_TEXT) for peer, kind in peers)),
        cluster=facets.column("cluster"),
        target_cluster=pa.nulls(len(facets), pa.string()),
    )


def _callees(facets: pa.Table) -> pa.Table:
    """What is known of server and consumer spans; a consumer knows its queue."""
    queue = _named("queue:", facets.column("messaging_system"), facets.column("messaging_destination"))
    queue = pc.if_else(pc.equal(facets.column("kind"), "consumer"), queue, _NO_TEXT)
    return _words(
        facets,
        source=queue,
        source_type=pc.if_else(pc.is_valid(queue), "queue", _NO_TEXT),
        target=facets.column("service_name"),
        target_type=pa.repeat("service", len(facets)),
        cluster=pa.nulls(len(facets), pa.string()),
        target_cluster=facets.column("cluster"),
    )


def _words(facets: pa.Table, **own: pa.Array | pa.ChunkedArray) -> pa.Table:
    known = [pc.if_else(pc.is_valid(facets.column(name)), word, _NO_TEXT) for name, word in _TECHNOLOGIES]
    columns = own | {
        "type": pc.coalesce(*known, "other"),
        "environment": facets.column("environment"),
        "address": facets.column("server_address"),
        "is_producer": pc.equal(facets.column("kind"), "producer"),
    }
    return pa.table({name: columns[name] for name in WORDS})


def _named(prefix: str, first: pa.ChunkedArray, second: pa.ChunkedArray | None = None) -> pa.ChunkedArray:
    """`prefix`, the first part and after a / the second one if there is one; null where there is no first one."""
    text = pc.binary_join_element_wise(prefix, first, "")
    return text if second is None else pc.coalesce(pc.binary_join_element_wise(text, second, "/"), text)


def _no_lists(kind: pa.DataType, count: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), pa.array([], kind.value_type))


def _key(trace: Hashes, span_id: pa.ChunkedArray) -> Integers:
    found: Integers = _hashed(trace, span_id).view(np.int64)
    return found


def _hashed(seed: Hashes, ids: pa.ChunkedArray) -> Hashes:
    """A hash of ids whose numbers of digits are equal and a multiple of 8, and of a number that each of them has."""
    parts = [_digits(chunk).reshape(len(chunk), -1) for chunk in ids.chunks if len(chunk)]
    found = seed
    for words in np.concatenate(parts).T if parts else ():
        found = _mix(found ^ words)
    return found


def _digits(ids: pa.StringArray) -> Hashes:
    """The digits of ids without nulls, eight of them a number."""
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset : ids.offset + len(ids) + 1]
    return np.frombuffer(ids.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].view(np.uint64)


def _mix(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = z ^ (z >> np.uint64(31))
    return mixed
