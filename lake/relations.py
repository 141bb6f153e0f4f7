"""Relations: the tables of a snapshot as SQL text, and the Arrow tables which that text names.

Takes   a snapshot, and what is known about the rows that are wanted: a time, a trace.
Gives   `Relation`s over the files that can hold such rows, and the views that a query may name.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import queries
from .derived import DERIVATIONS, Spans
from .file_cache import Digest, FileCache
from .landing import LandingFile, read_rows
from .schema import BATCHES, SPANS, Table
from .snapshot import Snapshot, TableSnapshot
from .table_cache import TableCache

ERROR_REACH = dt.timedelta(hours=1)
"""How far outside a time the other report of an error is looked for: the pair lies within seconds, a repeat a bit more."""

_MOST_LOOKED_FOR = 256
"""Trace ids that are looked for in bloom filters: one of many is in nearly every file."""

_FIRST, _LAST = dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Relation:
    """A SELECT, and the Arrow tables that it names."""

    text: str
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Parquet files that it names, as it names them."""


Ask = Callable[[str, Mapping[str, Any], Relation], pa.Table]
"""Runs a query with some values over a relation."""


class Relations:
    """The tables of one snapshot."""

    def __init__(self, snapshot: Snapshot, cache: LandingCache, files: FileCache, *, inside: bool = False) -> None:
        """
        Args:
            inside: SQL names files by their path inside of the lake's folder, for who works there.
        """
        self.snapshot = snapshot
        self._cache = cache
        self._files = files
        self._outside = f"{snapshot.lake.path}/" if inside else ""

    def of(
        self,
        name: str,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        time: str | None = None,
        trace_id: str | None = None,
        trace_ids: Sequence[str] = (),
        columns: Collection[str] | None = None,
    ) -> Relation:
        """The rows of a table, at least those with a time in `[since, until)` and this trace id, or one of these.

        Args:
            columns: the only ones that are wanted.
            time: the column that the times are of; by default the one that the table is partitioned by.
            trace_id: as it is stored, in lower case.
            trace_ids: of a table with a bloom filter on the trace id; none for any.
        """
        table = self.snapshot.tables[name]
        found = table.data_files(since=since, until=until, time=time, trace_id=trace_id)
        if 0 < len(trace_ids) <= _MOST_LOOKED_FOR and len(found) > 1:
            found = self._files.with_any("trace_id", trace_ids, found)
        files = self._named(found)
        empty, tail = f"_{name}_empty", f"_{name}_tail"
        tables = {empty: table.table.arrow_schema.empty_table()}
        decoded = self._decoded_tail(table, trace_id)
        if decoded:
            tables[tail] = decoded
        waiting = self._named(str(file.path) for file in table.tail) if decoded is None else []
        promoted = self.snapshot.lake.promoted
        extra = tail if decoded else ""
        text = queries.source(table.table, files, waiting, promoted, empty=empty, extra=extra, columns=columns)
        named = {name: rows for name, rows in tables.items() if name in text}  # each one takes a millisecond to register
        return Relation(text, named, (*files, *waiting))

    def _named(self, paths: Iterable[str]) -> list[str]:
        return [path.removeprefix(self._outside) for path in paths]

    @property
    def names(self) -> tuple[str, ...]:
        """Every view that there is."""
        return tuple(sorted(self.snapshot.tables))

    def rows(
        self,
        name: str,
        columns: Sequence[str],
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        time: str | None = None,
    ) -> pa.Table:
        """The rows of a small table in Arrow, those of data files out of the cache: at least those in `[since, until)`.

        Args:
            columns: some of the table.
            time: the column that the times are of; by default the one that the table is partitioned by.
        """
        return pa.concat_tables([*self.parts(name, columns, since=since, until=until, time=time)])

    def parts(
        self,
        name: str,
        columns: Sequence[str],
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        time: str | None = None,
    ) -> Iterator[pa.Table]:
        """The same rows as they lie in the landing and in each file, which is read when its turn comes."""
        table = self.snapshot.tables[name]
        schema = _schema_of(table, columns)
        files = table.data_files(since=since, until=until, time=time)
        yield self._waiting(table, columns)
        for path in files:
            yield self._files.rows(path, schema)

    def matching(
        self,
        name: str,
        keys: Sequence[str],
        others: Sequence[str],
        match: Callable[[pa.Table], pa.ChunkedArray],
        *,
        since: dt.datetime,
        until: dt.datetime,
    ) -> pa.Table:
        """The rows of a small table that are wanted; of a file that has none, only what tells so is read.

        Args:
            keys: the columns that tell.
            others: the columns that are wanted beside them.
            match: says of rows with the keys which ones are wanted. It is asked about all rows in `[since, until)` at least.
        """
        table = self.snapshot.tables[name]
        waiting = self._waiting(table, (*keys, *others))
        found = [kept(waiting, match(waiting))]
        schemas = [_schema_of(table, columns) for columns in (keys, others)]
        for path in table.data_files(since=since, until=until):
            rows = self._files.rows(path, schemas[0])
            places = pc.indices_nonzero(match(rows))
            if len(places):
                parts = [rows, self._files.rows(path, schemas[1])]
                columns = [column.take(places) for part in parts for column in part.columns]
                found.append(pa.table(columns, schema=found[0].schema))
        return pa.concat_tables(found)

    def digest(
        self,
        name: str,
        columns: Sequence[str],
        make: Digest,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        by_hour: bool = False,
    ) -> pa.Table:
        """What `make` makes of the rows of each day of a small table, one below the other, and of those that wait.

        Args:
            make: must not mind in how many parts the rows come; a day that has not changed is not asked about again.
            since: with `until`, at least rows of these times.
            by_hour: what it makes of the rows of each hour.
        """
        table = self.snapshot.tables[name]
        schema = _schema_of(table, columns)
        parts = groupby(sorted(table.data_files(since=since, until=until)), key=_hour_of if by_hour else _day_of)
        found = [self._files.digest(tuple(paths), schema, make) for _, paths in parts]
        return pa.concat_tables([make(self._waiting(table, columns)), *found])

    def is_empty(
        self, name: str, *, since: dt.datetime | None = None, until: dt.datetime | None = None, time: str | None = None
    ) -> bool:
        """Whether the table has no file that can hold a row with a time in `[since, until)`; `time` as in `of`."""
        table = self.snapshot.tables[name]
        return not table.tail and not table.data_files(since=since, until=until, time=time)

    def row_count(self, name: str, *, since: dt.datetime, until: dt.datetime) -> int:
        """About how many rows a table has with a time in `[since, until)`, without those that wait in the landing."""
        return self.snapshot.tables[name].row_count(since=since, until=until)

    def views(
        self, words: set[str], *, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> dict[str, Relation]:
        """The views that a query with these words may name.

        Args:
            since: with `until`, the only times that are asked of `errors`.
        """
        views = {name: self.of(name) for name in words & self.snapshot.tables.keys() - {"errors", "deploys"}}
        if "errors" in words:
            views["errors"] = self._errors(
                None if since is None else shifted(since, -ERROR_REACH),
                None if until is None else shifted(until, ERROR_REACH),
            )
        if "deploys" in words:
            deploys = self.of("deploys")
            text = queries.DEPLOYS.format(deploys=deploys.text)
            views["deploys"] = Relation(text, deploys.tables, deploys.files)
        return views

    def _errors(self, since: dt.datetime | None, until: dt.datetime | None) -> Relation:
        exceptions = self.of("exceptions", since=since, until=until, time="timestamp")
        if self.is_empty("errors", since=since, until=until):  # many a lake has spans only, and pairs take long to plan
            return Relation(queries.raised_errors(exceptions.text), exceptions.tables, exceptions.files)
        errors = self.of("errors", since=since, until=until, time="timestamp")
        tables, files = {**errors.tables, **exceptions.tables}, (*errors.files, *exceptions.files)
        return Relation(queries.errors(errors.text, exceptions.text), tables, files)

    def _waiting(self, table: TableSnapshot, columns: Sequence[str]) -> pa.Table:
        """Columns of the rows of the tail."""
        decoded = self._decoded_tail(table, None)
        if decoded is None:
            schema = table.table.arrow_schema
            decoded = pa.concat_tables([schema.empty_table(), *(self._cache.rows(file, schema) for file in table.tail)])
        return decoded.select(columns)

    def _decoded_tail(self, table: TableSnapshot, trace_id: str | None) -> pa.Table | None:
        """The rows of the tail where they are wanted in Arrow; None where DuckDB reads the files itself."""
        schema = table.table.arrow_schema
        if table.table.name == BATCHES.name:  # compaction decides which request is a repeat, so there is nothing before it
            return schema.empty_table()
        if table.table.name in DERIVATIONS:
            spans = self.snapshot.tables[SPANS.name].table
            found = [self._cache.derived(file, spans, table.table.name) for file in table.tail]
        elif trace_id is not None:
            rows = [self._cache.rows(file, schema) for file in table.tail]
            found = [part.filter(pc.equal(part.column("trace_id"), trace_id)) for part in rows]
        else:
            return None
        return pa.concat_tables([schema.empty_table(), *found])


def kept(rows: pa.Table, wanted: pa.ChunkedArray) -> pa.Table:
    """The rows that are wanted; where that is all of them, as often, nothing is copied."""
    return rows if pc.all(wanted, min_count=0).as_py() else rows.filter(wanted)


def _hour_of(path: str) -> str:
    """The folder of the partition that a file is of: day=.../hour=.../file."""
    return path.rpartition("/")[0]


def _day_of(path: str) -> str:
    return _hour_of(_hour_of(path))


def _schema_of(table: TableSnapshot, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([table.table.arrow_schema.field(column) for column in columns])


def shifted(time: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """A time moved, as far as there are such times."""
    try:
        return time + by
    except OverflowError:
        return _LAST if by > dt.timedelta(0) else _FIRST


class LandingCache:
    """Decoded landing files and what derives from them; files never change.

    The least recently used are dropped beyond a number of bytes. Safe for use by several threads.
    """

    def __init__(self, max_bytes: int) -> None:
        self._tables = TableCache(max_bytes)

    def rows(self, file: LandingFile, schema: pa.Schema) -> pa.Table:
        """All rows of a file with the columns of `schema`.

        Raises:
            LakeCorrupt: the file is damaged.
        """
        # a promotion adds a column
        return self._tables.kept((file.path, "", len(schema)), lambda: read_rows(file, schema))

    def derived(self, file: LandingFile, spans: Table, name: str) -> pa.Table:
        """The rows of a derived table that follow from the spans of a file.

        Raises:
            LakeCorrupt: the file is damaged.
        """
        derive = DERIVATIONS[name].of
        return self._tables.kept((file.path, name), lambda: derive(Spans(self.rows(file, spans.arrow_schema))))
