"""Errors: what goes wrong when a server is asked, by what the caller can do.

    LakeError
    |-- RemoteError               the server refused; status, code, param, request_id, retry_after_s say how
    |   |-- BadRequest            400 and its kin: ask differently (a QueryError too)
    |   |-- Unauthorized          401: the key is missing, unknown or revoked
    |   |-- PermissionDenied      403: the key may not do this
    |   |-- NotFound              404: there is no such thing for this key
    |   |-- RateLimited           429: too many requests; come back after `retry_after_s`
    |   `-- ServerError           5xx: the server failed; its log has more under `request_id`
    |       `-- Unavailable       503: not now; come back after `retry_after_s`
    |-- NoAnswer                  nothing came, or not all of it: no connection, too slow, cut off
    |-- BadAnswer                 what came is no answer of Tracelake, or is larger than wanted
    `-- Truncated                 the server gave fewer rows than the question has

What was worth it has been sent again before one of these is raised. No message holds a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from ..errors import LakeError, QueryError

PROTOBUF = "application/x-protobuf"

_MAX_MESSAGE_CHARACTERS = 2000
_KEY = re.compile(r"\b(mtk_|proj_)[A-Za-z0-9_-]+")


class RemoteError(LakeError):
    """The server answered with a refusal.

    Attributes:
        status: of HTTP.
        code: what the refusal is called in the reference, as `invalid_parameter`; empty if the server gave none.
        param: the parameter that is wrong, if it is one.
        request_id: names the request in the server's log.
        retry_after_s: seconds after which the server wants to be asked again, if it said so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        param: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        named = f"{status} {code}".strip() + (f", request {request_id}" if request_id else "")
        gap = "\n" if "\n" in message else " "  # the last line may be a caret below the query
        super().__init__(f"{message}{gap}({named})")
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class BadRequest(RemoteError, QueryError):
    """The request cannot be answered as it is; sending it again cannot help."""


class Unauthorized(RemoteError):
    """The key is missing, unknown or revoked."""


class PermissionDenied(RemoteError):
    """The key may not do this."""


class NotFound(RemoteError):
    """There is no such thing for this key."""


class RateLimited(RemoteError):
    """Too many requests; come back after `retry_after_s`."""


class ServerError(RemoteError):
    """The server failed."""


class Unavailable(ServerError):
    """The server cannot answer now; come back after `retry_after_s`."""


class NoAnswer(LakeError):
    """Nothing came, or not all of it."""


class BadAnswer(LakeError):
    """What came is no answer of Tracelake, or is larger than wanted."""


class Truncated(LakeError):
    """The server gave fewer rows than the question has."""


_BY_STATUS: Mapping[int, type[RemoteError]] = {
    401: Unauthorized,
    403: PermissionDenied,
    404: NotFound,
    429: RateLimited,
    503: Unavailable,
}


class _Details(msgspec.Struct):
    code: str = ""
    message: str = ""
    param: str | None = None
    request_id: str | None = None


class _Body(msgspec.Struct):
    """`{"error": {...}}` under /v1, `{"error": "text"}` under /ingest."""

    error: _Details | str
    details: str = ""


def refusal(
    status: int, body: bytes, *, content_type: str, request_id: str | None, retry_after_s: float | None
) -> RemoteError:
    """The error that an answer other than 2xx is, whatever its body.

    Args:
        request_id: of the header `X-Request-Id`.
    """
    details = _status(body) if content_type.startswith(PROTOBUF) else _details(body)
    return _class_of(status)(
        plain(details.message) or _phrase(status),
        status=status,
        code=plain(details.code),
        param=None if details.param is None else plain(details.param),
        request_id=plain(request_id or details.request_id or "") or None,
        retry_after_s=retry_after_s,
    )


def _details(body: bytes) -> _Details:
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # the status says enough
        return _Details()
    if isinstance(found.error, str):
        return _Details(message=": ".join(part for part in (found.error, found.details) if part))
    return found.error


def _status(body: bytes) -> _Details:
    """What a `google.rpc.Status` says: what is sent as protobuf is refused in protobuf."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - who sends no protobuf does not wait for it
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        return _Details(message=Status.FromString(body).message)
    except DecodeError:  # the status says enough
        return _Details()


def _class_of(status: int) -> type[RemoteError]:
    return _BY_STATUS.get(status) or (BadRequest if status < 500 else ServerError)


def _phrase(status: int) -> str:
    try:
        return f"the server answered {HTTPStatus(status).phrase}"
    except ValueError:
        return "the server refused"


def plain(text: str) -> str:
    """A text of a server as it may be shown: without keys, without what a terminal obeys, and not endless."""
    shown = _KEY.sub(r"\1***", text[:_MAX_MESSAGE_CHARACTERS])
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
