"""What the shop is, and that its spans tell the story of its deploys."""

import datetime as dt
import re
from pathlib import Path

import polars as pl
import pytest

from api.demo.history import History
from api.demo.shop import SHOP, SLOW_VERSION
from api.demo.simulation import expected_spans
from api.demo.story import Story
from tests.api.demo.conftest import END, END_NS

HOUR = dt.timedelta(hours=1)
SLOW = next(deploy for deploy in SHOP.deploys if deploy.version == SLOW_VERSION)
FAULTY, ROLLED_BACK = (deploy for deploy in SHOP.deploys if deploy.service == "payment")


@pytest.fixture(scope="module")
def around_slow(spans_between):
    """The hour before and the hour after the slow deploy; `since` says which."""
    spans = spans_between(SLOW.age + HOUR, SLOW.age - HOUR)
    return spans.with_columns((pl.col("begun") >= END - SLOW.age).alias("since"))


@pytest.fixture(scope="module")
def around_faulty(spans_between):
    """Two hours around the time in which the faulty version ran."""
    return spans_between(FAULTY.age + HOUR, ROLLED_BACK.age - HOUR)


def operations(spans, *ways):
    """Medians in ms before and since the deploy, of everything that was done 300 times in both."""
    of_each = pl.col("duration_ns").filter(pl.col("since") == pl.lit(True))
    before = pl.col("duration_ns").filter(~pl.col("since"))
    return (
        spans.group_by("service_name", "name", *ways)
        .agg(
            before=before.median() / 1e6, after=of_each.median() / 1e6, least=pl.min_horizontal(before.len(), of_each.len())
        )
        .filter(pl.col("least") >= 300)
    )


def test_there_are_eight_services_and_all_of_them_record_spans(around_slow):
    assert len(SHOP.services) == 8
    assert set(around_slow["service_name"]) == {service.name for service in SHOP.services}


def test_every_deploy_is_older_than_90_minutes_and_younger_than_the_history():
    ages = [deploy.age for deploy in SHOP.deploys]
    assert ages == sorted(ages, reverse=True)
    assert all(dt.timedelta(minutes=90) <= age < dt.timedelta(days=9) for age in ages)


def test_spans_of_a_trace_form_one_tree_from_the_gateway_down(around_slow):
    roots = around_slow.filter(pl.col("parent_span_id").is_null())
    assert set(roots["service_name"]) == {"api-gateway"}
    assert roots["trace_id"].is_unique().all()
    assert roots.height == around_slow["trace_id"].n_unique()
    above = around_slow.select("trace_id", pl.col("span_id").alias("parent_span_id"), pl.col("start_time").alias("above"))
    below = around_slow.filter(pl.col("parent_span_id").is_not_null())
    joined = below.join(above, on=["trace_id", "parent_span_id"], how="left")
    assert joined.height == below.height
    assert joined["above"].null_count() == 0
    # a call starts after the one that makes it: so there are no circles
    assert (joined["start_time"] >= joined["above"]).all()


