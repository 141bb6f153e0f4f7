"""Landing: rows that were acknowledged, one immutable Parquet file per commit.

Takes   rows of one landing stream and the requests they came in.
Gives   `landing/<stream>/<writer>/<block>/<sequence>.parquet`, durable when `LandingWriter.commit` has returned.
Refuses nothing; a failing disk raises `Overloaded`, and the writer goes on under a new name.

Writers need no coordination. A writer's name is new for every process start and never used again; it has one commit in
flight, and its sequence has no gaps. So the files beyond a watermark (`lake.tables`) are exactly those that wait, and the
compactor takes the contiguous run after the watermark. A block is a folder of `BLOCK` files: a reader lists the tail
without listing the many absorbed files that are kept for older snapshots.

A file has the columns of its table without those that are null in every row. Its key-value metadata has
`tracelake.requests`: the hash and row count of each request, in the order of the rows.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from .disk import Disk, make_folders_durably, write_durably
from .errors import LakeCorrupt, Overloaded

BLOCK = 1000
"""Files in one folder."""

_REQUESTS = "tracelake.requests"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Request:
    """One request body inside a landing file."""

    hash: str
    """SHA-256 of the inflated body or of the client's Idempotency-Key, hex."""
    row_count: int


@dataclass(frozen=True, slots=True, order=True)
class LandingFile:
    """One commit of one writer."""

    writer: str
    sequence: int
    path: Path


