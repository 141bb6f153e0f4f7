"""Every error as an HTTP answer, in the shape of the route it happens on."""

import asyncio
import errno
import re
from typing import Any, cast

import httpx
import pytest
import structlog
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos ships no types
from litestar import Litestar, get, post
from litestar.exceptions import ImproperlyConfiguredException, ValidationException
from sqlalchemy.exc import DBAPIError

import lake.errors
from api import problems
from api.headers import with_headers
from api.problems import PROTOBUF, STATUS, answer, problem_of
from lake.errors import (
    CommitConflict,
    InvalidParameter,
    LakeCorrupt,
    LakeError,
    NotALake,
    Overloaded,
    QueryError,
    SnapshotExpired,
    SnapshotInvalid,
    TooLarge,
    WireError,
)

EXPECTED = [
    (WireError("cut short"), 400, "invalid_json"),
    (problems.InvalidTraces("cut short"), 400, "invalid_json"),
    (TooLarge("too much"), 413, "payload_too_large"),
    (InvalidParameter("limit", "too high"), 400, "invalid_parameter"),
    (problems.InvalidCursor("cursor", "none"), 400, "invalid_cursor"),
    (SnapshotInvalid("none"), 400, "invalid_parameter"),
    (SnapshotExpired("gone"), 400, "invalid_parameter"),
    (problems.Unauthorized(), 401, "invalid_api_key"),
    (problems.Unauthorized("missing_api_key"), 401, "missing_api_key"),
    (problems.Forbidden("no"), 403, "permission_denied"),
    (problems.NotFound("no"), 404, "not_found"),
    (problems.RequestTimeout("slow"), 408, "request_timeout"),
    (problems.UnsupportedMediaType("odd"), 415, "unsupported_media_type"),
    (Overloaded("full"), 503, "service_unavailable"),
    (ValidationException("wrong"), 400, "invalid_parameter"),
    (OSError(errno.ENOSPC, "No space left on device", "/secret/path"), 503, "service_unavailable"),
    (DBAPIError("SELECT secret", {}, OSError("/secret/path")), 503, "service_unavailable"),
    (LakeCorrupt("/secret/path is gone"), 500, "internal_error"),
    (NotALake("/secret/path"), 500, "internal_error"),
    (CommitConflict("/secret/path"), 500, "internal_error"),
    (QueryError("Binder Error: /secret/path"), 500, "internal_error"),
    (RuntimeError("/secret/path"), 500, "internal_error"),
    (ImproperlyConfiguredException("/secret/path"), 500, "internal_error"),
]

error_cases = pytest.mark.parametrize(
    ("error", "status", "code"), EXPECTED, ids=[f"{type(error).__name__} {code}" for error, _, code in EXPECTED]
)

PATHS = ["/ingest/errors", "/v1/traces", "/ingest/v1/traces", "/other", "/health"]


class Refusing:
    """An application whose every route raises the error of the moment."""

    def __init__(self):
        self.error: Exception = RuntimeError()

        @get(PATHS)
        async def asked() -> None:
            raise self.error

        @post(PATHS)
        async def sent() -> None:
            raise self.error

        handlers: dict[Any, Any] = {Exception: answer}
        app = Litestar([asked, sent], exception_handlers=handlers, openapi_config=None, logging_config=None)
        self._transport = httpx.ASGITransport(cast("Any", with_headers(app)))

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, **what):
        return self.request("POST", path, **what)

    def request(self, method, path, **what):
        async def ask():
            async with httpx.AsyncClient(transport=self._transport, base_url="http://server") as client:
                return await client.request(method, path, **what)

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def application():
    return Refusing()


@pytest.fixture
def logged():
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as events:
        yield events


@pytest.fixture
def refusing(application, logged):
    """The application, with an error to raise."""

    def raising(error):
        application.error = error
        return application

    return raising


@error_cases
def test_an_error_has_a_status_and_a_code(error, status, code):
    assert (problem_of(error).status, problem_of(error).code) == (status, code)


