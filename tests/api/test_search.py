"""`POST /v1/traces/search`."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from lake.control import Control
from tests.api.clients import Client
from tests.lake.search import asked, sent
from tests.lake.search.test_parser import mutated
from tests.lake.spans import START
from tests.servers import running

BODY = {
    "query": "{ }",
    "start_time": (START - dt.timedelta(minutes=1)).isoformat(),
    "end_time": (START + dt.timedelta(minutes=30)).isoformat(),
}
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def requests():
    return sent.some_requests(7)


@pytest.fixture(scope="module")
def searched(server, new_project, requests):
    """A client of a project that has the spans of `requests`; it may ask more than others."""
    project = new_project()
    for spans in requests:
        assert project.ingest.post("/ingest/v1/traces", content=sent.body(spans), headers=PROTOBUF).status_code == 200
    with Control(server.data) as control:
        key = control.create_key(project.name, "live", rate_limit=10_000).secret
    with Client(server.url, key) as client:
        yield client


def search(client, **known):
    return client.post("/v1/traces/search", json=BODY | known)


def found(client, **known):
    answer = search(client, **known)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client, body):
    answer = client.post("/v1/traces/search", json=body)
    error = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, error["code"], error.get("param"), error["message"]


def matches(page):
    return {item["trace_id"]: (item["matched_spans"], item["matched_span_ids"]) for item in page["data"]}


@pytest.mark.parametrize("number", range(12))
def test_a_search_finds_the_spans_that_were_sent(searched, requests, number):
    query = asked.query(number)
    page = found(searched, query=query.text)
    assert matches(page) == asked.answer(query, sent.latest(requests)), query.text
    assert page["query"] == query.text


def test_an_item_is_that_of_the_list_of_traces_and_what_matched(new_project, requests):
    project = new_project()  # where no span comes again: the list of traces counts it twice until its hour is rewritten
    body = sent.body(sent.latest(requests))
    assert project.ingest.post("/ingest/v1/traces", content=body, headers=PROTOBUF).status_code == 200
    listed = project.live.found("/v1/traces", limit=200, start_time=BODY["start_time"], end_time=BODY["end_time"])
    page = found(project.live, query="{ }")
    assert [{k: v for k, v in item.items() if not k.startswith("matched")} for item in page["data"]] == listed["data"]
    assert all(item["matched_spans"] == item["span_count"] for item in page["data"])


def test_an_answer_names_its_snapshot_and_window(searched):
    answer = search(searched)
    assert answer.headers["x-lake-snapshot"]
    assert answer.json()["start_time"] == "2026-11-23T08:59:00.000000Z"
    assert answer.json()["end_time"] == "2026-11-23T09:30:00.000000Z"


@pytest.mark.parametrize("query", ["{ }", "duration >= 99ms", "{ } > { }", "{ } | count() > 2"])
@pytest.mark.parametrize("limit", [1, 4, 500])
def test_pages_are_the_search_without_a_gap_and_without_a_double(searched, query, limit):
    whole = found(searched, query=query, limit=500)["data"]
    pages: list[dict[str, object]] = []
    cursor: dict[str, str] = {}
    while True:
        page = found(searched, query=query, limit=limit, **cursor)
        pages += page["data"]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == whole


def test_a_cursor_is_good_for_its_query_alone(searched):
    cursor = found(searched, limit=1)["next_cursor"]
    status, code, param, _ = refused(searched, BODY | {"query": "duration > 0", "cursor": cursor})
    assert (status, code, param) == (400, "invalid_cursor", "cursor")


def test_select_shows_fields_of_the_first_spans(searched):
    item = found(searched, query="{ } | select(name, resource.service.name, nowhere.at.all)")["data"][0]
    assert len(item["matched_fields"]) == len(item["matched_span_ids"])
    assert list(item["matched_fields"][0]) == ["name", "resource.service.name", ".nowhere.at.all"]
    assert item["matched_fields"][0][".nowhere.at.all"] is None


@pytest.mark.parametrize("field", ["query", "start_time", "end_time"])
def test_a_missing_field_is_named(searched, field):
    status, code, param, _ = refused(searched, {name: value for name, value in BODY.items() if name != field})
    assert (status, code, param) == (400, "missing_parameter", field)


def test_a_bad_query_is_shown_where_it_is_bad(searched):
    status, code, param, message = refused(searched, BODY | {"query": "duration > fast"})
    assert (status, code, param) == (400, "invalid_query", "query")
    first, line, caret = message.splitlines()
    assert first.startswith("Position 12: fast is no value")
    assert (line, caret) == ("duration > fast", "           ^")


@pytest.mark.parametrize(
    ("known", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"end_time": 5}, "end_time"),
        ({"end_time": BODY["start_time"]}, "start_time"),
        ({"query": 5}, "query"),
        ({"quarry": "{ }"}, "quarry"),
    ],
)
def test_a_field_that_cannot_be_is_named(searched, known, param):
    status, code, named, _ = refused(searched, BODY | known)
    assert (status, code, named) == (400, "invalid_parameter", param)


def test_a_query_of_metrics_is_sent_elsewhere(searched):
    _, code, _, message = refused(searched, BODY | {"query": "{ } | rate()"})
    assert code == "invalid_query"
    assert "POST /v1/traces/metrics" in message


def test_only_who_may_read_may_search(anonymous, project):
    assert search(anonymous).status_code == 401
    assert search(project.ingest).status_code == 403


def test_a_sandbox_has_traces_of_its_own(new_project):
    project = new_project()
    project.ingest.post("/ingest/v1/traces", content=sent.body([sent.Sent(1, 1)]), headers=PROTOBUF)
    assert (len(found(project.live)["data"]), len(found(project.test)["data"])) == (1, 0)


def assert_no_fault(client, count, seed):
    rnd = random.Random(seed)  # noqa: S311 - repeatable, not secret
    for _ in range(count):
        query = mutated(rnd, asked.Asker(rnd).query().text)
        answer = search(client, query=query, limit=2)
        assert answer.status_code in (200, 400), (answer.status_code, query)
        if answer.status_code == 400:
            assert answer.json()["error"]["code"] == "invalid_query", answer.text


def test_a_mutated_query_is_never_a_fault_of_the_server(searched):
    assert_no_fault(searched, 150, seed=1)


@pytest.mark.full
def test_five_thousand_mutated_queries_are_never_a_fault_of_the_server(searched):
    assert_no_fault(searched, 5_000, seed=2)


def test_an_explained_search_shows_sql_and_what_was_read(searched):
    page = found(searched, query="customer.tier = 'gold'", explain=True, limit=2)
    assert matches(page) == matches(found(searched, query="customer.tier = 'gold'", limit=2))
    step = page["explain"][0]
    assert step["purpose"] == "candidates"
    assert "gold" in step["params"].values()
    assert "'gold'" not in step["sql"]
    assert 0 < step["files"]["read"] <= step["files"]["total"]
    assert "explain" not in found(searched)


METRICS = BODY | {"query": "{ } | count_over_time() by(resource.service.name)", "step": 60}


def test_metrics_are_series_of_points(searched, requests):
    answer = searched.post("/v1/traces/metrics", json=METRICS)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-lake-snapshot"]
    page = answer.json()
    names = [series["labels"]["resource.service.name"] for series in page["data"]]
    assert set(names) == {span.resource.get("service.name") for span in sent.latest(requests)}
    points = page["data"][0]["points"]
    assert points[0][0] == page["start_time"] == "2026-11-23T08:59:00.000000Z"
    assert len(points) == 31
    total = sum(value for series in page["data"] for _, value in series["points"])
    assert total >= len(sent.latest(requests))  # what came again within the hour may count again


@pytest.mark.parametrize(
    ("known", "code", "param"),
    [
        ({"query": "{ }"}, "invalid_query", "query"),
        ({"query": "{ } | rate("}, "invalid_query", "query"),
        ({"step": 0}, "invalid_parameter", "step"),
        ({"step": 1e-9}, "invalid_parameter", "step"),
        ({"step": 0.001}, "invalid_parameter", "step"),
        ({"step": "1m"}, "invalid_parameter", "step"),
        ({"end_time": BODY["start_time"]}, "invalid_parameter", "start_time"),
    ],
)
def test_metrics_that_cannot_be_are_refused(searched, known, code, param):
    answer = searched.post("/v1/traces/metrics", json=METRICS | known)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


def test_a_search_that_takes_too_long_is_answered_503(tmp_path):
    with running(tmp_path / "data", workers=1, settings={"TRACELAKE_SEARCH_TIMEOUT_S": "1"}) as server:
        body = sent.body(sent.Sent(1, n, 1 + n % 1500) for n in range(1, 9001))
        sending = {**server.sending, **PROTOBUF}
        assert server.client.post("/ingest/v1/traces", content=body, headers=sending).status_code == 200
        endless = " >> ".join(["{ }"] * 30)
        answer = server.client.post("/v1/traces/search", json=BODY | {"query": endless}, headers=server.reading)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert server.client.post("/v1/traces/search", json=BODY, headers=server.reading).status_code == 200
