"""Alerts: `/v1/alerts`, what stands badly now, its history, and silences; the rules are in `api.alert_rules`.

Takes   filters and pages; the key of an alert; a silence to add or end.
Gives   the alerts, events and silences of the lake of the key.
Refuses what belongs to another lake or is not there (404), a silence that ends before it begins (400).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import partial
from typing import Any

from litestar import Request, Response, delete, post, route
from litestar.openapi.spec import OpenAPIType, Schema

from lake.control import Principal
from lake.control.nodes import Place
from lake.errors import InvalidParameter
from scheduler.alerts.outbox import enqueue
from scheduler.alerts.records import Silence, StoredAlert, StoredRule, new_id
from scheduler.alerts.states import STATES
from scheduler.alerts.store import AlertStore

from .alert_answers import (
    Alert,
    AlertEventList,
    AlertList,
    AlertSilence,
    AlertSilenceList,
    SilenceRequest,
    alert_fields,
    event_fields,
    silence_fields,
)
from .auth import authorized
from .json_body import read_json
from .paging import CURSOR, LIMIT, window
from .parameters import Parameters, parse_time
from .problems import NotFound
from .reference import QUERY_ERRORS, described, path, query, time_query
from .row_pages import RowPages
from .state import Server
from .times import iso, microseconds, time_of_microseconds

_SILENCE = path("silence_id", "id of the silence", "^silence_[0-9a-f]{12}$")
_WORST_FIRST = {name: rank for rank, name in enumerate(STATES)}
_DAY = dt.timedelta(days=1)


def store_of(server: Server) -> AlertStore:
    """The alerts of the server's control database."""
    return AlertStore(server.control.engine, enqueue)


def place_of(principal: Principal) -> Place:
    """The lake of a key."""
    return Place(principal.project, principal.environment)


@route(
    "/v1/alerts",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List alerts",
    tags=["Alerts"],
    operation_class=described(
        "A page of the list",
        QUERY_ERRORS,
        answer=AlertList,
        parameters=[
            query("state", ", ".join(STATES), Schema(type=OpenAPIType.STRING, enum=list(STATES))),
            query("rule_id", "only alerts of this rule"),
            LIMIT,
            CURSOR,
        ],
    ),
)
async def list_alerts(request: Request[Any, Any, Any], server: Server) -> Response[AlertList]:
    """How every series of every rule stands now, the worst first; without `state` all but those that are ok."""
    principal = await authorized(request, server, "alerts")
    parameters = Parameters(request)
    state, rule_id = parameters.choice("state", STATES), parameters.text("rule_id")
    pages = RowPages(server, principal, parameters, "alerts", (state, rule_id))
    every = await asyncio.to_thread(_alerts, server, place_of(principal))
    wanted = [
        (_position(alert), rule, alert)
        for rule, alert in every
        if (alert.state.name == state if state else alert.state.name != "ok") and rule_id in (None, rule.id)
    ]
    found = sorted((one for one in wanted if pages.after is None or one[0] > pages.after), key=lambda one: one[0])
    page, more = pages.page(found, lambda one: one[0])
    return Response(AlertList(data=[alert_fields(rule, alert) for _, rule, alert in page], **more))


def _alerts(server: Server, place: Place) -> list[tuple[StoredRule, StoredAlert]]:
    store = store_of(server)
    rules = {rule.id: rule for rule in store.rules(place)}
    return [(rules[name], one) for name, some in store.alerts(place).items() if name in rules for one in some.values()]


def _position(alert: StoredAlert) -> list[Any]:
    """Where an alert stands in the list: by state, the newest first."""
    return [_WORST_FIRST[alert.state.name], -microseconds(alert.state.since), alert.key]


@post(
    "/v1/alerts/{alert_key:str}/acknowledge",
    status_code=200,
    summary="Acknowledge an alert",
    tags=["Alerts"],
    operation_class=described(
        "The alert as it is now", (404,), answer=Alert, parameters=[path("alert_key", "key of the alert", "^[0-9a-f]{32}$")]
    ),
)
async def acknowledge_alert(request: Request[Any, Any, Any], server: Server, alert_key: str) -> Response[Alert]:
    """Somebody looks after an alert that fires: its channels are told so, and not reminded of it. It ends as any other."""
    principal = await authorized(request, server, "alerts")
    acknowledge = partial(store_of(server).acknowledge, place_of(principal), alert_key, by=principal.key_id)
    found = await asyncio.to_thread(acknowledge)
    if found is None:
        raise NotFound(f"No alert {alert_key} fires")
    return Response(alert_fields(*found))


