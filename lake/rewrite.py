"""Rewrite: the files of an hour that is over, made into few, sorted and without repeated spans.

Takes   the partitions of the tables and the time.
Gives   one commit per partition that replaces its files; the exceptions of an hour are made again from its spans.
Refuses a commit that somebody else was faster with (`CommitConflict`): nothing has changed, plan again.

Identity of a span is (trace id, span id, kind, start), and the one that came last stays (`lake.schema`). Ranges of trace
ids are worked on one after the other (`lake.trace_ranges`), so memory does not follow the hour, and the new files' ranges
are disjoint.

The exceptions of an hour are replaced before its spans. Both are the same whoever makes them from the same spans, so a
crash in between leaves exceptions that are right already and spans that are still due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from . import landing
from .compaction import Compactor
from .errors import CommitConflict, LakeCorrupt
from .exceptions import exceptions_of
from .identity import latest_spans
from .merge import in_order, rows_of
from .partitioning import chunks
from .schema import EXCEPTIONS, OVERFLOW_HOUR, SPANS, Table
from .tables import REWRITTEN, DataFile, DeltaLog, LiveFile, Partition

CLOSED_AFTER_S = 600
"""Seconds after its end from which on an hour is taken for complete."""

MAX_FRESH_FILES = 16
MAX_FRESH_SHARE = 0.05
"""Share of an hour's rows that may lie in files that were never rewritten."""

ONCE_A_DAY_S = 86_400

_HOUR_S = 3600
_DERIVED_MAX_BYTES = 64 * 2**20
"""Bytes of exceptions that are gathered for one file."""


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
    if (partition.hour_number + 1) * _HOUR_S + CLOSED_AFTER_S > now_s:
        return False
    return many or sum(file.row_count for file in fresh) > MAX_FRESH_SHARE * sum(file.row_count for file in files)


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
    names = [name for name in compactor.tables if name != EXCEPTIONS.name]  # those follow their spans
    hours = [hour for name in names for hour in due(name, compactor.log(name).files(), now_s=now_s)]
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
    """Replace the files that one hour has now; for spans, the exceptions of the hour too.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
        LakeCorrupt: a file of the hour is missing or damaged.
    """
    log = compactor.log(hour.table)
    old = [file for file in log.files() if file.partition == hour.partition]
    derived = _Exceptions(compactor, log, hour.partition) if hour.table == SPANS.name else None
    new: list[DataFile] = []
    for part in rows_of(compactor, log, old):
        compactor.step(f"rewrite a part of {hour.table}")
        compactor.lease.hold(now_s=compactor.clock())
        rows = _last_of_each(part, log.table)
        del part  # before the next one is read
        if derived:
            derived.add(rows)
        if rows.num_rows:
            new += [log.write(hour.partition, chunk, prefix=REWRITTEN) for chunk in chunks(rows, log.table)]
        del rows
    compactor.lease.hold(now_s=compactor.clock())
    if derived:
        compactor.step(f"rewrite {EXCEPTIONS.name}")
        derived.commit()
    compactor.step(f"rewrite {hour.table}")
    compactor.replace(log, old, new)
    compactor.step(f"rewritten {hour.table}")


def _last_of_each(rows: pa.Table, table: Table) -> pa.Table:
    """The rows in order, each span once."""
    return latest_spans(rows) if table.name == SPANS.name else in_order(rows, table)


@dataclass(slots=True)
class _Exceptions:
    """The exceptions of an hour, made again from its spans, to take the place of those that there are."""

    compactor: Compactor
    spans: DeltaLog
    partition: Partition
    _log: DeltaLog = field(init=False)
    _old: list[LiveFile] = field(init=False)
    _new: list[DataFile] = field(default_factory=list)
    _gathered: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        """
        Raises:
            CommitConflict: spans and exceptions do not stand at the same landing files.
        """
        self._log = self.compactor.log(EXCEPTIONS.name)
        self._old = [file for file in self._log.files() if file.partition == self.partition]
        for writer in landing.writers(self.compactor.lake.path, SPANS.landing):
            if self._log.watermark(writer.name) != self.spans.watermark(writer.name):
                raise CommitConflict("exceptions lag behind spans, or are ahead of them: absorb first, then plan again")

    def add(self, spans: pa.Table) -> None:
        """Derive the exceptions of some spans."""
        self._gathered.append(exceptions_of(spans))
        if sum(rows.nbytes for rows in self._gathered) > _DERIVED_MAX_BYTES:
            self._write()

    def _write(self) -> None:
        rows = pa.concat_tables([EXCEPTIONS.arrow_schema.empty_table(), *self._gathered])
        self._gathered.clear()
        if rows.num_rows:
            self._new.append(self._log.write(self.partition, in_order(rows, self._log.table), prefix=REWRITTEN))

    def commit(self) -> None:
        self._write()
        if self._new or self._old:
            self._log.commit(add=self._new, remove=self._old)
