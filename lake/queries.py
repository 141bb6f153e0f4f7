"""Queries: all SQL of the project that reads a lake, as text over the files of a snapshot.

Takes   a snapshot's tables.
Gives   `SELECT` texts: one relation per table (`source`), the views of errors and deploys, the questions behind the API.
Refuses times without a zone (`InvalidParameter`).

Values are always bound (`$name`); only file names, which we made ourselves, are written into the text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

from .errors import InvalidParameter
from .schema import PROMOTED, SPAN_IDENTITY, SPAN_RECENCY, Promoted, Table


def source(
    table: Table,
    files: Sequence[str],
    waiting: Sequence[str],
    promoted: tuple[Promoted, ...] = PROMOTED,
    *,
    empty: str,
    extra: str = "",
    columns: Collection[str] | None = None,
) -> str:
    """The rows of some Parquet files of a table.

    Args:
        columns: the only ones that are wanted; a query that names few is planned in two thirds of the time.
        files: absolute paths of data files.
        waiting: absolute paths of landing files.
        empty: name of a relation with the table's columns and no rows.
        extra: name of a relation with the table's columns whose rows are added.
    """
    own = promoted[len(PROMOTED) :] if table.name == "spans" else ()
    # an older data file has no column that was promoted later, a landing file none that is null in every row; so columns
    # are matched by name there, and the empty relation has them all. Each relation, and each SELECT, costs milliseconds to
    # plan.
    parts = []
    if extra or own or waiting or not files:
        parts.append(extra or empty)
    if files:
        parts.append(_read(files, by_name=bool(own)))
    if waiting:
        parts.append(_read(waiting, by_name=True))
    every = parts[0] if len(parts) == 1 else f"({' UNION ALL BY NAME '.join(f'SELECT * FROM {part}' for part in parts)})"
    wanted = ", ".join([_column(c.name, own) for c in table.columns if columns is None or c.name in columns])
    return f"SELECT {wanted} FROM {every}"


def _read(paths: Sequence[str], *, by_name: bool) -> str:
    listed = ", ".join(literal(path) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = {by_name})"


def _column(name: str, own: tuple[Promoted, ...]) -> str:
    for promoted in own:
        if promoted.column == name:
            where = "attributes" if promoted.where == "span" else "resource_attributes"
            value = f"{where}[{literal(promoted.key)}]"
            if promoted.type == "i":  # only what is written as an integer: a cast alone would round 2.6 to 3
                value = f"CASE WHEN regexp_full_match({value}, '-?[0-9]{{1,19}}') THEN TRY_CAST({value} AS BIGINT) END"
            return f"coalesce({identifier(name)}, {value}) AS {identifier(name)}"
    return identifier(name)


def row_groups_of(files: Sequence[str]) -> str:
    """How many row groups some Parquet files have together."""
    listed = ", ".join(literal(path) for path in files)
    return f"SELECT sum(num_row_groups)::BIGINT AS row_groups FROM parquet_file_metadata([{listed}])"


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def conditions(
    time: str, *, since: dt.datetime | None, until: dt.datetime | None, service: str | None
) -> tuple[str, dict[str, Any]]:
    """A WHERE clause (empty for no condition) and its values: a time in `[since, until)`, and a service.

    Args:
        time: the column of the time.

    Raises:
        InvalidParameter: a time has no time zone.
    """
    check_times(since=since, until=until)
    parts = {
        "since": (since, f"{time} >= $since"),
        "until": (until, f"{time} < $until"),
        "service": (service, "service_name = $service"),
    }
    used = {name: part for name, part in parts.items() if part[0] is not None}
    where = " AND ".join(text for _, text in used.values())
    return f" WHERE {where}" if where else "", {name: value for name, (value, _) in used.items()}


def check_times(**times: dt.datetime | None) -> None:
    """
    Raises:
        InvalidParameter: a time has no time zone.
    """
    for name, time in times.items():
        if time is not None and time.tzinfo is None:
            raise InvalidParameter(name, f"{name} has no time zone: give one, for example datetime.now(UTC)")


_SAME_SPAN = ", ".join(SPAN_IDENTITY)
_LATEST_FIRST = ", ".join(f"{name} DESC" for name in SPAN_RECENCY)

SPANS_OF_TRACE = """
    {source} WHERE trace_id = $trace_id ORDER BY start_time, start_ns_remainder, span_id, kind LIMIT $limit
