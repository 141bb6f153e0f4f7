"""File cache: what was read from data files, kept for the next question.

Takes   paths of data files, which never change, and the columns that are wanted of them.
Gives   their rows, or what a digest makes of the rows of some files together.
Refuses nothing; a damaged or missing file raises `LakeCorrupt`.

Errors and deploys are few beside spans, but thirty days of them lie in hundreds of small files, and to open a file costs
more than its rows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import LakeCorrupt

Digest = Callable[[pa.Table], pa.Table]
"""What a question needs of some rows. A function of a module: what it makes is kept under it."""

_Key = tuple[tuple[str, ...], tuple[str, ...], Digest | None]
"""Paths, columns and digest."""


class FileCache:
    """Rows of data files, the least recently used dropped beyond a number of bytes.

    Safe for use by several threads; two may read the same file at once.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tables: OrderedDict[_Key, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, path: str, schema: pa.Schema) -> pa.Table:
        """The columns of `schema` of a file.

        Raises:
            LakeCorrupt: the file is gone or damaged.
        """
        return self._kept(((path,), tuple(schema.names), None), lambda: _read(path, schema))

    def digest(self, paths: Sequence[str], schema: pa.Schema, make: Digest) -> pa.Table:
        """What `make` makes of the columns of `schema` of these files.

        Raises:
            LakeCorrupt: a file is gone or damaged.
        """
        key = (tuple(paths), tuple(schema.names), make)
        return self._kept(key, lambda: make(pa.concat_tables([self.rows(path, schema) for path in paths])))

    def _kept(self, key: _Key, make: Callable[[], pa.Table]) -> pa.Table:
        with self._lock:
            table = self._tables.get(key)
            if table is not None:
                self._tables.move_to_end(key)
                return table
        table = make()
        with self._lock:
            if key not in self._tables:
                self._tables[key] = table
                self._bytes += table.nbytes
            while self._bytes > self._max_bytes and len(self._tables) > 1:
                self._bytes -= self._tables.popitem(last=False)[1].nbytes
        return table


def _read(path: str, schema: pa.Schema) -> pa.Table:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            return file.read(columns=schema.names, use_threads=False).select(schema.names).cast(schema)
    except FileNotFoundError as error:
        raise LakeCorrupt(f"{path} is gone: ask again, for an old answer's files go in time") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk failed, which says nothing about the file
            raise
        raise LakeCorrupt(f"{path} is damaged ({error}): `tracelake doctor` says what to do") from error
