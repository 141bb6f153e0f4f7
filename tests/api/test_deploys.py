"""Deploys over HTTP."""

import datetime as dt

import pytest

from tests.api.clients import exception, nanoseconds, span

NOON = dt.datetime(2026, 1, 15, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
DAY = {"start_time": "2026-01-15", "end_time": "2026-01-16"}


def deploy(client, version, at, *, key=None, **known):
    """Report a deploy; returns its id."""
    body = {"version": version, "deployed_at": at.isoformat()} | known
    answer = client.post("/ingest/deploys", json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


@pytest.fixture(scope="module")
def shop(project):
    """Seven deploys a minute apart; each version is also its minute."""
    everything = {"git_sha": "abc", "deployer": "ci", "description": "Hats", "environment": "live", "service": "shop"}
    ids = {
        "0": deploy(project.ingest, "0", NOON, service="shop", environment="live"),
        "1": deploy(project.ingest, "1", NOON + MINUTE, service="api"),
        "2": deploy(project.ingest, "2", NOON + 2 * MINUTE, **everything),
        "3": deploy(project.ingest, "3", NOON + 3 * MINUTE),
        "4": deploy(project.ingest, "4", NOON + 4 * MINUTE, service="shop", environment="test"),
        "5": deploy(project.ingest, "5", NOON + 5 * MINUTE),
        "6": deploy(project.ingest, "6", NOON + 6 * MINUTE, service="shop", environment="live"),
    }
    return project.live, ids


def versions(client, **parameters):
    return [item["version"] for item in client.found("/v1/deploys", **DAY | parameters)["data"]]


def test_a_deploy_is_shown_with_the_one_before_it(shop):
    client, ids = shop
    answer = client.get(f"/v1/deploys/{ids['2']}")
    assert answer.headers["x-lake-snapshot"]
    assert answer.json() == {
        "id": ids["2"],
        "version": "2",
        "git_sha": "abc",
        "service": "shop",
        "environment": "live",
        "deployer": "ci",
        "description": "Hats",
        "deployed_at": "2026-01-15T12:02:00.000000Z",
        "predecessor": {"id": ids["0"], "version": "0", "git_sha": None, "deployed_at": "2026-01-15T12:00:00.000000Z"},
    }


def test_a_predecessor_is_of_the_same_service_and_environment(shop):
    client, _ = shop
    found = {item["version"]: item["predecessor"] for item in client.found("/v1/deploys", **DAY)["data"]}
    before = {version: predecessor and predecessor["version"] for version, predecessor in found.items()}
    assert before == {"6": "2", "5": "3", "4": None, "3": None, "2": "0", "1": None, "0": None}


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, "6543210"),
        ({"service": "shop"}, "654320"),  # 3 and 5 are deploys of every service
        ({"service": "api"}, "531"),
        ({"service": "nobody"}, "53"),
        ({"environment": "live"}, "620"),
        ({"service": "shop", "environment": "test"}, "4"),
        ({"limit": 2}, "65"),
        ({"start_time": "2026-01-15T12:02:00Z", "end_time": "2026-01-15T12:04:00Z"}, "32"),
    ],
)
def test_a_filter_leaves_what_fits(shop, parameters, found):
    assert versions(shop[0], **parameters) == list(found)


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_are_the_list_without_a_gap_and_without_a_double(shop, limit):
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = shop[0].found("/v1/deploys", limit=limit, **cursor or DAY)
        found += [item["version"] for item in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == list("6543210")


def test_without_a_window_it_is_the_last_week(new_project):
    project = new_project()
    now = dt.datetime.now(dt.UTC)
    deploy(project.ingest, "new", now - dt.timedelta(days=6))
    deploy(project.ingest, "old", now - dt.timedelta(days=8))
    assert [item["version"] for item in project.live.found("/v1/deploys")["data"]] == ["new"]


def test_a_repeated_deploy_is_one(new_project):
    project = new_project()
    first = deploy(project.ingest, "1", NOON, key="k")
    assert deploy(project.ingest, "1", NOON, key="k") == first
    [item] = project.live.found("/v1/deploys", **DAY)["data"]
    assert (item["id"], item["predecessor"]) == (first, None)


def test_an_unknown_deploy_is_404_and_so_is_one_of_another_lake(shop, project, new_project):
    client, ids = shop
    assert client.refused("/v1/deploys/deploy_00000000000000000000") == (404, "not_found", None)
    assert client.refused("/v1/deploys/deploy_00000000000000000000/impact") == (404, "not_found", None)
    for stranger in (project.test, new_project().live):
        assert stranger.refused(f"/v1/deploys/{ids['0']}") == (404, "not_found", None)
        assert stranger.found("/v1/deploys", **DAY)["data"] == []


@pytest.mark.parametrize(("parameter", "value"), [("limit", "0"), ("limit", "201"), ("start_time", "soon")])
def test_a_value_that_cannot_be_is_400_with_the_parameter(shop, parameter, value):
    assert shop[0].refused("/v1/deploys", **{parameter: value}) == (400, "invalid_parameter", parameter)


def test_the_impact_of_a_deploy_without_requests_is_unknown(shop):
    client, ids = shop
    answer = client.get(f"/v1/deploys/{ids['2']}/impact")
    assert answer.headers["x-lake-snapshot"]
    assert answer.json() == {
        "deploy_id": ids["2"], "verdict": "insufficient data", "services": ["shop"], "notes": answer.json()["notes"],
        "findings": [], "errors": [],
    }  # fmt: skip


def test_the_impact_of_a_deploy_has_its_endpoints_and_its_new_errors(project):
    begin = NOON + dt.timedelta(days=2)
    for minute in range(-10, 20):
        start = begin + minute * MINUTE
        events = [exception("OutOfStock", "no hats", at=nanoseconds(start))] if minute == 5 else []
        project.ingest.store(span("GET /hats", kind=2, start=start, ms=20, events=events), service="hats")
    id_ = deploy(project.ingest, "v2", begin, service="hats")
    found = project.live.found(f"/v1/deploys/{id_}/impact", window="15")
    assert {row["metric"]: (row["n_before"], row["n_after"]) for row in found["findings"]} == dict.fromkeys(
        ("p50", "p95", "p99", "errors"), (10, 15)
    )
    assert [(error["exception_class"], error["is_new"]) for error in found["errors"]] == [("OutOfStock", True)]


@pytest.mark.parametrize("window", ["", "0", "61", "x"])
def test_another_window_of_an_impact_is_refused(shop, window):
    client, ids = shop
    assert client.refused(f"/v1/deploys/{ids['2']}/impact", window=window) == (400, "invalid_parameter", "window")
