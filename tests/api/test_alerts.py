"""Alert rules, alerts, their history and silences over HTTP."""

import datetime as dt
import re
from typing import Any

import pytest

from lake.control import Control
from lake.control.nodes import Place
from lake.settings import LakeSettings
from scheduler.alerts.outbox import enqueue
from scheduler.alerts.store import AlertStore
from scheduler.alerts.sweep import Sweep
from tests.api.clients import Client, span

CONDITION = {"metric": "latency_p99", "operator": ">", "threshold": 500, "window": "5m", "service": "checkout"}
RULE = {"name": "High p99 on checkout", "condition": CONDITION, "channels": ["slack", "pagerduty"]}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = {"type": "webhook", "target": "https://hooks.example.com/alerts/token", "secret": SECRET}


@pytest.fixture
def own(new_project):
    """A project of the test's own."""
    return new_project()


@pytest.fixture
def sweep(server):
    """A sweep of the server's rules, at once; whatever its scheduler has judged already it leaves as it is."""
    with Control(server.data) as control:
        sweep = Sweep(server.data, LakeSettings(), AlertStore(control.engine, enqueue))
        yield sweep.run
        sweep.close()


def made(client, **change):
    answer = client.post("/v1/alerts/rules", json=RULE | change)
    assert answer.status_code == 201, answer.text
    return answer.json()


def error(answer):
    content = answer.json()["error"]
    return answer.status_code, content["code"], content.get("param")


def slow(client, ms=900, service="checkout"):
    """Ten requests of two minutes ago."""
    start = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
    client.store(*(span("GET /pay", start=start, ms=ms, http_route="/pay") for _ in range(10)), service=service)


def test_a_rule_is_made_with_201_as_the_reference_shows(own):
    rule = made(own.live)
    assert re.fullmatch("rule_[0-9a-f]{12}", rule["id"])
    assert {name: rule[name] for name in RULE} == RULE
    assert (rule["severity"], rule["enabled"], rule["state"]) == ("warning", True, "ok")
    for name in ("last_value", "last_evaluated_at", "last_triggered_at"):
        assert rule[name] is None
    assert rule["created_at"] == rule["updated_at"]
    assert own.live.found(f"/v1/alerts/rules/{rule['id']}") == rule
    assert own.live.found("/v1/alerts/rules") == {"data": [rule], "has_more": False, "next_cursor": None}


def test_a_list_of_rules_has_pages(own):
    names = [made(own.live, name=f"rule {number}")["name"] for number in range(5)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = own.live.found("/v1/alerts/rules", limit=2, **cursor)
        found += [rule["name"] for rule in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == names
    assert own.test.refused("/v1/alerts/rules", **cursor) == (400, "invalid_cursor", "cursor")


def test_a_rule_is_changed_replaced_and_deleted(own):
    rule = made(own.live)
    path = f"/v1/alerts/rules/{rule['id']}"
    changed = own.live.patch(path, json={"severity": "critical", "enabled": False}).json()
    assert (changed["severity"], changed["enabled"], changed["condition"]) == ("critical", False, CONDITION)
    assert changed["updated_at"] > rule["updated_at"]
    other = {"metric": "error_rate", "operator": ">=", "threshold": 0.1, "window": "10m", "for": "2m", "group_by": "service"}
    replaced = own.live.put(path, json={"name": "errors", "condition": other, "channels": ["email"]}).json()
    assert (replaced["id"], replaced["name"], replaced["condition"]) == (rule["id"], "errors", other)
    assert (replaced["severity"], replaced["enabled"], replaced["channels"]) == ("warning", True, ["email"])
    assert own.live.delete(path).json() == {"id": rule["id"], "deleted": True}
    for method in ("GET", "DELETE"):
        assert error(own.live.request(method, path)) == (404, "not_found", None)
    assert error(own.live.patch(path, json={})) == (404, "not_found", None)
    assert error(own.live.put(path, json=RULE)) == (404, "not_found", None)
    assert error(own.live.post(f"{path}/test")) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"name": None}, "invalid_parameter", "name"),
        ({"name": ""}, "invalid_parameter", "name"),
        ({"channels": []}, "invalid_parameter", "channels"),
        ({"channels": ["sms"]}, "invalid_parameter", "channels[0]"),
        ({"severity": "bad"}, "invalid_parameter", "severity"),
        ({"colour": "red"}, "invalid_parameter", "colour"),
        ({"condition": {"metric": "apdex", "threshold": 1}}, "missing_parameter", "condition.window"),
        ({"condition": CONDITION | {"metric": "p97"}}, "invalid_parameter", "condition.metric"),
        ({"condition": CONDITION | {"window": "5"}}, "invalid_parameter", "condition.window"),
        ({"condition": CONDITION | {"operator": "="}}, "invalid_parameter", "condition.operator"),
        ({"condition": CONDITION | {"threshold": "5"}}, "invalid_parameter", "condition.threshold"),
        ({"condition": {"query": "{ status = ", "threshold": 1, "window": "5m"}}, "invalid_parameter", "condition.query"),
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_judged_is_refused_by_its_field(own, change, code, param):
    assert error(own.live.post("/v1/alerts/rules", json=RULE | change)) == (400, code, param)


