"""Requests: generated OTLP trace requests, written in protobuf and in every spelling of OTLP/JSON.

Takes   nothing.
Gives   strategies of trees (dicts with the field names of OTLP/JSON and Python values), their writers (`protobuf_of`,
        `json_of`), a strict reader of OTLP/JSON (`message_of`), and `canonical`, by which what was sent and what came
        back are compared. None of it uses `lake.wire`.
Refuses nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from lake.schema import PROMOTED, SPAN_KINDS

Tree = dict[str, Any]

text = st.text(max_size=12)
uint32 = st.integers(0, 2**32 - 1)
int64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, 2**53 + 1, 0])
double = st.floats() | st.sampled_from([-0.0, math.nan, math.inf, -math.inf, 5e-324, 1e308, 0.1])

scalars = st.one_of(
    st.builds(lambda v: {"stringValue": v}, text | st.sampled_from(["200", "true", "null", "[]"])),
    st.builds(lambda v: {"intValue": v}, int64),
    st.builds(lambda v: {"doubleValue": v}, double),
    st.builds(lambda v: {"boolValue": v}, st.booleans()),
    st.builds(lambda v: {"bytesValue": v}, st.binary(max_size=9)),
    st.just({}),
)


def _key_values(keys: st.SearchStrategy[str], values: st.SearchStrategy[Tree]) -> st.SearchStrategy[list[Tree]]:
    return st.lists(st.fixed_dictionaries({"key": keys}, optional={"value": values}), max_size=4)


def _lists_of(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.one_of(
        st.builds(lambda v: {"arrayValue": {"values": v}}, st.lists(inner, max_size=3)),
        st.builds(lambda v: {"kvlistValue": {"values": v}}, _key_values(text | st.sampled_from("ab"), inner)),
    )


values = scalars | _lists_of(st.recursive(scalars, _lists_of, max_leaves=6))
"""`AnyValue`s of every kind; lists in them may repeat a key and may have keys without a value."""

_KNOWN_KEYS = [key for p in PROMOTED for key in (p.key, *p.aliases)]
_canonical_attributes = st.sampled_from(PROMOTED).flatmap(
    lambda p: st.builds(
        lambda v: {"key": p.key, "value": {"intValue" if p.type == "i" else "stringValue": v}},
        int64 if p.type == "i" else text,
    )
)
_any_attributes = st.fixed_dictionaries(
    {"key": text | st.sampled_from(["", "exception.type", "a", "b", *_KNOWN_KEYS])}, optional={"value": values}
)
attributes = st.lists(_canonical_attributes | _any_attributes, max_size=6)
"""Promoted attributes in their canonical type and in others, their older names, repeated and empty keys."""


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    """Objects of which every field may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


attributed = {"attributes": attributes, "droppedAttributesCount": uint32}
link_ids = {"traceId": st.sampled_from([b"", b"abc", bytes(16), b"\xff" * 16]) | st.binary(min_size=16, max_size=16),
            "spanId": st.sampled_from([b"", b"abc", bytes(8)]) | st.binary(min_size=8, max_size=8)}  # fmt: skip

_fields_of_spans = {
    **attributed,
    "name": text,
    "kind": st.integers(0, 5) | st.integers(-(2**31), 2**31 - 1),
    "traceState": text,
    "flags": uint32,
    "droppedEventsCount": uint32,
    "links": st.lists(optional(**link_ids, **attributed, traceState=text, flags=uint32), max_size=2),
    "droppedLinksCount": uint32,
    "status": optional(code=st.integers(0, 2) | st.integers(-(2**31), 2**31 - 1), message=text),
}


def _events(times: st.SearchStrategy[int]) -> st.SearchStrategy[list[Tree]]:
    names = text | st.just("exception")
    return st.lists(optional(name=names, timeUnixNano=times, **attributed), max_size=2)


_sound_time = st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 999, 1000, 2**63 - 1])
sound_spans = st.fixed_dictionaries(
    {
        "traceId": st.binary(min_size=16, max_size=16).filter(any),
        "spanId": st.binary(min_size=8, max_size=8).filter(any),
    },
    optional={
        "parentSpanId": st.just(b"") | st.binary(min_size=8, max_size=8) | st.just(bytes(8)),
        "startTimeUnixNano": _sound_time,
        "endTimeUnixNano": _sound_time,
        "events": _events(_sound_time),
        **_fields_of_spans,
    },
)
"""Spans that the wire takes; many of them end before they start."""

