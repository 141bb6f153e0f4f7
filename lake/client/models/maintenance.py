"""How a lake is kept, as the server shows it."""

from __future__ import annotations

import datetime as dt

from msgspec import Struct


class MaintenanceJob(Struct, frozen=True, kw_only=True):
    """A job, and its runs since its process began."""

    name: str
    scope: str
    """`lake`: it is about this lake; `server`: for all of them."""
    state: str
    """`ok`, `failing` or `late`."""
    interval_seconds: float
    runs: int
    failures: int
    last_started_at: dt.datetime
    last_duration_ms: float
    last_succeeded_at: dt.datetime | None = None
    last_failed_at: dt.datetime | None = None
    last_error: str | None = None
    """Kind of the last failure."""
    did: dict[str, float] = {}
    """What the runs did, summed."""


class Schedulers(Struct, frozen=True, kw_only=True):
    """The processes that run the jobs."""

    working: str | None = None
    waiting: list[str] = []


class StoredLake(Struct, frozen=True, kw_only=True):
    """What the lake takes on the disk."""

    table_bytes: int
    waiting_files: int
    """Landing files that are not in every table yet."""
    waiting_bytes: int
    oldest_waiting_at: dt.datetime | None = None


class MaintenanceReport(Struct, frozen=True, kw_only=True):
    """How a lake is kept."""

    generated_at: dt.datetime
    schedulers: Schedulers
    jobs: list[MaintenanceJob]
    storage: StoredLake
