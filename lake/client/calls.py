"""Calls: every call of the API, described once: what is sent, and how the answer is read.

Takes   the arguments of a call.
Gives   a `Call`, which a client with or without asyncio runs.
Refuses arguments that no server could take (`InvalidParameter`), and answers of another shape than the reference's
        (`BadAnswer`).
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from ..errors import InvalidParameter
from . import models
from .errors import PROTOBUF, BadAnswer
from .models import Page
from .transport import Answer, Request

T = TypeVar("T")

_JSON = "application/json"
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and how its answer is read."""

    request: Request
    read: Callable[[Answer], T]


def continued(call: Call[Page[T]], cursor: str) -> Call[Page[T]]:
    """The call for the page that a cursor leads to."""
    request = call.request
    if request.body is None:
        return replace(call, request=replace(request, query={**request.query, "cursor": cursor}))
    body = msgspec.json.encode(msgspec.json.decode(request.body) | {"cursor": cursor})
    return replace(call, request=replace(request, body=body))


def list_traces(
    *,
    service: str | None = None,
    start_time: dt.datetime | None = None,
    end_time: dt.datetime | None = None,
    min_duration_ms: int | None = None,
    status: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[models.TraceSummary]]:
    """One page of the traces that started in `[start_time, end_time)`, newest first.

    Args:
        service: some span of the trace is of it.
        start_time: without it an hour before `end_time`.
        end_time: without it now.
        min_duration_ms: from the first start to the last end, at least.
        status: `ok`, `error` or `unset`.
        limit: traces of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    return _get(
        "/v1/traces",
        Page[models.TraceSummary],
        service=service,
        start_time=_time("start_time", start_time),
        end_time=_time("end_time", end_time),
        min_duration_ms=min_duration_ms,
        status=status,
        limit=limit,
        cursor=cursor,
    )


def get_trace(trace_id: str) -> Call[models.Trace]:
    """One trace with its spans, errors and deploy.

    Args:
        trace_id: 32 hex digits, any case.

    Raises:
        NotFound: there is no such trace.
    """
    return _get(f"/v1/traces/{_segment('trace_id', trace_id)}", models.Trace)


def export_trace(trace_id: str) -> Call[bytes]:
    """One trace exactly as it was sent: an ExportTraceServiceRequest in protobuf.

    Args:
        trace_id: 32 hex digits, any case.

    Raises:
        NotFound: there is no such trace.
    """
    path = f"/v1/traces/{_segment('trace_id', trace_id)}"
    return Call(Request("GET", path, headers={"Accept": PROTOBUF}), lambda answer: answer.body)


def send_traces(body: bytes, *, content_type: str = PROTOBUF) -> Call[models.SpansSent]:
    """Store an ExportTraceServiceRequest; when this returns, its spans are durable and can be asked for.

    The server knows a request by its bytes, so one that is sent again is stored once.

    Args:
        content_type: `application/x-protobuf` or `application/json`.
    """
    return Call(Request("POST", "/ingest/v1/traces", headers={"Content-Type": content_type}, body=body), _spans_sent)


def report_error(error: models.ErrorReport, *, idempotency_key: str | None = None) -> Call[models.ReportedError]:
    """Report one error.

    Args:
        idempotency_key: names the report, so that it counts once however often it is sent; a new one if absent.
    """
    return _report("/ingest/errors", error, idempotency_key, models.ReportedError)


def report_errors(errors: Sequence[models.ErrorReport], *, idempotency_key: str | None = None) -> Call[models.Batch]:
    """Report several errors; those that are not sound are listed, the others stored.

    Args:
        idempotency_key: names the batch, so that it counts once however often it is sent; a new one if absent.
    """
    return _report("/ingest/errors/batch", {"errors": list(errors)}, idempotency_key, models.Batch)


def report_deploy(deploy: models.DeployReport, *, idempotency_key: str | None = None) -> Call[models.ReportedDeploy]:
    """Record a deploy.

    Args:
        idempotency_key: names the report, so that it counts once however often it is sent; a new one if absent.
    """
    return _report("/ingest/deploys", deploy, idempotency_key, models.ReportedDeploy)


def _get(path: str, shape: type[T], **query: str | int | None) -> Call[T]:
    given = {name: str(value) for name, value in query.items() if value is not None}
    return Call(Request("GET", path, query=given), reader(shape))


def _report(path: str, content: object, idempotency_key: str | None, shape: type[T]) -> Call[T]:
    key = idempotency_key or secrets.token_hex(_KEY_BYTES)
    headers = {"Content-Type": _JSON, "Idempotency-Key": key}
    return Call(Request("POST", path, headers=headers, body=encoded(content)), reader(shape))


def reader(shape: type[T]) -> Callable[[Answer], T]:
    """Reads JSON of a shape."""

    def read(answer: Answer) -> T:
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(f"the answer is not what the reference says: {error}; is this a Tracelake server?") from error

    return read


def encoded(content: object) -> bytes:
    """JSON; times are RFC 3339.

    Raises:
        InvalidParameter: it has a value that JSON has no form for.
    """
    try:
        return msgspec.json.encode(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParameter("body", f"this cannot be sent as JSON: {error}") from None


def _time(name: str, time: dt.datetime | None) -> str | None:
    """A time as the server takes it.

    Raises:
        InvalidParameter: it has no time zone.
    """
    if time is None:
        return None
    if time.tzinfo is None:
        raise InvalidParameter(name, f"{name} has no time zone: give one, for example datetime.now(UTC)")
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _segment(name: str, text: str) -> str:
    """A text as one segment of a path.

    Raises:
        InvalidParameter: it cannot be one.
    """
    if not text.strip("."):  # a client or a proxy would resolve `..`, and nothing at all is another path
        raise InvalidParameter(name, f"{name} must not be {text!r}")
    return quote(text, safe="")


def _spans_sent(answer: Answer) -> models.SpansSent:
    if answer.headers.get("content-type", "").startswith(PROTOBUF):
        from ..wire.responses import read_protobuf_response  # noqa: PLC0415 - who sends no spans needs no OpenTelemetry

        try:
            count, message = read_protobuf_response(answer.body)
        except ValueError as error:
            raise BadAnswer(f"the answer is not what OTLP says: {error}") from error
        return models.SpansSent(rejected_spans=count, error_message=message)
    content = reader(_Exported)(answer) if answer.body else _Exported()
    partial = content.partial_success
    return models.SpansSent(rejected_spans=int(partial.rejected_spans), error_message=partial.error_message)


class _Partial(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0
    """OTLP/JSON has it as text."""
    error_message: str = ""


class _Exported(msgspec.Struct, rename="camel"):
    partial_success: _Partial = msgspec.field(default_factory=_Partial)
