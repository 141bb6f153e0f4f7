"""Formats: what those who receive notifications say that they take.

Takes   what was sent: the decoded JSON of a request, or a signed one as it came.
Gives   the content, once it is known to be right.
Refuses what a receiver would refuse: Slack by the checks of its own library, the others by what their pages say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema
from slack_sdk.models.blocks import Block
from standardwebhooks import Webhook

_TEXT = {"type": "string", "minLength": 1}
_ROUTING_KEY = {"type": "string", "minLength": 32, "maxLength": 32}
_LINKS = {"type": "array", "items": {"type": "object", "required": ["href"], "properties": {"href": _TEXT, "text": _TEXT}}}
_PAYLOAD = {"summary": {**_TEXT, "maxLength": 1024}, "source": _TEXT, "timestamp": {**_TEXT, "format": "date-time"},
            "custom_details": {"type": "object"}}  # fmt: skip
PAGERDUTY_EVENT = {
    "type": "object",
    "required": ["routing_key", "event_action", "dedup_key"],
    "additionalProperties": False,
    "properties": {
        "routing_key": _ROUTING_KEY,
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {**_TEXT, "maxLength": 255},
        "client": _TEXT,
        "client_url": _TEXT,
        "links": _LINKS,
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                **_PAYLOAD,
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "component": _TEXT,
                "group": _TEXT,
                "class": _TEXT,
            },
        },
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
}
"""What https://developer.pagerduty.com/docs/send-alert-event says of the fields."""
PAGERDUTY_CHANGE = {
    "type": "object",
    "required": ["routing_key", "payload"],
    "additionalProperties": False,
    "properties": {
        "routing_key": _ROUTING_KEY,
        "links": _LINKS,
        "payload": {"type": "object", "required": ["summary"], "additionalProperties": False, "properties": _PAYLOAD},
    },
}
"""The same of https://developer.pagerduty.com/docs/send-change-event."""

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_TIME = {"type": "string", "format": "date-time"}
_STATUS = {"enum": ["firing", "resolved"]}
_ALERT = {"status": _STATUS, "labels": _TEXTS, "annotations": _TEXTS, "startsAt": _TIME, "endsAt": _TIME,
          "generatorURL": {"type": "string"}, "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{16}$"}}  # fmt: skip
_FIELDS = {
    "version": {"const": "4"}, "groupKey": {"type": "string"}, "truncatedAlerts": {"type": "integer"}, "status": _STATUS,
    "receiver": {"type": "string"}, "groupLabels": _TEXTS, "commonLabels": _TEXTS, "commonAnnotations": _TEXTS,
    "externalURL": {"type": "string"},
    "alerts": {"type": "array", "minItems": 1, "items": {
        "type": "object", "required": list(_ALERT), "additionalProperties": False, "properties": _ALERT}},
    "tracelake": {"type": "object"},
}  # fmt: skip
ALERTMANAGER_BODY = {"type": "object", "required": list(_FIELDS), "additionalProperties": False, "properties": _FIELDS}
"""The body of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, and ours beside it."""


def slack_message(sent: dict[str, Any]) -> dict[str, Any]:
    """A message that an incoming webhook takes: Block Kit within its limits."""
    assert sent["text"]
    assert 1 <= len(sent["blocks"]) <= 50
    for block in Block.parse_all(sent["blocks"]):
        block.validate_json()
    return sent


def pagerduty_event(sent: dict[str, Any]) -> dict[str, Any]:
    """An event of the Events API v2."""
    jsonschema.validate(sent, PAGERDUTY_EVENT, format_checker=jsonschema.FormatChecker())
    return sent


def pagerduty_change(sent: dict[str, Any]) -> dict[str, Any]:
    """A change event of the same."""
    jsonschema.validate(sent, PAGERDUTY_CHANGE, format_checker=jsonschema.FormatChecker())
    return sent


def alertmanager_body(sent: dict[str, Any]) -> dict[str, Any]:
    """The body of a webhook, version 4."""
    jsonschema.validate(sent, ALERTMANAGER_BODY, format_checker=jsonschema.FormatChecker())
    return sent


def signed_webhook(body: bytes, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
    """The body of a webhook that the library of Standard Webhooks verifies."""
    return alertmanager_body(Webhook(secret).verify(body, dict(headers)))
