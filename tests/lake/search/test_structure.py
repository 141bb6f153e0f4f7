"""Relations of spans, worked out by hand, in traces that are whole and in broken ones."""

from __future__ import annotations

import datetime as dt

import pytest

import lake
from tests.lake.rows import span
from tests.lake.spans import START

PARENTS = {"a": None, "b": "a", "c": "b", "d": "b", "e": "?", "f": "g", "g": "f", "h": "h", "i": "e"}
"""A tree a > b > (c, d); e, whose parent never came, with its child i; f and g in a circle; h, its own parent."""


@pytest.fixture
def opened(lake_folder, landing):
    def id_of(name):
        return f"{ord(name):016x}"

    landing.put(
        "spans",
        *(
            span(1, name=name, span_id=id_of(name), parent_span_id=None if parent is None else id_of(parent), start_ns=place)
            for place, (name, parent) in enumerate(PARENTS.items())
        ),
    )
    landing.put("spans", span(2, name="b", span_id=id_of("b"), parent_span_id=id_of("a")), span(2, name="z"))
    with lake.open(lake_folder.path) as opened:
        yield opened


def matched(opened, query):
    """Names of the spans of the first trace that a query means."""
    names = {f"{ord(name):016x}": name for name in PARENTS}
    found = ""
    for name in PARENTS:  # one at a time: an answer names only three
        rows = opened.search(f"{query} | {{ name = '{name}' }}", since=START, until=START + dt.timedelta(hours=1)).rows()
        for row in rows:
            if row["trace_id"].endswith("1"):
                found += "".join(names[known] for known in row["matched_span_ids"])
    return found


def n(*names):
    return "{ " + " || ".join(f"name = '{name}'" for name in names) + " }"


CASES = [
    (f"{n('a')} > {{ }}", "b"),
    (f"{n('b')} > {{ }}", "cd"),
    (f"{n('a')} > {n('c')}", ""),
    (f"{n('c')} < {{ }}", "b"),
    ("{ } > { }", "bcdfghi"),
    (f"{n('a')} >> {{ }}", "bcd"),
    (f"{n('d')} << {{ }}", "ab"),
    (f"{n('e')} >> {{ }}", "i"),
    (f"{n('i')} << {{ }}", "e"),
    (f"{n('f')} >> {{ }}", "fg"),
    (f"{n('f')} << {{ }}", "fg"),
    (f"{n('f')} > {{ }}", "g"),
    (f"{n('h')} > {{ }}", "h"),
    (f"{n('h')} >> {{ }}", "h"),
    (f"{n('c')} ~ {{ }}", "d"),
    (f"{n('c', 'd')} ~ {{ }}", "cd"),
    (f"{n('a')} ~ {{ }}", ""),
    (f"{n('a')} !> {n('b', 'c', 'e')}", "ce"),
    (f"{n('a')} !>> {{ }}", "aefghi"),
    (f"{n('d')} !<< {n('a', 'b', 'c')}", "c"),
    (f"{n('c')} !< {n('a', 'b')}", "a"),
    (f"{n('c')} !~ {n('c', 'd')}", "c"),
    (f"{n('nobody')} !> {n('a')}", "a"),
    (f"{n('nobody')} > {n('a')}", ""),
    (f"{n('a', 'b')} &> {n('c')}", "bc"),
    (f"{n('a', 'e')} &>> {n('c', 'd')}", "acd"),
    (f"{n('d', 'c')} &< {n('b', 'a')}", "bcd"),
    (f"{n('d')} &<< {n('a', 'e')}", "ad"),
    (f"{n('c')} &~ {n('d', 'a')}", "cd"),
    (f"{n('a')} > {n('b')} > {n('c')}", "c"),
    (f"{n('a')} > ({n('b')} > {n('c')})", ""),
    (f"{n('a')} >> {n('c')} && {n('e')}", "ce"),
    (f"{n('a')} && {n('nobody')}", ""),
    (f"{n('a')} || {n('nobody')}", "a"),
    ("{ parent.name = nil && childCount = 2 }", "b"),
    ("{ childCount = 1 }", "aefgh"),
    ("{ parent = nil }", "a"),
]


@pytest.mark.parametrize(("query", "names"), CASES)
def test_a_relation_means_the_spans_worked_out_by_hand(opened, query, names):
    assert "".join(sorted(matched(opened, query))) == names


def test_spans_of_other_traces_are_no_relatives(opened):
    rows = opened.search(f"{n('a')} > {n('b')}", since=START, until=START + dt.timedelta(hours=1)).rows()
    assert [row["trace_id"] for row in rows] == [f"{1:032x}"]


def test_a_long_chain_is_walked_to_its_end(lake_folder, landing):
    chain = [
        span(1, name=f"{i}", span_id=f"{i:016x}", parent_span_id=f"{i - 1:016x}" if i > 1 else None, start_ns=i)
        for i in range(1, 400)
    ]
    landing.put("spans", *chain)
    with lake.open(lake_folder.path) as opened:
        rows = opened.search("{ name = '1' } >> { name = '399' }", since=START, until=START + dt.timedelta(hours=1)).rows()
    assert [row["matched_span_ids"] for row in rows] == [[f"{399:016x}"]]
