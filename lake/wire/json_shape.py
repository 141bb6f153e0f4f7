"""JSON shape: the fields of an OTLP/JSON trace request and the types they may have.

Takes   one body.
Gives   how much it holds, or the same body in today's field names (`renamed`); and `STRUCTURE`, the shape as DuckDB
        wants it.
Refuses JSON that is malformed, nested too deeply, or has a field of a wrong type: `WireError` with the field's path.

DuckDB's `from_json` is the fastest way from JSON to columns, but it takes a field of a wrong type for a missing one.
msgspec reads the same classes first: strict JSON, unknown fields ignored, missing ones fine, null the same as missing.
Field names are camelCase only (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import inspect

from ..errors import WireError

Number = int | float | str | None
"""Integers and doubles come as JSON numbers or as text (proto3 JSON); `json_columns` says which text is a number."""


class Value(msgspec.Struct, rename="camel", gc=False):
    """`AnyValue`: at most one field is set."""

    string_value: str | None = None
    int_value: Number = None
    double_value: Number = None
    bool_value: bool | None = None
    bytes_value: str | None = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None


class ArrayValue(msgspec.Struct, gc=False):
    """Values inside a value; null stands for an empty one."""

    values: list[Value | None] | None = None


class KeyValue(msgspec.Struct, gc=False):
    """One attribute."""

    key: str | None = None
    value: Value | None = None


class KeyValueList(msgspec.Struct, gc=False):
    """Attributes inside a value."""

    values: list[KeyValue] | None = None


class EntityRef(msgspec.Struct, rename="camel", gc=False):
    """`EntityRef` of a resource."""

    schema_url: str | None = None
    type: str | None = None
    id_keys: list[str] | None = None
    description_keys: list[str] | None = None


class _Resource(msgspec.Struct, rename="camel", gc=False):
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None
    entity_refs: list[EntityRef] | None = None


class _Scope(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    version: str | None = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None


class _Event(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    time_unix_nano: Number = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None


class _Link(msgspec.Struct, rename="camel", gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    flags: Number = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None


class _Status(msgspec.Struct, gc=False):
    code: Number = None
    message: str | None = None


class _Span(msgspec.Struct, rename="camel", gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: Number = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    trace_state: str | None = None
    flags: Number = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None
    events: list[_Event] | None = None
    dropped_events_count: Number = None
    links: list[_Link] | None = None
    dropped_links_count: Number = None
    status: _Status | None = None


class _ScopeSpans(msgspec.Struct, rename="camel", gc=False):
    scope: _Scope | None = None
    spans: list[_Span] | None = None
    schema_url: str | None = None


class _ResourceSpans(msgspec.Struct, rename="camel", gc=False):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None
    schema_url: str | None = None


class _Request(msgspec.Struct, rename="camel", gc=False):
    resource_spans: list[_ResourceSpans]


_AS_TEXT = {ArrayValue, KeyValueList, EntityRef}
"""Rare or recursive: DuckDB leaves them as JSON text for `json_columns`."""

_REQUEST = msgspec.json.Decoder(_Request)


def check(body: bytes) -> dict[str, int]:
    """Accept a body or say what is wrong with it.

    Returns:
        How many resources, scopes, entity references and spans it has.

    Raises:
        WireError: the body is no JSON, or no object with an array `resourceSpans`, or a field has a wrong type.
    """
    try:
        resources = _REQUEST.decode(body).resource_spans
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise refusal(str(error)) from error
    except RecursionError as error:
        raise refusal("the JSON is nested too deeply") from error
    scopes = [scope for resource in resources for scope in resource.scope_spans or ()]
    return {
        "resources": len(resources),
        "scopes": len(scopes),
        "entity references": sum(len(r.resource.entity_refs or ()) for r in resources if r.resource),
        "spans": sum(len(scope.spans or ()) for scope in scopes),
    }


def refusal(reason: str) -> WireError:
    """The error for any fault in an OTLP/JSON body."""
    return WireError(f"Invalid trace format: {reason}")


def _structure(kind: inspect.Type) -> Any:  # noqa: ANN401 - JSON
    """What `from_json` shall make of a type; numbers stay text, as DuckDB's own casts would round them."""
    if isinstance(kind, inspect.UnionType):
        some = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return _structure(some[0]) if len(some) == 1 else "VARCHAR"
    if isinstance(kind, inspect.ListType):
        item = _structure(kind.item_type)
        return item if getattr(kind.item_type, "cls", None) in _AS_TEXT else [item]
    if isinstance(kind, inspect.StructType) and kind.cls not in _AS_TEXT:
        return {field.encode_name: _structure(field.type) for field in kind.fields}
    return "BOOLEAN" if isinstance(kind, inspect.BoolType) else "VARCHAR"


STRUCTURE = json.dumps(_structure(inspect.type_info(_Request)))
"""Second argument of DuckDB's `from_json`."""

_Object = dict[str, msgspec.Raw]


def renamed(body: bytes) -> bytes:
    """The body with `instrumentationLibrarySpans` (OTLP before 0.15, 2022) named `scopeSpans`.

    Where both are present the new name counts, as OTLP said at the time. The spans themselves are not even parsed.

    Raises:
        WireError: the body is malformed.
    """
    if b'"instrumentationLibrary' not in body:
        return body
    try:
        request = msgspec.json.decode(body, type=_Object)
        resources = msgspec.json.decode(request["resourceSpans"], type=list[_Object])
        request["resourceSpans"] = msgspec.Raw(msgspec.json.encode([_renamed_resource(r) for r in resources]))
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as error:
        check(body)  # a fault in today's fields has a better name there
        raise refusal(f"instrumentationLibrarySpans: {error}") from error
    return msgspec.json.encode(request)


def _renamed_resource(resource: _Object) -> _Object:
    old = resource.pop("instrumentationLibrarySpans", None)
    if old is not None:
        scopes = msgspec.json.decode(old, type=list[_Object] | None) or []
        resource.setdefault("scopeSpans", msgspec.Raw(msgspec.json.encode([_renamed_scope(s) for s in scopes])))
    return resource


def _renamed_scope(scope: _Object) -> _Object:
    if "instrumentationLibrary" in scope:
        scope.setdefault("scope", scope.pop("instrumentationLibrary"))
    return scope
