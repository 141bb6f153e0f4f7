"""From spans to messages: what rules say of traffic, minute by minute, through restarts, silences and changes."""

import datetime as dt
from dataclasses import replace

import pytest

from lake.errors import InvalidParameter
from scheduler.alerts.records import Silence, new_id
from scheduler.alerts.rules import rule_of, shown
from scheduler.open_lakes import OpenLakes
from tests.lake.rows import span, trace_id
from tests.lake.spans import START
from tests.scheduler.alerts.house import MINUTE, PLACE, said


def test_a_slow_service_fires_and_is_resolved(house):
    rule = house.rule(service="orders", **{"for": "1m"})
    for minute in range(8):
        house.requests(minute, ms=500 if 3 <= minute < 5 else 10)
    house.deploys(2.5, service_name="orders", version="v2", git_sha="abc")
    house.deploys(3.5, service_name="other")
    assert [said(house.at(minute)) for minute in range(2, 9)] == [
        [], [], [], [("firing", {"service": "orders"})], [], [("resolved", {"service": "orders"})], [],
    ]  # fmt: skip
    firing, resolved = (message for message, _ in house.messages)
    assert (firing.metric, firing.unit, firing.threshold, firing.window_s) == ("latency_p95", "ms", 100, 120)
    assert firing.value == pytest.approx(500, rel=0.01)
    assert firing.started_at == resolved.started_at == START + 4 * MINUTE
    assert (firing.ended_at, resolved.ended_at) == (None, START + 7 * MINUTE)
    assert firing.deploy == resolved.deploy
    assert (firing.deploy.version, firing.deploy.git_sha, firing.deploy.deployed_at) == ("v2", "abc", START + 2.5 * MINUTE)
    assert firing.trace_id == resolved.trace_id
    assert firing.id != resolved.id
    assert firing.alert_key == resolved.alert_key
    assert house.history() == [("ok", "pending"), ("pending", "firing"), ("firing", "ok")]
    [stored] = house.store.rules(PLACE)
    assert (stored.id, stored.evaluated_to, stored.last_triggered_at) == (rule.id, START + 8 * MINUTE, START + 5 * MINUTE)
    assert stored.last_value == pytest.approx(10, rel=0.01)


def test_an_example_trace_is_like_those_that_the_alert_is_about(house):
    house.rule("slow", service="orders")
    house.rule("slowest", metric="latency_max", service="orders")
    house.rule("failing", metric="error_rate", threshold=0.01, service="orders")
    house.rule("busy", metric="request_count", threshold=5, service="orders")
    usual = [(number, number, 200, "unset") for number in range(100)]  # trace, seconds after the start, ms, status
    requests = [
        span(trace, start_ns=at_s * 10**9, duration_ns=ms * 10**6, status=status, kind="server", service_name="orders")
        for trace, at_s, ms, status in [*usual, (201, 5, 60_000, "unset"), (202, 6, 3_000, "error"), (203, 7, 10, "error")]
    ]
    house.landing.put("spans", *requests)
    example = {message.rule_name: message.trace_id for message in house.at(2)}
    assert example["slow"] in {trace_id(number) for number in range(100)}
    assert example["slowest"] == example["busy"] == trace_id(201)
    assert example["failing"] == trace_id(203)


def test_a_restart_changes_nothing(house):
    house.rule(service="orders", **{"for": "2m"})
    for minute in range(10):
        house.requests(minute, ms=500 if 2 <= minute < 6 else 10)
    found = []
    for minute in (2, 3, 3, 6, 9, 9, 10):
        house.sweep.close()
        house.sweep = house.new_sweep()
        found += said(house.at(minute))
    assert [status for status, _ in found] == ["firing", "resolved"]
    assert house.history() == [("ok", "pending"), ("pending", "firing"), ("firing", "ok")]


def test_a_sweep_that_is_killed_before_it_writes_is_done_again(house, monkeypatch):
    house.rule(service="orders")
    house.requests(1, ms=500)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(house.store, "_enqueue", killed)
        with pytest.raises(KeyboardInterrupt):
            house.at(2)
    assert house.states() == {}
    assert said(house.at(2)) == [("firing", {"service": "orders"})]


