"""Job runs: what the scheduler's jobs did, and how they are.

Takes   counts of the runs of each job, for one lake or for the server.
Gives   them again, in any process; how a job is at the moment.
Refuses nothing. While the database cannot be read or written it raises `Overloaded`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Row,
    String,
    Table,
    delete,
    insert,
    select,
    tuple_,
    update,
)

from .access import changing, from_us, reading, to_us
from .database import metadata
from .nodes import Place

ERROR_MAX_CHARACTERS = 1000
LATE_AFTER_S = 60
"""Seconds that every job may be silent; those that run seldom three times their interval."""

JobState = Literal["ok", "failing", "late"]
JOB_STATES: tuple[JobState, ...] = ("ok", "failing", "late")

job_runs = Table(
    "job_runs",
    metadata,
    Column("project", String(63), primary_key=True),  # empty: of the server
    Column("environment", String(16), primary_key=True),
    Column("job", String(32), primary_key=True),
    Column("node", String(64), nullable=False),  # which process ran it last
    Column("every_s", Float, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("ok_at_us", BigInteger),
    Column("failed_at_us", BigInteger),
    Column("error_type", String(100)),
    Column("error", String(ERROR_MAX_CHARACTERS)),
    Column("did", JSON, nullable=False),
)


@dataclass(frozen=True, slots=True)
class JobRun:
    """The runs of one job for one lake, or for the server, since its process began."""

    place: Place
    job: str
    node: str
    every_s: float
    runs: int
    failures: int
    started_at: datetime
    """Of the last run."""
    duration_s: float
    """Of the last run."""
    ok_at: datetime | None
    """Begin of the last run that did not fail."""
    failed_at: datetime | None
    error_type: str | None
    """Of the last failure; it says nothing of files and machines."""
    error: str | None
    did: Mapping[str, float] = field(default_factory=dict)
    """What all runs did, summed."""


def job_state(run: JobRun, now: datetime) -> JobState:
    """How a job is; a clock that was set back makes nothing late."""
    if run.failed_at is not None and (run.ok_at is None or run.failed_at > run.ok_at):
        return "failing"
    silent = now - run.started_at - timedelta(seconds=run.duration_s)
    return "late" if silent > timedelta(seconds=max(3 * run.every_s, LATE_AFTER_S)) else "ok"


class JobRuns:
    """The runs in one control database. Safe for use by several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        """Use `Control.jobs`."""
        self._engine = engine

    def write(self, runs: Iterable[JobRun]) -> None:
        """Put runs in the place of what is known of the same jobs."""
        with changing(self._engine) as connection:
            for run in runs:
                _write(connection, run)

    def of(self, *places: Place) -> list[JobRun]:
        """The runs for some lakes, or of all if none is named, by lake and job."""
        query = select(job_runs).order_by(job_runs.c.project, job_runs.c.environment, job_runs.c.job)
        if places:
            wanted = [(place.project, place.environment) for place in places]
            query = query.where(tuple_(job_runs.c.project, job_runs.c.environment).in_(wanted))
        with reading(self._engine) as connection:
            return [_run(row) for row in connection.execute(query)]


def forget_runs(connection: Connection, project: str) -> None:
    """Delete what is known of the jobs of a project."""
    connection.execute(delete(job_runs).where(job_runs.c.project == project))


def _write(connection: Connection, run: JobRun) -> None:
    key = {"project": run.place.project, "environment": run.place.environment, "job": run.job}
    values: dict[str, Any] = {
        "node": run.node,
        "every_s": run.every_s,
        "runs": run.runs,
        "failures": run.failures,
        "started_at_us": to_us(run.started_at),
        "duration_s": run.duration_s,
        "ok_at_us": run.ok_at and to_us(run.ok_at),
        "failed_at_us": run.failed_at and to_us(run.failed_at),
        "error_type": run.error_type,
        "error": run.error and run.error[:ERROR_MAX_CHARACTERS],
        "did": dict(run.did),
    }
    wanted = [job_runs.c[name] == value for name, value in key.items()]
    if not connection.execute(update(job_runs).where(*wanted).values(values)).rowcount:
        connection.execute(insert(job_runs).values({**key, **values}))


def _run(row: Row[Any]) -> JobRun:
    return JobRun(
        place=Place(row.project, row.environment),
        job=row.job,
        node=row.node,
        every_s=row.every_s,
        runs=row.runs,
        failures=row.failures,
        started_at=from_us(row.started_at_us),
        duration_s=row.duration_s,
        ok_at=None if row.ok_at_us is None else from_us(row.ok_at_us),
        failed_at=None if row.failed_at_us is None else from_us(row.failed_at_us),
        error_type=row.error_type,
        error=row.error,
        did=row.did,
    )
