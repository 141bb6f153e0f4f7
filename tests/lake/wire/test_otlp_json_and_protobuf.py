"""A request decodes to the same columns whether it came as OTLP/JSON or as protobuf."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lake.schema import SPAN_KINDS
from lake.wire import otlp_json, protobuf
from lake.wire.decoded import Decoded

_REQUEST_DEFAULTS = {pa.string(): "", pa.int64(): 0, pa.int32(): 0, pa.uint32(): 0}
_NULL_MATTERS = ("attributes.text",)


def columns(decoded: Decoded) -> dict[str, list[Any]]:
    """All columns by path; null and the protobuf default are the same, except in values."""
    return dict(_columns(decoded, ""))


def _columns(part: Any, prefix: str) -> Iterator[tuple[str, list[Any]]]:
    for field in dataclasses.fields(part):
        value, path = getattr(part, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _columns(value, f"{path}.")
        elif isinstance(value, pa.Array):
            default = _REQUEST_DEFAULTS.get(value.type)
            keep = default is None or path.endswith(_NULL_MATTERS) or path == "status_code"
            yield path, value.to_pylist() if keep else pc.fill_null(value, default).to_pylist()
        else:
            yield path, value.tolist() if hasattr(value, "tolist") else value


uint32 = st.integers(0, 2**32 - 1)
time_ns = st.integers(0, 2**64 - 1)
scalars = st.one_of(
    st.builds(lambda v: {"stringValue": v}, st.text()),
    st.builds(lambda v: {"intValue": v}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda v: {"doubleValue": v}, st.floats()),
    st.builds(lambda v: {"boolValue": v}, st.booleans()),
    st.builds(lambda v: {"bytesValue": v}, st.binary()),
    st.just({}),
)


def key_values(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.fixed_dictionaries({"key": st.text()}, optional={"value": values}), max_size=4)


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(lambda v: {"arrayValue": {"values": v}}, st.lists(inner, max_size=3)),
        st.builds(lambda v: {"kvlistValue": {"values": v}}, key_values(inner)),
    ),
    max_leaves=6,
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


attributed = {"attributes": key_values(values), "droppedAttributesCount": uint32}
ids = {"traceId": st.sampled_from([b"", b"abc", bytes(range(16)), b"\xff" * 16]),
       "spanId": st.sampled_from([b"", b"abc", bytes(range(8)), b"\xff" * 8])}  # fmt: skip
spans = optional(
    **ids,
    **attributed,
    parentSpanId=ids["spanId"],
    name=st.text(),
    kind=st.integers(0, 5),
    startTimeUnixNano=time_ns,
    endTimeUnixNano=time_ns,
    traceState=st.text(),
    flags=uint32,
    events=st.lists(optional(name=st.text(), timeUnixNano=time_ns, **attributed), max_size=2),
    droppedEventsCount=uint32,
    links=st.lists(optional(**ids, **attributed, traceState=st.text(), flags=uint32), max_size=2),
    droppedLinksCount=uint32,
    status=optional(code=st.integers(0, 2), message=st.text()),
)
names = st.lists(st.text(), max_size=2)
entity_refs = st.lists(optional(type=st.text(), schemaUrl=st.text(), idKeys=names, descriptionKeys=names), max_size=2)
scope_spans = optional(
    scope=optional(name=st.text(), version=st.text(), **attributed),
    spans=st.lists(spans, max_size=3),
    schemaUrl=st.text(),
)
resource_spans = optional(
    resource=optional(entityRefs=entity_refs, **attributed),
    scopeSpans=st.lists(scope_spans, max_size=2),
    schemaUrl=st.text(),
)
requests = st.builds(lambda v: {"resourceSpans": v}, st.lists(resource_spans, max_size=2))

_INTEGERS_OF_64_BITS = ("intValue", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano")
_ENUMS = {
    "kind": [f"SPAN_KIND_{kind.upper()}" for kind in SPAN_KINDS],
    "code": ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"],
}


@dataclasses.dataclass(frozen=True)
class Spelling:
    """One of the ways to write OTLP/JSON."""

    integers_as_text: bool
    ids_as_base64: bool
    enums_as_names: bool


def json_of(node: Any, spelling: Spelling, name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: json_of(value, spelling, key) for key, value in node.items()}
    if isinstance(node, list):
        return [json_of(value, spelling) for value in node]
    if isinstance(node, bytes):
        base64_wanted = name == "bytesValue" or (spelling.ids_as_base64 and len(node) in (8, 16))
        return base64.b64encode(node).decode() if base64_wanted else node.hex()
    if isinstance(node, float) and not math.isfinite(node):
        return "NaN" if math.isnan(node) else ("Infinity" if node > 0 else "-Infinity")
    if name in _ENUMS and spelling.enums_as_names:
        return _ENUMS[name][node]
    return str(node) if name in _INTEGERS_OF_64_BITS and spelling.integers_as_text else node


def fill(message: Any, fields: dict[str, Any]) -> None:
    """Set the fields of a protobuf message from the same tree that `json_of` writes."""
    by_name = {field.json_name: field for field in message.DESCRIPTOR.fields}
    for name, value in fields.items():
        target = by_name[name].name
        if isinstance(value, dict):
            getattr(message, target).SetInParent()
            fill(getattr(message, target), value)
        elif isinstance(value, list) and by_name[name].message_type is not None:
            for item in value:
                fill(getattr(message, target).add(), item)
        elif isinstance(value, list):
            getattr(message, target).extend(value)
        else:
            setattr(message, target, value)


@settings(max_examples=150, deadline=None)
@given(st.lists(requests, min_size=1, max_size=2), st.builds(Spelling, st.booleans(), st.booleans(), st.booleans()))
def test_json_and_protobuf_decode_to_the_same_columns(trees: list[dict[str, Any]], spelling: Spelling) -> None:
    messages = [ExportTraceServiceRequest() for _ in trees]
    for message, tree in zip(messages, trees, strict=True):
        fill(message, tree)
    bodies = [json.dumps(json_of(tree, spelling), ensure_ascii=False).encode() for tree in trees]
    expected = protobuf.decode([message.SerializeToString() for message in messages])
    assert columns(otlp_json.decode(bodies)) == columns(expected)
