"""The state machine: what it says of lists of readings, and what no list of readings can bring about."""

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.alerts.rules import condition_of
from scheduler.alerts.states import ACTIVE, Reading, ended, step
from scheduler.alerts.windows import LAG, due

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
HIGH, LOW, NOTHING, FAILED = Reading(9.0), Reading(1.0), Reading(), Reading(problem="cannot be read")


def condition(**more):
    return condition_of({"metric": "latency_p95", "threshold": 5, "window": "5m", **more})


def run(readings, state=None, start=NOON, **more):
    """The states after each reading, a minute apart, and the transitions."""
    states, transitions = [], []
    for number, reading in enumerate(readings):
        state, transition = step(state, reading, condition(**more), start + number * MINUTE)
        states.append(state)
        transitions += [transition] if transition else []
    return states, transitions


def names(readings, **more):
    return [state.name for state in run(readings, **more)[0]]


def test_an_alert_without_for_fires_at_once_and_ends_at_once():
    states, transitions = run([LOW, HIGH, HIGH, LOW])
    assert [state.name for state in states] == ["ok", "firing", "firing", "ok"]
    assert [(t.begins, t.ends) for t in transitions] == [(True, False), (False, True)]
    assert transitions[0].started_at == transitions[1].started_at == NOON + MINUTE


def test_for_is_waited_for():
    assert names([HIGH, HIGH, HIGH, LOW], **{"for": "2m"}) == ["pending", "pending", "firing", "ok"]
    assert names([HIGH, LOW, HIGH, HIGH], **{"for": "2m"}) == ["pending", "ok", "pending", "pending"]


def test_an_alert_began_when_its_condition_began_to_hold():
    _, transitions = run([LOW, HIGH, HIGH, HIGH], **{"for": "2m"})
    assert [(t.after.name, t.started_at) for t in transitions] == [("pending", NOON + MINUTE), ("firing", NOON + MINUTE)]


def test_keep_firing_for_hides_short_recoveries():
    states, transitions = run([HIGH, LOW, HIGH, LOW, LOW, LOW], keep_firing_for="3m")
    assert [state.name for state in states] == ["firing", "recovering", "firing", "recovering", "recovering", "ok"]
    assert [t.begins for t in transitions].count(True) == [t.ends for t in transitions].count(True) == 1


@pytest.mark.parametrize("gap", [NOTHING, FAILED])
def test_a_window_without_an_answer_changes_nothing_of_an_alert(gap):
    quiet = gap.gap
    assert names([LOW, gap, LOW]) == ["ok", quiet, "ok"]
    assert names([HIGH, gap, LOW]) == ["firing", "firing", "ok"]
    assert names([HIGH, LOW, gap, gap], keep_firing_for="1m") == ["firing", "ok", quiet, quiet]
    assert run([HIGH, gap])[0][-1].reason == quiet
    assert run([HIGH, gap, HIGH])[0][-1].reason is None


@pytest.mark.parametrize("gap", [NOTHING, FAILED])
def test_minutes_without_an_answer_do_not_count_towards_for(gap):
    assert names([HIGH, gap, gap, HIGH, HIGH], **{"for": "2m"}) == ["pending", "pending", "pending", "pending", "firing"]


@pytest.mark.parametrize(("gap", "field"), [(NOTHING, "no_data"), (FAILED, "on_error")])
def test_a_window_without_an_answer_can_be_an_alert(gap, field):
    states, transitions = run([LOW, gap, gap, LOW], **{field: "alert", "for": "1m"})
    assert [state.name for state in states] == ["ok", "pending", "firing", "ok"]
    assert transitions[1].after.reason == gap.gap


def test_a_window_without_data_can_be_the_end_of_an_alert():
    assert names([HIGH, NOTHING, LOW], no_data="ok") == ["firing", "no_data", "ok"]
    assert run([HIGH, NOTHING], no_data="ok")[1][-1].ends


def test_the_last_value_is_kept():
    assert [state.value for state in run([HIGH, NOTHING, LOW])[0]] == [9.0, 9.0, 1.0]


def test_an_alert_whose_series_is_gone_ends():
    [firing], _ = run([HIGH])
    after, transition = ended(firing, "missing_series", NOON + MINUTE)
    assert (after.name, after.reason) == ("ok", "missing_series")
    assert transition is not None
    assert (transition.ends, transition.started_at) == (True, NOON)


