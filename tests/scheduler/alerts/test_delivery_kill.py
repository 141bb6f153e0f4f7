"""A scheduler that is killed at any moment of delivery tells everything, and each message under one id."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace

import pytest

from lake.control import Control
from lake.control.database import writing
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.notifications import new_message_id
from scheduler.alerts.outbox import Outbox, enqueue
from tests.scheduler.alerts.alerts import BEGAN, of_service
from tests.scheduler.alerts.sinks import HttpSink
from tests.servers import DEADLINE_S, wait_until

CHANNELS = [Channel("webhook"), Channel("pagerduty")]
PER_ROUND = 3


class Rounds:
    """Alerts that begin and end, and a scheduler that is killed meanwhile."""

    def __init__(self, control, sink, log):
        self.control = control
        self.outbox = Outbox(control.engine)
        self.said = []
        self._log = log
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACELAKE_")} | {
            "TRACELAKE_DATA": str(log.parent),
            "TRACELAKE_WEBHOOK_URL": f"{sink.url}/hook",
            "TRACELAKE_PAGERDUTY_URL": sink.url,
            "TRACELAKE_PAGERDUTY_ROUTING_KEY": "0" * 32,
            "TRACELAKE_ALLOW_PRIVATE_TARGETS": "1",
        }

    def start(self):
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "scheduler"]
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def say(self, number):
        """New alerts, and the end of those before them that were told."""
        moment = BEGAN + dt.timedelta(minutes=number)
        new = [of_service(f"s{number}-{one}", started_at=moment, evaluated_to=moment) for one in range(PER_ROUND)]
        ended = {one.alert_key for one in self.said if one.status == "resolved"}
        told = [one for one in self.said if one.status == "firing" and one.alert_key not in ended and self.is_told(one)]
        over = [replace(one, id=new_message_id(), status="resolved", ended_at=moment, evaluated_to=moment) for one in told]
        with writing(self.control.engine) as connection, connection.begin():
            for one in [*new, *over]:
                enqueue(connection, one, CHANNELS, dt.datetime.now(dt.UTC))
        self.said += [*new, *over]

    def is_told(self, notification):
        found = [one for one in self.outbox.page("shop", "live", limit=10_000) if one.message_id == notification.id]
        return {one.status for one in found} == {"delivered"}

    def is_all_told(self):
        return all(one.status == "delivered" for one in self.outbox.page("shop", "live", limit=10_000))

    def wait_all_told(self):
        """Wait until nothing is left; two messages a second go to each channel, so a backlog takes its time."""
        waiting_s = sum(one.status == "pending" for one in self.outbox.page("shop", "live", limit=10_000))
        wait_until(
            self.is_all_told, lambda: f"not all is told\n{self._log.read_text()[-2000:]}", timeout_s=DEADLINE_S + waiting_s
        )


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.full)])
def test_a_scheduler_that_is_killed_tells_everything_once_by_its_id(tmp_path, kills):
    chance = random.Random(kills)  # noqa: S311 - moments, no secrets
    with Control(tmp_path) as control, HttpSink(status=202) as sink:
        control.create_project("shop")
        rounds = Rounds(control, sink, tmp_path / "log")
        for number in range(kills):
            rounds.say(number)
            process = rounds.start()
            before = len(sink.came)
            wait_until(lambda: len(sink.came) > before, lambda: "nothing is sent")  # noqa: B023 - used here
            time.sleep(chance.random() * 0.1)  # anywhere in the delivery; nothing rests on how long it is
            process.kill()
            process.wait(DEADLINE_S)
        rounds.say(kills)
        process = rounds.start()
        try:
            rounds.wait_all_told()
            rounds.say(kills + 1)  # now all is told that began before, and ends
            rounds.wait_all_told()
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            process.wait(DEADLINE_S)
    assert_told(sink, rounds.said)


def assert_told(sink, said):
    """Each change of an alert has come under one id of a webhook, and as one event to PagerDuty."""
    hooks, events = defaultdict(set), set()
    for came in sink.came:
        if came.path == "/hook":
            for alert in came.json["alerts"]:
                hooks[alert["labels"]["service"], alert["status"]].add(came.headers["webhook-id"])
        else:
            events.add((came.json["dedup_key"], came.json["event_action"]))
    assert {key: len(found) for key, found in hooks.items()} == {(one.labels["service"], one.status): 1 for one in said}
    actions = {"firing": "trigger", "resolved": "resolve"}
    assert events == {(one.alert_key, actions[one.status]) for one in said}
    assert len([one for one in said if one.status == "resolved"]) >= PER_ROUND
