from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.analysis.quantiles import LOG_GROWTH, log_quantile, mean_ns, mixed, share_below, standard_errors
from lake.derived.histogram import bins_of

FIRST = 700
BINS = 400


def histogram(durations_ns):
    return np.bincount(bins_of(durations_ns) - FIRST, minlength=BINS).astype(float)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**6), st.floats(0.01, 0.99))
def test_a_quantile_is_that_of_the_durations_within_a_bin(seed, share):
    durations = np.random.default_rng(seed).lognormal(16.8, 0.4, 300).astype(np.int64)
    found = log_quantile(histogram(durations), share, FIRST)
    below, above = np.quantile(durations, share, method="lower"), np.quantile(durations, share, method="higher")
    assert np.log(below) - LOG_GROWTH <= found <= np.log(above) + LOG_GROWTH


def test_a_quantile_lies_within_its_bin_by_the_share_of_its_requests():
    weights = np.array([4.0, 0, 4])
    found = log_quantile(np.broadcast_to(weights, (5, 3)), np.array([0, 0.25, 0.5, 0.75, 1.0]), 10)
    assert found / LOG_GROWTH == pytest.approx([10, 10.5, 11, 12.5, 13])


def test_a_share_below_is_the_inverse_of_a_quantile():
    weights = histogram(np.random.default_rng(1).lognormal(16.8, 0.4, 5000).astype(np.int64))
    share = np.linspace(0.05, 0.95, 19)
    quantiles = log_quantile(np.broadcast_to(weights, (19, BINS)), share, FIRST)
    assert share_below(np.broadcast_to(weights, (19, BINS)), quantiles, FIRST) / 5000 == pytest.approx(share)


def test_a_histogram_without_requests_has_no_quantile():
    assert np.isnan(log_quantile(np.zeros(5), 0.5, 0))


def test_the_mean_is_that_of_the_durations_within_a_percent():
    durations = np.random.default_rng(1).lognormal(16.8, 0.4, 5000).astype(np.int64)
    assert mean_ns(histogram(durations), FIRST) == pytest.approx(durations.mean(), rel=0.01)


def test_requests_before_are_weighted_like_those_after():
    before = np.array([[100.0, 0], [0, 300]])
    after = np.array([[300.0, 0], [0, 100]])
    mix = mixed(before, after)
    assert mix.before == pytest.approx([0.75, 0.25])
    assert mix.after == pytest.approx([0.75, 0.25])
    assert mix.distance == pytest.approx(0.5)


def test_strata_with_few_requests_are_weighted_as_one():
    before = np.array([[100.0, 0, 0], [0, 10, 0], [0, 0, 30]])
    after = np.array([[100.0, 0, 0], [0, 60, 0], [0, 0, 5]])
    mix = mixed(before, after)
    assert mix.pooled.tolist() == [False, True, True]
    share = 65 / 165
    assert mix.before == pytest.approx([1 - share, share * 10 / 40, share * 30 / 40])


def test_what_has_no_like_before_is_left_out_on_both_sides():
    before = np.array([[100.0, 0], [0, 0]])
    after = np.array([[100.0, 0], [0, 80]])
    mix = mixed(before, after)
    assert mix.before == pytest.approx([1, 0])
    assert mix.after == pytest.approx([1, 0])


def test_the_standard_error_is_the_spread_of_the_difference():
    random = np.random.default_rng(1)
    blocks = np.stack([histogram(random.lognormal(16.8, 0.5, 200).astype(np.int64)) for _ in range(12 * 400)])
    blocks = blocks.reshape(400, 2, 6, 1, BINS)
    before, after = blocks[:, 0], blocks[:, 1]
    for share in (0.5, 0.9):
        mix = mixed(before.sum(1), after.sum(1))
        spread = np.std(log_quantile(mix.after, share, FIRST) - log_quantile(mix.before, share, FIRST))
        errors = standard_errors(before, after, mix, share, FIRST)
        assert errors.alone.mean() == pytest.approx(spread, rel=0.12)
        assert errors.in_blocks.mean() == pytest.approx(spread, rel=0.2)


def test_the_standard_error_of_blocks_knows_that_requests_of_a_block_move_together():
    random = np.random.default_rng(1)
    drift = random.normal(16.8, 0.2, 200 * 12)
    blocks = [histogram(random.lognormal(level, 0.5, 100).astype(np.int64)) for level in drift]
    stacked = np.stack(blocks).reshape(200, 2, 6, 1, BINS)
    mix = mixed(stacked[:, 0].sum(1), stacked[:, 1].sum(1))
    spread = np.std(log_quantile(mix.after, 0.5, FIRST) - log_quantile(mix.before, 0.5, FIRST))
    errors = standard_errors(stacked[:, 0], stacked[:, 1], mix, 0.5, FIRST)
    assert errors.alone.mean() < 0.6 * spread
    assert errors.in_blocks.mean() == pytest.approx(spread, rel=0.2)


def test_a_stratified_standard_error_is_less_than_one_of_the_mix():
    random = np.random.default_rng(1)
    light, heavy = (histogram(random.lognormal(mean, 0.1, 600).astype(np.int64)) for mean in (16, 17))
    apart = np.stack((light, heavy))[None]
    together = apart.sum(1, keepdims=True)
    errors = [standard_errors(x, x, mixed(x.sum(0), x.sum(0)), 0.75, FIRST).alone for x in (apart, together)]
    assert errors[0] < errors[1]
