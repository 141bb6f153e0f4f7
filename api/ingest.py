"""Ingest: `POST /ingest/*` and OTLP on `POST /v1/traces`.

Takes   OTLP trace requests in protobuf or JSON, errors, deploys and request metrics in JSON; gzip, deflate or zstd.
Gives   200 once the data is durable and visible to the next query, with the bodies of the reference (docs/ingest.md).
Refuses bad bodies with 400 (nothing of them is stored), too large ones with 413, and with 503 what cannot be taken now.
        Metrics and logs get 404: Tracelake has no place for them, and an answer 200 would be a lie.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

from litestar import MediaType, Request, Response, post
from msgspec import UNSET, Meta, UnsetType

from lake.control import Principal
from lake.control.nodes import Traffic
from lake.errors import TooLarge, WireError
from lake.wire import reports
from lake.wire.reports import Reports
from lake.wire.responses import json_response, protobuf_response
from lake.wire.traces import TraceBody

from .answers import Answer, Timestamp
from .auth import authorized
from .problems import PROTOBUF, InvalidTraces, NotFound, UnsupportedMediaType, content_type, is_protobuf
from .reference import INGEST_ERRORS, JSON, described
from .state import Server
from .tenants import Rows, Tenant, Traces
from .traffic import NODE_HEADER

_MAX_KEY_LENGTH = 256


class PartialSuccess(Answer, kw_only=True, frozen=True, rename="camel"):
    """Spans that could not be stored; without fields if there are none."""

    rejected_spans: Annotated[str | UnsetType, Meta(description="Their number")] = UNSET
    error_message: str | UnsetType = UNSET


class ExportTraceServiceResponse(Answer, kw_only=True, frozen=True, rename="camel"):
    """The answer to OTLP in JSON."""

    partial_success: PartialSuccess


class StoredError(Answer, kw_only=True, frozen=True):
    """An error that was stored."""

    id: str
    fingerprint: Annotated[str, Meta(description="Errors with the same one are a group")]


class StoredDeploy(Answer, kw_only=True, frozen=True):
    """A deploy that was stored."""

    id: str
    version: str | None
    deployed_at: Timestamp


class Rejected(Answer, kw_only=True, frozen=True):
    """An item of a batch that could not be stored."""

    index: int
    error: str


class StoredBatch(Answer, kw_only=True, frozen=True):
    """What became of a batch."""

    accepted: int
    errors: list[Rejected]


_OTLP = described(
    "All stored, durably; `partialSuccess` names spans that could not be",
    INGEST_ERRORS,
    answer=ExportTraceServiceResponse,
    body={PROTOBUF: "ExportTraceServiceRequest", JSON: "ExportTraceServiceRequest as OTLP/JSON"},
    answers=(PROTOBUF, JSON),
)


@post(
    ["/ingest/v1/traces", "/v1/traces"],
    status_code=200,
    summary="Ingest OTLP traces",
    tags=["Ingest"],
    operation_id=lambda _, __, path: "ingest_traces" if "ingest" in path else "ingest_traces_v1",
    operation_class=_OTLP,
)
async def ingest_traces(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store an ExportTraceServiceRequest; spans that cannot be are refused alone (partialSuccess)."""
    protobuf = is_protobuf(request)
    async with _received(request, server, takes_protobuf=True) as received:
        traces = Traces(TraceBody(received.body, "protobuf" if protobuf else "json"), _idempotency_key(request))
        outcome = await received.tenant.store_traces(traces)
        refused = outcome.refused.count if outcome.refused else 0
        traffic = Traffic(outcome.row_count, refused, len(received.body))
    server.traffic.note(received.principal, request.headers.get(NODE_HEADER), traffic)
    if isinstance(outcome.error, TooLarge):
        raise outcome.error
    if outcome.error is not None:
        raise InvalidTraces(str(outcome.error)) from outcome.error
    if server.settings.ingest_success_status != 200:
        return _accepted(server)
    if protobuf:
        return Response(protobuf_response(outcome.refused), media_type=PROTOBUF)
    return Response(json_response(outcome.refused))


@post(["/ingest/v1/metrics", "/ingest/v1/logs", "/v1/metrics", "/v1/logs"], include_in_schema=False)
async def ingest_other_signals(request: Request[Any, Any, Any]) -> None:
    """Say plainly that only traces are stored."""
    variable = f"OTEL_{request.url.path.rpartition('/')[2].upper()}_EXPORTER"
    raise NotFound(f"Tracelake stores traces only: set {variable}=none where the application starts")


class Received(NamedTuple):
    """A request of ingest."""

    principal: Principal
    tenant: Tenant
    """The lake that it writes to."""
    body: bytes


