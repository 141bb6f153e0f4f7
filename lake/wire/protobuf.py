"""Protobuf: OTLP `ExportTraceServiceRequest` bodies to `Decoded`, columnar from the first byte.

Takes   serialized requests.
Gives   `Decoded` (see `decoded`).
Refuses bytes that are no such message, or text that is not UTF-8: `WireError`; what cannot be held in memory: `TooLarge`.

ptars parses protobuf straight into Arrow builders, but cannot express OTLP's recursive `AnyValue`. Its copy of the
descriptors therefore types `KeyValue.value` (and the rare `EntityRef`) as bytes, which has the same wire format; `values`
reads them by column. That also halves the time to decode, since seven mostly-null columns a value become one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import EntityRef

from ..errors import WireError
from .arrays import offsets_of, owners_of
from .attributes import KeyValues
from .decoded import Decoded, Events, Indices, Links, Resources, Scopes
from .limits import Limits
from .outline import check_outline
from .records import handler_of, read
from .values import texts_of_values

_OPAQUE = {("KeyValue", "value"), ("Resource", "entity_refs")}
_UNUSED = {("KeyValue", "key_strindex")}
"""Profiles only; OTLP forbids it in traces."""

_HEX = np.frombuffer(bytes(range(256)).hex().encode(), dtype=np.uint16)
"""The two hex digits of each byte, side by side in memory."""


_LARGE_BYTES = 4 * 2**20
"""Size of a body that may hold so much that it is looked over before it is decoded."""


def decode(bodies: list[bytes], limits: Limits | None = None) -> Decoded:
    """Decode requests.

    Args:
        limits: what each may hold. Only those that would take too much memory are refused here, `traces` checks all.

    Raises:
        WireError: a body is malformed. The message does not say which one: decode them singly to find out.
        TooLarge: a body is far over the limits.
    """
    for body in bodies:
        if limits and len(body) > _LARGE_BYTES:
            check_outline(body, limits)
    requests = read(_handler(), bodies).column(0)
    resource_spans = requests.flatten()
    scope_spans = resource_spans.field("scope_spans").flatten()
    spans = scope_spans.field("spans").flatten()
    of_resources, of_scopes, of_spans, of_events, of_links = _key_values(
        resource_spans.field("resource").field("attributes"),
        scope_spans.field("scope").field("attributes"),
        spans.field("attributes"),
        spans.field("events").flatten().field("attributes"),
        spans.field("links").flatten().field("attributes"),
    )
    return _decoded(
        len(bodies),
        _resources(resource_spans, owners_of(requests), of_resources),
        _scopes(scope_spans, owners_of(resource_spans.field("scope_spans")), of_scopes),
        spans,
        owners_of(scope_spans.field("spans")),
        of_spans,
        _events(spans.field("events"), of_events),
        _links(spans.field("links"), of_links),
    )


@cache
def _handler() -> Any:  # noqa: ANN401 - ptars ships no types
    descriptor = ExportTraceServiceRequest.DESCRIPTOR
    return handler_of([_opaque(file) for file in _files(descriptor.file)], descriptor.full_name)


def _files(file: Any) -> list[FileDescriptorProto]:  # noqa: ANN401 - upb's descriptor class has no public name
    """The file and all it imports, imported ones first."""
    found: dict[str, FileDescriptorProto] = {}
    for dependency in file.dependencies:
        found.update({proto.name: proto for proto in _files(dependency)})
    own = FileDescriptorProto()
    file.CopyToProto(own)
    return [*found.values(), own]


def _opaque(file: FileDescriptorProto) -> FileDescriptorProto:
    for message in file.message_type:
        for field in list(message.field):
            if (message.name, field.name) in _UNUSED:
                message.field.remove(field)
            elif (message.name, field.name) in _OPAQUE:
                field.type = field.TYPE_BYTES
                field.ClearField("type_name")
                if field.label != field.LABEL_REPEATED:
                    _make_optional(message, field)
    return file


def _make_optional(message: DescriptorProto, field: Any) -> None:  # noqa: ANN401 - as above
    """An absent message is not an empty one; bytes tell the two apart only when declared `optional`."""
    field.proto3_optional = True
    field.oneof_index = len(message.oneof_decl)
    message.oneof_decl.add(name=f"_{field.name}")


def _resources(resource_spans: pa.StructArray, request: Indices, attributes: KeyValues) -> Resources:
    _, dropped, entity_refs = resource_spans.field("resource").flatten()
    _check_entity_refs(entity_refs.flatten())
    return Resources(
        request=request,
        attributes=attributes,
        dropped_attributes_count=dropped,
        entity_refs=entity_refs,
        schema_url=resource_spans.field("schema_url"),
    )


def _check_entity_refs(refs: pa.BinaryArray) -> None:
    """What ptars took for bytes must be an `EntityRef`, once a distinct one."""
    for ref in refs.unique().to_pylist() if len(refs) else ():
        try:
            EntityRef.FromString(ref)
        except DecodeError as error:
            raise WireError(f"resource.entity_refs is not an OTLP EntityRef: {error}") from error


def _scopes(scope_spans: pa.StructArray, resource: Indices, attributes: KeyValues) -> Scopes:
    name, version, _, dropped = scope_spans.field("scope").flatten()
    return Scopes(
        resource=resource,
        name=name,
        version=version,
        attributes=attributes,
        dropped_attributes_count=dropped,
        schema_url=scope_spans.field("schema_url"),
    )


def _decoded(
    count: int,
    resources: Resources,
    scopes: Scopes,
    spans: pa.StructArray,
    scope: Indices,
    attributes: KeyValues,
    events: Events,
    links: Links,
) -> Decoded:
    status_message, status_code = spans.field("status").flatten()
    return Decoded(
        request_count=count,
        resources=resources,
        scopes=scopes,
        scope=scope,
        trace_id=hex_of(spans.field("trace_id")),
        span_id=hex_of(spans.field("span_id")),
        parent_span_id=hex_of(spans.field("parent_span_id")),
        name=spans.field("name"),
        kind=spans.field("kind"),
        start_time_unix_nano=spans.field("start_time_unix_nano"),
        end_time_unix_nano=spans.field("end_time_unix_nano"),
        status_code=status_code,
        status_message=status_message,
        trace_state=spans.field("trace_state"),
        flags=spans.field("flags"),
        attributes=attributes,
        dropped_attributes_count=spans.field("dropped_attributes_count"),
        events=events,
        dropped_events_count=spans.field("dropped_events_count"),
        links=links,
        dropped_links_count=spans.field("dropped_links_count"),
    )


def _events(lists: pa.ListArray, attributes: KeyValues) -> Events:
    events = lists.flatten()
    return Events(
        offsets=offsets_of(lists),
        name=events.field("name"),
        time_unix_nano=events.field("time_unix_nano"),
        attributes=attributes,
        dropped_attributes_count=events.field("dropped_attributes_count"),
    )


def _links(lists: pa.ListArray, attributes: KeyValues) -> Links:
    links = lists.flatten()
    return Links(
        offsets=offsets_of(lists),
        trace_id=hex_of(links.field("trace_id")),
        span_id=hex_of(links.field("span_id")),
        trace_state=links.field("trace_state"),
        flags=links.field("flags"),
        attributes=attributes,
        dropped_attributes_count=links.field("dropped_attributes_count"),
    )


def _key_values(*lists: pa.ListArray) -> Iterator[KeyValues]:
    """The attributes in some lists, read in one go: it is the calls that cost, not the values of resources or scopes."""
    entries = [part.flatten() for part in lists]
    text, types = texts_of_values(pa.concat_arrays([part.field("value") for part in entries]))
    first = 0
    for part, own in zip(lists, entries, strict=True):
        yield KeyValues(offsets_of(part), own.field("key"), text.slice(first, len(own)), types[first : first + len(own)])
        first += len(own)


def hex_of(values: pa.BinaryArray) -> pa.StringArray:
    """Lowercase hex of each value, whatever its length."""
    _, offsets, data = values.buffers()
    places = np.frombuffer(offsets, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    raw = np.frombuffer(data, dtype=np.uint8)[places[0] : places[-1]] if data is not None else np.zeros(0, np.uint8)
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer((places - places[0]) * np.int32(2)), pa.py_buffer(_HEX[raw])
    )
