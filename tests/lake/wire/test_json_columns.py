"""Ids, times, enums and attribute values in every spelling that senders use."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import EntityRef

from lake.errors import WireError
from lake.wire import otlp_json
from lake.wire.decoded import Decoded
from lake.wire.spans import span_rows

TRACE_ID, SPAN_ID = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
SPAN: dict[str, Any] = {
    "traceId": TRACE_ID,
    "spanId": SPAN_ID,
    "name": "GET /cart",
    "kind": 2,
    "startTimeUnixNano": "1700000000123456789",
    "endTimeUnixNano": "1700000000223456789",
}


def request(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def decode(body: object) -> Decoded:
    return otlp_json.decode([body if isinstance(body, bytes) else json.dumps(body).encode()])


def with_value(value: object) -> Decoded:
    return decode(request(SPAN | {"attributes": [{"key": "k", "value": value}]}))


def text_of(value: object) -> tuple[str, str | None]:
    """Type character and text of the only attribute."""
    attributes = with_value(value).attributes
    return chr(attributes.types[0]), attributes.text[0].as_py()


def refused_spans(body: object) -> str | None:
    (refused,) = span_rows(decode(body), ingested_at_us=0).refused
    return refused.message if refused else None


@pytest.mark.parametrize(
    "sent",
    [
        TRACE_ID.upper(),
        base64.b64encode(bytes.fromhex(TRACE_ID)).decode(),
        base64.urlsafe_b64encode(bytes.fromhex(TRACE_ID)).decode(),
        base64.b64encode(bytes.fromhex(TRACE_ID)).decode().rstrip("="),
    ],
)
def test_ids_are_hex_of_any_case_or_base64(sent: str) -> None:
    decoded = decode(request(SPAN | {"traceId": sent}, SPAN))
    assert decoded.trace_id.to_pylist() == [TRACE_ID, TRACE_ID]


def test_span_and_parent_ids_are_hex_or_base64() -> None:
    sent = base64.b64encode(bytes.fromhex(SPAN_ID)).decode()
    decoded = decode(request(SPAN | {"spanId": sent, "parentSpanId": sent}, SPAN | {"parentSpanId": SPAN_ID.upper()}))
    assert decoded.span_id.to_pylist() == [SPAN_ID, SPAN_ID]
    assert decoded.parent_span_id.to_pylist() == [SPAN_ID, SPAN_ID]


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1))
def test_any_trace_id_in_base64_is_the_same_bytes(raw: list[bytes]) -> None:
    decoded = decode(request(*(SPAN | {"traceId": base64.b64encode(each).decode()} for each in raw)))
    assert decoded.trace_id.to_pylist() == [each.hex() for each in raw]


@pytest.mark.parametrize("sent", ["", None, "abc", "zz" * 16, "00" * 16, "ab" * 15, "=" * 24, "é" * 16, "\x00" * 32])
def test_an_invalid_trace_id_costs_only_its_span(sent: str | None) -> None:
    body = request(SPAN, SPAN | {"traceId": sent})
    assert refused_spans(body) == "1 span refused: trace_id must be 16 bytes and not all zero (1)"


@pytest.mark.parametrize("sent", ["xyz", "zz" * 8, "ab", TRACE_ID])
def test_an_invalid_parent_does_not_make_a_root(sent: str) -> None:
    body = request(SPAN, SPAN | {"parentSpanId": sent})
    assert refused_spans(body) == "1 span refused: parent_span_id must be 8 bytes or empty (1)"


@pytest.mark.parametrize("parent", [{}, {"parentSpanId": ""}, {"parentSpanId": None}])
def test_no_parent_makes_a_root(parent: dict[str, Any]) -> None:
    rows = span_rows(decode(request(SPAN | parent)), ingested_at_us=0)
    assert rows.table["parent_span_id"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("sent", "time"),
    [
        (1700000000123456789, 1700000000123456789),
        ("1700000000123456789", 1700000000123456789),
        (2**64 - 1, 2**64 - 1),
        ("00012", 12),
        (1e18, 10**18),
        ("1.5e3", 1500),
        (None, 0),
        ("", None),
        (-1, None),
        ("-1", None),
        (1.5, None),
        (2**64, None),
        ("0x10", None),
        (" 1", None),
        ("soon", None),
    ],
)
def test_times_are_exact_unsigned_integers_or_null(sent: object, time: int | None) -> None:
    decoded = decode(request(SPAN | {"startTimeUnixNano": sent}, SPAN))
    assert decoded.start_time_unix_nano.to_pylist() == [time, 1700000000123456789]


def test_an_impossible_time_costs_only_its_span() -> None:
    body = request(SPAN, SPAN | {"endTimeUnixNano": "late"}, SPAN | {"events": [{"timeUnixNano": "x"}]})
    message = refused_spans(body)
    assert message is not None
    assert message.startswith("2 spans refused: end_time_unix_nano")
    assert "time_unix_nano of an event" in message


@pytest.mark.parametrize("kind", [3, "3", "SPAN_KIND_CLIENT"])
def test_kinds_come_as_number_digits_or_name(kind: object) -> None:
    assert decode(request(SPAN | {"kind": kind})).kind.to_pylist() == [3]


@pytest.mark.parametrize("code", [2, "2", "STATUS_CODE_ERROR"])
def test_status_codes_come_as_number_digits_or_name(code: object) -> None:
    decoded = decode(request(SPAN | {"status": {"code": code, "message": "boom"}}, SPAN, SPAN | {"status": {}}))
    assert decoded.status_code.to_pylist() == [2, None, 0]
    assert decoded.status_message[0].as_py() == "boom"


def test_a_kind_of_the_future_is_kept() -> None:
    assert decode(request(SPAN | {"kind": 77}, SPAN | {"kind": -5})).kind.to_pylist() == [77, -5]


def test_counts_and_flags_come_as_number_or_text() -> None:
    decoded = decode(request(SPAN | {"droppedEventsCount": "7", "flags": 2**32 - 1}, SPAN))
    assert decoded.dropped_events_count.to_pylist() == [7, None]
    assert decoded.flags.to_pylist() == [2**32 - 1, None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": ""}, ("s", "")),
        ({"stringValue": 'a\u0000"\\\n\U0001f600'}, ("s", 'a\u0000"\\\n\U0001f600')),
        ({"intValue": "9223372036854775807"}, ("i", "9223372036854775807")),
        ({"intValue": 9223372036854775807}, ("i", "9223372036854775807")),
        ({"intValue": -(2**63)}, ("i", "-9223372036854775808")),
        ({"intValue": 9007199254740993}, ("i", "9007199254740993")),
        ({"intValue": "007"}, ("i", "7")),
        ({"intValue": 1e3}, ("i", "1000")),
        ({"doubleValue": 0.1}, ("d", "0.1")),
        ({"doubleValue": 5}, ("d", "5")),
        ({"doubleValue": -0.0}, ("d", "-0")),
        ({"doubleValue": 1e308}, ("d", "1e+308")),
        ({"doubleValue": 5e-324}, ("d", "5e-324")),
        ({"doubleValue": 10**20}, ("d", "1e+20")),
        ({"doubleValue": "2.5"}, ("d", "2.5")),
        ({"doubleValue": "NaN"}, ("d", "nan")),
        ({"doubleValue": "Infinity"}, ("d", "inf")),
        ({"doubleValue": "-Infinity"}, ("d", "-inf")),
        ({"boolValue": True}, ("b", "true")),
        ({"boolValue": False}, ("b", "false")),
        ({"bytesValue": "+/8="}, ("y", "+/8=")),
        ({"bytesValue": "-_8"}, ("y", "+/8=")),
        ({"bytesValue": ""}, ("y", "")),
        ({}, ("n", None)),
        (None, ("n", None)),
        ({"stringValue": None}, ("n", None)),
        ({"stringValue": None, "intValue": 1}, ("i", "1")),
        ({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}, {}]}}, ("a", '["a",1,null]')),
        ({"arrayValue": {"values": [None]}}, ("a", "[null]")),
        ({"arrayValue": {}}, ("a", "[]")),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, ("k", '{"k":true}')),
    ],
)
def test_values_become_text_and_type_character(value: object, expected: tuple[str, str | None]) -> None:
    assert text_of(value) == expected


def test_an_attribute_without_a_value_has_none() -> None:
    attributes = decode(request(SPAN | {"attributes": [{"key": "k"}, {"value": {"intValue": 1}}]})).attributes
    assert attributes.keys.to_pylist() == ["k", ""]
    assert attributes.text.to_pylist() == [None, "1"]
    assert bytes(attributes.types) == b"ni"


ARRAY, KVLIST = '{"arrayValue":{"values":[%s]}}', '{"kvlistValue":{"values":[{"value":%s}]}}'


def nested(level: str, depth: int) -> bytes:
    """A request whose only attribute has so many levels around the integer 1."""
    text = '{"intValue":1}'
    for _ in range(depth):
        text = level % text
    return json.dumps(request(SPAN | {"attributes": [{"value": "HERE"}]})).replace('"HERE"', text).encode()


@pytest.mark.parametrize(("level", "depth", "character"), [(ARRAY, 47, "a"), (KVLIST, 31, "k")])
def test_values_nest_as_deep_as_protobuf_readers_take(level: str, depth: int, character: str) -> None:
    assert bytes(decode(nested(level, depth)).attributes.types) == character.encode()


@pytest.mark.parametrize(("level", "depth"), [(ARRAY, 48), (KVLIST, 32), (ARRAY, 200), (KVLIST, 200), (ARRAY, 5000)])
def test_deeper_values_are_refused(level: str, depth: int) -> None:
    with pytest.raises(WireError, match="nested too deeply"):
        decode(nested(level, depth))


@pytest.mark.parametrize("inner", [{"intValue": "x"}, {"doubleValue": "1e400"}, {"bytesValue": "?"},
                                   {"intValue": 1, "boolValue": True}])  # fmt: skip
def test_faults_inside_nested_values_are_refused(inner: object) -> None:
    with pytest.raises(WireError, match="Value"):
        with_value({"arrayValue": {"values": [inner]}})


def test_entity_refs_become_protobuf() -> None:
    sent = {"type": "host", "idKeys": ["host.id"], "descriptionKeys": ["host.name"], "schemaUrl": "s", "new": 1}
    resources = [{"resource": {"entityRefs": [sent, {}]}}, {"resource": {}}, {}]
    (first, second), empty, missing = decode({"resourceSpans": resources}).resources.entity_refs.to_pylist()
    assert EntityRef.FromString(first) == EntityRef(
        schema_url="s", type="host", id_keys=["host.id"], description_keys=["host.name"]
    )
    assert second == b""
    assert (empty, missing) == ([], None)
