"""Windows: which times a rule has to judge next.

Takes   where a rule has got to, the length of its window, and the clock.
Gives   the ends of the windows that are due, oldest first: none twice and none left out, as long as no more than
        `CATCH_UP` was missed.
Refuses nothing. A clock that was set, and a process that did not run for days, are dealt with here: what follows
        (`scheduler.alerts.states`) knows the ends of windows and no other time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

LAG = dt.timedelta(seconds=30)
"""How late spans may come and still be counted: no window ends later than this before now."""

CATCH_UP = dt.timedelta(hours=1)
"""How much of what was missed is judged afterwards. What lies further back is not news any more."""

SET_BACK = dt.timedelta(minutes=5)
"""Windows that were judged this far ahead of the clock mean that it was set back; less is a matter of waiting."""

MINUTE = dt.timedelta(minutes=1)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Due:
    """What a rule has to judge."""

    ends: tuple[dt.datetime, ...]
    """Whole minutes, oldest first."""
    is_jump: bool = False
    """Whether time is missing before the first of them, or the clock was set back: then nothing is known of how long
    anything has held."""


def interval(window: dt.timedelta) -> dt.timedelta:
    """How often a window is judged: every minute up to an hour, and then in whole minutes 60 times over its length."""
    return max(MINUTE, window // 60 // MINUTE * MINUTE)


def newest_end(now: dt.datetime, window: dt.timedelta) -> dt.datetime:
    """The end of the newest window whose spans have come."""
    every = interval(window)
    return now - LAG - (now - LAG - _EPOCH) % every


def due(evaluated_to: dt.datetime | None, now: dt.datetime, window: dt.timedelta) -> Due:
    """The windows to judge now.

    Args:
        evaluated_to: end of the last one that was judged, None before the first.
    """
    every, end = interval(window), newest_end(now, window)
    if evaluated_to is None:
        return Due((end,))
    if evaluated_to >= end:
        was_set_back = evaluated_to - end > max(SET_BACK, every)
        return Due((end,) if was_set_back else (), is_jump=was_set_back)
    first = max(evaluated_to, end - CATCH_UP)
    missed = [end - every * n for n in range((end - first + every - dt.timedelta(microseconds=1)) // every)]
    ends = tuple(reversed([time for time in missed if time > evaluated_to]))
    return Due(ends, is_jump=ends[0] - evaluated_to > every)
