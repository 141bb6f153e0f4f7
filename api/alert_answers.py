"""Alert answers: what rules, alerts and silences look like in JSON, and what may be said of them.

Takes   what `scheduler.alerts` knows of them; bodies of requests.
Gives   the answers of `/v1/alerts`, and the mappings that `scheduler.alerts.rules` checks.
Refuses nothing; the routes and `rules` do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from scheduler.alerts.backtest import Backtest
from scheduler.alerts.channels.channel import shown_channel
from scheduler.alerts.durations import text_of
from scheduler.alerts.minute_counts import Series
from scheduler.alerts.notifications import DeployNote, Severity
from scheduler.alerts.records import Event, Silence, StoredAlert, StoredRule, labels_of
from scheduler.alerts.rules import NAME_MAX_CHARACTERS, GroupBy, Operator, Policy, shown
from scheduler.alerts.states import STATES, Reading, StateName

from .answers import Answer, Listed, Timestamp, TraceId
from .json_body import Body
from .times import iso

Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Duration = Annotated[str | int, Meta(description="`5m`, `1h30m`, or whole seconds")]
Channels = Annotated[
    list[str | dict[str, str]],
    Meta(
        min_length=1,
        max_length=20,
        description="slack, email, pagerduty or webhook, or objects with `type` and `target` (and a webhook's `secret`)",
    ),
]
RuleName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARACTERS)]
Threshold = Annotated[float, Meta(description="In the unit of the metric: ms, 0 to 1, per minute, or a number")]
Tq = Annotated[str, Meta(min_length=1, max_length=4096, description="TQ in place of a metric")]
Repeat = Annotated[Duration | UnsetType, Meta(description="When an alert that goes on is told again; 0: never")]


class AlertCondition(Body, kw_only=True, frozen=True):
    """What must hold for an alert; absent is what is not asked for."""

    metric: Annotated[Text | UnsetType, Meta(description="As in docs/alerts.md; without it `query` must be there")] = UNSET
    operator: Operator | UnsetType = UNSET
    threshold: Threshold | UnsetType = UNSET
    window: Duration
    service: Text | UnsetType | None = UNSET
    operation: Text | UnsetType | None = UNSET
    environment: Text | UnsetType | None = UNSET
    cluster: Text | UnsetType | None = UNSET
    min_requests: Annotated[int, Meta(ge=1, le=1_000_000_000)] | UnsetType = UNSET
    hold: Annotated[Duration | UnsetType, Meta(description="How long it must hold before the alert fires")] = field(
        default=UNSET, name="for"
    )
    keep_firing_for: Duration | UnsetType = UNSET
    group_by: Annotated[GroupBy | UnsetType | None, Meta(description="One alert for each")] = UNSET
    no_data: Annotated[Policy | UnsetType, Meta(description="What too few requests mean")] = UNSET
    on_error: Annotated[Policy | UnsetType, Meta(description="What a window that cannot be read means")] = UNSET
    apdex_threshold_ms: float | UnsetType = UNSET
    query: Tq | UnsetType | None = UNSET


class AlertRuleRequest(Body, kw_only=True, frozen=True):
    """A rule to make, or to put in the place of another one."""

    name: RuleName
    condition: AlertCondition
    channels: Channels
    severity: Severity | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    repeat_interval: Repeat = UNSET


class AlertRuleChange(Body, kw_only=True, frozen=True):
    """What to change of a rule; what is absent stays. A condition is changed as a whole."""

    name: RuleName | UnsetType = UNSET
    condition: AlertCondition | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    severity: Severity | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    repeat_interval: Repeat = UNSET


class ShownCondition(Answer, kw_only=True, frozen=True):
    """The condition of a rule as it was given."""

    metric: str
    operator: Operator
    threshold: Threshold
    window: str
    service: str | UnsetType = UNSET
    operation: str | UnsetType = UNSET
    environment: str | UnsetType = UNSET
    cluster: str | UnsetType = UNSET
    min_requests: int | UnsetType = UNSET
    hold: str | UnsetType = field(default=UNSET, name="for")
    keep_firing_for: str | UnsetType = UNSET
    group_by: GroupBy | UnsetType = UNSET
    no_data: Policy | UnsetType = UNSET
    on_error: Policy | UnsetType = UNSET
    apdex_threshold_ms: float | UnsetType = UNSET
    query: str | UnsetType = UNSET


class AlertRule(Answer, kw_only=True, frozen=True):
    """A rule and how it stands."""

    id: str
    name: str
    condition: ShownCondition
    channels: Annotated[list[str | dict[str, str]], Meta(description="Secrets are `****` and their last four characters")]
    severity: Severity
    enabled: bool
    repeat_interval: str
    origin: Annotated[Literal["api", "file"], Meta(description="Whether `tracelake rules apply` looks after it")]
    state: Annotated[StateName, Meta(description="Of the alert that is worst off")]
    last_value: float | None
    last_evaluated_at: Timestamp | None
    last_triggered_at: Timestamp | None
    last_error: Annotated[str | None, Meta(description="Why the last window could not be judged")]
    created_at: Timestamp
    updated_at: Timestamp


class AlertRuleList(Listed[AlertRule], kw_only=True, frozen=True):
    """Rules, the oldest first."""


class DeletedAlertRule(Answer, kw_only=True, frozen=True):
    """A rule that is gone."""

    id: str
    deleted: Literal[True]


class AlertDeploy(Answer, kw_only=True, frozen=True):
    """The last deploy before an alert began."""

    id: str
    version: str | None
    git_sha: str | None
    deployed_at: Timestamp


class Alert(Answer, kw_only=True, frozen=True):
    """How one series of a rule stands."""

    key: Annotated[str, Meta(description="Names it, for acknowledging")]
    rule_id: str
    rule_name: str
    severity: Severity
    labels: dict[str, str]
    state: StateName
    since: Timestamp
    started_at: Annotated[Timestamp | None, Meta(description="When the condition began to hold")]
    value: float | None
    threshold: float
    unit: str
    reason: Annotated[str | None, Meta(description="no_data, error, ... if not the value")]
    acknowledged_at: Timestamp | None
    acknowledged_by: Annotated[str | None, Meta(description="Id of a key")]
    deploy: AlertDeploy | None
    trace_id: Annotated[TraceId | None, Meta(description="An example")]
    evaluated_to: Timestamp


class AlertList(Listed[Alert], kw_only=True, frozen=True):
    """Alerts, the worst first."""


class AlertEvent(Answer, kw_only=True, frozen=True):
    """A change of an alert."""

    id: str
    rule_id: str
    rule_name: str
    severity: Severity
    key: str
    labels: dict[str, str]
    before: str
    after: Annotated[str, Meta(description="A state, or `acknowledged`")]
    reason: str | None
    value: float | None
    threshold: float
    at: Timestamp
    by: Annotated[str | None, Meta(description="Id of the key of who did it, if somebody did")]


class AlertEventList(Listed[AlertEvent], kw_only=True, frozen=True):
    """Changes of alerts, the newest first."""

    start_time: Timestamp
    end_time: Timestamp


class AlertReading(Answer, kw_only=True, frozen=True):
    """What the newest window says of a series."""

    labels: dict[str, str]
    value: float | None
    holds: Annotated[bool | None, Meta(description="Whether the condition does; null where nothing is known")]


class PastAlert(Answer, kw_only=True, frozen=True):
    """An alert that would have fired."""

    labels: dict[str, str]
    started_at: Timestamp
    fired_at: Timestamp
    ended_at: Timestamp | None
    value: float | None


class AlertRuleTest(Answer, kw_only=True, frozen=True):
    """What a rule says now and would have said; nobody is told."""

    evaluated_to: Annotated[Timestamp, Meta(description="End of the newest window")]
    would_fire: Annotated[bool, Meta(description="Whether the condition holds of some series now")]
    readings: list[AlertReading]
    error: Annotated[str | None, Meta(description="Why the newest window could not be read")]
    start_time: Timestamp
    interval_s: Annotated[int, Meta(description="Seconds from the end of one window to that of the next")]
    windows: int
    windows_without_data: int
    alerts: list[PastAlert]


SilencedLabels = Annotated[
    dict[Text, Text],
    Meta(max_length=8, description="Only alerts that have these: service, endpoint, environment, cluster, severity"),
]


class SilenceRequest(Body, kw_only=True, frozen=True):
    """A time in which nobody is told."""

    rule_id: Annotated[str, Meta(pattern="^rule_[0-9a-f]{12}$", description="Without it of every rule")] | UnsetType = UNSET
    labels: SilencedLabels | UnsetType = UNSET
    starts_at: Annotated[str, Meta(description="ISO 8601; without it now")] | UnsetType = UNSET
    ends_at: Annotated[str, Meta(description="ISO 8601")]
    comment: Annotated[str, Meta(max_length=1000)] = ""


class AlertSilence(Answer, kw_only=True, frozen=True):
    """A time in which nobody is told."""

    id: str
    rule_id: str | None
    labels: dict[str, str]
    starts_at: Timestamp
    ends_at: Timestamp
    state: Literal["pending", "active", "over"]
    comment: str
    created_by: str
    created_at: Timestamp


class AlertSilenceList(Listed[AlertSilence], kw_only=True, frozen=True):
    """Silences, the newest first, those that are over too."""


def given(body: Body) -> dict[str, Any]:
    """A body as `scheduler.alerts.rules` takes it: without what is absent."""
    found: dict[str, Any] = msgspec.to_builtins(body)
    return found


def rule_fields(rule: StoredRule, alerts: Mapping[Series, StoredAlert]) -> AlertRule:
    """A rule as the API shows it."""
    return AlertRule(
        id=rule.id,
        name=rule.rule.name,
        condition=msgspec.convert(shown(rule.rule.condition), ShownCondition),
        channels=list(map(shown_channel, rule.rule.channels)),
        severity=rule.rule.severity,
        enabled=rule.rule.enabled,
        repeat_interval=text_of(rule.rule.repeat_s),
        origin=rule.origin,
        state=_worst(rule, alerts),
        last_value=rule.last_value,
        last_evaluated_at=iso(rule.last_evaluated_at) if rule.last_evaluated_at else None,
        last_triggered_at=iso(rule.last_triggered_at) if rule.last_triggered_at else None,
        last_error=rule.last_error,
        created_at=iso(rule.created_at),
        updated_at=iso(rule.updated_at),
    )


def _worst(rule: StoredRule, alerts: Mapping[Series, StoredAlert]) -> StateName:
    names = {alert.state.name for alert in alerts.values()} | ({"error"} if rule.last_error else set())
    return next((name for name in STATES if name in names), "ok")


def alert_fields(rule: StoredRule, alert: StoredAlert) -> Alert:
    """An alert as the API shows it."""
    state, deploy = alert.state, alert.evidence.deploy
    labels = {name: value for name, value in labels_of(rule, alert.series).items() if name != "severity"}
    return Alert(
        key=alert.key,
        rule_id=rule.id,
        rule_name=rule.rule.name,
        severity=rule.rule.severity,
        labels=labels,
        state=state.name,
        since=iso(state.since),
        started_at=iso(state.active_since) if state.active_since else None,
        value=state.value,
        threshold=rule.rule.condition.threshold,
        unit=rule.rule.condition.measure.unit,
        reason=state.reason,
        acknowledged_at=iso(alert.acknowledged_at) if alert.acknowledged_at else None,
        acknowledged_by=alert.acknowledged_by,
        deploy=_deploy(deploy) if deploy else None,
        trace_id=alert.evidence.trace_id,
        evaluated_to=iso(state.evaluated_to),
    )


def _deploy(deploy: DeployNote) -> AlertDeploy:
    return AlertDeploy(id=deploy.id, version=deploy.version, git_sha=deploy.git_sha, deployed_at=iso(deploy.deployed_at))


def event_fields(event: Event) -> AlertEvent:
    """A line of the history as the API shows it."""
    return AlertEvent(
        id=event.id,
        rule_id=event.rule_id,
        rule_name=event.rule_name,
        severity=event.severity,
        key=event.key,
        labels=dict(event.labels),
        before=event.before,
        after=event.after,
        reason=event.reason,
        value=event.value,
        threshold=event.threshold,
        at=iso(event.at),
        by=event.by,
    )


def tested(rule: StoredRule, found: Backtest) -> AlertRuleTest:
    """A backtest as the API shows it."""
    readings = [AlertReading(labels=dict(s), value=r.value, holds=_holds(rule, r)) for s, r in found.readings.items()]
    return AlertRuleTest(
        evaluated_to=iso(found.evaluated_to),
        would_fire=any(reading.holds for reading in readings),
        readings=readings,
        error=found.problem,
        start_time=iso(found.since),
        interval_s=int(found.every.total_seconds()),
        windows=found.windows,
        windows_without_data=found.windows_without_data,
        alerts=[
            PastAlert(
                labels=dict(one.labels),
                started_at=iso(one.started_at),
                fired_at=iso(one.fired_at),
                ended_at=iso(one.ended_at) if one.ended_at else None,
                value=one.value,
            )
            for one in found.alerts
        ],
    )


def _holds(rule: StoredRule, reading: Reading) -> bool | None:
    return None if reading.value is None else rule.rule.condition.holds(reading.value)


def silence_fields(silence: Silence, now: dt.datetime) -> AlertSilence:
    """A silence as the API shows it."""
    state: Literal["pending", "active", "over"] = "pending" if now < silence.starts_at else "active"
    return AlertSilence(
        id=silence.id,
        rule_id=silence.rule_id,
        labels=dict(silence.labels),
        starts_at=iso(silence.starts_at),
        ends_at=iso(silence.ends_at),
        state=state if now < silence.ends_at else "over",
        comment=silence.comment,
        created_by=silence.created_by,
        created_at=iso(silence.created_at),
    )
