"""Messages about alerts as the server shows them."""

from __future__ import annotations

import datetime as dt

from msgspec import Struct


class AlertDelivery(Struct, frozen=True, kw_only=True):
    """A message to one channel, and what became of it."""

    id: str
    status: str
    """`pending`, `delivered`, `dead` (given up) or `superseded` (overtaken by newer news)."""
    event: str
    """What it says: `firing`, `acknowledged`, `resolved` or `deployed`."""
    message_id: str
    """The same on every attempt."""
    rule_id: str | None = None
    rule_name: str | None = None
    severity: str | None = None
    alert_key: str | None = None
    """The same for all messages of one alert."""
    labels: dict[str, str] = {}
    channel: str | dict[str, str]
    """As the rule names it; of secrets the last four characters are shown."""
    attempts: int
    created_at: dt.datetime
    last_attempt_at: dt.datetime | None = None
    next_attempt_at: dt.datetime | None = None
    """None unless it is pending."""
    settled_at: dt.datetime | None = None
    reason: str | None = None
    """Why it is not delivered, or not to all."""
