"""Messages: what is said of an alert, made of what is known of it.

Takes   a rule, one of its alerts, and what became of it.
Gives   the notification for its channels, and the event for its history.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt

from .notifications import Notification, Reason, Status, new_message_id
from .records import Event, StoredAlert, StoredRule, new_id
from .states import AlertState, StateName


def message(
    rule: StoredRule, alert: StoredAlert, status: Status, *, state: AlertState, ended_at: dt.datetime | None = None,
    reason: Reason | None = None,
) -> Notification:  # fmt: skip
    """One message about an alert.

    Args:
        state: the one that has the beginning of the alert and its value; of a resolved alert the last one in which it fired.
    """
    condition = rule.rule.condition
    return Notification(
        id=new_message_id(),
        project=rule.place.project,
        environment=rule.place.environment,
        rule_id=rule.id,
        rule_name=rule.rule.name,
        severity=rule.rule.severity,
        alert_key=alert.key,
        labels=_labels(rule, alert),
        status=status,
        reason=reason,
        metric=condition.measure.name,
        operator=condition.operator,
        threshold=condition.threshold,
        unit=condition.measure.unit,
        window_s=condition.window_s,
        query=condition.query,
        value=state.value,
        started_at=state.active_since or state.since,
        ended_at=ended_at,
        evaluated_to=state.evaluated_to,
        deploy=alert.evidence.deploy,
        trace_id=alert.evidence.trace_id,
    )


def _labels(rule: StoredRule, alert: StoredAlert) -> dict[str, str]:
    """The labels of the series, and the service and endpoint that the rule is about where those do not say."""
    condition = rule.rule.condition
    named = {"service": condition.service, "endpoint": condition.operation}
    return {name: value for name, value in named.items() if value is not None} | dict(alert.series)


def event(
    rule: StoredRule, alert: StoredAlert, before: StateName, after: str, at: dt.datetime, *, reason: Reason | None = None,
    value: float | None = None, by: str | None = None,
) -> Event:  # fmt: skip
    """One line of the history."""
    return Event(
        id=new_id("evt"),
        place=rule.place,
        rule_id=rule.id,
        rule_name=rule.rule.name,
        severity=rule.rule.severity,
        key=alert.key,
        labels=_labels(rule, alert),
        before=before,
        after=after,
        reason=reason,
        value=value,
        threshold=rule.rule.condition.threshold,
        at=at,
        by=by,
    )
