"""OTLP/JSON requests are decoded whole; malformed ones are refused with the place of the fault."""

from __future__ import annotations

import codecs
import json
import threading
from typing import Any

import pytest

from lake.errors import TooLarge, WireError
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


def test_a_span_keeps_ids_name_kind_and_nanoseconds() -> None:
    decoded = decode(request(SPAN))
    assert decoded.trace_id.to_pylist() == [TRACE_ID]
    assert decoded.span_id.to_pylist() == [SPAN_ID]
    assert decoded.name.to_pylist() == ["GET /cart"]
    assert decoded.kind.to_pylist() == [2]
    assert decoded.start_time_unix_nano.to_pylist() == [1700000000123456789]
    assert decoded.end_time_unix_nano.to_pylist() == [1700000000223456789]


def test_spans_of_several_requests_stay_in_order_and_know_their_request() -> None:
    spans = [SPAN | {"name": str(i)} for i in range(5)]
    bodies = [request(*spans[:2]), {"resourceSpans": []}, request(*spans[2:])]
    decoded = otlp_json.decode([json.dumps(body).encode() for body in bodies])
    assert decoded.request_count == 3
    assert decoded.name.to_pylist() == ["0", "1", "2", "3", "4"]
    assert decoded.resources.request[decoded.scopes.resource[decoded.scope]].tolist() == [0, 0, 2, 2, 2]


def test_requests_beyond_one_chunk_are_all_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_json, "_CHUNK_BYTES", 500)
    bodies = [json.dumps(request(SPAN | {"name": "x" * (i * 90 % 1300)})).encode() for i in range(40)]
    assert [len(name) for name in otlp_json.decode(bodies).name.to_pylist()] == [i * 90 % 1300 for i in range(40)]


