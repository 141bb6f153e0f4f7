"""The outbox keeps what is to be said with what it is about, and gives each message to one process."""

import datetime as dt
import threading
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from lake.control import Control
from lake.control.database import writing
from lake.errors import Overloaded
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.outcome import Outcome
from scheduler.alerts.delivery import GIVE_UP_AFTER, settled
from scheduler.alerts.deploy_notes import Deployed
from scheduler.alerts.notifications import Notification
from scheduler.alerts.outbox import KEPT, Outbox, RetryRefused, enqueue, enqueue_deploys
from tests.scheduler.alerts.alerts import BEGAN, FIRING, RESOLVED

SLACK, PAGER = Channel("slack"), Channel("pagerduty", "0" * 32)


class Clock:
    def __init__(self, now=BEGAN):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def control(tmp_path):
    with Control(tmp_path) as control:
        control.create_project("shop")
        yield control


@pytest.fixture
def outbox(control, clock):
    return Outbox(control.engine, clock)


def put(control, notification, *channels, now=BEGAN):
    with writing(control.engine) as connection, connection.begin():
        enqueue(connection, notification, channels, now)


def test_a_message_is_there_with_what_it_is_about_or_not_at_all(control, outbox):
    with writing(control.engine) as connection, connection.begin() as transaction:
        enqueue(connection, FIRING, [SLACK], BEGAN)
        transaction.rollback()
    assert outbox.pending() == []
    put(control, FIRING, SLACK, PAGER, SLACK)
    pending = outbox.pending()
    assert [one.channel for one in pending] == [SLACK, PAGER]
    assert [Notification.from_json(one.content) for one in pending] == [FIRING, FIRING]


def test_a_message_survives_the_process(control, outbox, tmp_path):
    put(control, FIRING, SLACK)
    with Control(tmp_path) as other:
        assert Outbox(other.engine).pending() == outbox.pending()


def test_of_many_that_claim_a_message_one_gets_it(control, clock, tmp_path):
    put(control, FIRING, SLACK)
    [message] = Outbox(control.engine).pending()
    claimed, begin = [], threading.Barrier(4)

    def claim():
        with Control(tmp_path) as other:
            begin.wait(30)
            claimed.extend(Outbox(other.engine, clock).claim([message]))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(one.id, one.attempts) for one in claimed] == [(message.id, 1)]


def test_what_a_run_of_an_alert_was_told_is_known(control, outbox):
    put(control, FIRING, SLACK, PAGER)
    outbox.claim(outbox.pending()[:1])
    put(control, RESOLVED, SLACK, PAGER)
    put(control, replace(FIRING, started_at=BEGAN + dt.timedelta(hours=1)), SLACK)
    assert [one.is_run_known for one in outbox.pending()] == [True, False, True, False, False]


def test_what_is_settled_waits_no_more(control, outbox):
    put(control, FIRING, SLACK, PAGER)
    first, second = outbox.claim(outbox.pending())
    outbox.settle([settled(first, Outcome("delivered"), BEGAN, 0.5), settled(second, Outcome("retry", "500"), BEGAN, 1.0)])
    [left] = outbox.pending()
    assert (left.id, left.attempts, left.reason, left.due_at) == (second.id, 1, "500", BEGAN + dt.timedelta(seconds=1))


@pytest.mark.parametrize("came_of_it", [Outcome("retry", "no answer"), Outcome("dead", "it answered 404")])
def test_a_process_that_was_stopped_during_an_attempt_does_not_undo_what_the_next_one_did(control, outbox, came_of_it):
    put(control, FIRING, SLACK)
    [stopped] = outbox.claim(outbox.pending())
    [again] = outbox.claim(outbox.pending())
    outbox.settle([settled(stopped, came_of_it, BEGAN, 0.5)])
    assert [one.attempts for one in outbox.pending()] == [2]
    outbox.settle([settled(again, Outcome("delivered"), BEGAN, 0.5)])
    outbox.settle([settled(stopped, came_of_it, BEGAN, 0.5)])
    assert [one.status for one in outbox.page("shop", "live", limit=9)] == ["delivered"]


def test_what_arrived_late_is_delivered_whoever_tries_it_again_meanwhile(control, outbox):
    put(control, FIRING, SLACK)
    [stopped] = outbox.claim(outbox.pending())
    outbox.claim(outbox.pending())
    outbox.settle([settled(stopped, Outcome("delivered"), BEGAN, 0.5)])
    assert outbox.pending() == []


