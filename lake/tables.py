"""Tables: the Delta tables of a lake, their data files and their log.

Takes   sorted rows for one partition, and the watermarks they bring the table to.
Gives   one Delta version per commit; each version also says how far every landing writer is absorbed.
Refuses a commit on a handle that is not the newest version: `CommitConflict`.

delta-rs guards neither watermarks nor rewrites by itself: two stale handles can both append, an application transaction
may go backwards, and two rewrites can double the rows. Nor does it flush what it writes to the log. So it only reads here,
and a commit is a compare-and-swap: it creates the file of the next version, durable before it has its name, and whoever
planned on an older version must plan again on a new one.

This is the only module that knows deltalake.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from . import commit_file
from .commit_file import Action
from .data_files import (
    ABSORBED,
    FILE_MAX_ROWS,
    MERGED,
    REWRITTEN,
    ROW_GROUP_ROWS,
    DataFile,
    LiveFile,
    Partition,
    parquet,
    statistics,
)
from .disk import TEMPORARY, Disk, create_durably, make_folders_durably, replace_durably, write_durably
from .errors import CommitConflict, LakeCorrupt
from .schema import PARTITIONS, Table

__all__ = [
    "FILE_MAX_ROWS",
    "MERGED",
    "REWRITTEN",
    "ROW_GROUP_ROWS",
    "DataFile",
    "DeltaLog",
    "LiveFile",
    "Partition",
    "log_file",
]

CHECKPOINT_EVERY = 50
"""Versions from one checkpoint to the next."""

LOG_KEPT_S = 86_400
"""Seconds that the log of a version is kept after a checkpoint made it unnecessary."""

_LAST_CHECKPOINT = "_last_checkpoint"

_CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    "delta.logRetentionDuration": f"interval {LOG_KEPT_S // 3600} hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    # only for watermarks that have a time, and `commit_file` gives one only to those that shall go
    "delta.setTransactionRetentionDuration": "interval 1 days",
}


class DeltaLog:
    """One Delta table: reads its newest version and commits the next. Not for use by two threads at once."""

    def __init__(self, lake_folder: Path, table: Table, *, version: int | None = None, disk: Disk | None = None) -> None:
        """Open the table at a version, by default the newest.

        Raises:
            FileNotFoundError: the table, or that version of it, does not exist.
            LakeCorrupt: its log is damaged.
        """
        self.table = table
        self.folder = lake_folder / table.name
        self._log = log_file(self.folder, 0).parent
        self._disk = disk or Disk()
        self._watermarks: dict[str, int] = {}
        self._watermarks_of = -1
        self._durable_version = -1
        self._writers: list[str] = []
        self._writers_of = -1
        try:
            self._delta = DeltaTable(self.folder, version=version)
        except TableNotFoundError as error:
            raise FileNotFoundError(f"{self.folder}: no such table ({error})") from error
        except DeltaError as error:
            if version is not None:
                raise FileNotFoundError(f"{self.folder}: no version {version} ({error})") from error
            raise LakeCorrupt(f"{self._log} cannot be read ({error}): restore it from a backup") from error

    @classmethod
    def open_or_create(cls, lake_folder: Path, table: Table, *, disk: Disk | None = None) -> DeltaLog:
        """Open the newest version, of an empty new table if there is none; its schema has every column of `table`.

        Raises:
            CommitConflict: somebody else made a version while columns were added; open it again.
            LakeCorrupt: the log of the table is damaged.
        """
        folder, disk = lake_folder / table.name, disk or Disk()
        if not DeltaTable.is_deltatable(str(folder)):
            _create(folder, table, disk)
        log = cls(lake_folder, table, disk=disk)
        log._add_promoted_columns()
        return log

    def _add_promoted_columns(self) -> None:
        """Put columns that were promoted since the table was made into its schema, for readers that know Delta alone."""
        schema = self._delta.schema()
        known = {field.name for field in schema.fields}
        new = [field for field in Schema.from_arrow(_delta_schema(self.table)).fields if field.name not in known]
        if new:
            old = self._delta.metadata()
            metadata = commit_file.metadata(
                table_id=str(old.id),
                schema_json=Schema([*schema.fields, *new]).to_json(),
                partition_columns=old.partition_columns,
                configuration=old.configuration,
                created_ms=old.created_time,
            )
            self._publish(commit_file.change(metadata=metadata, now_ms=_now_ms()))

    @property
    def version(self) -> int:
        return self._delta.version()

    def refresh(self) -> bool:
        """Move to the newest version; whether there was a newer one."""
        version = self.version
        if log_file(self.folder, version + 1).exists():  # a refresh that finds nothing costs 5 ms
            self._delta.update_incremental()
        elif not log_file(self.folder, version).exists():  # cleaned up, so there are versions far beyond it
            self._delta = DeltaTable(self.folder)
        return self.version != version

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

    def files(self, *, at_least: int = 1) -> list[LiveFile]:
        """The files of this version.

        Args:
            at_least: only those of partitions that have so many.
        """
        partition = ["partition.day", "partition.hour"]
        found = self.actions().select(["path", *partition, "size_bytes", "num_records", "modification_time"])
        if at_least > 1:  # before there is an object for each file of weeks
            counts = found.group_by(partition).aggregate([([], "count_all")])
            crowded = counts.filter(pc.greater_equal(counts.column("count_all"), at_least)).select(partition)
            found = found.join(crowded, partition, join_type="left semi")
        return [
            LiveFile(path, Partition(day, hour), size, rows, modified_ms / 1000)
            for path, day, hour, size, rows, modified_ms in zip(
                *(column.to_pylist() for column in found.columns), strict=True
            )
        ]

    def checkpointed_writers(self) -> list[str]:
        """The landing writers that the newest checkpoint has a watermark of; none while there is no checkpoint."""
        path = self._log / _LAST_CHECKPOINT
        if not path.exists():
            return []
        version: int = orjson.loads(path.read_bytes())["version"]
        if version != self._writers_of:
            checkpoint = self._log / _checkpoint_name(version)
            if not checkpoint.exists():  # Spark may cut one into parts; then there is another in a while
                return []
            column = pq.ParquetFile(checkpoint).read(columns=["txn"]).column("txn").combine_chunks()
            self._writers, self._writers_of = column.drop_null().field("appId").to_pylist(), version
        return self._writers

    def commit(
        self,
        *,
        add: Sequence[DataFile] = (),
        remove: Iterable[LiveFile] = (),
        watermarks: Mapping[str, int] | None = None,
        forget: Iterable[str] = (),
    ) -> None:
        """Make the next version of the table out of the one this handle is at.

        Args:
            watermarks: writer to its highest absorbed sequence; recorded in the same commit as the rows.
            forget: writers whose watermarks are not needed any more, because none of their files is left.

        Raises:
            CommitConflict: somebody else made the next version. The handle is at the newest one now; plan again.
            OSError: the disk failed. If the version is there all the same, the handle finds it at its next `refresh`.
        """
        now_ms = _now_ms()
        self._publish(commit_file.change(add=add, remove=remove, watermarks=watermarks or {}, forget=forget, now_ms=now_ms))

    def _publish(self, actions: Iterable[Action]) -> None:
        """Create the file of the next version, which fails if it is there: the compare-and-swap."""
        wanted = self.version + 1
        path = log_file(self.folder, wanted)
        conflict = CommitConflict(f"{self.table.name}: version {wanted} was committed by somebody else")
        if not log_file(self.folder, self.version).exists():  # so old that its log is cleaned up, and the next one's too
            self.refresh()
            raise conflict
        if self._durable_version != self.version:  # somebody else's, and perhaps only visible yet
            self._disk.flush_folder(self._log)
        try:
            create_durably(self._disk, path, commit_file.commit_bytes(actions))
        except FileExistsError:
            self.refresh()
            raise conflict from None
        self._delta.update_incremental()
        self._durable_version = wanted
        if wanted % CHECKPOINT_EVERY == 0:
            self._checkpoint(wanted)

    def _checkpoint(self, version: int) -> None:
        """Write a checkpoint, and clean up the log that it makes unnecessary and that no snapshot needs.

        delta-rs does not flush a checkpoint, and a table cannot be opened with half of one. So it makes it in a copy of the
        log, and from there it comes into the log durably, before anything is cleaned up.
        """
        with TemporaryDirectory(prefix="tracelake-") as scratch:
            copy = Path(scratch, self._log.name)
            copy.mkdir()
            for path in self._since_checkpoint():
                shutil.copy(path, copy)
            DeltaTable(scratch, version=version).create_checkpoint()
            for name in (_checkpoint_name(version), _LAST_CHECKPOINT):
                replace_durably(self._disk, self._log / name, (copy / name).read_bytes())
        self._delta.cleanup_metadata()
        for left in self._log.glob(f"*{TEMPORARY}"):  # by a process that was killed
            if left.stat().st_mtime < time.time() - LOG_KEPT_S:
                left.unlink(missing_ok=True)

    def _since_checkpoint(self) -> list[Path]:
        """The files of the log that it can be read from."""
        last = self._log / _LAST_CHECKPOINT
        first: int = orjson.loads(last.read_bytes())["version"] if last.exists() else 0
        numbered = [path for path in self._log.iterdir() if path.suffix in (".json", ".parquet")]
        return [path for path in numbered if int(path.name.partition(".")[0]) >= first] + ([last] if last.exists() else [])

    def write(self, partition: Partition, rows: pa.Table, *, prefix: str = ABSORBED) -> DataFile:
        """Write sorted rows of one partition to a new file, durably; it belongs to no version until committed.

        Args:
            prefix: how its name begins, which says where the rows come from.
        """
        data = parquet(self.table, rows)
        name = f"{prefix}{uuid.uuid4().hex}-{zlib.crc32(data):08x}.parquet"
        path = f"{partition.folder}/{name}"
        make_folders_durably(self._disk, (self.folder / path).parent)
        write_durably(self._disk, self.folder / path, data)
        return DataFile(path, partition, len(data), rows.num_rows, statistics(self.table, rows))


def _create(folder: Path, table: Table, disk: Disk) -> None:
    """Write version 0 of a table, unless somebody else does."""
    now_ms = _now_ms()
    metadata = commit_file.metadata(
        table_id=str(uuid.uuid4()),
        schema_json=Schema.from_arrow(_delta_schema(table)).to_json(),
        partition_columns=[c.name for c in PARTITIONS],
        # without a list only the first 32 columns have statistics when they are read back
        configuration={**_CONFIGURATION, "delta.dataSkippingStatsColumns": ",".join(table.statistics)},
        created_ms=now_ms,
    )
    path = log_file(folder, 0)
    make_folders_durably(disk, path.parent)
    with contextlib.suppress(FileExistsError):
        create_durably(disk, path, commit_file.commit_bytes(commit_file.create(metadata, now_ms=now_ms)))


def _delta_schema(table: Table) -> pa.Schema:
    partitions = [pa.field(c.name, c.type, c.nullable) for c in PARTITIONS]
    return pa.schema([*table.arrow_schema, *partitions])


def log_file(folder: Path, version: int) -> Path:
    """The commit file of a version of the table in `folder`."""
    return folder / "_delta_log" / f"{version:020}.json"


def _checkpoint_name(version: int) -> str:
    return f"{version:020}.checkpoint.parquet"


def _now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return int(time.time() * 1000)
