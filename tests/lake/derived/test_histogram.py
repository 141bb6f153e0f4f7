"""Quantiles of binned durations are off by a percent at most, and histograms add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.derived import histogram
from lake.derived.histogram import QUANTILES, bins_of, latencies, merged, middle_ns

BOUND = 1.02**0.5 - 1 + 1e-9
"""Relative, with room for the rounding of doubles."""

LARGEST = 2**63 - 1
DURATIONS = st.integers(0, LARGEST) | st.integers(0, 2000) | st.integers(0, 62).map(lambda n: 2**n)
LISTS = st.lists(DURATIONS, min_size=1, max_size=60)
SHARES = (0, 0.01, 0.5, 0.75, 0.9, 0.95, 0.99, 1)


def one(durations, group=None, counts=None):
    """The histograms of durations, one for each group."""
    durations = np.array(durations, np.int64)
    group = np.zeros(len(durations), np.int64) if group is None else np.array(group, np.int64)
    counts = np.ones(len(durations), np.int64) if counts is None else np.array(counts, np.int64)
    bins, sums = merged(group, int(group.max(initial=-1)) + 1, bins_of(durations), counts)
    return list(zip(bins.to_pylist(), sums.to_pylist(), strict=True))


def quantile_ns(durations, share):
    """By the histogram, the duration of that rank."""
    ((bins, counts),) = one(durations)
    rank = int(np.floor(share * (len(durations) - 1)))
    return middle_ns(np.array(bins, np.int16))[np.searchsorted(np.cumsum(counts), rank, side="right")]


def assert_quantiles_are_near(durations):
    for share in SHARES:
        exact = int(np.quantile(np.array(durations, np.int64), share, method="lower"))
        assert abs(quantile_ns(durations, share) - exact) <= BOUND * exact


@settings(max_examples=100, deadline=None)
@given(durations=LISTS)
def test_every_quantile_is_off_by_a_percent_at_most(durations):
    assert_quantiles_are_near(durations)


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_of_many_durations_are_off_by_a_percent_at_most(seed):
    random = np.random.default_rng(seed)
    for durations in (random.lognormal(16, 3, 20_000), random.exponential(1e6, 20_000), random.uniform(0, 100, 20_000)):
        assert_quantiles_are_near(durations.astype(np.int64))


def test_each_duration_lies_in_the_bin_whose_middle_is_within_a_percent():
    near = np.unique(np.concatenate([(1.02 ** np.arange(2205)).astype(np.int64) + shift for shift in (-1, 0, 1)]))
    near = near[near > 0]
    assert (np.abs(middle_ns(bins_of(near)) - near) <= BOUND * near).all()


def test_a_longer_duration_never_lies_in_a_lower_bin():
    durations = np.append(np.arange(100_000), np.geomspace(1, 9e18, 100_000).astype(np.int64))
    assert (np.diff(bins_of(np.sort(durations))) >= 0).all()


def test_no_duration_and_the_longest_have_bins():
    assert bins_of(np.array([0, 1, LARGEST, -5])).tolist() == [-1, 0, 2205, -1]
    assert middle_ns(np.array([-1], np.int16)).tolist() == [0.0]
    assert one([0, LARGEST, LARGEST]) == [([-1, 2205], [1, 2])]


@settings(max_examples=100, deadline=None)
@given(groups=st.lists(LISTS, min_size=1, max_size=5))
def test_latencies_are_those_of_the_durations_within_the_bound(groups):
    durations = [d for group in groups for d in group]
    of_group = [number for number, group in enumerate(groups) for _ in group]
    bins, counts = merged(
        np.array(of_group), len(groups), bins_of(np.array(durations, np.int64)), np.ones(len(durations), np.int64)
    )
    offsets = np.concatenate(([0], np.cumsum([len(numbers) for numbers in bins.to_pylist()])))
    found = latencies(offsets, bins.flatten().to_numpy(), counts.flatten().to_numpy())
    for place, group in enumerate(groups):
        for name, share in QUANTILES.items():
            exact = np.quantile(np.array(group, np.float64), share, method="inverted_cdf")
            assert found[name][place] == pytest.approx(exact, rel=BOUND)
        assert found["max_ns"][place] == pytest.approx(max(group), rel=BOUND)
        assert found["avg_ns"][place] == pytest.approx(sum(group) / len(group), rel=BOUND)


def test_no_histograms_have_no_latencies():
    found = latencies(np.array([0]), np.array([], np.int16), np.array([], np.int64))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys((*QUANTILES, "avg_ns", "max_ns"), 0)


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(LISTS, min_size=1, max_size=5))
def test_histograms_of_parts_add_up_to_that_of_the_whole(parts):
    histograms = [one(part)[0] for part in parts]
    bins = np.array([number for numbers, _ in histograms for number in numbers], np.int16)
    counts = np.array([count for _, counts in histograms for count in counts])
    found = merged(np.zeros(len(bins), np.int64), 1, bins, counts)
    assert (found[0].to_pylist()[0], found[1].to_pylist()[0]) == one([d for part in parts for d in part])[0]


def test_each_group_has_its_own():
    assert one([1, 100, 1, 1], group=[1, 0, 1, 0], counts=[2, 3, 4, 5]) == [([0, 232], [5, 3]), ([0], [6])]


def test_bins_fit_into_what_tells_groups_apart():
    assert bins_of(np.array([LARGEST]))[0] - histogram.ZERO_BIN < histogram._BINS
