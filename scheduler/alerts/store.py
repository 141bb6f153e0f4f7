"""Store: rules, alerts, their history and silences in the control database.

Takes   the engine of the control database (`lake.control.Control.engine`).
Gives   what a lake's rules are and how its alerts stand; changes to them, each with the messages that follow from it in one
        transaction.
Refuses more than `MAX_RULES` rules or `MAX_SILENCES` silences of a lake (`InvalidParameter`). While the database cannot be
        read or written it raises `Overloaded`: the client shall come back.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, Engine, Table, bindparam, delete, func, insert, select, tuple_, update

from lake.control.access import changing, reading, to_us
from lake.control.alert_tables import alert_events, alert_rules, alert_silences, alert_states
from lake.control.nodes import Place
from lake.errors import InvalidParameter

from .channels.channel import Channel
from .judgement import Judged, end_all, redirected
from .messages import event, message
from .minute_counts import Series
from .notifications import Notification, Reason
from .records import (
    Event,
    Origin,
    Silence,
    StoredAlert,
    StoredRule,
    alert_values,
    event_of,
    event_values,
    known_us,
    new_id,
    rule_values,
    silence_of,
    silence_values,
    stored_alert,
    stored_rule,
)
from .rule_files import Change, plan
from .rules import Rule
from .states import ACTIVE, StateName

MAX_RULES = 1_000
"""Rules of one lake."""
MAX_SILENCES = 1_000
"""Silences of one lake that are not over."""

EVENTS_KEPT = dt.timedelta(days=90)

Enqueue = Callable[[Connection, Notification, Sequence[Channel], dt.datetime], None]
"""Puts a message into the outbox, in the transaction of the change that it is about."""


class AlertStore:
    """The alerts of one control database. Safe for use by several threads and processes."""

    def __init__(
        self, engine: Engine, enqueue: Enqueue, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    ) -> None:
        self._engine = engine
        self._enqueue = enqueue
        self._now = now

    def counts(self, place: Place | None = None) -> dict[StateName, int]:
        """How many alerts there are in each state, of one lake or of all.

        Args:
            place: None counts those of every lake.
        """
        query = select(alert_states.c.state, func.count()).join_from(alert_states, alert_rules)
        if place is not None:
            query = query.where(*_of(alert_rules, place))
        with reading(self._engine) as connection:
            rows = connection.execute(query.group_by(alert_states.c.state)).all()
        return {state: count for state, count in rows}  # noqa: C416 - rows are no pairs to mypy

    # Rules

    def create(self, place: Place, rule: Rule, *, origin: Origin = "api") -> StoredRule:
        """
        Raises:
            InvalidParameter: the lake has too many rules.
        """
        with changing(self._engine) as connection:
            return create_rule(connection, place, rule, origin=origin, now=self._now())

    def rules(self, place: Place, *, after: tuple[int, str] | None = None, limit: int | None = None) -> list[StoredRule]:
        """The rules of a lake, the oldest first.

        Args:
            after: creation in microseconds and id of a rule; only those that come after it.
        """
        query = select(alert_rules).where(*_of(alert_rules, place)).limit(limit)
        query = query.order_by(alert_rules.c.created_at_us, alert_rules.c.id)
        if after is not None:
            query = query.where(tuple_(alert_rules.c.created_at_us, alert_rules.c.id) > after)
        with reading(self._engine) as connection:
            return [stored_rule(row) for row in connection.execute(query)]

    def find(self, place: Place, rule_id: str) -> StoredRule | None:
        """One rule, None if the lake has no such one."""
        with reading(self._engine) as connection:
            return find_rule(connection, place, rule_id)

    def change(self, place: Place, rule_id: str, rule: Callable[[StoredRule], Rule]) -> StoredRule | None:
        """Change a rule; None if there is none. One that is switched off ends its alerts.

        Args:
            rule: what it shall be, from what it is.
        """
        with changing(self._engine) as connection:
            known = find_rule(connection, place, rule_id)
            return change_rule(connection, known, rule(known), now=self._now(), enqueue=self._enqueue) if known else None

    def delete(self, place: Place, rule_id: str, *, by: str | None = None) -> bool:
        """Delete a rule and end its alerts; whether there was one. Its history stays.

        Args:
            by: id of the key that asks.
        """
        with changing(self._engine) as connection:
            known = find_rule(connection, place, rule_id)
            if known is not None:
                delete_rule(connection, known, now=self._now(), enqueue=self._enqueue, by=by)
        return known is not None

    def apply(self, place: Place, rules: Sequence[Rule]) -> list[Change]:
        """Make the rules of a lake those of a file, all of them or none.

        Returns:
            What was done.

        Raises:
            InvalidParameter: the lake has too many rules, or several of a name that the file has.
        """
        with changing(self._engine) as connection:
            query = (
                select(alert_rules).where(*_of(alert_rules, place)).order_by(alert_rules.c.created_at_us, alert_rules.c.id)
            )
            changes = plan(rules, [stored_rule(row) for row in connection.execute(query)])
            for change in changes:
                if change.known is not None and change.rule is None:
                    delete_rule(connection, change.known, now=self._now(), enqueue=self._enqueue, by=None)
            for change in changes:
                if change.rule is not None and change.known is None:
                    create_rule(connection, place, change.rule, origin="file", now=self._now())
                elif change.rule is not None and change.known is not None and change.fields:
                    change_rule(connection, change.known, change.rule, now=self._now(), enqueue=self._enqueue, origin="file")
        return changes

    # Alerts

    def alerts(self, place: Place, rule_ids: Sequence[str] | None = None) -> dict[str, dict[Series, StoredAlert]]:
        """The alerts of a lake, by rule and series.

        Args:
            rule_ids: only of these.
        """
        with reading(self._engine) as connection:
            return alerts_of(
                connection, [*_of(alert_rules, place), *([] if rule_ids is None else [alert_rules.c.id.in_(rule_ids)])]
            )

    def acknowledge(self, place: Place, key: str, *, by: str) -> tuple[StoredRule, StoredAlert] | None:
        """Somebody looks after an alert that fires: its channels are told, and not reminded any more.

        Once more changes nothing.

        Returns:
            None if no alert of the lake with this key fires.
        """
        with changing(self._engine) as connection:
            wanted = [*_of(alert_rules, place), alert_states.c.alert_key == key]
            found = [alert for alerts in alerts_of(connection, wanted).values() for alert in alerts.values()]
            if not found or found[0].state.name not in ACTIVE:
                return None
            [alert] = found
            rule = find_rule(connection, place, alert.rule_id)
            assert rule is not None  # noqa: S101 - the alert was found through it
            if alert.acknowledged_at is None:
                alert = replace(alert, acknowledged_at=self._now(), acknowledged_by=by)
                self._note_acknowledged(connection, rule, alert)
            return rule, alert

    def _note_acknowledged(self, connection: Connection, rule: StoredRule, alert: StoredAlert) -> None:
        _write_alerts(connection, [alert], is_new=False)
        said = event(
            rule, alert, alert.state.name, "acknowledged", self._now(), value=alert.state.value, by=alert.acknowledged_by
        )
        connection.execute(insert(alert_events).values(event_values(said)))
        if alert.notified_at is not None:
            told = message(rule, alert, "acknowledged", state=alert.state, reason=alert.state.reason)
            self._enqueue(connection, told, rule.rule.channels, self._now())

    # History and silences

    def events(
        self,
        place: Place,
        *,
        since: dt.datetime,
        until: dt.datetime,
        rule_id: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> list[Event]:
        """What happened in `[since, until)`, newest first.

        Args:
            before: time in microseconds and id of an event; only those that come after it in the list.
        """
        at = alert_events.c.at_us
        query = select(alert_events).where(*_of(alert_events, place), at >= to_us(since), at < to_us(until))
        if rule_id is not None:
            query = query.where(alert_events.c.rule_id == rule_id)
        if before is not None:
            query = query.where(tuple_(at, alert_events.c.id) < before)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(at.desc(), alert_events.c.id.desc()).limit(limit)).all()
        return [event_of(row) for row in rows]

    def silence(self, silence: Silence) -> Silence:
        """Add a silence.

        Raises:
            InvalidParameter: the lake has too many, or it names a rule that is not there.
        """
        with changing(self._engine) as connection:
            if silence.rule_id is not None and find_rule(connection, silence.place, silence.rule_id) is None:
                raise InvalidParameter("rule_id", f"rule_id: there is no rule {silence.rule_id}")
            of_lake = (*_of(alert_silences, silence.place), alert_silences.c.ends_at_us > to_us(self._now()))
            count = _count(connection, alert_silences, of_lake)
            if count >= MAX_SILENCES:
                raise InvalidParameter(
                    "ends_at", f"{count} silences are not over yet, the limit is {MAX_SILENCES}: end some"
                )
            connection.execute(insert(alert_silences).values(silence_values(silence)))
        return silence

    def silences(self, place: Place, *, after: tuple[int, str] | None = None, limit: int | None = None) -> list[Silence]:
        """The silences of a lake, the newest first, those that are over too."""
        created = alert_silences.c.created_at_us
        query = select(alert_silences).where(*_of(alert_silences, place)).limit(limit)
        if after is not None:
            query = query.where(tuple_(created, alert_silences.c.id) < after)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(created.desc(), alert_silences.c.id.desc())).all()
        return [silence_of(row) for row in rows]

    def end_silence(self, place: Place, silence_id: str) -> Silence | None:
        """End a silence now, if it is not over yet; None if there is none."""
        wanted = (*_of(alert_silences, place), alert_silences.c.id == silence_id)
        now_us = to_us(self._now())
        with changing(self._engine) as connection:
            running = alert_silences.c.ends_at_us > now_us
            connection.execute(update(alert_silences).where(*wanted, running).values(ends_at_us=now_us))
            row = connection.execute(select(alert_silences).where(*wanted)).one_or_none()
        return silence_of(row) if row else None

    # The sweep

    def watched(self) -> tuple[list[StoredRule], dict[str, dict[Series, StoredAlert]], list[Silence]]:
        """Every rule that is switched on, every alert, and the silences that are not over."""
        with reading(self._engine) as connection:
            return watched(connection, self._now())

    def write(self, found: Sequence[Judged]) -> list[Judged]:
        """Write what became of rules, with their messages, in one transaction.

        Returns:
            What was written: not that of a rule which somebody changed, or another process judged, since it was read.
        """
        with changing(self._engine) as connection:
            current, acknowledged = _versions(connection), _acknowledged(connection)
            written = [one for one in found if _is_current(one, current, acknowledged)]
            _write_rules(connection, [one.rule for one in written])
            alerts = [(alert, series in one.known) for one in written for series, alert in one.alerts.items()]
            for is_new in (False, True):
                _write_alerts(connection, [alert for alert, is_known in alerts if is_known != is_new], is_new=is_new)
            for one in written:
                _write_rest(connection, one, self._enqueue, self._now())
        return written

    def forget_old(self) -> None:
        """Forget history and silences that are over for so long that nobody is shown them any more."""
        oldest_us = to_us(self._now() - EVENTS_KEPT)
        with changing(self._engine) as connection:
            connection.execute(delete(alert_events).where(alert_events.c.at_us < oldest_us))
            connection.execute(delete(alert_silences).where(alert_silences.c.ends_at_us < oldest_us))


def create_rule(connection: Connection, place: Place, rule: Rule, *, origin: Origin, now: dt.datetime) -> StoredRule:
    """
    Raises:
        InvalidParameter: the lake has too many rules.
    """
    count = _count(connection, alert_rules, _of(alert_rules, place))
    if count >= MAX_RULES:
        raise InvalidParameter("name", f"there are {count} rules already, the limit is {MAX_RULES}: delete some")
    made = StoredRule(new_id("rule"), place, rule, origin, version=1, created_at=now, updated_at=now)
    names = {"id": made.id, "project": place.project, "environment": place.environment, "origin": origin, "version": 1}
    times = {"created_at_us": to_us(now), "updated_at_us": to_us(now)}
    row = connection.execute(insert(alert_rules).values(names | times | rule_values(rule)).returning(*alert_rules.c)).one()
    return stored_rule(row)


def find_rule(connection: Connection, place: Place, rule_id: str) -> StoredRule | None:
    """One rule of a lake."""
    wanted = select(alert_rules).where(*_of(alert_rules, place), alert_rules.c.id == rule_id)
    row = connection.execute(wanted).one_or_none()
    return stored_rule(row) if row else None


def change_rule(
    connection: Connection,
    known: StoredRule,
    rule: Rule,
    *,
    now: dt.datetime,
    enqueue: Enqueue,
    origin: Origin | None = None,
) -> StoredRule:
    """Give a rule another content.

    Alerts of series that it does not have any more would never be judged by what they are about, so they end here. One that
    is switched on begins anew: what was when it was off is not judged.
    """
    if known.rule.enabled and not rule.enabled:
        _end(connection, known, "rule_disabled", now=now, enqueue=enqueue, by=None)
    elif known.rule.condition.grouping != rule.condition.grouping:
        _end(connection, known, "missing_series", now=now, enqueue=enqueue, by=None)
    else:
        alerts = alerts_of(connection, [alert_rules.c.id == known.id]).get(known.id, {})
        for said, channels in redirected(known, rule, alerts, now):
            enqueue(connection, said, channels, now)
    begins = {"evaluated_to_us": None} if rule.enabled and not known.rule.enabled else {}
    values = (
        rule_values(rule)
        | begins
        | {"updated_at_us": to_us(now), "version": known.version + 1, "origin": origin or known.origin}
    )
    changed = update(alert_rules).where(alert_rules.c.id == known.id).values(values).returning(*alert_rules.c)
    return stored_rule(connection.execute(changed).one())


def delete_rule(connection: Connection, known: StoredRule, *, now: dt.datetime, enqueue: Enqueue, by: str | None) -> None:
    """Delete a rule and end its alerts."""
    _end(connection, known, "rule_deleted", now=now, enqueue=enqueue, by=by)
    connection.execute(delete(alert_rules).where(alert_rules.c.id == known.id))


def _end(
    connection: Connection, known: StoredRule, reason: Reason, *, now: dt.datetime, enqueue: Enqueue, by: str | None
) -> None:
    alerts = alerts_of(connection, [alert_rules.c.id == known.id]).get(known.id, {})
    _write_rest(connection, end_all(known, alerts, reason, now, by=by), enqueue, now)


def alerts_of(connection: Connection, wanted: Sequence[ColumnElement[bool]]) -> dict[str, dict[Series, StoredAlert]]:
    """Alerts by rule and series.

    Args:
        wanted: conditions on `alert_rules` and `alert_states`.
    """
    query = select(alert_states).join(alert_rules, alert_rules.c.id == alert_states.c.rule_id).where(*wanted)
    found: dict[str, dict[Series, StoredAlert]] = defaultdict(dict)
    for row in connection.execute(query):
        alert = stored_alert(row)
        found[alert.rule_id][alert.series] = alert
    return dict(found)


def watched(
    connection: Connection, now: dt.datetime
) -> tuple[list[StoredRule], dict[str, dict[Series, StoredAlert]], list[Silence]]:
    """Every rule that is switched on, every alert, and the silences that are not over."""
    rows = connection.execute(select(alert_rules).where(alert_rules.c.enabled).order_by(alert_rules.c.id)).all()
    running = select(alert_silences).where(alert_silences.c.ends_at_us > to_us(now))
    silences = [silence_of(row) for row in connection.execute(running)]
    return [stored_rule(row) for row in rows], alerts_of(connection, [alert_rules.c.enabled]), silences


def _versions(connection: Connection) -> dict[str, tuple[int, int | None]]:
    """Version and end of the last window of every rule; others have to wait until the transaction ends.

    Only a sweep changes the states of alerts, and with them the end of the last window of their rule.
    """
    columns = (alert_rules.c.id, alert_rules.c.version, alert_rules.c.evaluated_to_us)
    rows = connection.execute(select(*columns).where(alert_rules.c.enabled).with_for_update())
    return {row.id: (row.version, row.evaluated_to_us) for row in rows}


def _acknowledged(connection: Connection) -> dict[str, set[str]]:
    """The alerts of each rule that somebody looks after, which people may say at any time."""
    found: dict[str, set[str]] = defaultdict(set)
    columns = (alert_states.c.rule_id, alert_states.c.alert_key)
    for row in connection.execute(select(*columns).where(alert_states.c.acknowledged_at_us.is_not(None))):
        found[row.rule_id].add(row.alert_key)
    return found


def _is_current(one: Judged, current: Mapping[str, tuple[int, int | None]], acknowledged: Mapping[str, set[str]]) -> bool:
    """Whether a rule and its alerts are still those that were judged."""
    known = {alert.key for alert in one.known.values() if alert.acknowledged_at is not None}
    was = (one.was.version, known_us(one.was.evaluated_to))
    return current.get(one.was.id) == was and acknowledged.get(one.was.id, set()) == known


def _write_rules(connection: Connection, rules: Sequence[StoredRule]) -> None:
    names = ("evaluated_to_us", "last_value", "last_evaluated_at_us", "last_triggered_at_us", "last_error")
    if rules:
        change = (
            update(alert_rules).where(alert_rules.c.id == bindparam("_id")).values({n: bindparam(f"_{n}") for n in names})
        )
        connection.execute(
            change,
            [
                {
                    "_id": rule.id,
                    "_evaluated_to_us": known_us(rule.evaluated_to),
                    "_last_value": rule.last_value,
                    "_last_evaluated_at_us": known_us(rule.last_evaluated_at),
                    "_last_triggered_at_us": known_us(rule.last_triggered_at),
                    "_last_error": rule.last_error,
                }
                for rule in rules
            ],
        )


def _write_alerts(connection: Connection, alerts: Sequence[StoredAlert], *, is_new: bool) -> None:
    if not alerts:
        return
    values = [alert_values(alert) for alert in alerts]
    if is_new:
        connection.execute(insert(alert_states), values)
        return
    keys = ("rule_id", "alert_key")
    change = update(alert_states).where(*(alert_states.c[name] == bindparam(f"_{name}") for name in keys))
    others = [name for name in values[0] if name not in keys]
    change = change.values({name: bindparam(f"_{name}") for name in others})
    connection.execute(change, [{f"_{name}": value for name, value in row.items()} for row in values])


def _write_rest(connection: Connection, judged: Judged, enqueue: Enqueue, now: dt.datetime) -> None:
    """What became of a rule beside its states: alerts that are gone, history, messages."""
    if judged.gone:
        gone = [alert.key for alert in judged.gone]
        of_rule = alert_states.c.rule_id == judged.rule.id
        connection.execute(delete(alert_states).where(of_rule, alert_states.c.alert_key.in_(gone)))
    if judged.events:
        connection.execute(insert(alert_events), [event_values(one) for one in judged.events])
    for one in judged.messages:
        enqueue(connection, one, judged.rule.rule.channels, now)


def _of(table: Table, place: Place) -> tuple[ColumnElement[bool], ...]:
    return table.c.project == place.project, table.c.environment == place.environment


def _count(connection: Connection, table: Table, wanted: Sequence[ColumnElement[bool]]) -> int:
    found: int = connection.execute(select(func.count()).select_from(table).where(*wanted)).scalar_one()
    return found
