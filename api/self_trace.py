"""Self-trace: Tracelake's own requests as traces in a lake of its own.

Takes   the address of the server and an ingest key of the project `tracelake`.
Gives   a span for each request to the API, sent over OTLP like those of any other application.
Refuses nothing: spans that cannot be sent are lost, and no request notices.

Ingest and health checks are not traced. So what sends these spans makes no further ones, and a server that nobody asks is
silent.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lake.control import Principal

from .problems import is_exempt

_EXPORT_EVERY_MS = 1000
_EXPORT_TIMEOUT_S = 1.0
"""Seconds that one export may take; also how long it may hold up the end of a worker."""


class SelfTrace:
    """The tracing of one worker."""

    def __init__(self, url: str, key: str, node_id: str) -> None:
        """
        Args:
            url: address of the server.
            node_id: id of this process among the nodes.
        """
        exporter = OTLPSpanExporter(
            f"{url}/ingest/v1/traces", headers={"Authorization": f"Bearer {key}"}, timeout=_EXPORT_TIMEOUT_S,
            compression=Compression.Gzip,
        )  # fmt: skip
        names = {"service.name": "tracelake", "service.version": version("tracelake"), "service.instance.id": node_id}
        self._provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_EVERY_MS))
        self._tracer = self._provider.get_tracer("tracelake.api", version("tracelake"))

    def around(self, app: ASGIApp) -> ASGIApp:
        """Trace the requests of an application; when that ends, so does the tracing."""

        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP and not is_exempt(scope["method"], scope["path"]):
                await self._traced(app, scope, receive, send)
                return
            await app(scope, receive, send)
            if cast(str, scope["type"]) == "lifespan":  # what Litestar has no type for
                await asyncio.to_thread(self._provider.shutdown)

        return middleware

    async def _traced(self, app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send) -> None:
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        attributes = {"http.request.method": method, "url.path": scope["path"]}
        parent = TraceContextTextMapPropagator().extract(carrier)
        span = self._tracer.start_span(method, context=parent, kind=SpanKind.SERVER, attributes=attributes)

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                _describe(span, scope, message["status"])
            await send(message)

        try:
            await app(scope, receive, send_traced)
        finally:
            span.end()


def _describe(span: Span, scope: HTTPScope, status: int) -> None:
    """What is known of a request once its answer begins."""
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("tracelake.request_id", scope["state"]["request_id"])
    principal: Principal | None = scope["state"].get("principal")
    if principal is not None:
        span.set_attribute("tracelake.project", principal.project)
    if route := scope.get("path_template"):
        span.set_attribute("http.route", route)
        span.update_name(f"{scope['method']} {route}")
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