def test_two_schedulers_tell_it_once(house):
    house.rule(service="orders")
    house.requests(1, ms=500)
    other = house.new_sweep()
    write = house.store.write

    def after_the_other(found):
        house.store.write = write
        other.run()
        return write(found)

    house.store.write = after_the_other
    assert said(house.at(2)) == [("firing", {"service": "orders"})]
    assert house.history() == [("ok", "firing")]
    other.close()


def test_a_rule_that_is_changed_while_its_windows_are_read_waits_for_the_next_sweep(house):
    rule = house.rule(service="orders")
    other = {"metric": "latency_p95", "threshold": 9999, "window": "2m"}
    house.requests(1, ms=500)
    write = house.store.write

    def after_a_change(found):
        changed = rule_of({"name": "other", "condition": other, "channels": ["slack"]})
        house.store.change(PLACE, rule.id, lambda known: changed)
        house.store.write = write
        return write(found)

    house.store.write = after_a_change
    assert house.at(2) == []
    assert house.at(3) == []
    assert house.states() == {"other": "ok"}


@pytest.mark.parametrize(
    ("group_by", "expected"),
    [("service", {"slow orders": "firing", "slow users": "ok"}),
     ("endpoint", {"slow orders GET /a": "firing", "slow orders GET /b": "ok", "slow users GET /c": "ok"})],
)  # fmt: skip
def test_a_rule_has_one_alert_for_each_series(house, group_by, expected):
    house.rule(group_by=group_by)
    for route, ms, service in (("/a", 500, "orders"), ("/b", 10, "orders"), ("/c", 10, "users")):
        house.requests(1, ms=ms, service=service, http_method="GET", http_route=route)
    messages = house.at(2)
    assert len(messages) == 1
    assert messages[0].labels["service"] == "orders"
    assert house.states() == expected


def test_a_series_that_is_gone_while_others_go_on_ends_its_alert(house):
    house.rule(group_by="service")
    house.requests(1, ms=500)
    house.requests(1, ms=10, service="users")
    house.requests(3, ms=10, service="users")
    assert said(house.at(2)) == [("firing", {"service": "orders"})]
    [resolved] = house.at(4)
    assert (resolved.status, resolved.reason) == ("resolved", "missing_series")
    assert house.states() == {"slow users": "ok"}


def test_without_any_series_alerts_stay_as_they_are(house):
    house.rule(group_by="service")
    house.requests(1, ms=500)
    house.at(2)
    assert house.at(5) == []
    assert house.states() == {"slow orders": "firing"}


def test_too_few_requests_are_no_data(house):
    house.rule(service="orders", min_requests=11)
    house.requests(1, count=10, ms=500)
    assert house.at(2) == []
    assert house.states() == {"slow": "no_data"}
    house.requests(2, count=1, ms=500)
    assert [status for status, _ in said(house.at(3))] == ["firing"]


def test_silence_of_one_service_is_a_value_and_silence_of_the_lake_is_none(house):
    house.rule("quiet", metric="request_count", operator="<", threshold=5, service="orders")
    house.requests(0)
    house.requests(3, service="users")
    assert house.at(2) == []
    assert said(house.at(4)) == [("firing", {"service": "orders"})]
    assert house.at(8) == []
    assert house.states() == {"quiet": "firing"}
    house.requests(9)
    assert [status for status, _ in said(house.at(10))] == ["resolved"]


def test_a_lake_that_was_never_written_has_no_data(house, tmp_path):
    house.control.create_project("empty")
    rule = {
        "name": "a",
        "condition": {"metric": "span_count", "operator": "<", "threshold": 5, "window": "5m"},
        "channels": ["email"],
    }
    place = type(PLACE)("empty", "sandbox")
    house.store.create(place, rule_of(rule))
    assert house.at(5) == []
    assert [a.state.name for alerts in house.store.alerts(place).values() for a in alerts.values()] == ["no_data"]


