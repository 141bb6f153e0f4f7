"""Judgement: what windows that were read mean for one rule: its new states, its history, and who has to be told what.

Takes   a rule, its alerts, the windows that were due and what was read of them.
Gives   `Judged`, which is written as a whole or not at all.
Refuses nothing. It is pure: the same arguments give the same states and as many messages, so it may be asked twice (once to
        know which alerts begin, and once more with the evidence of those).

A message is due when an alert fires of which nobody was told yet; that is remembered (`notified_at`) in the transaction that
puts the message into the outbox, so a process that is killed in between neither repeats nor loses it. A silence only delays:
when it ends and the alert still fires, it is told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .channels.channel import Channel
from .messages import event, message
from .minute_counts import Series
from .notifications import Notification, Reason
from .readings import Read
from .records import Event, Evidence, StoredAlert, StoredRule, key_of
from .rules import Rule
from .states import ACTIVE, STATES, AlertState, Reading, Transition, ended, step
from .windows import Due

_QUIET = ({"ok", "no_data"}, {"ok"}, {"no_data"})
"""Changes between these are no history: where there is little traffic they happen every minute."""

IsSilent = Callable[[StoredRule, Series], bool]


@dataclass(slots=True)
class Judged:
    """What became of a rule."""

    rule: StoredRule
    """As it is afterwards."""
    alerts: dict[Series, StoredAlert]
    """As they are afterwards."""
    was: StoredRule
    """As the rule was before."""
    known: Mapping[Series, StoredAlert]
    """As the alerts were before."""
    gone: list[StoredAlert] = field(default_factory=list)
    """Those that need not be remembered any more."""
    events: list[Event] = field(default_factory=list)
    messages: list[Notification] = field(default_factory=list)
    begun: list[StoredAlert] = field(default_factory=list)
    """Alerts that began to fire."""


def judge(
    rule: StoredRule,
    alerts: Mapping[Series, StoredAlert],
    due: Due,
    reads: Sequence[Read],
    *,
    is_silent: IsSilent,
    evidence: Mapping[str, Evidence],
    now: dt.datetime,
) -> Judged:
    """Judge the windows of a rule that are due.

    Args:
        reads: one for each end of `due`.
        evidence: of alerts that begin, by key.
    """
    judged = Judged(rule, dict(alerts), rule, alerts)
    for at, read in zip(due.ends, reads, strict=True):
        _judge_window(judged, read, at, is_jump=due.is_jump and at == due.ends[0], is_silent=is_silent, evidence=evidence)
    problem = reads[-1].absent.problem
    judged.rule = replace(
        rule,
        evaluated_to=due.ends[-1],
        last_evaluated_at=now,
        last_value=_worst_value(judged, reads[-1]),
        last_triggered_at=max((one.state.since for one in judged.begun), default=rule.last_triggered_at),
        last_error=problem[:1000] if problem else None,
    )
    return judged


def _judge_window(
    judged: Judged, read: Read, at: dt.datetime, *, is_jump: bool, is_silent: IsSilent, evidence: Mapping[str, Evidence]
) -> None:
    rule = judged.rule
    is_grouped = bool(rule.rule.condition.grouping)
    always: set[Series] = set() if is_grouped else {()}
    for series in sorted(always | read.series.keys() | judged.alerts.keys()):
        known = judged.alerts.get(series)
        reading = read.series.get(series, read.absent)
        if known is not None and _is_missing(series, read, reading, is_grouped=is_grouped):
            after, transition = ended(known.state, "missing_series", at)
        else:
            after, transition = step(known.state if known else None, reading, rule.rule.condition, at, is_jump=is_jump)
        alert = known or StoredAlert(rule.id, key_of(rule, series), series, after)
        alert = _told(judged, alert, after, transition, at, is_silent=is_silent, evidence=evidence)
        if series not in read.series and series not in always and after.name in ("ok", "no_data"):
            judged.alerts.pop(series, None)
            judged.gone.append(alert)
        else:
            judged.alerts[series] = alert


def _is_missing(series: Series, read: Read, reading: Reading, *, is_grouped: bool) -> bool:
    """Whether a series is gone while others go on; without any, the rule has no data."""
    return is_grouped and series not in read.series and bool(read.series) and reading.gap == "no_data"


def _told(
    judged: Judged, alert: StoredAlert, after: AlertState, transition: Transition | None, at: dt.datetime, *,
    is_silent: IsSilent, evidence: Mapping[str, Evidence],
) -> StoredAlert:  # fmt: skip
    """The alert in its new state, with the messages and the history that belong to it."""
    rule, before = judged.rule, alert.state
    if transition is not None and {transition.before, after.name} not in _QUIET:
        judged.events.append(event(rule, alert, transition.before, after.name, at, reason=after.reason, value=after.value))
    if transition is not None and transition.ends:
        if alert.notified_at is not None:
            judged.messages.append(_resolved(rule, alert, before, after.value, at, after.reason))
        return StoredAlert(rule.id, alert.key, alert.series, after)
    alert = replace(alert, state=after)
    if transition is not None and transition.begins:
        alert = replace(alert, evidence=evidence.get(alert.key, Evidence()))
        judged.begun.append(alert)
    if after.name == "firing" and _is_due(rule, alert, at) and not is_silent(rule, alert.series):
        judged.messages.append(message(rule, alert, "firing", state=after, reason=after.reason))
        alert = replace(alert, notified_at=at)
    return alert


def _is_due(rule: StoredRule, alert: StoredAlert, at: dt.datetime) -> bool:
    """Whether the channels have to be told that an alert fires, for the first time or once more."""
    if alert.notified_at is None:
        return True
    if alert.acknowledged_at is not None or not rule.rule.repeat_s:
        return False
    return at - alert.notified_at >= dt.timedelta(seconds=rule.rule.repeat_s)


def _resolved(
    rule: StoredRule, alert: StoredAlert, before: AlertState, value: float | None, at: dt.datetime, reason: Reason | None
) -> Notification:
    state = replace(before, value=value, evaluated_to=at)
    return message(rule, alert, "resolved", state=state, ended_at=at, reason=reason)


def end_all(
    rule: StoredRule, alerts: Mapping[Series, StoredAlert], reason: Reason, at: dt.datetime, *, by: str | None = None
) -> Judged:
    """End every alert of a rule that is no longer judged."""
    judged = Judged(rule, {}, rule, alerts, gone=list(alerts.values()))
    for alert in alerts.values():
        if alert.state.name not in ACTIVE:
            continue
        judged.events.append(event(rule, alert, alert.state.name, "ok", at, reason=reason, value=alert.state.value, by=by))
        if alert.notified_at is not None:
            judged.messages.append(_resolved(rule, alert, alert.state, alert.state.value, at, reason))
    return judged


def redirected(
    known: StoredRule, rule: Rule, alerts: Mapping[Series, StoredAlert], at: dt.datetime
) -> list[tuple[Notification, list[Channel]]]:
    """Messages to the channels that a rule does not have any more, or did not have, when it is changed while alerts fire.

    The former would wait for the end for ever; the latter would hear of it when it is told again, if that is ever.
    """
    before, after = ({channel.key: channel for channel in one.channels} for one in (known.rule, rule))
    gone = [channel for key, channel in before.items() if key not in after]
    new = [channel for key, channel in after.items() if key not in before]
    told = [alert for alert in alerts.values() if alert.state.name in ACTIVE and alert.notified_at is not None]
    changed = replace(known, rule=rule)
    over = [(_resolved(known, one, one.state, one.state.value, at, "channel_removed"), gone) for one in told if gone]
    return over + [(message(changed, one, "firing", state=one.state, reason=one.state.reason), new) for one in told if new]


def _worst_value(judged: Judged, read: Read) -> float | None:
    """The value of the series that is worst off."""
    ranked = sorted(
        (STATES.index(alert.state.name), series) for series, alert in judged.alerts.items() if series in read.series
    )
    readings = [read.series[series].value for _, series in ranked[:1]] or [read.absent.value]
    return readings[0]
