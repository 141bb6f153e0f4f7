"""A search of a server finds what a search of a folder finds."""

import datetime as dt

import msgspec
import pytest

import lake
from lake.client import BadAnswer, BadRequest
from lake.errors import InvalidParameter, QueryError
from tests.api.clients import nanoseconds, otlp, span
from tests.lake.client.hostile import hostile, says
from tests.notebooks.shop import START, make_shop
from tests.servers import Server

WINDOW = {"since": START, "until": START + dt.timedelta(minutes=30)}
TIMES = {"start_time": WINDOW["since"], "end_time": WINDOW["until"]}
SLOW = 'service.name = "orders" AND duration > 20ms'


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A server on the lake of a small shop."""
    server = Server(tmp_path_factory.mktemp("search") / "data", workers=1)
    make_shop(server.lake)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def far(shop):
    with lake.connect(shop.url, shop.live_key) as client:
        yield client


@pytest.fixture(scope="module")
def near(shop):
    with lake.open(shop.lake) as opened:
        yield opened


SEARCHES = [
    (SLOW, {}),
    (SLOW, {"limit": 3}),
    ("{ kind = client } >> { }", {}),
    ('{ name = "send mail" } | select(name, resource.service.name)', {"limit": 7}),
    ("duration > 1h", {}),
    ("status = error", WINDOW | {"until": START + dt.timedelta(minutes=60)}),
    ("duration > 0ms", {"limit": 1000}),  # more than a page of the API has
]


@pytest.mark.parametrize(("query", "asked"), SEARCHES, ids=range(len(SEARCHES)))
def test_a_search_from_far_finds_what_one_from_near_finds(near, far, query, asked):
    here, there = (one.search(query, **WINDOW | asked).arrow() for one in (near, far))
    assert here.column_names == there.column_names
    assert here.schema.types == there.schema.types
    assert here.to_pylist() == there.to_pylist()
    assert here.num_rows or "1h" in query


def test_a_search_goes_on_where_the_page_before_ended(near, far):
    ids = []
    before = None
    for _ in range(4):
        here, there = (one.search("duration > 0ms", **WINDOW, limit=40, before=before).rows() for one in (near, far))
        assert [row["trace_id"] for row in here] == [row["trace_id"] for row in there]
        before = (there[-1]["start_ns"], there[-1]["trace_id"])
        ids += [row["trace_id"] for row in there]
    assert len(set(ids)) == 160


def test_a_page_may_end_among_traces_of_one_microsecond(shop, near, far):
    start = START + dt.timedelta(hours=3)
    tied = [span("tied", start=nanoseconds(start) + ns) for ns in (0, 0, 0, 1, 1, 999, 1000)]
    with lake.connect(shop.url, shop.ingest_key) as sender:
        sender.send_traces(msgspec.json.encode(otlp(*tied)), content_type="application/json")
    window = {"since": start, "until": start + dt.timedelta(seconds=1)}
    every = near.search('name = "tied"', **window).rows()
    assert len(every) == len(tied)
    for place, row in enumerate(every):
        before = (row["start_ns"], row["trace_id"])
        assert far.search('name = "tied"', **window, limit=2, before=before).rows() == every[place + 1 : place + 3]


def test_traces_come_typed_and_page_by_page(near, far):
    page = far.search_traces(SLOW, **TIMES, limit=5)
    assert page.has_more
    [local] = near.search(SLOW, **WINDOW, limit=1).rows()
    assert page.data[0].trace_id == local["trace_id"]
    assert (page.data[0].matched_spans, page.data[0].matched_span_ids) == (
        local["matched_spans"],
        local["matched_span_ids"],
    )
    every = [trace.trace_id for trace in far.iter_search(SLOW, **TIMES, limit=20)]
    assert every == [row["trace_id"] for row in near.search(SLOW, **WINDOW, limit=1000).rows()]


def test_a_search_of_a_snapshot_finds_what_was_there_then(shop, near, far):
    then = far.snapshot()
    before = far.search("duration > 0ms", **WINDOW, limit=1000).rows()
    with lake.connect(shop.url, shop.ingest_key) as sender:
        late = span("late", start=START + dt.timedelta(minutes=1))
        sender.send_traces(msgspec.json.encode(otlp(late)), content_type="application/json")
    assert len(far.search("duration > 0ms", **WINDOW, limit=1000).rows()) == len(before) + 1
    assert far.at(then).search("duration > 0ms", **WINDOW, limit=1000).rows() == before
    assert near.at(then.token).search("duration > 0ms", **WINDOW, limit=1000).rows() == before
    with pytest.raises(BadRequest) as refused:
        far.at("nothing").search(SLOW, **WINDOW)
    assert (refused.value.code, refused.value.param) == ("invalid_parameter", "snapshot")


METRICS = [
    "{ status = error } | rate() by(service.name)",
    "{ kind = server } | quantile_over_time(duration, .5, .9) by(name)",
    "{ duration > 1h } | count_over_time()",
]


@pytest.mark.parametrize("query", METRICS, ids=range(len(METRICS)))
def test_numbers_over_time_from_far_are_those_from_near(near, far, query):
    here, there = (one.search_metrics(query, **WINDOW, step_s=300).arrow() for one in (near, far))
    assert here.column_names == there.column_names
    assert here.schema.types == there.schema.types
    assert here.to_pylist() == there.to_pylist()
    typed = far.measure_traces(query, **TIMES, step=300)
    assert sum(len(series.points) for series in typed.data) == here.num_rows
    assert [value for series in typed.data for _, value in series.points] == here.column("value").to_pylist()


def test_what_a_search_ran_and_read_comes_typed(far):
    found = far.explain_search(SLOW, **TIMES, limit=5)
    assert [trace.trace_id for trace in found.data] == [
        trace.trace_id for trace in far.search_traces(SLOW, **TIMES, limit=5).data
    ]
    assert "candidates" in {step.purpose for step in found.explain}
    assert all(step.files.read <= step.files.total for step in found.explain)
    assert "SELECT" in found.explain[0].sql


def test_what_is_no_query_is_shown_where_it_is_wrong(near, far):
    for one in (near, far):
        with pytest.raises(QueryError):
            one.search("duration >", **WINDOW)
    with pytest.raises(BadRequest) as refused:
        far.search_traces("duration >", **TIMES)
    assert (refused.value.code, refused.value.param) == ("invalid_query", "query")
    assert "^" in str(refused.value)


def test_a_reach_that_a_server_does_not_have_is_refused(far):
    with pytest.raises(InvalidParameter, match="around"):
        far.search(SLOW, **WINDOW, around=dt.timedelta(hours=2))


def test_a_search_that_leads_nowhere_ends_with_an_error(ask):
    page = {"data": [], "has_more": True, "next_cursor": "a"}
    with hostile(says(200, page, x_lake_snapshot="s")) as server, pytest.raises(BadAnswer, match="does not go on"):
        ask(server.url, "search", SLOW, **WINDOW)
    assert len(server.asked) == 1
