"""Delivery tables: messages that are to be sent, and what became of them.

Takes   nothing.
Gives   the table of `scheduler.alerts.outbox` in the control database, on the same metadata as its others, so that whoever
        opens it finds it.
Refuses nothing.

Times are microseconds since the Unix epoch.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Connection, ForeignKey, Index, Integer, String, Table, Text, delete

from .database import metadata

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("sequence", Integer, primary_key=True),  # the order that messages of one alert have
    Column("id", String(32), nullable=False, unique=True),
    Column("project", ForeignKey("projects.name"), nullable=False),
    Column("environment", String(16), nullable=False),  # live or sandbox
    Column("about", String(64), nullable=False),  # the alert's key, or the id of a deploy
    Column("event", String(16), nullable=False),  # firing, acknowledged, resolved or deployed
    Column("began_at_us", BigInteger, nullable=False),  # tells one run of an alert from the next
    Column("rule_id", String(32)),  # null: a deploy
    Column("batch", String(64), nullable=False),  # messages of one batch and channel may go as one
    Column("message_id", String(40), nullable=False),
    Column("content", Text, nullable=False),  # JSON of the notification or deploy
    Column("channel", JSON, nullable=False),  # with its secrets
    Column("channel_key", String(32), nullable=False),
    Column("status", String(16), nullable=False),  # pending, delivered, dead or superseded
    Column("attempts", Integer, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("tried_since_us", BigInteger, nullable=False),  # when it, or the person who wants it tried again, came
    Column("due_at_us", BigInteger, nullable=False),
    Column("attempted_at_us", BigInteger),
    Column("settled_at_us", BigInteger),
    Column("reason", String(1000)),  # why it is not delivered, without addresses and secrets
    Index("alert_deliveries_by_status", "status", "sequence"),
    Index("alert_deliveries_of_run", "about", "channel_key", "began_at_us"),
    Index("alert_deliveries_of_lake", "project", "environment", "sequence"),
)


def forget_deliveries(connection: Connection, project: str) -> None:
    """Delete every message of a project."""
    connection.execute(delete(alert_deliveries).where(alert_deliveries.c.project == project))
