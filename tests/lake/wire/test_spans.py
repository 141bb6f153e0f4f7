"""Decoded spans become rows; spans that cannot be are refused alone."""

from __future__ import annotations

from typing import Any

import pytest

from lake.wire import protobuf
from lake.wire.spans import Refused, SpanRows, span_rows
from tests.lake.wire.requests import EVERYTHING, Tree, protobuf_of

IDS = {"traceId": bytes(range(16)), "spanId": bytes(range(8))}
NOW_NS = 1_700_000_000_123_456_789


def rows_of(*requests: Tree) -> SpanRows:
    decoded = protobuf.decode([protobuf_of(request).SerializeToString() for request in requests])
    return span_rows(decoded, ingested_at_us=NOW_NS // 1000)


def request(*spans: Tree) -> Tree:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def row_of(**fields: Any) -> dict[str, Any]:
    """The only row of a request with one span; times as microseconds."""
    table = rows_of(request(IDS | fields)).table
    for name in ("start_time", "ingested_at"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast("int64"))
    row: dict[str, Any]
    (row,) = table.to_pylist()
    return row


def refusal_of(**fields: Any) -> Refused | None:
    """Why this span is refused, sent between two good ones, which are stored."""
    rows = rows_of(request(IDS | {"name": "before"}, IDS | fields, IDS | {"name": "after"}))
    (refused,) = rows.refused
    if refused:
        assert rows.table["name"].to_pylist() == ["before", "after"]
        assert rows.row_counts == (2,)
    return refused


def test_ids_are_lowercase_hex() -> None:
    row = row_of(traceId=b"\xab" * 16, spanId=b"\xcd" * 8, parentSpanId=b"\x0e" * 8)
    assert (row["trace_id"], row["span_id"], row["parent_span_id"]) == ("ab" * 16, "cd" * 8, "0e" * 8)


@pytest.mark.parametrize("parent", [b"", bytes(8)])
def test_a_root_has_no_parent(parent: bytes) -> None:
    assert row_of(parentSpanId=parent)["parent_span_id"] is None


@pytest.mark.parametrize(("number", "word"), [(0, "unspecified"), (1, "internal"), (2, "server"), (3, "client"),
                                              (4, "producer"), (5, "consumer"), (6, "6"), (-1, "-1")])  # fmt: skip
def test_kinds_are_words_and_unknown_ones_digits(number: int, word: str) -> None:
    rows = rows_of(request(IDS | {"kind": number}, IDS | {"kind": 2}))
    assert rows.table["kind"].to_pylist() == [word, "server"]


@pytest.mark.parametrize(("status", "word"), [({}, "unset"), ({"code": 0}, "unset"), ({"code": 1}, "ok"),
                                              ({"code": 2}, "error"), ({"code": 3}, "3")])  # fmt: skip
def test_status_codes_are_words_and_unknown_ones_digits(status: Tree, word: str) -> None:
    rows = rows_of(request(IDS | {"status": status}, IDS))
    assert rows.table["status"].to_pylist() == [word, "unset"]


@pytest.mark.parametrize("start", [0, 1, 999, 1000, NOW_NS, 2**63 - 1])
def test_a_start_is_kept_to_the_nanosecond(start: int) -> None:
    row = row_of(startTimeUnixNano=start, endTimeUnixNano=start)
    assert row["start_time"] * 1000 + row["start_ns_remainder"] == start
    assert 0 <= row["start_ns_remainder"] <= 999
    assert row["duration_ns"] == 0


@pytest.mark.parametrize(
    ("start", "end", "duration", "before"),
    [
        (5, 5, 0, None),
        (5, 7, 2, None),
        (0, 2**63 - 1, 2**63 - 1, None),
        (7, 5, 0, 2),
        (2**63 - 1, 0, 0, 2**63 - 1),
        (NOW_NS, 0, 0, NOW_NS),  # no end at all
    ],
)
def test_a_span_that_ends_before_it_starts_is_kept_as_it_was(
    start: int, end: int, duration: int, before: int | None
) -> None:
    row = row_of(startTimeUnixNano=start, endTimeUnixNano=end)
    assert (row["duration_ns"], row["end_before_start_ns"]) == (duration, before)


@pytest.mark.parametrize("hours", [-24 * 365 * 50, -25, 0, 2, 24 * 365 * 200])
def test_a_clock_that_is_wrong_changes_nothing(hours: int) -> None:
    start = NOW_NS + hours * 3600 * 10**9
    row = row_of(startTimeUnixNano=start, endTimeUnixNano=start + 1)
    assert row["start_time"] == start // 1000
    assert row["ingested_at"] == NOW_NS // 1000


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"traceId": b""}, "trace_id must be 16 bytes and not all zero"),
        ({"traceId": b"x" * 15}, "trace_id must be"),
        ({"traceId": b"x" * 17}, "trace_id must be"),
        ({"traceId": bytes(16)}, "trace_id must be"),
        ({"spanId": b""}, "span_id must be 8 bytes and not all zero"),
        ({"spanId": bytes(8)}, "span_id must be"),
        ({"spanId": b"x" * 16}, "span_id must be"),
        ({"parentSpanId": b"x"}, "parent_span_id must be 8 bytes or empty"),
        ({"parentSpanId": bytes(16)}, "parent_span_id must be"),
        ({"startTimeUnixNano": 2**63}, "start_time_unix_nano must be between 0 and 2^63-1"),
        ({"startTimeUnixNano": 2**64 - 1}, "start_time_unix_nano must be"),
        ({"endTimeUnixNano": 2**63}, "end_time_unix_nano must be between 0 and 2^63-1"),
        ({"events": [{"timeUnixNano": 1}, {"timeUnixNano": 2**63}]}, "time_unix_nano of an event must be"),
    ],
)
def test_an_impossible_span_is_refused_alone(fields: Tree, fault: str) -> None:
    refused = refusal_of(**fields)
    assert refused is not None
    assert refused.count == 1
    assert refused.message.startswith(f"1 span refused: {fault}")
    assert refused.message.endswith(" (1)")


