"""OTLP: what a client sent and what Tracelake gives back, in a form that can be compared.

Takes   `ExportTraceServiceRequest` in protobuf or in JSON with hex ids.
Gives   by span id, all that was said about a span: its resource, its scope and itself.
Refuses what protobuf's own JSON parser refuses.

Not compared are the order of spans, how they were grouped, and whether an empty message was sent or left out: OTLP gives no
meaning to these.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_IDS = {"traceId", "spanId", "parentSpanId"}


def spans_of(message: ExportTraceServiceRequest) -> dict[str, tuple[str, ...]]:
    """What is said about each span, by its id, as text that is equal for equal content."""
    return {span.span_id.hex(): tuple(map(str, about)) for *about, span in _each(message)}


def _each(message: ExportTraceServiceRequest) -> Iterator[tuple[Any, ...]]:
    for of_resource in message.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                if not span.status.ByteSize():
                    span.ClearField("status")
                yield of_resource.schema_url, of_resource.resource, of_scope.schema_url, of_scope.scope, span, span


def from_protobuf(content: bytes) -> ExportTraceServiceRequest:
    """The request in protobuf."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(content)
    return message


def from_json(content: bytes | str) -> ExportTraceServiceRequest:
    """The request in OTLP/JSON, whose ids are hex where other JSON of protobuf has base64."""
    return ParseDict(json.loads(content, object_hook=_with_base64_ids), ExportTraceServiceRequest())


def _with_base64_ids(item: dict[str, Any]) -> dict[str, Any]:
    return {key: base64.b64encode(bytes.fromhex(value)).decode() if key in _IDS else value for key, value in item.items()}
