"""Exception events of spans become rows, always the same ones; reported as well, they are one occurrence."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

import lake
from lake.derived.exceptions import exceptions_of
from lake.fingerprint import fingerprints
from lake.landing import LandingWriter, Request
from lake.schema import EXCEPTIONS
from lake.wire.reports import decode_error
from tests.lake.spans import START, nanoseconds, rows_of

TRACE_ID = "5b8aa5a2d2c872e8321cf37308d69df2"
STACK = 'Traceback (most recent call last):\n  File "/srv/cart.py", line 12, in total\n    return prices[item]\nKeyError: 1'
RAISED = {"exception.type": "KeyError", "exception.message": "1", "exception.stacktrace": STACK}
AT = START + timedelta(seconds=1, microseconds=7)


def key_values(attributes: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]


def event(attributes: Mapping[str, str], *, name: str = "exception", time: datetime | None = AT) -> Span.Event:
    return Span.Event(
        name=name, time_unix_nano=nanoseconds(time) if time else 0, attributes=key_values(attributes)
    )  # fmt: skip


def span(*events: Span.Event, number: int = 1, attributes: Mapping[str, str] | None = None) -> Span:
    return Span(
        trace_id=bytes.fromhex(TRACE_ID),
        span_id=number.to_bytes(8, "big"),
        name="pay",
        start_time_unix_nano=nanoseconds(START),
        end_time_unix_nano=nanoseconds(START) + 1000,
        events=events,
        attributes=key_values(attributes or {}),
    )


def spans(*some: Span) -> pa.Table:
    """Rows of the table `spans`, as the wire makes them of one request."""
    resource = {
        "service.name": "checkout",
        "service.version": "1.2.3",
        "deployment.environment.name": "production",
        "vcs.ref.head.revision": "abc123",
    }
    scope = ScopeSpans(spans=some)
    resource_spans = ResourceSpans(resource=Resource(attributes=key_values(resource)), scope_spans=[scope])
    return rows_of([ExportTraceServiceRequest(resource_spans=[resource_spans]).SerializeToString()])[0]


def exceptions(*some: Span) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = exceptions_of(spans(*some)).to_pylist()
    return rows


def test_an_exception_event_is_a_row_with_the_columns_of_its_span():
    (row,) = exceptions(span(event(RAISED), attributes={"user.id": "u1", "http.request_id": "r1"}))
    assert (row["exception_class"], row["message"], row["timestamp"]) == ("KeyError", "1", AT)
    assert row["backtrace"] == STACK.split("\n")
    assert row["location"] == 'File "/srv/cart.py", line 12, in total'
    assert (row["service_name"], row["environment"]) == ("checkout", "production")
    assert (row["git_sha"], row["version"], row["user_id"], row["request_id"]) == ("abc123", "1.2.3", "u1", "r1")
    assert (row["trace_id"], row["span_id"]) == (TRACE_ID, "0000000000000001")
    assert row["ingested_at"] == row["span_start_time"] == START
    assert {row[name] for name in ("params", "context", "source_context", "extra")} == {None}


def test_the_fingerprint_is_that_of_the_same_error_reported():
    (row,) = exceptions(span(event(RAISED)))
    body = {"error_type": "KeyError", "message": "1", "backtrace": STACK}
    reported = decode_error(json.dumps(body).encode(), ingested_at_us=0, idempotency_key=None).table
    assert reported["fingerprint"].to_pylist() == [row["fingerprint"]]
    assert (
        row["fingerprint"]
        == fingerprints(*(pa.array([row[c]]) for c in ("exception_class", "message", "location")))[0].as_py()
    )


def test_an_event_without_a_time_happened_at_the_start_of_its_span():
    (row,) = exceptions(span(event(RAISED, time=None)))
    assert row["timestamp"] == START


@pytest.mark.parametrize(
    ("attributes", "class_", "message"),
    [
        ({"exception.type": "E"}, "E", ""),
        ({"exception.message": "m"}, "", "m"),
        ({"exception.type": "", "exception.message": "m"}, "", "m"),
    ],
)
def test_a_type_or_a_message_is_enough(attributes, class_, message):
    (row,) = exceptions(span(event(attributes)))
    assert (row["exception_class"], row["message"], row["backtrace"], row["location"]) == (class_, message, [], None)


@pytest.mark.parametrize(
    "other",
    [
        event({}),
        event({"exception.stacktrace": STACK}),
        event({"exception.type": "", "exception.message": ""}),
        event(RAISED, name="log"),
        event(RAISED, name=""),
    ],
)
def test_other_events_are_no_rows(other):
    assert exceptions(span(other)) == []
    assert [row["exception_class"] for row in exceptions(span(other, event(RAISED)))] == ["KeyError"]


def test_windows_line_ends_are_line_ends():
    (row,) = exceptions(span(event(RAISED | {"exception.stacktrace": "a\r\nb"})))
    assert row["backtrace"] == ["a", "b"]


def test_an_exception_keeps_its_id_when_it_is_derived_again():
    some = [span(event(RAISED), event(RAISED), number=number) for number in range(1, 4)]
    together = exceptions(*some)
    alone = [row for one in some for row in exceptions(one)]
    assert [row["id"] for row in together] == [row["id"] for row in alone]
    assert len({row["id"] for row in together}) == 6
    assert [row["id"] for row in exceptions(*reversed(some))] != [row["id"] for row in together]
    assert {row["id"] for row in exceptions(*reversed(some))} == {row["id"] for row in together}


def test_an_id_counts_every_event_of_the_span_not_only_exceptions():
    (row,) = exceptions(span(event({}, name="log"), event(RAISED)))
    assert row["id"] == "err_" + TRACE_ID[-8:] + "0000000000000001" + "0001"


def test_spans_without_events_have_no_exceptions():
    for table in (spans(), spans(span()), spans(span(), span(number=2)).slice(1)):
        derived = exceptions_of(table)
        assert derived.num_rows == 0
        assert derived.schema.equals(EXCEPTIONS.arrow_schema, check_metadata=True)


EVENTS = st.lists(
    st.builds(
        event,
        st.dictionaries(st.sampled_from([*RAISED, "other"]), st.sampled_from(["", "x", "a\nb"])),
        name=st.sampled_from(["exception", "log"]),
        time=st.none() | st.just(AT),
    ),
    max_size=4,
)


def expected(some: Iterable[Span]) -> list[tuple[str, str, str]]:
    """Id, class and message of every exception, one event after the other."""
    found = []
    for one in some:
        for index, raised in enumerate(one.events):
            said = {attribute.key: attribute.value.string_value for attribute in raised.attributes}
            names = said.get("exception.type", ""), said.get("exception.message", "")
            if raised.name == "exception" and any(names):
                found.append((f"err_{TRACE_ID[-8:]}{one.span_id.hex()}{index:04}", *names))
    return found


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=5), st.integers(0, 3))
def test_any_events_of_any_slice_give_exactly_their_exceptions(events, start):
    some = [span(*each, number=number + 1) for number, each in enumerate(events)]
    derived = exceptions_of(spans(*some).slice(start))
    assert derived.schema.equals(EXCEPTIONS.arrow_schema)
    derived.validate(full=True)
    rows = derived.select(["id", "exception_class", "message"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == expected(some[start:])


@pytest.fixture
def land(lake_folder):
    """Lands rows in a stream of the lake."""
    writers = {stream: LandingWriter(lake_folder.path, stream, now=START) for stream in ("spans", "errors")}

    def commit(stream, rows):
        writers[stream].commit(rows, [Request(secrets.token_hex(32), rows.num_rows)])

    yield commit
    for writer in writers.values():
        writer.close()


def reported(**fields: Any) -> pa.Table:
    body = {"exception_class": "KeyError", "message": "1", "timestamp": AT.isoformat()} | fields
    return decode_error(json.dumps(body).encode(), ingested_at_us=nanoseconds(AT) // 1000, idempotency_key=None).table


@pytest.mark.parametrize("link", [{"request_id": TRACE_ID}, {"trace_id": TRACE_ID}, {"request_id": "r1"}])
def test_an_exception_that_is_reported_too_is_one_occurrence(lake_folder, land, link):
    land("spans", spans(span(event(RAISED), attributes={"http.request_id": "r1"})))
    land("errors", reported(user_id=7, **link))
    with lake.open(lake_folder.path) as opened:
        (error,) = opened.errors().arrow().to_pylist()
    assert (error["source"], error["user_id"]) == ("reported", "7")
    assert (error["trace_id"], error["service_name"]) == (TRACE_ID, "checkout")


@pytest.mark.parametrize(
    "other",
    [{"request_id": "r2"}, {"message": "2", "trace_id": TRACE_ID}, {"exception_class": "E", "trace_id": TRACE_ID},
     {"trace_id": TRACE_ID, "timestamp": (AT + timedelta(seconds=6)).isoformat()}, {}],
)  # fmt: skip
def test_another_error_is_another_occurrence(lake_folder, land, other):
    land("spans", spans(span(event(RAISED), attributes={"http.request_id": "r1"})))
    land("errors", reported(**other))
    with lake.open(lake_folder.path) as opened:
        assert sorted(opened.sql("SELECT source FROM errors").arrow()["source"].to_pylist()) == ["reported", "span"]


def test_a_lake_whose_spans_have_no_events_has_no_errors(lake_folder, land):
    with lake.open(lake_folder.path) as opened:
        assert opened.errors().arrow().num_rows == 0
        land("spans", spans(span()))
        assert opened.sql("SELECT count(*) AS n FROM spans").arrow()["n"].to_pylist() == [1]
        assert opened.errors().arrow().num_rows == 0
