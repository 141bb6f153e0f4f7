"""Services: `GET /v1/services`, `GET /v1/topology` and `GET /v1/endpoints`.

Takes   cluster and time_window (1h, 6h, 24h) of the reference; endpoints also service, environment, a window and a page.
Gives   the services with their health, the graph of who calls whom, and endpoints with their latencies.
Refuses other windows and parameters outside their limits (400).

All three read counts per minute, so the window begins and ends with whole minutes, and latencies are off by one percent at
most (docs/http-api.md).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, cast, get_args

from litestar import Request, Response, route
from litestar.openapi.spec import OpenAPIType, Schema
from msgspec import Meta

import lake
from lake.services import whole_minutes

from . import paging
from .answers import Answer, Listed, Timestamp
from .auth import authorized
from .paging import Page, Pager, Window
from .parameters import Parameters
from .reference import QUERY_ERRORS, described, query, time_query
from .state import Server
from .times import iso

TimeWindow = Literal["1h", "6h", "24h"]
NodeType = Literal["service", "database", "queue", "external"]

_WINDOWS: dict[TimeWindow, dt.timedelta] = {
    "1h": dt.timedelta(hours=1),
    "6h": dt.timedelta(hours=6),
    "24h": dt.timedelta(hours=24),
}
_DEFAULT_WINDOW: TimeWindow = "1h"

_CLUSTER = query("cluster", "only this cluster; spans that name none are of `default`")
_TIME_WINDOW = query(
    "time_window",
    "how far back from now",
    Schema(type=OpenAPIType.STRING, enum=list(get_args(TimeWindow)), default=_DEFAULT_WINDOW),
)
_ENDPOINT_PARAMETERS = (
    query("service", "only endpoints of this service"),
    query("environment", "only of this environment"),
    _CLUSTER,
    time_query("start_time", "ISO 8601; without it an hour before end_time"),
    time_query("end_time", "ISO 8601, not included; without it now"),
    paging.LIMIT,
    paging.CURSOR,
)


class Latency(Answer, kw_only=True, frozen=True):
    """How long calls took; null where there were none."""

    p50: float | None
    p95: float | None
    p99: float | None
    avg: float | None


class ServiceDeploy(Answer, kw_only=True, frozen=True):
    """The latest deploy of a service."""

    id: str
    version: str | None
    git_sha: str | None
    deployed_at: Timestamp


class Service(Answer, kw_only=True, frozen=True):
    """A service that had spans in the window."""

    name: str
    environments: list[str]
    clusters: list[str]
    versions: list[str]
    language: str | None
    first_seen_at: Annotated[Timestamp, Meta(description="First minute with spans in the window")]
    last_seen_at: Annotated[Timestamp, Meta(description="Last minute with spans in the window")]
    span_count: int
    request_count: Annotated[int, Meta(description="Spans of kind server or consumer, and roots")]
    error_count: Annotated[int, Meta(description="Requests that failed: status error, or a server's answer 5xx")]
    error_rate: Annotated[float, Meta(description="Share of the requests, 0 to 1", ge=0, le=1)]
    throughput_rpm: Annotated[float, Meta(description="Requests per minute of the window")]
    latency_ms: Annotated[Latency, Meta(description="Of requests")]
    operation_count: Annotated[int, Meta(description="Endpoints of any kind")]
    depends_on: Annotated[list[str], Meta(description="Ids of the nodes of the topology that it calls")]
    last_deploy: Annotated[ServiceDeploy | None, Meta(description="Its own, or one of all services")]


class ServiceList(Listed[Service], kw_only=True, frozen=True):
    """The services of a window, by name."""

    time_window: TimeWindow
    start_time: Timestamp
    end_time: Timestamp


class TopologyNode(Answer, kw_only=True, frozen=True):
    """A service, or what services call."""

    id: Annotated[str, Meta(description="The service's name, or db:, queue: or external: and a name")]
    name: str
    type: NodeType
    cluster: str
    request_count: Annotated[int, Meta(description="Requests to a service; calls to anything else")]
    error_count: int
    error_rate: Annotated[float, Meta(ge=0, le=1)]
    latency_ms: Latency


class TopologyEdge(Answer, kw_only=True, frozen=True):
    """Calls from one node to another."""

    source: str
    target: str
    call_count: int
    error_count: int
    error_rate: Annotated[float, Meta(ge=0, le=1)]
    latency_ms: Annotated[Latency, Meta(description="As the caller sees it; of messages, as the consumer does")]
    type: Literal["http", "rpc", "messaging", "database", "other"]
    inferred: Annotated[bool, Meta(description="There is no parent link; one span lies within the other")]


class TopologyAnswer(Answer, kw_only=True, frozen=True):
    """Who calls whom."""

    time_window: TimeWindow
    cluster: str | None
    start_time: Timestamp
    end_time: Timestamp
    generated_at: Timestamp
    nodes: list[TopologyNode]
    edges: list[TopologyEdge]


class Endpoint(Answer, kw_only=True, frozen=True):
    """What a service does, or calls."""

    service: str | None
    endpoint: Annotated[str, Meta(description="Method and route, else rpc or messaging operation, else the span's name")]
    kind: str
    is_request: Annotated[bool, Meta(description="Spans of it are requests to the service")]
    request_count: int
    error_count: int
    error_rate: Annotated[float, Meta(ge=0, le=1)]
    throughput_rpm: float
    latency_ms: Latency
    first_seen_at: Timestamp
    last_seen_at: Timestamp


class EndpointList(Listed[Endpoint], kw_only=True, frozen=True):
    """The endpoints of a window, by service, endpoint and kind."""

    start_time: Timestamp
    end_time: Timestamp


@route(
    "/v1/services",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List services",
    tags=["Services"],
    operation_class=described(
        "All services of the window", QUERY_ERRORS, answer=ServiceList, parameters=[_TIME_WINDOW, _CLUSTER], snapshot=True
    ),
)
async def list_services(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Services that had spans in a window, with what they depend on, by name."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    parameters = Parameters(request)
    name, window = _window(parameters, now=dt.datetime.now(dt.UTC))
    snapshot, services = await server.tenants.ask(partial(_services, tenant.lake, window, parameters.text("cluster")))
    answer = ServiceList(data=services, has_more=False, next_cursor=None, time_window=name, **_times(window))
    return Response(answer, headers={"X-Lake-Snapshot": snapshot})


@route(
    "/v1/topology",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="Service dependency graph",
    tags=["Services"],
    operation_class=described(
        "The graph", QUERY_ERRORS, answer=TopologyAnswer, parameters=[_CLUSTER, _TIME_WINDOW], snapshot=True
    ),
)
async def get_topology(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Which services call which, and what else they call: databases, queues, other addresses."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    parameters = Parameters(request)
    now = dt.datetime.now(dt.UTC)
    name, window = _window(parameters, now=now)
    cluster = parameters.text("cluster")
    snapshot, nodes, edges = await server.tenants.ask(partial(_topology, tenant.lake, window, cluster))
    answer = TopologyAnswer(
        time_window=name, cluster=cluster, generated_at=iso(now), nodes=nodes, edges=edges, **_times(window)
    )
    return Response(answer, headers={"X-Lake-Snapshot": snapshot})


@route(
    "/v1/endpoints",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List endpoints",
    tags=["Services"],
    operation_class=described(
        "A page of the list", QUERY_ERRORS, answer=EndpointList, parameters=_ENDPOINT_PARAMETERS, snapshot=True
    ),
)
async def list_endpoints(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """What services do and call, how often, how fast and how well; by service, endpoint and kind."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    parameters = Parameters(request)
    filters = {name: parameters.text(name) for name in ("service", "environment", "cluster")}
    pager = Pager(server, principal, "endpoints", list(filters.values()))
    asked = paging.asked(parameters)
    page = pager.page(asked, default=_WINDOWS[_DEFAULT_WINDOW], now=dt.datetime.now(dt.UTC))
    window = Window(*whole_minutes(page.window.since, page.window.until))
    snapshot, rows = await server.tenants.ask(partial(_endpoints, tenant.lake, page, filters))
    content = pager.answer(
        page,
        snapshot,
        rows,
        position=lambda row: (row["service_name"], row["endpoint"], row["kind"]),
        item=partial(_endpoint, minutes=_minutes(window)),
    )
    return Response(EndpointList(**content | _times(window)), headers={"X-Lake-Snapshot": snapshot})


