"""OTLP/JSON: `ExportTraceServiceRequest` bodies in JSON to `Decoded`.

Takes   bodies in UTF-8.
Gives   `Decoded` (see `decoded`).
Refuses bodies that are not an object with an array `resourceSpans`, and fields of a wrong type: `WireError`; what cannot
        be held in memory: `TooLarge`.

Accepts more than OTLP demands, because real senders need it: ids in hex of any case or base64, integers as number or
text, enums as number or name, null for absent, a byte order mark, `instrumentationLibrarySpans`. Unknown fields are
ignored at every level.

Two C parsers do the work: msgspec checks types and names faults (`json_shape`), DuckDB makes columns. Together they
take less than half the time of `orjson.loads`.
"""

from __future__ import annotations

import codecs
import threading
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ..errors import TooLarge
from .arrays import offsets_of, owners_of
from .attributes import KeyValues
from .decoded import Decoded, Events, Indices, Links, Resources, Scopes
from .json_columns import counts, enums, ids, times
from .json_shape import STRUCTURE, check, refusal, renamed
from .json_values import attribute_texts, entity_refs
from .limits import Limits

_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_NO_ID = "invalid"
"""Stands for a parent id that is none: null would make the span a root, an odd length makes `spans` refuse it."""

_PARTS = {"objects": (b"{", 2_000_000), "values": (b",", 8_000_000)}
"""Characters that JSON has one of for each part, and how many parts a request may have: an empty object takes three bytes
of the body and a hundred or more of memory, another value two and sixteen. Text may have the same characters, so this is
generous."""

_CHUNK_BYTES = 4 << 20
"""DuckDB holds the parsed trees of a chunk at once, several times its text."""

_KINDS = dict(Span.SpanKind.items())
_STATUS_CODES = dict(Status.StatusCode.items())

_Columns = dict[str, pa.Array]


def decode(bodies: list[bytes], limits: Limits | None = None) -> Decoded:
    """Decode requests.

    Args:
        limits: what each may hold. Only those that would take too much memory are refused here, `traces` checks all.

    Raises:
        WireError: a body is malformed. The message does not say which one: decode them singly to find out.
        TooLarge: a body is far over the limits.
    """
    plain = []
    for body in bodies:
        _check_size(body)
        plain.append(renamed(body.removeprefix(codecs.BOM_UTF8)))
        for what, count in check(plain[-1]).items():
            if limits:
                limits.check(what, count)
    requests = _parser().parse(plain).field("resourceSpans")
    resource_spans = _columns(requests)
    scope_spans = _columns(resource_spans["scopeSpans"])
    return _decoded(
        len(bodies),
        _resources(resource_spans, owners_of(requests)),
        _scopes(scope_spans, owners_of(resource_spans["scopeSpans"])),
        _columns(scope_spans["spans"]),
        owners_of(scope_spans["spans"]),
    )


def _check_size(body: bytes) -> None:
    for what, (character, most) in _PARTS.items():
        if len(body) > 2 * most and (count := body.count(character)) > most:
            raise TooLarge(f"a request may hold {most} JSON {what}, this one has {count}: send smaller batches")


class _Source:
    """What the prepared statement reads; DuckDB asks for its stream anew on each execution."""

    def __init__(self) -> None:
        self.table = _table([])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class _Parser:
    """DuckDB without access to anything; a prepared statement saves half of a small request's time."""

    def __init__(self) -> None:
        self._source = _Source()
        self._connection = duckdb.connect(
            config={"threads": 1, "enable_external_access": False, "python_enable_replacements": False}
        )
        self._connection.register("bodies", self._source)
        self._connection.execute(f"PREPARE parse AS SELECT from_json(body, '{STRUCTURE}') AS request FROM bodies")

    def parse(self, bodies: list[bytes]) -> pa.StructArray:
        """One struct of the type `STRUCTURE` for each body."""
        self._source.table = _table(bodies)
        try:
            parsed = self._connection.sql("EXECUTE parse").to_arrow_table()
        except duckdb.Error as error:
            raise refusal(str(error)) from error
        finally:
            self._source.table = _table([])
        return parsed.column(0).combine_chunks()


_of_thread = threading.local()


def _parser() -> _Parser:
    """The calling thread's own: a DuckDB connection serves one thread at a time."""
    if not hasattr(_of_thread, "parser"):
        _of_thread.parser = _Parser()
    parser: _Parser = _of_thread.parser
    return parser