def test_a_lake_that_cannot_be_read_is_an_error_of_its_rules_and_of_no_others(house):
    house.rule(service="orders")
    house.requests(1)
    house.absorb()
    house.at(2)
    for file in house.folder.rglob("endpoint_minutes/**/*.parquet"):
        file.write_bytes(b"damaged")
    house.control.create_project("other")
    place = type(PLACE)("other", "live")
    other = {"name": "o", "condition": {"metric": "error_count", "threshold": 5, "window": "5m"}, "channels": ["email"]}
    house.store.create(place, rule_of(other))
    house.sweep.close()
    house.sweep = house.new_sweep()
    house.at(3)
    assert house.states() == {"slow": "error"}
    [rule] = house.store.rules(PLACE)
    assert rule.last_error == "the lake cannot be read (LakeCorrupt); the server's log has more"  # and no path of a file
    assert house.store.rules(place)[0].last_error is None


def test_a_fault_that_nobody_foresaw_in_one_lake_stops_no_rule_of_another(house, monkeypatch):
    house.rule(service="orders")
    house.requests(1, ms=500)
    house.control.create_project("aaa")
    house.store.create(type(PLACE)("aaa", "live"), house.store.rules(PLACE)[0].rule)
    known = OpenLakes.of

    def fails(lakes, place):
        if place != PLACE:
            raise ZeroDivisionError
        return known(lakes, place)

    monkeypatch.setattr(OpenLakes, "of", fails)
    assert said(house.at(2)) == [("firing", {"service": "orders"})]
    [other] = house.store.rules(type(PLACE)("aaa", "live"))
    assert (other.evaluated_to, "ZeroDivisionError" in (other.last_error or "")) == (START + 2 * MINUTE, True)


SILENCE = Silence(new_id("silence"), PLACE, None, {}, "", "me", START, starts_at=START, ends_at=START + 4 * MINUTE)


@pytest.mark.parametrize("labels", [{}, {"service": "orders"}, {"severity": "warning"}])
def test_what_still_fires_after_a_silence_is_told_then(house, labels):
    house.rule(service="orders")
    house.store.silence(replace(SILENCE, labels=labels))
    for minute in range(6):
        house.requests(minute, ms=500)
    assert [len(house.at(minute)) for minute in range(2, 7)] == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("known", [{"labels": {"service": "users"}}, {"starts_at": START + 3 * MINUTE}])
def test_a_silence_of_something_else_is_none(house, known):
    house.rule(service="orders")
    house.store.silence(replace(SILENCE, **known))
    house.requests(1, ms=500)
    assert len(house.at(2)) == 1


def test_what_was_never_told_is_not_resolved_either(house):
    house.rule(service="orders")
    house.store.silence(SILENCE)
    house.requests(0, ms=500)
    house.requests(2)
    assert [len(house.at(minute)) for minute in (1, 3, 4)] == [0, 0, 0]
    assert house.history() == [("ok", "firing"), ("firing", "ok")]


def test_an_alert_that_goes_on_is_told_again_unless_somebody_looks_after_it(house):
    rule = rule_of({
        "name": "slow", "condition": {"metric": "latency_max", "threshold": 100, "window": "2m"}, "channels": ["slack"],
        "repeat_interval": "2m",
    })  # fmt: skip
    house.store.create(PLACE, rule)
    for minute in range(12):
        house.requests(minute, ms=500)
    assert [len(house.at(minute)) for minute in range(2, 7)] == [1, 0, 1, 0, 1]
    [[alert]] = [alerts.values() for alerts in house.store.alerts(PLACE).values()]
    house.store.acknowledge(PLACE, alert.key, by="mtk_live_1")
    house.store.acknowledge(PLACE, alert.key, by="mtk_live_2")
    assert [message.status for message, _ in house.messages[3:]] == ["acknowledged"]
    assert [len(house.at(minute)) for minute in range(7, 12)] == [0, 0, 0, 0, 0]
    assert house.history()[-1] == ("firing", "acknowledged")
    [[alert]] = [alerts.values() for alerts in house.store.alerts(PLACE).values()]
    assert alert.acknowledged_by == "mtk_live_1"
    assert [message.status for message in house.at(15)] == []
    assert house.store.acknowledge(PLACE, "0" * 32, by="me") is None