@asynccontextmanager
async def _received(
    request: Request[Any, Any, Any], server: Server, *, takes_protobuf: bool = False
) -> AsyncIterator[Received]:
    """Whose a request is, the lake that it writes to and its body, which counts as in flight while the context is open.

    Raises:
        LakeError: the key or the type is not right, there is no room, or the body is not right; in this order, so that no
            body is read in vain.
    """
    principal = await authorized(request, server, "ingest")
    kind = content_type(request)
    if kind not in ("", JSON) and not (takes_protobuf and is_protobuf(request)):
        raise _unsupported(kind, takes_protobuf=takes_protobuf)
    tenant = await server.tenants.of(principal)
    await tenant.admit()
    async with server.bodies.inflated(request) as body:
        if not kind and body.lstrip()[:1] != b"{":
            raise _unsupported(kind, takes_protobuf=takes_protobuf)
        yield Received(principal, tenant, body)


def _unsupported(kind: str, *, takes_protobuf: bool) -> UnsupportedMediaType:
    known = f"{PROTOBUF} or {JSON}" if takes_protobuf else JSON
    what = f"Content-Type {kind!r} is not known here" if kind else "Content-Type is missing"
    return UnsupportedMediaType(f"{what}: use {known}")


def _idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _MAX_KEY_LENGTH:
        raise WireError(f"Idempotency-Key must have 1 to {_MAX_KEY_LENGTH} characters")
    return key


@post(
    "/ingest/errors",
    status_code=200,
    summary="Report one error",
    tags=["Ingest"],
    operation_class=described(
        "Stored, durably",
        INGEST_ERRORS,
        answer=StoredError,
        body={JSON: "exception_class or error_type, message; see docs/ingest.md"},
    ),
)
async def ingest_error(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store one error; answers its id and fingerprint."""
    stored = await _store(request, server, "errors", reports.decode_error)
    [row] = stored.table.select(["id", "fingerprint"]).to_pylist()
    return _answer(server, StoredError(**row))


@post(
    "/ingest/errors/batch",
    status_code=200,
    summary="Report several errors",
    tags=["Ingest"],
    operation_class=described(
        "The sound ones are stored, durably", INGEST_ERRORS, answer=StoredBatch, body={JSON: '`{"errors": [...]}`'}
    ),
)
async def ingest_errors(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store the sound errors of a batch and list the others."""
    return _answer(server, _batch(await _store(request, server, "errors", reports.decode_errors)))


@post(
    "/ingest/deploys",
    status_code=200,
    summary="Record a deploy",
    tags=["Ingest"],
    operation_class=described(
        "Stored, durably", INGEST_ERRORS, answer=StoredDeploy, body={JSON: "version or git_sha; see docs/ingest.md"}
    ),
)
async def ingest_deploy(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store one deploy."""
    stored = await _store(request, server, "deploys", reports.decode_deploy)
    [row] = stored.table.select(["id", "version", "deployed_at"]).to_pylist()
    deployed_at = f"{row['deployed_at']:%Y-%m-%dT%H:%M:%SZ}"
    return _answer(server, StoredDeploy(id=row["id"], version=row["version"], deployed_at=deployed_at))


@post(
    "/ingest/requests",
    status_code=200,
    summary="Report HTTP request metrics",
    tags=["Ingest"],
    operation_class=described(
        "The sound ones are stored, durably",
        INGEST_ERRORS,
        answer=StoredBatch,
        body={JSON: '`{"metadata": {...}, "requests": [...]}`'},
    ),
)
async def ingest_requests(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store the sound requests of a batch and list the others."""
    return _answer(server, _batch(await _store(request, server, "requests", reports.decode_requests)))


async def _store(request: Request[Any, Any, Any], server: Server, stream: str, decode: Callable[..., Reports]) -> Reports:
    """Decode a JSON body and store its rows; what is stored is returned."""
    async with _received(request, server) as received:
        key = _idempotency_key(request)
        decoded = await server.tenants.work(
            partial(decode, received.body, ingested_at_us=time.time_ns() // 1000, idempotency_key=key)
        )
        if decoded.table.num_rows:
            hash_ = sha256(key.encode() if key else secrets.token_bytes(16)).hexdigest()
            await received.tenant.store_rows(stream, Rows(decoded.table, hash_))
    server.traffic.note(received.principal, request.headers.get(NODE_HEADER), Traffic(bytes_received=len(received.body)))
    return decoded


def _batch(stored: Reports) -> StoredBatch:
    errors = [Rejected(index=rejected.index, error=rejected.message) for rejected in stored.rejected]
    return StoredBatch(accepted=stored.table.num_rows, errors=errors)


def _answer(server: Server, content: Answer) -> Response[Any]:
    return Response(content) if server.settings.ingest_success_status == 200 else _accepted(server)


def _accepted(server: Server) -> Response[Any]:
    """The answer without a body that the second generation of the reference has."""
    return Response(b"", status_code=server.settings.ingest_success_status, media_type=MediaType.TEXT)


ROUTES = [ingest_traces, ingest_other_signals, ingest_error, ingest_errors, ingest_deploy, ingest_requests]