@pytest.mark.parametrize("name", RULE)
def test_a_rule_needs_its_fields(own, name):
    rule = {field: value for field, value in RULE.items() if field != name}
    assert error(own.live.post("/v1/alerts/rules", json=rule)) == (400, "missing_parameter", name)


def test_a_secret_is_never_shown_and_stays_when_its_rule_comes_back(own, server):
    rule = made(own.live, channels=["slack", HOOK])
    assert HOOK["secret"] not in own.live.get("/v1/alerts/rules").text
    assert rule["channels"][0] == "slack"
    path = f"/v1/alerts/rules/{rule['id']}"
    back = {name: rule[name] for name in ("name", "condition", "channels")} | {"severity": "info"}
    assert own.live.put(path, json=back).json()["channels"] == rule["channels"]
    with Control(server.data) as control:
        [stored] = AlertStore(control.engine, enqueue).rules(place(own))
    assert stored.rule.channels[1].to_json() == HOOK


def test_channels_that_are_shown_alike_do_not_become_one(own, server):
    hooks = [{"type": "webhook", "target": f"https://{host}.example.com/alerts"} for host in "ab"]
    rule = made(own.live, channels=hooks)
    path = f"/v1/alerts/rules/{rule['id']}"
    assert rule["channels"][0] == rule["channels"][1]
    assert own.live.patch(path, json={"channels": [*rule["channels"], "slack"]}).status_code == 200
    with Control(server.data) as control:
        [stored] = AlertStore(control.engine, enqueue).rules(place(own))
    assert [channel.to_json() for channel in stored.rule.channels] == [*hooks, {"type": "slack"}]
    which = own.live.patch(path, json={"channels": rule["channels"][:1]})
    assert error(which) == (400, "invalid_parameter", "channels[0].target")


def place(own, environment="live"):
    return Place(own.name, environment)


def test_alerts_need_their_scope(own, server):
    with Control(server.data) as control:
        secret = control.create_key(own.name, "live", scopes=["read", "admin"]).secret
    with Client(server.url, secret) as reader:
        for path in ("/v1/alerts", "/v1/alerts/rules", "/v1/alerts/events", "/v1/alerts/silences"):
            assert reader.refused(path)[:2] == (403, "permission_denied")
        assert error(reader.post("/v1/alerts/rules", json=RULE))[:2] == (403, "permission_denied")


def test_what_fires_is_listed_acknowledged_and_in_the_history(own, sweep):
    slow(own.ingest)
    own.ingest.post("/ingest/deploys", json={"version": "v9", "service": "checkout", "deployed_at": "2026-01-01T00:00:00Z"})
    rule = made(own.live)
    quiet = made(own.live, name="quiet", condition=CONDITION | {"threshold": 5000})
    sweep()
    [alert] = own.live.found("/v1/alerts")["data"]
    assert (alert["rule_id"], alert["state"], alert["labels"], alert["unit"]) == (
        rule["id"], "firing", {"service": "checkout"}, "ms",
    )  # fmt: skip
    assert alert["value"] == pytest.approx(900, rel=0.01)
    assert alert["deploy"]["version"] == "v9"
    assert alert["trace_id"] in own.live.listed(service="checkout")
    fired = own.live.found(f"/v1/alerts/rules/{rule['id']}")
    assert (fired["state"], fired["last_triggered_at"]) == ("firing", alert["started_at"])
    assert fired["last_value"] == alert["value"]
    [ok] = own.live.found("/v1/alerts", state="ok")["data"]
    assert ok["rule_id"] == quiet["id"]
    assert own.live.found("/v1/alerts", rule_id=quiet["id"])["data"] == []
    taken = own.live.post(f"/v1/alerts/{alert['key']}/acknowledge").json()
    assert taken["acknowledged_by"].startswith("mtk_live_")
    assert own.live.post(f"/v1/alerts/{alert['key']}/acknowledge").json() == taken
    assert error(own.live.post(f"/v1/alerts/{ok['key']}/acknowledge")) == (404, "not_found", None)
    events = own.live.found("/v1/alerts/events", rule_id=rule["id"])["data"]
    assert [(one["before"], one["after"]) for one in events] == [("firing", "acknowledged"), ("ok", "firing")]
    assert [one["by"] for one in events] == [taken["acknowledged_by"], None]
    told = own.live.found("/v1/alerts/deliveries", rule_id=rule["id"])["data"]
    assert {one["event"] for one in told} == {"firing", "acknowledged"}
    own.live.delete(f"/v1/alerts/rules/{rule['id']}")
    [last, *_] = own.live.found("/v1/alerts/events", rule_id=rule["id"])["data"]
    assert (last["after"], last["reason"], last["rule_name"]) == ("ok", "rule_deleted", RULE["name"])
    assert own.live.found("/v1/alerts")["data"] == []