"""
"""The first spans of one trace, as often as they came; one SELECT, since of two each binds all columns."""

TRACE = f"""
    SELECT * FROM spans WHERE trace_id = $trace_id
    QUALIFY row_number() OVER (PARTITION BY {_SAME_SPAN} ORDER BY {_LATEST_FIRST}) = 1
    ORDER BY start_time, start_ns_remainder, span_id, kind LIMIT $max_spans
"""
"""The first spans of one trace, each once, of the view `spans`."""


def errors(errors: str, exceptions: str) -> str:
    """Every occurrence of an error once: reported ones, and exception events of spans that nobody reported as well.

    Reports are the same one when their id is equal (a repeated Idempotency-Key gives the same id), or their request, time
    and message. A report and an event are the same occurrence when class, message and trace are equal, else class, message
    and request, and they lie within 5 s of each other. Equal ones are paired one to one in order of time; as many pairs as
    there can be (see `_pairs`).

    Args:
        errors: SELECT of the table `errors`.
        exceptions: SELECT of the table `exceptions`.
    """
    return f"""
    WITH RECURSIVE
    by_id AS (
        SELECT * FROM ({errors})
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY ingested_at, timestamp, message) = 1
    ),
    reported AS (
        SELECT * FROM by_id
        QUALIFY request_id IS NULL
            OR row_number() OVER (PARTITION BY request_id, timestamp, message ORDER BY ingested_at, id) = 1
    ),
    raised AS ({_raised(exceptions)}),
    {_pairs("by_trace", "trace_id")},
    {_pairs("by_request", "request_id", besides="by_trace")},
    pairs AS (SELECT * FROM by_trace UNION ALL SELECT * FROM by_request)
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


def raised_errors(exceptions: str) -> str:
    """What `errors` is while nothing was reported.

    Args:
        exceptions: SELECT of the table `exceptions`.
    """
    return f"SELECT * EXCLUDE (span_start_time), 'span' AS source FROM ({_raised(exceptions)})"


def _raised(exceptions: str) -> str:
    """Exception events, each as its span came last."""
    return f"""
        SELECT * FROM ({exceptions})
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY ingested_at DESC, timestamp DESC, exception_class, message) = 1
    """


_PAIR_WITHIN_US = 5_000_000


