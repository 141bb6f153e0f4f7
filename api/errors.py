"""Errors: `GET /v1/errors`, `GET` and `PATCH /v1/errors/{fingerprint}`, `GET /v1/errors/{fingerprint}/occurrences`.

Takes   service, environment, status, q, sort, start_time, end_time, limit, cursor; the status that a group shall have.
Gives   groups of errors, one with what it may have to do with, its occurrences.
Refuses parameters outside their limits (400), unknown fingerprints (404), a change by a key without the scope `admin` (403).

Groups come from the lake at the snapshot of the first page, what people decided about them from the control database as it
is now: who filters by status and changes one between two pages sees the change.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Any

from litestar import Request, Response, patch, route
from litestar.openapi.spec import OpenAPIType, Schema

import lake
from lake.control import Principal
from lake.error_groups import SORTS, ErrorFilter, Sort
from lake.error_status import ERROR_STATUSES, Decision, ErrorStatus
from lake.error_view import LIST_BUCKETS
from lake.time_buckets import buckets

from . import paging
from .auth import authorized
from .error_answers import (
    ErrorGroup,
    ErrorGroupChange,
    ErrorGroupDetail,
    ErrorGroupList,
    ErrorGroupStatus,
    ErrorOccurrenceList,
    group_fields,
    occurrence,
    view_fields,
)
from .json_body import read_json
from .paging import Page, Pager, Window
from .parameters import Parameters
from .problems import NotFound
from .reference import QUERY_ERRORS, described, path, query, time_query
from .segments import segment
from .state import Server
from .times import iso, microseconds, time_of_microseconds

_DEFAULT_WINDOW = dt.timedelta(hours=24)

_FINGERPRINT = path("fingerprint", "what makes errors the same one; 1 to 256 characters, percent-encoded")
_WINDOW_PARAMETERS = (
    time_query("start_time", "ISO 8601; without it 24 hours before end_time"),
    time_query("end_time", "ISO 8601, not included; without it now"),
)
_PAGE_PARAMETERS = (
    paging.LIMIT,
    paging.CURSOR,
)
_LIST_PARAMETERS = (
    query("service", "only errors of this service"),
    query("environment", "only errors of this environment"),
    query("status", "open, resolved or ignored", Schema(type=OpenAPIType.STRING, enum=list(ERROR_STATUSES))),
    query("q", "text in the class, message or location of some occurrence, in any case"),
    query(
        "sort",
        "last_seen (without it), first_seen or count; the highest first",
        Schema(type=OpenAPIType.STRING, enum=list(SORTS), default="last_seen"),
    ),
    *_WINDOW_PARAMETERS,
    *_PAGE_PARAMETERS,
)


@route(
    "/v1/errors",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List groups of errors",
    tags=["Errors"],
    operation_class=described(
        "A page of the list", QUERY_ERRORS, answer=ErrorGroupList, parameters=_LIST_PARAMETERS, snapshot=True
    ),
)
async def list_errors(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Groups of the errors that occurred in a window, each error once whether it was reported, raised in a span, or both."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    parameters = Parameters(request)
    names = ("service", "environment", "q")
    service, environment, text = (parameters.text(name) for name in names)
    status = _status(parameters.choice("status", ERROR_STATUSES))
    sort = _sort(parameters.choice("sort", SORTS))
    pager = Pager(server, principal, "errors", (service, environment, text, status, sort))
    asked = paging.asked(parameters)
    page = pager.page(asked, default=_DEFAULT_WINDOW, now=dt.datetime.now(dt.UTC))
    wanted = ErrorFilter(page.window.since, page.window.until, service, environment, text)
    decisions = await _decisions(server, principal)
    snapshot, rows = await server.tenants.ask(partial(_groups, tenant.lake, page, wanted, decisions, status, sort))
    cut = buckets(page.window.since, page.window.until, most=LIST_BUCKETS)
    content = pager.answer(
        page,
        snapshot,
        rows,
        position=partial(_position, sort),
        item=lambda row: ErrorGroup(**group_fields(row, cut, decisions.get(row["fingerprint"]))),
    )
    return Response(ErrorGroupList(**content), headers={"X-Lake-Snapshot": snapshot})


def _status(word: str | None) -> ErrorStatus | None:
    return next((status for status in ERROR_STATUSES if status == word), None)


def _sort(word: str | None) -> Sort:
    return next((sort for sort in SORTS if sort == word), SORTS[0])


async def _decisions(server: Server, principal: Principal) -> dict[str, Decision]:
    """What people decided about the groups of a key's lake."""
    return await asyncio.to_thread(server.control.decisions.of, principal.project, principal.environment)


def _groups(
    lake: lake.Lake,
    page: Page,
    wanted: ErrorFilter,
    decisions: Mapping[str, Decision],
    status: ErrorStatus | None,
    sort: Sort,
) -> tuple[str, list[dict[str, Any]]]:
    """The snapshot and one group more than the page shows."""
    at = page.pinned(lake)
    after = None
    if page.after is not None:
        value = page.after[0] if sort == "count" else time_of_microseconds(page.after[0])
        after = (value, page.after[1])
    found = at.error_page(wanted, decisions=decisions, status=status, sort=sort, limit=page.limit + 1, after=after)
    return at.snapshot().token, found.rows()


