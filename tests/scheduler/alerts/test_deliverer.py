"""Messages arrive at real sinks whatever these do, in order, and none waits for another's."""

import datetime as dt
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from lake.control import Control
from lake.control.database import writing
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.senders import Senders
from scheduler.alerts.channels.settings import ChannelSettings
from scheduler.alerts.deliverer import WORKERS, Deliverer
from scheduler.alerts.outbox import Outbox, enqueue
from scheduler.alerts.targets import Targets, resolve
from tests.scheduler.alerts.alerts import BEGAN, FIRING, RESOLVED, of_service
from tests.scheduler.alerts.sinks import HttpSink, MailSink
from tests.servers import wait_until

HOOK = Channel("webhook")


class Bench:
    """A deliverer with a clock that is moved by hand."""

    def __init__(self, control, settings, **options: Any):
        self.now = BEGAN
        self.control = control
        self.outbox = Outbox(control.engine, self.clock)
        targets = Targets(**{"allow_private": True, "timeout_s": 30.0, **options})
        self.deliverer = Deliverer(self.outbox, Senders(settings, targets), now=self.clock, jitter=lambda: 1.0)

    def clock(self):
        return self.now

    def say(self, notification, *channels):
        with writing(self.control.engine) as connection, connection.begin():
            enqueue(connection, notification, channels or [HOOK], self.now)

    def turn(self):
        self.deliverer.deliver()
        assert self.deliverer.wait_idle(30)

    def pass_time(self, seconds):
        """Let seconds pass, one by one, each with a turn; until nothing waits any more."""
        for _ in range(seconds):
            self.now += dt.timedelta(seconds=1)
            self.turn()
            if not self.outbox.pending():
                return

    def statuses(self):
        return [one.status for one in reversed(self.outbox.page("shop", "live", limit=100))]


@pytest.fixture
def bench(tmp_path):
    @contextmanager
    def bench(settings, **options):
        with Control(tmp_path) as control:
            control.create_project("shop")
            made = Bench(control, settings, **options)
            yield made
            made.deliverer.close(30)

    return bench


def hooks(sink):
    return ChannelSettings(webhook_url=f"{sink.url}/hook")


def told(sink):
    """What a webhook was told, each message once: of which services, and what."""
    seen: dict[str, Any] = {}
    for came in sink.came:
        seen.setdefault(came.headers["webhook-id"], came.json)
    return [(sorted(alert["labels"]["service"] for alert in body["alerts"]), body["status"]) for body in seen.values()]


def test_a_message_goes_to_every_channel_of_its_rule(bench):
    with HttpSink(status=202) as sink, MailSink() as mail:
        settings = ChannelSettings(
            slack_url=f"{sink.url}/slack", webhook_url=f"{sink.url}/hook", pagerduty_url=sink.url,
            pagerduty_routing_key="0" * 32, smtp_url=f"smtp+plain://127.0.0.1:{mail.port}",
            alert_email_to="oncall@example.com", alert_email_from="tracelake@example.com",
        )  # fmt: skip
        with bench(settings) as house:
            house.say(FIRING, Channel("slack"), Channel("pagerduty"), HOOK, Channel("email"))
            house.turn()
            assert house.statuses() == ["delivered"] * 4
        assert sorted(came.path for came in sink.came) == ["/hook", "/slack", "/v2/enqueue"]
        assert [message["Message-ID"] for _, message in mail.came] == [f"<{FIRING.id}@example.com>"]


@contextmanager
def refused(sink, names):
    names["sink.example.com"] = lambda: ["127.0.0.9"]  # nobody listens there
    yield
    del names["sink.example.com"]


@contextmanager
def unknown(sink, names):
    def fail():
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    names["sink.example.com"] = fail
    yield
    del names["sink.example.com"]


@contextmanager
def answering(sink, status, **headers):
    sink.status, sink.headers = status, headers
    yield
    sink.status, sink.headers = 200, {}


@contextmanager
def hanging(sink):
    sink.let_go.clear()
    yield
    sink.let_go.set()


