"""Decisions: what people decided about groups of errors.

Takes   the control database.
Gives   the last decision about each group of one lake: who decided what, and when.
Refuses nothing. While the database cannot be read or written it raises `Overloaded`: the client shall come back.

A decision is about a fingerprint in one lake, a project's live or sandbox one. It says nothing about occurrences; whether a
resolved group is back is worked out from them (`lake.error_groups.judged`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, insert, select, update

from ..error_status import Decision, ErrorStatus
from .access import changing, from_us, reading, to_us
from .database import error_decisions
from .keys import Environment


class Decisions:
    """The decisions of one data folder. Safe for use by several threads and processes."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        """Use `Control.decisions`."""
        self._engine = engine
        self._now = now

    def of(self, project: str, environment: Environment) -> dict[str, Decision]:
        """The decisions about the groups of a lake, by fingerprint."""
        wanted = _lake(project, environment)
        with reading(self._engine) as connection:
            rows = connection.execute(select(error_decisions).where(*wanted)).all()
        return {row.fingerprint: _decision(row) for row in rows}

    def decide(
        self, project: str, environment: Environment, fingerprint: str, status: ErrorStatus, *, key_id: str
    ) -> Decision:
        """Decide about a group, from now on.

        Args:
            key_id: whose decision it is.
        """
        decided_at_us = to_us(self._now())
        values = {"status": status, "decided_at_us": decided_at_us, "decided_by": key_id}
        wanted = (*_lake(project, environment), error_decisions.c.fingerprint == fingerprint)
        with changing(self._engine) as connection:
            changed = connection.execute(update(error_decisions).where(*wanted).values(values))
            if not changed.rowcount:
                names = {"project": project, "environment": environment, "fingerprint": fingerprint}
                connection.execute(insert(error_decisions).values(names | values))
        return Decision(status, from_us(decided_at_us), key_id)


def forget(connection: Connection, project: str) -> None:
    """Delete every decision about a project."""
    connection.execute(delete(error_decisions).where(error_decisions.c.project == project))


def _lake(project: str, environment: Environment) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return error_decisions.c.project == project, error_decisions.c.environment == environment


def _decision(row: Row[Any]) -> Decision:
    return Decision(row.status, from_us(row.decided_at_us), row.decided_by)
