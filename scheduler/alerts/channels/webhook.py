"""Webhook: the body that Prometheus' Alertmanager sends (version 4), with what Tracelake knows under `tracelake`.

Takes   notifications of one rule and status.
Gives   the request, signed per Standard Webhooks where there is a secret.
Refuses to guess where it goes: `ChannelUnusable`.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from ..notifications import Notification
from ..targets import HttpRequest
from . import wording
from .channel import Channel
from .settings import ChannelSettings, ChannelUnusable
from .signing import signature_headers

NOT_ENDED = "0001-01-01T00:00:00Z"
"""Go's zero time, which Alertmanager writes while an alert fires."""
ALERTS_MAX = 50
"""Alerts in one body; how many there are beyond is said in `truncatedAlerts`."""


def render(
    notifications: Sequence[Notification], channel: Channel, settings: ChannelSettings, *, message_id: str, sent_at: datetime
) -> HttpRequest:
    """The request that says it.

    Args:
        message_id: the same on every attempt.
        sent_at: the moment of this attempt.

    Raises:
        ChannelUnusable: no address is set.
    """
    url = channel.target or settings.webhook_url
    if not url:
        raise ChannelUnusable("set TRACELAKE_WEBHOOK_URL to the address that takes the messages")
    # the secret of the settings is for their own address: another one might be anybody's
    secret = channel.secret or ("" if channel.target else settings.webhook_secret)
    body = msgspec.json.encode(_body(notifications, settings))
    signed = signature_headers(secret, message_id, body, sent_at) if secret else {"webhook-id": message_id}
    return HttpRequest(url, body, {"Content-Type": "application/json", **signed})


def _body(notifications: Sequence[Notification], settings: ChannelSettings) -> dict[str, Any]:
    first, shown = notifications[0], notifications[:ALERTS_MAX]
    alerts = [_alert(one, settings) for one in shown]
    return {
        "version": "4",
        "groupKey": f"{first.project}/{first.environment}:{first.rule_id}",
        "truncatedAlerts": len(notifications) - len(shown),
        "status": "resolved" if first.status == "resolved" else "firing",
        "receiver": "tracelake",
        "groupLabels": {"alertname": first.rule_name},
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": settings.public_url,
        "alerts": alerts,
        "tracelake": {"title": wording.title(notifications), "alerts": [_details(one, settings) for one in shown]},
    }


def _alert(notification: Notification, settings: ChannelSettings) -> dict[str, Any]:
    links = notification.links(settings.public_url, settings.lab_url)
    return {
        "status": "resolved" if notification.status == "resolved" else "firing",
        "labels": {
            "alertname": notification.rule_name,
            "severity": notification.severity,
            "project": notification.project,
            "environment": notification.environment,
            **notification.labels,
            **({"reason": notification.reason} if notification.reason else {}),
        },
        "annotations": {"summary": wording.summary(notification), "description": wording.condition(notification)},
        "startsAt": _time(notification.started_at),
        "endsAt": _time(notification.ended_at) if notification.ended_at else NOT_ENDED,
        "generatorURL": links.rule or "",
        "fingerprint": sha256(notification.alert_key.encode()).hexdigest()[:16],  # 64 bits, as theirs
    }


def _details(notification: Notification, settings: ChannelSettings) -> dict[str, Any]:
    """What has no place in Alertmanager's body."""
    links, note = notification.links(settings.public_url, settings.lab_url), notification.deploy
    deploy = note and {
        "id": note.id,
        "version": note.version,
        "git_sha": note.git_sha,
        "deployed_at": _time(note.deployed_at),
    }
    return {
        "id": notification.id,
        "alert_key": notification.alert_key,
        "rule_id": notification.rule_id,
        "status": notification.status,
        "metric": notification.metric,
        "query": notification.query,
        "operator": notification.operator,
        "threshold": notification.threshold,
        "value": notification.value,
        "unit": notification.unit,
        "window_s": notification.window_s,
        "evaluated_to": _time(notification.evaluated_to),
        "deploy": deploy,
        "exemplar_trace_ids": [notification.trace_id] if notification.trace_id else [],
        "trace_url": links.trace,
        "notebook_url": links.notebook,
    }


def _common(maps: Sequence[dict[str, str]]) -> dict[str, str]:
    """What is the same in all of them."""
    return {name: value for name, value in maps[0].items() if all(other.get(name) == value for other in maps)}


def _time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