readings = st.lists(st.sampled_from([HIGH, HIGH, LOW, NOTHING, FAILED]), max_size=40)
timings = st.fixed_dictionaries(
    {"for": st.sampled_from(["0s", "1m", "5m"]), "keep_firing_for": st.sampled_from(["0s", "3m"])},
    optional={"no_data": st.sampled_from(["ok", "alert"]), "on_error": st.sampled_from(["ok", "alert"])},
)


@given(readings, timings)
def test_beginnings_and_ends_take_turns(readings, timings):
    states, transitions = run(readings, **timings)
    marks = ["begins" if t.begins else "ends" for t in transitions if t.begins or t.ends]
    assert marks == (["begins", "ends"] * len(marks))[: len(marks)]
    assert (len(marks) % 2 == 1) == bool(states and states[-1].name in ACTIVE)


@given(readings, timings)
def test_transitions_are_the_changes_of_the_state(readings, timings):
    states, transitions = run(readings, **timings)
    changes = [(a, b) for a, b in pairwise(["ok", *(state.name for state in states)]) if a != b]
    assert [(t.before, t.after.name) for t in transitions] == changes


@given(readings, timings)
def test_no_alert_fires_that_was_not_judged_to_hold_for_long_enough(readings, timings):
    held_s = condition(**timings).hold_s
    policy = condition(**timings)
    holds = {HIGH: True, LOW: False, NOTHING: policy.no_data == "alert", FAILED: policy.on_error == "alert"}
    judged = (
        {HIGH, LOW} | ({NOTHING} if policy.no_data != "keep" else set()) | ({FAILED} if policy.on_error != "keep" else set())
    )
    _, transitions = run(readings, **timings)
    for transition in (t for t in transitions if t.begins):
        until = (transition.after.since - NOON) // MINUTE
        before = [reading for reading in readings[: until + 1] if reading in judged]
        needed = before[-1 - held_s // 60 :]
        assert len(needed) == 1 + held_s // 60
        assert all(holds[reading] for reading in needed)


@given(readings, timings, st.lists(st.integers(1, 39)), st.integers(0, 50))
def test_restarts_change_nothing(readings, timings, stops, late_s):
    """A process that is killed anywhere and starts again later judges the same windows, and says the same of them."""
    _, transitions = run(readings, **timings)
    policy, window = condition(**timings), dt.timedelta(minutes=5)
    state, evaluated_to, found = None, NOON - MINUTE, []
    for stop in [*sorted(set(stops)), len(readings)]:
        now = NOON + (min(stop, len(readings)) - 1) * MINUTE + LAG + dt.timedelta(seconds=late_s)
        for at in due(evaluated_to, now, window).ends:
            state, transition = step(state, readings[(at - NOON) // MINUTE], policy, at)
            found += [transition] if transition else []
            evaluated_to = at
    assert found == transitions


HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize("jump", [-HOUR, 3 * 24 * HOUR])
def test_a_clock_that_jumps_ends_no_alert_and_begins_none(jump):
    for before, timings in (
        ([HIGH, HIGH], {}),
        ([HIGH], {"for": "5m"}),
        ([LOW], {}),
        ([HIGH, LOW], {"keep_firing_for": "5m"}),
    ):
        [*_, state], _ = run(before, **timings)
        at = state.evaluated_to + jump
        for reading in (NOTHING, before[-1]):
            after, transition = step(state, reading, condition(**timings), at, is_jump=True)
            assert transition is None or not (transition.begins or transition.ends)
            assert after.evaluated_to == at
            assert (after.name in ACTIVE) == (state.name in ACTIVE)


def test_an_hour_back_does_not_reset_for():
    [*_, state], _ = run([HIGH] * 4, **{"for": "5m"})
    back = state.evaluated_to - HOUR
    state, _ = step(state, HIGH, condition(**{"for": "5m"}), back, is_jump=True)
    assert names([HIGH, HIGH], state=state, start=back + MINUTE, **{"for": "5m"}) == ["pending", "firing"]


def test_what_was_pending_before_three_days_that_nobody_judged_begins_again():
    [*_, state], _ = run([HIGH] * 5, **{"for": "5m"})
    later = state.evaluated_to + 72 * HOUR
    state, _ = step(state, HIGH, condition(**{"for": "5m"}), later, is_jump=True)
    assert (state.name, state.active_since) == ("pending", later)
