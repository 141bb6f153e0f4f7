"""Search: `POST /v1/traces/search` and `POST /v1/traces/metrics`, what a TQ query means.

Takes   `{query, start_time, end_time}`, and `limit`, `cursor` and `explain`, or `step`.
Gives   the envelope of `GET /v1/traces`, where each trace also says how many of its spans matched, and which; or series of
        numbers over time.
Refuses a query that is none (400 `invalid_query`, with the position), one that belongs to the other route, missing fields,
        and what takes too long (503).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import pyarrow as pa
from litestar import Request, Response, post
from msgspec import UNSET, Meta, UnsetType

import lake
from lake.errors import InvalidParameter, SnapshotInvalid
from lake.search import Query, metrics_query, search_query
from lake.search.explain import Step

from .answers import Answer, Listed, SpanId, Timestamp
from .auth import authorized
from .json_body import Body, read_json
from .paging import Asked, Page, Pager, Window, window
from .parameters import parse_time
from .reference import QUERY_ERRORS, described
from .state import Server
from .times import iso
from .trace_answers import TraceSummary, summary

_DEFAULT_LIMIT, _MAX_LIMIT = 100, 500


class SearchBody(Body, kw_only=True, frozen=True):
    """What is searched for."""

    query: Annotated[str, Meta(description='TQ: `service.name = "cart" AND duration > 100ms`, or TraceQL')]
    start_time: Annotated[str, Meta(description="ISO 8601", extra_json_schema={"format": "date-time"})]
    end_time: Annotated[str, Meta(description="ISO 8601, not included", extra_json_schema={"format": "date-time"})]
    limit: Annotated[int, Meta(ge=1, le=_MAX_LIMIT)] = _DEFAULT_LIMIT
    cursor: Annotated[str | None, Meta(description="next_cursor of the page before; with all else the same")] = None
    snapshot: Annotated[str | None, Meta(description="X-Lake-Snapshot of an earlier answer, to ask what it asked")] = None
    explain: Annotated[bool, Meta(description="Also answer what was run and read; takes twice as long")] = False


class FoundTrace(TraceSummary, kw_only=True, frozen=True):
    """A trace that a search found."""

    matched_spans: Annotated[int, Meta(description="How many of its spans the query means")]
    matched_span_ids: Annotated[list[SpanId], Meta(description="The first three of them by start")]
    matched_fields: Annotated[
        list[dict[str, str | None]] | UnsetType, Meta(description="What `select` asked for, of those three")
    ] = UNSET


class ReadShare(Answer, kw_only=True, frozen=True):
    """How much was read of how much there is."""

    total: int
    read: int


class SearchStep(Answer, kw_only=True, frozen=True):
    """One query that a search ran."""

    purpose: Annotated[str, Meta(description="candidates, starts, spans or judge, see docs/search.md")]
    sql: str
    params: Annotated[dict[str, Any], Meta(description="The values of `$name` in the SQL")]
    files: ReadShare
    row_groups: ReadShare
    bytes: ReadShare
    rows: Annotated[int, Meta(description="Of the answer")]


class FoundTraces(Listed[FoundTrace], kw_only=True, frozen=True):
    """Traces that a search found, newest first."""

    start_time: Timestamp
    end_time: Timestamp
    query: str
    explain: Annotated[list[SearchStep] | UnsetType, Meta(description="What was run, if it was asked for")] = UNSET


class MetricsBody(Body, kw_only=True, frozen=True):
    """What is measured."""

    query: Annotated[str, Meta(description="TQ that ends with a metric: `{ status = error } | rate() by(service.name)`")]
    start_time: Annotated[str, Meta(description="ISO 8601; the first point", extra_json_schema={"format": "date-time"})]
    end_time: Annotated[str, Meta(description="ISO 8601, not included", extra_json_schema={"format": "date-time"})]
    step: Annotated[float, Meta(gt=0, description="Seconds from one point to the next")]
    snapshot: Annotated[str | None, Meta(description="X-Lake-Snapshot of an earlier answer, to ask what it asked")] = None


class Series(Answer, kw_only=True, frozen=True):
    """The points of one set of labels."""

    labels: dict[str, str | None]
    points: Annotated[list[tuple[Timestamp, float]], Meta(description="Start of the step, and value")]


class Metrics(Answer, kw_only=True, frozen=True):
    """Series over time."""

    data: Annotated[list[Series], Meta(description="By labels")]
    query: str
    start_time: Timestamp
    end_time: Timestamp
    step: float


@post(
    "/v1/traces/search",
    status_code=200,
    summary="Search traces",
    tags=["Traces"],
    operation_class=described("A page of the traces", QUERY_ERRORS, answer=FoundTraces, body=SearchBody, snapshot=True),
)
async def search_traces(request: Request[Any, Any, Any], server: Server) -> Response[FoundTraces]:
    """Traces that started in a window and have spans that a TQ query means, newest first (docs/search.md)."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    body = await read_json(request, server, SearchBody)
    pager = Pager(server, principal, "search", (body.query,))
    asked = Asked(parse_time("start_time", body.start_time), parse_time("end_time", body.end_time), body.limit, body.cursor)
    page = pager.page(asked, default=dt.timedelta(0), now=dt.datetime.now(dt.UTC))
    query = await server.tenants.ask(partial(search_query, body.query))
    search = _explained if body.explain else _rows
    snapshot, rows, steps = await server.tenants.ask(partial(search, tenant.lake, page, query, body.snapshot))
    content = pager.answer(page, snapshot, rows, position=lambda row: (row["start_ns"], row["trace_id"]), item=found)
    return Response(FoundTraces(query=body.query, explain=steps, **content), headers={"X-Lake-Snapshot": snapshot})


