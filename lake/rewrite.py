"""Rewrite: the files of an hour that is over, made into few, sorted and without repeated spans.

Takes   the partitions of the tables and the time.
Gives   one commit per partition that replaces its files; what derives from the spans of an hour is made again from them.
Refuses a commit that somebody else was faster with (`CommitConflict`): nothing has changed, plan again.

Identity of a span is (trace id, span id, kind, start), and the one that came last stays (`lake.schema`). Ranges of trace
ids are worked on one after the other (`lake.trace_ranges`), so memory does not follow the hour, and the new files' ranges
are disjoint.

What derives from the spans of an hour is replaced before them. It is the same whoever makes it from the same spans, so a
crash in between leaves derived rows that are right already and spans that are still due.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from . import landing
from .compaction import Compactor
from .derived import DERIVATIONS, Derivation, Spans
from .errors import CommitConflict, LakeCorrupt
from .identity import latest_spans
from .merge import in_order, rows_of
from .partitioning import chunks
from .schema import DERIVED, OVERFLOW_HOUR, SPANS, Table
from .tables import REWRITTEN, DataFile, DeltaLog, LiveFile, Partition

CLOSED_AFTER_S = 600
"""Seconds after its end from which on an hour is taken for complete."""

MAX_FRESH_FILES = 16
MAX_FRESH_SHARE = 0.05
"""Share of an hour's rows that may lie in files that were never rewritten."""

ONCE_A_DAY_S = 86_400

_HOUR_S = 3600
_DERIVED_MAX_BYTES = 64 * 2**20
"""Bytes of derived rows that are gathered for one file."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One partition of one table."""

    table: str
    partition: Partition


def due(table: str, files: Iterable[LiveFile], *, now_s: float) -> list[Hour]:
    """The hours of a table that want a rewrite, oldest first.

    Args:
        now_s: seconds since the Unix epoch.
    """
    hours: dict[Partition, list[LiveFile]] = defaultdict(list)
    for file in files:
        hours[file.partition].append(file)
    return [Hour(table, partition) for partition in sorted(hours) if is_due(partition, hours[partition], now_s=now_s)]


def is_due(partition: Partition, files: Sequence[LiveFile], *, now_s: float) -> bool:
    """Whether an hour is over and has too many files, too many late rows, or a late file that is a day old.

    The overflow partition is of no hour and may grow at any time, so there late rows are no reason.
    """
    fresh = [file for file in files if not file.is_rewritten]
    if not fresh:
        return False
    many = len(fresh) > MAX_FRESH_FILES or now_s - min(file.written_at_s for file in fresh) > ONCE_A_DAY_S
    if partition.hour == OVERFLOW_HOUR:
        return many
    if not is_over(partition, now_s=now_s):
        return False
    return many or sum(file.row_count for file in fresh) > MAX_FRESH_SHARE * sum(file.row_count for file in files)


def underived(compactor: Compactor, *, now_s: float) -> list[Hour]:
    """The hours that are rewritten and whose derived rows are not: the lake is older than some derived table.

    A rewrite commits the derived tables first, so there are no others, and of them the last one tells about all.
    """
    spans, last = (_rewritten(compactor.log(table.name)) for table in (SPANS, DERIVED[-1]))
    return [Hour(SPANS.name, hour) for hour in sorted(spans - last) if is_over(hour, now_s=now_s)]


def _rewritten(log: DeltaLog) -> set[Partition]:
    return {file.partition for file in log.files() if file.is_rewritten}


def is_over(partition: Partition, *, now_s: float) -> bool:
    """Whether an hour has ended, and what comes late has had its time; the overflow partition is of no hour."""
    return partition.hour == OVERFLOW_HOUR or (partition.hour_number + 1) * _HOUR_S + CLOSED_AFTER_S <= now_s


def rewrite_due(compactor: Compactor, *, now_s: float, max_hours: int = 24) -> int:
    """Rewrite the hours that want it; returns how many.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
        LakeCorrupt: a file is missing or damaged. The other hours were rewritten all the same.
    """
    damage: LakeCorrupt | None = None
    try:
        compactor.absorb()  # all tables of a stream stand at the same watermark now
    except LakeCorrupt as error:
        damage = error
    names = [name for name in compactor.tables if name not in DERIVATIONS]  # those follow their spans
    hours = [hour for name in names for hour in due(name, compactor.log(name).files(), now_s=now_s)]
    hours += [hour for hour in underived(compactor, now_s=now_s) if hour not in hours]
    done = 0
    for hour in hours:
        if done == max_hours:
            break
        try:
            rewrite(compactor, hour)
            done += 1
        except LakeCorrupt as error:
            damage = error
    if damage:
        raise damage
    return done


