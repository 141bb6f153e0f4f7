"""Queries: all SQL of the project that reads a lake, as text over the files of a snapshot.

Takes   a snapshot's tables.
Gives   `SELECT` texts: one relation per table (`source`), the view of errors, the questions behind the API.
Refuses nothing. Values are always bound (`$name`); only file names, which we made ourselves, are written into the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from .schema import PROMOTED, Promoted, Table


def source(
    table: Table,
    files: Sequence[str],
    waiting: Sequence[str],
    promoted: tuple[Promoted, ...] = PROMOTED,
    *,
    empty: str,
    extra: str = "",
) -> str:
    """The rows of some Parquet files of a table.

    Args:
        files: absolute paths of data files.
        waiting: absolute paths of landing files.
        empty: name of a relation with the table's columns and no rows.
        extra: name of a relation with the table's columns whose rows are added.
    """
    own = promoted[len(PROMOTED) :] if table.name == "spans" else ()
    # an older data file has no column that was promoted later, a landing file none that is null in every row; so columns
    # are matched by name there, and the empty relation has them all
    parts = [f"SELECT * FROM {extra or empty}"]
    if files:
        parts.append(f"SELECT * FROM {_read(files, by_name=bool(own))}")
    if waiting:
        parts.append(f"SELECT * FROM {_read(waiting, by_name=True)}")
    columns = ", ".join([_column(c.name, own) for c in table.columns])
    return f"SELECT {columns} FROM ({' UNION ALL BY NAME '.join(parts)})"


def _read(paths: Sequence[str], *, by_name: bool) -> str:
    listed = ", ".join(_literal(path) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = {by_name})"


def _column(name: str, own: tuple[Promoted, ...]) -> str:
    for promoted in own:
        if promoted.column == name:
            where = "attributes" if promoted.where == "span" else "resource_attributes"
            text = f"coalesce({name}, TRY_CAST({where}[{_literal(promoted.key)}] AS {_TYPES[promoted.type]}))"
            return f"{text} AS {name}"
    return name


_TYPES = {"s": "VARCHAR", "i": "BIGINT"}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


DISTINCT_SPANS = """
    SELECT * FROM ({source})
    WHERE trace_id = $trace_id
    QUALIFY row_number() OVER (PARTITION BY span_id, kind, start_time, start_ns_remainder ORDER BY ingested_at DESC) = 1
    ORDER BY start_time, start_ns_remainder, span_id
    LIMIT $limit
"""
"""The spans of one trace. A span that came twice is there once, as it came last (clients retry whole requests)."""


ERRORS = """
    WITH reported AS (
        SELECT * FROM ({errors})
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY ingested_at) = 1
            AND (request_id IS NULL OR row_number() OVER (
                PARTITION BY request_id, timestamp, message ORDER BY ingested_at, id) = 1)
    ),
    raised AS (
        SELECT * FROM ({exceptions})
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY ingested_at DESC) = 1
    ),
    sides AS (
        SELECT id, 'reported' AS side, exception_class, message, timestamp, coalesce(trace_id, request_id) AS correlation
        FROM reported WHERE trace_id IS NOT NULL OR request_id IS NOT NULL
        UNION ALL
        SELECT id, 'raised', exception_class, message, timestamp, trace_id FROM raised
        UNION ALL
        SELECT id, 'raised', exception_class, message, timestamp, request_id FROM raised WHERE request_id IS NOT NULL
    ),
    gaps AS (
        SELECT *, timestamp - lag(timestamp) OVER same > INTERVAL 5 SECONDS AS gap
        FROM sides WINDOW same AS (PARTITION BY exception_class, message, correlation ORDER BY timestamp, side, id)
    ),
    clusters AS (
        SELECT *, count(*) FILTER (gap) OVER (
            PARTITION BY exception_class, message, correlation ORDER BY timestamp, side, id) AS cluster
        FROM gaps
    ),
    ranked AS (
        SELECT *, row_number() OVER (
            PARTITION BY exception_class, message, correlation, cluster, side ORDER BY timestamp, id) AS place
        FROM clusters
    ),
    pairs AS (
        SELECT a.id AS reported_id, min(b.id) AS raised_id
        FROM ranked a JOIN ranked b USING (exception_class, message, correlation, cluster, place)
        WHERE a.side = 'reported' AND b.side = 'raised' AND abs(epoch_us(a.timestamp) - epoch_us(b.timestamp)) <= 5000000
        GROUP BY a.id
    )
    SELECT r.* REPLACE (
            coalesce(r.trace_id, e.trace_id) AS trace_id, coalesce(r.span_id, e.span_id) AS span_id,
            coalesce(r.service_name, e.service_name) AS service_name,
            coalesce(r.environment, e.environment) AS environment,
            coalesce(r.git_sha, e.git_sha) AS git_sha, coalesce(r.version, e.version) AS version),
        'reported' AS source
    FROM reported r LEFT JOIN pairs p ON p.reported_id = r.id LEFT JOIN raised e ON e.id = p.raised_id
    UNION ALL BY NAME
    SELECT * EXCLUDE (span_start_time), 'span' AS source FROM raised
    WHERE id NOT IN (SELECT raised_id FROM pairs)
