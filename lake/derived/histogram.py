"""Histogram: durations in logarithmic bins, which add up and give quantiles with a bounded error.

Takes   durations in nanoseconds.
Gives   the number of each one's bin, and back from a bin the duration that stands for it.
Refuses nothing.

Bin b holds the durations in [1.02^b, 1.02^(b+1)) ns and is told by its geometric middle, so a quantile is off by at most
sqrt(1.02) - 1, one percent; bin -1 holds 0. The same idea with the same proof of its bound: Masson, Rim, Lee, "DDSketch: a
fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019, section 2.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..schema import BINS_TYPE, COUNTS_TYPE
from ..wire.arrays import lists, numbers
from .grouping import groups

GROWTH = 1.02
"""How much wider each bin is than the one before."""

ZERO_BIN = -1
"""The bin of durations of 0 ns."""

BIN = np.int16
"""Type of a bin's number; the longest duration there is lies in bin 2205."""

QUANTILES = {"p50_ns": 0.50, "p95_ns": 0.95, "p99_ns": 0.99}

_BINS = 4096
"""More bins than there are."""

_PER_LOG = 1 / math.log(GROWTH)


def bins_of(duration_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """The bin of each duration; a negative one counts as 0."""
    logs = np.log(np.maximum(duration_ns, 1)) * _PER_LOG
    return np.where(duration_ns > 0, logs, ZERO_BIN).astype(BIN)


def middle_ns(bins: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """The duration that stands for each bin, in nanoseconds."""
    return np.where(bins == ZERO_BIN, 0.0, GROWTH ** (bins + 0.5))


def merged(
    group: npt.NDArray[np.int64], group_count: int, bins: npt.NDArray[np.int16], counts: npt.NDArray[np.int64]
) -> tuple[pa.ListArray, pa.ListArray]:
    """The histogram of each group, as the lists of its bins in order and of their counts.

    Args:
        group: the group of each entry; every group has at least one.
        bins: the bin of each entry.
        counts: how many durations each entry stands for.
    """
    entries = group * _BINS + (bins - ZERO_BIN)
    alike = groups(entries)
    keys, sums = entries[alike.example], alike.sums(counts)
    order = np.argsort(keys)
    keys, sums = keys[order], sums[order]
    offsets = np.searchsorted(keys, np.arange(group_count + 1) * _BINS).astype(np.int32)
    found = (keys % _BINS + ZERO_BIN).astype(BIN)
    return lists(BINS_TYPE, offsets, numbers(found)), lists(COUNTS_TYPE, offsets, numbers(sums))


def latencies(
    offsets: npt.NDArray[np.int64], bins: npt.NDArray[np.int16], counts: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """What is asked of histograms: `p50_ns`, `p95_ns`, `p99_ns`, `avg_ns` and `max_ns` of each.

    A quantile is the one of nearest rank: the lowest bin up to which enough durations lie.

    Args:
        offsets: where the entries of each histogram begin, and at last where they end; none may be empty.
        bins: of each entry, ascending within a histogram.
        counts: of each entry.
    """
    begins = offsets[:-1]
    middles, below = middle_ns(bins), np.cumsum(counts)
    before = np.concatenate(([0], below))[begins]
    total = np.concatenate(([0], below))[offsets[1:]] - before
    found = {
        name: middles[np.searchsorted(below, before + np.ceil(share * total).astype(np.int64))]
        for name, share in QUANTILES.items()
    }
    found["avg_ns"] = np.add.reduceat(middles * counts, begins) / total if len(begins) else np.zeros(0)
    found["max_ns"] = middles[offsets[1:] - 1]
    return found
