"""Each window is judged once, whatever happens to the process and its clock."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from scheduler.alerts.windows import CATCH_UP, LAG, due, interval, newest_end

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
FIVE = 5 * MINUTE

windows = st.sampled_from([dt.timedelta(seconds=30), FIVE, HOUR, 3 * HOUR, 24 * HOUR])
steps = st.lists(st.integers(1, 20 * 60).map(lambda s: dt.timedelta(seconds=s)), min_size=1, max_size=30)


def test_a_window_ends_with_the_last_whole_minute_before_the_lag():
    assert newest_end(NOON + LAG - dt.timedelta(microseconds=1), FIVE) == NOON - MINUTE
    assert newest_end(NOON + LAG, FIVE) == NOON


def test_long_windows_are_judged_less_often():
    assert [interval(w * MINUTE) // MINUTE for w in (1, 60, 119, 120, 180, 1440)] == [1, 1, 1, 2, 3, 24]


def test_a_new_rule_is_judged_on_the_newest_window():
    assert due(None, NOON + LAG, FIVE).ends == (NOON,)


@given(windows, steps)
def test_a_process_that_comes_and_goes_judges_every_window_once(window, steps):
    now, evaluated_to = NOON + LAG, None
    judged: list[dt.datetime] = []
    for step in steps:
        found = due(evaluated_to, now, window)
        assert not found.is_jump
        judged += found.ends
        evaluated_to = judged[-1]
        now += step
    every = interval(window)
    assert judged == [judged[0] + every * n for n in range(len(judged))]
    assert judged[-1] == newest_end(now - steps[-1], window)


@given(windows, st.timedeltas(CATCH_UP + HOUR, 72 * HOUR))
def test_of_a_long_gap_the_last_hour_is_judged(window, gap):
    now = NOON + gap + LAG
    found = due(newest_end(NOON, window), now, window)
    assert found.is_jump
    assert found.ends[-1] == newest_end(now, window)
    assert found.ends[0] >= found.ends[-1] - CATCH_UP
    assert len(found.ends) <= 60


def test_a_clock_set_back_a_little_waits():
    assert due(NOON + 3 * MINUTE, NOON + LAG, FIVE).ends == ()


def test_a_clock_set_back_an_hour_goes_on_from_there():
    found = due(NOON + HOUR, NOON + LAG, FIVE)
    assert (found.ends, found.is_jump) == ((NOON,), True)
    assert due(NOON, NOON + LAG + MINUTE, FIVE).ends == (NOON + MINUTE,)


def test_a_clock_set_forward_an_hour_catches_up():
    found = due(NOON, NOON + LAG + HOUR, FIVE)
    assert (len(found.ends), found.is_jump) == (60, False)
