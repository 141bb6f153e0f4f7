"""Grouping: which rows are alike, as numbers that numpy can count with.

Takes   columns of some rows.
Gives   for each row the number of its group, and for each group one row that stands for it.
Refuses nothing; null is a value like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..dictionaries import encoded, indices_of
from ..wire.arrays import numbers

Integers = npt.NDArray[np.int64]

_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows put into groups."""

    of_row: Integers
    """Number of the group of each row, from 0 in the order in which the groups come."""
    example: Integers
    """The first row of each group."""

    def __len__(self) -> int:
        return len(self.example)

    def sums(self, values: npt.NDArray[np.int64 | np.int16 | np.bool_]) -> Integers:
        """The sum of a value over each group, exactly."""
        if values.dtype == np.bool_:
            return np.bincount(self.of_row[values], minlength=len(self))
        found = np.zeros(len(self), np.int64)
        np.add.at(found, self.of_row, values)
        return found

    def highest(self, values: Integers) -> Integers:
        """The highest value in each group."""
        found = np.full(len(self), np.iinfo(np.int64).min)
        np.maximum.at(found, self.of_row, values)
        return found

    def lowest(self, values: Integers) -> Integers:
        """The lowest value in each group."""
        found = np.full(len(self), np.iinfo(np.int64).max)
        np.minimum.at(found, self.of_row, values)
        return found


def groups(*columns: pa.ChunkedArray | Integers) -> Groups:
    """Put rows into groups that are equal in every column.

    Args:
        columns: at least one; Arrow columns, or numbers from 0 on.
    """
    combined, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        codes, count = (column, int(column.max(initial=0)) + 1) if isinstance(column, np.ndarray) else _codes(column)
        if count == 1:
            continue
        if size * count > _LARGEST:
            combined, size = _codes(numbers(combined))
        combined, size = combined * count + codes if size > 1 else codes, size * count
    return _numbered(combined, size)


def distinct(alike: Groups, column: pa.ChunkedArray) -> tuple[Integers, pa.ChunkedArray]:
    """The values of a column in each group, in order and without null, and where those of each group begin and end."""
    pairs = groups(alike.of_row, column)
    values = pa.table({"group": numbers(alike.of_row[pairs.example]), "value": column.take(pa.array(pairs.example))})
    values = values.filter(pc.is_valid(values.column("value"))).sort_by([("group", "ascending"), ("value", "ascending")])
    return np.searchsorted(values.column("group").to_numpy(), np.arange(len(alike) + 1)), values.column("value")


def examples_of(of_row: Integers, count: int) -> Integers:
    """The first row of each of `count` groups."""
    found = np.zeros(count, np.int64)
    found[of_row[::-1]] = np.arange(len(of_row) - 1, -1, -1)
    return found


def _numbered(codes: Integers, size: int) -> Groups:
    """
    Args:
        codes: from 0 up to `size`.
    """
    if size > len(codes):
        of_row, count = _codes(numbers(codes))  # hashing takes a fifth of the time that sorting does
        return Groups(of_row, examples_of(of_row, count))
    first = np.full(size, len(codes))  # and a table takes less still
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    example = np.sort(first[first < len(codes)])
    number = np.zeros(size, np.int64)
    number[codes[example]] = np.arange(len(example))
    return Groups(number[codes], example)


def _codes(column: pa.Array | pa.ChunkedArray) -> tuple[Integers, int]:
    """A number from 0 for each value of a column, and how many there may be."""
    if column.null_count == len(column):
        return np.zeros(len(column), np.int64), min(1, len(column))
    words = encoded(column)
    codes = indices_of(words, null=len(words.dictionary)).astype(np.int64)
    return codes, len(words.dictionary) + bool(words.null_count)
