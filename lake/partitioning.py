"""Partitioning: which hour each row belongs to, and rows put in order for the files of each hour.

Takes   rows of a table, and the request of each where requests matter.
Gives   sorted parts, one per partition, cut into what makes a file.
Refuses nothing: any time has its hour, and a request that is spread over too many hours goes to one partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .derived import Spans
from .dictionaries import encoded, indices_of, without_dictionaries
from .schema import OVERFLOW_HOUR, Table
from .tables import FILE_MAX_ROWS, Partition
from .wire.arrays import numbers

OVERFLOW_HOURS = 1000
"""A request whose rows lie in more hours than this goes to the overflow partition, not to a file for each hour."""

OVERFLOW = np.int64(-(2**62))
"""Number that stands for the hour of the overflow partition."""

_HOUR_US = 3_600_000_000


def hours_of(rows: pa.Table, time_column: str, request_of_row: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Hours since the Unix epoch of each row, `OVERFLOW` for the rows of a request that spans too many."""
    hours: npt.NDArray[np.int64] = pc.cast(rows.column(time_column), pa.int64()).to_numpy() // _HOUR_US
    if request_of_row is None or len(np.unique(hours)) <= OVERFLOW_HOURS:
        return hours
    pairs = np.unique(np.stack((request_of_row, hours)), axis=1)
    spanning = np.flatnonzero(np.bincount(pairs[0]) > OVERFLOW_HOURS)
    return np.where(np.isin(request_of_row, spanning), OVERFLOW, hours)


def derived_by_hour(
    derive: Callable[[Spans], pa.Table], spans: Spans, hours: npt.NDArray[np.int64], table: Table
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The rows that follow from spans, and their hours: each lies where its span lies, or a rewrite would not find it."""
    overflow = hours == OVERFLOW
    if not overflow.any():
        rows = derive(spans)
        return rows, hours_of(rows, table.time)
    usual, others = (derive(Spans(spans.rows.filter(pa.array(mask)))) for mask in (~overflow, overflow))
    other_hours = np.full(others.num_rows, OVERFLOW)
    return pa.concat_tables([usual, others]), np.append(hours_of(usual, table.time), other_hours)


def partitioned(
    rows: pa.Table, hours: npt.NDArray[np.int64], table: Table, *, max_rows: int
) -> Iterator[tuple[Partition, pa.Table]]:
    """The rows of each file: of one partition, sorted as the table wants them, made when asked for.

    Args:
        max_rows: rows in one file. Where rows are sorted by trace id they are cut between traces, so that the files' ranges
            are disjoint; a trace too long for a file gets one of its own.
    """
    order = _order(rows, table.sort, hours)
    hours = np.sort(hours)
    starts = np.flatnonzero(np.append(len(hours) > 0, hours[1:] != hours[:-1]))
    for a, b in pairwise([*starts, len(hours)]):
        part = order.slice(a, b - a)
        small = len(part) <= max_rows
        for start, end in pairwise(
            [0, len(part)] if small else _cuts(rows.select(table.sort[:1]).take(part), table, max_rows)
        ):
            yield _partition(int(hours[a])), _taken(rows, part.slice(start, end - start))


def _order(rows: pa.Table, by: Sequence[str], hours: npt.NDArray[np.int64]) -> pa.Array:
    """The places of the rows in order of hours and of some columns."""
    several = len(hours) > 0 and hours.min() < hours.max()  # a key that is the same everywhere costs as much as any other
    if pa.types.is_string(rows.column(by[0]).type):
        ranks = [_ranks(rows.column(name)) for name in by]
        return numbers(np.lexsort([*reversed(ranks), *([hours] if several else [])]))
    keys = ({"hours": hours} if several else {}) | {name: rows.column(name) for name in by}
    return pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])


def _ranks(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Numbers in the order of the values, null behind all: a trace id is compared once for all its spans."""
    if not column.null_count and not pa.types.is_string(column.type):
        found: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
        return found
    words = encoded(column)
    ranks = np.full(len(words.dictionary) + 1, len(words.dictionary))
    ranks[pc.array_sort_indices(words.dictionary).to_numpy()] = np.arange(len(words.dictionary))
    return ranks[indices_of(words, null=len(words.dictionary))]


def _taken(rows: pa.Table, places: pa.Array) -> pa.Table:
    """The rows at some places. A dictionary stays one only where all rows are taken: a file would have it whole."""
    if len(places) < len(rows):
        rows = without_dictionaries(rows)
    filled = [name for name, column in zip(rows.column_names, rows.columns, strict=True) if column.null_count < len(rows)]
    taken = dict(zip(filled, rows.select(filled).take(places).columns, strict=True))
    columns = [taken[f.name] if f.name in taken else pa.nulls(len(places), f.type) for f in rows.schema]
    return pa.table(columns, schema=rows.schema)


def _partition(hours: int) -> Partition:
    if hours == OVERFLOW:
        return Partition(Partition.of_hour_number(0).day, OVERFLOW_HOUR)
    return Partition.of_hour_number(hours)


def chunks(rows: pa.Table, table: Table) -> list[pa.Table]:
    """Sorted rows of one partition cut into files of at most `FILE_MAX_ROWS`, as `partitioned` does."""
    return [rows.slice(start, end - start) for start, end in pairwise(_cuts(rows, table, FILE_MAX_ROWS))]


def _cuts(rows: pa.Table, table: Table, max_rows: int) -> list[int]:
    """Where sorted rows are cut into files, begin and end included."""
    count = rows.num_rows
    if count <= max_rows:
        return [0, count]
    if table.sort[0] != "trace_id":
        return [*range(0, count, max_rows), count]
    ids = rows.column("trace_id").combine_chunks()
    changes = np.flatnonzero(pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)) + 1
    allowed = np.concatenate(([0], changes, [count]))
    cuts = [0]
    while cuts[-1] < count:
        fitting = np.searchsorted(allowed, cuts[-1] + max_rows, side="right") - 1
        next_one = np.searchsorted(allowed, cuts[-1], side="right")
        cuts.append(int(allowed[max(fitting, next_one)]))
    return cuts
