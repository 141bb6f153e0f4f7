"""Responses: the answer to an OTLP trace request, in the encoding of the request.

Takes   the spans that were refused, None if there are none.
Gives   an `ExportTraceServiceResponse`; `partial_success` is unset when everything was taken, as OTLP asks. And back: what
        a client reads in one.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from .spans import Refused


def protobuf_response(refused: Refused | None) -> bytes:
    """The answer in protobuf."""
    message = ExportTraceServiceResponse()
    if refused:
        message.partial_success.rejected_spans = refused.count
        message.partial_success.error_message = refused.message
    encoded: bytes = message.SerializeToString()
    return encoded


def json_response(refused: Refused | None) -> dict[str, Any]:
    """The answer as JSON values."""
    return {"partialSuccess": {"rejectedSpans": str(refused.count), "errorMessage": refused.message} if refused else {}}


def read_protobuf_response(body: bytes) -> tuple[int, str]:
    """How many spans were refused, and why.

    Raises:
        ValueError: it is no such answer.
    """
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return partial.rejected_spans, partial.error_message
