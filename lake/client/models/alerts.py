"""Alert rules, alerts and silences as the server shows them, and what may be said of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from msgspec import UNSET, Struct, UnsetType, field


class AlertCondition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must hold for an alert: see docs/alerts.md. Durations are text such as `5m`, or seconds."""

    metric: str | UnsetType = UNSET
    """Without it `query` must be there."""
    operator: str | UnsetType = UNSET
    """`>` (if left out), `>=`, `<` or `<=`."""
    threshold: float | UnsetType = UNSET
    """In the unit of the metric."""
    window: str | int
    service: str | UnsetType = UNSET
    operation: str | UnsetType = UNSET
    environment: str | UnsetType = UNSET
    cluster: str | UnsetType = UNSET
    min_requests: int | UnsetType = UNSET
    hold: str | int | UnsetType = field(default=UNSET, name="for")
    """How long it must hold before the alert fires."""
    keep_firing_for: str | int | UnsetType = UNSET
    group_by: str | UnsetType = UNSET
    """`service` or `endpoint`: one alert for each."""
    no_data: str | UnsetType = UNSET
    """`keep` (if left out), `ok` or `alert`."""
    on_error: str | UnsetType = UNSET
    apdex_threshold_ms: float | UnsetType = UNSET
    query: str | UnsetType = UNSET
    """TQ in place of a metric."""


class AlertRuleRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule to make, or to put in the place of another one."""

    name: str
    condition: AlertCondition
    channels: Sequence[str | Mapping[str, str]]
    """`slack`, `email`, `pagerduty`, `webhook`, or objects with `type` and `target`."""
    severity: str | UnsetType = UNSET
    """`critical`, `warning` (if left out) or `info`."""
    enabled: bool | UnsetType = UNSET
    repeat_interval: str | int | UnsetType = UNSET
    """When an alert that goes on is told again; 0: never."""


class AlertRuleChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to change of a rule; what is left out stays. A condition is changed as a whole."""

    name: str | UnsetType = UNSET
    condition: AlertCondition | UnsetType = UNSET
    channels: Sequence[str | Mapping[str, str]] | UnsetType = UNSET
    severity: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    repeat_interval: str | int | UnsetType = UNSET


class ShownCondition(Struct, frozen=True, kw_only=True):
    """The condition of a rule as it was given; None is what was not."""

    metric: str
    operator: str
    threshold: float
    window: str
    service: str | None = None
    operation: str | None = None
    environment: str | None = None
    cluster: str | None = None
    min_requests: int | None = None
    hold: str | None = field(default=None, name="for")
    keep_firing_for: str | None = None
    group_by: str | None = None
    no_data: str | None = None
    on_error: str | None = None
    apdex_threshold_ms: float | None = None
    query: str | None = None


class AlertRule(Struct, frozen=True, kw_only=True):
    """A rule and how it stands."""

    id: str
    name: str
    condition: ShownCondition
    channels: list[str | dict[str, str]]
    """Secrets are `****` and their last four characters."""
    severity: str
    enabled: bool = True
    repeat_interval: str | None = None
    origin: str | None = None
    """`file` if `tracelake rules apply` looks after it, else `api`."""
    state: str
    """Of the alert that is worst off: `firing`, `recovering`, `pending`, `error`, `no_data` or `ok`."""
    last_value: float | None = None
    last_evaluated_at: dt.datetime | None = None
    last_triggered_at: dt.datetime | None = None
    last_error: str | None = None
    """Why the last window could not be judged."""
    created_at: dt.datetime
    updated_at: dt.datetime


class DeletedAlertRule(Struct, frozen=True, kw_only=True):
    """A rule that is gone."""

    id: str
    deleted: bool


class AlertDeploy(Struct, frozen=True, kw_only=True):
    """The last deploy before an alert began."""

    id: str
    version: str | None = None
    git_sha: str | None = None
    deployed_at: dt.datetime


class Alert(Struct, frozen=True, kw_only=True):
    """How one series of a rule stands."""

    key: str
    """Names it, for acknowledging."""
    rule_id: str
    rule_name: str
    severity: str
    labels: dict[str, str] = {}
    state: str
    since: dt.datetime
    started_at: dt.datetime | None = None
    """When the condition began to hold."""
    value: float | None = None
    threshold: float
    unit: str = ""
    reason: str | None = None
    """`no_data`, `error`, ... if it is not the value."""
    acknowledged_at: dt.datetime | None = None
    acknowledged_by: str | None = None
    deploy: AlertDeploy | None = None
    trace_id: str | None = None
    """An example."""
    evaluated_to: dt.datetime


class AlertEvent(Struct, frozen=True, kw_only=True):
    """A change of an alert."""

    id: str
    rule_id: str
    rule_name: str
    severity: str
    key: str
    labels: dict[str, str] = {}
    before: str
    after: str
    """A state, or `acknowledged`."""
    reason: str | None = None
    value: float | None = None
    threshold: float
    at: dt.datetime
    by: str | None = None
    """Id of the key of who did it, if somebody did."""


class AlertReading(Struct, frozen=True, kw_only=True):
    """What the newest window says of a series."""

    labels: dict[str, str]
    value: float | None = None
    holds: bool | None = None
    """Whether the condition does; None where nothing is known."""


class PastAlert(Struct, frozen=True, kw_only=True):
    """An alert that would have fired."""

    labels: dict[str, str]
    started_at: dt.datetime
    fired_at: dt.datetime
    ended_at: dt.datetime | None = None
    value: float | None = None


class AlertRuleTest(Struct, frozen=True, kw_only=True):
    """What a rule says now and would have said."""

    evaluated_to: dt.datetime
    """End of the newest window."""
    would_fire: bool
    """Whether the condition holds of some series now."""
    readings: list[AlertReading] = []
    error: str | None = None
    """Why the newest window could not be read."""
    start_time: dt.datetime
    interval_s: int
    windows: int
    windows_without_data: int
    alerts: list[PastAlert] = []


class SilenceRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A time in which nobody is told."""

    rule_id: str | UnsetType = UNSET
    """Without it of every rule."""
    labels: Mapping[str, str] | UnsetType = UNSET
    """Only alerts that have these."""
    starts_at: dt.datetime | UnsetType = UNSET
    """Without it now."""
    ends_at: dt.datetime
    comment: str | UnsetType = UNSET


class AlertSilence(Struct, frozen=True, kw_only=True):
    """A time in which nobody is told."""

    id: str
    rule_id: str | None = None
    labels: dict[str, str] = {}
    starts_at: dt.datetime
    ends_at: dt.datetime
    state: str
    """`pending`, `active` or `over`."""
    comment: str = ""
    created_by: str
    created_at: dt.datetime
