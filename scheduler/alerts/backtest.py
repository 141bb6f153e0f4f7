"""Backtest: what a rule says of the newest window, and what it would have said of the last hours.

Takes   a rule, the tables of its lake, and the hours.
Gives   the reading of each series now, and the alerts that would have fired: the state machine of the sweep over the same
        readings, with nothing in the place of what is stored.
Refuses nothing.

Spans that came late are in the lake by now, so a backtest may know a little more of a window than the sweep did.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lake import Lake

from .judgement import judge
from .minute_counts import Series
from .notifications import Notification
from .readings import Asked, Read, read_all
from .records import StoredRule
from .rules import SPANS_BELOW_S
from .states import Reading
from .windows import MINUTE, Due, interval, newest_end

MAX_HOURS = 24
MAX_SLOW_WINDOWS = 120
"""Windows that are judged at most where each of them has to be read from spans."""


@dataclass(frozen=True, slots=True)
class PastAlert:
    """An alert that would have fired."""

    labels: Mapping[str, str]
    started_at: dt.datetime
    """When the condition began to hold."""
    fired_at: dt.datetime
    """When people would have been told: after `for`."""
    ended_at: dt.datetime | None
    """None: it would fire now."""
    value: float | None
    """When it fired."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a rule says."""

    evaluated_to: dt.datetime
    """End of the newest window."""
    readings: Mapping[Series, Reading]
    """Of the newest window; a rule without series of its own has one without labels."""
    since: dt.datetime
    """End of the oldest window."""
    every: dt.timedelta
    """From the end of one window to that of the next."""
    windows: int
    windows_without_data: int
    problem: str | None
    """Why the newest window could not be read."""
    alerts: tuple[PastAlert, ...]
    """Oldest first."""


def backtest(rule: StoredRule, lake: Lake, *, hours: int, now: dt.datetime) -> Backtest:
    """Judge the newest window and those of the last hours.

    Args:
        hours: 1 to `MAX_HOURS`.
    """
    condition = rule.rule.condition
    every = _interval(rule, hours)
    newest = newest_end(now, dt.timedelta(seconds=condition.window_s))
    count = max(1, dt.timedelta(hours=hours) // every)
    ends = tuple(newest - every * n for n in reversed(range(count)))
    [reads] = read_all([Asked(condition, ends)], *lake.tables())
    judged = judge(rule, {}, Due(ends), reads, is_silent=lambda *_: False, evidence={}, now=now)
    return Backtest(
        evaluated_to=newest,
        readings=dict(reads[-1].series) or ({} if condition.group_by else {(): reads[-1].absent}),
        since=ends[0],
        every=every,
        windows=count,
        windows_without_data=sum(map(_is_without_data, reads)),
        problem=reads[-1].absent.problem,
        alerts=_alerts(judged.messages),
    )


def _interval(rule: StoredRule, hours: int) -> dt.timedelta:
    """From window to window: as the sweep judges them, less often where each of them is read from spans."""
    condition = rule.rule.condition
    every = interval(dt.timedelta(seconds=condition.window_s))
    if condition.query is None and condition.window_s >= SPANS_BELOW_S:
        return every
    least = dt.timedelta(hours=hours) / MAX_SLOW_WINDOWS
    return max(every, -(-least // MINUTE) * MINUTE)


def _is_without_data(read: Read) -> bool:
    return all(reading.gap is not None for reading in read.series.values()) and read.absent.gap is not None


def _alerts(messages: Sequence[Notification]) -> tuple[PastAlert, ...]:
    """What would have fired, from what would have been said."""
    found: dict[tuple[str, dt.datetime], PastAlert] = {}
    for said in messages:
        key = (said.alert_key, said.started_at)
        if said.status == "firing" and key not in found:
            found[key] = PastAlert(said.labels, said.started_at, said.evaluated_to, None, said.value)
        elif said.status == "resolved":
            found[key] = replace(found[key], ended_at=said.ended_at)
    return tuple(found.values())
