"""Calls that send: spans, errors, deploys."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from ..call import JSON, Call, encoded, reader
from ..errors import PROTOBUF, BadAnswer
from ..models.reports import DeployReport, ErrorReport, SpansSent, StoredBatch, StoredDeploy, StoredError
from ..transport import Answer, Request

T = TypeVar("T")

_KEY_BYTES = 16


def send_traces(body: bytes, *, content_type: str = PROTOBUF) -> Call[SpansSent]:
    """Store an ExportTraceServiceRequest; when this returns, its spans are durable and can be asked for.

    The server knows a request by its bytes, so one that is sent again is stored once.

    Args:
        content_type: `application/x-protobuf` or `application/json`.
    """
    return Call(Request("POST", "/ingest/v1/traces", headers={"Content-Type": content_type}, body=body), _spans_sent)


def report_error(error: ErrorReport, *, idempotency_key: str | None = None) -> Call[StoredError]:
    """Report one error.

    Args:
        idempotency_key: names the report, so that it counts once however often it is sent; a new one if absent.
    """
    return _report("/ingest/errors", error, idempotency_key, StoredError)


def report_errors(errors: Sequence[ErrorReport], *, idempotency_key: str | None = None) -> Call[StoredBatch]:
    """Report several errors; those that are not sound are listed, the others stored.

    Args:
        idempotency_key: names the batch, so that it counts once however often it is sent; a new one if absent.
    """
    return _report("/ingest/errors/batch", {"errors": list(errors)}, idempotency_key, StoredBatch)


def report_deploy(deploy: DeployReport, *, idempotency_key: str | None = None) -> Call[StoredDeploy]:
    """Record a deploy.

    Args:
        idempotency_key: names the report, so that it counts once however often it is sent; a new one if absent.
    """
    return _report("/ingest/deploys", deploy, idempotency_key, StoredDeploy)


def _report(path: str, content: object, idempotency_key: str | None, shape: type[T]) -> Call[T]:
    key = idempotency_key or secrets.token_hex(_KEY_BYTES)
    headers = {"Content-Type": JSON, "Idempotency-Key": key}
    return Call(Request("POST", path, headers=headers, body=encoded(content)), reader(shape))


def _spans_sent(answer: Answer) -> SpansSent:
    if answer.headers.get("content-type", "").startswith(PROTOBUF):
        from ...wire.responses import read_protobuf_response  # noqa: PLC0415 - who sends no spans needs no OpenTelemetry

        try:
            count, message = read_protobuf_response(answer.body)
        except ValueError as error:
            raise BadAnswer(f"the answer is not what OTLP says: {error}") from error
        return SpansSent(rejected_spans=count, error_message=message)
    content = reader(_Exported)(answer) if answer.body else _Exported()
    partial = content.partial_success
    return SpansSent(rejected_spans=int(partial.rejected_spans), error_message=partial.error_message)


class _Partial(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0
    """OTLP/JSON has it as text."""
    error_message: str = ""


class _Exported(msgspec.Struct, rename="camel"):
    partial_success: _Partial = msgspec.field(default_factory=_Partial)