def rewrite(compactor: Compactor, hour: Hour) -> None:
    """Replace the files that one hour has now; for spans, what derives from them too.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
        LakeCorrupt: a file of the hour is missing or damaged.
    """
    log = compactor.log(hour.table)
    old = [file for file in log.files() if file.partition == hour.partition]
    derived = [_Derived(compactor, table, log, hour.partition) for table in DERIVED] if hour.table == SPANS.name else []
    new: list[DataFile] = []
    for part in rows_of(compactor, log, old):
        compactor.step(f"rewrite a part of {hour.table}")
        compactor.lease.hold(now_s=compactor.clock())
        rows = _last_of_each(part, log.table)
        del part  # before the next one is read
        spans = Spans(rows)
        for table in derived:
            table.add(spans)
        if rows.num_rows:
            new += [log.write(hour.partition, chunk, prefix=REWRITTEN) for chunk in chunks(rows, log.table)]
        del rows, spans
    compactor.lease.hold(now_s=compactor.clock())
    for table in derived:
        compactor.step(f"rewrite {table.table.name}")
        table.commit()
    compactor.step(f"rewrite {hour.table}")
    compactor.replace(log, old, new)
    compactor.step(f"rewritten {hour.table}")


def _last_of_each(rows: pa.Table, table: Table) -> pa.Table:
    """The rows in order, each span once."""
    return latest_spans(rows) if table.name == SPANS.name else in_order(rows, table)


@dataclass(slots=True)
class _Derived:
    """The rows of a derived table for an hour, made again from its spans, to take the place of those that there are."""

    compactor: Compactor
    table: Table
    spans: DeltaLog
    partition: Partition
    _log: DeltaLog = field(init=False)
    _old: list[LiveFile] = field(init=False)
    _derivation: Derivation = field(init=False)
    _new: list[DataFile] = field(default_factory=list)
    _gathered: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        """
        Raises:
            CommitConflict: spans and the table do not stand at the same landing files.
        """
        name = self.table.name
        self._log, self._derivation = self.compactor.log(name), DERIVATIONS[name]
        self._old = self._replaceable()
        for writer in landing.writers(self.compactor.lake.path, SPANS.landing):
            if self._log.watermark(writer.name) != self.spans.watermark(writer.name):
                raise CommitConflict(f"{name} lag behind spans, or are ahead of them: absorb first, then plan again")

    def _replaceable(self) -> list[LiveFile]:
        """The files of the hour, but those whose spans are gone for their age: counts are kept for longer than spans are."""
        files = [file for file in self._log.files() if file.partition == self.partition]
        spans = {file.path for file in self.spans.files() if file.partition == self.partition}
        if not files or not spans:
            return files
        oldest = min(time for path, time in _ingest_times(self.spans, "min") if path in spans)
        kept = {path for path, time in _ingest_times(self._log, "max") if time < oldest}
        return [file for file in files if file.path not in kept]

    def add(self, spans: Spans) -> None:
        """Derive the rows of some spans."""
        self._gathered.append(self._derivation.of(spans))
        if sum(rows.nbytes for rows in self._gathered) > _DERIVED_MAX_BYTES:
            self._shrink()

    def _shrink(self) -> None:
        """Put together what is gathered; write it where that does not help."""
        rows = self._derivation.of_hour(pa.concat_tables(self._gathered))
        self._gathered = [rows]
        if rows.nbytes > _DERIVED_MAX_BYTES / 2:
            self._write(rows)
            self._gathered.clear()

    def _write(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._new.append(self._log.write(self.partition, in_order(rows, self._log.table), prefix=REWRITTEN))

    def commit(self) -> None:
        if self._gathered:
            self._write(self._derivation.of_hour(pa.concat_tables(self._gathered)))
        if self._new or self._old:
            self._log.commit(add=self._new, remove=self._old)


def _ingest_times(log: DeltaLog, bound: Literal["min", "max"]) -> Iterator[tuple[str, dt.datetime]]:
    """Each file of a table, and when its first or last row was ingested."""
    actions = log.actions()
    return zip(actions.column("path").to_pylist(), actions.column(f"{bound}.ingested_at").to_pylist(), strict=True)
