"""The list of traces says of each what its spans say, and its pages have every trace once."""

import datetime as dt
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lake
from lake import render, summaries, trace_list
from lake.compaction import Compactor
from lake.folder import create_folder
from lake.rewrite import rewrite_due
from lake.trace_list import slices
from tests.lake.checks import DISK
from tests.lake.rows import Landing, Row, span, table, trace_id
from tests.lake.spans import START, nanoseconds

S = 10**9
SECOND = dt.timedelta(seconds=1)
WINDOW_S, AROUND_S = 100, 50
SINCE, UNTIL, AROUND = START, START + WINDOW_S * SECOND, AROUND_S * SECOND
BASE_NS = nanoseconds(START)


@pytest.fixture
def opened(lake_folder):
    with lake.open(lake_folder.path) as opened:
        yield opened


def ask(opened, **filters):
    return opened.traces(**{"since": SINCE, "until": UNTIL, "around": AROUND, "limit": 1000} | filters).rows()


def start_ns(row):
    return nanoseconds(row["start_time"]) + row["start_ns_remainder"]


def each_once(spans):
    return list({(row["trace_id"], row["span_id"], row["kind"], start_ns(row)): row for row in spans}.values())


def expected(spans, *, service=None, min_duration_ns=None, status=None, since=SINCE, until=UNTIL, around=AROUND):
    """Summaries worked out one span after the other, newest first."""
    traces = defaultdict(list)
    for row in spans:
        assert since - around <= row["start_time"] < until + around
        traces[row["trace_id"]].append(row)
    found = [summary(rows) for rows in traces.values()]
    return sorted(
        (
            trace
            for trace in found
            if nanoseconds(since) <= trace["start_ns"] < nanoseconds(until)
            and (service is None or service in trace["services"])
            and (min_duration_ns is None or trace["end_ns"] - trace["start_ns"] >= min_duration_ns)
            and status in (None, trace["status"])
        ),
        key=lambda trace: (trace["start_ns"], trace["trace_id"]),
        reverse=True,
    )


def summary(rows):
    def rank(row):
        return row.get("parent_span_id") is not None, start_ns(row), -row["duration_ns"], row["span_id"], row["kind"]

    root = min(rows, key=rank)
    errors = sum(row["status"] == "error" for row in rows)
    failed = errors or (root["kind"] == "server" and (root.get("http_status_code") or 0) >= 500)
    return {
        "trace_id": rows[0]["trace_id"],
        "start_ns": min(map(start_ns, rows)),
        "end_ns": max(start_ns(row) + row["duration_ns"] for row in rows),
        "span_count": len(rows),
        "error_count": errors,
        "services": sorted({row["service_name"] for row in rows} - {None}),
        "root": {
            "service": root["service_name"],
            "operation": root["name"],
            "status": root["status"],
            "kind": root["kind"],
            "missing": root.get("parent_span_id") is not None,
            "span_id": root["span_id"],
            "environment": root.get("environment"),
            "version": root.get("service_version"),
            "git_sha": root.get("git_sha"),
            "http_method": root.get("http_method"),
            "http_route": root.get("http_route"),
            "http_status_code": root.get("http_status_code"),
        },
        "status": "error" if failed else "ok" if root["status"] == "ok" else "unset",
    }


START_S = st.sampled_from([-50, -49, -1, 0, 1, 50, 98, 99, 100, 120, 149]) | st.integers(0, 99)
NS = st.sampled_from([0, 0, 1, 999, 1000, S - 1])


@st.composite
def some_spans(draw):
    made = []
    for place in range(draw(st.integers(1, 60))):
        number = draw(st.integers(1, 4))
        known = {
            "trace": draw(st.integers(1, 12)),
            "span_id": f"{number:016x}",
            "parent_span_id": draw(st.sampled_from([None, f"{1:016x}", f"{8:016x}"])),
            "name": draw(st.sampled_from(["a", "b"])),
            "kind": draw(st.sampled_from(["server", "client"])),
            "start_ns": draw(START_S) * S + draw(NS),
            "duration_ns": draw(st.sampled_from([0, 1, 999, S, 30 * S, 30 * S + 1])),
            "status": draw(st.sampled_from(["unset", "unset", "ok", "error"])),
            "service_name": draw(st.sampled_from([None, "shop", "cart"])),
            "http_status_code": draw(st.sampled_from([None, None, 200, 499, 500])),
            "ingested_s": place * 7 % 61,  # each its own, in no order
        }
        made.append(span(**known))
    return made


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "service": st.sampled_from(["shop", "cart", "nobody"]),
        "min_duration_ns": st.sampled_from([0, 1, S, 30 * S, 30 * S + 1, 2**62]),
        "status": st.sampled_from(["ok", "error", "unset"]),
    },
)


