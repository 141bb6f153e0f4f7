"""Deploy reports of a small shop: each case is one that a person would decide the same way."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from lake.analysis.facts import Deploy
from lake.analysis.impact import Report, impact, services_of
from tests.lake.analysis.minutes import CALLS, DEPLOY, LATER, NO_ERRORS, NOON, SERVICES, facts, minutes


def row_of(report: Report, metric: str = "p50") -> dict[str, Any]:
    rows = report.rows.filter(pl.col("metric") == metric)
    assert len(rows) == 1
    return rows.row(0, named=True)


@pytest.fixture(scope="module")
def unchanged():
    return minutes()


@pytest.fixture(scope="module")
def slower():
    return minutes(1.3)


def test_a_deploy_that_does_nothing_is_no_evidence_of_a_change(unchanged):
    report = impact(DEPLOY, facts(unchanged), LATER)
    assert not set(report.rows["verdict"]) & {"regressed", "improved", "suspect"}
    assert row_of(report)["verdict"] == "no evidence"
    assert report.rows["metric"].sort().to_list() == ["errors", "p50", "p95", "p99"]


def test_a_slower_deploy_has_regressed_by_as_much(slower):
    report = impact(DEPLOY, facts(slower), LATER)
    row = row_of(report)
    assert report.verdict == row["verdict"] == row_of(report, "p95")["verdict"] == "regressed"
    assert row["ci_low_pct"] < 30 < row["ci_high_pct"]
    assert row["diff_pct"] == pytest.approx(30, abs=6)
    assert (row["n_controls"], row["n_placebo_days"], row["mode"]) == (4, 7, "clock")
    assert row_of(report, "errors")["verdict"] in {"no evidence", "inconclusive"}


def test_a_faster_deploy_has_improved():
    report = impact(DEPLOY, facts(minutes(0.7)), LATER)
    assert report.verdict == "improved"


def test_p99_is_shown_and_never_judged(slower):
    row = row_of(impact(DEPLOY, facts(slower.with_columns(pl.col("span_count"))), LATER), "p99")
    assert row["q_value"] is None or row["q_value"] != row["q_value"]
    assert row["verdict"] in {"insufficient data", "inconclusive", "no evidence"}


def test_another_mix_is_no_regression():
    report = impact(DEPLOY, facts(minutes(slow_share_after=0.5)), LATER)
    row = row_of(report)
    assert row["diff_raw_pct"] > 10
    assert row["verdict"] in {"no evidence", "inconclusive"}
    assert row["mix_distance"] == pytest.approx(0.2, abs=0.03)
    assert any("mix of requests changed" in note for note in report.notes)


def test_rows_without_strata_are_one_stratum(slower):
    assert impact(DEPLOY, facts(slower.drop("stratum")), LATER).verdict == "regressed"


def test_what_slows_all_services_is_not_blamed_on_the_deploy():
    report = impact(DEPLOY, facts(minutes(shared=1.3)), LATER)
    row = row_of(report)
    assert row["diff_raw_pct"] > 25
    assert row["verdict"] == "no evidence"


def test_more_errors_have_regressed():
    row = row_of(impact(DEPLOY, facts(minutes(failing=0.05)), LATER), "errors")
    assert row["verdict"] == "regressed"
    assert row["unit"] == "share"
    assert row["after"] == pytest.approx(0.06, abs=0.015)


def test_a_slowdown_without_controls_is_suspected():
    report = impact(DEPLOY, facts(minutes(1.4, services=("cart", "search"))), LATER)
    assert row_of(report)["verdict"] == "suspect"
    assert any("no controls" in note for note in report.notes)


def test_a_slowdown_on_a_lake_without_history_is_suspected():
    report = impact(DEPLOY, facts(minutes(1.5, days=1)), LATER)
    assert row_of(report)["verdict"] == "suspect"
    assert row_of(report)["n_placebo_days"] == 0
    assert any("fewer than 3 days" in note for note in report.notes)


def test_few_requests_are_insufficient_data():
    report = impact(DEPLOY, facts(minutes(1.5, per_minute=2)), LATER)
    assert set(report.rows["verdict"]) == {"insufficient data"}
    assert report.verdict == "insufficient data"


def test_services_that_take_part_are_no_controls(slower):
    calls = pl.DataFrame({"source": ["search", "mail", "cart"], "target": ["mail", "cart", "stock"]})
    report = impact(DEPLOY, facts(slower, calls=calls), LATER)
    assert row_of(report)["n_controls"] == 0  # users alone is left, and one is too few
    assert row_of(report)["verdict"] == "suspect"


def test_a_service_that_is_deployed_too_is_no_control(slower):
    report = impact(DEPLOY, facts(slower, DEPLOY, Deploy("d2", NOON + dt.timedelta(minutes=10), "mail")), LATER)
    assert row_of(report)["n_controls"] == 3
    assert row_of(report)["overlaps"] == []
    assert report.verdict == "regressed"


def test_a_deploy_of_a_service_that_is_called_caps_the_verdict(slower):
    calls = pl.DataFrame({"source": ["cart"], "target": ["mail"]})
    report = impact(DEPLOY, facts(slower, DEPLOY, Deploy("d2", NOON, "mail"), calls=calls), LATER)
    assert row_of(report)["verdict"] == "suspect"
    assert row_of(report)["overlaps"] == ["d2"]


def test_another_deploy_of_the_service_cuts_the_windows(slower):
    again = Deploy("d2", NOON + dt.timedelta(minutes=40), "cart")
    report = impact(DEPLOY, facts(slower, DEPLOY, again), LATER)
    assert (row_of(report)["after_from_min"], row_of(report)["after_until_min"]) == (2, 40)
    assert any("38 min after" in note for note in report.notes)


def test_deploys_within_ten_minutes_are_judged_together(slower):
    again = Deploy("d2", NOON + dt.timedelta(minutes=6), "cart")
    report = impact(DEPLOY, facts(slower, DEPLOY, again), LATER)
    assert (row_of(report)["before_from_min"], row_of(report)["after_from_min"]) == (-60, 8)
    assert any("judged together" in note for note in report.notes)


def test_days_with_a_deploy_at_that_time_are_no_placebos(slower):
    earlier = [Deploy(f"e{day}", NOON - dt.timedelta(days=day), "cart") for day in (1, 2)]
    assert row_of(impact(DEPLOY, facts(slower, DEPLOY, *earlier), LATER))["n_placebo_days"] == 5


def test_versions_that_run_side_by_side_are_compared_with_each_other():
    rows = minutes(1.3, old_share_after=0.5, days=0, services=("cart",), per_minute=40)
    row = row_of(impact(DEPLOY, facts(rows), LATER))
    assert (row["mode"], row["verdict"]) == ("version", "regressed")
    assert row["diff_pct"] == pytest.approx(30, abs=8)


def test_versions_side_by_side_that_are_alike_are_no_regression():
    rows = minutes(old_share_after=0.5, shared=1.5, days=0, services=("cart",), per_minute=40)
    row = row_of(impact(DEPLOY, facts(rows), LATER))
    assert (row["mode"], row["verdict"]) in {("version", "no evidence"), ("version", "inconclusive")}


def test_a_look_before_the_end_wants_more_certainty(slower):
    report = impact(DEPLOY, facts(slower), NOON + dt.timedelta(minutes=20))
    row = row_of(report)
    assert row["after_until_min"] == 17  # the look at 15 minutes
    assert any("a look at 15 of 60 min" in note for note in report.notes)
    whole = row_of(impact(DEPLOY, facts(slower), LATER))
    assert row["q_value"] > row["p_value"] * 10
    assert whole["q_value"] < 10 * whole["p_value"]


def test_before_the_first_look_nothing_is_said(slower):
    report = impact(DEPLOY, facts(slower), NOON + dt.timedelta(minutes=4))
    assert set(report.rows["verdict"]) == {"insufficient data"}


def test_a_new_kind_of_error_is_a_row_of_its_own(unchanged):
    old = [NOON - dt.timedelta(days=3), NOON - dt.timedelta(minutes=20), NOON + dt.timedelta(minutes=20)]
    new = [NOON + dt.timedelta(minutes=5), NOON + dt.timedelta(minutes=50)]
    errors = pl.DataFrame(
        [("cart", "f-old", "Timeout", "slow", at) for at in old]
        + [("cart", "f-new", "KeyError", "sku", at) for at in new]
        + [("mail", "f-mail", "KeyError", "other service", at) for at in new],
        schema=NO_ERRORS.schema, orient="row",
    )  # fmt: skip
    found = impact(DEPLOY, facts(unchanged, errors=errors), LATER).errors
    assert found.select("service", "fingerprint", "is_new", "count_before", "count_after").rows() == [
        ("cart", "f-new", True, 0, 2),
        ("cart", "f-old", False, 1, 1),
    ]


def test_a_deploy_without_a_service_is_one_of_those_whose_version_changes(slower):
    nobody = Deploy("d1", NOON + dt.timedelta(minutes=3))
    assert services_of(nobody, slower) == ["cart"]
    assert services_of(Deploy("d1", NOON - dt.timedelta(minutes=40)), slower) == sorted(SERVICES)


def test_a_deploy_of_all_services_has_no_controls(slower):
    report = impact(Deploy("d1", NOON), facts(slower, Deploy("d1", NOON)), LATER)
    assert report.services == ("cart",)
    assert row_of(report)["verdict"] == "suspect"


def test_a_service_without_requests_has_an_empty_report(unchanged):
    report = impact(Deploy("d9", NOON, "nobody"), facts(unchanged), LATER)
    assert report.rows.is_empty()
    assert report.verdict == "insufficient data"


def test_the_report_does_not_depend_on_the_order_of_rows(slower):
    once = impact(DEPLOY, facts(slower), LATER).rows
    again = impact(DEPLOY, facts(slower.reverse(), calls=CALLS), LATER).rows
    assert once.equals(again)
