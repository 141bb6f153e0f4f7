"""Rows are in one group if they are equal in every column, and in no other case."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.derived import grouping
from lake.derived.grouping import groups

TEXTS = st.sampled_from(["", "a", "b", None])
NUMBERS = st.sampled_from([0, 1, -1, 2**62, -(2**63), 2**63 - 1, None])
ROWS = st.lists(st.tuples(TEXTS, NUMBERS, st.booleans(), st.integers(0, 5)), max_size=40)


def columns_of(rows):
    texts, ints, flags, codes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return (
        pa.chunked_array([pa.array(texts[:3], pa.string()), pa.array(texts[3:], pa.string())]),
        pa.array(ints, pa.int64()),
        pa.array(flags, pa.bool_()),
        np.array(codes, np.int64),
    )


@settings(max_examples=100, deadline=None)
@given(rows=ROWS)
def test_groups_are_what_a_dictionary_makes_of_the_rows(rows):
    first: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(rows):
        first.setdefault(row, number)
    found = groups(*columns_of(rows))
    assert found.example.tolist() == list(first.values())
    assert found.of_row.tolist() == [list(first).index(row) for row in rows]
    assert len(found) == len(first)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, largest=st.integers(1, 60))
def test_more_combinations_than_a_number_holds_make_the_same_groups(rows, largest):
    whole = groups(*columns_of(rows))
    with_few_numbers = grouping._LARGEST
    grouping._LARGEST = largest
    try:
        found = groups(*columns_of(rows))
    finally:
        grouping._LARGEST = with_few_numbers
    assert found.of_row.tolist() == whole.of_row.tolist()


def test_sums_and_bounds_are_exact_for_the_largest_numbers():
    found = groups(np.array([0, 1, 0]))
    largest = np.array([2**62 + 1, -(2**63), 2**61 + 1])
    assert found.sums(largest).tolist() == [2**62 + 2**61 + 2, -(2**63)]
    assert found.highest(largest).tolist() == [2**62 + 1, -(2**63)]
    assert found.lowest(largest).tolist() == [2**61 + 1, -(2**63)]


def test_flags_are_counted_as_numbers():
    assert groups(np.array([0, 0, 1])).sums(np.array([True, True, False])).tolist() == [2, 0]