@error_cases
def test_under_v1_an_error_is_an_object(refusing, error, status, code):
    for path in ("/v1/traces", "/other"):
        response = refusing(error).get(path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json"
        said = response.json()["error"]
        assert said["code"] == code
        assert said["message"]
        assert re.fullmatch(r"req_[0-9a-f]{10}", said["request_id"])
        assert said["request_id"] == response.headers["x-request-id"]
        assert set(said) <= {"code", "message", "param", "request_id"}
        assert said.get("param") == getattr(error, "param", None)


@error_cases
def test_under_ingest_an_error_is_a_text(refusing, error, status, code):
    for path in ("/ingest/errors", "/health"):
        response = refusing(error).post(path, json={})
        assert response.status_code == status
        assert isinstance(response.json()["error"], str)
        assert set(response.json()) <= {"error", "details"}


@error_cases
@pytest.mark.parametrize("path", ["/ingest/v1/traces", "/v1/traces"])
def test_a_protobuf_request_is_answered_in_protobuf(refusing, error, status, code, path):
    response = refusing(error).post(path, content=b"", headers={"Content-Type": "application/x-protobuf"})
    assert (response.status_code, response.headers["content-type"]) == (status, PROTOBUF)
    said = Status.FromString(response.content)
    assert said.message == problem_of(error).message
    rpc = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 8, 415: 3, 500: 13, 503: 14}
    assert said.code == rpc[status]


def test_a_trace_request_that_is_none_has_the_text_of_the_reference(refusing):
    client = refusing(problems.InvalidTraces("Invalid trace format: a brace is missing"))
    assert client.post("/ingest/v1/traces", json={}).json() == {
        "error": "Invalid trace format",
        "details": "a brace is missing",
    }
    assert client.post("/v1/traces", json={}).json()["error"]["message"] == "Invalid trace format: a brace is missing"


@error_cases
def test_an_error_that_nobody_foresaw_tells_nothing(refusing, logged, error, status, code):
    """What the client is not told is in the log, under the number that it is told."""
    response = refusing(error).get("/v1/traces")
    assert "secret" not in response.text
    events = [(event["exc_info"], event["request_id"]) for event in logged]
    is_ours_to_know = status == 500 or isinstance(error, OSError | DBAPIError)
    assert events == ([(error, response.headers["x-request-id"])] if is_ours_to_know else [])


def test_headers_say_what_to_do_next(refusing):
    assert refusing(Overloaded("full", retry_after_s=1.2)).get("/v1/traces").headers["retry-after"] == "2"
    assert refusing(OSError(errno.EMFILE, "")).get("/v1/traces").headers["retry-after"] == "5"
    assert refusing(problems.Unauthorized()).get("/v1/traces").headers["www-authenticate"] == "Bearer"
    refused = refusing(RuntimeError()).request("DELETE", "/v1/traces")
    assert refused.status_code == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "OPTIONS", "POST"}
    assert refused.json()["error"]["code"] == "method_not_allowed"


def test_a_path_that_is_none_has_the_shape_of_its_neighbours(refusing):
    client = refusing(RuntimeError())
    assert client.get("/v1/nothing").json()["error"]["code"] == "not_found"
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    assert isinstance(client.get("/ingest/nothing").json()["error"], str)
    assert {client.get(path).status_code for path in ("/v1/nothing", "/nothing", "/ingest/nothing")} == {404}


def test_every_error_of_the_lake_that_a_sender_can_cause_has_a_status():
    """An error class that comes later has to be put into the table, or stays a 500 on purpose."""
    known = {cls for cls in vars(lake.errors).values() if isinstance(cls, type) and issubclass(cls, LakeError)}
    internal = {"LakeError", "NotALake", "LakeCorrupt", "CommitConflict", "LeaseLost", "SettingError", "ControlError"}
    own_faults = {cls.__name__ for cls in known if not any(base in STATUS for base in cls.__mro__)}
    assert own_faults <= internal | {"QueryError"}
