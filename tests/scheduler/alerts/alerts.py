"""Notifications for tests: one, and changes of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from scheduler.alerts.notifications import DeployNote, Notification, alert_key, new_message_id

BEGAN = dt.datetime(2026, 11, 25, 9, 0, tzinfo=dt.UTC)

DEPLOY = DeployNote("deploy_0123456789abcdef0123", "v1.2.3", "abc123def4567890abc123def4567890abc12345",
                    BEGAN - dt.timedelta(minutes=7))  # fmt: skip

FIRING = Notification(
    id="msg_0123456789abcdef01234567",
    project="shop",
    environment="live",
    rule_id="rule_8c1d2e3f4a",
    rule_name="p95 of checkout",
    severity="critical",
    alert_key=alert_key("shop", "live", "rule_8c1d2e3f4a", {"service": "checkout"}),
    labels={"service": "checkout"},
    status="firing",
    reason=None,
    metric="latency_p95",
    operator=">",
    threshold=500.0,
    unit="ms",
    window_s=300,
    query=None,
    value=812.4,
    started_at=BEGAN,
    ended_at=None,
    evaluated_to=BEGAN + dt.timedelta(minutes=2),
    deploy=DEPLOY,
    trace_id="5b8aa5a2d2c872e8321cf37308d69df2",
)

RESOLVED = replace(FIRING, id="msg_89abcdef0123456789abcdef", status="resolved", value=120.0,
                   ended_at=BEGAN + dt.timedelta(minutes=12, seconds=30))  # fmt: skip


def of_service(service: str, notification: Notification = FIRING, **changes: Any) -> Notification:
    """The same of another service, as another message."""
    labels = {"service": service}
    key = alert_key(notification.project, notification.environment, notification.rule_id, labels)
    return replace(notification, **{"id": new_message_id(), "labels": labels, "alert_key": key, **changes})
