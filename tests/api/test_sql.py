"""`POST /v1/sql` against a real server."""

import datetime as dt
import io
import json
import re

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.sql import MAX_LIMIT, accepted
from tests.api.clients import exception, new_trace_id, span
from tests.servers import wait_until

START = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def shop(project):
    """A live key of a project with three spans, an error and a deploy."""
    root = span("GET /", start=START, ms=120, http_route="/", events=[exception("OutOfStock", "no tea")])
    project.ingest.store(root, span("GET /2", start=START, ms=80), service="shop")
    project.ingest.store(span("SELECT", start=START, ms=5, kind=3), service="stock")
    assert project.ingest.post("/ingest/deploys", json={"version": "v2", "deployed_at": START.isoformat()}).is_success
    return project.live


def ask(client, query, *, accept="application/json", **body):
    return client.post("/v1/sql", json={"query": query, **body}, headers={"Accept": accept})


def rows(client, query, **body):
    answer = ask(client, query, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def refused(client, body, **headers):
    answer = client.post("/v1/sql", json=body, headers=headers)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("param")


def test_an_answer_has_columns_rows_and_its_snapshot(shop):
    answer = ask(shop, "SELECT service_name, count(*) AS n FROM spans GROUP BY 1 ORDER BY 1")
    content = answer.json()
    assert content == {
        "columns": [{"name": "service_name", "type": "VARCHAR"}, {"name": "n", "type": "BIGINT"}],
        "data": [{"service_name": "shop", "n": 2}, {"service_name": "stock", "n": 1}],
        "truncated": False,
        "snapshot": answer.headers["x-lake-snapshot"],
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-lake-truncated"] == "false"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("view", "count"), [("spans", 3), ("errors", 1), ("exceptions", 1), ("deploys", 1), ("requests", 0), ("batches", None)]
)
def test_every_view_can_be_asked(shop, view, count):
    (row,) = rows(shop, f"SELECT count(*) AS n FROM {view}")
    assert count in (row["n"], None)


def test_values_are_bound_by_name_and_by_place(shop):
    assert rows(shop, "SELECT count(*) AS n FROM spans WHERE name = $name", params={"name": "GET /"}) == [{"n": 1}]
    assert rows(shop, "SELECT ? AS a, ? AS b, ? AS c", params=[1, "x'; --", None]) == [{"a": 1, "b": "x'; --", "c": None}]


def test_the_command_and_the_route_have_the_same_views(server, project, shop):
    with lake_of(server, project) as opened:
        for view in ("spans", "errors", "deploys"):
            query = f"SELECT * FROM {view} ORDER BY ALL LIMIT 10"
            answer = pa.ipc.open_stream(ask(shop, query, accept="application/vnd.apache.arrow.stream").content).read_all()
            assert answer == opened.sql(query).arrow()


def lake_of(server, project):
    import lake  # noqa: PLC0415

    return lake.open(server.data / project.name / "live")


def test_arrow_csv_and_parquet_have_the_rows_of_json(shop):
    query = "SELECT name, duration_ns, start_time FROM spans ORDER BY name"
    expected = rows(shop, query)
    arrow = ask(shop, query, accept="application/vnd.apache.arrow.stream")
    parquet = ask(shop, query, accept="application/vnd.apache.parquet")
    csv = ask(shop, query, accept="text/csv")
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table == pq.read_table(io.BytesIO(parquet.content))
    assert [row["name"] for row in expected] == table.column("name").to_pylist()
    assert pl.read_csv(csv.content).rows(named=True) == expected
    for answer, kind in ((arrow, "arrow.stream"), (parquet, "parquet"), (csv, "text/csv")):
        assert kind in answer.headers["content-type"]
        assert "attachment" in answer.headers["content-disposition"]
        assert answer.headers["x-lake-snapshot"]


@pytest.mark.parametrize(
    ("header", "format_"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html", "json"),
        ("text/csv", "csv"),
        ("text/*", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("application/*", "json"),
        ("text/csv;q=0.5, application/vnd.apache.parquet", "parquet"),
        ("text/csv;q=0, */*;q=0.1", "json"),
        ("application/vnd.apache.arrow.stream, application/json", "arrow"),
        ("text/csv;q=x", "json"),
    ],
)
def test_the_format_is_what_accept_likes_best(header, format_):
    assert accepted(header) == format_


def test_an_answer_is_cut_at_the_limit_and_says_so(shop):
    answer = ask(shop, "SELECT * FROM range(100) t(i) ORDER BY i", limit=3)
    assert answer.json()["data"] == [{"i": 0}, {"i": 1}, {"i": 2}]
    assert answer.json()["truncated"] is True
    assert ask(shop, "SELECT * FROM range(100)", limit=3, accept="text/csv").headers["x-lake-truncated"] == "true"
    assert ask(shop, "SELECT * FROM range(3)", limit=3).json()["truncated"] is False


def test_an_earlier_snapshot_repeats_its_answer(project, shop):
    query = "SELECT count(*) AS n FROM spans WHERE name = 'later'"
    before = ask(shop, query)
    project.ingest.store(span("later"))
    assert rows(shop, query) == [{"n": 1}]
    token = before.headers["x-lake-snapshot"]
    assert rows(shop, query, snapshot=token) == [{"n": 0}]
    answer = shop.post("/v1/sql", json={"query": query}, headers={"X-Lake-Snapshot": token})
    assert (answer.json()["data"], answer.headers["x-lake-snapshot"]) == ([{"n": 0}], token)


def test_a_snapshot_of_nowhere_is_refused(shop):
    assert refused(shop, {"query": "SELECT 1", "snapshot": "nonsense"}) == (400, "invalid_parameter", "snapshot")


def test_a_trace_is_in_the_next_answer(project, shop):
    trace_id = new_trace_id()
    project.ingest.store(span(trace_id=trace_id))
    assert rows(shop, "SELECT count(*) AS n FROM spans WHERE trace_id = $id", params={"id": trace_id}) == [{"n": 1}]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_parameter", "query"),
        ({"query": 1}, "invalid_parameter", "query"),
        ({"query": "SELECT 1", "limit": 0}, "invalid_parameter", "limit"),
        ({"query": "SELECT 1", "limit": MAX_LIMIT + 1}, "invalid_parameter", "limit"),
        ({"query": "SELECT 1", "limit": 2**63}, "invalid_parameter", "limit"),
        ({"query": "SELECT 1", "params": "x"}, "invalid_parameter", "params"),
        ({"query": "SELECT 1", "limits": 1}, "invalid_parameter", "limits"),
        ({"query": "SELEC 1"}, "invalid_query", "query"),
        ({"query": "SELECT nothing FROM spans"}, "invalid_query", "query"),
        ({"query": "SELECT 1; SELECT 2"}, "invalid_query", "query"),
        ({"query": "SELECT $a"}, "invalid_query", "query"),
        ({"query": "SELECT $a", "params": {"b": 1}}, "invalid_query", "query"),
        ({"query": "SELECT 'x'::INT"}, "invalid_query", "query"),
        ({"query": "SELECT * FROM read_text('/etc/passwd')"}, "invalid_query", "query"),
        ({"query": "SELECT '\ud800'"}, "invalid_json", None),
        ({"query": f"SELECT '{'x' * 70_000}'"}, "invalid_query", "query"),
        ([], "invalid_json", None),
    ],
)
def test_what_is_wrong_is_named(shop, body, code, param):
    content = json.dumps(body).encode()
    answer = shop.post("/v1/sql", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error.get("param")) == (code, param)