def test_a_call_lies_within_the_one_that_waits_for_it_and_a_consumer_starts_after_the_message(around_slow):
    end = pl.col("start_time").dt.epoch("us") * 1000 + pl.col("start_ns_remainder") + pl.col("duration_ns")
    spans = around_slow.with_columns(end_ns=end)
    above = spans.select("trace_id", pl.col("span_id").alias("parent_span_id"), pl.col("end_ns").alias("above_end_ns"))
    below = spans.join(above, on=["trace_id", "parent_span_id"])
    waiting = below.filter(pl.col("kind") != "consumer")
    assert (waiting["end_ns"] <= waiting["above_end_ns"]).all()
    consumers = below.filter(pl.col("kind") == "consumer")
    assert consumers.height > 100
    assert (consumers["start_time"].dt.epoch("us") >= consumers["above_end_ns"] // 1000).all()


def test_the_slow_version_makes_its_endpoint_twice_as_slow(around_slow):
    [row] = operations(around_slow).filter(service_name="checkout", name="POST /orders").rows(named=True)
    assert row["after"] > 2 * row["before"]


def test_the_slow_version_has_enough_requests_around_it_to_be_judged(around_slow):
    orders = around_slow.filter(service_name="checkout", name="POST /orders")
    assert orders.group_by("since").len()["len"].min() >= 500


def test_nothing_but_the_slow_endpoint_and_those_who_wait_for_it_changes(around_slow):
    table = operations(around_slow, "db_statement")
    changed = table.filter((pl.col("after") / pl.col("before") - 1).abs() > 0.1)
    assert table.height > 25
    assert set(changed.select("service_name", "name").rows()) == {
        ("checkout", "POST /orders"),
        ("api-gateway", "POST /orders"),
        ("api-gateway", "POST /api/orders"),
    }


def test_the_slow_endpoint_is_slow_through_its_database_call_alone(around_slow):
    orders = around_slow.filter(service_name="checkout", name="POST /orders").select("trace_id", "since", "duration_ns")
    calls = around_slow.filter(service_name="checkout", name="SELECT orders").select(
        "trace_id", "duration_ns", "db_statement"
    )
    joined = orders.join(calls, on="trace_id", suffix="_query")
    assert joined.height == orders.height
    rest = joined.group_by("since").agg((pl.col("duration_ns") - pl.col("duration_ns_query")).median()).sort("since")
    before, after = rest["duration_ns"]
    assert after == pytest.approx(before, rel=0.08)
    slow = joined.group_by("db_statement").agg(pl.col("duration_ns_query").median() / 1e6, pl.col("since").unique())
    assert {("lower(email)" in statement, tuple(since)) for statement, _, since in slow.rows()} == {
        (True, (True,)),
        (False, (False,)),
    }
    assert [ms > 100 for ms in slow.sort(pl.col("db_statement").str.contains("lower"))["duration_ns_query"]] == [False, True]


def test_the_faulty_version_fails_every_order_in_pounds_and_no_other_version_does(around_faulty):
    charges = around_faulty.filter(service_name="payment", name="POST /charges")
    charges = charges.with_columns(
        faulty=pl.col("service_version") == FAULTY.version,
        failed=pl.col("exception_type") == "payment.errors.CurrencyMismatchError",
        currency=pl.Series([attributes["shop.currency"] for attributes in charges["attributes"]]),
    )
    in_pounds = (pl.col("currency") == "GBP") & pl.col("faulty")
    assert charges.filter(in_pounds).height > 20
    assert charges.filter(in_pounds)["failed"].all()
    assert not charges.filter(~in_pounds)["failed"].fill_null(value=False).any()
    assert set(charges.filter("failed")["http_status_code"]) == {500}


def test_a_failed_charge_fails_the_order_up_to_the_gateway(around_faulty):
    failed = around_faulty.filter(exception_type="payment.errors.CurrencyMismatchError").select("trace_id")
    above = around_faulty.join(failed, on="trace_id").filter(pl.col("service_name").is_in(["checkout", "api-gateway"]))
    servers = above.filter(kind="server")
    assert set(servers["http_status_code"]) == {502}
    assert set(servers["status"]) == {"error"}
    assert "INSERT orders" not in set(above["name"])


def test_the_traceback_of_an_exception_names_files_of_the_service(around_faulty):
    failed = around_faulty.filter(exception_type="payment.errors.CurrencyMismatchError")
    [event] = failed["events"][0]
    attributes = event["attributes"]
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):\n  File ")
    assert '  File "/app/payment/money.py", line 23, in converted\n' in attributes["exception.stacktrace"]
    assert attributes["exception.stacktrace"].endswith(f"CurrencyMismatchError: {attributes['exception.message']}\n")


def test_spans_carry_the_version_the_commit_and_the_pod_of_their_release(around_faulty):
    payment = around_faulty.filter(service_name="payment")
    versions = payment.group_by("service_version").agg(pl.col("git_sha").unique(), pl.col("pod_name").unique())
    assert set(versions["service_version"]) == {FAULTY.version, ROLLED_BACK.version}
    shas = {version: tuple(sha) for version, sha, _ in versions.rows()}
    assert shas == {deploy.version: (deploy.release.git_sha,) for deploy in (FAULTY, ROLLED_BACK)}
    assert set(versions["pod_name"].list.len()) == {2}
    assert payment.filter(service_version=FAULTY.version)["begun"].min() >= END - FAULTY.age
    assert payment.filter(service_version=FAULTY.version)["begun"].max() < END - ROLLED_BACK.age


def test_a_page_is_answered_without_its_recommendations_when_those_fail(around_slow):
    failed = around_slow.filter(exception_type="recommendation.model.ModelNotLoaded").select("trace_id")
    pages = around_slow.join(failed, on="trace_id").filter(pl.col("parent_span_id").is_null())
    assert pages.height > 0
    assert set(pages["http_status_code"]) <= {200, 404}


def test_the_same_seed_makes_the_same_history_and_another_seed_another(history, story):
    again = History(Story(SHOP, END_NS, story.seed), history.span_count)
    other = History(Story(SHOP, END_NS, story.seed + 1), history.span_count)
    assert again.part(70).body == history.part(70).body
    assert again.part(70).errors == history.part(70).errors
    assert other.part(70).body != history.part(70).body


def test_the_page_about_the_demo_tells_of_every_service_and_deploy():
    page = (Path(__file__).parents[3] / "docs" / "demo.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)` \| (?:`[A-Z]|the browser)", page, re.MULTILINE) == [s.name for s in SHOP.services]
    told = re.findall(r"^\| ([0-9][^|]+) \| `([a-z-]+)` \| (v[0-9.]+) \|", page, re.MULTILINE)
    assert told == [(spoken(deploy.age), deploy.service, deploy.version) for deploy in SHOP.deploys]


def spoken(age):
    """A time in days, hours and minutes, without those of which there are none."""
    hours, minutes = age.seconds // 3600, age.seconds // 60 % 60
    return " ".join(f"{number} {unit}" for number, unit in ((age.days, "d"), (hours, "h"), (minutes, "min")) if number)


def test_the_page_about_the_demo_says_how_many_spans_a_request_has(history):
    page = (Path(__file__).parents[3] / "docs" / "demo.md").read_text()
    longest, mean = re.findall(r"An order is the longest trace, (\d+) spans; the mean is (\d+\.\d)", page)[0]
    assert int(longest) == max(expected_spans(endpoint.call) for endpoint in SHOP.endpoints)
    assert float(mean) == pytest.approx(history.span_count / history.requests_a_part / history.part_count, abs=0.1)
