"""Traces: `GET /v1/traces` and `GET /v1/traces/{trace_id}`.

Takes   the parameters of the reference: service, start_time, end_time, min_duration_ms, status, limit, cursor.
Gives   the list envelope `{data, has_more, next_cursor}`, one trace with its spans, or its exact OTLP.
Refuses parameters outside their limits (400), unknown traces (404).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any, cast, get_args

import msgspec
from litestar import Request, Response, route
from litestar.openapi.spec import OpenAPIType, Schema

import lake
from lake.wire import otlp

from . import paging
from .auth import authorized
from .paging import Page, Pager
from .parameters import Parameters, parse_trace_id
from .problems import PROTOBUF, NotFound
from .reference import JSON, QUERY_ERRORS, described, path, query, time_query
from .state import Server
from .trace_answers import Span, Status, Trace, TraceError, TraceList, listed, repeated_query, summary, trace_deploy

_DEFAULT_WINDOW = dt.timedelta(hours=1)
_MAX_DURATION_MS = 10**12
_STATUSES: tuple[Status, ...] = get_args(Status)

_LIST_PARAMETERS = (
    query("service", "only traces with a span of this service"),
    time_query("start_time", "ISO 8601; without it an hour before end_time"),
    time_query("end_time", "ISO 8601, not included; without it now"),
    query("min_duration_ms", "whole number", Schema(type=OpenAPIType.INTEGER, minimum=0)),
    query("status", "ok, error or unset", Schema(type=OpenAPIType.STRING, enum=list(_STATUSES))),
    paging.LIMIT,
    paging.CURSOR,
)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which traces a list is of."""

    service: str | None
    min_duration_ms: int | None
    status: str | None


@route(
    "/v1/traces",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List traces",
    tags=["Traces"],
    operation_class=described(
        "A page of the list", QUERY_ERRORS, answer=TraceList, parameters=_LIST_PARAMETERS, snapshot=True
    ),
)
async def list_traces(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Traces that started in a window, newest first."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    parameters = Parameters(request)
    filters = Filters(
        parameters.text("service"),
        parameters.number("min_duration_ms", lowest=0, highest=_MAX_DURATION_MS),
        parameters.choice("status", _STATUSES),
    )
    pager = Pager(server, principal, "traces", astuple(filters))
    asked = paging.asked(parameters)
    page = pager.page(asked, default=_DEFAULT_WINDOW, now=dt.datetime.now(dt.UTC))
    snapshot, rows = await server.tenants.ask(partial(_rows, tenant.lake, page, filters))
    content = pager.answer(page, snapshot, rows, position=lambda row: (row["start_ns"], row["trace_id"]), item=listed)
    return Response(TraceList(**content), headers={"X-Lake-Snapshot": snapshot})


def _rows(lake: lake.Lake, page: Page, filters: Filters) -> tuple[str, list[dict[str, Any]]]:
    """The snapshot and one row more than the page shows."""
    at = page.pinned(lake)
    found = at.traces(
        since=page.window.since,
        until=page.window.until,
        service=filters.service,
        min_duration_ns=None if filters.min_duration_ms is None else filters.min_duration_ms * 1_000_000,
        status=filters.status,
        limit=page.limit + 1,
        before=None if page.after is None else (page.after[0], page.after[1]),
    )
    return at.snapshot().token, found.rows()


@route(
    "/v1/traces/{trace_id:str}",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="One trace",
    tags=["Traces"],
    operation_class=described(
        "The trace",
        (*QUERY_ERRORS, 404),
        answer=Trace,
        answers=(JSON, PROTOBUF),
        parameters=[
            path("trace_id", "32 hexadecimal digits, not all zero", "^(?!0{32}$)[0-9a-fA-F]{32}$"),
            query("format", "json, or otlp for OTLP/JSON", Schema(type=OpenAPIType.STRING, enum=["json", "otlp"])),
        ],
        snapshot=True,
        or_json=Schema(type=OpenAPIType.OBJECT, required=["resourceSpans"], description="OTLP/JSON, with format=otlp"),
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
    snapshot = lake.snapshot()
    at = lake.at(snapshot)
    rows = at.trace(trace_id).arrow()
    if not rows.num_rows:
        raise _not_found(trace_id)
    export = otlp.export_json if as_json else otlp.export_protobuf
    return Response(
        export(rows, lake.folder.promoted),
        media_type=JSON if as_json else PROTOBUF,
        headers={"X-Lake-Snapshot": snapshot.token},
    )


def _shown(lake: lake.Lake, trace_id: str) -> Response[Any]:
    trace = lake.trace_view(trace_id)
    if trace is None:
        raise _not_found(trace_id)
    row = trace.summary
    errors = trace.errors.select(["id", "exception_class", "message", "fingerprint"]).to_pylist()
    content = Trace(
        **summary(row),
        root_span_id=row["root"]["span_id"],
        truncated=trace.truncated,
        errors=[TraceError(**error) for error in errors],
        deploy=trace_deploy(trace.deploy) if trace.deploy else None,
        n_plus_one=[repeated_query(found) for found in trace.n_plus_one],
        spans=cast("list[Span]", msgspec.Raw(trace.spans.encode())),  # JSON already: made from columns, not span by span
    )
    return Response(content, headers={"X-Lake-Snapshot": trace.snapshot})


def _not_found(trace_id: str) -> NotFound:
    return NotFound(f"There is no trace {trace_id}")


ROUTES = [list_traces, get_trace]
