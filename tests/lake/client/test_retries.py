"""What is sent again, how often, and after how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.client import ErrorReport, Limits, NoAnswer, RateLimited, RemoteError, ServerError, Unavailable
from lake.client.retries import asked_wait_s, wait_s
from tests.lake.client.hostile import hostile, raw, refuses, says

EMPTY = {"data": [], "has_more": False, "next_cursor": None}
PASSING = [429, 500, 502, 503, 504]
REPORT = ErrorReport(exception_class="OutOfStock", message="no item 7 left")


@pytest.mark.parametrize("status", PASSING)
def test_a_read_is_asked_again_until_it_is_answered(ask, status, waits):
    with hostile(refuses(status, "not_now"), refuses(status, "not_now"), says(200, EMPTY)) as server:
        assert ask(server.url, "list_traces").data == []
    assert len(server.asked) == 3
    assert len(waits.seconds) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 413, 415, 418, 501])
def test_a_refusal_that_will_not_change_is_not_asked_again(ask, status, waits):
    with hostile(refuses(status, "refused")) as server, pytest.raises(RemoteError):
        ask(server.url, "list_traces")
    assert len(server.asked) == 1
    assert waits.seconds == []


@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_the_number_of_retries_is_a_limit(ask, max_retries):
    with hostile(refuses(503, "service_unavailable")) as server, pytest.raises(Unavailable):
        ask(server.url, "list_traces", limits=Limits(max_retries=max_retries))
    assert len(server.asked) == 1 + max_retries


def test_waits_double_and_keep_their_jitter(ask, waits):
    with hostile(refuses(500, "internal_error")) as server, pytest.raises(ServerError):
        ask(server.url, "list_traces", limits=Limits(max_retries=4))
    assert waits.seconds == [0.25, 0.5, 1.0, 2.0]


def test_a_client_comes_back_no_earlier_than_it_was_told(ask, waits):
    with hostile(refuses(503, "service_unavailable", retry_after="7"), says(200, EMPTY)) as server:
        ask(server.url, "list_traces")
    assert waits.seconds == [7.25]


def test_without_retry_after_a_full_window_is_waited_for(ask, waits):
    reset = str(int(waits.now_s) + 42)
    with hostile(refuses(429, "rate_limited", x_ratelimit_reset=reset), says(200, EMPTY)) as server:
        ask(server.url, "list_traces")
    assert waits.seconds == [42.25]


def test_the_end_of_a_window_is_measured_by_the_clock_of_the_server(ask, waits):
    ahead = {"date": "Wed, 25 Nov 2026 09:00:00 GMT", "x_ratelimit_reset": "1795597210"}
    with hostile(refuses(429, "rate_limited", **ahead), says(200, EMPTY)) as server:
        ask(server.url, "list_traces")
    assert waits.seconds == [10.25]


def test_a_wait_that_is_too_long_is_left_to_the_caller(ask, waits):
    with hostile(refuses(429, "rate_limited", retry_after="3600")) as server, pytest.raises(RateLimited) as refused:
        ask(server.url, "list_traces", limits=Limits(max_wait_s=60))
    assert (refused.value.retry_after_s, refused.value.code) == (3600, "rate_limited")
    assert len(server.asked) == 1
    assert waits.seconds == []


def test_a_report_is_sent_again_under_the_same_name(ask):
    stored = {"id": "err_1", "fingerprint": "f"}
    with hostile(refuses(500, "x"), raw(b""), says(200, stored)) as server:
        assert ask(server.url, "report_error", REPORT).id == "err_1"
    names = {asked.headers["idempotency-key"] for asked in server.asked}
    assert len(server.asked) == 3
    assert len(names) == 1
    assert len({asked.body for asked in server.asked}) == 1


def test_two_reports_have_two_names(ask):
    stored = {"id": "err_1", "fingerprint": "f"}
    with hostile(says(200, stored)) as server:
        ask(server.url, "report_error", REPORT)
        ask(server.url, "report_error", REPORT)
        ask(server.url, "report_error", REPORT, idempotency_key="mine")
    names = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(set(names)) == 3
    assert names[2] == "mine"


CUT_OFF = [
    b"",
    b"HTTP/1.1 200 OK\r\ncontent-le",
    b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"data": [',
    b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"dat\r\n',
    b"SSH-2.0-OpenSSH_9.9\r\n",
]


@pytest.mark.parametrize("content", CUT_OFF)
def test_an_answer_that_is_cut_off_is_asked_for_again(ask, content):
    with hostile(raw(content), raw(content), says(200, EMPTY)) as server:
        assert ask(server.url, "list_traces").data == []
    assert len(server.asked) == 3


@pytest.mark.parametrize("content", CUT_OFF)
def test_an_answer_that_is_always_cut_off_is_none(ask, content):
    with hostile(raw(content)) as server, pytest.raises(NoAnswer, match=r"GET http://127\.0\.0\.1:\d+/v1/traces had no"):
        ask(server.url, "list_traces", limits=Limits(max_retries=2))
    assert len(server.asked) == 3


def test_a_server_that_is_not_there_is_tried_again(ask, waits):
    with hostile(raw(b"")) as server:
        pass
    with pytest.raises(NoAnswer, match="had no answer"):
        ask(server.url, "list_traces")
    assert len(waits.seconds) == 3


@given(
    attempt=st.integers(1, 60),
    asked_s=st.floats(0, 60),
    jitter=st.floats(0, 1),
    max_wait_s=st.floats(60, 3600),
)
def test_a_wait_lies_between_what_was_asked_for_and_the_limit(attempt, asked_s, jitter, max_wait_s):
    waited = wait_s(attempt, asked_s=asked_s, jitter=jitter, max_wait_s=max_wait_s)
    assert asked_s <= waited <= max_wait_s
    assert waited <= asked_s + 0.5 * 2.0 ** (attempt - 1)


@pytest.mark.parametrize(
    ("status", "headers", "asked"),
    [
        (503, {}, None),
        (503, {"retry-after": "5"}, 5),
        (503, {"retry-after": " 5 "}, 5),
        (503, {"retry-after": "0"}, 0),
        (503, {"retry-after": "Wed, 25 Nov 2026 09:00:30 GMT"}, 30),
        (503, {"retry-after": "Wed, 25 Nov 2026 08:00:00 GMT"}, 0),
        (503, {"retry-after": "soon"}, None),
        (503, {"retry-after": "-5"}, None),
        (503, {"retry-after": "²"}, None),
        (503, {"retry-after": "9" * 400}, None),
        (429, {"x-ratelimit-reset": "1795597210"}, 10),
        (429, {"x-ratelimit-reset": "1795597190"}, 0),
        (429, {"retry-after": "3", "x-ratelimit-reset": "1795597210"}, 3),
        (429, {"retry-after": "soon", "x-ratelimit-reset": "1795597210"}, 10),
        (429, {"x-ratelimit-reset": "later"}, None),
        (503, {"x-ratelimit-reset": "1795597210"}, None),  # every answer has it; only a full window is to be waited for
        (429, {"date": "Wed, 25 Nov 2026 09:00:05 GMT", "x-ratelimit-reset": "1795597210"}, 5),
        (429, {"date": "yesterday", "x-ratelimit-reset": "1795597210"}, 10),
    ],
)
def test_what_a_server_asks_for_is_read_from_its_headers(status, headers, asked):
    assert asked_wait_s(status, headers, now_s=1795597200) == asked