def test_a_rule_that_is_deleted_or_switched_off_resolves_its_alerts(house):
    rules = [house.rule(name, service="orders") for name in ("one", "two")]
    house.requests(1, ms=500)
    house.at(2)
    house.store.delete(PLACE, rules[0].id, by="mtk_live_1")
    off = {
        "name": "two",
        "condition": {"metric": "apdex", "threshold": 1, "window": "2m"},
        "channels": ["slack"],
        "enabled": False,
    }
    house.store.change(PLACE, rules[1].id, lambda known: rule_of(off))
    assert [(message.status, message.reason) for message, _ in house.messages[2:]] == [
        ("resolved", "rule_deleted"), ("resolved", "rule_disabled"),
    ]  # fmt: skip
    assert house.states() == {}
    assert house.at(3) == []


def with_condition(**condition):
    """A rule with another condition."""
    return lambda known: rule_of({"name": "slow", "condition": {"window": "2m"} | condition, "channels": ["slack"]})


@pytest.mark.parametrize(
    ("before", "after"),
    [({"group_by": "service"}, {}),
     ({"group_by": "service"}, {"group_by": "endpoint"}),
     ({"metric": "request_count", "operator": "<", "group_by": "service"},
      {"metric": "request_count", "operator": "<", "group_by": "service", "service": "users", "threshold": 15}),
     ({"query": "{ duration > 400ms } | count_over_time() by(service.name)", "metric": None, "threshold": 3}, {})],
)  # fmt: skip
def test_an_alert_ends_when_its_rule_has_no_such_series_any_more(house, before, after):
    rule = house.rule(**before)
    house.requests(1, ms=500)
    assert [status for status, _ in said(house.at(2))] == ["firing"]
    house.store.change(PLACE, rule.id, with_condition(**{"metric": "latency_p95", "threshold": 9999} | after))
    [(_, _), (resolved, _)] = house.messages
    assert (resolved.status, resolved.reason, resolved.labels) == ("resolved", "missing_series", house.messages[0][0].labels)
    house.requests(2, service="users", count=20)
    house.at(3)
    assert "firing" not in house.states().values()


def test_an_alert_goes_on_when_only_the_threshold_is_changed(house):
    rule = house.rule(group_by="service")
    house.requests(1, ms=500)
    house.at(2)
    house.store.change(PLACE, rule.id, with_condition(metric="latency_p95", threshold=200, group_by="service"))
    assert house.at(2.5) == []
    assert house.states() == {"slow orders": "firing"}


def test_channels_that_a_rule_loses_or_gets_while_it_fires_are_told(house):
    rule = house.rule(service="orders")
    house.requests(1, ms=500)
    house.at(2)
    channels = [{"type": "slack", "target": "#other"}, "email"]
    for given in (channels, channels, channels[1:]):
        body = {"name": "slow", "condition": shown(rule.rule.condition), "channels": given}
        house.store.change(PLACE, rule.id, lambda known, body=body: rule_of(body))
    told = [(message.status, [channel.to_json() for channel in channels]) for message, channels in house.messages[1:]]
    assert told == [
        ("resolved", [{"type": "slack"}]),
        ("firing", [channels[0], {"type": "email"}]),
        ("resolved", [channels[0]]),
    ]
    assert {message.reason for message, _ in house.messages if message.status == "resolved"} == {"channel_removed"}
    assert len({message.alert_key for message, _ in house.messages}) == 1
    assert house.states() == {"slow": "firing"}
    assert house.at(2.5) == []


