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
import secrets
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from . import deploys, error_view, queries, services, topology, trace_list, trace_view
from .analysis.windows import WIDTH_MIN
from .deadline import Deadline
from .error_groups import ErrorFilter, Sort
from .error_status import Decision, ErrorStatus
from .error_view import ErrorView
from .errors import QueryError
from .file_cache import FileCache
from .folder import LakeFolder, open_folder
from .relations import Ask as RunsSql
from .relations import LandingCache, Relation, Relations
from .result import Result, Rows, refusals
from .search import Query, metrics_query, search_query
from .search.explain import Explainer, Step
from .search.metrics import Steps, series
from .search.run import Ask, SearchPage
from .search.run import page as search_page
from .services import MinuteFilter, whole_minutes
from .settings import LakeSettings
from .snapshot import Snapshot, SnapshotReader
from .topology import Topology
from .trace_list import TraceFilter
from .trace_view import TraceView

if TYPE_CHECKING:
    from .analysis.impact import Report

TRACE_MAX_SPANS = 10_000
"""Spans of one trace that are read at most."""

_CACHE_MAX_BYTES = 128 * 2**20
_FILE_CACHE_MAX_BYTES = 64 * 2**20
_QUESTIONS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)
"""MULTI is PIVOT."""

_NO_VIEWS: Mapping[str, Relation] = {}
_NO_TABLES: Mapping[str, pa.Table] = {}
_NO_DECISIONS: Mapping[str, Decision] = {}


