"""Records: rules and alerts as the control database has them, and back.

Takes   rows of `lake.control.alert_tables`.
Gives   `StoredRule`, `StoredAlert`, `Event`, `Silence`, and the values of their columns.
Refuses nothing: what is in the tables was checked before it came there.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
from sqlalchemy import Row

from lake.control.access import from_us, to_us
from lake.control.nodes import Place

from .channels.channel import Channel
from .minute_counts import Series
from .notifications import DeployNote, Reason, Severity, alert_key
from .rules import Condition, Rule, condition_of, shown
from .states import AlertState, StateName

Origin = Literal["api", "file"]
"""Who looks after a rule: people over HTTP, or a file that `tracelake rules apply` reads."""


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule and where it has got to."""

    id: str
    place: Place
    rule: Rule
    origin: Origin
    version: int
    """Counts changes by people."""
    created_at: dt.datetime
    updated_at: dt.datetime
    evaluated_to: dt.datetime | None = None
    """End of the last window that was judged."""
    last_value: float | None = None
    """Of the series that was worst."""
    last_evaluated_at: dt.datetime | None = None
    last_triggered_at: dt.datetime | None = None
    last_error: str | None = None
    """Why the last window could not be judged."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What to look at, as it was when an alert began."""

    deploy: DeployNote | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One series of a rule."""

    rule_id: str
    key: str
    """From `notifications.alert_key`."""
    series: Series
    state: AlertState
    notified_at: dt.datetime | None = None
    """When its channels were last told that it fires, on the clock of windows."""
    evidence: Evidence = Evidence()
    acknowledged_at: dt.datetime | None = None
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A change of an alert."""

    id: str
    place: Place
    rule_id: str
    rule_name: str
    severity: Severity
    key: str
    labels: Mapping[str, str]
    before: StateName
    after: str
    """A state, or `acknowledged`."""
    reason: Reason | None
    value: float | None
    threshold: float
    at: dt.datetime
    by: str | None = None
    """Id of a key, if a person did it."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which nobody is told."""

    id: str
    place: Place
    rule_id: str | None
    """None: of every rule."""
    labels: Mapping[str, str]
    """What an alert must have; those of its rule's filters count too."""
    comment: str
    created_by: str
    created_at: dt.datetime
    starts_at: dt.datetime
    ends_at: dt.datetime

    def covers(self, rule: StoredRule, series: Series, now: dt.datetime) -> bool:
        """Whether an alert is silent now."""
        if not self.starts_at <= now < self.ends_at or self.rule_id not in (None, rule.id) or self.place != rule.place:
            return False
        known = labels_of(rule, series)
        return all(known.get(name) == value for name, value in self.labels.items())


def labels_of(rule: StoredRule, series: Series) -> dict[str, str]:
    """What is known of an alert: its labels, and the filters of its rule."""
    condition = rule.rule.condition
    filters = {
        "service": condition.service, "endpoint": condition.operation, "environment": condition.environment,
        "cluster": condition.cluster, "severity": rule.rule.severity,
    }  # fmt: skip
    return {name: value for name, value in filters.items() if value is not None} | dict(series)


def new_id(prefix: str) -> str:
    """An id that nothing else has."""
    return f"{prefix}_{secrets.token_hex(6)}"


def key_of(rule: StoredRule, series: Series) -> str:
    """What tells an alert apart from every other one."""
    return alert_key(rule.place.project, rule.place.environment, rule.id, dict(series))


def known_us(time: dt.datetime | None) -> int | None:
    """A time as the tables have it, if there is one."""
    return None if time is None else to_us(time)


def known_time(us: int | None) -> dt.datetime | None:
    """A time of the tables, if there is one."""
    return None if us is None else from_us(us)


def rule_values(rule: Rule) -> dict[str, Any]:
    """The columns that people decide about."""
    return {
        "name": rule.name,
        "severity": rule.severity,
        "condition": shown(rule.condition),
        "channels": [channel.to_json() for channel in rule.channels],
        "repeat_s": rule.repeat_s,
        "enabled": rule.enabled,
    }


