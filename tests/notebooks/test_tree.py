"""The spans of a trace are drawn in the order of their calls, whatever the trace looks like."""

from __future__ import annotations

import datetime as dt

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from notebooks.tree import in_order
from tests.notebooks.shop import START

_MS = 1_000_000


def spans(*rows):
    """A trace of (span id, parent id, start in ms, duration in ms, status)."""
    ids, parents, starts, durations, statuses = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "span_id": ids,
            "parent_span_id": parents,
            "start_time": [START + dt.timedelta(milliseconds=ms) for ms in starts],
            "start_ns_remainder": pl.Series([0] * len(rows), dtype=pl.Int16),
            "duration_ns": [ms * _MS for ms in durations],
            "status": statuses,
        },
        schema_overrides={"parent_span_id": pl.String},
    )


def test_calls_follow_their_caller_by_start():
    drawn = in_order(
        spans(
            ("late", "root", 6, 1, "unset"),
            ("inner", "early", 2, 1, "unset"),
            ("root", None, 0, 9, "unset"),
            ("early", "root", 1, 3, "unset"),
        ),
        max_rows=10,
    )
    assert drawn.select("span_id", "depth", "caller").rows() == [
        ("root", 0, None), ("early", 1, 0), ("inner", 2, 1), ("late", 1, 0),
    ]  # fmt: skip


def test_a_span_whose_caller_is_missing_stands_beside_the_root():
    drawn = in_order(spans(("orphan", "nobody", 5, 1, "unset"), ("root", None, 0, 9, "unset")), max_rows=10)
    assert drawn.select("span_id", "depth", "caller").rows() == [("root", 0, None), ("orphan", 0, None)]


def test_of_a_large_trace_what_took_long_is_drawn_with_its_callers():
    calls = [(f"call {i}", "middle", i, i, "unset") for i in range(1, 50)]
    drawn = in_order(spans(("root", None, 0, 9, "unset"), ("middle", "root", 0, 1, "unset"), *calls), max_rows=4)
    assert drawn["span_id"].to_list() == ["root", "middle", "call 48", "call 49"]
    assert drawn["caller"].to_list() == [None, 0, 1, 1]


def test_of_a_large_trace_what_failed_is_drawn_before_what_took_long():
    calls = [(f"call {i}", "root", i, i, "error" if i == 1 else "unset") for i in range(1, 50)]
    drawn = in_order(spans(("root", None, 0, 9, "unset"), *calls), max_rows=3)
    assert drawn["span_id"].to_list() == ["root", "call 1", "call 49"]


def test_no_trace_has_no_rows():
    drawn = in_order(spans(("root", None, 0, 9, "unset")).clear(), max_rows=3)
    assert drawn.is_empty()
    assert {"depth", "caller"} <= set(drawn.columns)


traces = st.lists(
    st.tuples(
        st.integers(0, 12).map(str),
        st.none() | st.integers(0, 14).map(str),
        st.integers(0, 5),
        st.integers(0, 5),
        st.sampled_from(["unset", "error"]),
    ),
    min_size=1,
    max_size=30,
)
"""Any parents: missing ones, ids given twice, spans that call themselves, circles."""


@settings(deadline=None)
@given(traces, st.integers(1, 30))
def test_whatever_the_parents_each_call_stands_below_its_caller(rows, max_rows):
    drawn = in_order(spans(*rows), max_rows)
    assert drawn.height == min(max_rows, len(rows))
    ancestors: list[int] = []  # of the row above, the row itself last
    for row, (depth, caller) in enumerate(drawn.select("depth", "caller").iter_rows()):
        del ancestors[depth:]
        assert len(ancestors) == depth
        assert caller == (ancestors[-1] if ancestors else None)
        ancestors.append(row)


@settings(deadline=None)
@given(traces)
def test_a_small_trace_is_drawn_whole(rows):
    drawn = in_order(spans(*rows), max_rows=30)
    assert sorted(drawn["span_id"]) == sorted(row[0] for row in rows)
