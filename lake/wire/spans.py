"""Spans: decoded OTLP requests to rows of the table `spans`.

Takes   `Decoded` and the time of ingest.
Gives   `SpanRows`: a table with the columns of `lake.schema.SPANS`, and what became of each request.
Refuses single spans with an invalid id or an impossible time; their requests keep the other spans (OTLP calls this a
        partial success, https://opentelemetry.io/docs/specs/otlp/#partial-success).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..schema import EVENT, LINK, PROMOTED, SPAN_KINDS, SPANS, STATUS_CODES, TIMESTAMP, Promoted
from .arrays import booleans, lists, numbers
from .attributes import AttributeColumns, split
from .decoded import Counts, Decoded, Events, Indices, Links

_MAX_TIME_NS = 2**63 - 1
_ENTITY_REFS = pa.list_(pa.binary())
_TRACE_ID_DIGITS, _SPAN_ID_DIGITS = 32, 16

_NO_TEXT = pa.scalar("", pa.string())
_NO_TIME = pa.scalar(2**64 - 1, pa.uint64())
_ZERO = pa.scalar(0, pa.int32())
_KINDS, _STATUSES = pa.array(SPAN_KINDS), pa.array(STATUS_CODES)

_FAULTS = (
    "trace_id must be 16 bytes and not all zero",
    "span_id must be 8 bytes and not all zero",
    "parent_span_id must be 8 bytes or empty",
    "start_time_unix_nano must be between 0 and 2^63-1",
    "end_time_unix_nano must be between 0 and 2^63-1",
    "time_unix_nano of an event must be between 0 and 2^63-1",
)


@dataclass(frozen=True, slots=True)
class Refused:
    """The refused spans of one request."""

    count: int
    message: str


@dataclass(frozen=True, slots=True)
class SpanRows:
    """Rows of the table `spans`, those of one request next to each other and requests in order."""

    table: pa.Table
    row_counts: tuple[int, ...]
    """Rows of each request."""
    refused: tuple[Refused | None, ...]
    """Refused spans of each request, None where there are none."""


def span_rows(decoded: Decoded, *, ingested_at_us: int, promoted: tuple[Promoted, ...] = PROMOTED) -> SpanRows:
    """Build the rows of some requests.

    Args:
        ingested_at_us: microseconds since the Unix epoch, for the column `ingested_at`.
        promoted: the promotions of the lake the rows go to.
    """
    faults = _faults(decoded)
    sound = ~np.logical_or.reduce(faults)
    request_of_span = decoded.resources.request[decoded.scopes.resource[decoded.scope]]
    table = _table(decoded, ingested_at_us, promoted)
    if not sound.all():
        table = table.filter(booleans(sound))
    counts = np.bincount(request_of_span[sound], minlength=decoded.request_count)
    refused = np.bincount(request_of_span[~sound], minlength=decoded.request_count)
    messages = tuple(
        _refused(int(count), [fault[request_of_span == request] for fault in faults]) if count else None
        for request, count in enumerate(refused)
    )
    return SpanRows(table, tuple(counts.tolist()), messages)


def _refused(count: int, faults: list[npt.NDArray[np.bool_]]) -> Refused:
    parts = [f"{text} ({fault.sum()})" for text, fault in zip(_FAULTS, faults, strict=True) if fault.any()]
    return Refused(count, f"{count} span{'s' if count > 1 else ''} refused: {'; '.join(parts)}")


def _faults(decoded: Decoded) -> list[npt.NDArray[np.bool_]]:
    """One mask per text of `_FAULTS`."""
    parent = pc.binary_length(pc.fill_null(decoded.parent_span_id, _NO_TEXT)).to_numpy()
    bad_event = _bad_time(decoded.events.time_unix_nano)
    event_fault = np.zeros(len(decoded.scope), dtype=np.bool_)
    if bad_event.any():
        event_fault[np.repeat(np.arange(len(decoded.scope)), np.diff(decoded.events.offsets))[bad_event]] = True
    return [
        _bad_id(decoded.trace_id, _TRACE_ID_DIGITS),
        _bad_id(decoded.span_id, _SPAN_ID_DIGITS),
        (parent != _SPAN_ID_DIGITS) & (parent != 0),
        _bad_time(decoded.start_time_unix_nano),
        _bad_time(decoded.end_time_unix_nano),
        event_fault,
    ]


def _bad_id(ids: pa.StringArray, digits: int) -> npt.NDArray[np.bool_]:
    filled = pc.fill_null(ids, _NO_TEXT) if ids.null_count else ids
    wrong: npt.NDArray[np.bool_] = pc.binary_length(filled).to_numpy() != digits
    return np.logical_or(wrong, _equal(filled, "0" * digits))


def _equal(column: pa.StringArray, text: str) -> npt.NDArray[np.bool_]:
    # a scalar made by hand: compute functions look for pandas before they convert a Python value
    equal = pc.equal(column, pa.scalar(text, pa.string()))
    return np.asarray(equal.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _bad_time(times: pa.UInt64Array) -> npt.NDArray[np.bool_]:
    return _nanoseconds(times) > np.uint64(_MAX_TIME_NS)


def _nanoseconds(times: pa.UInt64Array) -> npt.NDArray[np.uint64]:
    filled: npt.NDArray[np.uint64] = (pc.fill_null(times, _NO_TIME) if times.null_count else times).to_numpy()
    return filled


def _table(decoded: Decoded, ingested_at_us: int, promoted: tuple[Promoted, ...]) -> pa.Table:
    start = _nanoseconds(decoded.start_time_unix_nano).astype(np.int64)  # refused spans overflow; they are dropped
    duration = _nanoseconds(decoded.end_time_unix_nano).astype(np.int64) - start
    attributes = split(decoded.attributes, tuple(p for p in promoted if p.where == "span"))
    columns = {
        "trace_id": decoded.trace_id,
        "span_id": decoded.span_id,
        "parent_span_id": _none_if(decoded.parent_span_id, "", "0" * _SPAN_ID_DIGITS),
        "name": decoded.name,
        "kind": _words(decoded.kind, _KINDS),
        "start_time": _microseconds(start),
        "start_ns_remainder": numbers((start % 1000).astype(np.int16)),
        "duration_ns": numbers(np.maximum(duration, 0)),
        "end_before_start_ns": numbers(-duration, duration >= 0),
        "status": _words(decoded.status_code, _STATUSES),
        "status_message": _none_if(decoded.status_message, ""),
        **attributes.promoted,
        "exception_type": _exception_type(decoded.events),
        "attributes": attributes.map,
        "attribute_types": attributes.types,
        "dropped_attributes_count": _counts(decoded.dropped_attributes_count),
        "events": _event_lists(decoded.events),
        "dropped_events_count": _counts(decoded.dropped_events_count),
        "links": _link_lists(decoded.links),
        "dropped_links_count": _counts(decoded.dropped_links_count),
        "flags": _counts(decoded.flags),
        "trace_state": _none_if(decoded.trace_state, ""),
        **_scope_columns(decoded, promoted),
        "ingested_at": pa.repeat(pa.scalar(ingested_at_us, TIMESTAMP), len(decoded.scope)),
    }
    return pa.table({name: columns[name] for name in _column_names(promoted)})


def _column_names(promoted: tuple[Promoted, ...]) -> list[str]:
    names = [c.name for c in SPANS.columns]
    return names + [p.column for p in promoted if p.column not in names]


def _scope_columns(decoded: Decoded, promoted: tuple[Promoted, ...]) -> dict[str, pa.Array]:
    """Columns of the scope and the resource, repeated for each span."""
    scopes, resources = decoded.scopes, decoded.resources
    scope_attributes = split(scopes.attributes)
    resource_attributes = split(resources.attributes, tuple(p for p in promoted if p.where == "resource"))
    of_scope = {
        "scope_name": _none_if(scopes.name, ""),
        "scope_version": _none_if(scopes.version, ""),
        "scope_attributes": scope_attributes.map,
        "scope_attribute_types": scope_attributes.types,
        "scope_dropped_attributes_count": _counts(scopes.dropped_attributes_count),
        "scope_schema_url": _none_if(scopes.schema_url, ""),
    }
    of_resource = {
        **resource_attributes.promoted,
        "resource_attributes": resource_attributes.map,
        "resource_attribute_types": resource_attributes.types,
        "resource_dropped_attributes_count": _counts(resources.dropped_attributes_count),
        "resource_entity_refs": _entity_refs(resources.entity_refs),
        "resource_schema_url": _none_if(resources.schema_url, ""),
    }
    resource = scopes.resource[decoded.scope]
    return _repeated(of_scope, decoded.scope) | _repeated(of_resource, resource)


def _entity_refs(refs: pa.ListArray) -> pa.ListArray:
    if not len(refs.flatten()):
        return pa.nulls(len(refs), _ENTITY_REFS)
    empty = pc.equal(pc.fill_null(pc.list_value_length(refs), _ZERO), _ZERO)
    return pc.if_else(empty, pa.scalar(None, refs.type), refs).cast(_ENTITY_REFS)


def _repeated(columns: dict[str, pa.Array], rows: Indices) -> dict[str, pa.Array]:
    """The rows of some columns, each as often as it is named."""
    filled = {name: column for name, column in columns.items() if column.null_count < len(column)}
    taken = pa.record_batch(filled).take(numbers(rows))
    nulls = {name: pa.nulls(len(rows), column.type) for name, column in columns.items() if name not in filled}
    return nulls | dict(zip(filled, taken.columns, strict=True))


def _exception_type(events: Events) -> pa.StringArray:
    """`exception.type` of each span's last event of the name `exception`."""
    span_count = len(events.offsets) - 1
    if not len(events.name):
        return pa.nulls(span_count, pa.string())
    is_exception = _equal(events.name, "exception")
    is_type = _equal(events.attributes.keys, "exception.type")
    entries = np.flatnonzero(is_type & is_exception[events.attributes.rows])
    if not len(entries):
        return pa.nulls(span_count, pa.string())
    span_of_event = np.repeat(np.arange(span_count), np.diff(events.offsets))
    chosen = np.full(span_count, -1, dtype=np.int64)
    chosen[span_of_event[events.attributes.rows[entries]]] = entries  # later entries overwrite earlier ones
    return events.attributes.text.take(numbers(chosen, chosen < 0))