_Found = tuple[str, list[dict[str, Any]], list[SearchStep] | UnsetType]
"""The snapshot, one row more than the page shows, and what was run."""


def _rows(lake: lake.Lake, page: Page, query: Query, snapshot: str | None) -> _Found:
    at = page.pinned(_at(lake, snapshot))
    return at.snapshot().token, at.search(query, **_wanted(page)).rows(), UNSET


def _explained(lake: lake.Lake, page: Page, query: Query, snapshot: str | None) -> _Found:
    at = page.pinned(_at(lake, snapshot))
    rows, steps = at.explain_search(query, **_wanted(page))
    return at.snapshot().token, rows.rows(), [explained(step) for step in steps]


def _at(lake: lake.Lake, snapshot: str | None) -> lake.Lake:
    """The lake at the snapshot that a request names; a cursor has its own."""
    try:
        return lake if snapshot is None else lake.at(snapshot)
    except SnapshotInvalid as error:
        raise InvalidParameter("snapshot", f"Parameter 'snapshot': {error}") from error


def _wanted(page: Page) -> dict[str, Any]:
    return {
        "since": page.window.since,
        "until": page.window.until,
        "limit": page.limit + 1,
        "before": None if page.after is None else (page.after[0], page.after[1]),
    }


def explained(step: Step) -> SearchStep:
    """One query, from a step of `Lake.explain_search`."""
    shares = {name: ReadShare(**asdict(getattr(step, name))) for name in ("files", "row_groups", "bytes")}
    return SearchStep(purpose=step.purpose, sql=step.sql, params=dict(step.params), rows=step.rows, **shares)


def found(row: Mapping[str, Any]) -> FoundTrace:
    """One item of the list, from a row of `Lake.search`."""
    return FoundTrace(
        **summary(row),
        matched_spans=row["matched_spans"],
        matched_span_ids=row["matched_span_ids"],
        matched_fields=[dict(fields) for fields in row["matched_fields"]] if "matched_fields" in row else UNSET,
    )


@post(
    "/v1/traces/metrics",
    status_code=200,
    summary="Measure traces",
    tags=["Traces"],
    operation_class=described("The series", QUERY_ERRORS, answer=Metrics, body=MetricsBody, snapshot=True),
)
async def measure_traces(request: Request[Any, Any, Any], server: Server) -> Response[Metrics]:
    """Numbers over time of the spans that a TQ query means, such as their rate by service (docs/search.md)."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    body = await read_json(request, server, MetricsBody)
    start, end = parse_time("start_time", body.start_time), parse_time("end_time", body.end_time)
    asked = window(start, end, default=dt.timedelta(0), now=end)
    query = await server.tenants.ask(partial(metrics_query, body.query))
    snapshot, rows = await server.tenants.ask(partial(_points, tenant.lake, asked, query, body.step, body.snapshot))
    content = Metrics(
        data=series_of(rows), query=body.query, start_time=iso(asked.since), end_time=iso(asked.until), step=body.step
    )
    return Response(content, headers={"X-Lake-Snapshot": snapshot})


def _points(lake: lake.Lake, asked: Window, query: Query, step_s: float, snapshot: str | None) -> tuple[str, pa.Table]:
    at = _at(lake, snapshot or lake.snapshot().token)
    found = at.search_metrics(query, since=asked.since, until=asked.until, step_s=step_s)
    return at.snapshot().token, found.arrow()


def series_of(points: pa.Table) -> list[Series]:
    """The points of `Lake.search_metrics`, by their labels."""
    found: dict[str, Series] = {}
    columns = (points.column(name).to_pylist() for name in ("time", "labels", "value"))
    for time, labels, value in zip(*columns, strict=True):
        series = found.setdefault(str(labels), Series(labels=dict(labels), points=[]))
        series.points.append((iso(time), value))
    return list(found.values())


ROUTES = [search_traces, measure_traces]
