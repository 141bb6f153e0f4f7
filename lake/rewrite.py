"""Rewrite: the files of an hour that is over, made into few, sorted and without repeated spans.

Takes   the partitions of the tables and the time.
Gives   one commit per partition that replaces its files; the exceptions of an hour are made again from its spans.
Refuses a commit that somebody else was faster with (`CommitConflict`): nothing has changed, plan again.

Identity of a span is (trace id, span id, kind, start), and the one that came last stays. Ranges of trace ids are read one
after the other, so memory follows `RANGE_ROWS` and not the hour, and the new files' ranges are disjoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .compaction import Compactor
from .exceptions import SOURCE_COLUMNS, exceptions_of
from .landing import conform
from .schema import EXCEPTIONS, SPANS, Table
from .tables import LiveFile, Partition
from .wire.arrays import booleans

CLOSED_AFTER_S = 600
"""Seconds after its end from which on an hour is taken for complete."""

MAX_FRESH_FILES = 16
MAX_FRESH_SHARE = 0.05
"""Share of an hour's rows that may lie in files that were never rewritten."""

ONCE_A_DAY_S = 86_400
RANGE_ROWS = 200_000

_HOUR_S = 3600
_IDENTITY = ("trace_id", "span_id", "kind", "start_time", "start_ns_remainder")


@dataclass(frozen=True, slots=True)
class Hour:
    """One partition of one table, with its files."""

    table: str
    partition: Partition
    files: tuple[LiveFile, ...]


def due(table: str, files: Iterable[LiveFile], *, now_s: float) -> list[Hour]:
    """The hours of a table that want a rewrite, oldest first.

    Args:
        now_s: seconds since the Unix epoch.
    """
    hours: dict[Partition, list[LiveFile]] = defaultdict(list)
    for file in files:
        hours[file.partition].append(file)
    return [Hour(table, p, tuple(hours[p])) for p in sorted(hours) if is_due(p, hours[p], now_s=now_s)]


def is_due(partition: Partition, files: Sequence[LiveFile], *, now_s: float) -> bool:
    """Whether an hour is over and has too many files, too many late rows, or a late file that is a day old."""
    fresh = [file for file in files if not file.is_rewritten]
    if not fresh or (partition.hour_number + 1) * _HOUR_S + CLOSED_AFTER_S > now_s:
        return False
    share = sum(file.row_count for file in fresh) / max(1, sum(file.row_count for file in files))
    oldest_s = now_s - min(file.written_at_s for file in fresh)
    return len(fresh) > MAX_FRESH_FILES or share > MAX_FRESH_SHARE or oldest_s > ONCE_A_DAY_S


def rewrite_due(compactor: Compactor, *, now_s: float, max_hours: int = 24) -> int:
    """Rewrite the hours that want it; returns how many.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
    """
    compactor.absorb()  # all tables of a stream stand at the same watermark now
    done = 0
    for name in compactor.tables:
        if name == EXCEPTIONS.name:  # follows its spans
            continue
        for hour in due(name, compactor.log(name).files(), now_s=now_s)[: max_hours - done]:
            rewrite(compactor, hour)
            done += 1
    return done


def rewrite(compactor: Compactor, hour: Hour) -> None:
    """Replace the files of one hour; for spans, the exceptions of the hour too."""
    compactor.lease.hold(now_s=compactor.clock())
    log = compactor.log(hour.table)
    new = []
    for part in _sorted_parts(log.folder, log.table, hour.files):
        compactor.lease.hold(now_s=compactor.clock())
        new.append(log.write(hour.partition, part, rewritten=True))
    compactor.step(f"rewrite {hour.table}")
    log.commit(add=new, remove=hour.files)
    compactor.step(f"rewritten {hour.table}")
    if hour.table == SPANS.name:
        _derive_again(compactor, hour.partition)


def _derive_again(compactor: Compactor, partition: Partition) -> None:
    """Make the exceptions of an hour from its spans, in place of those that there are."""
    spans = [f for f in compactor.log(SPANS.name).files() if f.partition == partition]
    log = compactor.log(EXCEPTIONS.name)
    old = [f for f in log.files() if f.partition == partition]
    parts = [exceptions_of(pq.ParquetFile(compactor.log(SPANS.name).folder / f.path).read(columns=list(SOURCE_COLUMNS)))
             for f in spans]  # fmt: skip
    rows = pa.concat_tables([EXCEPTIONS.arrow_schema.empty_table(), *parts])
    rows = rows.sort_by([(name, "ascending") for name in log.table.sort])
    new = [log.write(partition, rows, rewritten=True)] if rows.num_rows else []
    if new or old:
        log.commit(add=new, remove=old)


def _sorted_parts(folder: Path, table: Table, files: Sequence[LiveFile]) -> Iterator[pa.Table]:
    """The rows of an hour in order, in parts of about `RANGE_ROWS`, each span once."""
    paths = [folder / file.path for file in files]
    if table.name != SPANS.name:
        rows = pa.concat_tables([_read(path, table, None) for path in paths])
        yield rows.sort_by([(name, "ascending") for name in table.sort])
        return
    for low, high in ranges(paths, sum(file.row_count for file in files)):
        part = pa.concat_tables([_read(path, table, (low, high)) for path in paths])
        if part.num_rows:
            yield latest_spans(part)


def ranges(paths: Sequence[Path], row_count: int) -> list[tuple[str, str | None]]:
    """Bounds `[low, high)` of trace ids that cut some files into parts of about `RANGE_ROWS`; the last one is open."""
    starts = sorted(
        metadata.row_group(group).column(0).statistics.min
        for metadata in (pq.read_metadata(path) for path in paths)
        for group in range(metadata.num_row_groups)
    )
    count = min(len(starts), -(-row_count // RANGE_ROWS))
    cuts = sorted({starts[len(starts) * i // count] for i in range(1, count)}) if count > 1 else []
    lows = ["", *cuts]
    return list(zip(lows, [*cuts, None], strict=True))


def _read(path: Path, table: Table, bounds: tuple[str, str | None] | None) -> pa.Table:
    filters = None
    if bounds is not None:
        filters = pc.field("trace_id") >= bounds[0]
        if bounds[1] is not None:
            filters &= pc.field("trace_id") < bounds[1]
    rows = pq.read_table(path, filters=filters, partitioning=None, use_threads=False)
    return conform(rows, table.arrow_schema)


def latest_spans(rows: pa.Table) -> pa.Table:
    """Spans sorted by trace and start, of equal ones only the one ingested last."""
    order = [
        (name, "ascending") for name in ("trace_id", "start_time", "start_ns_remainder", "span_id", "kind", "ingested_at")
    ]
    indices = pc.sort_indices(rows.select([name for name, _ in order]), sort_keys=order)
    rows = rows.take(indices)
    same = np.ones(max(0, rows.num_rows - 1), dtype=np.bool_)
    for name in _IDENTITY:
        column = rows.column(name).combine_chunks()
        same &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return rows.filter(booleans(np.append(~same, True)))
