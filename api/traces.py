"""Traces: `GET /v1/traces` and `GET /v1/traces/{trace_id}`.

Takes   the parameters of the reference: service, start_time, end_time, min_duration_ms, status, limit, cursor.
Gives   the list envelope `{data, has_more, next_cursor}`, one trace with its spans, or its exact OTLP.
Refuses parameters outside their limits (400), unknown traces (404).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import orjson
from litestar import Request, Response, route
from litestar.openapi.spec import OpenAPIType, Schema

import lake
from lake.errors import InvalidParameter, SnapshotInvalid
from lake.wire import otlp

from . import cursors
from .auth import authorized
from .parameters import Parameters, parse_time, parse_trace_id
from .problems import PROTOBUF, InvalidCursor, NotFound
from .reference import QUERY_ERRORS, described, query
from .state import Server

_DEFAULT_LIMIT, _MAX_LIMIT = 50, 200
_DEFAULT_WINDOW = dt.timedelta(hours=1)
_MAX_DURATION_MS = 10**12
_STATUSES = ("ok", "error", "unset")

_EARLIEST, _LATEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2262, 4, 11, tzinfo=dt.UTC)
"""No span starts outside of this; a window that reaches further (0001-01-01 is Go's zero time) is cut."""


_JSON = "application/json"
_LIST_PARAMETERS = (
    query("service", "only traces with a span of this service"),
    query("start_time", "ISO 8601; without it an hour before end_time"),
    query("end_time", "ISO 8601, not included; without it now"),
    query("min_duration_ms", "whole number", Schema(type=OpenAPIType.INTEGER, minimum=0)),
    query("status", "ok, error or unset", Schema(type=OpenAPIType.STRING, enum=list(_STATUSES))),
    query(
        "limit",
        f"1 to {_MAX_LIMIT}, without it {_DEFAULT_LIMIT}",
        Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=_MAX_LIMIT, default=_DEFAULT_LIMIT),
    ),
    query("cursor", "next_cursor of the page before; with the same filters"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """What one request for a list of traces asks for."""

    since: dt.datetime
    until: dt.datetime
    service: str | None
    min_duration_ms: int | None
    status: str | None
    limit: int
    snapshot: str | None
    """Token of the snapshot that the first page was read from, None on the first page."""
    before: tuple[int, str] | None
    """Start in nanoseconds and id of the last trace of the page before."""

    @property
    def filters(self) -> str:
        """What must stay the same from page to page."""
        return sha256(repr((self.service, self.min_duration_ms, self.status)).encode()).hexdigest()[:16]


@route(
    "/v1/traces",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List traces",
    operation_class=described(
        "`{data, has_more, next_cursor, start_time, end_time}`", QUERY_ERRORS, parameters=_LIST_PARAMETERS
    ),
)
async def list_traces(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Traces that started in a window, newest first."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    scope = f"traces\0{principal.project}\0{principal.environment}"
    page = read_page(Parameters(request), server.cursor_secret, scope, now=dt.datetime.now(dt.UTC))
    snapshot, rows = await server.tenants.ask(partial(_rows, tenant.lake, page))
    shown, has_more = rows[: page.limit], len(rows) > page.limit
    content = {
        "data": [summary(row) for row in shown],
        "has_more": has_more,
        "next_cursor": _cursor(server.cursor_secret, scope, page, snapshot, shown[-1]) if has_more else None,
        "start_time": iso(page.since),
        "end_time": iso(page.until),
    }
    return Response(content, headers={"X-Lake-Snapshot": snapshot})


def read_page(parameters: Parameters, secret: bytes, scope: str, *, now: dt.datetime) -> Page:
    """The page that a request asks for.

    Raises:
        InvalidParameter: one of the parameters cannot be.
        InvalidCursor: the cursor is none, or comes with other filters than the page it continues.
    """
    service = parameters.text("service")
    status = parameters.choice("status", _STATUSES)
    min_duration_ms = parameters.number("min_duration_ms", lowest=0, highest=_MAX_DURATION_MS)
    limit = parameters.number("limit", lowest=1, highest=_MAX_LIMIT) or _DEFAULT_LIMIT
    cursor = parameters.text("cursor")
    if cursor is None:
        since, until = read_window(parameters, now=now)
        return Page(since, until, service, min_duration_ms, status, limit, None, None)
    content = cursors.decode(secret, scope, cursor)
    page = Page(
        parse_time("cursor", content["since"]), parse_time("cursor", content["until"]), service, min_duration_ms, status,
        limit, content["snapshot"], (content["start_ns"], content["trace_id"]),
    )  # fmt: skip
    start, end = parameters.time("start_time"), parameters.time("end_time")
    if page.filters != content["filters"] or start not in (None, page.since) or end not in (None, page.until):
        raise InvalidCursor("cursor", "'cursor' continues a list with other filters: repeat them or start again")
    return page


def read_window(parameters: Parameters, *, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Start and end of the window: the last hour, or the hour before an end that is given alone."""
    until = parameters.time("end_time") or now
    since = parameters.time("start_time") or max(until, _EARLIEST + _DEFAULT_WINDOW) - _DEFAULT_WINDOW
    if since >= until:
        raise InvalidParameter("start_time", "Parameter 'start_time' must lie before 'end_time'")
    return min(max(since, _EARLIEST), _LATEST), min(max(until, _EARLIEST), _LATEST)


def _rows(lake: lake.Lake, page: Page) -> tuple[str, list[dict[str, Any]]]:
    """The snapshot and one row more than the page shows."""
    try:
        at = lake.at(page.snapshot or lake.snapshot())
    except SnapshotInvalid as error:
        raise InvalidCursor("cursor", f"'cursor' is expired, start again: {error}") from error
    found = at.traces(
        since=page.since,
        until=page.until,
        service=page.service,
        min_duration_ns=None if page.min_duration_ms is None else page.min_duration_ms * 1_000_000,
        status=page.status,
        limit=page.limit + 1,
        before=page.before,
    )
    return at.snapshot().token, found.rows()


def _cursor(secret: bytes, scope: str, page: Page, snapshot: str, last: Mapping[str, Any]) -> str:
    content = {
        "snapshot": snapshot,
        "since": page.since.isoformat(),
        "until": page.until.isoformat(),
        "filters": page.filters,
        "start_ns": last["start_ns"],
        "trace_id": last["trace_id"],
    }
    return cursors.encode(secret, scope, content)


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """One item of the list, from a row of `Lake.traces`."""
    root = row["root"]
    return {
        "trace_id": row["trace_id"],
        "root_service": root["service"],
        "root_operation": root["operation"],
        "root_missing": root["missing"],
        "services": row["services"] or [],
        "start_time": iso_ns(row["start_ns"]),
        "end_time": iso_ns(row["end_ns"]),
        "duration_ms": (row["end_ns"] - row["start_ns"]) / 1e6,
        "span_count": row["span_count"],
        "error_count": row["error_count"],
        "status": row["status"],
        "root_status": root["status"],
        "http": {
            "method": root["http_method"],
            "route": root["http_route"],
            "status_code": root["http_status_code"],
        },
        "environment": root["environment"],
        "version": root["version"],
        "git_sha": root["git_sha"],
    }


@route(
    "/v1/traces/{trace_id:str}",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="One trace",
    operation_class=described(
        "The trace",
        (*QUERY_ERRORS, 404),
        parameters=[query("format", "json, or otlp for OTLP/JSON")],
        answers=(_JSON, PROTOBUF),
    ),
)
async def get_trace(request: Request[Any, Any, Any], server: Server, trace_id: str) -> Response[Any]:
    """One trace with its spans, errors and deploy; its exact OTLP with `?format=otlp` or Accept: application/x-protobuf."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    wanted = parse_trace_id(trace_id)
    parameters = Parameters(request)
    wants_protobuf = PROTOBUF in request.headers.get("accept", "").lower()
    if parameters.choice("format", ("json", "otlp")) == "otlp" or wants_protobuf:
        return await server.tenants.ask(partial(_exported, tenant.lake, wanted, as_json=not wants_protobuf))
    return await server.tenants.ask(partial(_shown, tenant.lake, wanted))


def _exported(lake: lake.Lake, trace_id: str, *, as_json: bool) -> Response[Any]:
    at = lake.at(lake.snapshot())
    rows = at.trace(trace_id).arrow()
    if not rows.num_rows:
        raise _not_found(trace_id)
    export = otlp.export_json if as_json else otlp.export_protobuf
    return Response(
        export(rows, lake.folder.promoted),
        media_type=_JSON if as_json else PROTOBUF,
        headers={"X-Lake-Snapshot": at.snapshot().token},
    )


def _shown(lake: lake.Lake, trace_id: str) -> Response[Any]:
    at = lake.at(lake.snapshot())
    trace = at.trace_view(trace_id)
    if trace is None:
        raise _not_found(trace_id)
    row = trace.summary
    content = summary(row) | {
        "root_span_id": row["root"]["span_id"],
        "truncated": trace.truncated,
        "errors": trace.errors.select(["id", "exception_class", "message", "fingerprint"]).to_pylist(),
        "deploy": _deploy(at, row),
        "spans": orjson.Fragment(trace.spans),
    }
    return Response(orjson.dumps(content), media_type=_JSON, headers={"X-Lake-Snapshot": at.snapshot().token})


def _deploy(lake: lake.Lake, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The latest deploy of one of the trace's services (or of all) before it started."""
    found = lake.sql(
        "SELECT id, version, git_sha, strftime(deployed_at, '%Y-%m-%dT%H:%M:%SZ') AS deployed_at FROM deploys "
        "WHERE deployed_at <= $start AND (service_name IS NULL OR list_contains($services, service_name)) "
        "ORDER BY deploys.deployed_at DESC LIMIT 1",
        {"start": _time(row["start_ns"]), "services": row["services"] or []},
    ).rows()
    return found[0] if found else None


def _not_found(trace_id: str) -> NotFound:
    return NotFound(f"There is no trace {trace_id}")


def _time(ns: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=ns // 1000)


def iso(time: dt.datetime) -> str:
    """RFC 3339 in UTC."""
    return time.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def iso_ns(ns: int) -> str:
    """RFC 3339 in UTC of nanoseconds since the Unix epoch."""
    return iso(_time(ns))


ROUTES = [list_traces, get_trace]
