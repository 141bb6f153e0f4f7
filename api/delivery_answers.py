"""Delivery answers: messages about alerts as the API shows them.

Takes   messages of the outbox.
Gives   `AlertDelivery`, without the secrets of channels.
Refuses nothing: of a message whose content cannot be read any more, only what the outbox itself knows is shown.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from scheduler.alerts.channels.channel import shown_channel
from scheduler.alerts.delivery import Delivery, DeliveryStatus, Event
from scheduler.alerts.notifications import Notification

from .answers import Answer, Listed, Timestamp
from .times import iso


class AlertDelivery(Answer, kw_only=True, frozen=True):
    """A message to one channel, and what became of it."""

    id: str
    status: Annotated[DeliveryStatus, Meta(description="`dead` is given up; `superseded` was overtaken by newer news")]
    event: Annotated[Event, Meta(description="What it says; `deployed` is a change event of PagerDuty")]
    message_id: Annotated[str, Meta(description="The same on every attempt; header `webhook-id`")]
    rule_id: str | None
    rule_name: str | None
    severity: Literal["critical", "warning", "info"] | None
    alert_key: Annotated[str | None, Meta(description="The same for all messages of one alert; `dedup_key` of PagerDuty")]
    labels: dict[str, str]
    channel: Annotated[
        str | dict[str, str], Meta(description="As the rule names it; of secrets the last four characters are shown")
    ]
    attempts: int
    created_at: Timestamp
    last_attempt_at: Timestamp | None
    next_attempt_at: Annotated[Timestamp | None, Meta(description="Null unless it is pending")]
    settled_at: Timestamp | None
    reason: Annotated[str | None, Meta(description="Why it is not delivered, or not to all")]


class AlertDeliveryList(Listed[AlertDelivery], kw_only=True, frozen=True):
    """A page of messages, the last one first."""


def shown(delivery: Delivery) -> AlertDelivery:
    """A message as it is shown."""
    is_alert = delivery.event != "deployed"
    return AlertDelivery(
        id=delivery.id,
        status=delivery.status,
        event=delivery.event,
        message_id=delivery.message_id,
        rule_id=delivery.rule_id,
        alert_key=delivery.about if is_alert else None,
        channel=shown_channel(delivery.channel),
        attempts=delivery.attempts,
        created_at=iso(delivery.created_at),
        last_attempt_at=None if delivery.attempted_at is None else iso(delivery.attempted_at),
        next_attempt_at=iso(delivery.due_at) if delivery.status == "pending" else None,
        settled_at=None if delivery.settled_at is None else iso(delivery.settled_at),
        reason=delivery.reason,
        **_content(delivery),
    )


def _content(delivery: Delivery) -> dict[str, Any]:
    nothing: dict[str, Any] = {"rule_name": None, "severity": None, "labels": {}}
    if delivery.event == "deployed":
        return nothing
    try:
        said = Notification.from_json(delivery.content)
    except ValueError:
        return nothing
    return {"rule_name": said.rule_name, "severity": said.severity, "labels": dict(said.labels)}
