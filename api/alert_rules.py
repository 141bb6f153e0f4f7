"""Alert rules: `/v1/alerts/rules`, what people want to be told of.

Takes   rules as docs/alerts.md says, changes of them, and the wish to try one.
Gives   the rules of the lake of the key, each with how it stands; what one would have said.
Refuses rules that cannot be judged, naming the field (400); rules of another lake are not there (404).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from litestar import Request, Response, delete, patch, post, put, route
from litestar.openapi.spec import OpenAPIType, Schema

from lake.control import Principal
from scheduler.alerts.backtest import MAX_HOURS, backtest
from scheduler.alerts.channels.channel import Channel, shown_channel
from scheduler.alerts.durations import text_of
from scheduler.alerts.records import StoredRule
from scheduler.alerts.rules import Rule, rule_of, shown

from .alert_answers import (
    AlertRule,
    AlertRuleChange,
    AlertRuleList,
    AlertRuleRequest,
    AlertRuleTest,
    DeletedAlertRule,
    given,
    rule_fields,
    tested,
)
from .alerts import place_of, store_of
from .auth import authorized
from .json_body import read_json
from .paging import CURSOR, LIMIT
from .parameters import Parameters
from .problems import NotFound
from .reference import QUERY_ERRORS, described, path, query
from .row_pages import RowPages
from .state import Server
from .times import microseconds

_ID = path("rule_id", "id of the rule", "^rule_[0-9a-f]{12}$")


@route(
    "/v1/alerts/rules",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="List alert rules",
    tags=["Alerts"],
    operation_class=described("A page of the list", QUERY_ERRORS, answer=AlertRuleList, parameters=[LIMIT, CURSOR]),
)
async def list_alert_rules(request: Request[Any, Any, Any], server: Server) -> Response[AlertRuleList]:
    """The rules of the lake, the oldest first."""
    principal = await authorized(request, server, "alerts")
    pages = RowPages(server, principal, Parameters(request), "alert_rules")
    after = (pages.after[0], pages.after[1]) if pages.after else None
    store, place = store_of(server), place_of(principal)
    found = await asyncio.to_thread(partial(store.rules, place, after=after, limit=pages.row_count))
    page, more = pages.page(found, lambda rule: [microseconds(rule.created_at), rule.id])
    alerts = await asyncio.to_thread(store.alerts, place, [rule.id for rule in page])
    return Response(AlertRuleList(data=[rule_fields(rule, alerts.get(rule.id, {})) for rule in page], **more))


@post(
    "/v1/alerts/rules",
    status_code=201,
    summary="Make an alert rule",
    tags=["Alerts"],
    operation_class=described("The rule", status=201, body=AlertRuleRequest, answer=AlertRule),
)
async def create_alert_rule(request: Request[Any, Any, Any], server: Server) -> Response[AlertRule]:
    """A rule, which is judged every minute from now on."""
    principal = await authorized(request, server, "alerts")
    rule = rule_of(given(await read_json(request, server, AlertRuleRequest)))
    made = await asyncio.to_thread(store_of(server).create, place_of(principal), rule)
    return Response(rule_fields(made, {}))


@route(
    "/v1/alerts/rules/{rule_id:str}",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="One alert rule",
    tags=["Alerts"],
    operation_class=described("The rule", (404,), answer=AlertRule, parameters=[_ID]),
)
async def get_alert_rule(request: Request[Any, Any, Any], server: Server, rule_id: str) -> Response[AlertRule]:
    """A rule and how it stands."""
    principal = await authorized(request, server, "alerts")
    return Response(await _shown(server, principal, await _rule(server, principal, rule_id)))


@put(
    "/v1/alerts/rules/{rule_id:str}",
    status_code=200,
    summary="Replace an alert rule",
    tags=["Alerts"],
    operation_class=described("The rule as it is now", (404,), body=AlertRuleRequest, answer=AlertRule, parameters=[_ID]),
)
async def replace_alert_rule(request: Request[Any, Any, Any], server: Server, rule_id: str) -> Response[AlertRule]:
    """Put a rule in the place of another one; what fires goes on until the new condition is judged."""
    principal = await authorized(request, server, "alerts")
    wanted = given(await read_json(request, server, AlertRuleRequest))
    return Response(await _changed(server, principal, rule_id, wanted, keep=False))


@patch(
    "/v1/alerts/rules/{rule_id:str}",
    status_code=200,
    summary="Change an alert rule",
    tags=["Alerts"],
    operation_class=described("The rule as it is now", (404,), body=AlertRuleChange, answer=AlertRule, parameters=[_ID]),
)
async def change_alert_rule(request: Request[Any, Any, Any], server: Server, rule_id: str) -> Response[AlertRule]:
    """Change some fields of a rule. One that is switched off is not judged, and resolves what fires."""
    principal = await authorized(request, server, "alerts")
    wanted = given(await read_json(request, server, AlertRuleChange))
    return Response(await _changed(server, principal, rule_id, wanted, keep=True))


@delete(
    "/v1/alerts/rules/{rule_id:str}",
    status_code=200,
    summary="Delete an alert rule",
    tags=["Alerts"],
    operation_class=described("It is gone", (404,), answer=DeletedAlertRule, parameters=[_ID]),
)
async def delete_alert_rule(request: Request[Any, Any, Any], server: Server, rule_id: str) -> Response[DeletedAlertRule]:
    """Delete a rule and resolve what fires; its history stays."""
    principal = await authorized(request, server, "alerts")
    remove = partial(store_of(server).delete, place_of(principal), rule_id, by=principal.key_id)
    if not await asyncio.to_thread(remove):
        raise _not_found(rule_id)
    return Response(DeletedAlertRule(id=rule_id, deleted=True))


@post(
    "/v1/alerts/rules/{rule_id:str}/test",
    status_code=200,
    summary="Try an alert rule",
    tags=["Alerts"],
    operation_class=described(
        "What it says",
        (400, 404),
        answer=AlertRuleTest,
        parameters=[
            _ID,
            query(
                "hours",
                f"how far back, 1 to {MAX_HOURS}, without it {MAX_HOURS}",
                Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_HOURS, default=MAX_HOURS),
            ),
        ],
    ),
)
async def try_alert_rule(request: Request[Any, Any, Any], server: Server, rule_id: str) -> Response[AlertRuleTest]:
    """What the rule says now, and the alerts of the last hours if it had been there. Nobody is told."""
    principal = await authorized(request, server, "alerts")
    hours = Parameters(request).number("hours", lowest=1, highest=MAX_HOURS) or MAX_HOURS
    rule = await _rule(server, principal, rule_id)
    lake = (await server.tenants.of(principal)).lake
    found = await server.tenants.ask(lambda: backtest(rule, lake, hours=hours, now=dt.datetime.now(dt.UTC)))
    return Response(tested(rule, found))


async def _changed(
    server: Server, principal: Principal, rule_id: str, wanted: Mapping[str, Any], *, keep: bool
) -> AlertRule:
    """A rule with other content.

    Args:
        keep: whether what is absent stays as it was.
    """
    change = partial(store_of(server).change, place_of(principal), rule_id, lambda known: _with(known, wanted, keep=keep))
    changed = await asyncio.to_thread(change)
    if changed is None:
        raise _not_found(rule_id)
    return await _shown(server, principal, changed)


def _with(known: StoredRule, wanted: Mapping[str, Any], *, keep: bool) -> Rule:
    """A rule as somebody wants it."""
    fields = {**_fields(known.rule), **wanted} if keep else dict(wanted)
    if "channels" in wanted:
        fields["channels"] = _own(wanted["channels"], known.rule.channels)
    return rule_of(fields)


def _own(wanted: Sequence[object], known: Sequence[Channel]) -> list[object]:
    """Channels that come back as they were shown stay what they are, secret and all.

    Several may be shown alike, for only the ends of their secrets are: they are told apart by their order while all come
    back, and otherwise not at all, so that what is shown is refused.
    """
    found = []
    for place, said in enumerate(wanted):
        alike = [channel.to_json() for channel in known if shown_channel(channel) == said]
        found.append(alike[wanted[:place].count(said)] if len(alike) == wanted.count(said) else said)
    return found


def _fields(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "condition": shown(rule.condition),
        "channels": [channel.to_json() for channel in rule.channels],
        "severity": rule.severity,
        "enabled": rule.enabled,
        "repeat_interval": text_of(rule.repeat_s),
    }


async def _rule(server: Server, principal: Principal, rule_id: str) -> StoredRule:
    """
    Raises:
        NotFound: there is none for this key.
    """
    found = await asyncio.to_thread(store_of(server).find, place_of(principal), rule_id)
    if found is None:
        raise _not_found(rule_id)
    return found


async def _shown(server: Server, principal: Principal, rule: StoredRule) -> AlertRule:
    alerts = await asyncio.to_thread(store_of(server).alerts, place_of(principal), [rule.id])
    return rule_fields(rule, alerts.get(rule.id, {}))


def _not_found(rule_id: str) -> NotFound:
    return NotFound(f"There is no rule {rule_id}")


ROUTES = [
    list_alert_rules, create_alert_rule, get_alert_rule, replace_alert_rule, change_alert_rule, delete_alert_rule,
    try_alert_rule,
]  # fmt: skip
