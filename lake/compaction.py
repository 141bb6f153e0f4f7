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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from . import landing
from .batches import Repeats, SeenRequests, batch_rows, decided_repeats, repeats_in
from .derived import DERIVATIONS, Spans
from .dictionaries import with_dictionaries
from .disk import Disk
from .errors import CommitConflict, LakeCorrupt
from .folder import LakeFolder, open_folder
from .landing import LandingFile
from .lease import Lease
from .partitioning import derived_by_hour, hours_of, partitioned
from .schema import BATCHES, DERIVED, LANDINGS, SPANS, Table, tables_of
from .tables import DataFile, DeltaLog, LiveFile

ROUND_MAX_ROWS = 45_000
"""Rows taken in one round, unless one landing file has more, and rows in one file: what bounds the memory of compaction."""

DERIVED_MAX_ROWS = 135_000
"""Spans whose derived rows go to one commit. They are a tenth as many, and a commit has a price of its own."""


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What a round did."""

    files: int = 0
    rows: int = 0
    """Rows of the streams' own tables; rows of derived tables are not counted."""
    duplicate_requests: int = 0

    def __add__(self, other: Absorbed) -> Absorbed:
        return Absorbed(self.files + other.files, self.rows + other.rows, self.duplicate_requests + other.duplicate_requests)

    def __sub__(self, other: Absorbed) -> Absorbed:
        return Absorbed(self.files - other.files, self.rows - other.rows, self.duplicate_requests - other.duplicate_requests)


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
        self.absorbed = Absorbed()
        """All that was absorbed so far, by `absorb` and by what calls it."""
        self._seen = SeenRequests()
        self._gathered: dict[str, _Gathered] = {}
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
            if self.tables[name] in DERIVED:
                self._catch_up(self._logs[name])
        self._logs[name].refresh()
        return self._logs[name]

    def _catch_up(self, derived: DeltaLog) -> None:
        """Let a table begin where the landing begins, if the lake is older than the table.

        A landing file goes when every table has absorbed it. Where the next one of a writer is gone all the same, its spans
        were absorbed before there was this table, and the rewrite of their hours makes its rows (`lake.rewrite`).
        """
        spans = self.log(SPANS.name)
        first = {file.writer: file.sequence for file in reversed(self._waiting_for(derived))}
        watermarks = {
            writer.name: spans.watermark(writer.name)
            for writer in landing.writers(self.lake.path, SPANS.landing)
            if derived.watermark(writer.name) < spans.watermark(writer.name)
            and first.get(writer.name) != derived.watermark(writer.name) + 1
        }
        if watermarks:
            self.lease.hold(now_s=self.clock())
            derived.commit(watermarks=watermarks)

    def _waiting_for(self, log: DeltaLog) -> list[LandingFile]:
        """The landing files beyond a table's watermarks, in order."""
        return sorted(landing.waiting(self.lake.path, log.table.landing, log.watermark))

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
        self._damage = None
        self._follow_promotions()
        try:
            total = sum((self._absorb(stream) for stream in LANDINGS if self.has_landing(stream)), Absorbed())
        finally:
            self._gathered.clear()  # what did not come to its commit is derived again, from the landing
        if self._damage:
            raise self._damage
        return total

    def _absorb(self, stream: str) -> Absorbed:
        self.lease.hold(now_s=self.clock())
        total = Absorbed()
        left = len(self._plan(self._stream_logs(stream)))
        while left > 0 and (done := self._round(stream)).files:
            total += done
            self.absorbed += done
            left -= done.files
        self._commit_gathered()
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
            return min(self._mark(log, writer) for log in logs)

        return contiguous(landing.waiting(self.lake.path, logs[0].table.landing, lowest), lowest)

    def _mark(self, log: DeltaLog, writer: str) -> int:
        """The highest sequence of a writer that a table has, or that its next commit will bring."""
        gathered = self._gathered.get(log.table.name)
        return max(log.watermark(writer), gathered.watermarks.get(writer, 0) if gathered else 0)

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
            pending = [file for file in files if file.sequence > self._mark(log, file.writer)]
            if not pending:
                if log.table.name == BATCHES.name and files:
                    repeats = decided_repeats(log, files)
                continue
            self.lease.hold(now_s=self.clock())
            if log.table.name == BATCHES.name:
                repeats = self._decide(log, files, pending, source)
                done += Absorbed(duplicate_requests=sum(map(len, repeats.values())))
            else:
                done += self._store(log, source.rows(pending, repeats, self.tables[stream]), pending)
        if any(gathered.span_count >= DERIVED_MAX_ROWS for gathered in self._gathered.values()):
            self._commit_gathered()
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
        self._commit(log, rows, hours_of(rows, BATCHES.time), highest(pending))
        self._seen.add(rows.column("request_hash").to_pylist(), now_s=now_s, version=log.version)
        return repeats | repeats_in(rows, pending)

    def _store(self, log: DeltaLog, rows: _Rows, pending: Sequence[LandingFile]) -> Absorbed:
        name = log.table.name
        if name in DERIVATIONS:
            derived = derived_by_hour(DERIVATIONS[name].of, rows.spans, rows.hours, log.table)
            self._gathered.setdefault(name, _Gathered(log, log.version)).add(*derived, highest(pending), rows.table.num_rows)
            return Absorbed()
        self._commit(log, rows.table, rows.hours, highest(pending))
        return Absorbed(rows=rows.table.num_rows)

    def _commit_gathered(self) -> None:
        """Commit the derived rows of the rounds so far.

        Raises:
            CommitConflict: a handle has moved on since a round was planned on it, to what another process has derived.
        """
        for gathered in self._gathered.values():
            self.lease.hold(now_s=self.clock())
            gathered.check()
            self._commit(gathered.log, *gathered.rows(), gathered.watermarks)
        self._gathered.clear()

    def _commit(self, log: DeltaLog, rows: pa.Table, hours: npt.NDArray[np.int64], watermarks: Mapping[str, int]) -> None:
        name = log.table.name
        self.step(f"write {name}")
        parts = partitioned(rows, hours, log.table, max_rows=ROUND_MAX_ROWS)
        files = [log.write(partition, part) for partition, part in parts]
        gone = self._gone(log)
        self.step(f"commit {name}")
        log.commit(add=files, watermarks=watermarks, forget=gone)
        self.step(f"committed {name}")

    def _gone(self, log: DeltaLog) -> list[str]:
        """Writers that the table has a watermark of and that no landing file is left of."""
        stream = self.lake.path / "landing" / log.table.landing
        gone = [name for name in log.checkpointed_writers() if not (stream / name).exists() and log.watermark(name)]
        if gone:
            self._disk.flush_folder(stream)  # or a power loss brings back files that would seem new then
        return gone