def _pairs(name: str, key: str, *, besides: str = "") -> str:
    """Common table expressions that end in `name`: pairs of `reported` and `raised` ids that agree in `key`.

    Each group of equal class, message and key is walked through once, all groups at the same time, a step a turn: the
    earliest report and the earliest event are a pair if they lie close enough, else the earlier one has none. No other way
    to pair them makes more pairs.

    Args:
        besides: pairs whose members are taken already.
    """

    def side(table: str, id_: str) -> str:
        free = f"AND id NOT IN (SELECT {id_} FROM {besides})" if besides else ""
        return f"(SELECT id, exception_class, message, {key} AS key, timestamp FROM {table} WHERE {key} IS NOT NULL {free})"

    def numbered(table: str, id_: str) -> str:
        return f"""(
            SELECT id, turn, epoch_us(timestamp) AS at_us,
                row_number() OVER (PARTITION BY turn ORDER BY timestamp, id) AS place
            FROM {side(table, id_)} JOIN {name}_groups USING (exception_class, message, key)
        )"""

    reported, raised = side("reported", "reported_id"), side("raised", "raised_id")
    return f"""
    {name}_groups AS MATERIALIZED (
        SELECT exception_class, message, key, row_number() OVER () AS turn FROM (
            SELECT exception_class, message, key FROM {reported} INTERSECT SELECT exception_class, message, key FROM {raised}
        )
    ),
    {name}_reported AS MATERIALIZED {numbered("reported", "reported_id")},
    {name}_raised AS MATERIALIZED {numbered("raised", "raised_id")},
    {name}_walk AS (
        SELECT turn, 1::BIGINT AS i, 1::BIGINT AS j, NULL::VARCHAR AS reported_id, NULL::VARCHAR AS raised_id
        FROM {name}_groups
        UNION ALL
        SELECT turn,
            CASE WHEN b.at_us < a.at_us - {_PAIR_WITHIN_US} THEN i ELSE i + 1 END,
            CASE WHEN a.at_us < b.at_us - {_PAIR_WITHIN_US} THEN j ELSE j + 1 END,
            CASE WHEN abs(a.at_us - b.at_us) <= {_PAIR_WITHIN_US} THEN a.id END,
            CASE WHEN abs(a.at_us - b.at_us) <= {_PAIR_WITHIN_US} THEN b.id END
        FROM {name}_walk
        JOIN {name}_reported a USING (turn) JOIN {name}_raised b USING (turn)
        WHERE a.place = i AND b.place = j
    ),
    {name} AS MATERIALIZED (SELECT reported_id, raised_id FROM {name}_walk WHERE reported_id IS NOT NULL)"""


DEPLOYS = """
    SELECT * FROM ({deploys}) QUALIFY row_number() OVER (PARTITION BY id ORDER BY ingested_at) = 1
"""
"""Every deploy once; a repeated Idempotency-Key gives the same id."""


CANDIDATES = """
    SELECT trace_id FROM (
        SELECT *, epoch_us(start_time) * 1000 + start_ns_remainder AS start_ns FROM ({summaries})
        WHERE start_time >= $since AND start_time < $reach)
    GROUP BY trace_id
    HAVING {conditions}
    ORDER BY min(start_ns) DESC, trace_id DESC
"""
"""Traces that may be among those that are asked for, newest first: judged by what a slice of the time knows of them."""


TRACES = f"""
    WITH members AS (
        SELECT trace_id, span_id, parent_span_id, kind, name, start_time, start_ns_remainder, duration_ns, status,
            service_name, environment, service_version, git_sha, http_method, http_route, http_status_code,
            epoch_us(start_time) * 1000 + start_ns_remainder AS start_ns
        FROM ({{spans}}) QUALIFY row_number() OVER (PARTITION BY {_SAME_SPAN} ORDER BY {_LATEST_FIRST}) = 1
    ),
    traces AS (
        SELECT trace_id,
            min(start_ns) AS start_ns,
            max(start_ns + duration_ns) AS end_ns,
            count(*) AS span_count,
            count(*) FILTER (status = 'error') AS error_count,
            coalesce(list_sort(list(DISTINCT service_name) FILTER (service_name IS NOT NULL)), []) AS services,
            -- the root: no parent, earliest, longest; without any, the earliest span of all
            arg_min(struct_pack(
                    service := service_name, operation := name, status := status, kind := kind,
                    missing := parent_span_id IS NOT NULL, span_id := span_id,
                    environment := environment, version := service_version, git_sha := git_sha,
                    http_method := http_method, http_route := http_route, http_status_code := http_status_code),
                row(parent_span_id IS NOT NULL, start_ns, -duration_ns, span_id, kind)) AS root
        FROM members GROUP BY trace_id
    ),
    judged AS (
        SELECT *, CASE
            WHEN error_count > 0 OR (root.kind = 'server' AND root.http_status_code >= 500) THEN 'error'
            WHEN root.status = 'ok' THEN 'ok' ELSE 'unset' END AS status
        FROM traces
    )
    SELECT * FROM judged WHERE {{conditions}} ORDER BY start_ns DESC, trace_id DESC LIMIT $limit
"""
"""Traces out of spans, each counted once, newest first."""
