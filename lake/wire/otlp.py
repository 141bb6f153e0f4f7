"""OTLP: rows of the table `spans` back to what was sent.

Takes   rows as `spans` writes them and any reader of the lake returns them, in any order, and the lake's promotions.
Gives   `TracesData` (the same message as `ExportTraceServiceRequest`) in protobuf or OTLP/JSON. Equal resources, and
        equal scopes of one resource, stand once, in the order they first appear; spans keep the order of the rows.
Refuses nothing: what the wire took in can be written again.

One Python loop over the spans, on purpose: a caller exports one trace, and `lake.store.TRACE_MAX_SPANS` bounds that.
Whatever repeats (resources, scopes) is built once.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import EntityRef, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from ..schema import PROMOTED, SPAN_KINDS, STATUS_CODES, Promoted
from .nested import value_of

_M = TypeVar("_M", bound=Message)

_KINDS = {word: number for number, word in enumerate(SPAN_KINDS)}
_STATUSES = {word: number for number, word in enumerate(STATUS_CODES)}

_RESOURCE_COLUMNS = (
    "resource_attributes",
    "resource_attribute_types",
    "resource_dropped_attributes_count",
    "resource_entity_refs",
    "resource_schema_url",
)
_SCOPE_COLUMNS = (
    "scope_name",
    "scope_version",
    "scope_attributes",
    "scope_attribute_types",
    "scope_dropped_attributes_count",
    "scope_schema_url",
)


def export_protobuf(rows: pa.Table, promoted: tuple[Promoted, ...] = PROMOTED) -> bytes:
    """The rows as `TracesData` in protobuf.

    Args:
        rows: rows of the table `spans`.
        promoted: every promotion of the lake they come from.
    """
    encoded: bytes = _traces_data(rows, promoted).SerializeToString()
    return encoded


def export_json(rows: pa.Table, promoted: tuple[Promoted, ...] = PROMOTED) -> bytes:
    """The rows as `TracesData` in OTLP/JSON: ids in hex, 64-bit integers as text, enums as numbers.

    Args:
        rows: rows of the table `spans`.
        promoted: every promotion of the lake they come from.
    """
    return orjson.dumps(_json_of(_traces_data(rows, promoted)))


def _traces_data(rows: pa.Table, promoted: tuple[Promoted, ...]) -> TracesData:
    of_resource = [p for p in promoted if p.where == "resource"]
    resource_of, resources = _distinct(rows, [*_RESOURCE_COLUMNS, *(p.column for p in of_resource)])
    scope_of, scopes = _distinct(rows, _SCOPE_COLUMNS)
    data = TracesData(resource_spans=_resource_spans(resources, of_resource))
    empty_scope_spans = list(_scope_spans(scopes))
    found: dict[tuple[int, int], ScopeSpans] = {}
    spans = _spans(rows, [p for p in promoted if p.where == "span"])
    for place, span in zip(zip(resource_of, scope_of, strict=True), spans, strict=True):
        if place not in found:
            found[place] = data.resource_spans[place[0]].scope_spans.add()
            found[place].CopyFrom(empty_scope_spans[place[1]])
        found[place].spans.append(span)
    return data


def _distinct(rows: pa.Table, names: Sequence[str]) -> tuple[list[int], pa.Table]:
    """The distinct combinations of some columns by first appearance, and the place in them of each row."""
    places: dict[tuple[Any, ...], int] = {}
    keys = zip(*(_hashable(_array(rows, name)) for name in names), strict=True)
    of_row = [places.setdefault(key, len(places)) for key in keys]
    _, first = np.unique(np.array(of_row, dtype=np.int64), return_index=True)
    return of_row, rows.select(names).take(pa.array(first))


def _hashable(column: pa.Array) -> list[Any]:
    """One small value for each row; equal ones for equal values."""
    if not isinstance(column, pa.ListArray):
        return list(_codes(column))
    items = column.flatten()
    parts = items.flatten() if isinstance(items, pa.StructArray) else [items]
    codes = np.column_stack([_codes(part) for part in parts])
    lengths = _lengths(column)
    ends = np.cumsum(lengths)
    return [codes[end - length : end].tobytes() for end, length in zip(ends, lengths, strict=True)]


def _codes(column: pa.Array) -> npt.NDArray[np.int32]:
    codes: npt.NDArray[np.int32] = column.dictionary_encode(null_encoding="encode").indices.to_numpy()
    return codes


def _array(rows: pa.Table | pa.StructArray, name: str) -> pa.Array:
    """A column in one piece; a map as the list it is."""
    column = rows.column(name).combine_chunks() if isinstance(rows, pa.Table) else rows.field(name)
    return column.cast(pa.list_(column.type.field(0))) if pa.types.is_map(column.type) else column


def _values(rows: pa.Table | pa.StructArray, name: str, absent: object = None) -> list[Any]:
    """A column as Python values, `absent` for null."""
    column = _array(rows, name)
    values: list[Any] = (column if absent is None else pc.fill_null(column, pa.scalar(absent, column.type))).to_pylist()
    return values


def _lengths(lists: pa.ListArray) -> list[int]:
    lengths: list[int] = pc.fill_null(pc.list_value_length(lists), 0).to_pylist()
    return lengths


def _resource_spans(rows: pa.Table, promoted: Sequence[Promoted]) -> Iterator[ResourceSpans]:
    for attributes, dropped, refs, schema_url in zip(
        _attributes(rows, promoted, "resource_"),
        _values(rows, "resource_dropped_attributes_count", 0),
        _values(rows, "resource_entity_refs"),
        _values(rows, "resource_schema_url", ""),
        strict=True,
    ):
        entity_refs = [EntityRef.FromString(ref) for ref in refs or ()]
        resource = Resource(attributes=attributes, dropped_attributes_count=dropped, entity_refs=entity_refs)
        yield ResourceSpans(resource=_set(resource), schema_url=schema_url)


def _scope_spans(rows: pa.Table) -> Iterator[ScopeSpans]:
    for name, version, attributes, dropped, schema_url in zip(
        _values(rows, "scope_name", ""),
        _values(rows, "scope_version", ""),
        _attributes(rows, (), "scope_"),
        _values(rows, "scope_dropped_attributes_count", 0),
        _values(rows, "scope_schema_url", ""),
        strict=True,
    ):
        scope = InstrumentationScope(name=name, version=version, attributes=attributes, dropped_attributes_count=dropped)
        yield ScopeSpans(scope=_set(scope), schema_url=schema_url)


def _set(message: _M) -> _M | None:
    """None for a message without content: whether it was sent empty or not at all means the same and is not stored."""
    return message if message.ByteSize() else None


def _spans(rows: pa.Table, promoted: Sequence[Promoted]) -> Iterator[Span]:
    columns = {
        "trace_id": map(bytes.fromhex, _values(rows, "trace_id")),
        "span_id": map(bytes.fromhex, _values(rows, "span_id")),
        "parent_span_id": map(bytes.fromhex, _values(rows, "parent_span_id", "")),
        "name": _values(rows, "name"),
        "kind": _numbers(rows, "kind", _KINDS),
        **_span_times(rows),
        "status": _statuses(rows),
        "attributes": _attributes(rows, promoted),
        "dropped_attributes_count": _values(rows, "dropped_attributes_count", 0),
        "events": _per_row(rows, "events", _events),
        "dropped_events_count": _values(rows, "dropped_events_count", 0),
        "links": _per_row(rows, "links", _links),
        "dropped_links_count": _values(rows, "dropped_links_count", 0),
        "flags": _values(rows, "flags", 0),
        "trace_state": _values(rows, "trace_state", ""),
    }
    return _built(Span, columns)


def _built(kind: type[Any], columns: dict[str, Iterable[Any]]) -> Iterator[Any]:
    """One message for each place in the columns."""
    for values in zip(*columns.values(), strict=True):
        yield kind(**dict(zip(columns, values, strict=True)))


def _span_times(rows: pa.Table) -> dict[str, list[int]]:
    start = _nanoseconds(rows, "start_time", "start_ns_remainder")
    duration, before = _values(rows, "duration_ns"), _values(rows, "end_before_start_ns", 0)
    return {
        "start_time_unix_nano": start,
        "end_time_unix_nano": [s + d - b for s, d, b in zip(start, duration, before, strict=True)],
    }


def _nanoseconds(rows: pa.Table | pa.StructArray, time: str, remainder: str) -> list[int]:
    microseconds = _array(rows, time).cast(pa.int64()).to_pylist()
    return [us * 1000 + ns for us, ns in zip(microseconds, _values(rows, remainder), strict=True)]


def _numbers(rows: pa.Table, name: str, numbers: dict[str, int]) -> list[Any]:
    """Numbers of enum values; what has no word is kept as its digits."""
    return [numbers[word] if word in numbers else int(word) for word in _values(rows, name)]


def _statuses(rows: pa.Table) -> Iterator[Status | None]:
    codes, messages = _numbers(rows, "status", _STATUSES), _values(rows, "status_message", "")
    for code, message in zip(codes, messages, strict=True):
        yield _set(Status(code=code, message=message))


def _per_row(rows: pa.Table, name: str, build: Any) -> Iterator[list[Message]]:  # noqa: ANN401 - a function of structs
    """The messages of each row of a list column."""
    column = _array(rows, name)
    messages = build(column.flatten())
    for length in _lengths(column):
        yield list(islice(messages, length))


def _events(events: pa.StructArray) -> Iterator[Span.Event]:
    columns = {
        "name": _values(events, "name"),
        "time_unix_nano": _nanoseconds(events, "time", "time_ns_remainder"),
        "attributes": _attributes(events, ()),
        "dropped_attributes_count": _values(events, "dropped_attributes_count", 0),
    }
    return _built(Span.Event, columns)


def _links(links: pa.StructArray) -> Iterator[Span.Link]:
    columns = {
        "trace_id": map(bytes.fromhex, _values(links, "trace_id", "")),
        "span_id": map(bytes.fromhex, _values(links, "span_id", "")),
        "trace_state": _values(links, "trace_state", ""),
        "flags": _values(links, "flags", 0),
        "attributes": _attributes(links, ()),
        "dropped_attributes_count": _values(links, "dropped_attributes_count", 0),
    }
    return _built(Span.Link, columns)


def _attributes(rows: pa.Table | pa.StructArray, promoted: Sequence[Promoted], prefix: str = "") -> Iterator[list[KeyValue]]:
    """The attributes of each row in the order sent: the type characters say where the next one comes from."""
    entries = _array(rows, f"{prefix}attributes").flatten()
    in_map = zip(*(part.to_pylist() for part in entries.flatten()), strict=True)
    columns = {p.code: (p.key, p.type, _values(rows, p.column)) for p in promoted}
    for row, characters in enumerate(_values(rows, f"{prefix}attribute_types", "")):
        attributes = []
        for character in characters:
            if character in columns:
                key, type_, values = columns[character]
                attributes.append(KeyValue(key=key, value=value_of(type_, str(values[row]))))
            else:
                key, text = next(in_map)
                attributes.append(KeyValue(key=key, value=value_of(character, text)))
        yield attributes


_IDS = {"trace_id", "span_id", "parent_span_id"}
_AS_TEXT = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


def _json_of(message: Message) -> dict[str, Any]:
    """OTLP/JSON of a message: the JSON of protobuf 3, but ids in hex and enums as numbers."""
    return {
        field.json_name: [_json_value(field, item) for item in value] if field.is_repeated else _json_value(field, value)
        for field, value in message.ListFields()
    }


def _json_value(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - whatever a field can hold
    if field.message_type is not None:
        return _json_of(value)
    if isinstance(value, bytes):
        return value.hex() if field.name in _IDS else base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if field.cpp_type in _AS_TEXT else value
