"""Requests in protobuf: what Google's parser takes is taken and says the same."""

from __future__ import annotations

from random import Random

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, EntityRef
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lake.errors import WireError
from lake.wire import otlp, protobuf
from lake.wire.traces import Limits, Outcome, TraceBody, trace_rows
from tests.lake.wire.mutations import mutated_protobuf
from tests.lake.wire.requests import EVERYTHING, canonical, protobuf_of

BODY = protobuf_of(EVERYTHING).SerializeToString()
SPAN = Span(trace_id=bytes(range(16)), span_id=bytes(range(8)))


def outcome_and_export(body: bytes) -> tuple[Outcome, ExportTraceServiceRequest]:
    rows = trace_rows([TraceBody(body, "protobuf")], limits=Limits(max_spans=10_000, max_resources=10_000), ingested_at_us=0)
    return rows.outcomes[0], ExportTraceServiceRequest.FromString(otlp.export_protobuf(rows.table))


def is_sound(span: Span) -> bool:
    times = [span.start_time_unix_nano, span.end_time_unix_nano, *(event.time_unix_nano for event in span.events)]
    ids = len(span.trace_id) == 16 and any(span.trace_id) and len(span.span_id) == 8 and any(span.span_id)
    return ids and len(span.parent_span_id) in (0, 8) and max(times) < 2**63


def without_refused_spans(message: ExportTraceServiceRequest) -> tuple[ExportTraceServiceRequest, int]:
    """What shall be stored of a request, and how many of its spans not."""
    refused = 0
    kept = ExportTraceServiceRequest()
    for resource_spans in message.resource_spans:
        of_resource = kept.resource_spans.add(resource=resource_spans.resource, schema_url=resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            spans = [span for span in scope_spans.spans if is_sound(span)]
            refused += len(scope_spans.spans) - len(spans)
            of_resource.scope_spans.add(scope=scope_spans.scope, schema_url=scope_spans.schema_url, spans=spans)
    kept.DiscardUnknownFields()
    return kept, refused


def check_against_google(body: bytes) -> bool:
    """Whether Google's parser takes the body; if it does, so must ours, to the same effect."""
    outcome, exported = outcome_and_export(body)
    try:
        expected, refused = without_refused_spans(ExportTraceServiceRequest.FromString(body))
    except DecodeError:
        return False
    assert outcome.error is None
    assert (outcome.refused.count if outcome.refused else 0) == refused
    exported.DiscardUnknownFields()
    assert canonical(exported) == canonical(expected)
    return True


def mutations_agree(count: int, seed: int) -> int:
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    return sum(check_against_google(mutated_protobuf(BODY, random)) for _ in range(count))


def test_what_googles_parser_takes_of_500_mutations_is_taken_and_says_the_same() -> None:
    assert mutations_agree(500, seed=3) > 20


@pytest.mark.full
def test_what_googles_parser_takes_of_8000_mutations_is_taken_and_says_the_same() -> None:
    assert mutations_agree(8000, seed=4) > 300


def varint(number: int) -> bytes:
    groups = [number >> 7 * k & 127 | 128 for k in range(max(1, -(-number.bit_length() // 7)))]
    return bytes([*groups[:-1], groups[-1] & 127])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def in_span(content: bytes) -> bytes:
    return field(1, field(2, field(2, SPAN.SerializeToString() + content)))


UNKNOWN = (
    varint(99 << 3) + varint(7) + field(500, b"\xff\xfe") + varint(98 << 3 | 5) + b"1234" + varint(97 << 3 | 1) + b"12345678"
)


@pytest.mark.parametrize(
    "body",
    [
        UNKNOWN,
        field(1, UNKNOWN + field(1, UNKNOWN) + field(2, UNKNOWN + field(1, UNKNOWN))) + in_span(UNKNOWN),
        in_span(field(9, UNKNOWN + field(1, b"k") + field(2, AnyValue(int_value=1).SerializeToString() + UNKNOWN))),
        in_span(field(11, UNKNOWN) + field(13, UNKNOWN) + field(15, UNKNOWN)),
        field(1, field(1, field(3, EntityRef(type="host").SerializeToString() + UNKNOWN))) + in_span(b""),
    ],
)
def test_unknown_fields_are_ignored_at_every_level(body: bytes) -> None:
    assert check_against_google(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        field(1, b""),
        field(1, field(2, b"")),
        in_span(b""),
        in_span(field(9, b"")),
        in_span(field(9, field(1, b"k")) + field(9, field(1, b"k") + field(2, b""))),
        in_span(field(15, b"\x18\x02") + field(15, field(2, b"m"))),  # one message in two pieces
        field(1, field(1, b"\x10\x05") + field(1, field(1, b"")) + field(2, field(2, SPAN.SerializeToString()))),
        in_span(b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),  # kind -1
        in_span(b"\x30\x4d\x30\x03"),  # kind twice
        in_span(b"\x2a\x02no\x2a\x03yes"),
        in_span(b"\x31" + b"\x00" * 8),  # kind, but as a fixed64
    ],
)
def test_odd_but_legal_requests_are_taken(body: bytes) -> None:
    assert check_against_google(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05\x0a",
        b'{"resourceSpans":[]}',
        b"\x00",
        b"\x0f",
        in_span(b"\x2a\x01\xff"),  # a name that is not UTF-8
        in_span(field(9, field(1, b"\xff"))),
        in_span(field(9, field(1, b"k") + field(2, b"\x0a\x01\xff"))),
        in_span(field(9, field(1, b"k") + field(2, b"\x0a\x05abc"))),
        field(1, field(1, field(3, b"\x12\x01\xff"))) + in_span(b""),
        field(1, field(1, field(3, b"\x12\x09"))) + in_span(b""),
    ],
)
def test_what_is_no_trace_request_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        ExportTraceServiceRequest.FromString(body)
    with pytest.raises(WireError):
        protobuf.decode([body])
    with pytest.raises(WireError):
        protobuf.decode([BODY, body])


@pytest.mark.parametrize("length", [2**64 - 1, 2**64 - 6, 2**64 - 10, 2**64 - 11, 2**63, 2**32, 2**31])
@pytest.mark.parametrize("tag", [b"\x0a", b"\x32", b"\x0a\x10\x0a", b"\x0a\x10\x1a", b"\x0a\x10\x32"])
def test_an_absurd_length_is_refused_and_the_next_request_taken(length: int, tag: bytes) -> None:
    with pytest.raises(WireError, match="not an OTLP trace request"):
        protobuf.decode([tag + varint(length) + b"abcdef"])
    assert len(protobuf.decode([BODY]).scope) == 3


def test_the_last_value_of_an_attribute_counts() -> None:
    # Google's parser merges the two, which is the same unless both are lists
    first, last = AnyValue(string_value="a"), AnyValue(int_value=5)
    body = in_span(field(9, field(1, b"k") + field(2, first.SerializeToString()) + field(2, last.SerializeToString())))
    assert check_against_google(body)


def test_a_large_request_is_taken_whole() -> None:
    assert check_against_google(BODY * 1000)
