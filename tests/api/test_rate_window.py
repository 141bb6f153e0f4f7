"""The window of a rate limit, against a log of every request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rate_window import SECONDS, WINDOW_S, decide, empty, show, slide


class Limiter:
    """A window with a limit, and what it let pass."""

    def __init__(self, limit):
        self.limit, self.counts, self.last_s = limit, empty(), 0.0
        self.passed: list[float] = []

    def ask(self, now_s):
        slide(self.counts, self.last_s, now_s)
        self.last_s = now_s
        decision = decide(self.counts, self.limit, now_s)
        if decision.is_allowed:
            self.counts[int(now_s) % SECONDS] += 1
            self.passed.append(now_s)
        return decision

    def within(self, seconds, now_s):
        """How many passed in the seconds that end now."""
        return sum(1 for moment in self.passed if moment > now_s - seconds)


arrivals = st.lists(
    st.tuples(st.sampled_from([0.0, 0.001, 0.5, 1.0, 7.3, 30.0, 59.0, 59.999, 60.0, 60.5, 61.0, 200.0]), st.integers(1, 40)),
    max_size=30,
)
"""Pauses, and how many requests come at once after each."""


@given(arrivals, st.integers(1, 100), st.floats(0, 1e6))
def test_no_minute_sees_more_than_the_limit_and_nothing_is_refused_that_61_seconds_have_room_for(arrivals, limit, start_s):
    limiter, now_s = Limiter(limit), start_s
    for pause_s, count in arrivals:
        now_s += pause_s
        for _ in range(count):
            before, before_long = limiter.within(WINDOW_S, now_s), limiter.within(SECONDS, now_s)
            if limiter.ask(now_s).is_allowed:
                assert before < limit
            else:
                assert before_long >= limit


@given(st.integers(1, 20), st.floats(0, 1e6))
def test_who_sends_without_a_pause_has_at_most_three_percent_less_than_the_limit(limit, start_s):
    limiter = Limiter(limit)
    minutes, step_s = 30, 0.25
    for step in range(int(minutes * WINDOW_S / step_s)):
        limiter.ask(start_s + step * step_s)
    assert len(limiter.passed) >= limit * minutes * 0.97


@given(arrivals, st.integers(1, 50), st.floats(0, 1e6))
def test_what_a_decision_says_of_later_is_true(arrivals, limit, start_s):
    limiter, now_s = Limiter(limit), start_s
    for pause_s, count in arrivals:
        now_s += pause_s
        for _ in range(count):
            decision = limiter.ask(now_s)
            assert decision.remaining == max(0, limit - sum(limiter.counts))
            assert 0 < decision.reset_after_s <= SECONDS
            if not decision.is_allowed:
                later = Limiter(limit)
                later.counts, later.last_s = limiter.counts[:], now_s
                assert later.ask(now_s + decision.reset_after_s + 1e-6).is_allowed


def test_a_refused_request_is_not_counted():
    limiter = Limiter(2)
    assert [limiter.ask(100.0).is_allowed for _ in range(50)] == [True, True] + [False] * 48
    assert [limiter.ask(161.0).is_allowed for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("moment_s", "left_s"), [(100.0, 61.0), (100.75, 60.25), (130.5, 30.5), (160.999, 0.001)])
def test_the_reset_is_when_the_first_request_is_forgotten(moment_s, left_s):
    counts = empty()
    for second in (100, 130)[: 1 + (moment_s > 130)]:
        counts[second % SECONDS] = 1
    assert decide(counts, 10, moment_s).reset_after_s == pytest.approx(left_s)


def test_a_window_without_requests_shows_the_whole_limit():
    shown = show(empty(), 1000, 5.5)
    assert (shown.is_allowed, shown.limit, shown.remaining) == (True, 1000, 1000)
    assert 60 <= shown.reset_after_s <= 61


@pytest.mark.parametrize("now_s", [99.0, 0.0, 161.0, 1e6])
def test_a_clock_of_another_start_forgets_everything(now_s):
    counts = empty()
    counts[100 % SECONDS] = 7
    slide(counts, 100.0, now_s)
    assert counts == empty()
