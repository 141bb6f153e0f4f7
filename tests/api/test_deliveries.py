"""What became of messages about alerts can be seen, without secrets, and dead ones are tried again."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from lake.control import Control
from lake.control.database import writing
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.notifications import new_message_id
from scheduler.alerts.outbox import Outbox, enqueue
from tests.scheduler.alerts.alerts import FIRING, of_service
from tests.servers import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = Channel("webhook", "https://127.0.0.1:9/token-of-somebody", SECRET)


@pytest.fixture
def own(new_project):
    return new_project()


@pytest.fixture
def control(server):
    with Control(server.data) as control:
        yield control


def say(control, own, *notifications, channels=(HOOK,), environment="live"):
    with writing(control.engine) as connection, connection.begin():
        for one in notifications:
            message = replace(one, id=new_message_id(), project=own.name, environment=environment)
            enqueue(connection, message, channels, dt.datetime.now(dt.UTC))


def dead(server, own, count=1):
    """Messages that the real scheduler has given up, because their address is not public."""
    found: list[dict[str, Any]] = []

    def is_there():
        found[:] = own.live.found("/v1/alerts/deliveries", status="dead")["data"]
        return len(found) == count

    wait_until(is_there, lambda: f"they are {found}\n{server.log_end()}")
    return found


def test_a_message_that_cannot_arrive_is_shown_with_the_reason_and_without_secrets(server, control, own):
    say(control, own, FIRING)
    [shown] = dead(server, own)
    assert shown["channel"] == {"type": "webhook", "target": "****body", "secret": "****LaSw"}
    assert "TRACELAKE_ALLOW_PRIVATE_TARGETS" in shown["reason"]
    assert (shown["event"], shown["rule_id"], shown["labels"]) == ("firing", FIRING.rule_id, {"service": "checkout"})
    assert (shown["alert_key"], shown["attempts"], shown["next_attempt_at"]) == (FIRING.alert_key, 1, None)
    text = own.live.get("/v1/alerts/deliveries").text + server.log.read_text()
    assert "token-of-somebody" not in text
    assert SECRET not in text


def test_a_dead_message_is_tried_again(server, control, own):
    say(control, own, FIRING)
    [shown] = dead(server, own)
    again = own.live.post(f"/v1/alerts/deliveries/{shown['id']}/retry")
    assert again.status_code == 200
    assert (again.json()["status"], again.json()["id"]) == ("pending", shown["id"])
    wait_until(lambda: dead(server, own)[0]["attempts"] == 2, lambda: "it is not tried again")


def test_what_is_not_dead_cannot_be_tried_again(control, own):
    say(control, own, FIRING)
    [message] = Outbox(control.engine).page(own.name, "live", limit=1)
    with writing(control.engine) as connection, connection.begin():
        connection.exec_driver_sql("UPDATE alert_deliveries SET status = 'delivered' WHERE id = ?", (message.id,))
    answer = own.live.post(f"/v1/alerts/deliveries/{message.id}/retry")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "delivery_id")


def test_the_list_has_filters_and_pages(server, control, own):
    say(control, own, *(of_service(f"s{number}", rule_id=f"rule_{number % 2}") for number in range(5)))
    dead(server, own, 5)
    found: list[dict[str, Any]] = []
    cursor = None
    while cursor is not None or not found:
        page = own.live.found("/v1/alerts/deliveries", limit=2, **({"cursor": cursor} if cursor else {}))
        found += page["data"]
        cursor = page["next_cursor"]
    assert [one["labels"]["service"] for one in found] == ["s4", "s3", "s2", "s1", "s0"]
    of_rule = own.live.found("/v1/alerts/deliveries", rule_id="rule_1")["data"]
    assert [one["labels"]["service"] for one in of_rule] == ["s3", "s1"]
    assert own.live.found("/v1/alerts/deliveries", status="delivered")["data"] == []
    assert own.live.refused("/v1/alerts/deliveries", status="lost") == (400, "invalid_parameter", "status")
    other = own.live.found("/v1/alerts/deliveries", limit=2)["next_cursor"]
    assert own.live.refused("/v1/alerts/deliveries", rule_id="rule_1", cursor=other)[0] == 400


def test_messages_of_another_lake_are_not_there(server, control, own, new_project):
    say(control, own, FIRING)
    [shown] = dead(server, own)
    for client in (own.test, new_project().live):
        assert client.found("/v1/alerts/deliveries")["data"] == []
        answer = client.post(f"/v1/alerts/deliveries/{shown['id']}/retry")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_scope_alerts_is_needed(server, control, own):
    with Control(server.data) as made:
        key = made.create_key(own.name, "live", scopes={"read"}).secret
    answer = server.client.get("/v1/alerts/deliveries", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