class LandingWriter:
    """Writes the landing files of one stream for one process; not for use by two threads at once."""

    def __init__(self, lake_folder: Path, stream: str, *, now: datetime, disk: Disk | None = None) -> None:
        self._stream_folder = lake_folder / "landing" / stream
        self._disk = disk or Disk()
        self._now = now
        self._lock: int | None = None
        self._block: Path | None = None
        self._open()

    def _open(self) -> None:
        """Take a new name; the lock tells others that the writer lives."""
        self.close()
        self.writer = f"{self._now:%Y%m%dT%H%M%S}-{secrets.token_hex(5)}"
        self._next = 1

    def commit(self, rows: pa.Table, requests: Sequence[Request]) -> LandingFile:
        """Store rows; when this returns they survive any crash.

        Args:
            rows: columns of the stream's table; the rows of each request next to each other, in order.
            requests: hash and row count of each request; the counts add up to the rows.

        Raises:
            Overloaded: the disk is full or failing. Nothing was acknowledged, the client should send again.
        """
        path = path_of(self._stream_folder / self.writer, self._next)
        data = _parquet(rows, requests)
        try:
            self._enter(path.parent)
            write_durably(self._disk, path, data)
        except BaseException as error:
            # The file may be there and perhaps not durable, so its number must never be given to other rows.
            self._open()
            if isinstance(error, OSError):
                reason = error.strerror or error
                raise Overloaded(f"cannot store data: {reason}; free space or mend the disk") from error
            raise
        self._next += 1
        return LandingFile(path.parent.parent.name, self._next - 1, path)

    def _enter(self, block: Path) -> None:
        if block != self._block:
            make_folders_durably(self._disk, block)
            if self._lock is None:
                self._lock = os.open(block.parent / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._block = block

    def close(self) -> None:
        """Let go of the writer's lock; the next commit needs a new writer."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            self._block = None


def path_of(writer: Path, sequence: int) -> Path:
    """Where the folder of a writer has the file of a sequence."""
    return writer / f"{sequence // BLOCK:06}" / f"{sequence:010}.parquet"


def _parquet(rows: pa.Table, requests: Sequence[Request]) -> memoryview:
    # a column costs 0.1 ms to write and as much to read, filled or not
    filled = max(1, rows.num_rows)
    rows = rows.select([name for name in rows.column_names if rows.column(name).null_count < filled])
    sink = pa.BufferOutputStream()
    # lz4 without dictionaries: these files are read once or twice, so what counts is how fast they are written
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression="lz4",
        use_dictionary=False,
        write_statistics=["trace_id"] if "trace_id" in rows.column_names else False,
        store_schema=False,
        write_page_checksum=True,
        use_compliant_nested_type=False,  # so that what is read back has the very types of the schema
    ) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({_REQUESTS: orjson.dumps([[r.hash, r.row_count] for r in requests])})
    return memoryview(sink.getvalue())


def write_empty(path: Path, schema: pa.Schema, *, disk: Disk | None = None) -> None:
    """Put a file without rows in the place of one that is lost, so that those behind it can be absorbed."""
    write_durably(disk or Disk(), path, _parquet(schema.empty_table(), []))


def waiting(lake_folder: Path, stream: str, watermark: Callable[[str], int]) -> list[LandingFile]:
    """The files of a stream beyond each writer's watermark, by writer and sequence.

    Args:
        watermark: highest absorbed sequence of a writer, 0 if none.
    """
    found: list[LandingFile] = []
    for writer in writers(lake_folder, stream):
        absorbed = watermark(writer.name)
        found.extend(_files_after(writer, absorbed))
    return found


def writers(lake_folder: Path, stream: str) -> list[Path]:
    """The folders of all writers of a stream, oldest first."""
    try:
        with os.scandir(lake_folder / "landing" / stream) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []


def _files_after(writer: Path, absorbed: int) -> list[LandingFile]:
    found: list[LandingFile] = []
    for block in _names(writer):
        if block.isdigit() and (int(block) + 1) * BLOCK - 1 > absorbed:
            for name in _names(writer / block):
                stem, _, suffix = name.partition(".")
                if suffix == "parquet" and stem.isdigit() and int(stem) > absorbed:
                    found.append(LandingFile(writer.name, int(stem), writer / block / name))
    return sorted(found)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are enough; Path objects for thousands of files are not free
    except FileNotFoundError:  # removed by retention since its parent was listed
        return []


def absorbed(lake_folder: Path, stream: str, watermark: Callable[[str], int]) -> list[LandingFile]:
    """The files of a stream up to each writer's watermark: kept only for older snapshots."""
    return [
        file
        for writer in writers(lake_folder, stream)
        for file in _files_after(writer, 0)
        if file.sequence <= watermark(writer.name)
    ]


def is_alive(writer: Path) -> bool:
    """Whether the process of a writer still holds its lock."""
    try:
        descriptor = os.open(writer / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_rows(file: LandingFile, schema: pa.Schema) -> pa.Table:
    """All rows of a landing file, with the columns of `schema`.

    Raises:
        LakeCorrupt: the file is damaged.
    """
    return conform(read(file)[0], schema)


def read(file: LandingFile) -> tuple[pa.Table, list[Request]]:
    """All rows of a landing file, with the columns it has, and its requests in the order of the rows.

    Raises:
        LakeCorrupt: the file is damaged.
    """
    try:
        parquet = pq.ParquetFile(file.path, pre_buffer=False, page_checksum_verification=True)
        noted = (parquet.metadata.metadata or {}).get(_REQUESTS.encode(), b"")
        requests = [Request(hash_, count) for hash_, count in orjson.loads(noted)]
        rows = parquet.read(use_threads=False)
        if sum(request.row_count for request in requests) != rows.num_rows:
            raise ValueError(f"its requests have other than its {rows.num_rows} rows")
    except (pa.ArrowException, ValueError, TypeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk failed, which says nothing about the file
            raise
        raise LakeCorrupt(f"{file.path} is damaged ({error}): `tracelake doctor` says what to do") from error
    return rows, requests


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` in its order; those that the rows do not have are null.

    Raises:
        LakeCorrupt: the rows have a column that `schema` does not have; to leave it out would lose its values.
    """
    present = set(rows.column_names)
    if unknown := present.difference(schema.names):
        raise LakeCorrupt(f"no column is named {', '.join(sorted(unknown))}: the file is damaged, or of a newer Tracelake")
    columns = [rows.column(f.name) if f.name in present else pa.nulls(rows.num_rows, f.type) for f in schema]
    # Parquet readers name the inner fields of lists in their own way
    typed = [column if column.type == f.type else column.cast(f.type) for column, f in zip(columns, schema, strict=True)]
    return pa.table(typed, schema=schema)