def _event_lists(events: Events) -> pa.ListArray:
    times = _nanoseconds(events.time_unix_nano).astype(np.int64)
    columns = [
        events.name,
        _microseconds(times),
        numbers((times % 1000).astype(np.int16)),
        *_map_and_types(split(events.attributes)),
        _counts(events.dropped_attributes_count),
    ]
    return _lists(events.offsets, EVENT, columns)


def _link_lists(links: Links) -> pa.ListArray:
    columns = [
        links.trace_id,
        links.span_id,
        _none_if(links.trace_state, ""),
        _counts(links.flags),
        *_map_and_types(split(links.attributes)),
        _counts(links.dropped_attributes_count),
    ]
    return _lists(links.offsets, LINK, columns)


def _map_and_types(attributes: AttributeColumns) -> tuple[pa.MapArray, pa.StringArray]:
    return attributes.map, attributes.types


def _lists(offsets: Indices, struct: pa.StructType, columns: list[pa.Array]) -> pa.ListArray:
    return lists(pa.list_(struct), offsets, pa.StructArray.from_arrays(columns, fields=list(struct)))


def _microseconds(nanoseconds: npt.NDArray[np.int64]) -> pa.TimestampArray:
    return numbers(nanoseconds // 1000).view(TIMESTAMP)


def _words(numbered: pa.Int32Array, words: pa.StringArray) -> pa.StringArray:
    """The word for each number, its digits if there is none; null counts as 0."""
    filled = pc.fill_null(numbered, _ZERO)
    values: npt.NDArray[np.int32] = filled.to_numpy()
    known = (values >= 0) & (values < len(words))
    if known.all():
        return words.take(filled)
    return pc.if_else(booleans(known), words.take(numbers(np.where(known, values, 0))), filled.cast(pa.string()))


def _none_if(column: pa.Array, *defaults: object) -> pa.Array:
    """Null where the value is a protobuf default: nulls cost nothing in Parquet."""
    if column.null_count == len(column) or _all_default(column):
        return pa.nulls(len(column), column.type)
    for default in defaults:
        is_default = pc.equal(column, pa.scalar(default, column.type))
        column = pc.if_else(is_default, pa.scalar(None, column.type), column)
    return column


def _counts(column: Counts) -> pa.Int64Array:
    """Null where the count is 0."""
    if column.null_count == len(column) or _all_default(column):
        return pa.nulls(len(column), pa.int64())
    return _none_if(column.cast(pa.int64()), 0)


def _all_default(column: pa.Array) -> bool:
    """Whether each value is 0 or the empty text: the usual case of most columns, found without a pass over the rows."""
    if pa.types.is_string(column.type):
        offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)
        return bool(offsets[column.offset] == offsets[column.offset + len(column)])
    return not column.null_count and not column.to_numpy().any()
