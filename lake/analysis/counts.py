"""Counts: the windows of one endpoint as arrays.

Takes   rows of `endpoint_minutes` of one endpoint.
Gives   requests by window, side, stratum and latency, and errors; the deploy itself in blocks of ten minutes too.
Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from .quantiles import Floats
from .windows import BLOCK_MIN, DAY_MIN, PLACEBO_DAYS, Integers, Windows


@dataclass(frozen=True, slots=True)
class Minutes:
    """Rows of one endpoint."""

    minute: Integers
    """Since the Unix epoch."""
    stratum: Integers
    strata: int
    requests: Floats
    errors: Floats
    row: Integers
    """The row of each entry of a histogram."""
    bin: Integers
    count: Floats

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Minutes:
        """Of rows with minute, stratum, span_count, error_count, latency_bins and latency_counts."""
        entries = rows.select(pl.int_range(pl.len()).alias("row"), pl.col("latency_bins", "latency_counts")).explode(
            "latency_bins", "latency_counts", empty_as_null=False
        )
        stratum = rows["stratum"].fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
        return cls(
            rows["minute"].dt.epoch("s").to_numpy() // 60,
            stratum,
            int(stratum.max(initial=0)) + 1,
            rows["span_count"].to_numpy().astype(np.float64),
            rows["error_count"].to_numpy().astype(np.float64),
            entries["row"].to_numpy(),
            entries["latency_bins"].to_numpy().astype(np.int64),
            entries["latency_counts"].to_numpy().astype(np.float64),
        )

    @property
    def first_bin(self) -> int:
        """Number of the first bin that has something in it."""
        return int(self.bin.min(initial=0 if not len(self.bin) else np.iinfo(np.int64).max))

    @property
    def bins(self) -> int:
        """How many bins from there to the last one."""
        return int(self.bin.max() - self.first_bin + 1) if len(self.bin) else 1


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted in some cells, e.g. windows x sides."""

    histograms: Floats
    """(..., stratum, bin)."""
    requests: Floats
    """(..., stratum)."""
    errors: Floats
    first_bin: int


def counted(minutes: Minutes, cell: Integers, shape: tuple[int, ...]) -> Counts:
    """Count the rows of each cell.

    Args:
        minutes: the rows.
        cell: flat index of the cell of each row; -1 for none.
        shape: of the cells.
    """
    cells, strata = int(np.prod(shape)), minutes.strata
    place = cell * strata + minutes.stratum
    inside, entry_inside = cell >= 0, cell[minutes.row] >= 0
    key = place[minutes.row] * minutes.bins + (minutes.bin - minutes.first_bin)
    histograms = _sums(key[entry_inside], minutes.count[entry_inside], cells * strata * minutes.bins)
    requests = _sums(place[inside], minutes.requests[inside], cells * strata)
    errors = _sums(place[inside], minutes.errors[inside], cells * strata)
    return Counts(
        histograms.reshape(*shape, strata, minutes.bins),
        requests.reshape(*shape, strata),
        errors.reshape(*shape, strata),
        minutes.first_bin,
    )


def _sums(place: Integers, values: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(place, weights=values, minlength=size), np.float64)


def side_of(minute: Integers, before: tuple[int, int], after: tuple[int, int]) -> npt.NDArray[np.int64]:
    """0 for a minute before, 1 for one after, -1 for others."""
    is_before = (minute >= before[0]) & (minute < before[1])
    is_after = (minute >= after[0]) & (minute < after[1])
    return np.where(is_after, 1, np.where(is_before, 0, -1))


def in_blocks(minutes: Minutes, windows: Windows) -> Counts:
    """The deploy itself: (side, block)."""
    minute = minutes.minute - windows.first
    side = side_of(minute, windows.before, windows.after)
    begins = np.array([windows.before[0], windows.after[0]])
    blocks = -(-max(windows.before[1] - windows.before[0], windows.after[1] - windows.after[0], 1) // BLOCK_MIN)
    cell = np.where(side >= 0, side * blocks + (minute - begins[side]) // BLOCK_MIN, -1)
    return counted(minutes, cell, (2, blocks))


def of_placebos(minutes: Minutes, windows: Windows) -> Counts:
    """The placebo deploys in the order of `Windows.days`: (placebo, side)."""
    days = (windows.first - minutes.minute + DAY_MIN // 2) // DAY_MIN
    known = (days >= 1) & (days <= PLACEBO_DAYS)
    minute = minutes.minute - windows.first + days * DAY_MIN
    parts = []
    for offset in windows.offsets:
        side = side_of(minute - offset, windows.before, windows.after)
        cell = np.where(known & (side >= 0), (days - 1) * 2 + side, -1)
        parts.append(counted(minutes, cell, (PLACEBO_DAYS, 2)))
    return _joined(parts, lambda values: np.stack(values, 1).reshape(-1, *values[0].shape[1:]))


def in_windows(minutes: Minutes, windows: Windows) -> Counts:
    """The deploy and its placebos: (window, side)."""
    now, then = in_blocks(minutes, windows), of_placebos(minutes, windows)
    deploy = _joined([now], lambda values: values[0].sum(1)[None])
    return _joined([deploy, then], np.concatenate)


def _joined(parts: list[Counts], join: Callable[[list[Floats]], Floats]) -> Counts:
    """Each array of some counts, joined with its like."""
    return Counts(
        join([part.histograms for part in parts]),
        join([part.requests for part in parts]),
        join([part.errors for part in parts]),
        parts[0].first_bin,
    )
