"""Critical paths of traces that were worked out by hand, and of generated ones against a plain walk."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.analysis.critical_path import Tree, critical_paths, self_times
from lake.analysis.decomposition import decomposed, steps_of


def spans_of(*rows, trace="t"):
    """Rows of name, parent, start, end; the name is span id and operation."""
    return pl.DataFrame(
        [(trace, name, parent, start, end - start, "shop", name.rstrip("0123456789")) for name, parent, start, end in rows],
        schema={
            "trace_id": pl.String, "span_id": pl.String, "parent_span_id": pl.String, "start_ns": pl.Int64,
            "duration_ns": pl.Int64, "service_name": pl.String, "operation": pl.String,
        },
        orient="row",
    )  # fmt: skip


def path(spans, request="root"):
    tree = Tree.of(spans)
    place = spans["span_id"].to_list().index(request)
    steps = critical_paths(tree, np.array([place]))
    names = spans["span_id"].to_list()
    found = {names[span]: int(own) for span, own in zip(steps.span, steps.own_ns, strict=True)}
    assert len(found) == len(steps.span)
    assert sum(found.values()) == max(0, spans["duration_ns"][place])
    return found


Row = tuple[str, str | None, int, int]

ROOT: Row = ("root", None, 0, 100)

WORKED_OUT: dict[str, tuple[list[Row], dict[str, int]]] = {
    "a span alone is all its own": ([ROOT], {"root": 100}),
    "one call after another": (
        [ROOT, ("a", "root", 10, 30), ("b", "root", 40, 90)],
        {"root": 30, "a": 20, "b": 50},
    ),
    "calls at once: the longest counts": (
        [ROOT, ("a", "root", 10, 90), ("b", "root", 12, 40), ("c", "root", 15, 60)],
        {"root": 20, "a": 80},
    ),
    "two rounds of calls at once": (
        [ROOT, ("a", "root", 0, 40), ("b", "root", 0, 30), ("c", "root", 50, 70), ("d", "root", 50, 95)],
        {"root": 15, "a": 40, "d": 45},
    ),
    "a call that overlaps the next one did not let it begin": (
        [ROOT, ("a", "root", 0, 60), ("b", "root", 40, 100)],
        {"root": 40, "b": 60},
    ),
    "calls that touch": (
        [ROOT, ("a", "root", 0, 50), ("b", "root", 50, 100)],
        {"root": 0, "a": 50, "b": 50},
    ),
    "of two that end together the longer one": (
        [ROOT, ("a", "root", 50, 90), ("b", "root", 20, 90)],
        {"root": 30, "b": 70},
    ),
    "calls in calls": (
        [ROOT, ("a", "root", 10, 90), ("b", "a", 20, 50), ("c", "b", 30, 40)],
        {"root": 20, "a": 50, "b": 20, "c": 10},
    ),
    "an asynchronous call counts as far as somebody waits": (
        [ROOT, ("a", "root", 60, 300), ("b", "a", 70, 250)],
        {"root": 60, "a": 10, "b": 30},
    ),
    "what begins after its parent is over is on no path": (
        [ROOT, ("a", "root", 120, 300)],
        {"root": 100},
    ),
    "a clock that is behind: the part within counts": (
        [ROOT, ("a", "root", -20, 30), ("b", "a", -25, -10)],
        {"root": 70, "a": 30},
    ),
    "a clock that is far off: nothing counts": (
        [ROOT, ("a", "root", -5000, -4900), ("b", "a", -4980, -4950)],
        {"root": 100},
    ),
    "a missing parent leads nowhere": (
        [ROOT, ("a", "root", 10, 30), ("lost", "gone", 40, 90), ("below", "lost", 50, 80)],
        {"root": 80, "a": 20},
    ),
    "a cycle elsewhere": (
        [ROOT, ("a", "b", 10, 30), ("b", "a", 10, 30)],
        {"root": 100},
    ),
    "a cycle through the request": (
        [("root", "b", 0, 100), ("a", "root", 10, 60), ("b", "a", 20, 50)],
        {"root": 50, "a": 20, "b": 30},
    ),
    "a span that is its own parent": ([("root", "root", 0, 100)], {"root": 100}),
    "calls that take no time": (
        [ROOT, ("a", "root", 50, 50), ("b", "root", 60, 80)],
        {"root": 80, "b": 20},
    ),
    "a request that ends before it begins": ([("root", None, 100, 50), ("a", "root", 60, 80)], {"root": 0}),
    "many in a row": (
        [ROOT, *((f"a{i}", "root", i, i + 1) for i in range(10, 60))],
        {"root": 50, **{f"a{i}": 1 for i in range(10, 60)}},
    ),
}


@pytest.mark.parametrize("case", WORKED_OUT)
def test_a_path_is_the_one_worked_out_by_hand(case):
    rows, expected = WORKED_OUT[case]
    assert path(spans_of(*rows)) == expected


def test_a_request_within_another_one_has_its_own_path():
    spans = spans_of(ROOT, ("a", "root", 10, 90), ("b", "a", 20, 120))
    assert path(spans, "a") == {"a": 10, "b": 70}


def test_traces_do_not_know_each_others_spans():
    spans = pl.concat([spans_of(ROOT), spans_of(("other", "root", 10, 50), trace="u")])
    assert path(spans) == {"root": 100}


def test_self_time_is_what_no_child_covers():
    spans = spans_of(
        ROOT, ("a", "root", 10, 40), ("b", "root", 30, 50), ("c", "root", 32, 38), ("d", "root", 80, 200), ("e", "a", -5, 20)
    )
    assert self_times(Tree.of(spans)).tolist() == [100 - 40 - 20, 20, 20, 6, 120, 25]


def test_no_spans_have_no_times():
    assert self_times(Tree.of(spans_of())).tolist() == []
    assert critical_paths(Tree.of(spans_of()), np.zeros(0, np.int64)).span.tolist() == []


def generated(random, traces):
    """Traces with calls at once, asynchronous ones and clocks that differ; the operation tells little of the place."""
    rows = []
    for trace in range(traces):
        spans = [("root", None, 0, random.randint(50, 1000))]
        for number in range(random.randint(0, 12)):
            name, _, start, end = random.choice(spans)
            begin = random.randint(start - 10, max(start, end))
            spans.append((f"{random.choice('abc')}{number}", name, begin, begin + random.randint(0, 200)))
        rows.append(spans_of(*spans, trace=f"t{trace}"))
    return pl.concat(rows)


def walked(spans, name, low, high):
    """Time by operation, walked span by span: the plain form of what `critical_paths` does at once."""
    found: dict[str, int] = {}
    children = [
        (min(row["start_ns"] + row["duration_ns"], high), max(row["start_ns"], low), row["span_id"])
        for row in spans
        if row["parent_span_id"] == name
    ]
    cursor, own = high, high - low
    for end, start, child in sorted(children, key=lambda one: (-one[0], one[1])):
        if start < end <= cursor:
            own -= end - start
            cursor = start
            for key, value in walked(spans, child, start, end).items():
                found[key] = found.get(key, 0) + value
    found[name] = own
    return found


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_generated_path_is_that_of_a_plain_walk(random):
    spans = generated(random, 1)
    expected = walked(spans.rows(named=True), "root", 0, spans["duration_ns"][0])
    assert path(spans) == expected


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_parts_add_up_to_the_change_of_the_mean(random):
    sides = [generated(random, random.randint(1, 6)) for _ in range(2)]
    found = decomposed(*(steps_of(spans, spans["span_id"] == "root") for spans in sides))
    before, after = (spans.filter(pl.col("span_id") == "root")["duration_ns"].mean() for spans in sides)
    assert (found.before_ns, found.after_ns) == pytest.approx((before, after))
    assert abs(found.parts["change_ns"].sum() - (after - before)) < 1
    assert abs((found.parts["slower_ns"] + found.parts["calls_ns"]).sum() - (after - before)) < 1


def test_a_slower_query_is_told_from_more_queries():
    before = spans_of(("root", None, 0, 100), ("query1", "root", 10, 20), ("render", "root", 30, 50))
    queries = [(f"query{i}", "root", 10 + 20 * i, 30 + 20 * i) for i in range(3)]
    after = spans_of(("root", None, 0, 140), *queries, ("render", "root", 80, 90))
    found = decomposed(*(steps_of(spans, spans["span_id"] == "root") for spans in (before, after)))
    parts = {row["operation"]: row for row in found.parts.rows(named=True)}
    # 1 query of 10 -> 3 of 20: 2 * 10 slower, 15 * 2 more of them
    assert (parts["query"]["change_ns"], parts["query"]["slower_ns"], parts["query"]["calls_ns"]) == (50, 20, 30)
    assert (parts["render"]["change_ns"], parts["render"]["calls_ns"]) == (-10, 0)
    assert (parts["root"]["change_ns"], found.after_ns - found.before_ns) == (0, 40)
    assert found.parts["operation"].to_list() == ["query", "render", "root"]


def test_a_part_that_is_new_has_changed_its_calls():
    before = spans_of(("root", None, 0, 100))
    after = spans_of(("root", None, 0, 130), ("audit", "root", 10, 40))
    found = decomposed(*(steps_of(spans, spans["span_id"] == "root") for spans in (before, after)))
    assert found.parts.row(0, named=True) | {"own_before_ns": None, "own_after_ns": None} == {
        "service_name": "shop", "operation": "audit", "change_ns": 30, "slower_ns": 0, "calls_ns": 30,
        "calls_before": 0, "calls_after": 1, "own_before_ns": None, "own_after_ns": None,
    }  # fmt: skip
