"""Iterators go through every page once, and never in circles."""

import pytest

from lake.client import BadAnswer, NotFound, connect
from tests.lake.client.clocks import KEY
from tests.lake.client.hostile import hostile, refuses, says

NOW = "2026-11-25T09:00:00.000000Z"


def item(number):
    return {
        "trace_id": f"{number:032x}", "root_service": "shop", "root_operation": "GET /", "services": ["shop"],
        "start_time": NOW, "end_time": NOW, "duration_ms": 1.5, "span_count": 1, "error_count": 0, "status": "ok",
    }  # fmt: skip


def page(*numbers, cursor=None):
    return says(200, {"data": [item(n) for n in numbers], "has_more": cursor is not None, "next_cursor": cursor})


def goes_nowhere():
    return pytest.raises(BadAnswer, match="does not go on")


gone = refuses(404, "not_found")


def numbers(traces):
    return [int(trace.trace_id, 16) for trace in traces]


def test_all_pages_are_one_list(ask):
    with hostile(page(1, 2, cursor="a&b=/"), page(cursor="c"), page(3)) as server:
        assert numbers(ask(server.url, "iter_traces", service="shop", limit=2)) == [1, 2, 3]
    assert [asked.target.partition("?")[2] for asked in server.asked] == [
        "service=shop&limit=2",
        "service=shop&limit=2&cursor=a%26b%3D%2F",
        "service=shop&limit=2&cursor=c",
    ]


def test_a_page_is_asked_for_when_somebody_reads_so_far():
    with hostile(page(1, 2, cursor="a"), page(3)) as server, connect(server.url, KEY) as client:
        traces = client.iter_traces()
        assert server.asked == []
        next(traces)
        next(traces)
        assert len(server.asked) == 1
        next(traces)
        assert len(server.asked) == 2


def test_a_cursor_that_comes_again_ends_the_list_with_an_error(ask):
    with hostile(page(1, cursor="a"), page(2, cursor="b"), page(3, cursor="a"), gone) as server, goes_nowhere():
        ask(server.url, "iter_traces")
    assert len(server.asked) == 3


def test_a_list_that_goes_on_without_a_cursor_is_an_error(ask):
    with hostile(says(200, {"data": [item(1)], "has_more": True, "next_cursor": None}), gone) as server, goes_nowhere():
        ask(server.url, "iter_traces")
    assert len(server.asked) == 1


def test_a_page_that_fails_for_a_moment_does_not_end_the_list(ask):
    with hostile(page(1, cursor="a"), refuses(503, "service_unavailable"), page(2)) as server:
        assert numbers(ask(server.url, "iter_traces")) == [1, 2]
    assert len(server.asked) == 3


def test_an_error_in_the_middle_is_raised_and_not_the_end(ask):
    with hostile(page(1, cursor="a"), refuses(404, "not_found")) as server, pytest.raises(NotFound):
        ask(server.url, "iter_traces")
    assert len(server.asked) == 2


def test_a_page_can_be_asked_for_by_its_cursor(ask):
    with hostile(page(2)) as server:
        assert numbers(ask(server.url, "list_traces", cursor="a").data) == [2]
    assert server.asked[0].target == "/v1/traces?cursor=a"
