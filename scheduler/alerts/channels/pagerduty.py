"""PagerDuty: events of alerts, and of deploys, to the Events API v2.

Takes   one notification, or one deploy.
Gives   the request: trigger, acknowledge or resolve, all with the same dedup key; or a change event.
Refuses to guess where it goes: `ChannelUnusable`.

https://developer.pagerduty.com/docs/send-alert-event and https://developer.pagerduty.com/docs/send-change-event
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..deploy_notes import Deployed
from ..notifications import Notification
from ..targets import HttpRequest
from . import wording
from .channel import Channel
from .settings import ChannelSettings, ChannelUnusable

SUMMARY_MAX_CHARACTERS = 1024

_ACTIONS = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
_JSON = {"Content-Type": "application/json"}


def render(notification: Notification, channel: Channel, settings: ChannelSettings) -> HttpRequest:
    """The request that says it.

    Raises:
        ChannelUnusable: there is no routing key.
    """
    links = notification.links(settings.public_url, settings.lab_url)
    event: dict[str, Any] = {
        "routing_key": _routing_key(channel, settings),
        "event_action": _ACTIONS[notification.status],
        "dedup_key": notification.alert_key,
    }
    if notification.status == "firing":
        shown = {"Notebook": links.notebook, "Example trace": links.trace, "Rule": links.rule}
        event |= {
            "payload": _payload(notification),
            "links": [{"href": href, "text": text} for text, href in shown.items() if href],
            "client": "Tracelake",
            **({"client_url": links.rule} if links.rule else {}),
        }
    return HttpRequest(f"{settings.pagerduty_url.rstrip('/')}/v2/enqueue", msgspec.json.encode(event), _JSON)


def _payload(notification: Notification) -> dict[str, Any]:
    service = notification.labels.get("service")
    text = f"{wording.plain(notification.rule_name)}: {wording.summary(notification)}"
    return {
        "summary": wording.cut(text, SUMMARY_MAX_CHARACTERS),
        "source": service or f"{notification.project}/{notification.environment}",
        "severity": notification.severity,
        "timestamp": notification.started_at.isoformat(),
        "class": notification.metric,
        **({"component": service} if service else {}),
        "custom_details": {
            "value": notification.value,
            "threshold": f"{notification.operator} {wording.quantity(notification.threshold, notification.unit)}",
            "since": notification.started_at.isoformat(),
            "labels": dict(notification.labels),
            "deploy": wording.deploy(notification.deploy) if notification.deploy else None,
            "trace_id": notification.trace_id,
            "query": notification.query,
            "reason": notification.reason,
        },
    }


def render_deploy(deployed: Deployed, channel: Channel, settings: ChannelSettings) -> HttpRequest:
    """The change event of a deploy, which PagerDuty shows beside incidents.

    Raises:
        ChannelUnusable: there is no routing key.
    """
    event = {
        "routing_key": _routing_key(channel, settings),
        "payload": {
            "summary": wording.cut(deployed.summary, SUMMARY_MAX_CHARACTERS),
            "timestamp": deployed.deployed_at.isoformat(),
            "source": deployed.service or deployed.project,
            "custom_details": deployed.details,
        },
    }
    return HttpRequest(f"{settings.pagerduty_url.rstrip('/')}/v2/change/enqueue", msgspec.json.encode(event), _JSON)


def _routing_key(channel: Channel, settings: ChannelSettings) -> str:
    key = channel.target or settings.pagerduty_routing_key
    if not key:
        raise ChannelUnusable("set TRACELAKE_PAGERDUTY_ROUTING_KEY to an integration key of the Events API v2")
    return key
