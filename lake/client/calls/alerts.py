"""Calls about alerts: rules, what fires, its history, silences. Every one needs the scope `alerts`."""

from __future__ import annotations

import datetime as dt
from typing import TypeVar

from ..call import JSON, Call, encoded, get, reader, segment, time
from ..models.alerts import (
    Alert,
    AlertEvent,
    AlertRule,
    AlertRuleChange,
    AlertRuleRequest,
    AlertRuleTest,
    AlertSilence,
    DeletedAlertRule,
    SilenceRequest,
)
from ..models.paging import Page
from ..retries import Repeat
from ..transport import Request

T = TypeVar("T")


def list_alert_rules(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[AlertRule]]:
    """One page of the rules, the oldest first.

    Args:
        limit: rules of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before.
    """
    return get("/v1/alerts/rules", Page[AlertRule], limit=limit, cursor=cursor)


def create_alert_rule(rule: AlertRuleRequest) -> Call[AlertRule]:
    """Make a rule, which is judged every minute from now on.

    Raises:
        BadRequest: it cannot be judged; `param` names the field.
    """
    return _said("POST", "/v1/alerts/rules", rule, AlertRule, Repeat.IF_REFUSED)


def get_alert_rule(rule_id: str) -> Call[AlertRule]:
    """A rule and how it stands.

    Raises:
        NotFound: there is no such rule.
    """
    return get(_rule(rule_id), AlertRule)


def replace_alert_rule(rule_id: str, rule: AlertRuleRequest) -> Call[AlertRule]:
    """Put a rule in the place of another one.

    Raises:
        NotFound: there is no such rule.
        BadRequest: it cannot be judged; `param` names the field.
    """
    return _said("PUT", _rule(rule_id), rule, AlertRule)


def change_alert_rule(rule_id: str, changes: AlertRuleChange) -> Call[AlertRule]:
    """Change some fields of a rule; a condition as a whole. One that is switched off resolves what fires.

    Raises:
        NotFound: there is no such rule.
        BadRequest: it cannot be judged; `param` names the field.
    """
    return _said("PATCH", _rule(rule_id), changes, AlertRule)


def delete_alert_rule(rule_id: str) -> Call[DeletedAlertRule]:
    """Delete a rule and resolve what fires; its history stays.

    Raises:
        NotFound: there is no such rule.
    """
    return Call(Request("DELETE", _rule(rule_id)), reader(DeletedAlertRule))


def try_alert_rule(rule_id: str, *, hours: int | None = None) -> Call[AlertRuleTest]:
    """What a rule says now, and the alerts of the last hours if it had been there. Nobody is told.

    Args:
        hours: how far back, 1 to 24; without it 24.

    Raises:
        NotFound: there is no such rule.
    """
    query = {} if hours is None else {"hours": str(hours)}
    return Call(Request("POST", f"{_rule(rule_id)}/test", query=query, repeat=Repeat.UNLESS_WORKING), reader(AlertRuleTest))


def list_alerts(
    *, state: str | None = None, rule_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[Alert]]:
    """One page of how every series of every rule stands now, the worst first.

    Args:
        state: `firing`, `recovering`, `pending`, `error`, `no_data` or `ok`; without it all but `ok`.
        rule_id: only alerts of this rule.
        limit: alerts of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    return get("/v1/alerts", Page[Alert], state=state, rule_id=rule_id, limit=limit, cursor=cursor)


def acknowledge_alert(alert_key: str) -> Call[Alert]:
    """Somebody looks after an alert that fires: its channels are told so, and not reminded of it.

    Raises:
        NotFound: no such alert fires.
    """
    return Call(Request("POST", f"/v1/alerts/{segment('alert_key', alert_key)}/acknowledge"), reader(Alert))


def list_alert_events(
    *,
    rule_id: str | None = None,
    start_time: dt.datetime | None = None,
    end_time: dt.datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[AlertEvent]]:
    """One page of the changes of alerts in a window, the newest first.

    Args:
        rule_id: only changes of alerts of this rule.
        start_time: without it a day before `end_time`.
        end_time: without it now.
        limit: changes of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    window = {"start_time": time("start_time", start_time), "end_time": time("end_time", end_time)}
    return get("/v1/alerts/events", Page[AlertEvent], rule_id=rule_id, limit=limit, cursor=cursor, **window)


def list_silences(*, limit: int | None = None, cursor: str | None = None) -> Call[Page[AlertSilence]]:
    """One page of the silences, the newest first, those that are over too.

    Args:
        limit: silences of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before.
    """
    return get("/v1/alerts/silences", Page[AlertSilence], limit=limit, cursor=cursor)


def create_silence(silence: SilenceRequest) -> Call[AlertSilence]:
    """Nobody is told of alerts until a time; what still fires then is told then.

    Raises:
        BadRequest: it ends before it begins, or names a rule that is not there.
    """
    return _said("POST", "/v1/alerts/silences", silence, AlertSilence, Repeat.IF_REFUSED)


def end_silence(silence_id: str) -> Call[AlertSilence]:
    """End a silence now.

    Raises:
        NotFound: there is no such silence.
    """
    return Call(Request("DELETE", f"/v1/alerts/silences/{segment('silence_id', silence_id)}"), reader(AlertSilence))


def _said(method: str, path: str, content: object, shape: type[T], repeat: Repeat = Repeat.ALWAYS) -> Call[T]:
    request = Request(method, path, headers={"Content-Type": JSON}, body=encoded(content), repeat=repeat)
    return Call(request, reader(shape))


def _rule(rule_id: str) -> str:
    return f"/v1/alerts/rules/{segment('rule_id', rule_id)}"
