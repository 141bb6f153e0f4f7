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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from . import landing
from .batches import Repeats, SeenRequests, batch_rows, decided_repeats, repeats_in
from .disk import Disk
from .errors import LakeCorrupt
from .folder import LakeFolder, open_folder
from .landing import LandingFile
from .lease import Lease
from .partitioning import exceptions_by_hour, hours_of, partitioned
from .schema import BATCHES, EXCEPTIONS, LANDINGS, tables_of
from .tables import DataFile, DeltaLog, LiveFile

ROUND_MAX_ROWS = 50_000
"""Rows taken in one round, unless one landing file has more, and rows in one file: what bounds the memory of compaction."""


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
        self._follow(lake)
        self.lease = lease or Lease(lake.path)
        self.clock = clock
        self._disk = disk or Disk()
        self.step = step
        self._seen = SeenRequests()
        self._damage: LakeCorrupt | None = None

    def _follow(self, lake: LakeFolder) -> None:
        """Write tables with the columns of this lake from now on."""
        self.lake = lake
        self.tables = tables_of(lake.promoted)
        self._logs: dict[str, DeltaLog] = {}

    def _follow_promotions(self) -> None:
        lake = open_folder(self.lake.path)
        if lake != self.lake:
            self._follow(lake)

    def log(self, name: str) -> DeltaLog:
        """The Delta log of a table, at its newest version."""
        if name not in self._logs:
            self._logs[name] = DeltaLog.open_or_create(self.lake.path, self.tables[name], disk=self._disk)
        self._logs[name].refresh()
        return self._logs[name]

    def waiting(self) -> list[LandingFile]:
        """The landing files that some table has not absorbed, of all streams."""
        return [file for stream in LANDINGS if self.has_landing(stream) for file in self._plan(self._stream_logs(stream))]

    def absorb(self) -> Absorbed:
        """Absorb all that waits now, round by round.

        What comes meanwhile is for the next time, when there is more of it: small rounds make small files.

        Raises:
            LeaseLost: another process compacts this lake.
            CommitConflict: another process committed in between; call again.
            LakeCorrupt: a landing file is damaged. What does not lie behind it was absorbed all the same.
        """
        total = Absorbed()
        self._damage = None
        self._follow_promotions()
        for stream in LANDINGS:
            if not self.has_landing(stream):
                continue
            self.lease.hold(now_s=self.clock())
            left = len(self._plan(self._stream_logs(stream)))
            while left > 0 and (done := self._round(stream)).files:
                total += done
                left -= done.files
        if self._damage:
            raise self._damage
        return total

    def has_landing(self, stream: str) -> bool:
        """Whether anything was ever ingested into a stream."""
        return (self.lake.path / "landing" / stream).exists()

    def replace(self, log: DeltaLog, old: Iterable[LiveFile], new: Sequence[DataFile]) -> None:
        """Put files with the same requests in the place of others.

        Raises:
            CommitConflict: another process committed in between.
        """
        before = log.version
        log.commit(add=new, remove=old)
        if log.table.name == BATCHES.name:
            self._seen.moved(before, log.version)

    def _stream_logs(self, stream: str) -> list[DeltaLog]:
        return [self.log(table.name) for table in self.tables.values() if table.landing == stream]

    def _plan(self, logs: Sequence[DeltaLog]) -> list[LandingFile]:
        def lowest(writer: str) -> int:
            return min(log.watermark(writer) for log in logs)

        return contiguous(landing.waiting(self.lake.path, logs[0].table.landing, lowest), lowest)

    def _round(self, stream: str) -> Absorbed:
        source = _Source()
        planned = self._plan(self._stream_logs(stream))
        files = bounded(source.readable(planned), source.row_count, ROUND_MAX_ROWS)
        self._damage = source.damage or self._damage
        self._make_durable(files)
        self._follow_promotions()  # after the files were listed, so none of them has a column that is not known here
        repeats: Repeats = {}
        done = Absorbed(files=len(files))
        for log in self._stream_logs(stream):
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
                rows, request_of_row = source.rows(pending, repeats, self.tables[stream].arrow_schema)
                done += self._store(log, rows, pending, request_of_row)
        return done

    def _make_durable(self, files: Iterable[LandingFile]) -> None:
        """Flush the names of landing files.

        A file is seen a moment before its writer has flushed its name. If `batches` had its requests and a power loss took
        the file, their retries would pass for repeats of rows that nobody has.
        """
        for block in {file.path.parent for file in files}:
            self._disk.flush_folder(block)

    def _decide(
        self, log: DeltaLog, files: Sequence[LandingFile], pending: Sequence[LandingFile], source: _Source
    ) -> Repeats:
        """Commit which requests are repeats; returns those of all `files`, also the ones decided in an earlier round."""
        earlier = [file for file in files if file not in set(pending)]
        repeats = decided_repeats(log, earlier) if earlier else {}
        now_s = self.clock()
        self._seen.follow(log, now_s=now_s)
        rows = batch_rows([(file, source.requests(file)) for file in pending], self._seen, now_s=now_s)
        self._commit(log, rows, hours_of(rows, BATCHES.time), pending)
        self._seen.add(rows.column("request_hash").to_pylist(), now_s=now_s, version=log.version)
        return repeats | repeats_in(rows, pending)

    def _store(
        self, log: DeltaLog, rows: pa.Table, pending: Sequence[LandingFile], request_of_row: npt.NDArray[np.int64]
    ) -> Absorbed:
        hours = hours_of(rows, self.tables[log.table.landing].time, request_of_row)
        if log.table.name == EXCEPTIONS.name:
            self._commit(log, *exceptions_by_hour(rows, hours), pending)
            return Absorbed()
        self._commit(log, rows, hours, pending)
        return Absorbed(rows=rows.num_rows)

    def _commit(self, log: DeltaLog, rows: pa.Table, hours: npt.NDArray[np.int64], pending: Sequence[LandingFile]) -> None:
        name = log.table.name
        self.step(f"write {name}")
        parts = partitioned(rows, hours, log.table, max_rows=ROUND_MAX_ROWS)
        files = [log.write(partition, part) for partition, part in parts]
        gone = self._gone(log)
        self.step(f"commit {name}")
        log.commit(add=files, watermarks=highest(pending), forget=gone)
        self.step(f"committed {name}")

    def _gone(self, log: DeltaLog) -> list[str]:
        """Writers that the table has a watermark of and that no landing file is left of."""
        stream = self.lake.path / "landing" / log.table.landing
        gone = [name for name in log.checkpointed_writers() if not (stream / name).exists() and log.watermark(name)]
        if gone:
            self._disk.flush_folder(stream)  # or a power loss brings back files that would seem new then
        return gone