_any_time = st.integers(0, 2**64 - 1)
any_spans = optional(
    **link_ids,
    parentSpanId=link_ids["spanId"],
    startTimeUnixNano=_any_time,
    endTimeUnixNano=_any_time,
    events=_events(_any_time),
    **_fields_of_spans,
)
"""Spans of which many have an invalid id or an impossible time."""

_names = st.lists(text, max_size=2)
_entity_refs = st.lists(optional(type=text, schemaUrl=text, idKeys=_names, descriptionKeys=_names), max_size=2)


_nothing: list[Tree] = [{}, {"scopeSpans": []}, {"resource": {}, "scopeSpans": [{}, {"scope": {}, "spans": []}]}]


def requests(spans: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    """Whole requests with these spans; resources, scopes and schema URLs may be missing, empty or repeated."""
    scope = {"scope": optional(name=text, version=text, **attributed), "schemaUrl": text}
    scope_spans = st.fixed_dictionaries({"spans": st.lists(spans, min_size=1, max_size=3)}, optional=scope)
    resource = {"resource": optional(entityRefs=_entity_refs, **attributed), "schemaUrl": text}
    resource_spans = st.fixed_dictionaries({"scopeSpans": st.lists(scope_spans, min_size=1, max_size=2)}, optional=resource)
    some = st.lists(resource_spans, min_size=1, max_size=2)
    none = st.lists(st.sampled_from(_nothing), max_size=1)
    return st.builds(lambda some, none: {"resourceSpans": some + none}, some, none)


def _everything() -> Tree:
    value_of_each_kind: list[Tree] = [
        {"stringValue": "x\n"}, {"intValue": -5}, {"doubleValue": 1.5}, {"boolValue": True}, {"bytesValue": b"\x00\x01"},
        {"arrayValue": {"values": [{"intValue": 1}, {}]}}, {},
        {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": ""}}, {"key": "k"}]}},
    ]  # fmt: skip
    some: list[Tree] = [{"key": f"a{number}", "value": value} for number, value in enumerate(value_of_each_kind)]
    promoted: list[Tree] = [
        {"key": p.key, "value": {"intValue": 200} if p.type == "i" else {"stringValue": p.column}} for p in PROMOTED
    ]
    ids = {"traceId": bytes(range(16)), "spanId": bytes(range(1, 9))}
    span: Tree = ids | {
        "parentSpanId": bytes(range(2, 10)), "name": "GET /cart", "kind": 2, "traceState": "a=b", "flags": 257,
        "startTimeUnixNano": 1_700_000_000_123_456_789, "endTimeUnixNano": 1_700_000_000_223_456_789,
        "attributes": promoted + some, "droppedAttributesCount": 1,
        "events": [{"name": "exception", "timeUnixNano": 5, "attributes": some, "droppedAttributesCount": 2}, {}],
        "droppedEventsCount": 3, "links": [ids | {"traceState": "c", "flags": 1, "attributes": some[:2]}, {}],
        "droppedLinksCount": 4, "status": {"code": 2, "message": "m"},
    }  # fmt: skip
    refs = [{"schemaUrl": "u", "type": "host", "idKeys": ["host.id"], "descriptionKeys": ["host.name"]}]
    scope = {"name": "http", "version": "1", "attributes": some[:1], "droppedAttributesCount": 5}
    resource = {"attributes": promoted + some, "droppedAttributesCount": 6, "entityRefs": refs}
    spans = [span, {**ids, "spanId": b"\xff" * 8}]
    scope_spans = [{"scope": scope, "spans": spans, "schemaUrl": "s"}, {"spans": [{**ids, "spanId": b"\xfe" * 8}]}]
    return {"resourceSpans": [{"resource": resource, "scopeSpans": scope_spans, "schemaUrl": "r"}, {}]}


EVERYTHING = _everything()
"""A request of three spans that has every field of OTLP."""

_ENUMS = {
    "kind": dict(enumerate(f"SPAN_KIND_{kind.upper()}" for kind in SPAN_KINDS)),
    "code": dict(enumerate(["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"])),
}
_INTEGERS_OF_64_BITS = ("intValue", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano")


@dataclasses.dataclass(frozen=True)
class Spelling:
    """One of the ways to write OTLP/JSON."""

    integers_as_text: bool
    ids_as_base64: bool
    enums_as_names: bool


spellings = st.builds(Spelling, st.booleans(), st.booleans(), st.booleans())


def json_of(tree: Tree, spelling: Spelling) -> bytes:
    """The tree as a body in OTLP/JSON."""
    return json.dumps(_spelled(tree, spelling), ensure_ascii=False).encode()


def _spelled(node: Any, spelling: Spelling, name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: _spelled(value, spelling, key) for key, value in node.items()}
    if isinstance(node, list):
        return [_spelled(value, spelling) for value in node]
    if isinstance(node, bytes):
        base64_wanted = name == "bytesValue" or (spelling.ids_as_base64 and len(node) in (8, 16))
        return base64.b64encode(node).decode() if base64_wanted else node.hex()
    if isinstance(node, float) and not math.isfinite(node):
        return "NaN" if math.isnan(node) else ("Infinity" if node > 0 else "-Infinity")
    if name in _ENUMS and spelling.enums_as_names:
        return _ENUMS[name].get(node, node)
    return str(node) if name in _INTEGERS_OF_64_BITS and spelling.integers_as_text else node


def protobuf_of(tree: Tree) -> ExportTraceServiceRequest:
    """The tree as a message."""
    message = ExportTraceServiceRequest()
    _fill(message, tree)
    return message


def protobuf_of_value(tree: Tree) -> AnyValue:
    """One of `values` as a message."""
    value = AnyValue()
    _fill(value, tree)
    return value


def _fill(message: Any, fields: Tree) -> None:
    by_name = {field.json_name: field for field in message.DESCRIPTOR.fields}
    for name, value in fields.items():
        target = by_name[name].name
        if isinstance(value, dict):
            getattr(message, target).SetInParent()
            _fill(getattr(message, target), value)
        elif isinstance(value, list) and by_name[name].message_type is not None:
            for item in value:
                _fill(getattr(message, target).add(), item)
        elif isinstance(value, list):
            getattr(message, target).extend(value)
        else:
            setattr(message, target, value)


def message_of(body: bytes) -> ExportTraceServiceRequest:
    """Read OTLP/JSON as strictly as the specification writes it: hex ids, 64-bit integers as text, enums as numbers."""
    return protobuf_of(_read(json.loads(body)))


def _read(node: Any, name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: _read(value, key) for key, value in node.items()}
    if isinstance(node, list):
        return [_read(value, name) for value in node]
    if name in ("traceId", "spanId", "parentSpanId"):
        return bytes.fromhex(node)
    if name == "bytesValue":
        return base64.b64decode(node, validate=True)
    if name in _INTEGERS_OF_64_BITS:
        assert isinstance(node, str), f"{name} is {node!r}"
        return int(node)
    if name in _ENUMS:
        assert isinstance(node, int), f"{name} is {node!r}"
    if name == "doubleValue" and isinstance(node, str):
        return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[node]
    return node


def canonical(*messages: ExportTraceServiceRequest) -> list[tuple[str, ...]]:
    """One entry for each span with all that it was sent with, sorted: equal for requests that say the same.

    What is not told apart, and why nothing is lost by it:

    - How spans are grouped, and in which order. Each entry has the span's own resource and scope; a resource or scope
      that no span refers to describes nothing.
    - A message that is missing and one without content: resource, scope, status, the value of an attribute. OTLP gives
      both the same meaning (unknown resource, unknown scope, status unset, empty value). Inside arrays and key-value
      lists, where positions count, they are told apart.
    - A parent id of eight zero bytes and none: OTLP calls both "no parent".
    - NaN and NaN: JSON has one, and so has arithmetic.
    - Of a key that comes twice in one list of attributes only the last entry counts. OTLP forbids such lists ("Attribute
      keys MUST be unique"); inside key-value lists, where it does not, all entries count.
    """
    entries: list[tuple[str, ...]] = []
    for message in messages:
        sent = ExportTraceServiceRequest()
        sent.CopyFrom(message)
        for resource_spans in sent.resource_spans:
            resource = _plain(resource_spans.resource)
            for scope_spans in resource_spans.scope_spans:
                scope = _plain(scope_spans.scope)
                urls = (resource_spans.schema_url, scope_spans.schema_url)
                entries.extend((_plain_span(span), resource, scope, *urls) for span in scope_spans.spans)
    return sorted(entries)


def _plain_span(span: Any) -> str:
    if not any(span.parent_span_id):
        span.ClearField("parent_span_id")
    if not span.status.ByteSize():
        span.ClearField("status")
    for part in (*span.events, *span.links):
        _last_of_each_key(part.attributes)
    return _plain(span)


def _plain(message: Any) -> str:
    _last_of_each_key(message.attributes)
    return str(message)


def _last_of_each_key(attributes: Any) -> None:
    last = {attribute.key: place for place, attribute in enumerate(attributes)}
    kept = [attributes[place] for place in sorted(last.values())]
    for attribute in kept:
        attribute.value.SetInParent()
    del attributes[:]
    attributes.extend(kept)