"""
"""Every occurrence of an error once: reported ones, and exception events of spans that nobody reported as well.

A reported error and an event are the same occurrence when class, message and trace (or request) are equal and they lie
within 5 s of each other. Equal ones are paired in order of time, inside clusters without a gap of more than 5 s.
"""

DEPLOYS = """
    SELECT * FROM ({deploys}) QUALIFY row_number() OVER (PARTITION BY id ORDER BY ingested_at) = 1
"""
"""Every deploy once; a repeated Idempotency-Key gives the same id."""


TRACES = """
    WITH candidates AS (
        SELECT DISTINCT trace_id FROM ({window})
        WHERE start_time >= $since AND start_time < $until AND ($service IS NULL OR service_name = $service)
    ),
    members AS (
        SELECT trace_id, span_id, parent_span_id, kind, name, start_time, start_ns_remainder, duration_ns, status,
            service_name, environment, service_version, git_sha, http_method, http_route, http_status_code,
            epoch_us(start_time) * 1000 + start_ns_remainder AS start_ns
        FROM ({around}) WHERE trace_id IN (SELECT trace_id FROM candidates)
        QUALIFY row_number() OVER (
            PARTITION BY trace_id, span_id, kind, start_time, start_ns_remainder ORDER BY ingested_at DESC) = 1
    ),
    traces AS (
        SELECT trace_id,
            min(start_ns) AS start_ns,
            max(start_ns + duration_ns) AS end_ns,
            count(*) AS span_count,
            count(*) FILTER (status = 'error') AS error_count,
            list_sort(list(DISTINCT service_name) FILTER (service_name IS NOT NULL)) AS services,
            -- the root: no parent, earliest, longest; without any, the earliest span of all
            arg_min(struct_pack(
                    service := service_name, operation := name, status := status, kind := kind,
                    missing := parent_span_id IS NOT NULL, span_id := span_id,
                    environment := environment, version := service_version, git_sha := git_sha,
                    http_method := http_method, http_route := http_route, http_status_code := http_status_code),
                row(parent_span_id IS NOT NULL, start_ns, -duration_ns, span_id)) AS root
        FROM members GROUP BY trace_id
    ),
    judged AS (
        SELECT *, CASE
            WHEN error_count > 0 OR (root.kind = 'server' AND root.http_status_code >= 500) THEN 'error'
            WHEN root.status = 'ok' THEN 'ok' ELSE 'unset' END AS status
        FROM traces
    )
    SELECT * FROM judged
    WHERE start_ns >= $since_ns AND start_ns < $until_ns
        AND ($service IS NULL OR list_contains(services, $service))
        AND ($min_duration_ns IS NULL OR end_ns - start_ns >= $min_duration_ns)
        AND ($status IS NULL OR status = $status)
        AND ($before_ns IS NULL OR start_ns < $before_ns OR (start_ns = $before_ns AND trace_id < $before_id))
    ORDER BY start_ns DESC, trace_id DESC
    LIMIT $limit
"""
"""Traces that start in a window, newest first; a page begins after `(before_ns, before_id)`."""
