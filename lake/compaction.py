"""Compaction: landing files to Delta tables, each request once.

Takes   the landing files beyond the tables' watermarks.
Gives   Delta versions with those rows sorted and deduplicated by request, and the new watermarks in the same commit.
Refuses to work without the lease (`LeaseLost`); a commit that somebody else was faster with raises `CommitConflict` and
        changed nothing.

A stream has one table of its own and perhaps derived ones, each with its own watermark, so a crash between two commits
leaves nothing to undo: the next round starts from what each table says. `batches` is committed before the others. It
decides which requests are repeats of an earlier one, and the others read that decision, so they agree whatever happens
in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from . import landing
from .batches import Repeats, SeenRequests, batch_rows, decided_repeats, repeats_in
from .disk import Disk
from .exceptions import exceptions_of
from .folder import LakeFolder
from .landing import LandingFile
from .lease import Lease
from .schema import BATCHES, EXCEPTIONS, LANDINGS, OVERFLOW_HOUR, Table, tables_of
from .tables import FILE_MAX_ROWS, DeltaLog, Partition

ROUND_MAX_ROWS = 100_000
"""Rows taken in one round: what bounds the memory of compaction."""

OVERFLOW_HOURS = 1000
"""A request whose rows lie in more hours than this goes to the overflow partition, not to a file for each hour."""

_HOUR_US = 3_600_000_000
_OVERFLOW = np.int64(-(2**62))


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What a round did."""

    files: int = 0
    rows: int = 0
    """Rows of the streams' own tables; rows of derived tables are not counted."""
    duplicate_requests: int = 0

    def __add__(self, other: Absorbed) -> Absorbed:
        return Absorbed(self.files + other.files, self.rows + other.rows, self.duplicate_requests + other.duplicate_requests)