class _Source:
    """The landing files of a round, each read once as a rule."""

    def __init__(self) -> None:
        self._requests: dict[Path, list[landing.Request]] = {}
        self._tables: dict[Path, pa.Table] = {}
        """Rows that are not put together yet."""
        self._rows: _Rows | None = None
        self.damage: LakeCorrupt | None = None
        """Why a file could not be read."""

    def readable(self, files: Iterable[LandingFile]) -> Iterator[LandingFile]:
        """The files, without a damaged one and what its writer wrote after it."""
        stuck: set[str] = set()
        for file in files:
            if file.writer not in stuck:
                try:
                    self._tables[file.path], self._requests[file.path] = landing.read(file)
                except LakeCorrupt as damage:
                    self.damage = damage
                    stuck.add(file.writer)
                else:
                    yield file

    def requests(self, file: LandingFile) -> list[landing.Request]:
        return self._requests[file.path]

    def row_count(self, file: LandingFile) -> int:
        return sum(request.row_count for request in self.requests(file))

    def rows(self, files: Sequence[LandingFile], repeats: Repeats, table: Table) -> _Rows:
        """Rows of the files of a stream without those of repeated requests."""
        if self._rows is None or self._rows.files != files:  # the tables of a stream nearly always want the same ones
            self._rows = self._put_together(files, repeats, table)
        return self._rows

    def _put_together(self, files: Sequence[LandingFile], repeats: Repeats, table: Table) -> _Rows:
        tables, numbers, first = [], [], 0
        for file in files:
            requests = self.requests(file)
            # taken out, since what is put together needs no second place in memory
            rows = self._tables.pop(file.path) if file.path in self._tables else landing.read(file)[0]
            number = np.repeat(np.arange(first, first + len(requests)), [request.row_count for request in requests])
            if file in repeats:
                kept = ~np.isin(number, np.array(repeats[file]) + first)
                rows, number = rows.filter(pa.array(kept)), number[kept]
            tables.append(rows)
            numbers.append(number)
            first += len(requests)
        # files have the columns they fill; those that none of them has are added once
        whole = landing.conform(pa.concat_tables(tables, promote_options="default"), table.arrow_schema)
        del rows, tables
        whole = with_dictionaries(whole, set(whole.column_names).difference(table.plain, table.sort))
        return _Rows(files, whole, hours_of(whole, table.time, np.concatenate(numbers)))


@dataclass(frozen=True)
class _Rows:
    """What some landing files bring."""

    files: Sequence[LandingFile]
    table: pa.Table
    hours: npt.NDArray[np.int64]
    """As of `lake.partitioning.hours_of`, where the overflow counts by request."""

    @cached_property
    def spans(self) -> Spans:
        return Spans(self.table)


@dataclass(slots=True)
class _Gathered:
    """Rows of a derived table that wait for its next commit."""

    log: DeltaLog
    version: int
    """Of the log when the rows were planned on it."""
    watermarks: dict[str, int] = field(default_factory=dict)
    """What that commit brings each writer to."""
    span_count: int = 0
    _parts: list[tuple[pa.Table, npt.NDArray[np.int64]]] = field(default_factory=list)

    def add(self, rows: pa.Table, hours: npt.NDArray[np.int64], watermarks: Mapping[str, int], span_count: int) -> None:
        """Take what follows from the spans of a round."""
        self._parts.append((rows, hours))
        self.watermarks.update(watermarks)  # rounds go on where the last one ended
        self.span_count += span_count

    def check(self) -> None:
        """
        Raises:
            CommitConflict: another process has made a version since, perhaps with the same rows.
        """
        if self.log.version != self.version:
            raise CommitConflict(f"{self.log.table.name}: version {self.log.version} was committed by somebody else")

    def rows(self) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """All rows, and their hours."""
        rows, hours = zip(*self._parts, strict=True)
        return pa.concat_tables(rows), np.concatenate(hours)


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