@route(
    "/v1/alerts/events",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="History of alerts",
    tags=["Alerts"],
    operation_class=described(
        "A page of the list",
        QUERY_ERRORS,
        answer=AlertEventList,
        parameters=[
            query("rule_id", "only changes of alerts of this rule"),
            time_query("start_time", "begin of the window, without it a day before its end"),
            time_query("end_time", "end of the window, without it now"),
            LIMIT,
            CURSOR,
        ],
    ),
)
async def list_alert_events(request: Request[Any, Any, Any], server: Server) -> Response[AlertEventList]:
    """Changes of alerts in a window, the newest first; those of rules that are gone too. They are kept for 90 days."""
    principal = await authorized(request, server, "alerts")
    parameters = Parameters(request)
    rule_id = parameters.text("rule_id")
    pages = RowPages(server, principal, parameters, "alert_events", (rule_id,))
    if pages.after:
        *times, event_id = pages.after
        since, until, _ = map(time_of_microseconds, times)
        before = (times[-1], event_id)
    else:
        now = dt.datetime.now(dt.UTC)
        wanted = window(parameters.time("start_time"), parameters.time("end_time"), default=_DAY, now=now)
        since, until, before = wanted.since, wanted.until, None
    ask = partial(store_of(server).events, place_of(principal), since=since, until=until, rule_id=rule_id, before=before)
    found = await asyncio.to_thread(partial(ask, limit=pages.row_count))
    page, more = pages.page(found, lambda one: [*map(microseconds, (since, until, one.at)), one.id])
    answer = AlertEventList(data=list(map(event_fields, page)), **more, start_time=iso(since), end_time=iso(until))
    return Response(answer)


@route(
    "/v1/alerts/silences",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List silences",
    tags=["Alerts"],
    operation_class=described("A page of the list", QUERY_ERRORS, answer=AlertSilenceList, parameters=[LIMIT, CURSOR]),
)
async def list_silences(request: Request[Any, Any, Any], server: Server) -> Response[AlertSilenceList]:
    """Silences, the newest first; those that are over too, for 90 days."""
    principal = await authorized(request, server, "alerts")
    pages = RowPages(server, principal, Parameters(request), "alert_silences")
    after = (pages.after[0], pages.after[1]) if pages.after else None
    ask = partial(store_of(server).silences, place_of(principal), after=after, limit=pages.row_count)
    page, more = pages.page(await asyncio.to_thread(ask), lambda one: [microseconds(one.created_at), one.id])
    now = dt.datetime.now(dt.UTC)
    return Response(AlertSilenceList(data=[silence_fields(one, now) for one in page], **more))


@post(
    "/v1/alerts/silences",
    status_code=201,
    summary="Silence alerts",
    tags=["Alerts"],
    operation_class=described("The silence", status=201, body=SilenceRequest, answer=AlertSilence),
)
async def create_silence(request: Request[Any, Any, Any], server: Server) -> Response[AlertSilence]:
    """Nobody is told of alerts until a time; what still fires then is told then. Rules are judged all the while."""
    principal = await authorized(request, server, "alerts")
    wanted = await read_json(request, server, SilenceRequest)
    now = dt.datetime.now(dt.UTC)
    silence = Silence(
        id=new_id("silence"),
        place=place_of(principal),
        rule_id=wanted.rule_id or None,
        labels=wanted.labels or {},
        comment=wanted.comment,
        created_by=principal.key_id,
        created_at=now,
        starts_at=parse_time("starts_at", wanted.starts_at) if wanted.starts_at else now,
        ends_at=parse_time("ends_at", wanted.ends_at),
    )
    if silence.ends_at <= max(now, silence.starts_at):
        raise InvalidParameter("ends_at", "Parameter 'ends_at' must lie after now and after 'starts_at'")
    return Response(silence_fields(await asyncio.to_thread(store_of(server).silence, silence), now))


@delete(
    "/v1/alerts/silences/{silence_id:str}",
    status_code=200,
    summary="End a silence",
    tags=["Alerts"],
    operation_class=described(
        "The silence, which is over",
        (404,),
        answer=AlertSilence,
        parameters=[_SILENCE],
    ),
)
async def end_silence(request: Request[Any, Any, Any], server: Server, silence_id: str) -> Response[AlertSilence]:
    """End a silence now; it stays in the list. Once more changes nothing."""
    principal = await authorized(request, server, "alerts")
    found = await asyncio.to_thread(store_of(server).end_silence, place_of(principal), silence_id)
    if found is None:
        raise NotFound(f"There is no silence {silence_id}")
    return Response(silence_fields(found, dt.datetime.now(dt.UTC)))


ROUTES = [list_alerts, acknowledge_alert, list_alert_events, list_silences, create_silence, end_silence]
