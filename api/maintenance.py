"""Maintenance: `GET /v1/maintenance`, how the lake of a key is kept.

Takes   a key.
Gives   the jobs that keep its lake and those of the server, what they did and whether they are well; what waits.
Refuses nothing.

Of a failure only the kind is told: its text may name files and machines, and `tracelake status` shows it to the operator.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from litestar import Request, Response, route
from msgspec import Meta

from lake.control.job_runs import JobRun, JobState, job_state
from lake.control.nodes import SERVER, Node, Place, status
from lake.storage import Storage, storage

from .answers import Answer, Timestamp
from .auth import authorized
from .reference import QUERY_ERRORS, described
from .state import Server
from .times import iso


class MaintenanceJob(Answer, kw_only=True, frozen=True):
    """A job, and its runs since its process began."""

    name: str
    scope: Annotated[Literal["lake", "server"], Meta(description="Whether it is about this lake, or for all of them")]
    state: Annotated[JobState, Meta(description="`late`: it was silent for three times its interval, and a minute")]
    interval_seconds: float
    runs: int
    failures: int
    last_started_at: Timestamp
    last_duration_ms: float
    last_succeeded_at: Timestamp | None
    last_failed_at: Timestamp | None
    last_error: Annotated[str | None, Meta(description="Kind of the last failure; the server's log has more")]
    did: Annotated[dict[str, float], Meta(description="What the runs did, summed: rows, files, hours")]


class Schedulers(Answer, kw_only=True, frozen=True):
    """The processes that run the jobs."""

    working: Annotated[str | None, Meta(description="Node that works; null if none is known to")]
    waiting: Annotated[list[str], Meta(description="Nodes that take over when it ends")]


class StoredLake(Answer, kw_only=True, frozen=True):
    """What the lake takes on the disk."""

    table_bytes: int
    waiting_files: Annotated[int, Meta(description="Landing files that are not in every table yet")]
    waiting_bytes: int
    oldest_waiting_at: Timestamp | None


class MaintenanceReport(Answer, kw_only=True, frozen=True):
    """How a lake is kept."""

    generated_at: Timestamp
    schedulers: Schedulers
    jobs: list[MaintenanceJob]
    storage: StoredLake


@route(
    "/v1/maintenance",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="How the lake is kept",
    tags=["Maintenance"],
    operation_class=described("Jobs and storage", QUERY_ERRORS, answer=MaintenanceReport),
)
async def get_maintenance(request: Request[Any, Any, Any], server: Server) -> Response[MaintenanceReport]:
    """The jobs that keep the lake: compaction, rewrite, retention, vacuum, and those of the server."""
    principal = await authorized(request, server, "read")
    place, now = Place(principal.project, principal.environment), dt.datetime.now(dt.UTC)
    tenant = await server.tenants.of(principal)
    runs, nodes, stored = await asyncio.gather(
        asyncio.to_thread(server.control.jobs.of, place, SERVER),
        asyncio.to_thread(server.control.nodes.of, SERVER),
        server.tenants.ask(lambda: storage(tenant.lake.snapshot())),
    )
    return Response(
        MaintenanceReport(
            generated_at=iso(now),
            schedulers=schedulers(nodes, runs, now),
            jobs=[_job(run, now) for run in runs],
            storage=_storage(stored),
        )
    )


def schedulers(nodes: Sequence[Node], runs: Sequence[JobRun], now: dt.datetime) -> Schedulers:
    """Which scheduler works: the one that ran a job last; the others that are alive wait."""
    alive = [node.id for node in nodes if node.role == "scheduler" and status(node.last_heartbeat_at, now) != "offline"]
    last = max(runs, key=lambda run: run.started_at, default=None)
    working = last.node if last is not None and last.node in alive else None
    return Schedulers(working=working, waiting=[node for node in alive if node != working])


def _job(run: JobRun, now: dt.datetime) -> MaintenanceJob:
    return MaintenanceJob(
        name=run.job,
        scope="server" if run.place.is_server else "lake",
        state=job_state(run, now),
        interval_seconds=run.every_s,
        runs=run.runs,
        failures=run.failures,
        last_started_at=iso(run.started_at),
        last_duration_ms=round(run.duration_s * 1000, 3),
        last_succeeded_at=None if run.ok_at is None else iso(run.ok_at),
        last_failed_at=None if run.failed_at is None else iso(run.failed_at),
        last_error=run.error_type,
        did=dict(run.did),
    )


def _storage(stored: Storage) -> StoredLake:
    oldest = stored.oldest_waiting_s
    return StoredLake(
        table_bytes=stored.table_bytes,
        waiting_files=stored.waiting_files,
        waiting_bytes=stored.waiting_bytes,
        oldest_waiting_at=None if oldest is None else iso(dt.datetime.fromtimestamp(oldest, dt.UTC)),
    )


ROUTES = [get_maintenance]
