from __future__ import annotations

import polars as pl
import pytest
from scipy import stats

from lake.analysis.contrast import MISSING, contrast, occurrences


def counts(*rows):
    schema = {"key": pl.String, "value": pl.String, "chosen": pl.Int64, "others": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_what_the_chosen_have_more_often_comes_first():
    rows = counts(
        ("region", "eu", 90, 500), ("region", "us", 10, 500), ("tenant", "big", 70, 300), ("tenant", "small", 30, 700)
    )
    found = contrast(rows, 100, 1000)
    assert found.select("key", "value").rows() == [("region", "eu"), ("tenant", "big")]
    assert found["share_chosen"].to_list() == [0.9, 0.7]
    assert found["share_others"].to_list() == [0.5, 0.3]
    assert (found["q_value"] < 0.001).all()


def test_what_is_common_anyway_tells_nothing():
    assert contrast(counts(("method", "GET", 95, 950), ("method", "POST", 30, 50)), 100, 1000)["value"].to_list() == ["POST"]


def test_a_value_of_few_chosen_spans_is_an_anecdote():
    assert contrast(counts(("host", "a", 19, 0), ("host", "b", 81, 1000)), 100, 1000).is_empty()


def test_ids_are_left_out():
    ids = counts(*(("request.id", str(i), 1, 0) for i in range(600)), ("request.id", "same", 100, 0))
    assert contrast(ids, 700, 500).is_empty()


def test_the_odds_ratio_is_that_of_the_table_with_half_a_span_in_each_cell():
    row = contrast(counts(("flag", "on", 60, 100)), 100, 1000).row(0, named=True)
    assert row["odds_ratio"] == pytest.approx(60.5 * 900.5 / (100.5 * 40.5))
    interval = stats.binomtest(60, 100).proportion_ci(method="wilson")
    assert (row["share_low"], row["share_high"]) == pytest.approx((interval.low, interval.high))


def test_not_to_have_an_attribute_is_a_value():
    spans = pl.DataFrame({"span": range(100), "is_chosen": [i < 40 for i in range(100)]})
    attributes = pl.DataFrame({"span": range(40, 100), "key": ["cache.hit"] * 60, "value": ["true"] * 60})
    found = occurrences(attributes, spans).sort("value")
    assert found.rows() == [("cache.hit", MISSING, 40, 0), ("cache.hit", "true", 0, 60)]
    assert contrast(found, 40, 60)["value"].to_list() == [MISSING]


def test_nothing_chosen_has_no_contrast():
    assert contrast(counts(("a", "b", 0, 10)), 0, 10).is_empty()