@pytest.mark.parametrize("bodies", [[], [b'{"resourceSpans":[]}'], [b'{"resourceSpans":[{}]}']])
def test_requests_without_spans_are_valid(bodies: list[bytes]) -> None:
    decoded = otlp_json.decode(bodies)
    assert decoded.request_count == len(bodies)
    assert len(decoded.trace_id) == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Input data was truncated"),
        (b"{}", "missing required field `resourceSpans`"),
        (b'{"resource_spans":[]}', "missing required field `resourceSpans`"),
        (b'{"resourceSpans":null}', "Expected `array`, got `null` - at `$.resourceSpans`"),
        (b'{"resourceSpans":{}}', "Expected `array`, got `object` - at `$.resourceSpans`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"resourceSpans":[}', "invalid character (byte 18)"),
        (b'{"resourceSpans":[]}{"resourceSpans":[]}', "trailing characters"),
        (b'{"resourceSpans":[],}', "trailing comma"),
        (b'{"resourceSpans":[],"x":NaN}', "invalid character"),
        (b'{"resourceSpans":[],"x":"\xff"}', "UTF-8"),
        (b'{"resourceSpans":[{"schemaUrl":"\xff"}]}', "utf-8"),
        (b'{"resourceSpans":[{"schemaUrl":"\\ud800 and no more"}]}', "surrogate"),
        (b'{"resourceSpans":[],"x":' + b"[" * 1000 + b"]" * 1000 + b"}", "nested too deeply"),
        (b'{"resourceSpans":' + b"[" * 100_000, "array"),
        (b'{"resourceSpans":[null]}', "Expected `object`, got `null` - at `$.resourceSpans[0]`"),
    ],
)
def test_a_body_that_is_no_trace_request_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=r"^Invalid trace format: ") as caught:
        otlp_json.decode([b'{"resourceSpans":[]}', body])
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("name", 5, "spans[0].name"),
        ("traceId", 5, "spans[0].traceId"),
        ("kind", [], "spans[0].kind"),
        ("kind", True, "spans[0].kind"),
        ("attributes", {}, "spans[0].attributes"),
        ("attributes", [{"key": 1}], "attributes[0].key"),
        ("attributes", [{"value": "text"}], "attributes[0].value"),
        ("attributes", [{"value": {"stringValue": 1}}], "value.stringValue"),
        ("attributes", [{"value": {"boolValue": "true"}}], "value.boolValue"),
        ("attributes", [{"value": {"arrayValue": {"values": 1}}}], "arrayValue.values"),
        ("events", [{"name": []}], "events[0].name"),
        ("links", "none", "spans[0].links"),
        ("status", 1, "spans[0].status"),
        ("startTimeUnixNano", {}, "startTimeUnixNano"),
    ],
)
def test_a_field_of_a_wrong_type_is_refused_with_its_path(field: str, value: object, path: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(request(SPAN | {field: value}))
    assert path.rsplit(".", maxsplit=1)[-1] in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("kind", "SPAN_KIND_SEVER", "kind must be an integer or one of SPAN_KIND_UNSPECIFIED"),
        ("kind", 2**31, "kind must be"),
        ("kind", 1.5, "kind must be"),
        ("status", {"code": "ERROR"}, "status.code must be an integer or one of STATUS_CODE_UNSET"),
        ("flags", -1, "flags must be an unsigned 32-bit integer, not '-1'"),
        ("droppedLinksCount", "4294967296", "droppedLinksCount must be an unsigned"),
        ("attributes", [{"value": {"intValue": "1.5"}}], "intValue must be a 64-bit integer, not '1.5'"),
        ("attributes", [{"value": {"intValue": 2**63}}], "intValue must be a 64-bit integer"),
        ("attributes", [{"value": {"intValue": "0x1F"}}], "intValue must be"),
        ("attributes", [{"value": {"intValue": ""}}], "intValue must be"),
        ("attributes", [{"value": {"intValue": "1e99999999999999999999"}}], "intValue must be"),
        ("attributes", [{"value": {"doubleValue": "wide"}}], "doubleValue must be a number"),
        ("attributes", [{"value": {"doubleValue": "1e400"}}], "doubleValue must be a number or one of NaN"),
        ("attributes", [{"value": {"doubleValue": "inf"}}], "doubleValue must be a number or one of NaN"),
        ("attributes", [{"value": {"bytesValue": "a"}}], "bytesValue must be base64"),
        ("attributes", [{"value": {"bytesValue": "é==="}}], "bytesValue must be base64"),
        ("attributes", [{"value": {"intValue": 1, "stringValue": ""}}], "only one may be set"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(field: str, value: object, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(request(SPAN | {field: value}))
    assert reason in str(caught.value)


def test_unknown_fields_are_ignored_at_every_level() -> None:
    unknown: dict[str, Any] = {"new": [{"a": None}], "trace_id": 7}
    value = {"stringValue": "v"} | unknown
    attributes = [{"key": "k", "value": value} | unknown]
    span = SPAN | unknown | {"attributes": attributes, "status": unknown, "events": [unknown], "links": [unknown]}
    scope = {"scope": unknown, "spans": [span]} | unknown
    decoded = decode({"resourceSpans": [{"resource": unknown, "scopeSpans": [scope]} | unknown]} | unknown)
    assert decoded.attributes.text.to_pylist() == ["v"]
    assert decoded.trace_id.to_pylist() == [TRACE_ID]


def test_null_means_absent_at_every_level() -> None:
    fields = ["parentSpanId", "kind", "attributes", "events", "links", "status", "flags", "traceState",
              "droppedAttributesCount", "droppedEventsCount", "droppedLinksCount"]  # fmt: skip
    nothing = dict.fromkeys(fields)
    scope = {"scope": None, "schemaUrl": None, "spans": [SPAN | nothing | {"kind": None}]}
    with_nulls = decode({"resourceSpans": [{"resource": None, "schemaUrl": None, "scopeSpans": [scope]}]})
    without = decode(request({name: value for name, value in SPAN.items() if name != "kind"}))
    assert span_rows(with_nulls, ingested_at_us=0) == span_rows(without, ingested_at_us=0)


def test_a_byte_order_mark_is_tolerated() -> None:
    body = codecs.BOM_UTF8 + json.dumps(request(SPAN)).encode()
    assert decode(body).name.to_pylist() == ["GET /cart"]


def test_duplicate_keys_do_no_harm() -> None:
    assert len(decode(b'{"resourceSpans":[],"resourceSpans":[]}').trace_id) == 0


def test_instrumentation_library_spans_are_scope_spans() -> None:
    body = {
        "resourceSpans": [
            {"instrumentationLibrarySpans": [{"instrumentationLibrary": {"name": "old"}, "spans": [SPAN]}]},
            {"scopeSpans": [], "instrumentationLibrarySpans": [{"spans": [SPAN]}]},
            {"instrumentationLibrarySpans": None},
        ]
    }
    decoded = decode(body)
    assert decoded.scopes.name.to_pylist() == ["old"]
    assert decoded.trace_id.to_pylist() == [TRACE_ID]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"resourceSpans":[{"instrumentationLibrarySpans":5}]}', "instrumentationLibrarySpans: Expected `array"),
        (b'{"x":"\\"instrumentationLibrary"}', "missing required field `resourceSpans`"),
        (b'"instrumentationLibrary', "truncated"),
    ],
)
def test_a_malformed_old_request_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(body)
    assert reason in str(caught.value)


def test_every_thread_may_decode() -> None:
    names: list[str] = []

    def work(name: str) -> None:
        names.extend(decode(request(SPAN | {"name": name})).name.to_pylist())

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(("what", "filling"), [("objects", b"{},"), ("values", b"0,")])
def test_json_of_too_many_parts_is_refused_before_it_is_parsed(
    monkeypatch: pytest.MonkeyPatch, what: str, filling: bytes
) -> None:
    monkeypatch.setattr(otlp_json, "_PARTS", {"objects": (b"{", 100), "values": (b",", 300)})
    most = otlp_json._PARTS[what][1]
    body = b'{"resourceSpans":[],"x":[%s0],"y":"%s"}' % (filling * (most - 3), b"z" * 1000)
    assert otlp_json.decode([body]).request_count == 1
    with pytest.raises(TooLarge, match=f"a request may hold {most} JSON {what}, this one has"):
        otlp_json.decode([body.replace(b"0]", filling * 4 + b"0]")])
