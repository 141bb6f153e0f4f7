"""Outbox: messages in the control database, from the moment an alert changes until they are delivered or given up.

Takes   notifications, in the transaction that changes their alerts, so that neither is there without the other.
Gives   the messages that wait, for `scheduler.alerts.deliverer`; all of a lake, for people.
Refuses to try again what is not dead, or what newer news has overtaken: `RetryRefused`. While the database cannot be read or
        written it raises `Overloaded`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, exists, func, insert, select, update

from lake.control.access import changing, from_us, reading, to_us
from lake.control.delivery_tables import alert_deliveries as deliveries
from lake.errors import LakeError

from .channels.channel import Channel
from .delivery import GIVE_UP_AFTER, Delivery
from .deploy_notes import Deployed
from .notifications import Notification

KEPT = timedelta(days=30)
"""How long messages that are settled can be looked at."""


class RetryRefused(LakeError):
    """The message cannot be tried again; the text says why."""


def enqueue(connection: Connection, notification: Notification, channels: Iterable[Channel], now: datetime) -> None:
    """Put a message to each of some channels into the outbox, within a transaction of the caller.

    Args:
        channels: each once; a channel that is named twice gets one message.
    """
    batch = f"{notification.rule_id}/{notification.status}/{notification.evaluated_to.isoformat()}"
    common = {
        "project": notification.project,
        "environment": notification.environment,
        "about": notification.alert_key,
        "event": notification.status,
        "began_at_us": to_us(notification.started_at),
        "rule_id": notification.rule_id,
        "batch": sha256(batch.encode()).hexdigest()[:32],
        "message_id": notification.id,
        "content": notification.to_json(),
    }
    _insert(connection, common, channels, now)


def enqueue_deploys(connection: Connection, environment: str, deployed: Iterable[Deployed], now: datetime) -> None:
    """Put deploys that are not in the outbox yet into it, within a transaction of the caller."""
    for one in deployed:
        known = select(deliveries.c.id).where(deliveries.c.about == one.id, deliveries.c.project == one.project)
        if connection.execute(known.limit(1)).first() is None:
            common = {
                "project": one.project,
                "environment": environment,
                "about": one.id,
                "event": "deployed",
                "began_at_us": to_us(one.deployed_at),
                "rule_id": None,
                "batch": one.id,
                "message_id": f"msg_{sha256(one.id.encode()).hexdigest()[:24]}",
                "content": one.to_json(),
            }
            _insert(connection, common, [Channel("pagerduty")], now)


def _insert(connection: Connection, common: Mapping[str, Any], channels: Iterable[Channel], now: datetime) -> None:
    rows = [
        {
            **common,
            "id": f"dlv_{secrets.token_hex(10)}",
            "channel": channel.to_json(),
            "channel_key": key,
            "status": "pending",
            "attempts": 0,
            "created_at_us": to_us(now),
            "tried_since_us": to_us(now),
            "due_at_us": to_us(now),
        }
        for key, channel in {channel.key: channel for channel in channels}.items()
    ]
    if rows:
        connection.execute(insert(deliveries), rows)


class Outbox:
    """The messages of one control database. Safe for use by several threads and processes."""

    def __init__(self, engine: Engine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._now = now

    def pending(self) -> list[Delivery]:
        """The messages that wait, in the order they came."""
        run = deliveries.alias()
        is_run_known = exists().where(
            run.c.about == deliveries.c.about, run.c.channel_key == deliveries.c.channel_key,
            run.c.began_at_us == deliveries.c.began_at_us, run.c.attempts > 0,
        )  # fmt: skip
        query = select(deliveries, is_run_known.label("is_run_known")).where(deliveries.c.status == "pending")
        with reading(self._engine) as connection:
            return [
                _delivery(row, bool(row.is_run_known)) for row in connection.execute(query.order_by(deliveries.c.sequence))
            ]

    def claim(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """Count an attempt that is about to be made; what another process has taken meanwhile is left out."""
        now, claimed = self._now(), []
        with changing(self._engine) as connection:
            for one in batch:
                unchanged = and_(
                    deliveries.c.id == one.id, deliveries.c.status == "pending", deliveries.c.attempts == one.attempts
                )
                values = {"attempts": one.attempts + 1, "attempted_at_us": to_us(now)}
                row = connection.execute(
                    update(deliveries).where(unchanged).values(values).returning(*deliveries.c)
                ).one_or_none()
                if row is not None:
                    claimed.append(_delivery(row, True))
        return claimed

    def settle(self, batch: Iterable[Delivery]) -> None:
        """Write what became of messages that this process claimed.

        If another process has tried one again since, only that it arrived is news: a failure of an attempt that is over says
        nothing of the later one, and would have what has arrived sent once more.
        """
        with changing(self._engine) as connection:
            for one in batch:
                values = {
                    "status": one.status,
                    "due_at_us": to_us(one.due_at),
                    "settled_at_us": one.settled_at and to_us(one.settled_at),
                    "reason": one.reason and one.reason[:1000],
                }
                is_news = deliveries.c.status == "pending"
                if one.status != "delivered":
                    is_news = and_(is_news, deliveries.c.attempts == one.attempts)
                connection.execute(update(deliveries).where(deliveries.c.id == one.id, is_news).values(values))

    def supersede(self, messages: Collection[Delivery]) -> None:
        """Leave messages out that newer ones make old news; one that is tried at this moment stays."""
        with changing(self._engine) as connection:
            for one in messages:
                unchanged = and_(
                    deliveries.c.id == one.id, deliveries.c.status == "pending", deliveries.c.attempts == one.attempts
                )
                values = {"status": "superseded", "settled_at_us": to_us(self._now())}
                connection.execute(update(deliveries).where(unchanged).values(values))

    def hold(self, channel: Channel, until: datetime) -> None:
        """Let every message to a channel wait, because it asked for that; never longer than a message is tried at all."""
        until = min(until, self._now() + GIVE_UP_AFTER)
        waiting = and_(
            deliveries.c.channel_key == channel.key, deliveries.c.status == "pending", deliveries.c.due_at_us < to_us(until)
        )
        with changing(self._engine) as connection:
            connection.execute(update(deliveries).where(waiting).values(due_at_us=to_us(until)))

    def page(
        self,
        project: str,
        environment: str,
        *,
        status: str | None = None,
        rule_id: str | None = None,
        before: int | None = None,
        limit: int,
    ) -> list[Delivery]:
        """Messages of a lake, the last one first.

        Args:
            before: only those before this `sequence`.
        """
        wanted = [deliveries.c.project == project, deliveries.c.environment == environment]
        if status is not None:
            wanted.append(deliveries.c.status == status)
        if rule_id is not None:
            wanted.append(deliveries.c.rule_id == rule_id)
        if before is not None:
            wanted.append(deliveries.c.sequence < before)
        query = select(deliveries).where(*wanted).order_by(deliveries.c.sequence.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [_delivery(row) for row in connection.execute(query)]

    def retry(self, project: str, environment: str, delivery_id: str) -> Delivery | None:
        """Try a dead message again, at once and for another day; None if the lake has none of this id.

        Raises:
            RetryRefused: it is not dead, or its channel was told of something newer about the same alert.
        """
        with changing(self._engine) as connection:
            row = connection.execute(
                select(deliveries).where(
                    deliveries.c.id == delivery_id,
                    deliveries.c.project == project,
                    deliveries.c.environment == environment,
                )
            ).one_or_none()
            if row is None:
                return None
            if row.status != "dead":
                raise RetryRefused(f"{delivery_id} is {row.status}: only what is dead can be tried again")
            newer = select(deliveries.c.id).where(
                deliveries.c.about == row.about, deliveries.c.channel_key == row.channel_key,
                deliveries.c.sequence > row.sequence, deliveries.c.attempts > 0,
            )  # fmt: skip
            if connection.execute(newer.limit(1)).first() is not None:
                raise RetryRefused(
                    f"{delivery_id} is old news: its channel was told of something newer about the same alert"
                )
            now_us = to_us(self._now())
            values = {"status": "pending", "due_at_us": now_us, "tried_since_us": now_us, "settled_at_us": None}
            changed = update(deliveries).where(deliveries.c.id == delivery_id).values(values).returning(*deliveries.c)
            return _delivery(connection.execute(changed).one())

    def counts(self, project: str | None = None, environment: str | None = None) -> dict[tuple[str, str], int]:
        """How many messages there are, by type of channel and status.

        Args:
            project: only those of one lake, with `environment`; without it of all.
        """
        kind, status = deliveries.c.channel["type"].as_string(), deliveries.c.status
        query = select(kind, status, func.count()).group_by(kind, status)
        if project is not None:
            query = query.where(deliveries.c.project == project, deliveries.c.environment == environment)
        with reading(self._engine) as connection:
            return {(channel, state): count for channel, state, count in connection.execute(query)}

    def forget_old(self) -> None:
        """Forget messages that were settled long ago."""
        oldest_us = to_us(self._now() - KEPT)
        with changing(self._engine) as connection:
            connection.execute(delete(deliveries).where(deliveries.c.settled_at_us < oldest_us))


def _delivery(row: Row[Any], is_run_known: bool = False) -> Delivery:
    return Delivery(
        id=row.id,
        sequence=row.sequence,
        project=row.project,
        environment=row.environment,
        about=row.about,
        event=row.event,
        began_at=from_us(row.began_at_us),
        rule_id=row.rule_id,
        batch=row.batch,
        message_id=row.message_id,
        content=row.content,
        channel=Channel.from_json(row.channel),
        status=row.status,
        attempts=row.attempts,
        created_at=from_us(row.created_at_us),
        tried_since=from_us(row.tried_since_us),
        due_at=from_us(row.due_at_us),
        attempted_at=None if row.attempted_at_us is None else from_us(row.attempted_at_us),
        settled_at=None if row.settled_at_us is None else from_us(row.settled_at_us),
        reason=row.reason,
        is_run_known=is_run_known,
    )
