"""Problems: which HTTP answer an error becomes, as tables.

Takes   a `LakeError` or an HTTP exception.
Gives   a response in the shape of the route: `{"error": "text"}` under `/ingest`, `{"error": {code, message, param,
        request_id}}` elsewhere, `google.rpc.Status` in protobuf for a protobuf request to an OTLP route.

A passing fault is 503, never 500: OTLP clients drop what is answered with 500.
"""

from __future__ import annotations

import math
from typing import Any

import structlog
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos ships no types
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from lake.errors import (
    InvalidParameter,
    LakeError,
    Overloaded,
    QueryError,
    SnapshotInvalid,
    TooLarge,
    WireError,
)

log = structlog.get_logger()

PROTOBUF = "application/x-protobuf"
OTLP_PATHS = ("/v1/traces", "/ingest/v1/traces")


class Unauthorized(LakeError):
    """The key is missing or is none."""

    def __init__(self, code: str = "invalid_api_key") -> None:
        super().__init__("Missing or invalid API key")
        self.code = code


class Forbidden(LakeError):
    """The key lacks the permission that the route needs."""


class NotFound(LakeError):
    """There is no such thing for this key."""


class UnsupportedMediaType(LakeError):
    """The body is of a type or coding that the route does not take."""


class InvalidCursor(InvalidParameter):
    """The cursor is none, or the snapshot it continues is gone."""


STATUS: dict[type[LakeError], tuple[int, str]] = {
    Unauthorized: (401, "invalid_api_key"),
    Forbidden: (403, "permission_denied"),
    NotFound: (404, "not_found"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    TooLarge: (413, "payload_too_large"),
    WireError: (400, "invalid_json"),
    InvalidCursor: (400, "invalid_cursor"),
    InvalidParameter: (400, "invalid_parameter"),
    SnapshotInvalid: (400, "invalid_parameter"),
    QueryError: (400, "invalid_query"),
    Overloaded: (503, "service_unavailable"),
}
"""HTTP status and error code by the nearest ancestor; 500 for what is not here."""

_CODES = {400: "invalid_parameter", 401: "invalid_api_key", 404: "not_found", 405: "method_not_allowed",
          413: "payload_too_large", 415: "unsupported_media_type"}  # fmt: skip
"""Error codes for the exceptions of the framework."""

_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 413: 8, 415: 3, 503: 14}
"""google.rpc.Code by HTTP status, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto."""

_INTERNAL = "internal error; the server's log has it under this request id"


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The response to an error; one that nobody foresaw is logged and told nothing of."""
    status, code, message = _described(error)
    if status == 500:
        log.error("request failed", path=request.url.path, exc_info=error)
    headers = {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return shaped(request, status, code, message, getattr(error, "param", None), headers)


def _described(error: Exception) -> tuple[int, str, str]:
    if isinstance(error, LakeError):
        status, code = next((STATUS[t] for t in type(error).__mro__ if t in STATUS), (500, "internal_error"))
        return status, getattr(error, "code", code), str(error) if status != 500 else _INTERNAL
    if isinstance(error, HTTPException) and error.status_code < 500:
        return error.status_code, _CODES.get(error.status_code, "invalid_parameter"), error.detail
    return 500, "internal_error", _INTERNAL


def shaped(
    request: Request[Any, Any, Any], status: int, code: str, message: str, param: str | None, headers: dict[str, str]
) -> Response[Any]:
    """An error in the shape of the route it is answered on."""
    path = request.url.path.rstrip("/")
    if request.method == "POST" and path in OTLP_PATHS and is_protobuf(request):
        body = Status(code=_RPC_CODES.get(status, 13), message=message[:4096]).SerializeToString()
        return Response(body, status_code=status, headers=headers, media_type=PROTOBUF)
    if path.startswith("/ingest") or path == "/health":
        content: dict[str, Any] = {"error": message}
    else:
        details = {"code": code, "message": message, "param": param, "request_id": request.state.get("request_id")}
        content = {"error": {k: v for k, v in details.items() if v is not None}}
    return Response(content, status_code=status, headers=headers, media_type=MediaType.JSON)


def is_protobuf(request: Request[Any, Any, Any]) -> bool:
    """Whether the body is declared as protobuf."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in (PROTOBUF, "application/protobuf")
