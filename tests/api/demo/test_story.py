"""The shop in time: days, releases, speed."""

import datetime as dt

import numpy as np
import pytest

from api.demo.history import History
from api.demo.story import DAY_NS, DAYS, HOUR_NS


@pytest.fixture(scope="module")
def moments(story):
    """The starts of all requests."""
    return story.moments(0, 1, 150_000, np.random.default_rng(1))


def test_requests_come_in_order_from_the_first_to_the_last_of_the_nine_days(story, moments):
    assert np.all(np.diff(moments) >= 0)
    assert story.start_ns <= moments[0] < story.start_ns + HOUR_NS
    assert story.end_ns - HOUR_NS < moments[-1] < story.end_ns


def test_the_busiest_hour_of_every_day_has_ten_times_the_requests_of_the_quietest(story, moments):
    hours = np.bincount((moments - story.start_ns) // HOUR_NS, minlength=24 * DAYS).reshape(DAYS, 24)
    assert np.all(hours.max(axis=1) > 10 * hours.min(axis=1))


def test_the_busiest_hour_is_that_of_the_youngest_deploy(story, moments):
    hours = np.bincount((story.end_ns - moments) // HOUR_NS % 24, minlength=24)
    youngest = min(deploy.age for deploy in story.shop.deploys)
    assert int(hours.argmax()) in (youngest // dt.timedelta(hours=1) - 1, youngest // dt.timedelta(hours=1))


def test_every_day_is_busier_than_the_one_before(story, moments):
    days = np.bincount((moments - story.start_ns) // DAY_NS)
    assert np.all(np.diff(days) > 0)


def test_a_release_runs_from_the_moment_of_its_deploy_to_the_next(story):
    for deploy in story.shop.deploys:
        at_ns = story.deployed_ns(deploy)
        before, since = story.release_numbers(deploy.service, np.array([at_ns - 1, at_ns]))
        assert since == before + 1
        assert story.releases(deploy.service)[since] == deploy.release


def test_after_the_end_of_the_history_the_youngest_releases_run(story):
    for service in story.shop.services:
        [number] = story.release_numbers(service.name, np.array([story.end_ns + 30 * DAY_NS]))
        assert number == len(story.releases(service.name)) - 1


def test_machines_are_slower_under_load_and_never_by_more_than_a_tenth(story):
    at_ns = np.arange(story.start_ns, story.end_ns, HOUR_NS // 4)
    for service in story.shop.services:
        slowness = story.slowness(service.name, at_ns)
        assert 0.95 < slowness.min() < slowness.max() < 1.1
        assert np.corrcoef(slowness, story.rhythm(at_ns))[0, 1] > 0.5


@pytest.mark.parametrize("span_count", [1000, 20_000, 1_000_000])
def test_a_history_has_as_many_spans_as_it_shall_within_a_twentieth(story, span_count):
    history = History(story, span_count)
    some = range(0, history.part_count, max(1, history.part_count // 8))
    mean = np.mean([history.part(number).span_count for number in some])
    tolerance = 0.05 if span_count > 1000 else 0.25  # with 150 requests it depends on which they are
    assert mean * history.part_count == pytest.approx(span_count, rel=tolerance)