class Compactor:
    """Absorbs the landing of one lake. One per process and lake; not for use by two threads at once."""

    def __init__(
        self,
        lake: LakeFolder,
        *,
        lease: Lease | None = None,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            clock: seconds since the Unix epoch.
            step: called with the name of each step before it is taken; tests stop the process there.
        """
        self.lake = lake
        self.lease = lease or Lease(lake.path)
        self.clock = clock
        self._disk = disk or Disk()
        self.step = step
        self._logs: dict[str, DeltaLog] = {}
        self._seen = SeenRequests()

    @cached_property
    def tables(self) -> dict[str, Table]:
        return tables_of(self.lake.promoted)

    def log(self, name: str) -> DeltaLog:
        """The Delta log of a table, at its newest version."""
        if name not in self._logs:
            self._logs[name] = DeltaLog.open_or_create(self.lake.path, self.tables[name], disk=self._disk)
        self._logs[name].refresh()
        return self._logs[name]

    def waiting(self) -> list[LandingFile]:
        """The landing files that some table has not absorbed, of all streams."""
        return [file for stream in LANDINGS if self._has_landing(stream) for file in self._plan(self._stream_logs(stream))]

    def absorb(self) -> Absorbed:
        """Absorb all that waits, round by round.

        Raises:
            LeaseLost: another process compacts this lake.
            CommitConflict: another process committed in between; call again.
        """
        total = Absorbed()
        for stream in LANDINGS:
            while self._has_landing(stream):
                self.lease.hold(now_s=self.clock())
                done = self._round(stream)
                if not done.files:
                    break
                total += done
        return total

    def _has_landing(self, stream: str) -> bool:
        return (self.lake.path / "landing" / stream).exists()

    def _stream_logs(self, stream: str) -> list[DeltaLog]:
        return [self.log(table.name) for table in self.tables.values() if table.landing == stream]

    def _plan(self, logs: Sequence[DeltaLog]) -> list[LandingFile]:
        def lowest(writer: str) -> int:
            return min(log.watermark(writer) for log in logs)

        return contiguous(landing.waiting(self.lake.path, logs[0].table.landing, lowest), lowest)

    def _round(self, stream: str) -> Absorbed:
        logs = self._stream_logs(stream)
        source = _Source(self.tables[stream].arrow_schema)
        files = bounded(self._plan(logs), source.row_count, ROUND_MAX_ROWS)
        repeats: Repeats = {}
        done = Absorbed(files=len(files))
        for log in logs:
            pending = [file for file in files if file.sequence > log.watermark(file.writer)]
            if not pending:
                if log.table.name == BATCHES.name and files:
                    repeats = decided_repeats(log, files)
                continue
            self.lease.hold(now_s=self.clock())
            if log.table.name == BATCHES.name:
                repeats = self._decide(log, files, pending, source)
                done += Absorbed(duplicate_requests=sum(map(len, repeats.values())))
            else:
                rows, request_of_row = source.rows(pending, repeats)
                done += self._store(log, rows, pending, request_of_row)
        return done

    def _decide(
        self, log: DeltaLog, files: Sequence[LandingFile], pending: Sequence[LandingFile], source: _Source
    ) -> Repeats:
        """Commit which requests are repeats; returns those of all `files`, also the ones decided in an earlier round."""
        earlier = [file for file in files if file not in set(pending)]
        repeats = decided_repeats(log, earlier) if earlier else {}
        now_s = self.clock()
        self._seen.follow(log, now_s=now_s)
        rows = batch_rows([(file, source.requests(file)) for file in pending], self._seen, now_s=now_s)
        self._commit(log, rows, pending, None)
        self._seen.add(rows.column("request_hash").to_pylist(), now_s=now_s, version=log.version)
        return repeats | repeats_in(rows, pending)

    def _store(
        self, log: DeltaLog, rows: pa.Table, pending: Sequence[LandingFile], request_of_row: npt.NDArray[np.int64]
    ) -> Absorbed:
        if log.table.name == EXCEPTIONS.name:
            self._commit(log, exceptions_of(rows), pending, None)
            return Absorbed()
        self._commit(log, rows, pending, request_of_row)
        return Absorbed(rows=rows.num_rows)

    def _commit(
        self,
        log: DeltaLog,
        rows: pa.Table,
        pending: Sequence[LandingFile],
        request_of_row: npt.NDArray[np.int64] | None,
    ) -> None:
        name = log.table.name
        self.step(f"write {name}")
        hours = _hours(rows, log.table.time, request_of_row)
        files = [
            log.write(partition, chunk) for partition, part in partitioned(rows, hours, log.table) for chunk in chunks(part)
        ]
        self.step(f"commit {name}")
        log.commit(add=files, watermarks=highest(pending))
        self.step(f"committed {name}")


class _Source:
    """The landing files of a round, each read at most once."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._tables: dict[Path, pa.Table] = {}
        self._requests: dict[Path, list[landing.Request]] = {}

    def requests(self, file: LandingFile) -> list[landing.Request]:
        if file.path not in self._requests:
            self._requests[file.path] = landing.read_requests(file)
        return self._requests[file.path]

    def row_count(self, file: LandingFile) -> int:
        return sum(request.row_count for request in self.requests(file))

    def rows(self, files: Iterable[LandingFile], repeats: Repeats) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Rows of the files without those of repeated requests, and the number of each row's request."""
        tables, numbers, first = [], [], 0
        for file in files:
            counts = np.array([request.row_count for request in self.requests(file)], dtype=np.int64)
            number = np.repeat(np.arange(first, first + len(counts)), counts)
            table = self._read(file)
            if file in repeats:
                kept = ~np.isin(number, np.array(repeats[file]) + first)
                table, number = table.filter(pa.array(kept)), number[kept]
            tables.append(table)
            numbers.append(number)
            first += len(counts)
        return pa.concat_tables(tables), np.concatenate(numbers)

    def _read(self, file: LandingFile) -> pa.Table:
        if file.path not in self._tables:
            self._tables[file.path] = landing.read_rows(file, self._schema)
        return self._tables[file.path]


def contiguous(files: Iterable[LandingFile], watermark: Callable[[str], int]) -> list[LandingFile]:
    """The run of each writer's files that follows its watermark without a gap.

    A gap cannot come from a writer, only from a damaged folder; what lies behind it waits, and `doctor` reports it.
    """
    run: list[LandingFile] = []
    expected: dict[str, int] = {}
    for file in sorted(files):
        if file.sequence == expected.setdefault(file.writer, watermark(file.writer) + 1):
            run.append(file)
            expected[file.writer] += 1
    return run


def bounded(files: Iterable[LandingFile], row_count: Callable[[LandingFile], int], max_rows: int) -> list[LandingFile]:
    """The first files up to `max_rows` in all, at least one."""
    taken: list[LandingFile] = []
    total = 0
    for file in files:
        total += row_count(file)
        if taken and total > max_rows:
            break
        taken.append(file)
    return taken


def highest(files: Iterable[LandingFile]) -> dict[str, int]:
    """Each writer's highest sequence."""
    found: dict[str, int] = {}
    for file in files:
        found[file.writer] = max(file.sequence, found.get(file.writer, 0))
    return found


def _hours(rows: pa.Table, time_column: str, request_of_row: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    """Hours since the Unix epoch of each row, `_OVERFLOW` for the rows of a request that spans too many."""
    hours: npt.NDArray[np.int64] = pc.cast(rows.column(time_column), pa.int64()).to_numpy() // _HOUR_US
    distinct = np.unique(hours)
    if len(distinct) <= OVERFLOW_HOURS:
        return hours
    if request_of_row is None:
        return np.full_like(hours, _OVERFLOW)
    pairs = np.unique(np.stack((request_of_row, hours)), axis=1)
    spanning = np.flatnonzero(np.bincount(pairs[0]) > OVERFLOW_HOURS)
    return np.where(np.isin(request_of_row, spanning), _OVERFLOW, hours)


def partitioned(rows: pa.Table, hours: npt.NDArray[np.int64], table: Table) -> list[tuple[Partition, pa.Table]]:
    """The rows of each partition, sorted as the table wants them."""
    if not rows.num_rows:
        return []
    keys = pa.table({"hours": hours, **{name: rows.column(name) for name in table.sort}})
    order = pc.sort_indices(keys, sort_keys=[("hours", "ascending"), *((name, "ascending") for name in table.sort)])
    ordered = rows.take(order)
    hours = np.sort(hours)
    starts = np.flatnonzero(np.concatenate(([True], hours[1:] != hours[:-1])))
    ends = np.append(starts[1:], len(hours))
    return [(_partition(int(hours[a])), ordered.slice(a, b - a)) for a, b in zip(starts, ends, strict=True)]


def _partition(hours: int) -> Partition:
    if hours == _OVERFLOW:
        return Partition(Partition.of_hour_number(0).day, OVERFLOW_HOUR)
    return Partition.of_hour_number(hours)


def chunks(rows: pa.Table) -> list[pa.Table]:
    """Rows cut into files; rows sorted by trace id are cut between traces, so that the files' ranges are disjoint."""
    if rows.num_rows <= FILE_MAX_ROWS:
        return [rows]
    edges = np.arange(FILE_MAX_ROWS, rows.num_rows, FILE_MAX_ROWS)
    if "trace_id" in rows.column_names:
        ids = rows.column("trace_id").combine_chunks()
        edges = np.unique([pc.index(ids, ids[int(edge)]).as_py() for edge in edges])
        edges = edges[edges > 0]
    bounds = [0, *edges.tolist(), rows.num_rows]
    return [rows.slice(a, b - a) for a, b in pairwise(bounds)]
