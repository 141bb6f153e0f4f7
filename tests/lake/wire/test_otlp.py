"""What was sent comes back exactly from the rows of the table `spans`."""

from __future__ import annotations

import json

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lake.wire import otlp
from lake.wire.traces import Limits, TraceBody, trace_rows

LIMITS = Limits(max_spans=1000, max_resources=1000)


def rows_of(*bodies: TraceBody):
    rows = trace_rows(bodies, limits=LIMITS, ingested_at_us=0)
    assert [outcome.error for outcome in rows.outcomes] == [None] * len(bodies)
    return rows.table


def request(*spans: Span) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.30.0")
    resource_spans.resource.attributes.add(key="service.name", value=AnyValue(string_value="shop"))
    resource_spans.resource.attributes.add(key="process.pid", value=AnyValue(int_value=7))
    resource_spans.resource.entity_refs.add(type="service", id_keys=["service.name"])
    resource_spans.scope_spans.add(spans=spans).scope.name = "http"
    return message


SPAN = Span(
    trace_id=bytes(range(16)),
    span_id=bytes(range(8)),
    name="GET /cart",
    kind=Span.SPAN_KIND_SERVER,
    start_time_unix_nano=1_700_000_000_123_456_789,
    end_time_unix_nano=1_700_000_000_223_456_780,
    attributes=[
        KeyValue(key="cart.total", value=AnyValue(double_value=1.5)),
        KeyValue(key="http.response.status_code", value=AnyValue(int_value=200)),
        KeyValue(key="http.route", value=AnyValue(string_value="/cart")),
        KeyValue(key="http.request.method", value=AnyValue(int_value=5)),
        KeyValue(key="raw", value=AnyValue(bytes_value=b"\x00\xff")),
    ],
    events=[Span.Event(name="sent", time_unix_nano=1_700_000_000_123_456_999)],
    links=[Span.Link(trace_id=bytes(16), span_id=b"", flags=2**32 - 1)],
)


def test_protobuf_comes_back_as_it_was_sent() -> None:
    sent = request(SPAN)
    rows = rows_of(TraceBody(sent.SerializeToString(), "protobuf"))
    assert ExportTraceServiceRequest.FromString(otlp.export_protobuf(rows)) == sent


def test_json_has_hex_ids_integers_as_text_and_enums_as_numbers() -> None:
    rows = rows_of(TraceBody(request(SPAN).SerializeToString(), "protobuf"))
    (resource_spans,) = json.loads(otlp.export_json(rows))["resourceSpans"]
    (scope_spans,) = resource_spans["scopeSpans"]
    (span,) = scope_spans["spans"]
    assert resource_spans["schemaUrl"] == "https://opentelemetry.io/schemas/1.30.0"
    assert scope_spans["scope"] == {"name": "http"}
    assert span["traceId"] == "000102030405060708090a0b0c0d0e0f"
    assert span["startTimeUnixNano"] == "1700000000123456789"
    assert span["kind"] == 2
    assert [attribute["value"] for attribute in span["attributes"]] == [
        {"doubleValue": 1.5},
        {"intValue": "200"},
        {"stringValue": "/cart"},
        {"intValue": "5"},
        {"bytesValue": "AP8="},
    ]
    assert span["links"] == [{"traceId": "0" * 32, "flags": 4294967295}]


def test_equal_resources_and_scopes_stand_once() -> None:
    bodies = [TraceBody(request(SPAN).SerializeToString(), "protobuf") for _ in range(3)]
    exported = ExportTraceServiceRequest.FromString(otlp.export_protobuf(rows_of(*bodies)))
    assert exported == request(SPAN, SPAN, SPAN)
