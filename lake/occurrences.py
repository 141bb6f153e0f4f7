"""Occurrences: reported errors and exception events as what they stand for, each once.

Takes   rows of the tables `errors` and `exceptions`.
Gives   the rows that the view `errors` of `lake.queries` has for them: the same ones, in the same columns.
Refuses nothing.

The view is for SQL of any kind and takes DuckDB 60 ms to plan, however few the rows are; what the API shows again and
again is made here. `tests/lake/test_errors_query.py` holds the two to the same cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .wire.arrays import booleans

Integers = npt.NDArray[np.int64]

PAIR_WITHIN_US = 5_000_000
"""A report and an event of the same error are not further apart."""

KEY_COLUMNS = ("id", "timestamp", "exception_class", "message", "request_id", "trace_id", "ingested_at")
"""Columns that decide what is the same occurrence."""

_FROM_EVENT = ("trace_id", "span_id", "service_name", "environment", "git_sha", "version")
"""What a report takes from its event where it does not say so itself."""


def occurrences(reported: pa.Table, raised: pa.Table) -> pa.Table:
    """Every occurrence once.

    Args:
        reported: rows of `errors`, at least `KEY_COLUMNS`.
        raised: rows of `exceptions`, with the same columns and perhaps `span_start_time`.

    Returns:
        The columns of `reported`, and `source`: `reported` or `span`.
    """
    reported, raised = _reports_once(reported), _events_once(raised)
    by_report = np.full(reported.num_rows, -1, dtype=np.int64)
    """The event of each report, -1 where it has none."""
    if reported.num_rows and raised.num_rows:
        for key in ("trace_id", "request_id"):
            _pair(reported, raised, key, by_report)
    free = np.ones(raised.num_rows, dtype=np.bool_)
    free[by_report[by_report >= 0]] = False
    alone = raised.filter(booleans(free)).select(reported.column_names)
    filled = _filled(reported, raised, pa.array(by_report, mask=by_report < 0))
    return pa.concat_tables([_from(filled, "reported"), _from(alone, "span")])


def _reports_once(rows: pa.Table) -> pa.Table:
    """Reports of the same id are one, and so are those of the same request, time and message: the one that came first."""
    by_id = _first_of_each(
        rows, ("id",), [("ingested_at", "ascending"), ("timestamp", "ascending"), ("message", "ascending")]
    )
    named = by_id.column("request_id").is_valid()
    same = ("request_id", "timestamp", "message")
    first = _first_of_each(by_id.filter(named), same, [("ingested_at", "ascending"), ("id", "ascending")])
    return pa.concat_tables([by_id.filter(pc.invert(named)), first])


def _events_once(rows: pa.Table) -> pa.Table:
    """Each event as its span came last."""
    order = [("ingested_at", "descending"), ("timestamp", "descending"), ("exception_class", "ascending")]
    return _first_of_each(rows, ("id",), [*order, ("message", "ascending")])


def _first_of_each(rows: pa.Table, same: Sequence[str], order: Sequence[tuple[str, str]]) -> pa.Table:
    """Of the rows that are equal in some columns, which have no nulls, the first in an order."""
    codes = rows.column(same[0]).combine_chunks().dictionary_encode().indices.to_numpy()
    repeated = (np.bincount(codes) > 1)[codes] if len(codes) else np.zeros(0, dtype=np.bool_)
    if not repeated.any():  # as good as always, and to sort texts is dear
        return rows
    some = rows.filter(booleans(repeated))
    keys = [*((name, "ascending") for name in same), *order]
    indices = pc.sort_indices(some.select([name for name, _ in keys]), sort_keys=keys)
    is_repeat = np.ones(some.num_rows - 1, dtype=np.bool_)
    for name in same:
        column = some.column(name).combine_chunks().take(indices)
        is_repeat &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    first = some.take(indices.filter(booleans(np.append(True, ~is_repeat))))
    return pa.concat_tables([rows.filter(booleans(~repeated)), first])


def _pair(reported: pa.Table, raised: pa.Table, key: str, by_report: Integers) -> None:
    """Give free reports a free event of the same class, message and key, near in time; one each, as many as there can be.

    The earliest report and the earliest event are a pair if they lie close enough, else the earlier one has none: no other
    way makes more pairs. Each step depends on the one before, so this is a walk, row by row; but only over errors that a
    report and an event agree in.
    """
    has_event = np.zeros(raised.num_rows, dtype=np.bool_)
    has_event[by_report[by_report >= 0]] = True
    left, right = _free(reported, key, by_report >= 0), _free(raised, key, has_event)
    left = _shared(reported, left, raised, right, key)
    right = _shared(raised, right, reported, left, key)
    groups = _groups(reported, left, raised, right, key)
    left_places, left_keys = _walked(reported, left, groups[: len(left)], groups[len(left) :])
    right_places, right_keys = _walked(raised, right, groups[len(left) :], groups[: len(left)])
    i = j = 0
    while i < len(left_keys) and j < len(right_keys):
        gap_us = right_keys[j] - left_keys[i]
        if gap_us > PAIR_WITHIN_US:
            i += 1
        elif gap_us < -PAIR_WITHIN_US:
            j += 1
        else:
            by_report[left_places[i]] = right_places[j]
            i, j = i + 1, j + 1


def _free(rows: pa.Table, key: str, taken: npt.NDArray[np.bool_]) -> Integers:
    """Places of the rows that have a key and no partner."""
    return np.flatnonzero(~taken & rows.column(key).is_valid().to_numpy())


def _shared(rows: pa.Table, places: Integers, others: pa.Table, others_places: Integers, key: str) -> Integers:
    """Those of some places whose key stands at one of the others' places too."""
    keys, known = (
        side.column(key).combine_chunks().take(pa.array(at)) for side, at in ((rows, places), (others, others_places))
    )
    found: Integers = places[pc.is_in(keys, value_set=known).to_numpy(zero_copy_only=False)]
    return found