def _position(sort: Sort, row: Mapping[str, Any]) -> tuple[int, str]:
    return (row["count"] if sort == "count" else microseconds(row[f"{sort}_at"])), row["fingerprint"]


@route(
    "/v1/errors/{fingerprint:str}",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="One group of errors",
    tags=["Errors"],
    operation_class=described(
        "The group",
        (*QUERY_ERRORS, 404),
        answer=ErrorGroupDetail,
        parameters=(_FINGERPRINT, *_WINDOW_PARAMETERS),
        snapshot=True,
    ),
)
async def get_error(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """One group with its versions, the deploys around it and its newest occurrences. Nothing in the window counts 0."""
    fingerprint = _fingerprint(request)
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    parameters = Parameters(request)
    start, end = parameters.time("start_time"), parameters.time("end_time")
    window = paging.window(start, end, default=_DEFAULT_WINDOW, now=dt.datetime.now(dt.UTC))
    decisions = await _decisions(server, principal)
    return await server.tenants.ask(partial(_shown, tenant.lake, fingerprint, window, decisions))


def _shown(lake: lake.Lake, fingerprint: str, window: Window, decisions: Mapping[str, Decision]) -> Response[Any]:
    view = lake.error_view(fingerprint, since=window.since, until=window.until, decisions=decisions)
    if view is None:
        raise _not_found(fingerprint)
    content = ErrorGroupDetail(
        **group_fields(view.group, view.buckets, decisions.get(fingerprint)),
        **view_fields(view),
        start_time=iso(window.since),
        end_time=iso(window.until),
    )
    return Response(content, headers={"X-Lake-Snapshot": view.snapshot})


@route(
    "/v1/errors/{fingerprint:str}/occurrences",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="Occurrences of a group of errors",
    tags=["Errors"],
    operation_class=described(
        "A page of the list",
        (*QUERY_ERRORS, 404),
        answer=ErrorOccurrenceList,
        parameters=(_FINGERPRINT, *_WINDOW_PARAMETERS, *_PAGE_PARAMETERS),
        snapshot=True,
    ),
)
async def list_error_occurrences(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """The occurrences of one group in a window, newest first, with all that was reported."""
    fingerprint = _fingerprint(request)
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    pager = Pager(server, principal, "error occurrences", (fingerprint,))
    asked = paging.asked(Parameters(request))
    page = pager.page(asked, default=_DEFAULT_WINDOW, now=dt.datetime.now(dt.UTC))
    snapshot, rows = await server.tenants.ask(partial(_occurrences, tenant.lake, page, fingerprint))
    content = pager.answer(
        page, snapshot, rows, position=lambda row: (microseconds(row["timestamp"]), row["id"]), item=occurrence
    )
    return Response(ErrorOccurrenceList(**content), headers={"X-Lake-Snapshot": snapshot})


def _occurrences(lake: lake.Lake, page: Page, fingerprint: str) -> tuple[str, list[dict[str, Any]]]:
    """The snapshot and one occurrence more than the page shows."""
    at = page.pinned(lake)
    found = at.error_occurrences(
        fingerprint,
        since=page.window.since,
        until=page.window.until,
        limit=page.limit + 1,
        before=None if page.after is None else (time_of_microseconds(page.after[0]), page.after[1]),
    )
    if found is None:
        raise _not_found(fingerprint)
    return at.snapshot().token, found.rows()


@patch(
    "/v1/errors/{fingerprint:str}",
    status_code=200,
    summary="Resolve, ignore or open a group of errors",
    tags=["Errors"],
    operation_class=described(
        "The group's new status", (404,), answer=ErrorGroupStatus, body=ErrorGroupChange, parameters=(_FINGERPRINT,)
    ),
)
async def change_error(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Set the status of a group. A resolved group is open again as soon as it occurs once more."""
    fingerprint = _fingerprint(request)
    principal = await authorized(request, server, "admin")
    change = await read_json(request, server, ErrorGroupChange)
    tenant = await server.tenants.of(principal)
    if not await server.tenants.ask(partial(tenant.lake.has_error, fingerprint)):
        raise _not_found(fingerprint)
    decide = partial(server.control.decisions.decide, key_id=principal.key_id)
    decision = await asyncio.to_thread(decide, principal.project, principal.environment, fingerprint, change.status)
    return Response(
        ErrorGroupStatus(
            fingerprint=fingerprint,
            status=decision.status,
            status_changed_at=iso(decision.decided_at),
            status_changed_by=decision.decided_by,
        )
    )


def _fingerprint(request: Request[Any, Any, Any]) -> str:
    """The third segment of the path; a client's own fingerprint may have slashes in it."""
    return segment(request, 2)


def _not_found(fingerprint: str) -> NotFound:
    return NotFound(f"There is no error with the fingerprint {fingerprint}")


ROUTES = [list_errors, get_error, list_error_occurrences, change_error]