def test_what_was_while_a_rule_was_off_is_not_judged(house):
    rule = house.rule(service="orders")
    for minute in range(12):
        house.requests(minute, ms=500 if 4 <= minute < 6 else 10)
    house.at(2)
    house.store.change(PLACE, rule.id, lambda known: replace(known.rule, enabled=False))
    house.at(9)
    house.store.change(PLACE, rule.id, lambda known: replace(known.rule, enabled=True))
    assert (house.at(12), house.history()) == ([], [])
    [stored] = house.store.rules(PLACE)
    assert (stored.evaluated_to, stored.last_triggered_at) == (START + 12 * MINUTE, None)


def test_an_hour_forward_and_back_brings_no_message(house):
    house.rule("slow", service="orders", **{"for": "5m"})
    house.rule("quiet", metric="request_count", operator="<", threshold=5, service="orders")
    house.rule("many", metric="request_count", threshold=1000, group_by="service")
    for minute in range(6):
        house.requests(minute, ms=500 if minute > 2 else 10)
    assert [house.at(minute) for minute in (4, 5, 6, 66)] == [[]] * 4
    assert house.at(6) == []
    house.requests(6, ms=500)
    assert house.at(7) == []
    assert house.states()["slow"] == "pending"


def test_three_days_without_a_scheduler_bring_no_storm(house):
    for number in range(5):
        house.rule(f"slow {number}", service="orders", **{"for": "5m"})
        house.rule(f"quiet {number}", metric="request_rate", operator="<", threshold=5)
    for minute in range(6):
        house.requests(minute, ms=500)
    assert house.at(3) == house.at(4) == []
    later = 3 * 24 * 60
    assert house.at(later) == []
    house.requests(later, ms=500)
    assert house.at(later + 1) == []
    assert {name: state for name, state in house.states().items() if state != "ok"} == {
        f"slow {number}": "pending" for number in range(5)
    }


def test_of_an_alert_that_began_and_ended_while_nobody_swept_both_are_told(house):
    house.rule(service="orders")
    for minute in range(12):
        house.requests(minute, ms=500 if 4 <= minute < 6 else 10)
    house.at(2)
    assert [message.status for message in house.at(12)] == ["firing", "resolved"]
    assert house.store.rules(PLACE)[0].last_triggered_at == START + 5 * MINUTE


def test_history_is_kept_for_ninety_days(house):
    house.rule(service="orders")
    house.requests(1, ms=500)
    house.at(2)
    house.requests(89 * 24 * 60)
    house.at(89 * 24 * 60 + 1)
    assert house.history() == [("ok", "firing"), ("firing", "ok")]
    house.store.forget_old()
    assert house.history() == [("ok", "firing"), ("firing", "ok")]
    house.at(91 * 24 * 60)
    house.store.forget_old()
    assert [after for _, after in house.history()] == ["ok"]
    assert house.now - START < dt.timedelta(days=92)


def test_silences_that_are_over_take_no_room_and_are_kept_for_ninety_days(house, monkeypatch):
    monkeypatch.setattr("scheduler.alerts.store.MAX_SILENCES", 1)
    first = house.store.silence(replace(SILENCE, ends_at=START + 9 * MINUTE))
    with pytest.raises(InvalidParameter, match="end some") as refused:
        house.store.silence(replace(SILENCE, id=new_id("silence")))
    assert refused.value.param == "ends_at"
    house.store.end_silence(PLACE, first.id)
    second = house.store.silence(replace(SILENCE, id=new_id("silence"), ends_at=START + 80 * 24 * 60 * MINUTE))
    house.now = START + 91 * 24 * 60 * MINUTE
    house.store.forget_old()
    assert [one.id for one in house.store.silences(PLACE)] == [second.id]


def test_a_project_goes_with_its_rules_and_all_that_belongs_to_them(house):
    house.rule(service="orders")
    house.store.silence(SILENCE)
    house.requests(1, ms=500)
    house.at(2)
    house.control.delete_project(PLACE.project, force=True)
    assert (house.store.rules(PLACE), house.store.silences(PLACE), house.history()) == ([], [], [])
    assert house.store.alerts(PLACE) == {}
    assert house.at(3) == []
