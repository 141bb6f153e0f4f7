"""Merge: the many small files of an hour made into few while more come.

Takes   the files of the tables' partitions.
Gives   one commit per partition that puts few files in the place of many; the rows stay as they are, but derived ones that
        can be added up are.
Refuses a commit that somebody else was faster with (`CommitConflict`): nothing has changed, plan again.

Compaction leaves a file every few seconds, and a query takes a little time for each. So as soon as a partition has
`FEWEST_FILES` small ones they become one, and that is merged again until it is no longer small. More rows than one part
of `lake.trace_ranges` become files whose trace ids do not overlap, of which a look for one trace opens one.

A row is written again once or twice, more often only where there are few. What came twice stays so until the hour is
rewritten (`lake.rewrite`): exceptions are derived from the same spans and have to change together with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from . import trace_ranges
from .compaction import Compactor
from .derived import DERIVATIONS
from .errors import LakeCorrupt
from .landing import conform
from .partitioning import chunks
from .schema import SPANS, Table
from .tables import MERGED, DataFile, DeltaLog, LiveFile, Partition

FEWEST_FILES = 16
"""Small files of a partition that make a merge worth it, and that one merge takes."""

SMALL_ROWS = 12_500
"""Rows from which on a merged file is not merged again; one that compaction made always is."""

SMALL_BYTES = 4 * 2**20
"""Size from which on no file is merged: what bounds the memory of a merge of tables that are not sorted by trace."""


def small_files(files: Iterable[LiveFile]) -> dict[Partition, list[LiveFile]]:
    """Of each partition that has enough small files the `FEWEST_FILES` oldest ones."""
    small: dict[Partition, list[LiveFile]] = defaultdict(list)
    for file in files:
        if _is_small(file):
            small[file.partition].append(file)
    return {
        partition: sorted(small[partition], key=lambda file: (file.written_at_s, file.path))[:FEWEST_FILES]
        for partition in sorted(small)
        if len(small[partition]) >= FEWEST_FILES
    }


def _is_small(file: LiveFile) -> bool:
    return not file.is_rewritten and file.size_bytes < SMALL_BYTES and (not file.is_merged or file.row_count < SMALL_ROWS)


def merge_due(compactor: Compactor) -> int:
    """Merge the small files of each partition that has many; returns how many files became fewer.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
        LakeCorrupt: a file is missing or damaged. The other partitions were merged all the same.
    """
    damage: LakeCorrupt | None = None
    count = 0
    for name in [table.name for table in compactor.tables.values() if compactor.has_landing(table.landing)]:
        log = compactor.log(name)
        for partition, files in small_files(log.files(at_least=FEWEST_FILES)).items():
            try:
                merge(compactor, log, partition, files)
                count += len(files)
            except LakeCorrupt as error:
                damage = error
    if damage:
        raise damage
    return count


def merge(compactor: Compactor, log: DeltaLog, partition: Partition, files: Sequence[LiveFile]) -> None:
    """Put few files in the place of some of a partition of a table.

    Args:
        files: of the version that `log` is at. A refresh in between would hide that somebody else has replaced them.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
        LakeCorrupt: a file is missing or damaged.
    """
    name = log.table.name
    new: list[DataFile] = []
    for part in rows_of(compactor, log, files):
        compactor.step(f"merge a part of {name}")
        compactor.lease.hold(now_s=compactor.clock())
        rows = in_order(_together(part, log.table), log.table)
        del part  # before the next one is read
        new += [log.write(partition, chunk, prefix=MERGED) for chunk in chunks(rows, log.table) if chunk.num_rows]
        del rows
    compactor.lease.hold(now_s=compactor.clock())
    compactor.step(f"commit the merge of {name}")
    compactor.replace(log, files, new)
    compactor.step(f"merged {name}")


def _together(rows: pa.Table, table: Table) -> pa.Table:
    return DERIVATIONS[table.name].together(rows) if table.name in DERIVATIONS else rows


def rows_of(compactor: Compactor, log: DeltaLog, files: Sequence[LiveFile]) -> Iterator[pa.Table]:
    """The rows of some files, in no order: of spans one range of trace ids after the other, of other tables all at once.

    Raises:
        CommitConflict: a file has a column that was promoted a moment ago.
        LakeCorrupt: a file is missing or damaged.
    """
    paths = [log.folder / file.path for file in files]
    schema = log.table.arrow_schema
    if log.table.name == SPANS.name:
        row_count = sum(file.row_count for file in files)
        yield from trace_ranges.parts(paths, schema, row_count, compactor.lake.path / trace_ranges.SCRATCH)
    elif paths:
        yield pa.concat_tables([_whole(path, schema) for path in paths])


def _whole(path: Path, schema: pa.Schema) -> pa.Table:
    with trace_ranges.opened(path) as file:
        return conform(file.read(), schema)


def in_order(rows: pa.Table, table: Table) -> pa.Table:
    """The rows sorted as the files of their table are."""
    return rows.sort_by([(name, "ascending") for name in table.sort])
