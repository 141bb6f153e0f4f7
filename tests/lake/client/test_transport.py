"""Answers that are too large, too slow, or none."""

import gzip
import logging

import pytest

import lake
from lake.client import BadAnswer, Limits, NoAnswer, RemoteError, connect
from lake.errors import InvalidParameter
from tests.lake.client.clocks import KEY
from tests.lake.client.hostile import endless, hostile, raw, refuses, says, silent

EMPTY = {"data": [], "has_more": False, "next_cursor": None}


def test_an_endless_answer_ends_at_the_limit(ask):
    with hostile(endless()) as server, pytest.raises(BadAnswer, match="larger than 1000000 bytes"):
        ask(server.url, "list_traces", limits=Limits(max_answer_bytes=1_000_000))
    assert len(server.asked) == 1  # it would not be smaller the next time


def test_a_small_body_that_is_large_when_inflated_ends_at_the_limit(ask):
    bomb = gzip.compress(b" " * 50_000_000)
    with hostile(says(200, bomb, content_encoding="gzip")) as server, pytest.raises(BadAnswer, match="larger than"):
        ask(server.url, "list_traces", limits=Limits(max_answer_bytes=1_000_000))


def test_a_compressed_answer_is_an_answer(ask):
    packed = gzip.compress(b'{"data": [], "has_more": false}')
    with hostile(says(200, packed, content_encoding="gzip")) as server:
        assert ask(server.url, "list_traces").data == []


def test_a_coding_that_is_not_the_one_named_is_no_answer(ask):
    with hostile(says(200, b"no gzip", content_encoding="gzip")) as server, pytest.raises(BadAnswer, match="coding"):
        ask(server.url, "list_traces")
    assert len(server.asked) == 1


def test_an_answer_that_drips_is_too_slow_however_steady(ask, waits):
    waits.step_s = 1  # each piece of the body takes a second
    with hostile(endless(b" ")) as server, pytest.raises(NoAnswer, match="no answer in time"):
        ask(server.url, "list_traces", limits=Limits(timeout_s=5, max_retries=1, max_answer_bytes=10_000))
    assert len(server.asked) == 2


def test_a_silent_server_is_given_up(ask):
    with hostile(silent) as server, pytest.raises(NoAnswer, match="no answer in time"):
        ask(server.url, "list_traces", limits=Limits(timeout_s=0.05, max_retries=1))
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>hello</html>", b"[]", b"null", b'{"data": 1}', b'{"data": [{}]}', b'{"data": [', b"\xff", b"[" * 99_999],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_answer_is_said_to_be_none(ask, body):
    with hostile(says(200, body)) as server, pytest.raises(BadAnswer, match="not what the reference says"):
        ask(server.url, "list_traces")
    assert len(server.asked) == 1


def test_what_a_newer_server_says_more_does_not_matter(ask):
    with hostile(says(200, EMPTY | {"took_ms": 3})) as server:
        assert ask(server.url, "list_traces").has_more is False


def test_a_redirect_is_not_followed_with_the_key(ask):
    with hostile(says(302, b"", location="http://elsewhere.example/")) as server, pytest.raises(BadAnswer) as refused:
        ask(server.url, "list_traces")
    assert "elsewhere.example" in str(refused.value)
    assert len(server.asked) == 1


def test_a_request_says_who_asks(ask):
    with hostile(says(200, EMPTY)) as server:
        ask(server.url, "list_traces")
    [asked] = server.asked
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["user-agent"].startswith("tracelake-python/")


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_address_may_be_written_as_the_reference_writes_it(ask, suffix):
    with hostile(says(200, EMPTY)) as server:
        ask(f"{server.url}/behind/a/proxy{suffix}", "list_traces", service="a b")
    assert [asked.target for asked in server.asked] == ["/behind/a/proxy/v1/traces?service=a+b"]


@pytest.mark.parametrize(
    "url", ["", "localhost:3000", "ftp://host", "http://", "http://me:secret@host", "http://host?a=b", "http://host#a", "http://[",
            "http://host:99999"],
)  # fmt: skip
def test_what_is_no_address_is_refused_at_once(url):
    with pytest.raises(InvalidParameter, match="address") as refused:
        lake.connect(url, KEY)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["", " ", "mtk_live_secret\n", "mtk live", "ключ", "mtk_live_\0secret"])
def test_what_cannot_be_a_key_is_refused_at_once_and_not_shown(key):
    with pytest.raises(InvalidParameter, match="key") as refused:
        lake.connect("http://localhost:3000", key)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("trace_id", ["", ".", ".."])
def test_what_would_be_another_path_is_refused_at_once(ask, trace_id):
    with hostile(says(200, EMPTY)) as server, pytest.raises(InvalidParameter, match="trace_id"):
        ask(server.url, "get_trace", trace_id)
    assert server.asked == []


def test_an_id_with_a_slash_stays_one_segment(ask):
    with hostile(refuses(404, "not_found")) as server, pytest.raises(lake.LakeError):
        ask(server.url, "get_trace", "../../ingest/errors?x=1#y")
    assert [asked.target for asked in server.asked] == ["/v1/traces/..%2F..%2Fingest%2Ferrors%3Fx%3D1%23y"]


def test_a_key_is_in_no_log_no_error_and_no_repr(caplog):
    caplog.set_level(logging.DEBUG)
    echo = {"error": {"code": KEY, "message": f"Authorization: Bearer {KEY}", "param": KEY, "request_id": KEY}}
    shown = []
    limits = Limits(max_retries=1, max_answer_bytes=1000)
    with hostile(raw(b""), says(400, echo), endless()) as server, connect(server.url, KEY, limits=limits) as client:
        shown += [repr(client), str(client), str(vars(client))]
        for _ in range(2):
            with pytest.raises(lake.LakeError) as refused:
                client.list_traces()
            shown += [str(refused.value), repr(refused.value), str(vars(refused.value))]
    assert KEY not in "".join(shown) + caplog.text
    assert caplog.text


def test_a_message_holds_nothing_that_a_terminal_obeys(ask):
    error = {"code": "x\x1b[2J", "message": "\x1b]0;title\x07" + "a" * 10_000, "param": "\r"}
    with hostile(says(400, {"error": error})) as server, pytest.raises(RemoteError) as refused:
        ask(server.url, "list_traces")
    assert refused.value.code == "x\N{REPLACEMENT CHARACTER}[2J"
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 3000
