"""Attributes become a map, type characters and promoted columns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.schema import PROMOTED, Promoted
from lake.wire.attributes import AttributeColumns, KeyValues, split

Entry = tuple[str, str, str | None]
"""Key, type character, text."""

OF_SPANS = tuple(p for p in PROMOTED if p.where == "span")
OF_RESOURCES = tuple(p for p in PROMOTED if p.where == "resource")


def key_values(rows: list[list[Entry]]) -> KeyValues:
    entries = [entry for row in rows for entry in row]
    return KeyValues(
        offsets=np.cumsum([0, *map(len, rows)], dtype=np.int32),
        keys=pa.array([key for key, _, _ in entries], pa.string()),
        text=pa.array([text for _, _, text in entries], pa.string()),
        types=np.array([ord(character) for _, character, _ in entries], dtype=np.uint8),
    )


def as_rows(columns: AttributeColumns) -> list[tuple[Any, ...]]:
    """Map, types and filled promoted columns of each row."""
    promoted = [(name, column.to_pylist()) for name, column in columns.promoted.items()]
    return [
        (map_ or [], types or "", {name: values[row] for name, values in promoted if values[row] is not None})
        for row, (map_, types) in enumerate(zip(columns.map.to_pylist(), columns.types.to_pylist(), strict=True))
    ]


def expected(row: list[Entry], promoted: tuple[Promoted, ...]) -> tuple[Any, ...]:
    """The same for one row, entry by entry."""
    last = {key: place for place, (key, _, _) in enumerate(row)}
    entries = {row[place][0]: row[place][1:] for place in sorted(last.values())}
    canonical = {p.key: p for p in promoted if p.key in entries and entries[p.key][0] == p.type}
    return (
        [(key, text) for key, (_, text) in entries.items() if key not in canonical],
        "".join(canonical[key].code if key in canonical else character for key, (character, _) in entries.items()),
        {p.column: value for p in promoted if (value := column_value(p, entries)) is not None},
    )


def column_value(promoted: Promoted, entries: dict[str, tuple[str, str | None]]) -> str | int | None:
    for key in (promoted.key, *promoted.aliases):
        character, text = entries.get(key, ("n", None))
        if text is None:
            continue
        if promoted.type == "s":
            return text
        if character == "i" or re.fullmatch("-?[0-9]{1,18}", text):
            return int(text)
    return None


KEYS = [key for p in PROMOTED for key in (p.key, *p.aliases)]
entries = st.one_of(
    st.tuples(st.sampled_from([*KEYS, "a", "b", ""]), st.just("s"), st.text(max_size=5)),
    st.tuples(
        st.sampled_from(["http.response.status_code", "http.status_code", "http.route", "a"]),
        st.sampled_from("sdbyakAK"),
        st.sampled_from(["200", "-1", "007", "x", "", "1.5", "9" * 18, "9" * 19, "٣", " 1", "true"]),
    ),
    st.tuples(st.sampled_from([*KEYS, "a"]), st.just("i"), st.integers(-(2**63), 2**63 - 1).map(str)),
    st.tuples(st.sampled_from([*KEYS, "a"]), st.just("n"), st.none()),
)


@settings(max_examples=200)
@given(st.lists(st.lists(entries, max_size=6), max_size=5), st.sampled_from([OF_SPANS, OF_RESOURCES, (), PROMOTED[8:12]]))
def test_any_attributes_become_what_they_do_one_by_one(rows: list[list[Entry]], promoted: tuple[Promoted, ...]) -> None:
    columns = split(key_values(rows), promoted)
    columns.map.validate(full=True)
    assert set(columns.promoted) == {p.column for p in promoted}
    assert as_rows(columns) == [expected(row, promoted) for row in rows]


def test_a_promoted_attribute_leaves_the_map_and_keeps_its_place() -> None:
    row: list[Entry] = [
        ("a", "s", "1"),
        ("http.route", "s", "/cart"),
        ("b", "i", "2"),
        ("http.response.status_code", "i", "200"),
    ]
    assert as_rows(split(key_values([row]), OF_SPANS)) == [
        ([("a", "1"), ("b", "2")], "s1i2", {"http_route": "/cart", "http_status_code": 200})
    ]


@pytest.mark.parametrize(
    ("entry", "column"),
    [
        (("http.response.status_code", "s", "404"), {"http_status_code": 404}),
        (("http.response.status_code", "s", "not found"), {}),
        (("http.response.status_code", "d", "404.5"), {}),
        (("http.status_code", "i", "404"), {"http_status_code": 404}),
        (("http.route", "i", "5"), {"http_route": "5"}),
        (("http.route", "a", '["/a"]'), {"http_route": '["/a"]'}),
        (("http.route", "n", None), {}),
        (("http.method", "s", "GET"), {"http_method": "GET"}),
        (("db.statement", "s", "SELECT 1"), {"db_statement": "SELECT 1"}),
    ],
)
def test_another_type_or_an_older_name_fills_the_column_and_stays_in_the_map(entry: Entry, column: dict[str, Any]) -> None:
    key, character, text = entry
    assert as_rows(split(key_values([[entry]]), OF_SPANS)) == [([(key, text)], character, column)]


@pytest.mark.parametrize("backwards", [False, True])
def test_the_current_name_beats_older_ones_and_the_better_older_one_the_worse(backwards: bool) -> None:
    rows: list[list[Entry]] = [
        [("http.method", "s", "old"), ("http.request.method", "s", "new")],
        [("http.request.method", "n", None), ("http.method", "s", "old")],
        [("http.host", "s", "worse"), ("net.peer.name", "s", "better")],
    ]
    columns = split(key_values([row[::-1] if backwards else row for row in rows]), OF_SPANS).promoted
    assert columns["http_method"].to_pylist() == ["new", "old", None]
    assert columns["server_address"].to_pylist() == [None, None, "better"]


def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    row: list[Entry] = [("k", "i", "1"), ("http.route", "s", "/a"), ("k", "s", "x"), ("http.route", "i", "5")]
    again: list[Entry] = [("k", "s", "y")]
    assert as_rows(split(key_values([row, again]), OF_SPANS)) == [
        ([("k", "x"), ("http.route", "5")], "si", {"http_route": "5"}),
        ([("k", "y")], "s", {}),
    ]


def test_rows_without_attributes_are_null() -> None:
    columns = split(key_values([[], [("a", "s", "1")], []]), OF_SPANS)
    assert columns.map.to_pylist() == [None, [("a", "1")], None]
    assert columns.types.to_pylist() == [None, "s", None]
    nothing = split(key_values([[], []]), OF_SPANS)
    assert (nothing.map.null_count, nothing.types.null_count) == (2, 2)
    assert all(column.null_count == 2 for column in nothing.promoted.values())


def test_more_keys_than_16_bits_can_number_are_told_apart() -> None:
    rows: list[list[Entry]] = [[(f"key {number}", "i", str(number)) for number in range(40_000)], [("key 39999", "s", "x")]]
    (first, types, _), last = as_rows(split(key_values(rows), OF_SPANS))
    assert first == [(f"key {number}", str(number)) for number in range(40_000)]
    assert types == "i" * 40_000
    assert last == ([("key 39999", "x")], "s", {})