class Lake:
    """A lake at one moment: the newest one, or the snapshot it was opened `at`.

    Safe for use by several threads.
    """

    def __init__(
        self, folder: LakeFolder, settings: LakeSettings, *, _shared: _Shared | None = None, _at: Snapshot | None = None
    ) -> None:
        """Use `lake.open(path)`."""
        self.settings = settings
        self._folder = folder
        self._at = _at
        self._shared = _shared or _Shared(folder, settings)

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def folder(self) -> LakeFolder:
        """What kind of lake it is, with every promotion."""
        return self._at.lake if self._at else self.snapshot().lake

    def snapshot(self) -> Snapshot:
        """The snapshot that a query would run on now."""
        with self._shared.lock:
            if self._at is None:
                return self._shared.reader.newest()
            self._shared.reader.at(self._at.token)  # raises if its files may be gone
            return self._at

    def at(self, snapshot: Snapshot | str) -> Lake:
        """The same lake at a snapshot (or the text of `X-Lake-Snapshot`): the same question gives the same answer.

        Raises:
            SnapshotExpired: it is older than `LakeSettings.snapshot_keep_s`.
            SnapshotInvalid: it is no snapshot of this lake.
        """
        token = snapshot.token if isinstance(snapshot, Snapshot) else snapshot
        with self._shared.lock:
            found = self._shared.reader.at(token)
        return Lake(self._folder, self.settings, _shared=self._shared, _at=found)

    def sql(self, query: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Result:
        """Run one SELECT over the views `spans`, `errors`, `deploys`, `requests` and what derives from them (docs/sql.md).

        Args:
            query: DuckDB SQL.
            params: values for `$name` or `?` in it.

        Raises:
            QueryError: it is no SELECT, or DuckDB refuses it; then the message is DuckDB's.
        """
        with refusals():
            statements = duckdb.extract_statements(query)
        if len(statements) != 1 or statements[0].type not in _QUESTIONS:
            raise QueryError("ask with one SELECT; a lake is changed by ingest and retention alone")
        return self._ask(query, params, self._relations().views(words(query)))

    def views(self, query: str, *, inside: bool = False) -> Views:
        """What `sql` would let a query see, for who runs it elsewhere (`lake.sandbox`).

        Args:
            inside: name files by their path inside of the lake's folder.
        """
        relations = Relations(self.snapshot(), self._shared.landing, self._shared.files, inside=inside)
        return Views(relations.names, relations.views(words(query)))

    def tables(self) -> tuple[Relations, RunsSql]:
        """The tables of its snapshot, and what runs SQL over a part of them, for who asks much of one time at once.

        Each query may take as long as a search (`LakeSettings.search_timeout_s`), then it is `QueryTimeout`.
        """

        def ask(query: str, params: Mapping[str, Any], source: Relation) -> pa.Table:
            return self._in_time()("", query, params, source)

        return self._relations(), ask

    def spans(
        self,
        *,
        service: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> Result:
        """The spans that started in `[since, until)`, of one service if named; no order.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        where, params = queries.conditions("start_time", since=since, until=until, service=service)
        source = self._relations().of("spans", since=since, until=until)
        return self._ask(f"SELECT * FROM ({source.text}){where}", params, tables=source.tables)

    def trace(self, trace_id: str, *, max_spans: int = TRACE_MAX_SPANS) -> Result:
        """The spans of one trace by start, each once.

        Args:
            trace_id: 32 hex digits, any case.
        """
        rows = trace_view.spans_of(trace_id.lower(), self._relations(), self._table, max_spans=max_spans)
        return Result(Rows(rows))

    def trace_view(self, trace_id: str, *, max_spans: int = TRACE_MAX_SPANS) -> TraceView | None:
        """One trace as the API shows it, None if there is no such trace.

        Args:
            trace_id: 32 hex digits, any case.
        """
        snapshot = self.snapshot()
        relations = self._relations(snapshot)
        rows = trace_view.spans_of(trace_id.lower(), relations, self._table, max_spans=max_spans + 1)
        return trace_view.view(rows, relations, promoted=snapshot.lake.promoted, max_spans=max_spans)

    def errors(
        self,
        *,
        service: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        trace_id: str | None = None,
    ) -> Result:
        """Occurrences of errors in `[since, until)`, newest first, each once however often it was reported.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        where, params = queries.conditions("timestamp", since=since, until=until, service=service)
        if trace_id is not None:
            where += f"{' AND' if where else ' WHERE'} trace_id = $trace_id"
            params["trace_id"] = trace_id.lower()
        views = self._relations().views({"errors"}, since=since, until=until)
        return self._ask(f"SELECT * FROM errors{where} ORDER BY timestamp DESC, id", params, views)

    def deploys(
        self, *, service: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> Result:
        """Deploys in `[since, until)`, newest first.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        queries.check_times(since=since, until=until)
        found = deploys.asked_for(deploys.deploys(self._relations()), since=since, until=until, service=service)
        return Result(Rows(found))

    def deploy_page(
        self,
        *,
        since: dt.datetime,
        until: dt.datetime,
        service: str | None = None,
        environment: str | None = None,
        limit: int = 50,
        before: tuple[dt.datetime, str] | None = None,
    ) -> Result:
        """Deploys in `[since, until)`, newest first, each with its predecessor.

        Args:
            service: only its own deploys and those of every service.
            before: time and id of the last row of the page before.

        Returns:
            The columns of the view `deploys`, and `predecessor`: id, version, git_sha and deployed_at of the deploy before
            it of the same service and environment, null if there is none.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        queries.check_times(since=since, until=until)
        found = deploys.page(
            self._relations(), since=since, until=until, service=service, environment=environment, limit=limit, before=before
        )
        return Result(Rows(found))

    def deploy(self, deploy_id: str) -> dict[str, Any] | None:
        """One deploy, as a row of `deploy_page`; None if there is no such deploy."""
        every = deploys.with_predecessors(deploys.deploys(self._relations()))
        found: list[dict[str, Any]] = every.filter(pc.equal(every.column("id"), deploy_id)).to_pylist()
        return found[0] if found else None

    def impact(self, deploy_id: str, *, width_min: int = WIDTH_MIN, now: dt.datetime | None = None) -> Report | None:
        """What a deploy did to its service, beyond what changes anyway; None if there is no such deploy.

        Args:
            deploy_id: `id` of the deploy.
            width_min: minutes that are compared on each side, where no other deploy of the service cuts them.
            now: nothing later is looked at; without it the present.

        Raises:
            InvalidParameter: `now` has no time zone.
        """
        from . import impact  # noqa: PLC0415 - Polars takes 80 MiB, which who asks no such question needs not have

        queries.check_times(now=now)
        relations = self._relations()
        every = deploys.deploys(relations)
        found = every.filter(pc.equal(every.column("id"), deploy_id)).to_pylist()
        if not found:
            return None
        return impact.report(found[0], relations, now or dt.datetime.now(dt.UTC), width_min=width_min)

    def error_groups(
        self,
        *,
        since: dt.datetime,
        until: dt.datetime,
        service: str | None = None,
        environment: str | None = None,
        text: str | None = None,
        sort: Sort = "last_seen",
        limit: int = 50,
    ) -> Result:
        """Groups of the errors in `[since, until)`: one row per fingerprint.

        Args:
            text: stands in the class, the message or the location of some occurrence, in any case of letters.
            sort: `last_seen`, `first_seen` or `count`, the highest first.

        Returns:
            fingerprint, exception_class, message, location, trace_id (of the latest one), count, users, services,
            environments, first_seen_at, last_seen_at, status, regressed, first_version, first_git_sha, last_version,
            last_git_sha, counts (occurrences in each of `lake.time_buckets.buckets(since, until, most=48)`). First and last
            are of all that the lake keeps, the other columns of the window.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        return self.error_page(ErrorFilter(since, until, service, environment, text), sort=sort, limit=limit)

    def error_page(
        self,
        asked: ErrorFilter,
        *,
        decisions: Mapping[str, Decision] = _NO_DECISIONS,
        status: ErrorStatus | None = None,
        sort: Sort = "last_seen",
        limit: int = 50,
        after: tuple[Any, str] | None = None,
    ) -> Result:
        """`error_groups`, as pages and with what people decided.

        Args:
            decisions: by fingerprint; a server keeps them, a lake does not.
            status: only groups that are `open`, `resolved` or `ignored` now.
            after: value of the sort column and fingerprint of the last row of the page before.
        """
        queries.check_times(since=asked.since, until=asked.until)
        relations = self._relations()
        found = error_view.page(asked, relations, decisions=decisions, status=status, sort=sort, limit=limit, after=after)
        return Result(Rows(found))

    def error_view(
        self, fingerprint: str, *, since: dt.datetime, until: dt.datetime, decisions: Mapping[str, Decision] = _NO_DECISIONS
    ) -> ErrorView | None:
        """One group of errors as the API shows it, None if the lake keeps none of it; arguments as `error_groups`."""
        queries.check_times(since=since, until=until)
        asked = ErrorFilter(since, until, fingerprint=fingerprint)
        return error_view.view(asked, self._relations(), self._table, decisions=decisions)

    def error_occurrences(
        self,
        fingerprint: str,
        *,
        since: dt.datetime,
        until: dt.datetime,
        limit: int = 50,
        before: tuple[dt.datetime, str] | None = None,
    ) -> Result | None:
        """The occurrences of one group in `[since, until)`, newest first, with the columns of the view `errors`.

        Args:
            before: time and id of the last row of the page before.

        Returns:
            None if the lake keeps no error of this fingerprint.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        queries.check_times(since=since, until=until)
        asked = ErrorFilter(since, until, fingerprint=fingerprint)
        found = error_view.occurrences(asked, self._relations(), self._table, limit=limit, before=before)
        return None if found is None else Result(Rows(found))

    def has_error(self, fingerprint: str) -> bool:
        """Whether the lake keeps an error of this fingerprint."""
        return error_view.is_known(fingerprint, self._relations())

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
            service: some span of the trace is of it.
            min_duration_ns: from the first start to the last end, at least.
            status: `ok`, `error` or `unset`.
            limit: at least 1.
            before: start in nanoseconds since the epoch and trace id of the last row of the page before.
            around: how far outside the window spans of its traces are looked for.

        Returns:
            trace_id, start_ns, end_ns, span_count, error_count, services, root (struct), status.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        queries.check_times(since=since, until=until)
        asked = TraceFilter(since, until, around, limit, service, min_duration_ns, status, before)
        found = trace_list.page(asked, self._relations(), self._table)
        return Result(Rows(found))

    def search(
        self,
        query: str | Query,
        *,
        since: dt.datetime,
        until: dt.datetime,
        limit: int = 100,
        before: tuple[int, str] | None = None,
        around: dt.timedelta = dt.timedelta(hours=1),
    ) -> Result:
        """Summaries of the traces that started in `[since, until)` and have spans that a query means, newest first.

        Args:
            query: TQ, see docs/search.md.
            limit: at least 1.
            before: start in nanoseconds since the epoch and trace id of the last row of the page before.
            around: how far outside the window spans of its traces are looked for.

        Returns:
            what `traces` returns, and matched_spans, matched_span_ids (the first three by start), and with `select`
            matched_fields (the fields of those three, as text).

        Raises:
            InvalidQuery: the query is none, or one of metrics.
            InvalidParameter: a time has no time zone.
        """
        queries.check_times(since=since, until=until)
        found = self._searched(SearchPage(search_query(query), since, until, around, limit, before), self._in_time())
        return Result(Rows(found))

    def explain_search(
        self,
        query: str | Query,
        *,
        since: dt.datetime,
        until: dt.datetime,
        limit: int = 100,
        before: tuple[int, str] | None = None,
        around: dt.timedelta = dt.timedelta(hours=1),
    ) -> tuple[Result, list[Step]]:
        """What `search` returns, and each query that it ran with what that one read.

        Raises:
            InvalidQuery: the query is none, or one of metrics.
            InvalidParameter: a time has no time zone.
        """
        queries.check_times(since=since, until=until)
        explainer = Explainer(self.snapshot(), self._in_time())
        asked = SearchPage(search_query(query), since, until, around, limit, before)
        found = self._searched(asked, explainer.ask, explainer.snapshot)
        return Result(Rows(found)), explainer.steps

    def _searched(self, asked: SearchPage, ask: Ask, snapshot: Snapshot | None = None) -> pa.Table:
        snapshot = snapshot or self.snapshot()
        return search_page(asked, self._relations(snapshot), snapshot.lake.promoted, ask)

    def search_metrics(
        self,
        query: str | Query,
        *,
        since: dt.datetime,
        until: dt.datetime,
        step_s: float,
        around: dt.timedelta = dt.timedelta(hours=1),
    ) -> Result:
        """Numbers over time of the spans that started in `[since, until)` and that a query means.

        Args:
            query: TQ that ends with a metric, such as `{ status = error } | rate() by(service.name)`.
            step_s: seconds from one point to the next; the first one is at `since`.
            around: how far outside the window other spans of a trace are looked for, where the query needs them.

        Returns:
            time (start of the step), labels (map), value (durations in seconds); by labels, then time.

        Raises:
            InvalidQuery: the query is none, or one of traces, or makes too many series.
            InvalidParameter: a time has no time zone, or the step makes too many points.
        """
        queries.check_times(since=since, until=until)
        read = metrics_query(query)
        snapshot = self.snapshot()
        steps = Steps(since, until, step_s)
        relations, promoted = self._relations(snapshot), snapshot.lake.promoted
        found = series(read, steps, relations, promoted, around, self._in_time())
        return Result(Rows(found))

    def services(self, *, since: dt.datetime, until: dt.datetime, cluster: str | None = None) -> Result:
        """What each service did in a window, which is widened to whole minutes; by name.

        Returns:
            see `lake.services.services`.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        found = services.services(_minutes(since, until, cluster=cluster), self._relations())
        return Result(Rows(found))

    def endpoints(
        self,
        *,
        since: dt.datetime,
        until: dt.datetime,
        service: str | None = None,
        environment: str | None = None,
        cluster: str | None = None,
        limit: int = 1_000_000,
        after: tuple[str, str, str] | None = None,
    ) -> Result:
        """What each endpoint did in a window, which is widened to whole minutes; by service, endpoint and kind.

        Args:
            limit: at least 1.
            after: service (empty for none), endpoint and kind of the last row of the page before.

        Returns:
            see `lake.services.endpoints`.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        asked = _minutes(since, until, service=service, environment=environment, cluster=cluster)
        found = services.endpoints(asked, self._relations(), limit=limit, after=after)
        return Result(Rows(found))

    def topology(self, *, since: dt.datetime, until: dt.datetime, cluster: str | None = None) -> Topology:
        """Who called whom in a window, which is widened to whole minutes.

        Args:
            cluster: only services of it, and what they call or are called by.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        return topology.topology(_minutes(since, until, cluster=cluster), self._relations())

    def service_edges(self, *, since: dt.datetime, until: dt.datetime, cluster: str | None = None) -> Result:
        """The edges of `topology` alone.

        Raises:
            InvalidParameter: a time has no time zone.
        """
        found = topology.edges(_minutes(since, until, cluster=cluster), self._relations())
        return Result(Rows(found))

    def close(self) -> None:
        """Give memory and files back; the lake cannot be used afterwards."""
        self._shared.duckdb.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _relations(self, snapshot: Snapshot | None = None) -> Relations:
        return Relations(snapshot or self.snapshot(), self._shared.landing, self._shared.files)

    def _table(self, query: str, params: Mapping[str, Any], source: Relation) -> pa.Table:
        return self._ask(query, params or None, tables=source.tables).arrow()

    def _in_time(self) -> Ask:
        """Runs the queries of one search, together no longer than it may take."""
        deadline = Deadline(self.settings.search_timeout_s)

        def ask(_: str, query: str, values: Mapping[str, Any], source: Relation) -> pa.Table:
            cursor, relation = self._prepared(query, values or None, tables=source.tables)
            with refusals(), deadline.over(cursor):
                return relation.to_arrow_table()

        return ask

    def _ask(
        self,
        query: str,
        params: Any = None,  # noqa: ANN401 - what DuckDB takes
        views: Mapping[str, Relation] = _NO_VIEWS,
        *,
        tables: Mapping[str, pa.Table] = _NO_TABLES,
    ) -> Result:
        """Prepare a query over these views and Arrow tables."""
        cursor, relation = self._prepared(query, params, views, tables=tables)
        return Result(relation, cursor, tables, views)

    def _prepared(
        self,
        query: str,
        params: Any = None,  # noqa: ANN401 - what DuckDB takes
        views: Mapping[str, Relation] = _NO_VIEWS,
        *,
        tables: Mapping[str, pa.Table] = _NO_TABLES,
    ) -> tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation]:
        with refusals():
            cursor = self._shared.duckdb.cursor()
            for relation in (Relation("", tables), *views.values()):
                for name, table in relation.tables.items():
                    cursor.register(name, table)
            for name, view in views.items():
                cursor.execute(f"CREATE TEMP VIEW {name} AS {view.text}")
            return cursor, cursor.sql(query, params=params)


class _Shared:
    """What all `Lake` objects of one folder in one process share."""

    def __init__(self, folder: LakeFolder, settings: LakeSettings) -> None:
        self.lock = threading.Lock()
        self.reader = SnapshotReader(folder, keep_s=settings.snapshot_keep_s)
        self.landing = LandingCache(_CACHE_MAX_BYTES)
        self.files = FileCache(_FILE_CACHE_MAX_BYTES)
        self.duckdb = duckdb.connect(
            ":memory:",
            config={
                "threads": 2,
                "memory_limit": f"{settings.query_memory_mib}MB",
                "python_enable_replacements": False,
                # where queries go that need more; made when needed and removed at the end, of its own for each process
                "temp_directory": str(Path(tempfile.gettempdir(), f"tracelake-{secrets.token_hex(8)}")),
            },
        )
        self.duckdb.execute("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true; SET enable_progress_bar = false")


def open(path: str | Path, settings: LakeSettings | None = None) -> Lake:  # noqa: A001 - users write lake.open(...)
    """Open the lake in a folder for reading.

    Raises:
        NotALake: the folder holds none, or one of a newer format.
    """
    return Lake(open_folder(Path(path)), settings or LakeSettings())


def _minutes(
    since: dt.datetime,
    until: dt.datetime,
    *,
    service: str | None = None,
    environment: str | None = None,
    cluster: str | None = None,
) -> MinuteFilter:
    queries.check_times(since=since, until=until)
    return MinuteFilter(*whole_minutes(since, until), service, environment, cluster)


@dataclass(frozen=True, slots=True)
class Views:
    """Views of one snapshot."""

    names: tuple[str, ...]
    """Every view that there is."""
    named: Mapping[str, Relation]
    """Those that a query can mean."""


def words(query: str) -> set[str]:
    """Every word of a query in lower case: a superset of the views it names."""
    return {word.lower() for word in re.findall(r"\w+", query)}