def test_nobody_can_ask_messages_to_wait_for_longer_than_a_day(control, outbox):
    put(control, FIRING, SLACK)
    outbox.hold(SLACK, BEGAN + dt.timedelta(days=10_000))
    assert [one.due_at for one in outbox.pending()] == [BEGAN + GIVE_UP_AFTER]


def test_a_channel_that_asks_to_wait_gets_none_of_its_messages(control, outbox):
    put(control, FIRING, SLACK, PAGER)
    put(control, RESOLVED, SLACK)
    until = BEGAN + dt.timedelta(minutes=2)
    outbox.hold(SLACK, until)
    outbox.hold(SLACK, BEGAN)
    assert [one.due_at for one in outbox.pending()] == [until, BEGAN, until]


def test_a_deploy_is_told_once(control, outbox):
    deployed = Deployed("deploy_1", "shop", "checkout", "v1", None, None, None, None, BEGAN)
    for _ in range(2):
        with writing(control.engine) as connection, connection.begin():
            enqueue_deploys(connection, "live", [deployed], BEGAN)
    [message] = outbox.pending()
    assert (message.event, Deployed.from_json(message.content)) == ("deployed", deployed)


def dead(outbox):
    [message] = outbox.claim(outbox.pending())
    outbox.settle([settled(message, Outcome("dead", "it answered 404"), BEGAN, 0.5)])
    return message


def test_a_dead_message_is_tried_again_for_another_day(control, outbox, clock):
    put(control, FIRING, SLACK)
    message = dead(outbox)
    clock.now += dt.timedelta(days=2)
    again = outbox.retry("shop", "live", message.id)
    assert again is not None
    assert (again.status, again.attempts, again.due_at, again.tried_since) == ("pending", 1, clock.now, clock.now)
    assert [one.id for one in outbox.pending()] == [message.id]
    with pytest.raises(RetryRefused, match="is pending"):
        outbox.retry("shop", "live", message.id)


def test_what_newer_news_has_overtaken_is_not_tried_again(control, outbox):
    put(control, FIRING, SLACK)
    message = dead(outbox)
    put(control, RESOLVED, SLACK)
    outbox.claim(outbox.pending())
    with pytest.raises(RetryRefused, match="old news"):
        outbox.retry("shop", "live", message.id)


@pytest.mark.parametrize("lake", [("other", "live"), ("shop", "sandbox")])
def test_messages_of_another_lake_are_not_there(control, outbox, lake):
    put(control, FIRING, SLACK)
    message = dead(outbox)
    assert outbox.retry(*lake, message.id) is None
    assert outbox.page(*lake, limit=10) == []


def test_a_page_has_the_last_ones_first(control, outbox):
    for number in range(5):
        put(control, replace(FIRING, rule_id=f"rule_{number % 2}"), SLACK)
    page = outbox.page("shop", "live", limit=2)
    assert [one.sequence for one in page] == [5, 4]
    assert [one.sequence for one in outbox.page("shop", "live", before=4, limit=10)] == [3, 2, 1]
    assert [one.sequence for one in outbox.page("shop", "live", rule_id="rule_1", limit=10)] == [4, 2]
    assert outbox.page("shop", "live", status="dead", limit=10) == []
    assert outbox.counts() == {("slack", "pending"): 5}


def test_what_was_settled_long_ago_is_forgotten_and_what_waits_is_not(control, outbox, clock):
    put(control, FIRING, SLACK)
    dead(outbox)
    put(control, replace(FIRING, started_at=BEGAN + dt.timedelta(hours=1)), PAGER)
    clock.now += KEPT + dt.timedelta(seconds=1)
    outbox.forget_old()
    assert [one.channel for one in outbox.page("shop", "live", limit=10)] == [PAGER]


def test_messages_go_with_their_project(control, outbox):
    put(control, FIRING, SLACK)
    control.delete_project("shop", force=True)
    assert outbox.pending() == []


def test_a_database_that_cannot_be_used_is_a_reason_to_come_back(control, outbox, monkeypatch):
    def locked(*_):
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    monkeypatch.setattr(type(control.engine), "connect", locked)
    with pytest.raises(Overloaded, match="cannot be read"):
        outbox.pending()
    with pytest.raises(Overloaded, match="cannot be written"):
        outbox.hold(SLACK, BEGAN)
