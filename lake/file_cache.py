"""File cache: what was read from data files, kept for the next question.

Takes   paths of data files, which never change, and the columns that are wanted of them.
Gives   their rows, or what a digest makes of the rows of some files together; which of them can hold a value at all.
Refuses nothing; a damaged or missing file raises `LakeCorrupt`.

Errors and deploys are few beside spans, but thirty days of them lie in hundreds of small files, and to open a file costs
more than its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from .bloom_filters import Wanted, filters_of
from .errors import LakeCorrupt
from .table_cache import TableCache

Digest = Callable[[pa.Table], pa.Table]
"""What a question needs of some rows. A function of a module: what it makes is kept under it."""


class FileCache:
    """Rows of data files, the least recently used dropped beyond a number of bytes.

    Safe for use by several threads; two may read the same file at once.
    """

    def __init__(self, max_bytes: int) -> None:
        self._tables = TableCache(max_bytes)

    def rows(self, path: str, schema: pa.Schema) -> pa.Table:
        """The columns of `schema` of a file.

        Raises:
            LakeCorrupt: the file is gone or damaged.
        """
        return self._tables.kept(((path,), tuple(schema.names), None), lambda: _read(path, schema))

    def digest(self, paths: Sequence[str], schema: pa.Schema, make: Digest) -> pa.Table:
        """What `make` makes of the columns of `schema` of these files.

        Raises:
            LakeCorrupt: a file is gone or damaged.
        """
        key = (tuple(paths), tuple(schema.names), make)
        return self._tables.kept(key, lambda: make(pa.concat_tables([self.rows(path, schema) for path in paths])))

    def with_any(self, column: str, values: Sequence[str], paths: Sequence[str]) -> list[str]:
        """Those files whose bloom filters do not rule out that they hold one of some values.

        Raises:
            LakeCorrupt: a file is gone or damaged.
        """
        wanted = Wanted(values)

        def may_hold(path: str) -> bool:
            with _read_errors(path):
                return wanted.may_be_in(path, self._tables.kept((path, column), lambda: filters_of(path, column)))

        return [path for path in paths if may_hold(path)]


def _read(path: str, schema: pa.Schema) -> pa.Table:
    with _read_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
        return file.read(columns=schema.names, use_threads=False).select(schema.names).cast(schema)


@contextmanager
def _read_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise LakeCorrupt(f"{path} is gone: ask again, for an old answer's files go in time") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk failed, which says nothing about the file
            raise
        raise LakeCorrupt(f"{path} is damaged ({error}): `tracelake doctor` says what to do") from error
