"""Questions: the calls of a local `Lake`, as SQL for a server.

Takes   the arguments that `Lake.sql`, `Lake.spans`, ... take.
Gives   a `Call` whose answer has the same rows as theirs.
Refuses values that JSON has no form for and times without a zone (`InvalidParameter`), answers that are cut (`Truncated`).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from .. import queries
from ..errors import InvalidParameter
from .call import JSON, Call, encoded
from .errors import BadAnswer, Truncated
from .frames import Result, read_stream
from .retries import Repeat
from .transport import Answer, Request

T = TypeVar("T")

MAX_ROWS = 100_000
"""Rows that a server gives at most."""

_ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a lake on a server."""

    token: str
    """Names it, for `at` and `X-Lake-Snapshot`."""


def pinned(call: Call[T], snapshot: str) -> Call[T]:
    """The same question of a snapshot.

    Raises:
        InvalidParameter: it is none that can be asked of one.
    """
    if call.request.body is None:
        raise InvalidParameter(
            "snapshot", f"{call.request.method} {call.request.path} is answered of the newest snapshot only"
        )
    body = msgspec.json.decode(call.request.body) | {"snapshot": snapshot}
    return replace(call, request=replace(call.request, body=encoded(body)))


def sql(query: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Call[Result]:
    """Run one SELECT over the views `spans`, `errors`, `deploys` and `requests`; all of its rows.

    Args:
        query: DuckDB SQL.
        params: values for `$name` or `?` in it. Times travel as text: where nothing says what they are, write
            `$since::TIMESTAMPTZ`; for a `timedelta` write `$step::INTERVAL`.

    Raises:
        BadRequest: it is no SELECT, or DuckDB refuses it; then the message is DuckDB's.
        Truncated: the server gives no so large answers; `sql_first` takes a part.
    """
    return _ask(query, params, limit=MAX_ROWS, is_whole=True)


def sql_first(query: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, limit: int) -> Call[Result]:
    """Run one SELECT as `sql` does; its first rows, and whether there are more (`Result.truncated`).

    Args:
        limit: rows at most, 1 to 100,000.
    """
    return _ask(query, params, limit=limit, is_whole=False)


def spans(
    *,
    service: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Call[Result]:
    """The spans that started in `[since, until)`, of one service if named; no order.

    Raises:
        InvalidParameter: a time has no time zone.
        Truncated: there are more than the server gives at once.
    """
    where, params = queries.conditions("start_time", since=since, until=until, service=service)
    return sql(f"SELECT * FROM spans{where}", params)


def trace(trace_id: str, *, max_spans: int = 10_000) -> Call[Result]:
    """The spans of one trace by start, each once.

    Args:
        trace_id: 32 hex digits, any case.
    """
    return sql(queries.TRACE, {"trace_id": trace_id.lower(), "max_spans": max_spans})


def errors(
    *,
    service: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    trace_id: str | None = None,
) -> Call[Result]:
    """Occurrences of errors in `[since, until)`, newest first, each once however often it was reported.

    Raises:
        InvalidParameter: a time has no time zone.
    """
    where, params = queries.conditions("timestamp", since=since, until=until, service=service)
    if trace_id is not None:
        where += f"{' AND' if where else ' WHERE'} trace_id = $trace_id"
        params["trace_id"] = trace_id.lower()
    return sql(f"SELECT * FROM errors{where} ORDER BY timestamp DESC, id", params)


def deploys(
    *, service: str | None = None, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> Call[Result]:
    """Deploys in `[since, until)`, newest first.

    Raises:
        InvalidParameter: a time has no time zone.
    """
    where, params = queries.conditions("deployed_at", since=since, until=until, service=service)
    return sql(f"SELECT * FROM deploys{where} ORDER BY deployed_at DESC, id", params)


def traces(
    *,
    since: dt.datetime,
    until: dt.datetime,
    service: str | None = None,
    min_duration_ns: int | None = None,
    status: str | None = None,
    limit: int = 50,
    before: tuple[int, str] | None = None,
    around: dt.timedelta = dt.timedelta(hours=1),
) -> Call[Result]:
    """Summaries of the traces that started in `[since, until)`, newest first.

    `list_traces` has the same traces as typed values; the server finds them without reading the whole window.

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
    conditions: dict[str, dict[str, Any]] = {
        "start_ns >= epoch_ns($since::TIMESTAMPTZ)": {"since": since},
        "start_ns < epoch_ns($until::TIMESTAMPTZ)": {"until": until},
        "list_contains(services, $service)": {"service": service},
        "end_ns - start_ns >= $min_duration_ns": {"min_duration_ns": min_duration_ns},
        "status = $status": {"status": status},
        "(start_ns < $before_ns OR (start_ns = $before_ns AND trace_id < $before_id))": (
            {"before_ns": before[0], "before_id": before[1]} if before else {"before": None}
        ),
    }
    used = {text: values for text, values in conditions.items() if None not in values.values()}
    reach = "SELECT * FROM spans WHERE start_time >= $first AND start_time < $last"
    params: dict[str, Any] = {"first": since - around, "last": until + around, "limit": limit}
    params |= {name: value for values in used.values() for name, value in values.items()}
    return sql(queries.TRACES.format(spans=reach, conditions=" AND ".join(used)), params)


def snapshot() -> Call[Snapshot]:
    """The snapshot that a question would be asked of now."""
    asked = sql("SELECT 1 AS one")
    return Call(asked.request, _snapshot)


def _ask(query: str, params: Mapping[str, Any] | Sequence[Any] | None, *, limit: int, is_whole: bool) -> Call[Result]:
    body: dict[str, Any] = {"query": query, "limit": limit}
    if isinstance(params, Mapping):
        body["params"] = {name: _sent(name, value) for name, value in params.items()}
    elif params is not None:
        body["params"] = [_sent(str(place), value) for place, value in enumerate(params, 1)]
    headers = {"Content-Type": JSON, "Accept": _ARROW}
    request = Request("POST", "/v1/sql", headers=headers, body=encoded(body), repeat=Repeat.UNLESS_WORKING)
    return Call(request, partial(_result, is_whole=is_whole))


def _sent(name: str, value: object) -> object:
    """A value as JSON has it, so that DuckDB reads it as what it is.

    Raises:
        InvalidParameter: it has no such form.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, dt.timedelta):
        return f"{value // dt.timedelta(microseconds=1)} microseconds"
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_sent(name, item) for item in value]
    raise InvalidParameter(
        name, f"{name} is a {type(value).__name__}, which cannot be sent: send text or a number and cast it"
    )


def _result(answer: Answer, *, is_whole: bool) -> Result:
    truncated = answer.headers.get("x-lake-truncated") == "true"
    table = read_stream(answer.body)
    if truncated and is_whole:
        raise Truncated(
            f"the answer has more rows than the {table.num_rows} that the server gives: aggregate in the query, ask for a "
            "shorter time, or take a part with sql_first(query, limit=...)"
        )
    return Result(table, snapshot=answer.headers.get("x-lake-snapshot"), truncated=truncated)


def _snapshot(answer: Answer) -> Snapshot:
    token = answer.headers.get("x-lake-snapshot")
    if not token:
        raise BadAnswer("the answer does not name its snapshot; is this a Tracelake server?")
    return Snapshot(token)
