"""Outline: how much a large request in protobuf holds, counted before it is decoded.

Takes   one serialized request and the limits.
Gives   nothing.
Refuses a request over a limit: `TooLarge`; one that is malformed in its outline: `WireError`.

An empty span takes two bytes of a body and more than a hundred of memory. ptars counts without taking memory for what it
counts, given descriptors of messages without fields; level by level, so that each level is known to be small before its
members are looked into.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pyarrow as pa
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .limits import Limits
from .records import handler_of, read

_Tree = dict[str, Any]
"""Fields of a message to those of the messages they hold."""

_LEVELS: tuple[_Tree, ...] = (
    {"resource_spans": {}},
    {"resource_spans": {"scope_spans": {}, "resource": {"attributes": {}, "entity_refs": {}}}},
    {"resource_spans": {"scope_spans": {"scope": {"attributes": {}}, "spans": {}}}},
    {"resource_spans": {"scope_spans": {"spans": {"attributes": {}, "events": {}, "links": {}}}}},
    {"resource_spans": {"scope_spans": {"spans": {"events": {"attributes": {}}, "links": {"attributes": {}}}}}},
)
_NAMES = {"resource_spans": "resources", "scope_spans": "scopes", "entity_refs": "entity references"}


def check_outline(body: bytes, limits: Limits) -> None:
    """Refuse a request that holds too much.

    Raises:
        TooLarge: it has more of something than the limits allow.
        WireError: it is malformed.
    """
    attributes = 0
    for level, tree in enumerate(_LEVELS):
        counts: Counter[str] = Counter()
        _count(read(_handler(level), [body]).to_struct_array(), tree, counts)
        attributes += counts.pop("attributes", 0)
        for what, count in counts.items():
            limits.check(what, count)
        limits.check("attributes", attributes)


def _count(messages: pa.StructArray, tree: _Tree, counts: Counter[str]) -> None:
    """Add up the members of each list below some messages."""
    for name, members in tree.items():
        field = messages.field(name)
        if isinstance(field, pa.ListArray):
            field = field.flatten()
            counts[_NAMES.get(name, name)] += len(field)
        _count(field, members, counts)


@cache
def _handler(level: int) -> Any:  # noqa: ANN401 - ptars ships no types
    file = FileDescriptorProto(name="outline.proto", package="outline", syntax="proto3")
    _declare(file, "Request", ExportTraceServiceRequest.DESCRIPTOR, _LEVELS[level])
    return handler_of([file], "outline.Request")


def _declare(file: FileDescriptorProto, name: str, original: Descriptor, tree: _Tree) -> None:
    """Declare a message like `original` that has only the fields of the tree."""
    message = file.message_type.add(name=name)
    for field_name, members in tree.items():
        field = original.fields_by_name[field_name]
        inner = f"{name}_{field_name}"
        repeated = message.field.add(name=field_name, number=field.number, type_name=f".outline.{inner}")
        repeated.type = repeated.TYPE_MESSAGE
        repeated.label = repeated.LABEL_REPEATED if field.is_repeated else repeated.LABEL_OPTIONAL
        assert field.message_type is not None  # noqa: S101 - the trees name messages only
        _declare(file, inner, field.message_type, members)
