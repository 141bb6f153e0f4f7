from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lake.analysis.change_points import change_points, changes, long_run_variance
from lake.analysis.facts import Deploy
from tests.lake.analysis.minutes import NOON


def noise(count, correlation=0.0, seed=1):
    random = np.random.default_rng(seed)
    found = random.standard_normal(count)
    found[1:] *= np.sqrt(1 - correlation**2)
    for place in range(1, count):
        found[place] += correlation * found[place - 1]
    return 0.05 * found


def test_a_change_is_found_where_it_is():
    values = noise(300)
    values[120:] += 0.2
    found = change_points(values)
    assert len(found) == 1
    assert abs(found[0] - 120) <= 1


def test_two_changes_are_found():
    values = noise(300)
    values[100:180] += 0.2
    assert change_points(values) == pytest.approx([100, 180], abs=1)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_drift_is_no_string_of_changes(correlation):
    alarms = sum(bool(change_points(noise(240, correlation, seed))) for seed in range(60))
    assert alarms <= 5  # of 60


def test_a_spike_is_no_change():
    values = noise(300)
    values[150:153] += 0.3
    assert change_points(values) == []


def test_the_variance_of_independent_values_is_their_own():
    assert long_run_variance(noise(20_000)) == pytest.approx(0.05**2, rel=0.1)


def test_the_long_run_variance_of_an_autoregression_is_that_of_the_textbook():
    assert long_run_variance(noise(50_000, 0.5)) == pytest.approx(0.05**2 * 1.5 / 0.5, rel=0.15)


def test_a_series_that_is_short_or_still_has_no_changes():
    assert change_points(np.ones(15)) == []
    assert change_points(np.ones(100)) == []


def test_deploys_near_a_change_are_named():
    values = noise(200)
    values[100:] += 0.3
    minutes = pl.DataFrame({"minute": [NOON + dt.timedelta(minutes=i) for i in range(200)], "log_value": values})
    deploys = [
        Deploy(name, NOON + dt.timedelta(minutes=at), "cart") for name, at in (("far", 60), ("near", 97), ("next", 106))
    ]
    row = changes(minutes, deploys).row(0, named=True)
    assert row["deploys"] == ["near", "next"]
    assert row["change_pct"] == pytest.approx(35, abs=3)
    assert row["minutes_before"] + row["minutes_after"] == 200


def test_a_series_without_changes_has_an_empty_table():
    minutes = pl.DataFrame({"minute": [NOON + dt.timedelta(minutes=i) for i in range(50)], "log_value": noise(50)})
    assert changes(minutes, []).is_empty()
