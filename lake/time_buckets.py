"""Time buckets: a window cut into equal parts, to count in.

Takes   a window and how many parts it may have.
Gives   `Buckets`: parts of a size that people read off a clock, the first one at or before the start of the window.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SIZES_S = (1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400)
_WEEK_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Buckets:
    """Equal parts of time; a part begins at a multiple of its size since the epoch."""

    start: dt.datetime
    size_s: int
    count: int

    def of(self, times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """The number of the bucket of each time, which lies in the window."""
        at_us: npt.NDArray[Any] = times.cast(pa.int64()).to_numpy()
        return (at_us - (self.start - _EPOCH) // dt.timedelta(microseconds=1)) // (self.size_s * 1_000_000)


def buckets(since: dt.datetime, until: dt.datetime, *, most: int) -> Buckets:
    """The smallest buckets of which not more than `most` (and one, for the start) reach over `[since, until)`."""
    length_s = (until - since).total_seconds()
    fitting = (size for size in _SIZES_S if length_s <= size * most)
    size_s = next(fitting, _WEEK_S * max(1, -int(-length_s // (_WEEK_S * most))))
    size = dt.timedelta(seconds=size_s)
    start = _EPOCH + (since - _EPOCH) // size * size
    return Buckets(start, size_s, -((start - until) // size))