def test_a_span_with_several_faults_is_counted_once_and_all_are_named() -> None:
    refused = refusal_of(traceId=b"", spanId=b"", endTimeUnixNano=2**64 - 1)
    assert refused == Refused(
        1,
        "1 span refused: trace_id must be 16 bytes and not all zero (1); span_id must be 8 bytes and not all zero (1); "
        "end_time_unix_nano must be between 0 and 2^63-1 (1)",
    )


def test_the_latest_possible_time_is_fine() -> None:
    latest = 2**63 - 1
    assert refusal_of(startTimeUnixNano=latest, endTimeUnixNano=latest, events=[{"timeUnixNano": latest}]) is None


def test_a_refused_span_takes_its_events_and_links_with_it() -> None:
    parts = {"events": [{"name": "e"}], "links": [{"traceState": "l"}], "attributes": [{"key": "k"}]}
    table = rows_of(request(IDS | parts | {"traceId": b""}, IDS | {"events": [{"name": "mine"}]})).table
    assert [[event["name"] for event in events] for events in table["events"].to_pylist()] == [["mine"]]
    assert table["links"].to_pylist() == [None]
    assert table["attributes"].to_pylist() == [None]


def test_what_is_absent_or_a_default_is_null() -> None:
    row = row_of(status={"message": ""}, traceState="", flags=0, droppedAttributesCount=0, events=[], links=[])
    stored = {name for name, value in row.items() if value is not None}
    assert stored == {
        "trace_id", "span_id", "name", "kind", "start_time", "start_ns_remainder", "duration_ns", "status", "ingested_at",
    }  # fmt: skip
    assert row["name"] == ""


def test_every_field_has_its_column() -> None:
    table = rows_of(EVERYTHING).table
    (row, *_) = table.drop_columns(["start_time", "ingested_at"]).to_pylist()
    assert {name for name, value in row.items() if value is None} == {"end_before_start_ns", "exception_type"}
    simple = {
        "name": "GET /cart", "status_message": "m", "dropped_attributes_count": 1, "dropped_events_count": 3,
        "dropped_links_count": 4, "flags": 257, "trace_state": "a=b", "resource_dropped_attributes_count": 6,
        "resource_schema_url": "r", "scope_name": "http", "scope_version": "1", "scope_dropped_attributes_count": 5,
        "scope_schema_url": "s", "service_name": "service_name", "http_route": "http_route", "http_status_code": 200,
        "scope_attributes": [("a0", "x\n")], "scope_attribute_types": "s",
    }  # fmt: skip
    assert {name: row[name] for name in simple} == simple
    first, second = row["events"]
    assert (first["name"], first["time_ns_remainder"], first["dropped_attributes_count"]) == ("exception", 5, 2)
    assert (second["name"], second["attributes"]) == ("", None)
    assert row["links"][0]["trace_id"] == bytes(range(16)).hex()
    assert row["links"][1]["trace_id"] == ""


def test_spans_share_the_columns_of_their_own_scope_and_resource() -> None:
    def resource(name: str, *scopes: str) -> Tree:
        attributes = [{"key": "service.name", "value": {"stringValue": name}}]
        scope_spans = [{"scope": {"name": scope}, "spans": [IDS | {"name": f"{name}{scope}"}] * 2} for scope in scopes]
        return {"resource": {"attributes": attributes}, "scopeSpans": scope_spans}

    table = rows_of(
        {"resourceSpans": [resource("a", "x", "y"), resource("b")]}, {"resourceSpans": [resource("c", "z")]}
    ).table
    columns = zip(*(table[name].to_pylist() for name in ("service_name", "scope_name", "name")), strict=True)
    assert list(columns) == [(n[0], n[1], n) for n in ("ax", "ax", "ay", "ay", "cz", "cz")]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], None),
        ([("exception", "A")], "A"),
        ([("exception", "A"), ("exception", "B"), ("retry", "C")], "B"),
        ([("retry", "C")], None),
        ([("exception", None)], None),
    ],
)
def test_the_exception_type_is_that_of_the_last_exception(
    events: list[tuple[str, str | None]], expected: str | None
) -> None:
    def event(name: str, kind: str | None) -> Tree:
        attributes = [{"key": "exception.type", "value": {"stringValue": kind}}] if kind else []
        return {"name": name, "attributes": [{"key": "x"}, *attributes]}

    table = rows_of(request(IDS, IDS | {"events": [event(*each) for each in events]}, IDS)).table
    assert table["exception_type"].to_pylist() == [None, expected, None]


def test_requests_keep_their_rows_together_and_in_order() -> None:
    named = [IDS | {"name": str(number)} for number in range(6)]
    rows = rows_of(request(*named[:2]), request(), request(named[2], {}, *named[3:]), {"resourceSpans": [{}]})
    assert rows.table["name"].to_pylist() == list("012345")
    assert rows.row_counts == (2, 0, 4, 0)
    assert [refused and refused.count for refused in rows.refused] == [None, None, 1, None]