class _Source:
    """The landing files of a round, each read once."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[pa.Table, list[landing.Request]]] = {}
        self.damage: LakeCorrupt | None = None
        """Why a file could not be read."""

    def readable(self, files: Iterable[LandingFile]) -> Iterator[LandingFile]:
        """The files, without a damaged one and what its writer wrote after it."""
        stuck: set[str] = set()
        for file in files:
            if file.writer not in stuck:
                try:
                    self._read[file.path] = landing.read(file)
                except LakeCorrupt as damage:
                    self.damage = damage
                    stuck.add(file.writer)
                else:
                    yield file

    def requests(self, file: LandingFile) -> list[landing.Request]:
        return self._read[file.path][1]

    def row_count(self, file: LandingFile) -> int:
        return sum(request.row_count for request in self.requests(file))

    def rows(
        self, files: Iterable[LandingFile], repeats: Repeats, schema: pa.Schema
    ) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Rows of the files without those of repeated requests, and the number of each row's request."""
        tables, numbers, first = [], [], 0
        for file in files:
            table, requests = self._read[file.path]
            number = np.repeat(np.arange(first, first + len(requests)), [request.row_count for request in requests])
            if file in repeats:
                kept = ~np.isin(number, np.array(repeats[file]) + first)
                table, number = table.filter(pa.array(kept)), number[kept]
            tables.append(table)
            numbers.append(number)
            first += len(requests)
        # files have the columns they fill; those that none of them has are added once
        return landing.conform(pa.concat_tables(tables, promote_options="default"), schema), np.concatenate(numbers)


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
