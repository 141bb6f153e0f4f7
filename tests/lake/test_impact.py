"""The report of a deploy, out of spans that were sent: a request a minute around the deploy and on the days before."""

from __future__ import annotations

import datetime as dt
import itertools

import polars as pl
import pytest

import lake
from lake.compaction import Compactor
from lake.errors import InvalidParameter
from tests.lake.checks import DISK
from tests.lake.rows import deploy, exception_event, span
from tests.lake.spans import START

MINUTE_NS = 60_000_000_000
DAY_MIN = 1440
AT = START + dt.timedelta(days=8)
NOW = AT + dt.timedelta(hours=3)

_TRACES = itertools.count(1)


def requests(service="cart", *, days=3, after_ms=20, environment="live"):
    """A request of 20 ms each minute, two hours to each side of the deploy, and on the days before."""
    for day in range(days + 1):
        for minute in range(-130, 130):
            ms = after_ms if day == 0 and minute >= 0 else 20
            yield span(
                f"{next(_TRACES):032x}",
                kind="server", name="GET /", service_name=service, environment=environment,
                start_ns=(8 * DAY_MIN - day * DAY_MIN + minute) * MINUTE_NS, duration_ns=ms * 1_000_000,
            )  # fmt: skip


DEPLOYED = deploy(8 * DAY_MIN * 60, id="d1", service_name="cart", environment="live", version="v2")


@pytest.fixture
def opened(lake_folder):
    with lake.open(lake_folder.path) as opened:
        yield opened


def p50(report):
    return report.rows.filter(pl.col("metric") == "p50").row(0, named=True)


@pytest.mark.parametrize("absorbed", [False, True], ids=["landing", "tables"])
def test_a_report_counts_the_minutes_of_the_deploy_and_of_the_days_before(opened, landing, lake_folder, absorbed):
    landing.put("spans", *requests(after_ms=40))
    landing.put("deploys", DEPLOYED)
    if absorbed:
        Compactor(lake_folder, disk=DISK).absorb()
    row = p50(opened.impact("d1", now=NOW))
    assert (row["n_before"], row["n_after"], row["n_placebo_days"]) == (60, 60, 3)
    assert (row["service"], row["endpoint"]) == ("cart", "GET /")
    assert (row["before"], row["after"]) == pytest.approx((20, 40), rel=0.02)
    assert row["verdict"] == "insufficient data"


def test_what_another_environment_has_is_not_counted(opened, landing):
    landing.put("spans", *requests(days=0), *requests("cart", days=0, environment="test"))
    landing.put("deploys", DEPLOYED, deploy((8 * DAY_MIN + 20) * 60, id="d2", service_name="cart", environment="test"))
    row = p50(opened.impact("d1", now=NOW))
    assert (row["n_before"], row["n_after"], row["after_until_min"]) == (60, 60, 62)


def test_a_new_error_is_in_the_report(opened, landing):
    raised = [
        span(f"{next(_TRACES):032x}", events=[exception_event(at_s=(8 * DAY_MIN + 5) * 60)], service_name="cart",
             environment="live", start_ns=(8 * DAY_MIN + 5) * MINUTE_NS)
        for _ in range(3)
    ]  # fmt: skip
    landing.put("spans", *requests(days=0), *raised)
    landing.put("deploys", DEPLOYED)
    [error] = opened.impact("d1", now=NOW).errors.rows(named=True)
    assert (error["exception_class"], error["count_before"], error["count_after"], error["is_new"]) == (
        "OutOfStock",
        0,
        3,
        True,
    )


def test_a_deploy_that_is_not_there_has_no_report(opened):
    assert opened.impact("nobody") is None


def test_a_deploy_of_a_lake_without_spans_has_an_empty_report(opened, landing):
    landing.put("deploys", DEPLOYED)
    report = opened.impact("d1")
    assert report.rows.is_empty()
    assert report.errors.is_empty()
    assert report.verdict == "insufficient data"


def test_a_time_without_a_zone_is_refused(opened, landing):
    with pytest.raises(InvalidParameter):
        opened.impact("d1", now=dt.datetime(2026, 11, 25))  # noqa: DTZ001 - what is tested