def test_alerts_and_history_have_pages(own, sweep):
    for number in range(5):
        slow(own.ingest, service=f"s{number}")
    made(own.live, condition={"metric": "latency_avg", "threshold": 100, "window": "5m", "group_by": "service"})
    sweep()
    for path in ("/v1/alerts", "/v1/alerts/events"):
        whole = own.live.found(path)["data"]
        assert len(whole) == 5
        pages: list[list[Any]] = []
        cursor: dict[str, str] = {}
        while not pages or cursor:
            page = own.live.found(path, limit=2, **cursor)
            pages.append(page["data"])
            cursor = {"cursor": page["next_cursor"]} if page["has_more"] else {}
        assert [one for page in pages for one in page] == whole
        assert [len(page) for page in pages] == [2, 2, 1]


def test_a_rule_is_tried_without_telling_anybody(own):
    slow(own.ingest)
    rule = made(own.live)
    found = own.live.post(f"/v1/alerts/rules/{rule['id']}/test", params={"hours": 1}).json()
    assert found["would_fire"] is True
    [reading] = found["readings"]
    assert (reading["labels"], reading["holds"]) == ({}, True)
    assert reading["value"] == pytest.approx(900, rel=0.01)
    assert (found["windows"], found["interval_s"], found["error"]) == (60, 60, None)
    [alert] = found["alerts"]
    assert (alert["labels"], alert["ended_at"]) == ({"service": "checkout"}, None)
    assert found["windows_without_data"] >= 55
    assert own.live.found("/v1/alerts/deliveries", rule_id=rule["id"])["data"] == []
    refused = own.live.post(f"/v1/alerts/rules/{rule['id']}/test", params={"hours": 25})
    assert error(refused) == (400, "invalid_parameter", "hours")


def test_a_query_is_tried_too(own):
    slow(own.ingest)
    condition = {"query": '{ service.name = "checkout" && duration > 500ms } | count_over_time() > 3', "window": "5m"}
    rule = made(own.live, condition=condition)
    assert rule["condition"] == condition | {"metric": "query", "operator": ">", "threshold": 3}
    found = own.live.post(f"/v1/alerts/rules/{rule['id']}/test", params={"hours": 2}).json()
    assert (found["would_fire"], found["readings"][0]["value"]) == (True, 10)
    assert len(found["alerts"]) == 1


def later(**delta):
    return (dt.datetime.now(dt.UTC) + dt.timedelta(**delta)).isoformat()


def test_a_silence_has_an_end(own, sweep):
    slow(own.ingest)
    rule = made(own.live)
    body = {"rule_id": rule["id"], "labels": {"service": "checkout"}, "ends_at": later(hours=1), "comment": "planned"}
    answer = own.live.post("/v1/alerts/silences", json=body)
    silence = answer.json()
    assert answer.status_code == 201
    assert (silence["state"], silence["comment"], silence["created_by"][:9]) == ("active", "planned", "mtk_live_")
    sweep()
    assert own.live.found("/v1/alerts")["data"][0]["state"] == "firing"
    assert own.live.found("/v1/alerts/deliveries", rule_id=rule["id"])["data"] == []
    coming = own.live.post("/v1/alerts/silences", json={"starts_at": later(hours=1), "ends_at": later(hours=2)}).json()
    assert (coming["state"], coming["rule_id"], coming["labels"]) == ("pending", None, {})
    assert [one["id"] for one in own.live.found("/v1/alerts/silences")["data"]] == [coming["id"], silence["id"]]
    first = own.live.found("/v1/alerts/silences", limit=1)
    second = own.live.found("/v1/alerts/silences", limit=1, cursor=first["next_cursor"])
    assert [one["id"] for one in second["data"]] == [silence["id"]]
    over = own.live.delete(f"/v1/alerts/silences/{silence['id']}").json()
    assert (over["id"], over["state"]) == (silence["id"], "over")
    assert own.live.delete(f"/v1/alerts/silences/{silence['id']}").json() == over
    assert error(own.live.delete("/v1/alerts/silences/silence_000000000000")) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_parameter", "ends_at"),
        ({"ends_at": "soon"}, "invalid_parameter", "ends_at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "invalid_parameter", "ends_at"),
        ({"ends_at": later(hours=1), "starts_at": later(hours=2)}, "invalid_parameter", "ends_at"),
        ({"ends_at": later(hours=1), "rule_id": "rule_000000000000"}, "invalid_parameter", "rule_id"),
    ],
    ids=["without an end", "no time", "over", "ends before it starts", "of no rule"],
)
def test_a_silence_that_cannot_be_is_refused(own, body, code, param):
    assert error(own.live.post("/v1/alerts/silences", json=body)) == (400, code, param)