def test_a_mistake_is_explained_with_its_place(shop):
    message = ask(shop, "SELECT count(*)\nFROM spans WHERE duration > 1").json()["error"]["message"]
    assert 'Referenced column "duration" not found' in message
    assert "duration_ns" in message
    assert "line 2, column 18" in message
    assert message.endswith("FROM spans WHERE duration > 1\n" + " " * 17 + "^")


def test_a_key_that_may_only_send_is_refused(project):
    assert refused(project.ingest, {"query": "SELECT 1"}) == (403, "permission_denied", None)


def test_nobody_is_refused(anonymous):
    assert refused(anonymous, {"query": "SELECT 1"})[0] == 401


def test_of_a_query_the_log_has_its_hash_and_none_of_its_values(server, shop):
    ask(shop, "SELECT 'value-of-somebody-7d1' AS x")
    ask(shop, "SELECT 'value-of-somebody-7d1' FROM nowhere")
    lines = re.compile(r'.*"event": "sql".*')
    wait_until(lambda: "refused" in server.log.read_text(), lambda: "the log has no line on SQL")
    logged = [json.loads(line) for line in lines.findall(server.log.read_text())]
    assert {"answered", "refused"} <= {line["verdict"] for line in logged}
    assert all(len(line["sha256"]) == 64 and line["key_id"].startswith("mtk_") for line in logged)
    assert "value-of-somebody" not in server.log.read_text()


CANARY = "CANARY-5b21"


@pytest.fixture(scope="module")
def canaries(new_project):
    """A project and its sandbox, full of what another project must not see."""
    other = new_project()
    for client, word in ((other.ingest, f"{CANARY}-live"), (other.test, f"{CANARY}-sandbox")):
        client.store(span(word, start=START, events=[exception(word, word)], note=word), service=word)
        assert client.post("/ingest/deploys", json={"version": word}).is_success
    return other


QUERIES = [f"SELECT * FROM {view}" for view in ("spans", "errors", "exceptions", "deploys", "requests")]


def test_no_sql_shows_what_another_project_or_the_sandbox_has(canaries, shop):
    assert CANARY in ask(canaries.live, QUERIES[0]).text
    for query in QUERIES:
        assert CANARY not in ask(shop, query).text
        assert f"{CANARY}-sandbox" not in ask(canaries.live, query).text
        assert f"{CANARY}-live" not in ask(canaries.test, query).text


def test_a_snapshot_of_another_lake_shows_nothing_of_it(canaries, shop):
    token = ask(canaries.live, "SELECT 1 FROM spans").headers["x-lake-snapshot"]
    for query in QUERIES:
        assert CANARY not in ask(shop, query, snapshot=token).text
