"""Tenants: the lake of each key, opened once per process, with its writers.

Takes   a principal (`lake.control`): project and environment. Nothing a request says chooses a lake.
Gives   `Tenant`: the lake to read, and group commits to write its landing streams.
Refuses to take more in while too much waits for compaction or the disk is nearly full (`Overloaded`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

import lake
from lake.errors import Overloaded
from lake.folder import LakeFolder, create_folder
from lake.landing import LandingWriter, Request
from lake.schema import LANDINGS
from lake.snapshot import Snapshot
from lake.wire.traces import Limits, Outcome, TraceBody, trace_rows

from .commits import GroupCommit
from .settings import ServerSettings

BACKLOG_CHECK_S = 1.0
"""Seconds between looks at how much waits for compaction."""


@dataclass(frozen=True, slots=True)
class Traces:
    """An OTLP request on its way into the landing."""

    body: TraceBody
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows of another stream on their way into the landing."""

    table: pa.Table
    hash: str


class Tenant:
    """One lake in this process."""

    def __init__(self, folder: Path, settings: ServerSettings, executor: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._folder: LakeFolder = create_folder(folder)
        self.lake = lake.open(folder, settings.lake)
        self._writers = {stream: LandingWriter(folder, stream, now=dt.datetime.now(dt.UTC)) for stream in LANDINGS}
        self.spans: GroupCommit[Traces, Outcome] = GroupCommit(self._store_traces, executor)
        self._reports = {
            stream: GroupCommit[Rows, None](partial(self._store_rows, stream), executor)
            for stream in LANDINGS
            if stream != "spans"
        }
        self._backlog = Backlog(folder, settings)

    async def store_traces(self, item: Traces) -> Outcome:
        """Store an OTLP request; returns when it is durable."""
        await self._backlog.check(self.lake)
        return await self.spans.submit(item)

    async def store_rows(self, stream: str, item: Rows) -> None:
        """Store rows of another stream; returns when they are durable."""
        await self._backlog.check(self.lake)
        await self._reports[stream].submit(item)

    async def drain(self) -> None:
        """Return when every request that came has been stored."""
        await self.spans.drain()
        for commits in self._reports.values():
            await commits.drain()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self.lake.close()

    def _store_traces(self, items: Sequence[Traces]) -> list[Outcome]:
        limits = Limits(self._settings.lake.request_max_spans, self._settings.lake.request_max_resources)
        rows = trace_rows(
            [item.body for item in items],
            limits=limits,
            ingested_at_us=time.time_ns() // 1000,
            promoted=self._folder.promoted,
        )
        requests = [Request(_hash(items[place]), rows.outcomes[place].row_count) for place in rows.order]
        if rows.table.num_rows:
            self._writers["spans"].commit(rows.table, requests)
        return list(rows.outcomes)

    def _store_rows(self, stream: str, items: Sequence[Rows]) -> list[None]:
        requests = [Request(item.hash, item.table.num_rows) for item in items]
        self._writers[stream].commit(pa.concat_tables([item.table for item in items]), requests)
        return [None] * len(items)


def _hash(item: Traces) -> str:
    """What a retry of the request has in common with it."""
    if item.idempotency_key is not None:
        return sha256(b"key\0" + item.idempotency_key.encode()).hexdigest()
    return sha256(item.body.content).hexdigest()


class Backlog:
    """How much waits for compaction, looked at once a second while data comes in."""

    def __init__(self, folder: Path, settings: ServerSettings) -> None:
        self._folder = folder
        self._limits = settings.lake
        self._looked_at = -BACKLOG_CHECK_S
        self._problem: str | None = None
        self._lock = asyncio.Lock()

    async def check(self, lake: lake.Lake) -> None:
        """
        Raises:
            Overloaded: too much waits, or the disk is nearly full.
        """
        if time.monotonic() - self._looked_at > BACKLOG_CHECK_S and not self._lock.locked():
            async with self._lock:
                self._problem = await asyncio.to_thread(self._look, lake)
                self._looked_at = time.monotonic()
        if self._problem:
            raise Overloaded(self._problem, retry_after_s=2)

    def _look(self, lake: lake.Lake) -> str | None:
        free = shutil.disk_usage(self._folder).free
        if free < self._limits.disk_free_min_bytes:
            return f"only {free} bytes are free on the data disk: free space or shorten retention"
        return overload(lake.snapshot(), self._limits.landing_max_files, self._limits.landing_max_bytes)


def overload(snapshot: Snapshot, max_files: int, max_bytes: int) -> str | None:
    """Why nothing more may come in before compaction has caught up, or None."""
    waiting = {file.path for table in snapshot.tables.values() for file in table.tail}
    if len(waiting) > max_files:
        return f"{len(waiting)} landing files wait for compaction, the limit is {max_files}: is the scheduler running?"
    size = sum(path.stat().st_size for path in waiting if path.exists())
    if size > max_bytes:
        return f"{size} bytes of landing files wait for compaction, the limit is {max_bytes}: is the scheduler running?"
    return None


class Tenants:
    """The tenants of this process."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="tracelake")
        self._open: dict[tuple[str, str], Tenant] = {}

    def of(self, project: str, environment: str) -> Tenant:
        """The lake of a project: `live` or `sandbox`."""
        place = (project, environment)
        if place not in self._open:
            self._open[place] = Tenant(self._settings.data / project / environment, self._settings, self.executor)
        return self._open[place]

    async def close(self) -> None:
        """Store what has come and let everything go."""
        for tenant in self._open.values():
            await tenant.drain()
            tenant.close()
        self.executor.shutdown()
