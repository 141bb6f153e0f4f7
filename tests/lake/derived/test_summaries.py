"""A summary says of a trace and hour what a look at each of its spans finds."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lake.derived import Spans
from lake.derived.summaries import trace_summaries_of
from lake.schema import TRACE_SUMMARIES
from tests.lake.derived.call_graphs import HOUR_NS, hour_of, spans_table, start_us
from tests.lake.rows import Row, span
from tests.lake.spans import START

PARENT = "f" * 16


def summaries_of(rows: list[Row]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = trace_summaries_of(Spans(spans_table(rows))).to_pylist()
    return found


def start_ns(row: Row) -> int:
    return start_us(row) * 1000 + int(row["start_ns_remainder"])


def plain_summaries(rows: list[Row]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["trace_id"], hour_of(row)), []).append(row)
    return [plain_summary(group) for group in groups.values()]


def plain_summary(rows: list[Row]) -> dict[str, Any]:
    roots = [row for row in rows if row.get("parent_span_id") is None]
    root = min(roots or rows, key=lambda row: (start_ns(row), -row["duration_ns"], row["span_id"], row["kind"]))
    first = min(map(start_ns, rows))
    return {
        "trace_id": rows[0]["trace_id"],
        "start_time": dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=first // 1000),
        "start_ns_remainder": first % 1000,
        "duration_ns": max(start_ns(row) + row["duration_ns"] for row in rows) - first,
        "span_count": len(rows),
        "error_count": sum(row["status"] == "error" for row in rows),
        "services": sorted({row["service_name"] for row in rows} - {None}),
        "root_missing": not roots,
        "root_span_id": root["span_id"],
        "root_offset_ns": start_ns(root) - first,
        "root_duration_ns": root["duration_ns"],
        "root_kind": root["kind"],
        "root_service": root["service_name"],
        "root_name": root["name"],
        "root_status": root["status"],
        "root_environment": root.get("environment"),
        "root_version": root.get("service_version"),
        "root_git_sha": root.get("git_sha"),
        "root_http_method": root.get("http_method"),
        "root_http_route": root.get("http_route"),
        "root_http_status_code": root.get("http_status_code"),
        "ingested_at": max(row["ingested_at"] for row in rows),
    }


SPAN = st.builds(
    lambda trace, known: span(trace, **known),
    st.integers(1, 4),
    st.fixed_dictionaries(
        {
            "start_ns": st.sampled_from([0, 1, 999, 1000, HOUR_NS - 1, HOUR_NS, 2 * HOUR_NS]),
            "duration_ns": st.sampled_from([0, 1, 5, HOUR_NS, 2**62]),
            "parent_span_id": st.sampled_from([None, PARENT, PARENT]),
            "status": st.sampled_from(["unset", "ok", "error"]),
            "service_name": st.sampled_from(["web", "cart", "Web", "größe", None]),
            "kind": st.sampled_from(["server", "client"]),
            "name": st.sampled_from(["a", "b"]),
            "environment": st.sampled_from(["live", None]),
            "service_version": st.sampled_from(["1", None]),
            "git_sha": st.sampled_from(["f00", None]),
            "http_method": st.sampled_from(["GET", None]),
            "http_route": st.sampled_from(["/", None]),
            "http_status_code": st.sampled_from([200, 503, None]),
            "ingested_s": st.integers(0, 9),
        }
    ),
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(SPAN, min_size=1, max_size=30))
def test_a_summary_says_what_a_look_at_each_span_finds(rows):
    def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(found, key=lambda row: (row["trace_id"], row["start_time"]))

    assert in_order(summaries_of(rows)) == in_order(plain_summaries(rows))


def test_the_root_is_the_earliest_span_without_a_parent_then_the_longest():
    child = span(parent_span_id=PARENT, start_ns=0)
    late = span(start_ns=500, duration_ns=9000)
    short, long = span(start_ns=200, duration_ns=1), span(start_ns=200, duration_ns=2)
    (found,) = summaries_of([child, late, short, long])
    assert (found["root_span_id"], found["root_offset_ns"], found["root_missing"]) == (long["span_id"], 200, False)


def test_of_roots_that_are_equal_the_first_by_id_is_taken_in_whatever_order_they_come():
    first, second = span(), span()
    for rows in ([first, second], [second, first]):
        assert summaries_of(rows)[0]["root_span_id"] == first["span_id"]


def test_where_every_span_has_a_parent_the_earliest_stands_for_the_root():
    later, earlier = (span(parent_span_id=PARENT, start_ns=ns) for ns in (5, 3))
    (found,) = summaries_of([later, earlier])
    assert (found["root_span_id"], found["root_missing"]) == (earlier["span_id"], True)


def test_a_trace_over_the_end_of_an_hour_has_a_summary_in_each():
    found = summaries_of([span(start_ns=HOUR_NS - 1), span(start_ns=HOUR_NS, parent_span_id=PARENT)])
    assert [(row["start_time"].hour, row["span_count"]) for row in found] == [(START.hour, 1), (START.hour + 1, 1)]


def test_services_are_named_once_and_in_order_and_a_trace_without_any_has_an_empty_list():
    named = [span(service_name=name) for name in ("b", "a", "b", None)]
    (found,) = summaries_of(named)
    assert found["services"] == ["a", "b"]
    assert summaries_of([span(service_name=None)])[0]["services"] == []


def test_a_trace_that_ends_at_the_last_time_there_is_has_a_duration():
    row = span() | {"duration_ns": 0}
    row["duration_ns"] = 2**63 - 1 - start_ns(row)
    assert summaries_of([row])[0]["duration_ns"] == row["duration_ns"]


def test_nothing_follows_from_nothing():
    assert trace_summaries_of(Spans(spans_table([]))).equals(TRACE_SUMMARIES.arrow_schema.empty_table())
