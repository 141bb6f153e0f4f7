"""Search: `POST /v1/traces/search`, the traces that a TQ query means.

Takes   `{query, start_time, end_time, limit, cursor}`.
Gives   the envelope of `GET /v1/traces`; each trace also says how many of its spans matched, and which.
Refuses a query that is none (400 `invalid_query`, with the position), missing fields, and what takes too long (503).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from litestar import Request, Response, post
from msgspec import UNSET, Meta, UnsetType

import lake
from lake.errors import InvalidParameter, SnapshotInvalid
from lake.search import Query, search_query

from .answers import Listed, SpanId, Timestamp
from .auth import authorized
from .json_body import Body, read_json
from .paging import Asked, Page, Pager
from .parameters import parse_time
from .reference import QUERY_ERRORS, described
from .state import Server
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


class FoundTrace(TraceSummary, kw_only=True, frozen=True):
    """A trace that a search found."""

    matched_spans: Annotated[int, Meta(description="How many of its spans the query means")]
    matched_span_ids: Annotated[list[SpanId], Meta(description="The first three of them by start")]
    matched_fields: Annotated[
        list[dict[str, str | None]] | UnsetType, Meta(description="What `select` asked for, of those three")
    ] = UNSET


class FoundTraces(Listed[FoundTrace], kw_only=True, frozen=True):
    """Traces that a search found, newest first."""

    start_time: Timestamp
    end_time: Timestamp
    query: str


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
    snapshot, rows = await server.tenants.ask(partial(_rows, tenant.lake, page, query, body.snapshot))
    content = pager.answer(page, snapshot, rows, position=lambda row: (row["start_ns"], row["trace_id"]), item=found)
    return Response(FoundTraces(query=body.query, **content), headers={"X-Lake-Snapshot": snapshot})


def _rows(lake: lake.Lake, page: Page, query: Query, snapshot: str | None) -> tuple[str, list[dict[str, Any]]]:
    """The snapshot and one row more than the page shows.

    Args:
        snapshot: token of the one to search; a cursor has its own.
    """
    try:
        asked = lake if snapshot is None else lake.at(snapshot)
    except SnapshotInvalid as error:
        raise InvalidParameter("snapshot", f"Parameter 'snapshot': {error}") from error
    at = page.pinned(asked)
    rows = at.search(
        query,
        since=page.window.since,
        until=page.window.until,
        limit=page.limit + 1,
        before=None if page.after is None else (page.after[0], page.after[1]),
    )
    return at.snapshot().token, rows.rows()


def found(row: Mapping[str, Any]) -> FoundTrace:
    """One item of the list, from a row of `Lake.search`."""
    return FoundTrace(
        **summary(row),
        matched_spans=row["matched_spans"],
        matched_span_ids=row["matched_span_ids"],
        matched_fields=[dict(fields) for fields in row["matched_fields"]] if "matched_fields" in row else UNSET,
    )


ROUTES = [search_traces]
