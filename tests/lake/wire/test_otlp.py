"""What was sent comes back exactly from the rows of the table `spans`."""

from __future__ import annotations

import json
from contextlib import closing
from random import Random

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import lake
from lake.compaction import Compactor
from lake.folder import LakeFolder, add_promotion, create_folder
from lake.landing import LandingWriter, Request
from lake.schema import Promoted
from lake.wire import otlp
from lake.wire.traces import Limits, TraceBody, trace_rows
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START
from tests.lake.spans import rows_of as lake_rows
from tests.lake.wire.requests import (
    Spelling,
    Tree,
    canonical,
    json_of,
    message_of,
    protobuf_of,
    requests,
    sound_spans,
    spellings,
)

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


def came_back(rows: pa.Table) -> list[list[tuple[str, ...]]]:
    """Both exports, canonical."""
    protobuf = ExportTraceServiceRequest.FromString(otlp.export_protobuf(rows))
    return [canonical(protobuf), canonical(message_of(otlp.export_json(rows)))]


@given(st.lists(requests(sound_spans), min_size=1, max_size=2), spellings, st.randoms(use_true_random=False))
def comes_back(trees: list[Tree], spelling: Spelling, random: Random) -> None:
    sent = [protobuf_of(tree) for tree in trees]
    expected = canonical(*sent)
    rows = rows_of(*(TraceBody(message.SerializeToString(), "protobuf") for message in sent))
    shuffled = rows.take(pa.array(random.sample(range(rows.num_rows), rows.num_rows), pa.int64()))
    assert came_back(shuffled) == [expected, expected]
    assert came_back(rows_of(*(TraceBody(json_of(tree, spelling), "json") for tree in trees))) == [expected, expected]


def test_any_request_of_either_encoding_comes_back_exactly() -> None:
    settings(max_examples=50)(comes_back)()


@pytest.mark.full
def test_500_requests_of_either_encoding_come_back_exactly() -> None:
    settings(max_examples=500)(comes_back)()


TRACES = [bytes([n]) * 16 for n in (1, 2)]


def in_two_traces(trees: list[Tree]) -> None:
    """Give all spans new ids, so that each is another span for the lake, too."""
    scopes = [scope for tree in trees for resource in tree["resourceSpans"] for scope in resource.get("scopeSpans", ())]
    spans = [span for scope in scopes for span in scope.get("spans", ())]
    for number, span in enumerate(spans, start=1):
        span |= {"traceId": TRACES[number % 2], "spanId": number.to_bytes(8, "big")}


def test_traces_come_back_exactly_from_landing_files_and_tables(tmp_path_factory) -> None:
    @settings(max_examples=5, phases=[Phase.generate])  # to shrink takes minutes
    @given(st.lists(requests(sound_spans), min_size=2, max_size=4), spellings)
    def comes_back_from_disk(trees: list[Tree], spelling: Spelling) -> None:
        in_two_traces(trees)
        sent = [protobuf_of(tree) for tree in trees]
        folder = create_folder(tmp_path_factory.mktemp("lake"))
        with closing(LandingWriter(folder.path, "spans", now=START, disk=UnflushedDisk())) as writer:
            compactor = Compactor(folder, disk=UnflushedDisk())
            for number, (tree, message) in enumerate(zip(trees, sent, strict=True)):
                in_json = TraceBody(json_of(tree, spelling), "json")
                rows = rows_of(in_json if number % 2 else TraceBody(message.SerializeToString(), "protobuf"))
                writer.commit(rows, [Request(f"{number:064}", rows.num_rows)])
                if number == 0:
                    compactor.absorb()
        assert exported(folder) == canonical(*sent)
        compactor.absorb()
        assert exported(folder) == canonical(*sent)

    comes_back_from_disk()


def exported(folder: LakeFolder) -> list[tuple[str, ...]]:
    """Both traces in both encodings."""
    opened = lake.open(folder.path)
    rows = [opened.trace(trace.hex()).arrow() for trace in TRACES]
    protobuf = canonical(*(ExportTraceServiceRequest.FromString(otlp.export_protobuf(r, folder.promoted)) for r in rows))
    assert canonical(*(message_of(otlp.export_json(r, folder.promoted)) for r in rows)) == protobuf
    return protobuf


ORDER_ID = Promoted("order_id", "order.id", "+", "span", "i", aliases=("orderId",))
REGION = Promoted("region", "cloud.region", "+", "resource")


def test_rows_from_before_and_after_a_promotion_come_back_exactly(lake_folder, writer) -> None:
    spans = []
    for number in range(1, 4):
        span = Span()
        span.CopyFrom(SPAN)
        span.trace_id, span.span_id = TRACES[0], number.to_bytes(8, "big")
        span.attributes.insert(1, KeyValue(key="order.id", value=AnyValue(int_value=number)))
        span.attributes.add(key="orderId", value=AnyValue(string_value="x"))
        spans.append(span)
    spans[2].attributes[1].value.string_value = "not of the canonical type"
    sent = [request(span) for span in spans]
    for message in sent:
        message.resource_spans[0].resource.attributes.insert(
            0, KeyValue(key="cloud.region", value=AnyValue(string_value="eu"))
        )
    for message, promotion in zip(sent, (None, ORDER_ID, REGION), strict=True):
        lake_folder = add_promotion(lake_folder, promotion) if promotion else lake_folder
        rows, requests_ = lake_rows([message.SerializeToString()], promoted=lake_folder.promoted)
        writer.commit(rows, requests_)
        assert exported(lake_folder) == canonical(*sent[: sent.index(message) + 1])
        compactor = Compactor(lake_folder, disk=UnflushedDisk())
        compactor.absorb()
        compactor.lease.release()
    assert exported(lake_folder) == canonical(*sent)
    assert lake.open(lake_folder.path).trace(TRACES[0].hex()).arrow()["order_id"].to_pylist() == [1, 2, None]