def _window(parameters: Parameters, *, now: dt.datetime) -> tuple[TimeWindow, Window]:
    """The whole minutes of the window that a request names."""
    name = cast("TimeWindow", parameters.choice("time_window", _WINDOWS) or _DEFAULT_WINDOW)
    return name, Window(*whole_minutes(now - _WINDOWS[name], now))


def _services(lake: lake.Lake, window: Window, cluster: str | None) -> tuple[str, list[Service]]:
    at = lake.at(lake.snapshot())
    rows = at.services(since=window.since, until=window.until, cluster=cluster).rows()
    targets: dict[str, set[str]] = {}
    for edge in at.service_edges(since=window.since, until=window.until, cluster=cluster).rows():
        targets.setdefault(edge["source"], set()).add(edge["target"])
    deploys = at.deploys(until=window.until).rows()
    of_service: dict[str | None, ServiceDeploy] = {}
    for row in reversed(deploys):  # newest first
        of_service[row["service_name"]] = _deploy(row)
    return at.snapshot().token, [
        _service(row, sorted(targets.get(row["service_name"], ())), of_service, _minutes(window)) for row in rows
    ]


def _service(
    row: Mapping[str, Any], depends_on: list[str], deploys: Mapping[str | None, ServiceDeploy], minutes: float
) -> Service:
    known = [deploy for deploy in (deploys.get(row["service_name"]), deploys.get(None)) if deploy]
    return Service(
        name=row["service_name"],
        environments=row["environments"],
        clusters=row["clusters"],
        versions=row["versions"],
        language=row["sdk_language"],
        first_seen_at=iso(row["first_seen_at"]),
        last_seen_at=iso(row["last_seen_at"]),
        span_count=row["span_count"],
        request_count=row["request_count"],
        error_count=row["error_count"],
        error_rate=_rate(row["error_count"], row["request_count"]),
        throughput_rpm=row["request_count"] / minutes,
        latency_ms=_latency(row),
        operation_count=row["endpoint_count"],
        depends_on=depends_on,
        last_deploy=max(known, key=lambda deploy: deploy.deployed_at, default=None),
    )


