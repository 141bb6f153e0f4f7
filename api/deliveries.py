"""Deliveries: `/v1/alerts/deliveries`, the messages about alerts and what became of them.

Takes   the filters status and rule; the id of a dead message.
Gives   the messages of the key's own lake, the last one first; a dead one tried again.
Refuses unknown messages (404), and to try again what is not dead or is old news (400).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, get_args

from litestar import Request, Response, post, route
from litestar.openapi.spec import OpenAPIType, Schema

from lake.errors import InvalidParameter
from scheduler.alerts.delivery import DeliveryStatus
from scheduler.alerts.outbox import Outbox, RetryRefused

from .auth import authorized
from .delivery_answers import AlertDelivery, AlertDeliveryList, shown
from .paging import CURSOR, LIMIT
from .parameters import Parameters
from .problems import NotFound
from .reference import QUERY_ERRORS, described, path, query
from .row_pages import RowPages
from .state import Server

_STATUSES: tuple[DeliveryStatus, ...] = get_args(DeliveryStatus)
_ID = path("delivery_id", "id of the message", "^[A-Za-z0-9_]{1,64}$")


@route(
    "/v1/alerts/deliveries",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List messages about alerts",
    tags=["Alerts"],
    operation_class=described(
        "A page of the list",
        QUERY_ERRORS,
        answer=AlertDeliveryList,
        parameters=[
            query("status", ", ".join(_STATUSES), Schema(type=OpenAPIType.STRING, enum=list(_STATUSES))),
            query("rule_id", "only messages of this rule"),
            LIMIT,
            CURSOR,
        ],
    ),
)
async def list_alert_deliveries(request: Request[Any, Any, Any], server: Server) -> Response[AlertDeliveryList]:
    """Messages about alerts of the last 30 days and what became of them, the last one first."""
    principal = await authorized(request, server, "alerts")
    parameters = Parameters(request)
    status, rule_id = parameters.choice("status", _STATUSES), parameters.text("rule_id")
    pages = RowPages(server, principal, parameters, "deliveries", (status, rule_id))
    before = pages.after[0] if pages.after else None
    ask = partial(Outbox(server.control.engine).page, status=status, rule_id=rule_id, before=before, limit=pages.row_count)
    found = await asyncio.to_thread(ask, principal.project, principal.environment)
    page, more = pages.page(found, lambda one: [one.sequence])
    return Response(AlertDeliveryList(data=[shown(one) for one in page], **more))


@post(
    "/v1/alerts/deliveries/{delivery_id:str}/retry",
    status_code=200,
    summary="Try a dead message again",
    tags=["Alerts"],
    operation_class=described("The message, which is pending now", (400, 404), answer=AlertDelivery, parameters=[_ID]),
)
async def retry_alert_delivery(request: Request[Any, Any, Any], server: Server, delivery_id: str) -> Response[AlertDelivery]:
    """Try a dead message again, at once and for another day."""
    principal = await authorized(request, server, "alerts")
    retry = partial(Outbox(server.control.engine).retry, principal.project, principal.environment, delivery_id)
    try:
        found = await asyncio.to_thread(retry)
    except RetryRefused as error:
        raise InvalidParameter("delivery_id", str(error)) from error
    if found is None:
        raise NotFound(f"There is no message {delivery_id}")
    return Response(shown(found))


ROUTES = [list_alert_deliveries, retry_alert_delivery]