def _table(bodies: list[bytes]) -> pa.Table:
    """One column of text, in chunks of about `_CHUNK_BYTES`."""
    offsets = np.zeros(len(bodies) + 1, dtype=np.int32)
    np.cumsum([len(body) for body in bodies], out=offsets[1:])
    texts = pa.StringArray.from_buffers(len(bodies), pa.py_buffer(offsets), pa.py_buffer(b"".join(bodies)))
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise refusal("the body is not UTF-8") from error
    starts = np.flatnonzero(np.diff(offsets[:-1] // _CHUNK_BYTES, prepend=-1))
    chunks = [texts[start:end] for start, end in pairwise([*starts, len(bodies)])]
    return pa.table({"body": pa.chunked_array(chunks, pa.string())})


def _columns(lists: pa.ListArray) -> _Columns:
    """The fields of all structs in a column of lists of them."""
    return _fields(lists.flatten())


def _fields(structs: pa.StructArray) -> _Columns:
    """A field of a null struct is null."""
    return dict(zip((field.name for field in structs.type), structs.flatten(), strict=True))


def _key_values(lists: pa.ListArray) -> KeyValues:
    entries = _columns(lists)
    text, types = attribute_texts(_fields(entries["value"]), len(entries["key"]))
    return KeyValues(offsets_of(lists), pc.fill_null(entries["key"], ""), text, types)


def _dropped(columns: _Columns, what: str = "Attributes") -> pa.Int64Array:
    name = f"dropped{what}Count"
    return counts(columns[name], name)


def _resources(resource_spans: _Columns, request: Indices) -> Resources:
    resource = _fields(resource_spans["resource"])
    return Resources(
        request=request,
        attributes=_key_values(resource["attributes"]),
        dropped_attributes_count=_dropped(resource),
        entity_refs=entity_refs(resource["entityRefs"], pc.is_valid(resource_spans["resource"])),
        schema_url=resource_spans["schemaUrl"],
    )


def _scopes(scope_spans: _Columns, resource: Indices) -> Scopes:
    scope = _fields(scope_spans["scope"])
    return Scopes(
        resource=resource,
        name=scope["name"],
        version=scope["version"],
        attributes=_key_values(scope["attributes"]),
        dropped_attributes_count=_dropped(scope),
        schema_url=scope_spans["schemaUrl"],
    )


def _decoded(count: int, resources: Resources, scopes: Scopes, spans: _Columns, scope: Indices) -> Decoded:
    status = _fields(spans["status"])
    code = enums(status["code"], _STATUS_CODES, "status.code")
    return Decoded(
        request_count=count,
        resources=resources,
        scopes=scopes,
        scope=scope,
        trace_id=ids(spans["traceId"], _TRACE_ID_BYTES, otherwise=None),
        span_id=ids(spans["spanId"], _SPAN_ID_BYTES, otherwise=None),
        parent_span_id=ids(spans["parentSpanId"], _SPAN_ID_BYTES, otherwise=_NO_ID),
        name=pc.fill_null(spans["name"], ""),
        kind=enums(spans["kind"], _KINDS, "kind"),
        start_time_unix_nano=times(spans["startTimeUnixNano"]),
        end_time_unix_nano=times(spans["endTimeUnixNano"]),
        status_code=pc.if_else(pc.is_valid(spans["status"]), code, None),
        status_message=status["message"],
        trace_state=spans["traceState"],
        flags=counts(spans["flags"], "flags"),
        attributes=_key_values(spans["attributes"]),
        dropped_attributes_count=_dropped(spans),
        events=_events(spans["events"]),
        dropped_events_count=_dropped(spans, "Events"),
        links=_links(spans["links"]),
        dropped_links_count=_dropped(spans, "Links"),
    )


def _events(lists: pa.ListArray) -> Events:
    events = _columns(lists)
    return Events(
        offsets=offsets_of(lists),
        name=pc.fill_null(events["name"], ""),
        time_unix_nano=times(events["timeUnixNano"]),
        attributes=_key_values(events["attributes"]),
        dropped_attributes_count=_dropped(events),
    )


def _links(lists: pa.ListArray) -> Links:
    links = _columns(lists)
    return Links(
        offsets=offsets_of(lists),
        trace_id=ids(links["traceId"], _TRACE_ID_BYTES, otherwise=None),
        span_id=ids(links["spanId"], _SPAN_ID_BYTES, otherwise=None),
        trace_state=links["traceState"],
        flags=counts(links["flags"], "flags"),
        attributes=_key_values(links["attributes"]),
        dropped_attributes_count=_dropped(links),
    )
