"""A lake on a server answers what a lake in a folder answers."""

import asyncio
import datetime as dt
import inspect
import io
import json
from decimal import Decimal
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest

import lake
from lake import client as remote
from lake.client import BadAnswer, BadRequest, Limits, RemoteLake, Truncated, Unavailable
from lake.client.calls.traces import list_traces
from lake.client.frames import read_stream
from lake.errors import InvalidParameter, QueryError
from tests.lake.client.hostile import hostile, raw, refuses, says
from tests.notebooks.shop import DEPLOYED_AT, START, make_shop
from tests.servers import Server

HALF_AN_HOUR = dt.timedelta(minutes=30)
LATER = START + HALF_AN_HOUR
TABLE = pa.table({"n": [1, 2, 3]})


def arrow(table=TABLE):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def answers(table=TABLE, truncated="false"):
    return says(200, arrow(table), x_lake_snapshot="s1", x_lake_truncated=truncated)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server on the lake of a small shop."""
    server = Server(tmp_path_factory.mktemp("questions") / "data", workers=1)
    make_shop(server.lake)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def far(server):
    with lake.connect(server.url, server.live_key) as client:
        yield client


@pytest.fixture(scope="module")
def near(server):
    with lake.open(server.lake) as opened:
        yield opened


QUESTIONS = [
    ("spans", {}),
    ("spans", {"service": "orders"}),
    ("spans", {"since": LATER, "until": LATER + HALF_AN_HOUR}),
    ("errors", {}),
    ("errors", {"service": "orders", "since": LATER}),
    ("deploys", {}),
    ("deploys", {"service": "orders", "until": DEPLOYED_AT}),
    ("traces", {"since": START, "until": LATER}),
    ("traces", {"since": START, "until": LATER, "limit": 3, "around": dt.timedelta(0)}),
    ("traces", {"since": START, "until": LATER, "service": "mail", "status": "error", "min_duration_ns": 10_000_000}),
    ("traces", {"since": LATER, "until": LATER + HALF_AN_HOUR, "status": "unset"}),
    ("sql", {"query": "SELECT * FROM errors WHERE timestamp >= $t ORDER BY ALL", "params": {"t": LATER}}),
    ("sql", {"query": "SELECT ? + 1 AS a, list_contains(?, 'x') AS b", "params": [41, ["x", "y"]]}),
    ("sql", {"query": "SELECT count(*) AS n FROM spans WHERE start_time < $t::TIMESTAMPTZ - $d::INTERVAL",
             "params": {"t": LATER, "d": dt.timedelta(minutes=5, microseconds=1)}}),
    ("sql", {"query": "SELECT 1.5::DECIMAL(4, 2) AS d, sum(duration_ns) AS s, [1, NULL] AS l FROM spans"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "asked"), QUESTIONS, ids=range(len(QUESTIONS)))
def test_an_answer_from_far_is_the_one_from_near(near, far, name, asked):
    here, there = getattr(near, name)(**asked), getattr(far, name)(**asked)
    by = [(column, "ascending") for column in ("trace_id", "start_time", "span_id")]
    one, other = (answer.arrow().sort_by(by) if name == "spans" else answer.arrow() for answer in (here, there))
    assert one.schema == other.schema
    assert one.equals(other)
    assert one.num_rows or name == "deploys"
    assert (here.columns, here.rows()) == (there.columns, there.rows()) or name == "spans"


def test_a_trace_from_far_is_the_one_from_near(near, far):
    page = near.traces(since=START, until=LATER, limit=5).rows()
    for row in page:
        here, there = near.trace(row["trace_id"]).arrow(), far.trace(row["trace_id"].upper()).arrow()
        assert here.equals(there)
        assert here.num_rows == 6
    assert far.trace(page[0]["trace_id"], max_spans=2).arrow().equals(near.trace(page[0]["trace_id"], max_spans=2).arrow())
    assert far.trace("0" * 32).arrow().num_rows == 0


def test_the_pages_of_a_list_continue_where_it_was(near, far):
    first = near.traces(since=START, until=LATER, limit=4).rows()
    before = (first[-1]["start_ns"], first[-1]["trace_id"])
    here, there = (one.traces(since=START, until=LATER, limit=4, before=before).rows() for one in (near, far))
    assert here == there
    assert len(here) == 4


def test_errors_of_a_trace(near, far):
    [trace_id] = {row["trace_id"] for row in near.errors().rows()[:1]}
    assert far.errors(trace_id=trace_id.upper()).rows() == near.errors(trace_id=trace_id).rows() != []


QUESTIONS_OF_A_LAKE = (
    "sql", "spans", "trace", "errors", "deploys", "traces", "search", "search_metrics", "snapshot", "at",
)  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS_OF_A_LAKE)
def test_far_and_near_take_the_same_arguments(name):
    here, there = (inspect.signature(getattr(lake_, name)).parameters for lake_ in (lake.Lake, RemoteLake))
    assert list(here) == list(there)
    for parameter in here.values():
        assert parameter.kind == there[parameter.name].kind
        assert parameter.default == there[parameter.name].default


TYPED = {
    "deploy": "get_deploy", "deploy_page": "list_deploys", "endpoints": "list_endpoints", "error_groups": "list_errors",
    "error_page": "list_errors", "error_occurrences": "list_occurrences", "error_view": "get_error",
    "explain_search": "explain_search", "has_error": "get_error", "impact": "get_deploy_impact", "services": "list_services",
    "service_edges": "get_topology", "topology": "get_topology", "trace_view": "get_trace",
}  # fmt: skip
"""What a client has as a call of the API, with typed values, in the place of a question of a lake."""

OF_FILES = {"folder", "path", "tables", "views"}


def test_whatever_a_lake_is_asked_a_client_is_asked_too():
    public = {name for name in vars(lake.Lake) if not name.startswith("_")}
    there = {name for name in dir(RemoteLake) if not name.startswith("_")}
    assert public - there - OF_FILES == set(TYPED)
    assert all(hasattr(lake.Client, name) for name in TYPED.values())


def test_an_answer_from_far_has_the_methods_of_one_from_near():
    here, there = ({name for name in dir(result) if not name.startswith("_")} for result in (lake.Result, remote.Result))
    assert here <= there
    assert hasattr(remote.Result, "__arrow_c_stream__")


def test_a_frame_of_any_kind_is_made_of_an_answer(near, far):
    query = "SELECT name, start_time, attributes, duration_ns FROM spans ORDER BY trace_id, span_id LIMIT 50"
    here, there = near.sql(query), far.sql(query)
    assert here.pl().equals(there.pl())
    assert here.df().equals(there.df())
    assert pl.DataFrame(there).equals(here.pl())
    assert pa.table(there).equals(here.arrow())
    assert "50 rows" in repr(there)


def test_a_question_of_a_snapshot_is_answered_as_it_was(server, near, far):
    count = "SELECT count(*) AS n FROM deploys"
    then = far.snapshot()
    [before] = far.sql(count).rows()
    with lake.connect(server.url, server.ingest_key) as sender:
        sender.report_deploy(remote.DeployReport(version="v7", service="other"))
    assert far.sql(count).rows() == [{"n": before["n"] + 1}] == near.sql(count).rows()
    assert far.at(then).sql(count).rows() == [before] == far.at(then.token).sql(count).rows()
    assert far.at(then).snapshot() == then
    assert near.at(then.token).sql(count).rows() == [before]
    assert far.at(then).deploys(service="other").arrow().num_rows == 0
    assert far.sql(count).snapshot != then.token


def test_a_call_without_a_past_is_not_made_of_a_snapshot(far):
    with pytest.raises(InvalidParameter, match="newest snapshot only"):
        far.at(far.snapshot()).run(list_traces())


def test_what_is_no_snapshot_is_refused(far):
    with pytest.raises(BadRequest) as refused:
        far.at("nothing").sql("SELECT 1")
    assert refused.value.param == "snapshot"


@pytest.mark.parametrize("query", ["SELEC 1", "SELECT nothing FROM spans", "SET threads = 1", "SELECT * FROM '/etc/passwd'"])
def test_what_cannot_be_asked_is_a_query_error_near_and_far(near, far, query):
    for one in (near, far):
        with pytest.raises(QueryError):
            one.sql(query).rows()


def test_pivot_is_of_a_folder_only(near, far):
    query = "PIVOT (SELECT kind, status FROM spans) ON status USING count(*)"
    assert near.sql(query).rows()
    with pytest.raises(BadRequest, match="one SELECT"):
        far.sql(query)


def test_asking_with_asyncio(server, near):
    async def ask():
        async with lake.connect_async(server.url, server.live_key) as client:
            then = await client.snapshot()
            found = await client.at(then).errors()
            return found.rows()

    assert asyncio.run(ask()) == near.errors().rows()


def test_more_rows_than_a_server_gives_are_an_error_and_no_answer(far):
    with pytest.raises(Truncated, match="more rows than the 100000"):
        far.sql("SELECT * FROM range(100001)")
    assert far.sql("SELECT * FROM range(100000)").truncated is False


def test_a_part_of_an_answer_is_given_to_who_asks_for_it(far):
    part = far.sql_first("SELECT * FROM range(9) t(i) ORDER BY i DESC", limit=3)
    assert (part.rows(), part.truncated) == ([{"i": 8}, {"i": 7}, {"i": 6}], True)
    assert far.sql_first("SELECT 1 AS a", limit=3).truncated is False
    with pytest.raises(BadRequest, match="limit"):
        far.sql_first("SELECT 1", limit=0)


SENT = [
    (None, None),
    (True, True),
    (2**70, 2**70),
    (1.5, 1.5),
    ("a'b$c?", "a'b$c?"),
    (dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC), "2026-01-02T03:04:05.000006+00:00"),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.timedelta(days=-1, microseconds=1), "-86399999999 microseconds"),
    (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (Decimal("1.10"), "1.10"),
    (("a", [1]), ["a", [1]]),
]


@pytest.mark.parametrize(("value", "sent"), SENT, ids=range(len(SENT)))
def test_values_are_sent_as_what_they_are(ask, value, sent):
    with hostile(answers()) as server:
        ask(server.url, "sql", "SELECT $v", {"v": value})
        ask(server.url, "sql", "SELECT ?", [value])
    [named, ordered] = [json.loads(asked.body) for asked in server.asked]
    assert named == {"query": "SELECT $v", "params": {"v": sent}, "limit": 100_000}
    assert ordered["params"] == [sent]
    assert server.asked[0].headers["accept"] == "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object(), {"a": 1}, [float("nan")], "\ud800"])
def test_a_value_that_cannot_be_sent_is_refused_and_not_changed(ask, value):
    with hostile(answers()) as server, pytest.raises(InvalidParameter):
        ask(server.url, "sql", "SELECT $v", {"v": value})
    assert server.asked == []


def test_naive_times_are_refused_as_near(ask):
    naive = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    for name, asked in [("spans", {"since": naive}), ("traces", {"since": LATER, "until": naive})]:
        with hostile(answers()) as server, pytest.raises(InvalidParameter, match="no time zone"):
            ask(server.url, name, **asked)
        assert server.asked == []


@pytest.mark.parametrize(
    "content", [b"", b"{}", arrow()[:-8], arrow()[:100], arrow()[8:], b"\xff\xff\xff\xff\xff\xff\xff\x7f" * 9]
)
def test_what_is_no_whole_stream_is_no_answer(content):
    with pytest.raises(BadAnswer, match="Arrow"):
        read_stream(content + b"\xff\xff\xff\xff\0\0\0\0" if content == arrow()[8:] else content)


def test_a_dear_question_is_only_asked_again_if_nobody_works_on_it(ask):
    with hostile(refuses(503, "service_unavailable"), refuses(429, "rate_limited"), answers()) as server:
        assert ask(server.url, "sql", "SELECT 1").rows() == TABLE.to_pylist()
    assert len(server.asked) == 3
    for reply in (refuses(500, "internal_error"), refuses(504, "gateway_timeout"), raw(b"HTTP/1.1 200 OK\r\n")):
        with hostile(reply) as server, pytest.raises(lake.LakeError):
            ask(server.url, "sql", "SELECT 1")
        assert len(server.asked) == 1


def test_a_question_that_is_never_answered_says_so(ask):
    with hostile(refuses(503, "service_unavailable", retry_after="1")) as server, pytest.raises(Unavailable) as refused:
        ask(server.url, "sql", "SELECT 1", limits=Limits(max_retries=1))
    assert refused.value.retry_after_s == 1
    assert len(server.asked) == 2


def test_a_server_that_names_no_snapshot_is_none(ask):
    with hostile(says(200, arrow())) as server, pytest.raises(BadAnswer, match="snapshot"):
        ask(server.url, "snapshot")
