"""Deliverer: messages of the outbox on their way, some at a time.

Takes   the outbox, and what sends.
Gives   attempts: each is written down before it is made, so that a process that is killed during one tries it again.
Refuses nothing: what fails is tried again or dead (`scheduler.alerts.delivery`), and while the database cannot be used
        nothing is sent.

A message arrives once at least. If the process is killed after it was sent and before it knew, it comes twice, with the same
id: PagerDuty and receivers of webhooks then keep one.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol

import structlog

from lake.errors import Overloaded

from .channels.channel import Channel
from .channels.outcome import Outcome
from .channels.senders import Message
from .delivery import Batch, Delivery, ready, settled, superseded
from .deploy_notes import Deployed
from .notifications import Notification
from .outbox import Outbox

WORKERS = 16
"""Attempts at the same time, of all channels."""

log = structlog.get_logger()


class Sends(Protocol):
    """What sends: `scheduler.alerts.channels.senders.Senders`."""

    def send(self, message: Message, channel: Channel, *, message_id: str, sent_at: datetime) -> Outcome: ...


class Deliverer:
    """Delivers what is in an outbox. `deliver` is for one thread at a time."""

    def __init__(
        self,
        outbox: Outbox,
        senders: Sends,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            jitter: from 0 to 1.
        """
        self._outbox = outbox
        self._senders = senders
        self._now = now
        self._jitter = jitter
        self._pool = ThreadPoolExecutor(WORKERS, "deliver")
        self._lock = threading.Lock()
        self._busy: dict[str, str] = {}
        """Ids of messages that are being sent, with the key of their channel."""
        self._attempts = 0
        """Attempts that are being made; each may be of several messages."""
        self._idle = threading.Condition(self._lock)

    def deliver(self) -> None:
        """Begin to send what is due; does not wait for it, so that one that hangs holds up no other."""
        with self._lock:
            busy = dict(self._busy)
        try:
            waiting = self._outbox.pending()
            if old := superseded(waiting, busy):
                self._outbox.supersede(old)
            left_out = {one.id for one in old}
            for batch in ready([one for one in waiting if one.id not in left_out], self._now(), busy):
                if not self._has_room():  # what waits here for a thread would go before what comes meanwhile and is new
                    return
                if claimed := self._outbox.claim(batch):
                    self._begin(claimed)
        except Overloaded as error:
            log.warning("messages not sent for the moment", reason=str(error))

    def _has_room(self) -> bool:
        """Whether a thread is free for one more attempt."""
        with self._lock:
            return self._attempts < WORKERS

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is being sent; whether that is so."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._busy, timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Begin nothing more, and wait some seconds for what is being sent."""
        self.wait_idle(timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, batch: Batch) -> None:
        with self._lock:
            self._busy.update({one.id: one.channel.key for one in batch})
            self._attempts += 1
        self._pool.submit(self._attempt, batch)

    def _attempt(self, batch: Batch) -> None:
        try:
            outcome = self._send(batch)
            now, jitter = self._now(), self._jitter()
            after = [settled(one, outcome, now, jitter) for one in batch]
            self._outbox.settle(after)
            if outcome.retry_after_s and outcome.result == "retry":
                self._outbox.hold(batch[0].channel, now + timedelta(seconds=outcome.retry_after_s))
            _log(after)
        except Overloaded as error:  # it stays as it was claimed, and is tried again
            log.warning("what became of a message is not written", message=batch[0].message_id, reason=str(error))
        finally:
            with self._idle:
                self._attempts -= 1
                for one in batch:
                    del self._busy[one.id]
                self._idle.notify_all()

    def _send(self, batch: Batch) -> Outcome:
        try:
            message = _message(batch)
        except ValueError as error:  # of another version, or damaged; no attempt will read it
            return Outcome("dead", f"it cannot be read: {error}")
        return self._senders.send(message, batch[0].channel, message_id=message_id(batch), sent_at=self._now())


def message_id(batch: Batch) -> str:
    """The id of a message: the same whenever the same is said."""
    if len(batch) == 1:
        return batch[0].message_id
    ids = "\n".join(sorted(one.message_id for one in batch))
    return f"msg_{sha256(ids.encode()).hexdigest()[:24]}"


def _message(batch: Batch) -> Sequence[Notification] | Deployed:
    """
    Raises:
        ValueError: what was kept is none.
    """
    if batch[0].event == "deployed":
        return Deployed.from_json(batch[0].content)
    return [Notification.from_json(one.content) for one in batch]


def _log(batch: Sequence[Delivery]) -> None:
    """Say what became of messages; of dead ones aloud."""
    for one in batch:
        tell = log.error if one.status == "dead" else log.info if one.status == "delivered" else log.warning
        tell(
            "message", delivery=one.id, channel=one.channel.type, status=one.status, attempts=one.attempts, reason=one.reason
        )
