"""Which message goes when: in order, to nobody twice at once, and soon after whoever was away is back."""

import datetime as dt
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.outcome import Outcome
from scheduler.alerts.delivery import (
    AT_ONCE_PER_CHANNEL,
    BATCH_MAX,
    GIVE_UP_AFTER,
    LATE_WAIT_S,
    SOON,
    SOON_WAIT_S,
    Delivery,
    is_due,
    ready,
    settled,
    superseded,
    wait_s,
)
from tests.scheduler.alerts.alerts import BEGAN

CHANNELS = (Channel("slack"), Channel("pagerduty"), Channel("webhook", "https://example.com/"))


def delivery(sequence=1, event="firing", about="alert-1", channel=CHANNELS[0], *, at=BEGAN, run=0, batch="b", **changes):
    values = {
        "id": f"dlv_{sequence}", "sequence": sequence, "project": "shop", "environment": "live", "about": about,
        "event": event, "began_at": BEGAN + dt.timedelta(minutes=run), "rule_id": "rule_1", "batch": batch,
        "message_id": f"msg_{sequence}", "content": "{}", "channel": channel, "status": "pending", "attempts": 0,
        "created_at": at, "tried_since": at, "due_at": at, **changes,
    }  # fmt: skip
    return Delivery(**values)


def ids(deliveries):
    return [one.sequence for one in deliveries]


@pytest.mark.parametrize(
    ("events", "old"),
    [
        (["firing"], []),
        (["firing", "resolved"], [1, 2]),
        (["firing", "acknowledged"], []),
        (["firing", "acknowledged", "resolved"], [1, 2, 3]),
        (["firing", "firing"], [1]),
        (["resolved"], []),
        (["firing told", "resolved"], [1]),
        (["firing told", "firing told", "resolved"], [1, 2]),
        (["acknowledged told", "resolved"], [1]),
    ],
)
def test_old_news_is_left_out_and_the_end_of_what_nobody_was_told_of(events, old):
    pending = [
        delivery(number, event.split()[0], attempts=int("told" in event), is_run_known="told" in " ".join(events))
        for number, event in enumerate(events, 1)
    ]
    assert sorted(ids(superseded(pending, set()))) == old


def test_a_run_of_an_alert_says_nothing_of_the_next_one():
    pending = [delivery(1, "resolved", is_run_known=True), delivery(2, "firing", run=60), delivery(3, "resolved", run=60)]
    assert sorted(ids(superseded(pending, set()))) == [2, 3]
    assert superseded([delivery(1, "firing"), delivery(2, "firing", run=60)], set()) == []


def test_what_is_being_sent_is_not_old_and_its_end_follows():
    pending = [delivery(1, "firing", is_run_known=True), delivery(2, "resolved", is_run_known=True)]
    assert superseded(pending, {"dlv_1"}) == []
    assert ready(pending, BEGAN, {"dlv_1": CHANNELS[0].key}) == []


def test_alerts_of_one_rule_and_sweep_go_as_one_but_not_to_pagerduty():
    for channel, sizes in ((CHANNELS[0], [BATCH_MAX, 10]), (CHANNELS[1], [1] * AT_ONCE_PER_CHANNEL)):
        pending = [delivery(number, about=f"alert-{number}", channel=channel) for number in range(1, 61)]
        assert [len(batch) for batch in ready(pending, BEGAN, {})] == sizes
    pending = [delivery(1), delivery(2, about="alert-2", batch="of another sweep")]
    assert [ids(batch) for batch in ready(pending, BEGAN, {})] == [[1], [2]]


def test_what_failed_before_does_not_go_with_what_is_new():
    pending = [delivery(1, attempts=3), delivery(2, about="alert-2")]
    assert [ids(batch) for batch in ready(pending, BEGAN, {})] == [[2], [1]]


def test_a_channel_that_hangs_leaves_the_others_their_room():
    hangs = {f"dlv_{number}": CHANNELS[0].key for number in range(AT_ONCE_PER_CHANNEL)}
    pending = [delivery(100), delivery(101, channel=CHANNELS[1])]
    assert [ids(batch) for batch in ready(pending, BEGAN, hangs)] == [[101]]


@pytest.mark.parametrize("back", [dt.timedelta(minutes=5), dt.timedelta(hours=1), dt.timedelta(days=3)])
def test_a_clock_that_is_set_back_makes_no_message_wait(back):
    waiting = delivery(due_at=BEGAN + dt.timedelta(seconds=30), attempted_at=BEGAN)
    assert not is_due(waiting, BEGAN + dt.timedelta(seconds=1))
    assert is_due(waiting, BEGAN - back)


