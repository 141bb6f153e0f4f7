from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest
from scipy import stats

from lake.analysis.error_changes import error_changes
from lake.analysis.windows import windows
from tests.lake.analysis.minutes import LATER, NO_ERRORS, NOON

WINDOWS = windows(NOON, [], LATER)


def errors(**minutes_by_fingerprint):
    return pl.DataFrame(
        [
            ("cart", name, name.title(), f"message of {name}", NOON + dt.timedelta(minutes=minute))
            for name, minutes in minutes_by_fingerprint.items()
            for minute in minutes
        ],
        schema=NO_ERRORS.schema,
        orient="row",
    )


def test_an_error_is_new_when_it_was_not_seen_for_seven_days():
    found = error_changes(errors(new=[5], old=[5, -3000], forgotten=[5, -8 * 1440]), WINDOWS)
    assert dict(found.select("fingerprint", "is_new").rows()) == {"new": True, "old": False, "forgotten": True}


def test_an_error_of_the_minutes_after_a_deploy_that_are_left_out_is_new_too():
    found = error_changes(errors(new=[1]), WINDOWS)
    assert found.select("fingerprint", "is_new", "count_after").rows() == [("new", True, 0)]


def test_errors_after_the_window_are_not_looked_at():
    assert error_changes(errors(late=[70]), WINDOWS).is_empty()


def test_the_interval_of_a_rate_ratio_is_the_exact_one():
    found = error_changes(errors(spike=[*range(-10, 0), *range(10, 40)]), WINDOWS).row(0, named=True)
    assert (found["count_before"], found["count_after"], found["rate_ratio"]) == (10, 30, 3)
    test = stats.binomtest(30, 40)
    share = test.proportion_ci(method="exact")
    assert (found["ratio_low"], found["ratio_high"]) == pytest.approx(
        (share.low / (1 - share.low), share.high / (1 - share.high))
    )
    assert found["p_value"] == pytest.approx(test.pvalue)


def test_a_rate_ratio_to_none_is_infinite_and_one_of_none_is_zero():
    found = error_changes(errors(begun=[-3000, 10], ended=[-10]), WINDOWS)
    rows = {row["fingerprint"]: row for row in found.rows(named=True)}
    assert math.isinf(rows["begun"]["rate_ratio"])
    assert math.isinf(rows["begun"]["ratio_high"])
    assert (rows["ended"]["rate_ratio"], rows["ended"]["ratio_low"]) == (0, 0)


def test_new_errors_come_first():
    found = error_changes(errors(spike=[-20, *range(10, 40)], new=[10], quiet=[-30, -20]), WINDOWS)
    assert found["fingerprint"].to_list() == ["new", "spike", "quiet"]
