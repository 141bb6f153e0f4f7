"""Wording: what every message says of an alert, whatever it is sent by.

Takes   notifications; times in UTC, values in the unit of the metric.
Gives   a title in one line, and facts: label and text, with the address it links to.
Refuses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ..notifications import DeployNote, Links, Notification

TITLE_MAX_CHARACTERS = 150
SHA_CHARACTERS = 12
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_OPERATORS = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
_REASONS = {
    "no_data": "no data to judge",
    "error": "the rule cannot be evaluated",
    "rule_deleted": "the rule is gone",
    "rule_disabled": "the rule is switched off",
    "channel_removed": "the rule does not tell this channel any more",
    "missing_series": "nothing comes from it any more",
}


class Fact(NamedTuple):
    """One line of a message."""

    label: str
    text: str
    url: str | None = None


def plain(text: str) -> str:
    """A text of users on one line, without control characters."""
    return _CONTROL.sub(" ", text).strip()


def cut(text: str, characters: int) -> str:
    """A text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def title(notifications: Sequence[Notification]) -> str:
    """What happened, in one line.

    Args:
        notifications: of one rule and status, one at least.
    """
    first = notifications[0]
    what = {"firing": f"[{first.severity}]", "acknowledged": "Acknowledged:", "resolved": "Resolved:"}[first.status]
    where = subject(first) if len(notifications) == 1 else f"{len(notifications)} {_series(first)}"
    name = plain(first.rule_name)
    text = f"{what} {name}" if not where or where in name else f"{what} {name}: {where}"
    return cut(text, TITLE_MAX_CHARACTERS)


def subject(notification: Notification) -> str:
    """Which series it is about; empty if the rule has one only."""
    return plain(" ".join(notification.labels[name] for name in ("service", "endpoint") if name in notification.labels))


def _series(notification: Notification) -> str:
    return "endpoints" if "endpoint" in notification.labels else "services" if "service" in notification.labels else "alerts"


def summary(notification: Notification) -> str:
    """What is the matter, in one sentence."""
    who = subject(notification) or plain(notification.rule_name)
    if notification.status == "resolved":
        return f"{who}: {_resolved(notification)}"
    if notification.reason:
        return f"{who}: {_REASONS[notification.reason]}"
    return f"{who}: {condition(notification)}"


def condition(notification: Notification) -> str:
    """The value beside the threshold: `latency_p95 812 ms, above 500 ms over 5 min`."""
    name = plain(notification.query or notification.metric)
    value = "no value" if notification.value is None else quantity(notification.value, notification.unit)
    limit = quantity(notification.threshold, notification.unit)
    return (
        f"{name} {value}, {_OPERATORS[notification.operator]} {limit} over {span(timedelta(seconds=notification.window_s))}"
    )


def _resolved(notification: Notification) -> str:
    if notification.reason:
        return _REASONS[notification.reason]
    ended_at = notification.ended_at or notification.evaluated_to
    return f"well again after {span(ended_at - notification.started_at)}"


def facts(notification: Notification, links: Links) -> list[Fact]:
    """Service, value, threshold, since when, the deploy before, an example and where to look."""
    value = "none" if notification.value is None else quantity(notification.value, notification.unit)
    limit = quantity(notification.threshold, notification.unit)
    window = span(timedelta(seconds=notification.window_s))
    found = [
        *(Fact(name.capitalize(), plain(text)) for name, text in notification.labels.items()),
        Fact("Value", f"{plain(notification.query or notification.metric)}: {value} over {window}"),
        Fact("Threshold", f"{notification.operator} {limit}"),
        Fact("Since", moment(notification.started_at)),
    ]
    if notification.ended_at is not None:
        found.append(Fact("Until", moment(notification.ended_at)))
    if notification.reason:
        found.append(Fact("Reason", _REASONS[notification.reason]))
    found.append(Fact("Last deploy before", deploy(notification.deploy) if notification.deploy else "none known"))
    if notification.trace_id:
        found.append(Fact("Example trace", notification.trace_id, links.trace))
    if links.notebook:
        found.append(Fact("Notebook", "open", links.notebook))
    if links.rule:
        found.append(Fact("Rule", plain(notification.rule_name), links.rule))
    found.append(Fact("Lake", f"{notification.project}/{notification.environment}"))
    return found


def deploy(note: DeployNote) -> str:
    """A deploy by version and commit, and when it was."""
    names = [plain(note.version)] if note.version else []
    if note.git_sha:
        names.append(plain(note.git_sha)[:SHA_CHARACTERS])
    return f"{' '.join(names) or note.id}, {moment(note.deployed_at)}"


def quantity(value: float, unit: str) -> str:
    """A value for people: `812 ms`, `4.2 %`, `1,200 per minute`."""
    if unit == "ratio":
        return f"{_digits(value * 100)} %"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three significant digits, all of those before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:,.3g}"
    return text if "e" not in text else f"{value:.2g}"


def moment(time: datetime) -> str:
    """A time to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(time: timedelta) -> str:
    """A length of time by its two largest units: `2 h 5 min`."""
    left_s = max(0, round(time.total_seconds()))
    parts: list[str] = []
    for name, length_s in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left_s = divmod(left_s, length_s)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])