FAULTS = {
    "refused": refused,
    "unknown name": unknown,
    "500": lambda sink, _: answering(sink, 500),
    "429 with Retry-After": lambda sink, _: answering(sink, 429, **{"Retry-After": "20"}),
    "hangs": lambda sink, _: hanging(sink),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_all_arrive_in_order_within_a_minute_of_recovery(bench, fault):
    names: dict[str, Any] = {}
    with HttpSink() as sink:
        settings = ChannelSettings(webhook_url=f"http://sink.example.com:{sink.port}/hook")
        lookup = lambda host, port: names[host]() if host in names else resolve("127.0.0.1", port)  # noqa: E731
        with bench(settings, resolve=lookup, timeout_s=0.5 if fault == "hangs" else 30.0) as house:
            with FAULTS[fault](sink, names):
                house.say(FIRING)
                house.say(of_service("cart"))
                house.turn()
                house.now += dt.timedelta(seconds=40)
                house.turn()
                house.say(RESOLVED)
                house.turn()
                assert set(house.statuses()) <= {"pending", "superseded"}
            sink.came.clear()
            house.pass_time(60)
            assert sorted(house.statuses()) == ["delivered", "delivered", "superseded"]  # firing, whose end is told now
            assert told(sink) in ([(["cart"], "firing"), (["checkout"], "resolved")],
                                  [(["checkout"], "resolved"), (["cart"], "firing")])  # fmt: skip


def test_one_alert_is_told_in_order_although_its_first_message_fails(bench):
    with HttpSink() as sink, bench(hooks(sink)) as house:
        with answering(sink, 500):
            house.say(replace(FIRING, status="firing"))
            house.turn()
            house.say(replace(FIRING, id="msg_2", status="acknowledged"))
            house.turn()
        assert len(sink.came) == 1  # the second one has not been tried
        house.pass_time(60)
        statuses = [came.json["tracelake"]["alerts"][0]["status"] for came in sink.came]
        assert statuses == ["firing", "firing", "acknowledged"]


def test_who_asks_to_wait_is_left_alone_for_as_long(bench):
    with HttpSink() as sink, bench(hooks(sink)) as house:
        with answering(sink, 429, **{"Retry-After": "120"}):
            house.say(FIRING)
            house.turn()
        house.say(of_service("cart", evaluated_to=BEGAN))
        house.now += dt.timedelta(seconds=5)
        house.turn()  # a message that came since is not held, and what it meets is that all is well
        house.now += dt.timedelta(seconds=110)
        house.turn()
        assert told(sink) == [(["checkout"], "firing"), (["cart"], "firing")]
        assert house.statuses() == ["pending", "delivered"]
        house.now += dt.timedelta(seconds=10)
        house.turn()
        assert house.statuses() == ["delivered", "delivered"]


def test_a_sink_that_hangs_holds_up_no_other(bench):
    with HttpSink() as hangs, HttpSink() as sink, bench(hooks(sink)) as house:
        elsewhere = Channel("webhook", f"{hangs.url}/hook")
        hangs.let_go.clear()
        for number in range(20):
            house.say(of_service(f"service-{number}", evaluated_to=BEGAN + dt.timedelta(seconds=number)), elsewhere)
        house.deliverer.deliver()
        wait_until(hangs.arrived.is_set, lambda: "nothing was sent")
        house.say(FIRING)
        house.deliverer.deliver()
        wait_until(lambda: len(sink.came) == 1, lambda: "the message waits for the other sink")
        assert len(hangs.came) <= 2
        hangs.let_go.set()


def test_many_sinks_that_hang_leave_what_is_new_the_next_free_thread(bench):
    with HttpSink() as hangs, HttpSink() as sink, bench(hooks(sink)) as house:
        hangs.let_go.clear()
        for number in range(2 * WORKERS):
            elsewhere = Channel("webhook", f"{hangs.url}/hook-{number}")
            house.say(of_service(f"service-{number}", evaluated_to=BEGAN + dt.timedelta(seconds=number)), elsewhere)
        house.deliverer.deliver()
        wait_until(lambda: len(hangs.came) == WORKERS, lambda: f"{len(hangs.came)} attempts are made")
        house.deliverer.deliver()
        assert sum(one.attempts for one in house.outbox.pending()) == WORKERS  # the others are not taken yet
        hangs.let_go.set()
        house.turn()
        house.turn()
        assert set(house.statuses()) == {"delivered"}


def test_alerts_of_one_sweep_arrive_as_one_message_with_one_id(bench):
    with HttpSink() as sink, bench(hooks(sink)) as house:
        services = [f"service-{number}" for number in range(5)]
        with answering(sink, 503):
            for service in services:
                house.say(of_service(service))
            house.turn()
        house.pass_time(5)
        assert [came.headers["webhook-id"] for came in sink.came] == [sink.came[0].headers["webhook-id"]] * 2
        assert told(sink) == [(services, "firing")]


def test_pagerduty_gets_an_event_for_each_alert(bench):
    with HttpSink(status=202) as sink:
        settings = ChannelSettings(pagerduty_url=sink.url, pagerduty_routing_key="0" * 32)
        with bench(settings) as house:
            for service in ("cart", "pay", "search"):
                house.say(of_service(service), Channel("pagerduty"))
            house.pass_time(5)
            assert len({came.json["dedup_key"] for came in sink.came}) == 3


def test_an_alert_that_is_over_before_anybody_was_told_is_not_told(bench):
    with HttpSink() as sink, bench(hooks(sink)) as house:
        house.say(FIRING)
        house.say(RESOLVED)
        house.turn()
        assert (sink.came, house.statuses()) == ([], ["superseded", "superseded"])


def test_what_can_never_arrive_is_dead_and_says_why_without_the_address(bench, capsys):
    with HttpSink(status=404) as sink, bench(hooks(sink)) as house:
        house.say(FIRING)
        house.say(of_service("cart"), Channel("webhook", f"{sink.url}/secret-token-of-somebody"))
        house.turn()
        assert [one.reason for one in house.outbox.page("shop", "live", limit=9)] == ["it answered 404"] * 2
        assert "secret-token" not in "".join(capsys.readouterr())


def test_content_that_nobody_can_read_is_dead_and_the_next_one_goes(bench):
    with HttpSink() as sink, bench(hooks(sink)) as house:
        house.say(FIRING)
        with writing(house.control.engine) as connection, connection.begin():
            connection.exec_driver_sql("UPDATE alert_deliveries SET content = '{}'")
        house.say(replace(RESOLVED, evaluated_to=BEGAN + dt.timedelta(hours=1), started_at=BEGAN + dt.timedelta(minutes=1)))
        house.turn()
        house.turn()
        assert house.statuses() == ["dead", "delivered"]
        assert told(sink) == [(["checkout"], "resolved")]


def test_closing_waits_for_what_is_being_sent(bench):
    with HttpSink() as sink, bench(hooks(sink)) as house:
        sink.let_go.clear()
        house.say(FIRING)
        house.deliverer.deliver()
        assert sink.arrived.wait(30)
        threading.Timer(0.05, sink.let_go.set).start()
        house.deliverer.close(30)
        assert house.statuses() == ["delivered"]