def _deploy(row: Mapping[str, Any]) -> ServiceDeploy:
    return ServiceDeploy(id=row["id"], version=row["version"], git_sha=row["git_sha"], deployed_at=iso(row["deployed_at"]))


def _topology(lake: lake.Lake, window: Window, cluster: str | None) -> tuple[str, list[TopologyNode], list[TopologyEdge]]:
    at = lake.at(lake.snapshot())
    found = at.topology(since=window.since, until=window.until, cluster=cluster)
    nodes = [
        TopologyNode(
            id=row["id"],
            name=row["name"],
            type=row["type"],
            cluster=row["cluster"],
            request_count=row["request_count"],
            error_count=row["error_count"],
            error_rate=_rate(row["error_count"], row["request_count"]),
            latency_ms=_latency(row),
        )
        for row in found.nodes.to_pylist()
    ]
    edges = [
        TopologyEdge(
            source=row["source"],
            target=row["target"],
            call_count=row["call_count"],
            error_count=row["error_count"],
            error_rate=_rate(row["error_count"], row["call_count"]),
            latency_ms=_latency(row),
            type=row["type"],
            inferred=row["inferred"],
        )
        for row in found.edges.to_pylist()
    ]
    return at.snapshot().token, nodes, edges


def _endpoints(lake: lake.Lake, page: Page, filters: Mapping[str, str | None]) -> tuple[str, list[dict[str, Any]]]:
    """The snapshot and one row more than the page shows."""
    at = page.pinned(lake)
    after = None if page.after is None else (page.after[0], page.after[1], page.after[2])
    found = at.endpoints(since=page.window.since, until=page.window.until, limit=page.limit + 1, after=after, **filters)
    return at.snapshot().token, found.rows()


def _endpoint(row: Mapping[str, Any], *, minutes: float) -> Endpoint:
    return Endpoint(
        service=row["service_name"] or None,
        endpoint=row["endpoint"],
        kind=row["kind"],
        is_request=row["is_request"],
        request_count=row["request_count"],
        error_count=row["error_count"],
        error_rate=_rate(row["error_count"], row["request_count"]),
        throughput_rpm=row["request_count"] / minutes,
        latency_ms=_latency(row),
        first_seen_at=iso(row["first_seen_at"]),
        last_seen_at=iso(row["last_seen_at"]),
    )


def _latency(row: Mapping[str, Any]) -> Latency:
    return Latency(**{name: _milliseconds(row[f"{name}_ns"]) for name in ("p50", "p95", "p99", "avg")})


def _milliseconds(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _minutes(window: Window) -> float:
    return (window.until - window.since) / dt.timedelta(minutes=1)


def _times(window: Window) -> dict[str, str]:
    return {"start_time": iso(window.since), "end_time": iso(window.until)}


ROUTES = [list_services, get_topology, list_endpoints]