@given(
    attempts=st.integers(1, 5000), age_s=st.floats(0, 90_000), jitter=st.floats(0, 1), asked_s=st.none() | st.floats(0, 1e6)
)
def test_waits_grow_within_their_bounds_and_never_undercut_what_is_asked(attempts, age_s, jitter, asked_s):
    now = BEGAN + dt.timedelta(seconds=age_s)
    longest_s = SOON_WAIT_S if now - BEGAN < SOON else LATE_WAIT_S
    waited_s = wait_s(delivery(attempts=attempts), now, jitter, asked_s)
    assert max(0.5, asked_s or 0) <= waited_s <= max(longest_s, asked_s or 0)


def test_what_was_tried_for_a_day_is_dead_and_says_why():
    last = BEGAN + GIVE_UP_AFTER
    failed = settled(delivery(attempts=300), Outcome("retry", "it answered 500"), last, 0.0)
    assert (failed.status, failed.reason) == ("dead", "given up after 300 attempts: it answered 500")
    asked = settled(delivery(attempts=1), Outcome("retry", "it answered 429", 1e9), BEGAN, 0.0)
    assert asked.status == "dead"
    again = settled(delivery(attempts=300, tried_since=last), Outcome("retry", "it answered 500"), last, 0.0)
    assert again.status == "pending"


def test_what_cannot_be_delivered_is_dead_at_once_and_what_was_is_settled():
    dead = settled(delivery(attempts=1), Outcome("dead", "it answered 404"), BEGAN, 0.5)
    assert (dead.status, dead.reason, dead.settled_at) == ("dead", "it answered 404", BEGAN)
    assert settled(delivery(attempts=1), Outcome("delivered"), BEGAN, 0.5).status == "delivered"


RUNS = st.builds(
    lambda repeats, is_acknowledged, is_over: (
        ["firing"] * repeats + ["acknowledged"] * is_acknowledged + ["resolved"] * is_over
    ),
    st.integers(1, 3), st.booleans(), st.booleans(),
)  # fmt: skip
"""What one run of an alert says."""


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_whatever_fails_messages_keep_their_order_and_all_arrive_within_a_minute_of_recovery(data):
    """A simulation: faults for a while, then none; nothing waits, and no clock but this one."""
    pending = [
        delivery(0, event, f"alert-{alert}", channel, run=run)
        for alert, channel in data.draw(
            st.lists(st.tuples(st.integers(0, 2), st.sampled_from(CHANNELS)), max_size=4, unique=True)
        )
        for run, events in enumerate(data.draw(st.lists(RUNS, max_size=2)))
        for event in events
    ]
    pending = [replace(one, sequence=number, id=f"dlv_{number}") for number, one in enumerate(pending)]
    wanted, delivered, untold, told = list(pending), [], set(), set()
    now, recovery = BEGAN, BEGAN + dt.timedelta(seconds=data.draw(st.integers(0, 1800)))
    while pending:
        assert now <= recovery + dt.timedelta(seconds=60)
        pending = [replace(one, is_run_known=(one.order, one.began_at) in told) for one in pending]
        old = superseded(pending, set())
        untold |= {one.id for one in old}
        pending = [one for one in pending if one.id not in untold]
        batches = ready(pending, now, {})
        assert all(count <= AT_ONCE_PER_CHANNEL for count in Counter(batch[0].channel.key for batch in batches).values())
        sent = [one.order for batch in batches for one in batch]
        assert len(set(sent)) == len(sent)
        for batch in batches:
            outcome = Outcome("delivered") if now >= recovery else Outcome("retry", "no answer")
            for one in batch:
                told.add((one.order, one.began_at))
                after = settled(
                    replace(one, attempts=one.attempts + 1, attempted_at=now), outcome, now, data.draw(st.floats(0, 1))
                )
                pending = [after if other.id == one.id else other for other in pending]
                delivered += [one] if after.status == "delivered" else []
        pending = [one for one in pending if one.status == "pending"]
        moments = [recovery, *(one.due_at for one in pending)]
        if not batches:
            now = min((moment for moment in moments if moment > now), default=now)
    for order in {one.order for one in delivered}:
        sequences = [one.sequence for one in delivered if one.order == order]
        assert sequences == sorted(set(sequences))
    arrived = {one.id for one in delivered}
    assert {one.id for one in wanted} == arrived | untold
    for one in wanted:  # the end of what somebody was told of is told
        if one.event == "resolved" and (one.order, one.began_at) in told:
            assert one.id in arrived
