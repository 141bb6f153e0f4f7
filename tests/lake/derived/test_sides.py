"""Sides are told apart by their keys, also where ids are counted and not drawn."""

from __future__ import annotations

import numpy as np

from lake.derived import Spans
from lake.derived.sides import Sides, sides_of
from tests.lake.derived.call_graphs import spans_table
from tests.lake.rows import span, trace_id


def test_ids_that_follow_each_other_have_keys_of_their_own():
    rows = [span(trace, kind="server", span_id=f"{number:016x}") for trace in range(60) for number in range(60)]
    callees = sides_of(Spans(spans_table(rows)))[2]
    assert len(np.unique(callees.span_key)) == 3600
    assert len(np.unique(callees.trace_key)) == 60


def test_the_key_of_a_parent_is_that_of_the_span_it_names():
    rows = [
        span(trace, kind=kind, span_id=f"{number:016x}", parent_span_id=parent)
        for trace in (1, 2)
        for kind, number, parent in (("client", 7, None), ("server", 8, f"{7:016x}"), ("server", 9, None))
    ]
    callers, _, callees = sides_of(Spans(spans_table(rows)))
    assert callees.parent_key[callees.has_parent].tolist() == callers.span_key.tolist()
    assert callees.has_parent.tolist() == [True, False, True, False]


def test_a_key_is_the_same_in_whatever_piece_of_a_table_its_span_lies():
    table = spans_table(span(trace_id(n), kind="client", span_id=f"{n:016x}") for n in range(40))
    keys = sides_of(Spans(table))[0].span_key
    assert sides_of(Spans(table.slice(13, 20)))[0].span_key.tolist() == keys[13:33].tolist()


def test_sides_come_back_from_their_rows():
    rows = [
        span(kind=kind, messaging_system=system, server_address="here", status=status, parent_span_id="f" * 16)
        for kind, system, status in (("producer", "kafka", "error"), ("client", None, "unset"), ("client", None, "error"))
    ]
    callers, _, _ = sides_of(Spans(spans_table(rows)))
    back = Sides.of_rows(callers.rows("caller"))
    assert back.rows("caller").equals(callers.rows("caller"))
    assert back.is_producer.tolist() == [True, False, False]
    assert back.knows("target").tolist() == [True, True, True]
