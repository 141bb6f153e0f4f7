"""States: how an alert changes from one window to the next. The state machine, and nothing but it.

Takes   the state of one series of a rule, what was read of a window, and the end of that window.
Gives   the state after it, and the transition if it is another one.
Refuses nothing.

                     does not hold                 holds                    holds for `for`
    ok              ------------------------->  pending  ------------------------------->  firing
                                                                            holds again  ^ |  does not hold
                                                                                         | v
    ok  <------------------------------------------------------------------  recovering  (for `keep_firing_for`)

`no_data` and `error` stand in the place of ok where nothing could be judged. The only clock is the end of the windows that
were judged, so it is the same after a restart. Only what was judged counts towards `for`: minutes without an answer neither
end it nor shorten it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

from .notifications import Reason
from .rules import Condition, Policy

StateName = Literal["ok", "pending", "firing", "recovering", "no_data", "error"]
STATES: tuple[StateName, ...] = ("firing", "recovering", "pending", "error", "no_data", "ok")
"""The worst first."""

ACTIVE: frozenset[StateName] = frozenset({"firing", "recovering"})
"""Those in which people have been told."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a window for one series."""

    value: float | None = None
    """None: nothing is known, or too little."""
    problem: str | None = None
    """Why it could not be read."""

    @property
    def gap(self) -> Reason | None:
        """Why it cannot be judged, None if it can."""
        if self.problem is not None:
            return "error"
        return "no_data" if self.value is None else None


@dataclass(frozen=True, slots=True)
class AlertState:
    """What has to be known of one series of a rule to go on."""

    name: StateName
    since: dt.datetime
    """When it came into this state, as every time here the end of a window."""
    evaluated_to: dt.datetime
    active_since: dt.datetime | None = None
    """When the condition began to hold, while the state is pending, firing or recovering."""
    held_since: dt.datetime | None = None
    """From when `for` counts: `active_since`, later by as much as was not judged."""
    last_true: dt.datetime | None = None
    """The last window that the condition held of."""
    value: float | None = None
    """Of the last window that had one."""
    reason: Reason | None = None
    """Why the state is this one, if not for the value."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state."""

    before: StateName
    after: AlertState
    started_at: dt.datetime | None
    """When the condition began to hold, of an alert that fires or did."""

    @property
    def begins(self) -> bool:
        """Whether it is the beginning of an alert."""
        return self.before not in ACTIVE and self.after.name in ACTIVE

    @property
    def ends(self) -> bool:
        """Whether it is the end of one."""
        return self.before in ACTIVE and self.after.name not in ACTIVE


def step(
    before: AlertState | None, reading: Reading, condition: Condition, at: dt.datetime, *, is_jump: bool = False
) -> tuple[AlertState, Transition | None]:
    """Judge one window.

    Args:
        before: None if nothing is known of the series yet, which is as good as ok.
        at: end of the window.
        is_jump: what came before the window was not judged, or the clock was set back (`windows.Due`).
    """
    state = AlertState("ok", at, at) if before is None else before
    if is_jump and before is not None:
        state = _after_jump(state, at)
    policy = _policy(reading, condition)
    if policy == "keep":
        after = _unknown(state, reading, at)
    else:
        holds = policy == "alert" if reading.value is None or reading.gap else condition.holds(reading.value)
        after = _judged(state, condition, at, holds=holds)
        after = replace(after, reason=reading.gap if holds else None)
        if reading.gap == "no_data" and after.name == "ok":
            after = replace(after, name="no_data", reason="no_data")
    value = state.value if reading.value is None else reading.value
    after = replace(after, evaluated_to=at, value=value, since=at if after.name != state.name else state.since)
    return after, _transition(state, after)


def ended(state: AlertState, reason: Reason, at: dt.datetime) -> tuple[AlertState, Transition | None]:
    """End an alert whose rule or series is gone."""
    after = AlertState("ok", at, at, value=state.value, reason=reason)
    return after, _transition(state, after)


def _policy(reading: Reading, condition: Condition) -> Policy | Literal["judge"]:
    if reading.gap is None:
        return "judge"
    return condition.on_error if reading.gap == "error" else condition.no_data


def _transition(before: AlertState, after: AlertState) -> Transition | None:
    if before.name == after.name:
        return None
    return Transition(before.name, after, after.active_since or before.active_since)


def _unknown(state: AlertState, reading: Reading, at: dt.datetime) -> AlertState:
    """A window of which nothing is known changes nothing of an alert; `for` waits as long."""
    if state.name in ACTIVE:
        return replace(state, reason=reading.gap)
    if state.name == "pending":
        assert state.held_since is not None  # noqa: S101 - a pending state has it
        return replace(
            state, reason=reading.gap, held_since=state.held_since + max(at - state.evaluated_to, dt.timedelta(0))
        )
    return replace(state, name="error" if reading.gap == "error" else "no_data", reason=reading.gap)


def _judged(state: AlertState, condition: Condition, at: dt.datetime, *, holds: bool) -> AlertState:
    if not holds:
        kept_for = dt.timedelta(seconds=condition.keep_firing_for_s)
        is_kept = state.name in ACTIVE and state.last_true is not None and at - state.last_true < kept_for
        return replace(state, name="recovering") if is_kept else AlertState("ok", at, at)
    if state.name in ACTIVE:
        return replace(state, name="firing", last_true=at)
    held_since = state.held_since or at
    is_long_enough = at - held_since >= dt.timedelta(seconds=condition.hold_s)
    return replace(
        state,
        name="firing" if is_long_enough else "pending",
        active_since=state.active_since or at,
        held_since=held_since,
        last_true=at,
    )


def _after_jump(state: AlertState, at: dt.datetime) -> AlertState:
    """A state as it is after time that nobody judged, or judged ahead of the clock.

    After a long gap nobody can say that a condition held all the while, so what was pending begins again; an alert that
    fires goes on. Where the clock was set back, all times move with it.
    """
    by = at - state.evaluated_to
    if by > dt.timedelta(0) and state.name == "pending":
        return AlertState("ok", at, at, value=state.value)
    return replace(
        state,
        since=min(state.since, at),
        held_since=state.held_since + by if state.held_since else None,
        last_true=state.last_true + by if state.last_true else None,
        active_since=min(state.active_since, at) if state.active_since else None,
    )
