"""The questions of the notebooks have the right answers, and answers in an empty lake too."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

import lake
from notebooks import session
from notebooks.session import Look, NoLake
from tests.notebooks.shop import DEPLOYED_AT, MINUTES, ORDERS_A_MINUTE, SPANS_A_TRACE, START, land_deploy, make_shop

ORDERS = MINUTES * ORDERS_A_MINUTE
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def look():
    return Look("orders", "POST /orders", START, START + MINUTES * MINUTE, DEPLOYED_AT)


def test_the_overview_counts_what_is_in_the_tables_and_what_waits(shop):
    rows = {row["table"]: row for row in session.overview(shop).iter_rows(named=True)}
    assert {name: row["rows"] for name, row in rows.items() if name != "errors"} == {
        "spans": ORDERS * SPANS_A_TRACE, "deploys": 2, "requests": 0,
    }  # fmt: skip
    assert rows["errors"]["rows"] == shop.errors().arrow().num_rows > 0
    assert START <= rows["spans"]["first"] < rows["spans"]["last"] < START + MINUTES * MINUTE
    assert rows["requests"]["first"] is None


def test_services_are_counted_with_the_requests_they_answered(shop):
    services = session.services(shop)
    assert services.select("service", "spans", "requests").rows() == [
        ("orders", 3 * ORDERS, ORDERS),
        ("api-gateway", 2 * ORDERS, ORDERS),
        ("mail", ORDERS, ORDERS),
    ]
    failed = shop.sql("SELECT count(*) AS n FROM spans WHERE kind = 'server' AND status = 'error'").rows()[0]["n"]
    assert services["failed_percent"][0] == pytest.approx(100 * failed / ORDERS)
    assert (services["p50_ms"] <= services["p95_ms"]).all()


def test_the_largest_change_is_the_endpoint_that_a_deploy_made_slower(shop):
    found = session.largest_change(shop)
    assert found == Look("orders", "POST /orders", DEPLOYED_AT - session.AROUND, DEPLOYED_AT + session.AROUND, DEPLOYED_AT)


def test_a_deploy_of_every_service_is_compared_for_each(tmp_path):
    folder = make_shop(tmp_path / "live", deploys=False)
    land_deploy(folder, service=None, version="v3", at=DEPLOYED_AT)
    with session.open_lake(folder) as lake:
        found = session.largest_change(lake)
    assert found
    assert (found.service, found.deployed_at) == ("orders", DEPLOYED_AT)


def test_without_a_deploy_the_busiest_endpoint_is_looked_at(tmp_path):
    lake = session.open_lake(make_shop(tmp_path / "live", minutes=5, deploys=False))
    found = session.largest_change(lake)
    assert found
    assert str(found) == "api-gateway: POST /orders"
    assert found.deployed_at is None
    assert session.latency(lake, found)["requests"].sum() == 5 * ORDERS_A_MINUTE


def test_a_deploy_with_too_few_requests_around_it_is_not_compared(tmp_path):
    minutes = DEPLOYED_AT - START + 2 * MINUTE  # of the hour after the deploy there are two minutes
    lake = session.open_lake(make_shop(tmp_path / "live", minutes=minutes // MINUTE))
    found = session.largest_change(lake)
    assert found
    assert found.service == "api-gateway"


def test_latency_by_minute_holds_each_request_once(shop, look):
    latency = session.latency(shop, look)
    assert latency["requests"].to_list() == [ORDERS_A_MINUTE] * MINUTES
    assert latency["step_minutes"].unique().to_list() == [1]
    assert latency["start"].to_list() == [START + i * MINUTE for i in range(MINUTES)]
    one = pl.col("start") == START
    expected = shop.sql(
        "SELECT quantile_cont(duration_ns, 0.95) / 1e6 AS p95 FROM spans WHERE service_name = 'orders' AND kind = 'server'"
        " AND start_time >= $since AND start_time < $until",
        {"since": START, "until": START + MINUTE},
    ).rows()
    assert latency.filter(one)["p95_ms"][0] == expected[0]["p95"]


def test_latency_rises_with_the_deploy(shop, look):
    latency = session.latency(shop, look)
    before, after = latency.filter(pl.col("start") < DEPLOYED_AT), latency.filter(pl.col("start") >= DEPLOYED_AT)
    assert min(after["p50_ms"].to_list()) > max(before["p50_ms"].to_list())


@pytest.mark.parametrize(
    ("requests_a_minute", "minutes", "step"),
    [(12, 180, 1), (10, 500, 1), (10, 501, 2), (4, 180, 5), (0.2, 180, 60), (0, 0, 60), (1000, 14 * 24 * 60, 60),
     (1000, 90 * 24 * 60, 260)],
)  # fmt: skip
def test_a_step_has_requests_enough_and_there_are_not_too_many_steps(requests_a_minute, minutes, step):
    assert session.step_minutes(requests_a_minute, minutes) == step


def test_deploys_of_others_are_told_from_those_of_the_service(shop, look):
    assert session.deploys(shop, look).select("service", "version", "own").rows() == [
        ("api-gateway", "v9", False),
        ("orders", "v2.4.0", True),
    ]


def test_the_slow_trace_is_after_the_deploy_and_takes_as_long_as_the_p95(shop, look):
    spans = session.trace(shop, session.slow_trace(shop, look))
    assert spans.height == SPANS_A_TRACE
    answer = spans.filter(service_name="orders", kind="server")
    assert answer["start_time"][0] >= DEPLOYED_AT
    durations = shop.sql(
        "SELECT duration_ns FROM spans WHERE service_name = 'orders' AND kind = 'server' AND start_time >= $since",
        {"since": DEPLOYED_AT},
    ).pl()["duration_ns"]
    rank = (durations < answer["duration_ns"][0]).sum() / len(durations)
    assert rank == pytest.approx(0.95, abs=0.005)


def test_errors_of_one_kind_are_one_row(shop):
    errors = session.recent_errors(shop)
    assert errors["error"].to_list() == ["OutOfStock: no item 7 left"]
    assert errors["times"].to_list() == [shop.errors().arrow().num_rows]
    assert errors["first_seen"][0] < errors["last_seen"][0]
    assert session.trace(shop, errors["trace_id"][0]).height == SPANS_A_TRACE


def test_an_empty_lake_has_an_answer_to_everything(empty):
    assert session.overview(empty)["rows"].to_list() == [0, 0, 0, 0]
    assert session.largest_change(empty) is None
    assert session.slow_trace(empty, None) is None
    nothing = [
        session.services(empty), session.latency(empty, None), session.deploys(empty, None), session.trace(empty, None),
        session.recent_errors(empty),
    ]  # fmt: skip
    assert [frame.height for frame in nothing] == [0] * len(nothing)


def test_an_answer_without_rows_has_the_columns_of_one_with_rows(shop, empty, look):
    assert session.latency(empty, None).schema == session.latency(shop, look).schema
    assert session.deploys(empty, None).schema == session.deploys(shop, look).schema


def test_the_lake_of_the_environment_is_opened(shop_folder, monkeypatch):
    monkeypatch.setenv("TRACELAKE_LAKE", str(shop_folder))
    with session.open_lake() as opened:
        assert isinstance(opened, lake.Lake)
        assert opened.path == shop_folder


def test_a_named_lake_goes_before_that_of_the_environment(shop_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TRACELAKE_LAKE", str(tmp_path))
    with session.open_lake(str(shop_folder)) as opened:
        assert opened.path == shop_folder


def test_without_a_lake_the_error_names_the_folder_and_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("TRACELAKE_LAKE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoLake, match=r"data/default/live(?s:.*)send some(?s:.*)TRACELAKE_LAKE"):
        session.open_lake()
