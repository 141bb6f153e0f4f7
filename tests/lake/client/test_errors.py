"""Errors by what the caller can do, with what names them in the server's log."""

import pytest

import lake
from lake import client
from lake.errors import QueryError
from tests.lake.client.hostile import hostile, refuses, says

BY_STATUS = {
    400: client.BadRequest,
    401: client.Unauthorized,
    403: client.PermissionDenied,
    404: client.NotFound,
    405: client.BadRequest,
    413: client.BadRequest,
    429: client.RateLimited,
    500: client.ServerError,
    503: client.Unavailable,
    504: client.ServerError,
    599: client.ServerError,
}


@pytest.mark.parametrize("status", BY_STATUS)
def test_each_status_has_its_error(ask, status):
    with hostile(refuses(status, "some_code", retry_after="2")) as server, pytest.raises(client.RemoteError) as refused:
        ask(server.url, "list_traces")
    error = refused.value
    assert type(error) is BY_STATUS[status]
    assert isinstance(error, lake.LakeError)
    assert (error.status, error.code, error.param) == (status, "some_code", "limit")
    assert (error.request_id, error.retry_after_s) == ("req_0123456789", 2)
    assert "refused: some_code" in str(error)
    assert "req_0123456789" in str(error)


def test_a_question_that_cannot_be_answered_is_the_same_error_near_and_far():
    assert issubclass(client.BadRequest, QueryError)


def test_the_request_id_of_the_header_counts(ask):
    with hostile(refuses(400, "x", x_request_id="req_header")) as server, pytest.raises(client.BadRequest) as refused:
        ask(server.url, "list_traces")
    assert refused.value.request_id == "req_header"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"[]", b'{"error": null}', b'{"error": {"code": 7}}', b"[" * 99_999]
)
def test_a_refusal_without_a_sound_body_is_a_refusal(ask, body):
    with hostile(says(404, body, x_request_id="req_1")) as server, pytest.raises(client.NotFound) as refused:
        ask(server.url, "list_traces")
    assert str(refused.value) == "the server answered Not Found (404, request req_1)"


def test_the_refusals_of_ingest_are_texts(ask):
    body = {"error": "Invalid trace format", "details": "no such field"}
    with hostile(says(400, body)) as server, pytest.raises(client.BadRequest, match="Invalid trace format: no such field"):
        ask(server.url, "send_traces", b"")


def test_a_refusal_in_protobuf_that_is_none_is_a_refusal(ask):
    with hostile(says(400, b"\xff", content_type="application/x-protobuf")) as server, pytest.raises(client.BadRequest):
        ask(server.url, "send_traces", b"")
