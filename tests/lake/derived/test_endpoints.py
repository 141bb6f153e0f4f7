"""Minutes of endpoints: what an endpoint is called, what counts as an error, and that parts add up to the whole."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.derived import Spans, endpoints
from lake.derived.endpoints import OTHER, endpoint_minutes_of, merged
from lake.schema import ENDPOINT_MINUTES
from tests.lake.derived.call_graphs import HOUR_NS, MS, spans_table
from tests.lake.rows import Row, span
from tests.lake.spans import START

EMPTY = ENDPOINT_MINUTES.arrow_schema.empty_table()
MINUTE_NS = 60_000 * MS


def minutes_of(rows: list[Row]) -> pa.Table:
    return endpoint_minutes_of(Spans(spans_table(rows)))


def only(**known: Any) -> dict[str, Any]:
    row: dict[str, Any]
    (row,) = minutes_of([span(**known)]).to_pylist()
    return row


def in_order(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=repr)


# --- names


@pytest.mark.parametrize(
    ("known", "endpoint"),
    [
        ({"http_method": "GET", "http_route": "/users/{id}", "rpc_method": "x"}, "GET /users/{id}"),
        ({"http_route": "/users/{id}"}, "/users/{id}"),
        ({"http_method": "GET", "name": "GET /users/17"}, "GET /users/{id}"),
        ({"rpc_service": "shop.Cart", "rpc_method": "Add", "messaging_destination": "x"}, "shop.Cart/Add"),
        ({"rpc_service": "shop.Cart", "name": "call"}, "call"),
        ({"messaging_operation": "process", "messaging_destination": "orders"}, "process orders"),
        ({"messaging_destination": "orders"}, "orders"),
        ({"db_system": "mysql", "name": "SELECT shop.items"}, "SELECT shop.items"),
        ({"name": ""}, ""),
        ({"name": "item 123e4567-e89b-12d3-a456-426614174000"}, "item {id}"),
        ({"name": "/a/00ff00ff00ff00ff/b"}, "/a/{id}/b"),
        ({"name": "0x00FF00ff00ff00ff00 12 x12 1.5"}, "{id} {id} x12 {id}.{id}"),
        ({"name": "/users/9223372036854775808/orders/1"}, "/users/{id}/orders/{id}"),
        ({"name": "v2 of step2b"}, "v2 of step2b"),
        ({"name": "Größe 12 für 東京"}, "Größe {id} für 東京"),
    ],
)
def test_an_endpoint_is_called_by_what_says_most(known, endpoint):
    assert only(**known)["endpoint"] == endpoint


@pytest.mark.parametrize(
    ("known", "is_request"),
    [
        ({"kind": "server", "parent_span_id": "a" * 16}, True),
        ({"kind": "consumer", "parent_span_id": "a" * 16}, True),
        ({"kind": "internal"}, True),
        ({"kind": "internal", "parent_span_id": "a" * 16}, False),
        ({"kind": "client", "parent_span_id": "a" * 16}, False),
    ],
)
def test_requests_are_what_comes_from_outside(known, is_request):
    assert only(**known)["is_request"] is is_request


@pytest.mark.parametrize(
    ("known", "errors"),
    [
        ({"status": "error"}, 1),
        ({"status": "ok"}, 0),
        ({"kind": "server", "http_status_code": 500}, 1),
        ({"kind": "server", "http_status_code": 599, "status": "error"}, 1),
        ({"kind": "server", "http_status_code": 499}, 0),
        ({"kind": "client", "http_status_code": 500}, 0),
        ({"kind": "internal", "http_status_code": 500}, 0),
        ({"kind": "client", "http_status_code": 200, "status": "error"}, 1),
    ],
)
def test_errors_are_spans_that_say_so_and_servers_that_answered_5xx(known, errors):
    assert only(**known)["error_count"] == errors


@pytest.mark.parametrize(
    "column", ["service_name", "environment", "cluster", "service_version", "sdk_language", "kind", "name", "parent_span_id"]
)
def test_what_differs_in_a_key_is_counted_apart(column):
    assert minutes_of([span(), span(**{column: "server"})]).column("span_count").to_pylist() == [1, 1]


def test_what_is_no_key_is_counted_together():
    (row,) = minutes_of([span(status="error", ingested_s=5), span(2, user_id="u", url_path="/7", ingested_s=9)]).to_pylist()
    assert (row["span_count"], row["error_count"]) == (2, 1)
    assert row["ingested_at"] == START + dt.timedelta(seconds=9)


# --- minutes and latencies


def test_a_span_counts_in_the_minute_in_which_it_starts():
    rows = minutes_of([span(start_ns=MINUTE_NS - 1, duration_ns=9 * MINUTE_NS), span(start_ns=MINUTE_NS)])
    assert rows.column("minute").to_pylist() == [START, START + dt.timedelta(minutes=1)]


def test_the_first_and_the_last_time_that_can_be_stored_have_minutes():
    first = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    last = first + dt.timedelta(microseconds=(2**63 - 1) // 1000)
    rows = minutes_of([span() | {"start_time": time} for time in (first, last)])
    assert rows.column("minute").to_pylist() == [first, last.replace(second=0, microsecond=0)]


def test_durations_of_nothing_and_of_the_longest_time_are_counted():
    (row,) = minutes_of([span(duration_ns=0), span(duration_ns=2**63 - 1), span(duration_ns=0)]).to_pylist()
    assert dict(zip(row["latency_bins"], row["latency_counts"], strict=True)) == {-1: 2, 2205: 1}


# --- parts and wholes

SPAN = st.builds(
    lambda service, number, minute, duration_ns, status, code, ingested_s: span(
        service_name=service,
        name=f"step {'abcdefgh'[number]}",
        kind=("server", "client")[number % 2],
        start_ns=minute * MINUTE_NS,
        duration_ns=duration_ns,
        status=status,
        http_status_code=code,
        ingested_s=ingested_s,
    ),
    st.sampled_from(["web", "cart", None]),
    st.integers(0, 7),
    st.sampled_from([0, 1, 30, 61]),
    st.integers(0, 2000),
    st.sampled_from(["unset", "error"]),
    st.sampled_from([None, 200, 500]),
    st.integers(0, 99),
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(SPAN, min_size=1, max_size=40), data=st.data())
def test_the_rows_of_parts_add_up_to_those_of_the_whole(rows, data):
    part = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    parts = [minutes_of([row for row, n in zip(rows, part, strict=True) if n == number]) for number in range(4)]
    some = merged(pa.concat_tables([EMPTY, *parts[:2]]))
    found = merged(pa.concat_tables([some, *parts[2:]]))
    assert in_order(found) == in_order(minutes_of(rows))


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(SPAN, min_size=1, max_size=40), cut=st.integers(0, 40), limit=st.integers(1, 3))
def test_too_many_endpoints_lose_their_names_and_no_span(rows, cut, limit):
    most = endpoints.MAX_ENDPOINTS
    endpoints.MAX_ENDPOINTS = limit
    try:
        found = merged(pa.concat_tables([EMPTY, minutes_of(rows[:cut]), minutes_of(rows[cut:])]))
        again = merged(found)
    finally:
        endpoints.MAX_ENDPOINTS = most
    assert in_order(again) == in_order(found)
    names: dict[tuple[Any, Any], set[str]] = {}
    for row in found.to_pylist():
        names.setdefault((row["service_name"], row["minute"].hour), set()).add(row["endpoint"])
    assert max(len(each - {OTHER}) for each in names.values()) <= limit
    for column, value in (
        ("span_count", len(rows)),
        ("error_count", sum(minutes_of(rows).column("error_count").to_pylist())),
    ):
        assert sum(found.column(column).to_pylist()) == value


def test_the_endpoints_that_keep_their_names_are_the_most_frequent_of_their_service_and_hour(monkeypatch):
    monkeypatch.setattr(endpoints, "MAX_ENDPOINTS", 2)
    rows = [span(name=name) for name in "aaabbbcd"] + [span(name="d", start_ns=HOUR_NS), span(name="d", service_name="cart")]
    counts = Counter(
        {(r["service_name"], r["minute"].hour, r["endpoint"]): r["span_count"] for r in minutes_of(rows).to_pylist()}
    )
    hour = START.hour
    assert counts == {
        ("shop", hour, "a"): 3, ("shop", hour, "b"): 3, ("shop", hour, OTHER): 2,
        ("shop", hour + 1, "d"): 1, ("cart", hour, "d"): 1,
    }  # fmt: skip


def test_of_equally_rare_endpoints_the_first_by_name_keep_theirs(monkeypatch):
    monkeypatch.setattr(endpoints, "MAX_ENDPOINTS", 2)
    rows = minutes_of([span(name=name) for name in "dbca"])
    assert sorted(rows.column("endpoint").to_pylist()) == [OTHER, "a", "b"]


def test_a_name_for_each_span_makes_no_row_for_each_span():
    letters = "abcdefghijklmnop"
    rows = minutes_of([span(name="".join(letters[int(digit, 16)] for digit in f"{n:x}")) for n in range(5000)])
    assert rows.num_rows == endpoints.MAX_ENDPOINTS + 1
    assert sum(rows.column("span_count").to_pylist()) == 5000


@pytest.mark.parametrize("rows", [EMPTY, minutes_of([])])
def test_nothing_follows_from_nothing(rows):
    assert merged(rows).equals(EMPTY)
