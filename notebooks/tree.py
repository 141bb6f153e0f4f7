"""Tree: the spans of a trace in the order of their calls, cut to what can be drawn.

Takes   the rows of one trace, as `Lake.trace` gives them.
Gives   those rows from top to bottom, each below its caller and after what its caller did before.
Refuses nothing: missing parents, several roots and cycles all have a place.

A level of the tree is computed at once, never one span after the other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.compute as pc

from lake.render import depths

_Integers = npt.NDArray[np.int64]

_FAILED = 2**62
"""More than a quarter of any duration: what failed is kept before what took long."""


def in_order(spans: pl.DataFrame, max_rows: int) -> pl.DataFrame:
    """The spans from top to bottom, with two more columns: `depth`, and `caller`, the row of the caller or null.

    Args:
        max_rows: of a larger trace those are kept that failed or took longest, with all their callers.
    """
    if spans.is_empty():
        return spans.with_columns(depth=pl.lit(0, pl.Int64), caller=pl.lit(None, pl.Int64))
    parent, depth = _parents(spans)
    levels = _levels(start_ns(spans), parent, depth)
    kept = _kept(spans, parent, depth, levels, max_rows)
    rows = np.argsort(_places(parent, levels, kept))[np.count_nonzero(~kept) :]
    row_of_span = np.full(spans.height + 1, -1, dtype=np.int64)  # the last one is for the parent of a root
    row_of_span[rows] = np.arange(len(rows))
    callers = row_of_span[parent[rows]]
    return spans[rows].with_columns(depth=pl.Series(depth[rows]), caller=pl.Series(callers).replace(-1, None))


def start_ns(spans: pl.DataFrame) -> _Integers:
    """Start of each span in nanoseconds since the Unix epoch."""
    return (spans["start_time"].dt.epoch("us") * 1000 + spans["start_ns_remainder"]).to_numpy()


def _parents(spans: pl.DataFrame) -> tuple[_Integers, _Integers]:
    """Each span's parent, -1 for a root, and its depth."""
    ids = spans.select("span_id", "parent_span_id").to_arrow()
    depth = depths(ids)
    found = pc.index_in(ids.column("parent_span_id"), value_set=ids.column("span_id").combine_chunks())
    parent: _Integers = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return np.where(depth == 0, -1, parent), depth  # a cycle is cut where `depths` has cut it


def _levels(start: _Integers, parent: _Integers, depth: _Integers) -> list[_Integers]:
    """The spans of each depth, siblings next to each other by start."""
    order = np.lexsort((start, parent, depth))
    return np.split(order, np.flatnonzero(np.diff(depth[order])) + 1)


def _kept(
    spans: pl.DataFrame, parent: _Integers, depth: _Integers, levels: list[_Integers], max_rows: int
) -> npt.NDArray[np.bool_]:
    """Which spans are drawn. A span weighs no less than what it calls, so nothing is drawn without its callers."""
    weight = spans["duration_ns"].to_numpy() // 4 + np.where(spans["status"] == "error", _FAILED, 0)
    for level in reversed(levels[1:]):
        np.maximum.at(weight, parent[level], weight[level])
    kept = np.zeros(spans.height, dtype=np.bool_)
    kept[np.lexsort((depth, -weight))[:max_rows]] = True
    return kept


def _places(parent: _Integers, levels: list[_Integers], kept: npt.NDArray[np.bool_]) -> _Integers:
    """The row of each span when every span is followed by all that it called; -1 if it is not drawn."""
    size = kept.astype(np.int64)
    for level in reversed(levels[1:]):
        np.add.at(size, parent[level], size[level])
    place = np.zeros(len(parent) + 1, dtype=np.int64)
    place[-1] = -1  # above the roots
    for level in levels:
        before = np.cumsum(size[level]) - size[level]
        first_sibling = np.searchsorted(parent[level], parent[level])
        place[level] = place[parent[level]] + 1 + before - before[first_sibling]
    return np.where(kept, place[:-1], -1)
