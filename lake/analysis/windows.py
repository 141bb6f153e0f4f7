"""Windows: which minutes are compared with which.

Takes   when deploys were, and how late it is.
Gives   the minutes before and after a deploy, and of the placebo deploys that it is held against.
Refuses nothing; a window may be empty.

All minutes are counted from the Unix epoch, windows from the minute of the deploy.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

WIDTH_MIN = 60
LOOKS_MIN = (5, 15, 30, 60)
"""Minutes after a deploy at which a live report may give a verdict."""

GUARD_MIN = 2
"""After a deploy: caches are cold. What happens in it is reported apart."""

APART_MIN = 10
"""Deploys of one service that are nearer to each other are judged together."""

BLOCK_MIN = 10
WARM_UP_MIN = 10
PLACEBO_DAYS = 7
PLACEBO_OFFSETS_MIN = (-60, -30, 0, 30, 60)
DAY_MIN = 1440

REACH = dt.timedelta(days=PLACEBO_DAYS, minutes=max(PLACEBO_OFFSETS_MIN))
"""How far before its window a report looks."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The minutes before and after one deploy, or several of one service in a row."""

    first: int
    """Minute of the deploy, or of the first of them."""
    before: tuple[int, int]
    """From, until."""
    after: tuple[int, int]
    look_min: int | None
    """The look of a report whose window is not over: one of `LOOKS_MIN`."""
    width_min: int
    """Of the window after the deploy once it is over."""
    together: int
    """How many deploys are judged."""

    @property
    def span(self) -> tuple[int, int]:
        """The first minute before and the end of those after, since the Unix epoch."""
        return self.first + self.before[0], self.first + max(self.after[1], 1)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Offset of each placebo of a day from the clock time of the deploy."""
        return PLACEBO_OFFSETS_MIN

    @property
    def days(self) -> Integers:
        """How many days before the deploy each placebo is."""
        return np.repeat(np.arange(1, PLACEBO_DAYS + 1), len(self.offsets))

    @property
    def starts(self) -> Integers:
        """Minute of each placebo deploy."""
        found: Integers = self.first - DAY_MIN * self.days + np.tile(self.offsets, PLACEBO_DAYS)
        return found


def windows(
    deployed_at: dt.datetime,
    others: Sequence[dt.datetime],
    now: dt.datetime,
    *,
    width_min: int = WIDTH_MIN,
    guard_min: int = GUARD_MIN,
) -> Windows:
    """The windows of a deploy.

    Args:
        deployed_at: when.
        others: when else the same service was deployed.
        now: nothing after it is known.
        width_min: minutes on each side.
        guard_min: minutes after the deploy that are left out, at least 1 because its own minute has both.
    """
    at = minute_of(deployed_at)
    times = sorted({at, *(minute_of(other) for other in others)})
    group = _near(times, at, guard_min + APART_MIN)
    first, last = group[0], group[-1]
    begin = max([first - width_min, *(time + guard_min for time in times if time < first)])
    start = last + max(1, guard_min)
    end = min([start + width_min, *(time for time in times if time > last)])
    seen = min(end, minute_of(now))
    look = None if seen == end else max((look for look in LOOKS_MIN if start + look <= seen), default=0)
    if look is not None:
        seen = start + look
    return Windows(first, (begin - first, 0), (start - first, seen - first), look, end - start, len(group))


def _near(times: Sequence[int], at: int, apart: int) -> list[int]:
    """The times around one, each nearer than `apart` to the next."""
    place = times.index(at)
    low = high = place
    while low and times[low] - times[low - 1] < apart:
        low -= 1
    while high + 1 < len(times) and times[high + 1] - times[high] < apart:
        high += 1
    return list(times[low : high + 1])


def undisturbed(windows: Windows, deploys: Sequence[dt.datetime]) -> npt.NDArray[np.bool_]:
    """Which placebos have no deploy in their windows.

    Args:
        windows: of the deploy.
        deploys: of one service, any time.
    """
    times = np.array([minute_of(time) for time in deploys], np.int64)
    begins, ends = windows.starts + windows.before[0], windows.starts + windows.after[1]
    inside = (times >= begins[:, None]) & (times < ends[:, None])
    return ~np.asarray(inside.any(-1))


def minute_of(time: dt.datetime) -> int:
    """Whole minutes since the Unix epoch."""
    return math.floor(time.timestamp() / 60)