@settings(max_examples=10, deadline=None)
@given(some_spans(), FILTERS, st.integers(2, 5), st.integers(0, 60), st.sampled_from([0, 999]))
def test_traces_are_those_worked_out_by_hand_page_by_page(tmp_path_factory, spans, filters, limit, split, few):
    folder = create_folder(tmp_path_factory.mktemp("lake"))
    landing, spans = Landing(folder), each_once(spans)
    landing.put("spans", *spans[:split])
    Compactor(folder, disk=DISK).absorb()
    landing.put("spans", *spans[split:])
    landing.end()
    with lake.open(folder.path) as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_list, "_FEW_ROWS", few)
        patch.setattr(summaries, "_MOST_KEPT_ROWS", few)
        assert ask(opened) == expected(spans)
        assert pages(opened, limit, **filters) == expected(spans, **filters)


def pages(opened, limit, **asked):
    found, before = [], None
    while page := ask(opened, limit=limit, before=before, **asked):
        assert len(page) <= limit
        found += page
        before = page[-1]["start_ns"], page[-1]["trace_id"]
    return found


@settings(max_examples=25, deadline=None)
@given(some_spans())
def test_the_summary_of_one_trace_is_that_of_the_list(tmp_path_factory, spans):
    traces = defaultdict(list)
    for row in each_once(spans):
        traces[row["trace_id"]].append(row)
    folder = create_folder(tmp_path_factory.mktemp("lake"))
    for rows in traces.values():
        by_start = sorted(rows, key=lambda r: (start_ns(r), r["span_id"], r["kind"]))
        assert render.summary(table(folder, "spans", by_start)) == summary(rows)
    every = table(folder, "spans", [row for rows in traces.values() for row in rows])
    found = summaries.put_together(summaries.of_spans(every)).to_pylist()
    assert {row["trace_id"]: row for row in found} == {trace: summary(rows) for trace, rows in traces.items()}


# The rules one by one


def one(opened, landing, *spans, **filters):
    landing.put("spans", *spans)
    [found] = ask(opened, **filters)
    return found


def test_the_root_is_the_span_without_a_parent(opened, landing):
    found = one(opened, landing, span(1, name="child", parent_span_id="b" * 16), span(1, name="root", start_ns=5))
    assert (found["root"]["operation"], found["root"]["missing"]) == ("root", False)


def test_of_two_roots_the_earlier_one_counts_then_the_longer_one(opened, landing):
    found = one(
        opened,
        landing,
        span(1, name="late", start_ns=1, duration_ns=100),
        span(1, name="short", duration_ns=1),
        span(1, name="long", duration_ns=9),
    )
    assert found["root"]["operation"] == "long"


def test_without_a_root_the_earliest_span_stands_for_it_and_it_is_said(opened, landing):
    parent = {"parent_span_id": "b" * 16}
    found = one(opened, landing, span(1, name="second", start_ns=1, **parent), span(1, name="first", **parent))
    assert (found["root"]["operation"], found["root"]["missing"]) == ("first", True)


@pytest.mark.parametrize(
    ("spans", "status"),
    [
        ([{"status": "unset"}], "unset"),
        ([{"status": "ok"}], "ok"),
        ([{"status": "ok"}, {"status": "error", "parent_span_id": "b" * 16}], "error"),
        ([{"status": "unset"}, {"status": "ok", "parent_span_id": "b" * 16}], "unset"),
        ([{"kind": "server", "http_status_code": 500}], "error"),
        ([{"kind": "server", "http_status_code": 499}], "unset"),
        ([{"kind": "client", "http_status_code": 500}], "unset"),
        ([{"kind": "server"}, {"kind": "server", "http_status_code": 503, "parent_span_id": "b" * 16}], "unset"),
        ([{"kind": "server", "http_status_code": 500, "status": "ok"}], "error"),
    ],
)
def test_the_status_of_a_trace(opened, landing, spans, status):
    landing.put("spans", *(span(1, start_ns=i, **known) for i, known in enumerate(spans)))
    assert [found["status"] for found in ask(opened)] == [status]
    assert {wanted: len(ask(opened, status=wanted)) for wanted in ("ok", "error", "unset")} == {
        wanted: int(wanted == status) for wanted in ("ok", "error", "unset")
    }


def test_the_window_is_by_the_start_of_the_trace_to_the_nanosecond(opened, landing):
    starts = (-1, 0, 1, WINDOW_S * S - 1, WINDOW_S * S)
    landing.put("spans", *(span(number, start_ns=ns) for number, ns in enumerate(starts)))
    assert [found["trace_id"] for found in ask(opened)] == [trace_id(3), trace_id(2), trace_id(1)]


def test_a_trace_that_began_before_the_window_is_not_in_it(opened, landing):
    landing.put("spans", span(1, start_ns=-S), span(1, start_ns=S))
    assert ask(opened) == []


