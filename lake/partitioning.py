"""Partitioning: which hour each row belongs to, and rows put in order for the files of each hour.

Takes   rows of a table, and the request of each where requests matter.
Gives   sorted parts, one per partition, cut into what makes a file.
Refuses nothing: any time has its hour, and a request that is spread over too many hours goes to one partition.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .exceptions import exceptions_of
from .schema import EXCEPTIONS, OVERFLOW_HOUR, Table
from .tables import FILE_MAX_ROWS, Partition

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


def exceptions_by_hour(spans: pa.Table, hours: npt.NDArray[np.int64]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The exceptions of some spans and their hours: each lies where its span lies, or a rewrite would not find it."""
    overflow = hours == OVERFLOW
    if not overflow.any():
        rows = exceptions_of(spans)
        return rows, hours_of(rows, EXCEPTIONS.time)
    usual, others = (exceptions_of(spans.filter(pa.array(mask))) for mask in (~overflow, overflow))
    other_hours = np.full(others.num_rows, OVERFLOW)
    return pa.concat_tables([usual, others]), np.append(hours_of(usual, EXCEPTIONS.time), other_hours)


def partitioned(rows: pa.Table, hours: npt.NDArray[np.int64], table: Table) -> list[tuple[Partition, pa.Table]]:
    """The rows of each partition, sorted as the table wants them."""
    if not rows.num_rows:
        return []
    keys = pa.table({"hours": hours, **{name: rows.column(name) for name in table.sort}})
    order = pc.sort_indices(keys, sort_keys=[("hours", "ascending"), *((name, "ascending") for name in table.sort)])
    ordered = rows.take(order)
    hours = np.sort(hours)
    starts = np.flatnonzero(np.concatenate(([True], hours[1:] != hours[:-1])))
    ends = np.append(starts[1:], len(hours))
    return [(_partition(int(hours[a])), ordered.slice(a, b - a)) for a, b in zip(starts, ends, strict=True)]


def _partition(hours: int) -> Partition:
    if hours == OVERFLOW:
        return Partition(Partition.of_hour_number(0).day, OVERFLOW_HOUR)
    return Partition.of_hour_number(hours)


def chunks(rows: pa.Table, table: Table) -> list[pa.Table]:
    """Rows of one partition cut into files.

    Rows sorted by trace id are cut between traces, so that the files' ranges are disjoint; a trace too long for one file
    gets one of its own.
    """
    if rows.num_rows <= FILE_MAX_ROWS:
        return [rows]
    if table.sort[0] == "trace_id":
        ids = rows.column("trace_id").combine_chunks()
        starts = np.append(0, np.flatnonzero(pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)) + 1)
    else:
        starts = np.arange(rows.num_rows)
    starts = np.append(starts, rows.num_rows)
    bounds = [0]
    while bounds[-1] < rows.num_rows:
        fitting = np.searchsorted(starts, bounds[-1] + FILE_MAX_ROWS, side="right") - 1
        longer = np.searchsorted(starts, bounds[-1], side="right")
        bounds.append(int(starts[max(fitting, longer)]))
    return [rows.slice(a, b - a) for a, b in pairwise(bounds)]
