"""Ingest: `POST /ingest/*` and OTLP on `POST /v1/traces`.

Takes   OTLP trace requests in protobuf or JSON, errors, deploys and request metrics in JSON; gzip, deflate or zstd.
Gives   200 once the data is durable and visible to the next query, with the bodies of the reference (docs/ingest.md).
Refuses bad bodies with 400 (nothing of them is stored), too large ones with 413, and with 503 what cannot be taken now.
"""

from __future__ import annotations

import secrets
import time
from hashlib import sha256
from typing import Any

from litestar import Request, Response, post

from lake.errors import WireError
from lake.wire import reports
from lake.wire.reports import Reports
from lake.wire.responses import json_response, protobuf_response
from lake.wire.traces import TraceBody

from .auth import authorized
from .bodies import inflated_body
from .problems import PROTOBUF, UnsupportedMediaType, is_protobuf
from .state import Server
from .tenants import Rows, Traces

_MAX_KEY_LENGTH = 256


@post(["/ingest/v1/traces", "/v1/traces"], status_code=200, summary="Ingest OTLP traces")
async def ingest_traces(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store an ExportTraceServiceRequest; spans that cannot be are refused alone (partialSuccess)."""
    principal = authorized(request, server, "ingest")
    tenant = server.tenants.of(principal.project, principal.environment)
    async with inflated_body(request, server.inflight, server.settings.lake.body_max_bytes) as body:
        protobuf = _is_protobuf(request, body)
        traces = Traces(TraceBody(body, "protobuf" if protobuf else "json"), _idempotency_key(request))
        outcome = await tenant.store_traces(traces)
    if outcome.error is not None:
        raise outcome.error
    if server.settings.ingest_success_status != 200:
        return Response(None, status_code=server.settings.ingest_success_status)
    if protobuf:
        return Response(protobuf_response(outcome.refused), media_type=PROTOBUF)
    return Response(json_response(outcome.refused))


def _is_protobuf(request: Request[Any, Any, Any], body: bytes) -> bool:
    """Whether a trace request is protobuf (else JSON).

    Raises:
        UnsupportedMediaType: it is declared as something else.
    """
    if is_protobuf(request):
        return True
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (not kind and body.lstrip()[:1] == b"{"):
        return False
    raise UnsupportedMediaType(f"Content-Type {kind!r} is not known here: use application/x-protobuf or application/json")


def _idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _MAX_KEY_LENGTH:
        raise WireError(f"Idempotency-Key must have 1 to {_MAX_KEY_LENGTH} characters")
    return key


@post("/ingest/errors", status_code=200, summary="Report one error")
async def ingest_error(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store one error; answers its id and fingerprint."""
    stored = await _store(request, server, "errors", reports.decode_error)
    row = stored.table.slice(0, 1).to_pylist()[0]
    return _answer(server, {"id": row["id"], "fingerprint": row["fingerprint"]})


@post("/ingest/errors/batch", status_code=200, summary="Report several errors")
async def ingest_errors(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store the sound errors of a batch and list the others."""
    return _answer(server, _batch(await _store(request, server, "errors", reports.decode_errors)))


@post("/ingest/deploys", status_code=200, summary="Record a deploy")
async def ingest_deploy(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store one deploy."""
    stored = await _store(request, server, "deploys", reports.decode_deploy)
    row = stored.table.slice(0, 1).to_pylist()[0]
    return _answer(
        server, {"id": row["id"], "version": row["version"], "deployed_at": f"{row['deployed_at']:%Y-%m-%dT%H:%M:%SZ}"}
    )


@post("/ingest/requests", status_code=200, summary="Report HTTP request metrics")
async def ingest_requests(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """Store the sound requests of a batch and list the others."""
    return _answer(server, _batch(await _store(request, server, "requests", reports.decode_requests)))


async def _store(request: Request[Any, Any, Any], server: Server, stream: str, decode: Any) -> Reports:  # noqa: ANN401
    """Decode a JSON body and store its rows; what is stored is returned."""
    principal = authorized(request, server, "ingest")
    tenant = server.tenants.of(principal.project, principal.environment)
    async with inflated_body(request, server.inflight, server.settings.lake.body_max_bytes) as body:
        key = _idempotency_key(request)
        decoded: Reports = decode(body, ingested_at_us=time.time_ns() // 1000, idempotency_key=key)
        if decoded.table.num_rows:
            hash_ = sha256(key.encode() if key else secrets.token_bytes(16)).hexdigest()
            await tenant.store_rows(stream, Rows(decoded.table, hash_))
    return decoded


def _batch(stored: Reports) -> dict[str, Any]:
    errors = [{"index": rejected.index, "error": rejected.message} for rejected in stored.rejected]
    return {"accepted": stored.table.num_rows, "errors": errors}


def _answer(server: Server, content: dict[str, Any]) -> Response[Any]:
    status = server.settings.ingest_success_status
    return Response(content if status == 200 else None, status_code=status)


ROUTES = [ingest_traces, ingest_error, ingest_errors, ingest_deploy, ingest_requests]
