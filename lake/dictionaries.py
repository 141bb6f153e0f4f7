"""Dictionaries: columns of words that many rows share, as each word once and a number per row.

Takes   Arrow columns.
Gives   the same values as `pa.DictionaryArray`. To put numbers in order, to compare and to write them costs a fraction of
        what texts cost, so compaction does this once for all that is made of the same rows.
Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .wire.arrays import numbers

_FEW_RUNS = 4
"""Rows in a run, on average, from which on it is cheaper to look at runs than at rows."""

_SAMPLE = 1000
"""Rows that show whether a column has runs at all."""


def with_dictionaries(rows: pa.Table, names: Collection[str]) -> pa.Table:
    """The same rows with dictionaries for the texts among some columns, but for columns that are empty."""
    fields, columns = list(rows.schema), list(rows.columns)
    for place, (field, column) in enumerate(zip(fields, columns, strict=True)):
        if field.name in names and pa.types.is_string(field.type) and column.null_count < len(column):
            columns[place] = encoded(column)
            fields[place] = field.with_type(columns[place].type)
    return pa.table(columns, schema=pa.schema(fields))


def without_dictionaries(rows: pa.Table) -> pa.Table:
    """The same rows with plain columns."""
    plain = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in rows.schema]
    return rows.cast(pa.schema(plain))


def encoded(column: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """A column as a dictionary and an index for each row, null where the value is."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(whole.type):
        return whole
    if not pa.types.is_string(whole.type):  # what is compared as fast as it is hashed
        return whole.dictionary_encode()
    if len(whole) < _SAMPLE or not _are_few(_run_starts(whole[:_SAMPLE]), _SAMPLE):
        return whole.dictionary_encode()
    starts = _run_starts(whole)
    if not _are_few(starts, len(whole)):
        return whole.dictionary_encode()
    runs = whole.take(numbers(starts)).dictionary_encode()
    indices = np.repeat(indices_of(runs, null=-1), np.diff(starts, append=len(whole)))
    null = indices < 0
    return pa.DictionaryArray.from_arrays(numbers(indices, null if null.any() else None), runs.dictionary)


def indices_of(column: pa.DictionaryArray, *, null: int) -> npt.NDArray[np.int32]:
    """The index of each row, `null` where there is none."""
    indices = column.indices
    found: npt.NDArray[np.int32] = (
        pc.fill_null(indices, pa.scalar(null, indices.type)) if indices.null_count else indices
    ).to_numpy()
    return found


def _are_few(run_starts: npt.NDArray[np.int64], row_count: int) -> bool:
    return len(run_starts) * _FEW_RUNS <= row_count


def _run_starts(column: pa.StringArray) -> npt.NDArray[np.int64]:
    """Where a row differs from the one before: all spans of a resource lie next to each other. A null differs from all."""
    changes = pc.not_equal(column[1:], column[:-1])
    changes = pc.fill_null(changes, True) if changes.null_count else changes
    return np.append(0, np.flatnonzero(changes.to_numpy(zero_copy_only=False)) + 1)[: len(column)]
