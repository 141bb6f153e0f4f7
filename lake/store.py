"""Store: `Lake`, the one class that most callers meet.

Takes   the folder of a lake.
Gives   answers over one snapshot: SQL, spans, one trace, errors, deploys.
Refuses folders that are no lake (`NotALake`), snapshots that are gone (`SnapshotExpired`), SQL that DuckDB cannot run
        (`QueryError`).

A `Lake` reads files and writes none, so any number of processes may open the same one. The SQL of `Lake.sql` runs with
the rights of the process: it is for the owner of the files. SQL of strangers runs in `lake.sandbox` only.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from . import queries, render
from .errors import QueryError
from .exceptions import exceptions_of
from .folder import LakeFolder, open_folder
from .landing import LandingFile, read_rows
from .result import Result, refusals
from .schema import EXCEPTIONS, tables_of
from .settings import LakeSettings
from .snapshot import Snapshot, SnapshotReader, TableSnapshot

TRACE_MAX_SPANS = 10_000
"""Spans of one trace that are read at most."""

_EVER = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2262, 4, 11, tzinfo=dt.UTC))
"""Every time that 64 bits of nanoseconds can name."""

_CACHE_MAX_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class TraceJson:
    """One trace as the API shows it."""

    summary: dict[str, Any]
    """A row of `Lake.traces`."""
    spans: str
    """JSON array of the spans by start."""
    truncated: bool
    """The trace has more spans than were read."""


class Lake:
    """A lake at one moment: the newest one, or the snapshot it was opened `at`.

    Safe for use by several threads.
    """

    def __init__(
        self, folder: LakeFolder, settings: LakeSettings, *, _shared: _Shared | None = None, _token: str | None = None
    ) -> None:
        """Use `lake.open(path)`."""
        self.folder = folder
        self.settings = settings
        self._token = _token
        self._shared = _shared or _Shared(folder, settings)

    @property
    def path(self) -> Path:
        return self.folder.path

    def snapshot(self) -> Snapshot:
        """The snapshot that a query would run on now."""
        with self._shared.lock:
            return self._shared.reader.at(self._token) if self._token else self._shared.reader.newest()

    def at(self, snapshot: Snapshot | str) -> Lake:
        """The same lake at a snapshot (or the text of `X-Lake-Snapshot`): the same question gives the same answer.

        Raises:
            SnapshotExpired: it is older than `LakeSettings.snapshot_keep_s`.
            SnapshotInvalid: it is no snapshot of this lake.
        """
        token = snapshot.token if isinstance(snapshot, Snapshot) else snapshot
        lake = Lake(self.folder, self.settings, _shared=self._shared, _token=token)
        lake.snapshot()
        return lake

    def sql(self, query: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Result:
        """Run one SELECT over the views `spans`, `errors`, `exceptions`, `deploys`, `requests` and `batches`.

        Args:
            query: DuckDB SQL.
            params: values for `$name` or `?` in it.

        Raises:
            QueryError: DuckDB refuses the query; the message is DuckDB's.
        """
        return self._ask(query, params, self._views(self.snapshot(), _words(query)))

    def spans(
        self,
        *,
        service: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> Result:
        """The spans that started in `[since, until)`, of one service if named; no order."""
        source = self._source(self.snapshot().tables["spans"], since=since, until=until)
        where, params = _conditions("start_time", since, until, service)
        return self._ask(f"SELECT * FROM ({source.text}){where}", params, [], source)

    def trace(self, trace_id: str, *, max_spans: int = TRACE_MAX_SPANS) -> Result:
        """The spans of one trace by start, each once.

        Args:
            trace_id: 32 hex digits, any case.
        """
        wanted = trace_id.lower()
        table = self.snapshot().tables["spans"]
        source = self._source(table, trace_id=wanted, extra=self._tail_of_trace(table, wanted))
        query = queries.DISTINCT_SPANS.format(source=source.text)
        return self._ask(query, {"trace_id": wanted, "limit": max_spans}, [], source)

    def trace_json(self, trace_id: str, *, max_spans: int = TRACE_MAX_SPANS) -> TraceJson | None:
        """One trace as the API shows it, None if there is no such trace.

        Args:
            trace_id: 32 hex digits, any case.
        """
        rows = self.trace(trace_id, max_spans=max_spans + 1).arrow()
        if not rows.num_rows:
            return None
        shown = rows.slice(0, max_spans)
        start_ns = pc.add(
            pc.multiply(pc.cast(shown.column("start_time"), pa.int64()), 1000), shown.column("start_ns_remainder")
        )
        shown = shown.append_column("depth", pa.array(render.depths(shown)))
        shown = shown.append_column("trace_start_ns", pa.repeat(pc.min(start_ns), shown.num_rows))
        source = _Source("SELECT * FROM _trace", {"_trace": shown})
        spans = self._ask(render.spans_json("_trace", self.folder.promoted), None, [], source).arrow().column(0)[0].as_py()
        summary = self._traces(source, source, _EVER, limit=1).rows()[0]
        return TraceJson(summary, spans, truncated=rows.num_rows > max_spans)

    def errors(
        self, *, service: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> Result:
        """Occurrences of errors in `[since, until)`, newest first, each once however often it was reported."""
        where, params = _conditions("timestamp", since, until, service)
        query = f"SELECT * FROM errors{where} ORDER BY timestamp DESC, id"
        return self._ask(query, params, self._views(self.snapshot(), {"errors"}))

    def deploys(
        self, *, service: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> Result:
        """Deploys in `[since, until)`, newest first."""
        where, params = _conditions("deployed_at", since, until, service)
        query = f"SELECT * FROM deploys{where} ORDER BY deployed_at DESC, id"
        return self._ask(query, params, self._views(self.snapshot(), {"deploys"}))

    def traces(
        self,
        *,
        since: dt.datetime,
        until: dt.datetime,
        service: str | None = None,
        min_duration_ns: int | None = None,
        status: str | None = None,
        limit: int = 50,
        before: tuple[int, str] | None = None,
        around: dt.timedelta = dt.timedelta(hours=1),
    ) -> Result:
        """Summaries of the traces that started in `[since, until)`, newest first.

        Args:
            status: `ok`, `error` or `unset`.
            before: start in nanoseconds since the epoch and trace id of the last row of the page before.
            around: how far outside the window spans of its traces are looked for.

        Returns:
            trace_id, start_ns, end_ns, span_count, error_count, services, root (struct), status.
        """
        table = self.snapshot().tables["spans"]
        window = self._source(table, since=since, until=until)
        wide = self._source(table, since=since - around, until=until + around)
        return self._traces(
            window, wide, (since, until), limit=limit, service=service, min_duration_ns=min_duration_ns, status=status,
            before_ns=before[0] if before else None, before_id=before[1] if before else None,
        )  # fmt: skip

    def _traces(
        self, window: _Source, around: _Source, times: tuple[dt.datetime, dt.datetime], **values: int | str | None
    ) -> Result:
        query = queries.TRACES.format(window=window.text, around=around.text)
        optional = dict.fromkeys(("service", "min_duration_ns", "status", "before_ns", "before_id"))
        bounds = {"since": times[0], "until": times[1], "since_ns": _ns(times[0]), "until_ns": _ns(times[1])}
        return self._ask(query, bounds | optional | values, [], window, around)

    def close(self) -> None:
        """Give memory and files back; the lake cannot be used afterwards."""
        self._shared.duckdb.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, query: str, params: Any, views: Sequence[_View], *sources: _Source) -> Result:  # noqa: ANN401
        cursor = self._shared.duckdb.cursor()
        held = [relation for source in (*sources, *(v.source for v in views)) for relation in source.relations.items()]
        with refusals():
            for name, table in held:
                cursor.register(name, table)
            for view in views:
                cursor.execute(f"CREATE TEMP VIEW {view.name} AS {view.text}")
            relation = cursor.sql(query, params=params)
        if relation is None:
            raise QueryError("only a SELECT gives rows; a lake is changed by ingest and retention alone")
        return Result(relation, cursor, held)

    def _views(self, snapshot: Snapshot, words: set[str]) -> list[_View]:
        """The views that a query with these words may name."""
        plain = {name: self._source(table) for name, table in snapshot.tables.items() if name in words or name in _PARTS}
        views = [_View(name, source.text, source) for name, source in plain.items() if name in words - {"errors", "deploys"}]
        if "errors" in words:
            text = queries.ERRORS.format(errors=plain["errors"].text, exceptions=plain["exceptions"].text)
            views.append(_View("errors", text, plain["errors"] | plain["exceptions"]))
        if "deploys" in words:
            views.append(_View("deploys", queries.DEPLOYS.format(deploys=plain["deploys"].text), plain["deploys"]))
        return views

    def _source(
        self,
        table: TableSnapshot,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        trace_id: str | None = None,
        extra: pa.Table | None = None,
    ) -> _Source:
        """The rows of a table that can match, as SQL and the relations it names."""
        files = table.data_files(since=since, until=until, trace_id=trace_id)
        empty, tail = f"_{table.table.name}_empty", f"_{table.table.name}_tail"
        relations = {empty: table.table.arrow_schema.empty_table()}
        if table.table.name == EXCEPTIONS.name:
            extra = self._tail_exceptions(table)
        waiting = [] if extra is not None else [str(file.path) for file in table.tail]
        if extra is not None:
            relations[tail] = extra
        text = queries.source(
            table.table, files, waiting, self.folder.promoted, empty=empty, extra=tail if extra is not None else ""
        )
        return _Source(text, relations)

    def _tail_of_trace(self, table: TableSnapshot, trace_id: str) -> pa.Table:
        schema = table.table.arrow_schema
        found = [self._shared.landing.rows(file, schema) for file in table.tail]
        hits = [rows.filter(pc.equal(rows.column("trace_id"), trace_id)) for rows in found]
        return pa.concat_tables([schema.empty_table(), *hits])

    def _tail_exceptions(self, table: TableSnapshot) -> pa.Table:
        schema = tables_of(self.folder.promoted)[table.table.landing].arrow_schema
        parts = [exceptions_of(self._shared.landing.rows(file, schema)) for file in table.tail]
        return pa.concat_tables([EXCEPTIONS.arrow_schema.empty_table(), *parts])


_PARTS = {"errors", "exceptions", "deploys"}
"""Tables that another view is made from."""


class _Source:
    """A SELECT over files and the Arrow tables that it names."""

    def __init__(self, text: str, relations: dict[str, pa.Table]) -> None:
        self.text = text
        self.relations = relations

    def __or__(self, other: _Source) -> _Source:
        return _Source("", self.relations | other.relations)


class _View:
    """A name that a query may use."""

    def __init__(self, name: str, text: str, source: _Source) -> None:
        self.name, self.text, self.source = name, text, source


class _Shared:
    """What all `Lake` objects of one folder in one process share."""

    def __init__(self, folder: LakeFolder, settings: LakeSettings) -> None:
        self.lock = threading.Lock()
        self.reader = SnapshotReader(folder, keep_s=settings.snapshot_keep_s)
        self.landing = _LandingCache(_CACHE_MAX_BYTES)
        self.duckdb = duckdb.connect(
            ":memory:",
            config={
                "threads": 2,
                "memory_limit": f"{settings.query_memory_mib}MB",
                "python_enable_replacements": False,
            },
        )
        self.duckdb.execute("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true; SET enable_progress_bar = false")


class _LandingCache:
    """Decoded landing files, the least recently used dropped beyond a number of bytes; files never change."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tables: OrderedDict[Path, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, file: LandingFile, schema: pa.Schema) -> pa.Table:
        with self._lock:
            if file.path in self._tables:
                self._tables.move_to_end(file.path)
                return self._tables[file.path]
        table = read_rows(file, schema)
        with self._lock:
            if file.path not in self._tables:
                self._tables[file.path] = table
                self._bytes += table.nbytes
            while self._bytes > self._max_bytes and len(self._tables) > 1:
                self._bytes -= self._tables.popitem(last=False)[1].nbytes
        return table


def open(path: str | Path, settings: LakeSettings | None = None) -> Lake:  # noqa: A001 - users write lake.open(...)
    """Open the lake in a folder for reading.

    Raises:
        NotALake: the folder holds none, or one of a newer format.
    """
    return Lake(open_folder(Path(path)), settings or LakeSettings())


def _words(query: str) -> set[str]:
    """Every word of a query in lower case: a superset of the views it names."""
    return {word.lower() for word in re.findall(r"\w+", query)}


def _conditions(
    time: str, since: dt.datetime | None, until: dt.datetime | None, service: str | None
) -> tuple[str, dict[str, Any]]:
    """A WHERE clause and its values."""
    parts = {
        "since": (since, f"{time} >= $since"),
        "until": (until, f"{time} < $until"),
        "service": (service, "service_name = $service"),
    }
    used = {name: part for name, part in parts.items() if part[0] is not None}
    where = " AND ".join(text for _, text in used.values())
    return f" WHERE {where}" if where else "", {name: value for name, (value, _) in used.items()}


def _ns(time: dt.datetime) -> int:
    """Nanoseconds since the Unix epoch, exactly."""
    delta = time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return ((delta.days * 86400 + delta.seconds) * 10**6 + delta.microseconds) * 1000