def test_spans_beyond_the_window_belong_to_a_trace_that_began_in_it(opened, landing):
    spans = [span(1, start_ns=99 * S), span(1, start_ns=101 * S, service_name="cart", status="error", duration_ns=S)]
    found = one(opened, landing, *spans, service="cart", status="error", min_duration_ns=3 * S)
    assert (found["span_count"], found["end_ns"] - BASE_NS) == (2, 102 * S)


def test_the_least_duration_is_enough(opened, landing):
    landing.put("spans", span(1, duration_ns=1000))
    assert [len(ask(opened, min_duration_ns=least)) for least in (999, 1000, 1001)] == [1, 1, 0]


def test_a_service_that_no_root_is_of_is_found(opened, landing):
    landing.put("spans", span(1), span(1, service_name="it's", parent_span_id="b" * 16, start_ns=1), span(2))
    assert [found["trace_id"] for found in ask(opened, service="it's")] == [trace_id(1)]


def test_a_span_that_came_twice_counts_once_as_it_came_last_when_its_hour_is_rewritten(lake_folder, opened, landing):
    same: Row = {"trace": 1, "span_id": "a" * 16}
    landing.put(
        "spans", span(**same, ingested_s=2, duration_ns=5), span(**same, ingested_s=1, duration_ns=9, status="error")
    )
    assert [found["span_count"] for found in ask(opened)] == [2]
    rewrite_due(Compactor(lake_folder, disk=DISK), now_s=START.timestamp() + 7200)
    [found] = ask(opened)
    assert (found["span_count"], found["error_count"], found["end_ns"] - found["start_ns"]) == (1, 0, 5)
    assert ask(opened, status="error") == ask(opened, min_duration_ns=6) == []


def test_a_page_is_full_although_most_of_what_looked_right_was_not(opened, landing):
    """Many traces have a row whose root is ok, and another one with an earlier root that is not."""
    for number in range(60):
        landing.put("spans", span(number, start_ns=number * S + 1, status="ok"))
        landing.put("spans", span(number, start_ns=number * S, status="ok" if number <= 5 else "unset"))
    assert [found["trace_id"] for found in ask(opened, status="ok", limit=4)] == [trace_id(n) for n in (5, 4, 3, 2)]


def test_traces_that_start_together_are_on_one_page_or_the_other(opened, landing):
    landing.put("spans", *(span(number) for number in range(7)))
    assert [found["trace_id"] for found in pages(opened, 3)] == [trace_id(number) for number in range(6, -1, -1)]


@pytest.mark.parametrize("compacted", [False, True])
def test_the_list_is_the_same_before_and_after_compaction(lake_folder, opened, landing, compacted):
    """A span far outside the window, in an hour that nobody asks for, does not count however the files lie."""
    landing.put("spans", span(1), span(1, start_ns=-7200 * S, parent_span_id="b" * 16))
    if compacted:
        Compactor(lake_folder, disk=DISK).absorb()
    assert [found["span_count"] for found in ask(opened)] == [1]


def test_no_traces_are_a_list_of_the_same_columns(opened, landing):
    nothing = opened.traces(since=SINCE, until=UNTIL).arrow()
    landing.put("spans", span(1))
    assert nothing.num_rows == 0
    assert nothing.schema == opened.traces(since=SINCE, until=UNTIL).arrow().schema


def test_slices_cover_the_window_newest_first():
    found = list(slices(SINCE, UNTIL))
    assert found[0][1] == UNTIL
    assert found[-1][0] == SINCE
    assert all(later[0] == earlier[1] for later, earlier in pairwise(found))
    assert all(begin < end for begin, end in found)
    assert list(slices(SINCE, SINCE)) == list(slices(UNTIL, SINCE)) == []
    assert list(slices(SINCE, SINCE + dt.timedelta(microseconds=1))) == [(SINCE, SINCE + dt.timedelta(microseconds=1))]


def test_what_lies_in_older_slices_is_not_read_for_a_full_page(lake_folder, opened, landing, monkeypatch):
    for number in range(20):
        landing.put("spans", span(number, start_ns=(80 + number) * S))
    Compactor(lake_folder, disk=DISK).absorb()
    monkeypatch.setattr(trace_list, "_FEW_ROWS", 0)
    looked_at = []
    candidates = trace_list._Search.candidates

    def counted(search, since, until):
        looked_at.append((since, until))
        return candidates(search, since, until)

    monkeypatch.setattr(trace_list._Search, "candidates", counted)
    assert len(ask(opened, limit=1)) == 1
    assert len(looked_at) == 1
    assert len(ask(opened, limit=10)) == 10
    assert len(looked_at) == 3
    monkeypatch.setattr(trace_list, "_FEW_ROWS", 1000)
    assert len(ask(opened, limit=10)) == 10
    assert looked_at[3:] == [(SINCE, UNTIL)]
