"""Problems: which HTTP answer an error becomes, as tables.

Takes   a `LakeError` or an HTTP exception.
Gives   a response in the shape of the route: `{"error": "text"}` under `/ingest`, `{"error": {code, message, param,
        request_id}}` elsewhere, `google.rpc.Status` in protobuf for a protobuf request to an OTLP route.

A passing fault is 503, never 500: OTLP clients drop what is answered with 500.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos ships no types
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET
from sqlalchemy.exc import DBAPIError

from lake.errors import (
    InvalidParameter,
    LakeError,
    Overloaded,
    SnapshotInvalid,
    TooLarge,
    WireError,
)

from .answers import ErrorAnswer, ErrorDetails, ErrorText

log = structlog.get_logger()

PROTOBUF = "application/x-protobuf"
OTLP_PATHS = tuple(f"{prefix}/v1/{signal}" for prefix in ("", "/ingest") for signal in ("traces", "metrics", "logs"))
"""Where OTLP clients send to; they are answered in the encoding of their request."""


class Unauthorized(LakeError):
    """The key is missing or is none."""

    def __init__(self, code: str = "invalid_api_key") -> None:
        super().__init__("Missing or invalid API key")
        self.code = code


class Forbidden(LakeError):
    """The key lacks the permission that the route needs."""


class SqlUnavailable(LakeError):
    """SQL cannot be run safely on this machine."""


class NotFound(LakeError):
    """There is no such thing for this key."""


class UnsupportedMediaType(LakeError):
    """The body is of a type or coding that the route does not take."""


class RequestTimeout(LakeError):
    """The client took too long to send its body."""


class Disconnected(WireError):
    """The client went away while it sent its body; nobody reads the answer."""


class InvalidTraces(WireError):
    """The body is no trace request."""

    summary = "Invalid trace format"
    """What the reference answers under `/ingest`; the reason stands beside it there."""

    def __init__(self, reason: str) -> None:
        self.reason = reason.removeprefix(f"{self.summary}: ")
        super().__init__(f"{self.summary}: {self.reason}")


class MissingParameter(InvalidParameter):
    """A parameter that the route cannot do without is not there."""


class InvalidQuery(InvalidParameter):
    """The query is none, or asks for what it may not have."""


class InvalidCursor(InvalidParameter):
    """The cursor is none, or the snapshot it continues is gone."""


STATUS: dict[type[LakeError], tuple[int, str]] = {
    Unauthorized: (401, "invalid_api_key"),
    Forbidden: (403, "permission_denied"),
    NotFound: (404, "not_found"),
    RequestTimeout: (408, "request_timeout"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    TooLarge: (413, "payload_too_large"),
    WireError: (400, "invalid_json"),
    MissingParameter: (400, "missing_parameter"),
    InvalidQuery: (400, "invalid_query"),
    InvalidCursor: (400, "invalid_cursor"),
    InvalidParameter: (400, "invalid_parameter"),
    SnapshotInvalid: (400, "invalid_parameter"),
    SqlUnavailable: (503, "service_unavailable"),
    Overloaded: (503, "service_unavailable"),
}
"""HTTP status and error code by the nearest ancestor; 500 for what is not here."""

HTTP_CODES = {400: "invalid_parameter", 401: "invalid_api_key", 404: "not_found", 405: "method_not_allowed",
          413: "payload_too_large", 415: "unsupported_media_type"}  # fmt: skip
"""Error codes for the exceptions of the framework."""

_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 503: 14}
"""google.rpc.Code by HTTP status, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto."""

_RPC_INTERNAL = 13
_RPC_MESSAGE_MAX_CHARACTERS = 4096

_INTERNAL = "internal error; the server's log has it under this request id"
_UNAVAILABLE = "the server cannot read or write its files at the moment: send again; its log has more under this request id"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as HTTP knows it."""

    status: int
    code: str
    message: str
    param: str | None = None
    reason: str | None = None
    """Told apart from what the message sums up, where the shape has room for it."""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The response to an error; one that nobody foresaw is logged and told nothing of."""
    problem = problem_of(error)
    if problem.message in (_INTERNAL, _UNAVAILABLE):
        log.error("request failed", path=request.url.path, request_id=request.state.get("request_id"), exc_info=error)
    return shaped(request, problem)


def problem_of(error: Exception) -> Problem:
    """What an error is in HTTP."""
    if isinstance(error, LakeError):
        status, code = next((STATUS[t] for t in type(error).__mro__ if t in STATUS), (500, "internal_error"))
        return Problem(
            status,
            getattr(error, "code", code),
            _INTERNAL if status == 500 else str(error),
            getattr(error, "param", None),
            getattr(error, "reason", None),
            _headers(error),
        )
    if isinstance(error, HTTPException) and error.status_code < 500:
        code = HTTP_CODES.get(error.status_code, "invalid_parameter")
        return Problem(error.status_code, code, error.detail, headers=error.headers or {})
    if isinstance(
        error, OSError | DBAPIError
    ):  # no space, no file descriptors, a device that fails: it passes, or somebody mends it
        return Problem(503, "service_unavailable", _UNAVAILABLE, headers={"Retry-After": "5"})
    return Problem(500, "internal_error", _INTERNAL)


def _headers(error: LakeError) -> Mapping[str, str]:
    if isinstance(error, Overloaded):
        return {"Retry-After": str(math.ceil(error.retry_after_s))}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}


def shaped(request: Request[Any, Any, Any], problem: Problem) -> Response[Any]:
    """An error in the shape of the route it is answered on."""
    path = request.url.path.rstrip("/")
    if request.method == "POST" and path in OTLP_PATHS and is_protobuf(request):
        message = problem.message[:_RPC_MESSAGE_MAX_CHARACTERS]
        body = Status(code=_RPC_CODES.get(problem.status, _RPC_INTERNAL), message=message).SerializeToString()
        return Response(body, status_code=problem.status, headers=problem.headers, media_type=PROTOBUF)
    content: ErrorText | ErrorAnswer
    if not has_text_errors(path):
        number = request.state.get("request_id", "")
        content = ErrorAnswer(
            error=ErrorDetails(code=problem.code, message=problem.message, param=problem.param or UNSET, request_id=number)
        )
    elif problem.reason is None:
        content = ErrorText(error=problem.message)
    else:
        content = ErrorText(error=InvalidTraces.summary, details=problem.reason)
    return Response(content, status_code=problem.status, headers=problem.headers, media_type=MediaType.JSON)


def has_text_errors(path: str) -> bool:
    """Whether an error on a path is a text, as in the reference for ingest, and not an object."""
    return path == "/ingest" or path.startswith("/ingest/") or path == "/health"


def is_exempt(method: str, path: str) -> bool:
    """Whether a request is never refused, and so not counted: ingest, and health checks."""
    return has_text_errors(path) or (method == "POST" and path in OTLP_PATHS)


def content_type(request: Request[Any, Any, Any]) -> str:
    """The declared type of the body, without its parameters; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_protobuf(request: Request[Any, Any, Any]) -> bool:
    """Whether the body is declared as protobuf."""
    return content_type(request) in (PROTOBUF, "application/protobuf")
