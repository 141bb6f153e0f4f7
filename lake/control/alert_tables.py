"""Alert tables: where rules, their states and what happened to them are kept.

Takes   nothing.
Gives   the tables of `scheduler.alerts` in the control database, on the same metadata as its others, so that whoever opens
        it finds them.
Refuses nothing.

Times are microseconds since the Unix epoch. Whatever a state needs to go on from is here and nowhere else: a process that
begins knows as much as the one that was killed.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    delete,
)

from .database import metadata


def _lake() -> tuple[Column[str], Column[str]]:
    """Which lake something is about."""
    return (
        Column("project", ForeignKey("projects.name"), nullable=False),
        Column("environment", String(16), nullable=False),  # live or sandbox
    )


alert_rules = Table(
    "alert_rules",
    metadata,
    Column("id", String(32), primary_key=True),
    *_lake(),
    Column("name", String(120), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("condition", JSON, nullable=False),
    Column("channels", JSON, nullable=False),
    Column("repeat_s", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("origin", String(16), nullable=False),  # api or file
    Column("version", Integer, nullable=False),  # counts changes by people
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("evaluated_to_us", BigInteger),  # end of the last window that was judged
    Column("last_value", Float),
    Column("last_evaluated_at_us", BigInteger),
    Column("last_triggered_at_us", BigInteger),
    Column("last_error", String(1000)),
    Index("alert_rules_of_lake", "project", "environment", "created_at_us", "id"),
)

alert_states = Table(
    "alert_states",
    metadata,
    Column("rule_id", ForeignKey("alert_rules.id"), primary_key=True),
    Column("alert_key", String(32), primary_key=True),
    Column("labels", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("active_since_us", BigInteger),
    Column("held_since_us", BigInteger),
    Column("last_true_us", BigInteger),
    Column("evaluated_to_us", BigInteger, nullable=False),
    Column("value", Float),
    Column("reason", String(16)),
    Column("notified_at_us", BigInteger),  # when its channels were last told that it fires
    Column("evidence", JSON),  # deploy and trace, as they were when it began to fire
    Column("acknowledged_at_us", BigInteger),
    Column("acknowledged_by", String(32)),  # id of a key
)

alert_events = Table(
    "alert_events",
    metadata,
    Column("id", String(32), primary_key=True),
    *_lake(),
    Column("rule_id", String(32), nullable=False),  # the rule may be gone
    Column("rule_name", String(120), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("alert_key", String(32), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    Column("reason", String(16)),
    Column("value", Float),
    Column("threshold", Float, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("by", String(32)),  # id of a key, if a person did it
    Index("alert_events_of_lake", "project", "environment", "at_us", "id"),
)

alert_silences = Table(
    "alert_silences",
    metadata,
    Column("id", String(32), primary_key=True),
    *_lake(),
    Column("rule_id", String(32)),
    Column("labels", JSON, nullable=False),
    Column("comment", String(1000), nullable=False),
    Column("created_by", String(32), nullable=False),  # id of a key
    Column("created_at_us", BigInteger, nullable=False),
    Column("starts_at_us", BigInteger, nullable=False),
    Column("ends_at_us", BigInteger, nullable=False),
    Index("alert_silences_of_lake", "project", "environment", "created_at_us", "id"),
)


def forget_alerts(connection: Connection, project: str) -> None:
    """Delete every rule of a project and what belongs to it."""
    of_project = alert_rules.select().with_only_columns(alert_rules.c.id).where(alert_rules.c.project == project)
    connection.execute(delete(alert_states).where(alert_states.c.rule_id.in_(of_project)))
    for table in (alert_rules, alert_events, alert_silences):
        connection.execute(delete(table).where(table.c.project == project))
