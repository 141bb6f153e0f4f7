from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lake.analysis.compare import shared_error_changes
from lake.analysis.effects import (
    block_test,
    less_controls,
    log_odds,
    placebo_test,
    quasi_binomial_error,
    standardised_errors,
)

DAYS = np.repeat(np.arange(7), 5)


def test_the_mean_change_of_the_controls_is_subtracted():
    controls = np.array([[0.1, 0.0], [0.3, 0.0], [0.2, 0.0], [9.0, 9.0]])
    usable = np.array([[True, True]] * 3 + [[False, False]])
    found, count = less_controls(np.array([0.5, 0.1]), controls, usable)
    assert found == pytest.approx([0.3, 0.1])
    assert count.tolist() == [3, 3]


def test_two_controls_are_too_few():
    found, count = less_controls(np.array([0.5]), np.zeros((2, 1)), np.ones((2, 1), bool))
    assert np.isnan(found).all()
    assert count.tolist() == [2]


def test_what_happens_every_day_is_no_effect():
    placebos = 0.1 + 0.01 * np.tile([-1.0, 1, 0, 1, -1], 7)
    test = placebo_test(np.array(0.1), placebos, DAYS, np.array(0.0))
    assert test.effect == pytest.approx(0)
    assert test.p_value == pytest.approx(1)
    assert test.days == 7


def test_the_placebo_test_is_the_t_of_its_definition():
    placebos = np.random.default_rng(1).normal(0, 0.05, 35)
    test = placebo_test(np.array(0.2), placebos, DAYS, np.array(0.0))
    spread = placebos.std(ddof=1) * np.sqrt(1 + 1 / 7)
    t = (0.2 - placebos.mean()) / spread
    assert test.p_value == pytest.approx(2 * stats.t.sf(t, 13))
    assert (test.low, test.high) == pytest.approx(
        tuple(0.2 - placebos.mean() + np.array([-1, 1]) * stats.t.ppf(0.975, 13) * spread)
    )
    assert test.detectable == pytest.approx((stats.t.ppf(0.975, 13) + stats.t.ppf(0.8, 13)) * spread)


def test_quiet_days_cannot_make_a_test_surer_than_its_requests():
    test = placebo_test(np.array(0.1), np.zeros(35), DAYS, np.array(0.05))
    assert test.spread == pytest.approx(0.05 * np.sqrt(8 / 7))


def test_placebos_that_are_not_usable_do_not_count():
    placebos = np.where(DAYS < 3, np.linspace(-0.1, 0.1, 35), np.nan)
    test = placebo_test(np.array(0.0), placebos, DAYS, np.array(0.0))
    assert (int(test.days), float(test.freedom)) == (3, 5)


def test_without_placebos_there_is_no_test():
    test = placebo_test(np.array(0.1), np.full(35, np.nan), DAYS, np.array(0.1))
    assert np.isnan(test.p_value)
    assert test.days == 0


def test_a_test_of_two_blocks_says_nothing():
    assert np.isnan(block_test(np.array(1.0), np.array(0.1), 0).p_value)


def test_log_odds_of_none_and_of_all_are_finite():
    assert np.isfinite(log_odds(np.array([0.0, 10.0]), np.array([10.0, 10.0]))).all()


def test_errors_before_are_those_of_the_mix_after():
    # one in ten of the small, five in ten of the large fail; after, nine of ten requests are large
    found = standardised_errors(np.array([90.0, 50.0]), np.array([900.0, 100.0]), np.array([10.0, 90.0]))
    assert found / 1000 == pytest.approx(0.1 * 0.1 + 0.9 * 0.5)


def test_errors_that_come_evenly_have_the_binomial_error():
    errors, count = np.full((2, 6), 10.0), np.full((2, 6), 400.0)
    assert quasi_binomial_error(errors, count) == pytest.approx(np.sqrt(2 / 60.5 + 2 / 2340.5))


def test_errors_that_come_in_bursts_have_a_larger_one():
    even = quasi_binomial_error(np.full((2, 6), 10.0), np.full((2, 6), 400.0))
    bursts = quasi_binomial_error(np.array([[60.0, 0, 0, 0, 0, 0]] * 2), np.full((2, 6), 400.0))
    assert bursts > 3 * even


def test_controls_with_hardly_an_error_tell_nothing_of_a_shared_disturbance():
    few = np.zeros((3, 2, 2))
    few[0, 0, 1] = 5
    many = np.full((3, 2, 2), 40.0)
    many[:, 0, 1] = 80
    requests, usable = np.full((3, 2, 2), 1000.0), np.ones((3, 2), bool)
    assert shared_error_changes(few, requests, usable) == pytest.approx([0, 0])
    assert shared_error_changes(many, requests, usable) == pytest.approx([np.log(2), 0], abs=0.06)