def stored_rule(row: Row[Any]) -> StoredRule:
    """A row of `alert_rules`."""
    return StoredRule(
        id=row.id,
        place=Place(row.project, row.environment),
        rule=Rule(
            name=row.name,
            condition=_condition(msgspec.json.encode(row.condition)),
            channels=tuple(map(Channel.from_json, row.channels)),
            severity=row.severity,
            enabled=row.enabled,
            repeat_s=row.repeat_s,
        ),
        origin=row.origin,
        version=row.version,
        created_at=from_us(row.created_at_us),
        updated_at=from_us(row.updated_at_us),
        evaluated_to=known_time(row.evaluated_to_us),
        last_value=row.last_value,
        last_evaluated_at=known_time(row.last_evaluated_at_us),
        last_triggered_at=known_time(row.last_triggered_at_us),
        last_error=row.last_error,
    )


@lru_cache(maxsize=8192)
def _condition(text: bytes) -> Condition:
    """Read once, however often its rule is judged."""
    return condition_of(msgspec.json.decode(text))


def alert_values(alert: StoredAlert) -> dict[str, Any]:
    """The columns of `alert_states`."""
    state = alert.state
    return {
        "rule_id": alert.rule_id,
        "alert_key": alert.key,
        "labels": dict(alert.series),
        "state": state.name,
        "since_us": to_us(state.since),
        "active_since_us": known_us(state.active_since),
        "held_since_us": known_us(state.held_since),
        "last_true_us": known_us(state.last_true),
        "evaluated_to_us": to_us(state.evaluated_to),
        "value": state.value,
        "reason": state.reason,
        "notified_at_us": known_us(alert.notified_at),
        "evidence": msgspec.to_builtins(alert.evidence),
        "acknowledged_at_us": known_us(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
    }


def stored_alert(row: Row[Any]) -> StoredAlert:
    """A row of `alert_states`."""
    return StoredAlert(
        rule_id=row.rule_id,
        key=row.alert_key,
        series=tuple(row.labels.items()),
        state=AlertState(
            name=row.state,
            since=from_us(row.since_us),
            evaluated_to=from_us(row.evaluated_to_us),
            active_since=known_time(row.active_since_us),
            held_since=known_time(row.held_since_us),
            last_true=known_time(row.last_true_us),
            value=row.value,
            reason=row.reason,
        ),
        notified_at=known_time(row.notified_at_us),
        evidence=msgspec.convert(row.evidence, Evidence) if row.evidence else Evidence(),
        acknowledged_at=known_time(row.acknowledged_at_us),
        acknowledged_by=row.acknowledged_by,
    )


def event_values(event: Event) -> dict[str, Any]:
    """The columns of `alert_events`."""
    return {
        "id": event.id,
        "project": event.place.project,
        "environment": event.place.environment,
        "rule_id": event.rule_id,
        "rule_name": event.rule_name,
        "severity": event.severity,
        "alert_key": event.key,
        "labels": dict(event.labels),
        "from_state": event.before,
        "to_state": event.after,
        "reason": event.reason,
        "value": event.value,
        "threshold": event.threshold,
        "at_us": to_us(event.at),
        "by": event.by,
    }


def event_of(row: Row[Any]) -> Event:
    """A row of `alert_events`."""
    return Event(
        row.id, Place(row.project, row.environment), row.rule_id, row.rule_name, row.severity, row.alert_key, row.labels,
        row.from_state, row.to_state, row.reason, row.value, row.threshold, from_us(row.at_us), row.by,
    )  # fmt: skip


def silence_values(silence: Silence) -> dict[str, Any]:
    """The columns of `alert_silences`."""
    return {
        "id": silence.id,
        "project": silence.place.project,
        "environment": silence.place.environment,
        "rule_id": silence.rule_id,
        "labels": dict(silence.labels),
        "comment": silence.comment,
        "created_by": silence.created_by,
        "created_at_us": to_us(silence.created_at),
        "starts_at_us": to_us(silence.starts_at),
        "ends_at_us": to_us(silence.ends_at),
    }


def silence_of(row: Row[Any]) -> Silence:
    """A row of `alert_silences`."""
    return Silence(
        row.id, Place(row.project, row.environment), row.rule_id, row.labels, row.comment, row.created_by,
        from_us(row.created_at_us), from_us(row.starts_at_us), from_us(row.ends_at_us),
    )  # fmt: skip
