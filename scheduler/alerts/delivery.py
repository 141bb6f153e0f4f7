"""Delivery: which message goes now, and what becomes of one that was tried. Decisions only; they are pure functions.

Takes   the messages that wait, in the order they came; the time; what an attempt brought.
Gives   what is not worth sending any more, what is sent now and together, and when the next attempt is.
Refuses nothing.

Messages of one alert to one channel keep their order: each waits for all before it, and nothing else waits for it. A message
whose news is old when its turn comes is left out, and so is the end of an alert whose beginning nobody was told of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from .channels.channel import Channel
from .channels.outcome import Outcome

Event = Literal["firing", "acknowledged", "resolved", "deployed"]
DeliveryStatus = Literal["pending", "delivered", "dead", "superseded"]

FIRST_WAIT_S = 1.0
"""Seconds after a first attempt; each further wait is twice as long, up to one of the next two."""
SOON_WAIT_S = 30.0
"""Longest wait while a message is younger than `SOON`: who is back is told within a minute."""
LATE_WAIT_S = 300.0
SOON = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)
BATCH_MAX = 50
"""Alerts that one message speaks of."""
AT_ONCE_PER_CHANNEL = 2
"""Attempts at one channel at the same time; one that hangs keeps no more from the others."""
_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one channel."""

    id: str
    sequence: int
    project: str
    environment: str
    about: str
    """The alert's key, or the id of a deploy."""
    event: Event
    began_at: datetime
    rule_id: str | None
    batch: str
    message_id: str
    content: str
    """JSON of the notification or deploy."""
    channel: Channel
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    tried_since: datetime
    """When it came, or when somebody asked that it be tried again."""
    due_at: datetime
    attempted_at: datetime | None = None
    settled_at: datetime | None = None
    reason: str | None = None
    is_run_known: bool = False
    """Whether an attempt was made to tell this channel of this run of the alert, by this message or another one."""

    @property
    def order(self) -> tuple[str, str]:
        """Messages that are equal in this keep their order."""
        return self.about, self.channel.key


Batch = Sequence[Delivery]
"""Messages that go as one: of one rule and event, from one sweep, to one channel."""


def is_due(delivery: Delivery, now: datetime) -> bool:
    """Whether it is time; also when the clock was set back since, as then nothing is known of times."""
    known = delivery.attempted_at or delivery.created_at
    return delivery.due_at <= now or known > now + _TOLERANCE


def superseded(pending: Iterable[Delivery], busy: Collection[str]) -> list[Delivery]:
    """Messages that are not worth sending any more.

    A message that an alert fires is old news when the same is waiting to be said again, or that it is over. If nobody was
    told of it at all, its end is no news either.

    Args:
        pending: in the order they came.
        busy: ids of those that are being sent.
    """
    return [one for messages in _in_order(pending) for one in _superseded(messages, busy)]


def _superseded(messages: Sequence[Delivery], busy: Collection[str]) -> list[Delivery]:
    """The same among messages that keep their order."""
    old = []
    for index, one in enumerate(messages):
        later = {other.event for other in messages[index + 1 :] if other.began_at == one.began_at}
        if one.id not in busy and one.event in ("firing", "acknowledged") and later & {one.event, "resolved"}:
            old.append(one)
    untold = {one.began_at for one in old if not one.is_run_known}
    return old + [one for one in messages if one.event == "resolved" and one.began_at in untold]


def ready(pending: Iterable[Delivery], now: datetime, busy: Mapping[str, str]) -> list[Batch]:
    """What is sent now: those tried least first.

    Args:
        pending: in the order they came, without those that are superseded.
        busy: ids of those that are being sent, with the key of their channel.
    """
    heads = [messages[0] for messages in _in_order(pending)]
    due = sorted((one for one in heads if one.id not in busy and is_due(one, now)), key=_together)
    batches = [
        group[first : first + size]
        for _, members in groupby(due, key=_together)
        for group in [sorted(members, key=lambda one: one.sequence)]
        for size in [1 if group[0].channel.type == "pagerduty" else BATCH_MAX]
        for first in range(0, len(group), size)
    ]
    room = Counter(busy.values())
    chosen: list[Batch] = []
    for batch in sorted(batches, key=lambda batch: (batch[0].attempts, batch[0].sequence)):
        if room[batch[0].channel.key] < AT_ONCE_PER_CHANNEL:
            room[batch[0].channel.key] += 1
            chosen.append(batch)
    return chosen


def settled(delivery: Delivery, outcome: Outcome, now: datetime, jitter: float) -> Delivery:
    """A message after an attempt, which `attempts` counts already.

    Args:
        jitter: from 0 to 1.
    """
    if outcome.result == "delivered":
        return replace(delivery, status="delivered", settled_at=now, reason=outcome.reason)
    due_at = now + timedelta(seconds=wait_s(delivery, now, jitter, outcome.retry_after_s))
    if outcome.result == "dead" or due_at - delivery.tried_since > GIVE_UP_AFTER:
        gave_up = "" if outcome.result == "dead" else f"given up after {delivery.attempts} attempts: "
        return replace(delivery, status="dead", settled_at=now, reason=f"{gave_up}{outcome.reason}")
    return replace(delivery, due_at=due_at, reason=outcome.reason)


def wait_s(delivery: Delivery, now: datetime, jitter: float, asked_s: float | None) -> float:
    """Seconds until the next attempt: exponential, of which a random half, and never less than asked for."""
    longest_s = SOON_WAIT_S if now - delivery.tried_since < SOON else LATE_WAIT_S
    doubled_s = FIRST_WAIT_S * 2.0 ** min(delivery.attempts - 1, 10)
    return max(min(doubled_s, longest_s) * (0.5 + jitter / 2), asked_s or 0.0)


def _in_order(pending: Iterable[Delivery]) -> list[list[Delivery]]:
    """Messages that keep their order among each other."""
    found: dict[tuple[str, str], list[Delivery]] = {}
    for one in pending:
        found.setdefault(one.order, []).append(one)
    return list(found.values())


def _together(delivery: Delivery) -> tuple[str, str, int]:
    """Messages that are equal in this go as one; those that failed before go apart from new ones, as they went."""
    return delivery.channel.key, delivery.batch, min(delivery.attempts, 1)
