"""Messages about alerts of a real server, through the client."""

import datetime as dt
from dataclasses import replace

import pytest

import lake
from lake.client import BadRequest, NotFound
from lake.control import FIRST_PROJECT, Control
from lake.control.database import writing
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.outbox import enqueue
from tests.scheduler.alerts.alerts import FIRING
from tests.servers import wait_until


def test_a_dead_message_is_listed_and_tried_again(server):
    with Control(server.data) as control, writing(control.engine) as connection, connection.begin():
        enqueue(connection, replace(FIRING, project=FIRST_PROJECT), [Channel("slack")], dt.datetime.now(dt.UTC))
    with lake.connect(server.url, server.live_key) as asker:
        wait_until(lambda: bool(asker.list_alert_deliveries(status="dead").data), lambda: "it is not given up")
        [message] = asker.iter_alert_deliveries(rule_id=FIRING.rule_id, limit=1)
        assert (message.channel, message.event, message.settled_at is not None) == ("slack", "firing", True)
        assert "TRACELAKE_SLACK_URL" in (message.reason or "")
        assert asker.retry_alert_delivery(message.id).status == "pending"
        with pytest.raises(NotFound):
            asker.retry_alert_delivery("dlv_none")
        with pytest.raises(BadRequest):
            asker.list_alert_deliveries(status="lost")


def test_how_the_lake_is_kept_is_told(server):
    with lake.connect(server.url, server.live_key) as asker:
        wait_until(lambda: bool(asker.get_maintenance().jobs), lambda: "nothing is noted")
        report = asker.get_maintenance()
    assert {job.state for job in report.jobs} <= {"ok", "late"}
    assert report.storage.waiting_files >= 0
