"""Tables: the Delta tables of a lake, their data files and their log.

Takes   sorted rows for one partition, and the watermarks they bring the table to.
Gives   one Delta version per commit; each version also says how far every landing writer is absorbed.
Refuses a commit on a handle that is not the newest version: `CommitConflict`.

delta-rs guards neither watermarks nor rewrites by itself: two stale handles can both append, and an application
transaction may go backwards. So a commit here is a compare-and-swap: it names the next version, never retries, and
whoever planned on an older version must plan again on a new one.

This is the only module that knows deltalake.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Field, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction

from .disk import Disk, make_folders_durably, write_durably
from .errors import CommitConflict
from .schema import PARTITIONS, Table

ROW_GROUP_ROWS = 122_880
FILE_MAX_ROWS = 1_000_000

_BLOOM_FALSE_POSITIVES = 0.001
_CHECKPOINT_EVERY = 50
_EPOCH = dt.date(1970, 1, 1)
_ABSORBED, _REWRITTEN = "part-", "hour-"
_PROMOTED_TYPES = {pa.string(): PrimitiveType("string"), pa.int64(): PrimitiveType("long")}

_CONFIGURATION = {
    "delta.checkpointInterval": str(_CHECKPOINT_EVERY),
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    # no setTransactionRetentionDuration: it counts from a writer's last commit, and one that sends a deploy in six weeks
    # would lose its watermark while it lives
}


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One hour of a table."""

    day: dt.date
    hour: int

    @classmethod
    def of_hour_number(cls, hours: int) -> Partition:
        """The partition of the hour that began `hours` hours after the Unix epoch."""
        return cls(_EPOCH + dt.timedelta(days=hours // 24), hours % 24)

    @property
    def hour_number(self) -> int:
        """Hours from the Unix epoch to the begin of this hour."""
        return (self.day - _EPOCH).days * 24 + self.hour

    @property
    def values(self) -> dict[str, str | None]:
        return {"day": self.day.isoformat(), "hour": str(self.hour)}

    @property
    def folder(self) -> str:
        return f"day={self.day.isoformat()}/hour={self.hour}"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that is written but in no version yet."""

    path: str
    """Relative to the table's folder."""
    partition: Partition
    size_bytes: int
    row_count: int
    statistics: str
    """JSON as in the Delta protocol, section "Per-file Statistics"."""


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data file of one version of a table."""

    path: str
    partition: Partition
    size_bytes: int
    row_count: int
    written_at_s: float
    """Seconds since the Unix epoch."""

    @property
    def is_rewritten(self) -> bool:
        """Whether the rewrite of a closed hour made the file."""
        return self.path.rpartition("/")[2].startswith(_REWRITTEN)

    @property
    def checksum(self) -> int:
        """CRC-32 of the whole file, as its name says it."""
        return int(self.path.removesuffix(".parquet").rpartition("-")[2], 16)


class DeltaLog:
    """One Delta table: reads its newest version and commits the next. Not for use by two threads at once."""

    def __init__(self, lake_folder: Path, table: Table, *, version: int | None = None, disk: Disk | None = None) -> None:
        """Open the table at a version, by default the newest.

        Raises:
            FileNotFoundError: the table, or that version of it, does not exist.
        """
        self.table = table
        self.folder = lake_folder / table.name
        self._disk = disk or Disk()
        self._watermarks: dict[str, int] = {}
        self._watermarks_of = -1
        try:
            self._delta = DeltaTable(self.folder, version=version)
        except (TableNotFoundError, DeltaError) as error:
            raise FileNotFoundError(f"{self.folder}: no such table or version ({error})") from error

    @classmethod
    def open_or_create(cls, lake_folder: Path, table: Table, *, disk: Disk | None = None) -> DeltaLog:
        """Open the newest version, of an empty new table if there is none."""
        folder = lake_folder / table.name
        if not DeltaTable.is_deltatable(str(folder)):
            make_folders_durably(disk or Disk(), folder)
            DeltaTable.create(
                folder,
                schema=_delta_schema(table),
                mode="ignore",
                partition_by=[c.name for c in PARTITIONS],
                # without it only the first 32 columns have statistics when they are read back
                configuration={**_CONFIGURATION, "delta.dataSkippingStatsColumns": ",".join(table.statistics)},
            )
        log = cls(lake_folder, table, disk=disk)
        log._add_promoted_columns()
        return log

    def _add_promoted_columns(self) -> None:
        """Put columns that were promoted since the table was made into its schema, for readers that know Delta alone."""
        known = {field.name for field in self._delta.schema().fields}
        new = [field for field in _delta_schema(self.table) if field.name not in known]
        if not new:
            return
        try:
            self._delta.alter.add_columns(
                [Field(field.name, _PROMOTED_TYPES[field.type]) for field in new],
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError as error:
            raise CommitConflict(f"{self.table.name}: columns were added by somebody else at the same time") from error
        self._make_durable(self.version)

    @property
    def version(self) -> int:
        return self._delta.version()

    def refresh(self) -> bool:
        """Move to the newest version; whether there was a newer one."""
        if not log_file(self.folder, self.version + 1).exists():  # a refresh that finds nothing costs 5 ms
            return False
        self._delta.update_incremental()
        return True

    def watermark(self, writer: str) -> int:
        """The highest landing sequence of a writer that this version holds, 0 if none."""
        if self._watermarks_of != self.version:  # delta-rs takes 0.3 ms to answer, and it is asked for every file
            self._watermarks, self._watermarks_of = {}, self.version
        if writer not in self._watermarks:
            self._watermarks[writer] = self._delta.transaction_version(writer) or 0
        return self._watermarks[writer]

    def actions(self) -> pa.Table:
        """The files of this version, one row each: `path`, `size_bytes`, `num_records`, `partition.day`,
        `partition.hour`, and `min.<column>`, `max.<column>` of the columns with statistics.
        """
        return pa.table(self._delta.get_add_actions(flatten=True))

    def files(self) -> list[LiveFile]:
        """The files of this version."""
        names = ["path", "partition.day", "partition.hour", "size_bytes", "num_records", "modification_time"]
        return [
            LiveFile(path, Partition(day, hour), size, rows, modified_ms / 1000)
            for path, day, hour, size, rows, modified_ms in zip(
                *(column.to_pylist() for column in self.actions().select(names).columns), strict=True
            )
        ]

    def commit(
        self,
        *,
        add: Sequence[DataFile] = (),
        remove: Iterable[LiveFile] = (),
        watermarks: Mapping[str, int] | None = None,
    ) -> None:
        """Make the next version of the table out of the one this handle is at.

        Args:
            watermarks: writer to its highest absorbed sequence; recorded in the same commit as the rows.

        Raises:
            CommitConflict: somebody else made the next version. The handle is at that one now; plan again.
        """
        now_ms = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [
            AddAction(f.path, f.size_bytes, f.partition.values, now_ms, data_change=True, stats=f.statistics) for f in add
        ]
        # data_change=True also where rows only move: delta-rs lets two rewrites both win otherwise, doubling the rows
        actions += [RemoveAction(f.path, True, now_ms, f.size_bytes, f.partition.values) for f in remove]
        transactions = [Transaction(writer, sequence, now_ms) for writer, sequence in (watermarks or {}).items()]
        properties = CommitProperties(max_commit_retries=0, app_transactions=transactions)
        wanted = self.version + 1
        try:
            self._delta.create_write_transaction(
                actions,
                "append",
                _delta_schema(self.table),
                [c.name for c in PARTITIONS],
                commit_properties=properties,
                post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=wanted % _CHECKPOINT_EVERY == 0),
            )
        except CommitFailedError as error:
            self._delta.update_incremental()
            raise CommitConflict(f"{self.table.name}: version {wanted} was committed by somebody else") from error
        self._make_durable(wanted)
        self._delta.update_incremental()

    def _make_durable(self, version: int) -> None:
        self._disk.flush(log_file(self.folder, version))
        self._disk.flush_folder(self.folder / "_delta_log")

    def write(self, partition: Partition, rows: pa.Table, *, rewritten: bool = False) -> DataFile:
        """Write sorted rows of one partition to a new file, durably; it belongs to no version until committed."""
        data = _parquet(self.table, rows)
        name = f"{_REWRITTEN if rewritten else _ABSORBED}{uuid.uuid4().hex}-{zlib.crc32(data):08x}.parquet"
        path = f"{partition.folder}/{name}"
        make_folders_durably(self._disk, (self.folder / path).parent)
        write_durably(self._disk, self.folder / path, data)
        return DataFile(path, partition, len(data), rows.num_rows, _statistics(self.table, rows))


def _delta_schema(table: Table) -> pa.Schema:
    partitions = [pa.field(c.name, c.type, c.nullable) for c in PARTITIONS]
    return pa.schema([*table.arrow_schema, *partitions])


def log_file(folder: Path, version: int) -> Path:
    """The commit file of a version of the table in `folder`."""
    return folder / "_delta_log" / f"{version:020}.json"


def _parquet(table: Table, rows: pa.Table) -> memoryview:
    groups = max(1, -(-rows.num_rows // ROW_GROUP_ROWS))
    bloom = {
        column: {"ndv": max(1, pc.count_distinct(rows.column(column)).as_py() // groups), "fpp": _BLOOM_FALSE_POSITIVES}
        for column in table.bloom
    }
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.replace_schema_metadata(None),
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=1,
        use_dictionary=[
            leaf for field in rows.schema if field.name not in table.plain for leaf in _leaves(field.name, field.type)
        ],
        write_statistics=list(table.statistics),
        bloom_filter_options=bloom or None,
        store_schema=False,
        write_page_checksum=True,
    )
    return memoryview(sink.getvalue())


def _leaves(name: str, kind: pa.DataType) -> list[str]:
    """The Parquet columns that an Arrow column becomes, as dotted paths."""
    if pa.types.is_map(kind):
        return [f"{name}.key_value.key", *_leaves(f"{name}.key_value.value", kind.item_type)]
    if pa.types.is_list(kind):
        return _leaves(f"{name}.list.element", kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{name}.{field.name}", field.type)]
    return [name]


def _statistics(table: Table, rows: pa.Table) -> str:
    low: dict[str, object] = {}
    high: dict[str, object] = {}
    nulls: dict[str, int] = {}
    for name in table.statistics:
        column = rows.column(name)
        bounds = pc.min_max(column)
        nulls[name] = column.null_count
        if bounds["min"].is_valid:
            low[name] = _statistic(bounds["min"].as_py(), round_up=False)
            high[name] = _statistic(bounds["max"].as_py(), round_up=True)
    return json.dumps({"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls})


def _statistic(value: object, *, round_up: bool) -> object:
    """Delta keeps times in milliseconds here; rounding outwards keeps the bounds true for every reader."""
    if isinstance(value, dt.datetime):
        milliseconds = value.replace(microsecond=value.microsecond // 1000 * 1000)
        if round_up and milliseconds < value:
            milliseconds += dt.timedelta(milliseconds=1)
        return milliseconds.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
