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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import structlog

import lake
from lake.control import Principal
from lake.errors import LakeError, Overloaded
from lake.folder import FILE_NAME, LakeFolder, create_folder, open_folder
from lake.landing import LandingWriter, Request
from lake.schema import LANDINGS
from lake.snapshot import Snapshot
from lake.wire.traces import Limits, Outcome, TraceBody, trace_rows

from .commits import GroupCommit
from .settings import ServerSettings

BACKLOG_CHECK_S = 1.0
"""Seconds between looks at how much waits for compaction."""

_INGEST_THREADS = 8
_QUERY_THREADS = 4
"""Threads for queries: a pool of their own, so that slow ones leave ingest and its answers alone."""

log = structlog.get_logger()

Answer = TypeVar("Answer")


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
        create_folder(folder)
        self._version = _version(folder)  # before it is read: a change in between is noticed at the next request
        self._folder: LakeFolder = open_folder(folder)
        self.lake = lake.open(folder, settings.lake)
        self._writers = {stream: LandingWriter(folder, stream, now=dt.datetime.now(dt.UTC)) for stream in LANDINGS}
        self.spans: GroupCommit[Traces, Outcome] = GroupCommit(self._store_traces, executor)
        self._reports = {
            stream: GroupCommit[Rows, None](partial(self._store_rows, stream), executor)
            for stream in LANDINGS
            if stream != "spans"
        }
        self._backlog = Backlog(folder, settings)

    @property
    def is_outdated(self) -> bool:
        """Whether the folder is another lake by now: a column was promoted, or its project was deleted."""
        return _version(self._folder.path) != self._version

    async def admit(self) -> None:
        """Return if more may come in; asked before a body is read.

        Raises:
            Overloaded: too much waits for compaction, or the disk is nearly full.
        """
        await self._backlog.check(self.lake)

    async def store_traces(self, item: Traces) -> Outcome:
        """Store an OTLP request; returns when it is durable."""
        return await self.spans.submit(item)

    async def store_rows(self, stream: str, item: Rows) -> None:
        """Store rows of another stream; returns when they are durable."""
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


def _version(folder: Path) -> tuple[int, int] | None:
    """What changes whenever `lake.json` is written, None if there is none."""
    try:
        found = (folder / FILE_NAME).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


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
        try:
            free = shutil.disk_usage(self._folder).free
            if free < self._limits.disk_free_min_bytes:
                return f"only {free} bytes are free on the data disk: free space or shorten retention"
            return overload(lake.snapshot(), self._limits.landing_max_files, self._limits.landing_max_bytes)
        except (LakeError, OSError) as error:
            log.error("lake cannot be read", lake=str(self._folder), exc_info=error)
            return "the lake cannot be read, so nobody knows how much waits in it; `tracelake doctor` says what is wrong"


def overload(snapshot: Snapshot, max_files: int, max_bytes: int) -> str | None:
    """Why nothing more may come in before compaction has caught up, or None."""
    waiting = {file.path for table in snapshot.tables.values() for file in table.tail}
    if len(waiting) > max_files:
        return f"{len(waiting)} landing files wait for compaction, the limit is {max_files}: is the scheduler running?"
    size = sum(_size_bytes(path) for path in waiting)
    if size > max_bytes:
        return f"{size} bytes of landing files wait for compaction, the limit is {max_bytes}: is the scheduler running?"
    return None


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # absorbed and deleted since the snapshot was taken
        return 0


class Tenants:
    """The tenants of this process."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.ingest_pool = ThreadPoolExecutor(_INGEST_THREADS, thread_name_prefix="ingest")
        self._query_pool = ThreadPoolExecutor(_QUERY_THREADS, thread_name_prefix="query")
        self._open: dict[tuple[str, str], Tenant] = {}
        self._outdated: list[Tenant] = []
        """Replaced ones: requests that began with them end with them."""
        self._opening = asyncio.Lock()

    async def of(self, principal: Principal) -> Tenant:
        """The lake of a principal's project, live or sandbox; made if there is none yet."""
        place = (principal.project, principal.environment)
        tenant = self._open.get(place)
        if tenant is not None and not tenant.is_outdated:
            return tenant
        async with self._opening:
            tenant = self._open.get(place)
            if tenant is not None and tenant.is_outdated:
                self._outdated.append(self._open.pop(place))
            if place not in self._open:
                self._open[place] = await asyncio.to_thread(self._opened, *place)
            return self._open[place]

    def _opened(self, project: str, environment: str) -> Tenant:
        return Tenant(self._settings.data / project / environment, self._settings, self.ingest_pool)

    async def work(self, task: Callable[[], Answer]) -> Answer:
        """Run a piece of ingest in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.ingest_pool, task)

    async def ask(self, question: Callable[[], Answer]) -> Answer:
        """Run a query in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._query_pool, question)

    async def close(self) -> None:
        """Store what has come and let everything go."""
        for tenant in (*self._open.values(), *self._outdated):
            await tenant.drain()
            tenant.close()
        self.ingest_pool.shutdown()
        self._query_pool.shutdown()
