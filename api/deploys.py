"""Deploys: `GET /v1/deploys`, `GET /v1/deploys/{deploy_id}` and `GET /v1/deploys/{deploy_id}/impact`.

Takes   service, environment, start_time, end_time, limit, cursor.
Gives   deploys, newest first, each with the one before it; what one of them did.
Refuses parameters outside their limits (400), unknown ids (404).
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from litestar import Request, Response, route
from litestar.openapi.spec import OpenAPIType, Schema

import lake
from lake.analysis.windows import WIDTH_MIN

from . import paging
from .auth import authorized
from .deploy_answers import Deploy, DeployList, deploy
from .impact_answers import DeployImpact, impact
from .paging import Page, Pager
from .parameters import Parameters
from .problems import NotFound
from .reference import QUERY_ERRORS, described, path, query, time_query
from .state import Server
from .times import microseconds, time_of_microseconds

_DEFAULT_WINDOW = dt.timedelta(days=7)

_LIST_PARAMETERS = (
    query("service", "only deploys of this service, and those of every service"),
    query("environment", "only deploys to this environment"),
    time_query("start_time", "ISO 8601; without it 7 days before end_time"),
    time_query("end_time", "ISO 8601, not included; without it now"),
    paging.LIMIT,
    paging.CURSOR,
)


@route(
    "/v1/deploys",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List deploys",
    tags=["Deploys"],
    operation_class=described(
        "A page of the list", QUERY_ERRORS, answer=DeployList, parameters=_LIST_PARAMETERS, snapshot=True
    ),
)
async def list_deploys(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Deploys in a window, newest first."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    parameters = Parameters(request)
    service, environment = parameters.text("service"), parameters.text("environment")
    pager = Pager(server, principal, "deploys", (service, environment))
    asked = paging.asked(parameters)
    page = pager.page(asked, default=_DEFAULT_WINDOW, now=dt.datetime.now(dt.UTC))
    snapshot, rows = await server.tenants.ask(partial(_rows, tenant.lake, page, service, environment))
    content = pager.answer(
        page, snapshot, rows, position=lambda row: (microseconds(row["deployed_at"]), row["id"]), item=deploy
    )
    return Response(DeployList(**content), headers={"X-Lake-Snapshot": snapshot})


def _rows(lake: lake.Lake, page: Page, service: str | None, environment: str | None) -> tuple[str, list[dict[str, Any]]]:
    """The snapshot and one deploy more than the page shows."""
    at = page.pinned(lake)
    found = at.deploy_page(
        since=page.window.since,
        until=page.window.until,
        service=service,
        environment=environment,
        limit=page.limit + 1,
        before=None if page.after is None else (time_of_microseconds(page.after[0]), page.after[1]),
    )
    return at.snapshot().token, found.rows()


@route(
    "/v1/deploys/{deploy_id:str}",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="One deploy",
    tags=["Deploys"],
    operation_class=described(
        "The deploy",
        (*QUERY_ERRORS, 404),
        answer=Deploy,
        parameters=[path("deploy_id", "id of a deploy: deploy_ and 20 hexadecimal digits")],
        snapshot=True,
    ),
)
async def get_deploy(request: Request[Any, Any, Any], server: Server, deploy_id: str) -> Response[Any]:
    """One deploy, with the one before it of the same service and environment."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    return await server.tenants.ask(partial(_shown, tenant.lake, deploy_id))


def _shown(lake: lake.Lake, deploy_id: str) -> Response[Any]:
    snapshot = lake.snapshot()
    at = lake.at(snapshot)
    found = at.deploy(deploy_id)
    if found is None:
        raise NotFound(f"There is no deploy {deploy_id}")
    return Response(deploy(found), headers={"X-Lake-Snapshot": snapshot.token})


_WIDTHS = ("15", "60", "240")


@route(
    "/v1/deploys/{deploy_id:str}/impact",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="What a deploy did",
    tags=["Deploys"],
    operation_class=described(
        "The report",
        (*QUERY_ERRORS, 404),
        answer=DeployImpact,
        parameters=[
            path("deploy_id", "id of a deploy: deploy_ and 20 hexadecimal digits"),
            query(
                "window",
                f"minutes that are compared on each side, without it {WIDTH_MIN}",
                Schema(type=OpenAPIType.STRING, enum=list(_WIDTHS), default=str(WIDTH_MIN)),
            ),
        ],
        snapshot=True,
    ),
)
async def get_deploy_impact(request: Request[Any, Any, Any], server: Server, deploy_id: str) -> Response[Any]:
    """Effect, interval and verdict for each endpoint of its service, and the errors that are new."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    width = Parameters(request).choice("window", _WIDTHS) or str(WIDTH_MIN)
    return await server.tenants.ask(partial(_impact, tenant.lake, deploy_id, int(width)))


def _impact(lake: lake.Lake, deploy_id: str, width_min: int) -> Response[Any]:
    snapshot = lake.snapshot()
    found = lake.at(snapshot).impact(deploy_id, width_min=width_min)
    if found is None:
        raise NotFound(f"There is no deploy {deploy_id}")
    return Response(impact(found), headers={"X-Lake-Snapshot": snapshot.token})


ROUTES = [list_deploys, get_deploy, get_deploy_impact]