def _groups(reported: pa.Table, left: Integers, raised: pa.Table, right: Integers, key: str) -> Integers:
    """A number for each row of `left`, then of `right`: equal where class, message and key are."""
    number = np.zeros(len(left) + len(right), dtype=np.int64)
    for name in ("exception_class", "message", key):
        parts = [
            side.column(name).combine_chunks().take(pa.array(places)) for side, places in ((reported, left), (raised, right))
        ]
        codes = pa.concat_arrays(parts).dictionary_encode().indices.to_numpy()
        # numbers are made small again at once, or the product of three would not fit
        number = np.unique(number * (len(codes) + 1) + codes, return_inverse=True)[1].astype(np.int64)
    return number


_APART = 2**65
"""Further than any two times in microseconds, so that groups do not come near each other."""


def _walked(rows: pa.Table, places: Integers, groups: Integers, other: Integers) -> tuple[list[int], list[int]]:
    """The places of rows whose group the other side has as well, by group, time and id; and group and time as one number."""
    both = np.isin(groups, other)
    places, groups = places[both], groups[both]
    at_us = rows.column("timestamp").cast(pa.int64()).to_numpy()[places]
    ids = rows.column("id").combine_chunks().take(pa.array(places))
    order = pc.sort_indices(
        pa.table({"group": groups, "at_us": at_us, "id": ids}),
        sort_keys=[(name, "ascending") for name in ("group", "at_us", "id")],
    ).to_numpy()
    keys = [group * _APART + at for group, at in zip(groups[order].tolist(), at_us[order].tolist(), strict=True)]
    return places[order].tolist(), keys


def _filled(reported: pa.Table, raised: pa.Table, event: pa.Array) -> pa.Table:
    """Reports with what only their event says."""
    columns: dict[str, Any] = {name: reported.column(name) for name in reported.column_names}
    for name in _FROM_EVENT:
        if name in columns:
            columns[name] = pc.coalesce(columns[name], raised.column(name).combine_chunks().take(event))
    return pa.table(columns, schema=reported.schema)


def _from(rows: pa.Table, source: str) -> pa.Table:
    return rows.append_column("source", pa.repeat(pa.scalar(source), rows.num_rows))
