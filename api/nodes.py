"""Nodes: `/v1/nodes`, the processes that collect spans for a project.

Takes   the filters cluster and status; what a collector says of itself; labels and draining.
Gives   the server's own processes and the project's collectors, each with the traffic of the project alone.
Refuses to change the server's own processes, which other projects use too (403); unknown nodes (404).

A collector becomes a node by the header X-Mesh-Node-Id of what it sends, or by `POST /v1/nodes`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
from functools import partial
from typing import Any

from litestar import Request, Response, delete, patch, post, route
from litestar.openapi.spec import OpenAPIType, Schema

from lake.control import Principal
from lake.control.nodes import STATUSES, Description, Node, Place, status
from lake.errors import ControlError, InvalidParameter
from lake.storage import storage

from .auth import authorized
from .json_body import read_json
from .node_answers import (
    CollectorNode,
    CollectorNodeDetail,
    CollectorNodeList,
    ForgottenNode,
    NodeChange,
    NodeHeartbeat,
    NodeRegistration,
    NodeView,
    description,
)
from .paging import CURSOR, LIMIT
from .parameters import Parameters
from .problems import Forbidden, NotFound
from .reference import QUERY_ERRORS, described, path, query
from .row_pages import RowPages
from .state import Server

_ID = path("node_id", "id of the node", "^[A-Za-z0-9_.:-]{1,64}$")


@route(
    "/v1/nodes",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List nodes",
    tags=["Nodes"],
    operation_class=described(
        "A page of the list",
        QUERY_ERRORS,
        answer=CollectorNodeList,
        parameters=[
            query("cluster", "only nodes of this cluster"),
            query("status", ", ".join(STATUSES), Schema(type=OpenAPIType.STRING, enum=list(STATUSES))),
            LIMIT,
            CURSOR,
        ],
    ),
)
async def list_nodes(request: Request[Any, Any, Any], server: Server) -> Response[CollectorNodeList]:
    """The server's own processes and the project's collectors, by name."""
    principal = await authorized(request, server, "read")
    parameters = Parameters(request)
    cluster, wanted = parameters.text("cluster"), parameters.choice("status", STATUSES)
    pages = RowPages(server, principal, parameters, "nodes", (cluster, wanted))
    view = await _view(server, principal)
    found = [
        node
        for node in await asyncio.to_thread(server.control.nodes.of, view.place)
        if cluster in (None, node.cluster)
        and wanted in (None, status(node.last_heartbeat_at, view.now))
        and [node.name, node.id] > (pages.after or [])
    ]
    page, more = pages.page(found, lambda node: [node.name, node.id])
    return Response(CollectorNodeList(data=[CollectorNode(**view.fields(node)) for node in page], **more))


@route(
    "/v1/nodes/{node_id:str}",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="One node",
    tags=["Nodes"],
    operation_class=described("The node", (*QUERY_ERRORS, 404), answer=CollectorNodeDetail, parameters=[_ID]),
)
async def get_node(request: Request[Any, Any, Any], server: Server, node_id: str) -> Response[CollectorNodeDetail]:
    """One node with its settings and its traffic of the last hour by minute."""
    principal = await authorized(request, server, "read")
    node = await _node(server, principal, node_id)
    return Response((await _view(server, principal)).detail(node))


@post(
    "/v1/nodes",
    status_code=201,
    summary="Register a collector",
    tags=["Nodes"],
    operation_class=described("The node", status=201, body=NodeRegistration, answer=CollectorNodeDetail),
)
async def register_node(request: Request[Any, Any, Any], server: Server) -> Response[CollectorNodeDetail]:
    """A collector presents itself; once more changes what it says. Registering is a heartbeat."""
    principal = await _collector(request, server)
    said = await read_json(request, server, NodeRegistration)
    node_id = said.node_id or f"node_{secrets.token_hex(6)}"
    return Response(await _beat(server, principal, node_id, description(said)))


@post(
    "/v1/nodes/{node_id:str}/heartbeat",
    status_code=200,
    summary="Heartbeat of a collector",
    tags=["Nodes"],
    operation_class=described(
        "The node, and whether it shall drain", (404,), body=NodeHeartbeat, answer=CollectorNodeDetail, parameters=[_ID]
    ),
)
async def beat_node(request: Request[Any, Any, Any], server: Server, node_id: str) -> Response[CollectorNodeDetail]:
    """A collector is alive, and says how it does."""
    principal = await _collector(request, server)
    said = await read_json(request, server, NodeHeartbeat)
    _require_own(await _node(server, principal, node_id))
    return Response(await _beat(server, principal, node_id, description(said)))


@patch(
    "/v1/nodes/{node_id:str}",
    status_code=200,
    summary="Manage a collector",
    tags=["Nodes"],
    operation_class=described(
        "The node as it is now", (404,), body=NodeChange, answer=CollectorNodeDetail, parameters=[_ID]
    ),
)
async def change_node(request: Request[Any, Any, Any], server: Server, node_id: str) -> Response[CollectorNodeDetail]:
    """Name, cluster and labels of a collector, and whether it shall drain, which its next heartbeat tells it."""
    principal = await authorized(request, server, "admin")
    change = await read_json(request, server, NodeChange)
    _require_own(await _node(server, principal, node_id))
    apply = partial(server.control.nodes.change, _place(principal), node_id, description(change))
    changed = await asyncio.to_thread(apply)
    if changed is None:
        raise _not_found(node_id)
    return Response((await _view(server, principal)).detail(changed))


@delete(
    "/v1/nodes/{node_id:str}",
    status_code=200,
    summary="Forget a collector",
    tags=["Nodes"],
    operation_class=described("It is not known any more", (404,), answer=ForgottenNode, parameters=[_ID]),
)
async def forget_node(request: Request[Any, Any, Any], server: Server, node_id: str) -> Response[ForgottenNode]:
    """Forget a collector and its traffic; what it sent stays. If it sends again, it is a new node."""
    principal = await authorized(request, server, "admin")
    _require_own(await _node(server, principal, node_id))
    if not await asyncio.to_thread(server.control.nodes.forget, _place(principal), node_id):
        raise _not_found(node_id)
    return Response(ForgottenNode(node_id=node_id, deleted=True))


async def _view(server: Server, principal: Principal) -> NodeView:
    place, nodes = _place(principal), server.control.nodes
    tenant = await server.tenants.of(principal)
    stored = await server.tenants.ask(lambda: storage(tenant.lake.snapshot()))
    totals, minutes = await asyncio.gather(asyncio.to_thread(nodes.traffic, place), asyncio.to_thread(nodes.minutes, place))
    return NodeView(place, dt.datetime.now(dt.UTC), totals, minutes, stored)


def _place(principal: Principal) -> Place:
    return Place(principal.project, principal.environment)


async def _collector(request: Request[Any, Any, Any], server: Server) -> Principal:
    """Who speaks for a collector.

    Raises:
        Forbidden: a key that may only send, which under `/v1` is OTLP alone, or that may not send.
    """
    principal = await authorized(request, server, "ingest")
    if principal.kind == "ingest":
        raise Forbidden("an ingest key may only send: use a live key with the scope 'ingest', or the header X-Mesh-Node-Id")
    return principal


async def _node(server: Server, principal: Principal, node_id: str) -> Node:
    """
    Raises:
        NotFound: there is none for this key.
    """
    node = await asyncio.to_thread(server.control.nodes.find, _place(principal), node_id)
    if node is None:
        raise _not_found(node_id)
    return node


def _require_own(node: Node) -> None:
    """
    Raises:
        Forbidden: it is a process of the server, which serves other projects too.
    """
    if node.place.is_server:
        raise Forbidden(f"{node.id} is a process of the server itself: it is managed where the server runs")


def _not_found(node_id: str) -> NotFound:
    return NotFound(f"There is no node {node_id}")


async def _beat(server: Server, principal: Principal, node_id: str, said: Description) -> CollectorNodeDetail:
    """
    Raises:
        InvalidParameter: there is no room for another collector, or the id is taken.
    """
    place = _place(principal)
    try:
        await asyncio.to_thread(server.control.nodes.beat, place, node_id, "collector", said)
    except ControlError as error:
        raise InvalidParameter("node_id", str(error)) from error
    return (await _view(server, principal)).detail(await _node(server, principal, node_id))


ROUTES = [list_nodes, get_node, register_node, beat_node, change_node, forget_node]
