"""Bodies: OTLP requests of a shop with 8 services, and what any store of them must answer.

Traces of 8 spans over 4 services; 512 spans of one service a request, as SDKs export them, so a trace arrives in about
four requests. 8 resource and 10 span attributes, 2 % errors with an 800-byte stack trace: about 459 bytes a span. The
same seed gives the same bodies.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

HOUR_NS = 3600 * 10**9
SERVICES = ("api-gateway", "checkout", "cart", "payments", "inventory", "users", "search", "recommend")
SPANS_A_REQUEST = 512
SPANS_A_TRACE = 8


@dataclass(slots=True)
class Truth:
    """What a store of the bodies must answer."""

    spans: int = 0
    per_service: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERVICES, 0))
    server_errors: int = 0
    durations_ns: dict[str, list[int]] = field(default_factory=lambda: {service: [] for service in SERVICES})
    trace_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bodies:
    """Requests in the order they are sent, and the truth about them."""

    requests: list[tuple[bytes, int]]
    """Serialized request and its number of spans."""
    truth: Truth


def make(span_count: int, *, end_ns: int, seed: int = 1) -> Bodies:
    """Make bodies whose last trace ends at `end_ns` and whose first starts an hour before."""
    maker = _Maker(random.Random(seed))  # noqa: S311 - repeatable, not secret
    traces = span_count // SPANS_A_TRACE
    for number in range(traces):
        start_ns = end_ns - HOUR_NS + int(number / traces * (HOUR_NS - 20 * 10**9))
        maker.trace(start_ns, remember=number % 25 == 7)
    maker.flush()
    return Bodies(maker.requests, maker.truth)


class _Maker:
    def __init__(self, rnd: random.Random) -> None:
        self.truth = Truth()
        self.requests: list[tuple[bytes, int]] = []
        self._rnd = rnd
        self._open: dict[str, tuple[ExportTraceServiceRequest, ScopeSpans]] = {}
        self._numbers = dict.fromkeys(SERVICES, 0)

    def trace(self, start_ns: int, *, remember: bool) -> None:
        """One request through the shop: gateway, two services deep, and a third one beside."""
        trace_id = self._rnd.randbytes(16)
        if remember:
            self.truth.trace_ids.append(trace_id.hex())
        first, second, third = self._rnd.sample(SERVICES[1:], 3)
        whole_ns = int(self._rnd.lognormvariate(17, 1))
        outer_ns = self._part(whole_ns)
        chain = [outer_ns]
        for _ in range(4):
            chain.append(self._part(chain[-1]))
        beside_ns = self._part(whole_ns - outer_ns)
        late_ns = start_ns + outer_ns
        root = self._span(SERVICES[0], trace_id, None, 2, start_ns, whole_ns)
        parent = self._span(SERVICES[0], trace_id, root, 3, start_ns + 1000, chain[0])
        parent = self._span(first, trace_id, parent, 2, start_ns + 2000, chain[1])
        parent = self._span(first, trace_id, parent, 3, start_ns + 3000, chain[2])
        parent = self._span(second, trace_id, parent, 2, start_ns + 4000, chain[3])
        self._span(second, trace_id, parent, 1, start_ns + 5000, chain[4])
        parent = self._span(SERVICES[0], trace_id, root, 3, late_ns + 1000, beside_ns)
        self._span(third, trace_id, parent, 2, late_ns + 2000, self._part(beside_ns))

    def _part(self, whole_ns: int) -> int:
        return int(whole_ns * self._rnd.uniform(0.3, 0.9))

    def _span(
        self, service: str, trace_id: bytes, parent: bytes | None, kind: int, start_ns: int, duration_ns: int
    ) -> bytes:
        rnd = self._rnd
        _, scope_spans = self._open.get(service) or self._new_request(service)
        span_id = rnd.randbytes(8)
        span = scope_spans.spans.add(trace_id=trace_id, span_id=span_id, parent_span_id=parent or b"")
        span.kind = cast("Span.SpanKind.ValueType", kind)
        route = f"/api/v1/res{rnd.randrange(20)}/{{id}}"
        failed = rnd.random() < 0.02
        span.name, span.start_time_unix_nano, span.end_time_unix_nano = f"GET {route}", start_ns, start_ns + duration_ns
        span.attributes.extend(_attributes({
            "http.request.method": "GET", "http.route": route, "url.path": f"/api/v1/res/{rnd.randrange(100000)}",
            "http.response.status_code": 500 if failed else 200, "server.address": "example.internal", "server.port": 8080,
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "network.protocol.version": "1.1",
            "client.address": f"10.0.{rnd.randrange(256)}.{rnd.randrange(256)}", "user.id": f"u-{rnd.randrange(100000)}",
        }))  # fmt: skip
        if failed:
            span.status.code = Status.StatusCode.STATUS_CODE_ERROR
            event = span.events.add(name="exception", time_unix_nano=start_ns)
            event.attributes.extend(
                _attributes({"exception.type": "ValueError", "exception.message": "boom", "exception.stacktrace": "x" * 800})
            )
        self.truth.spans += 1
        self.truth.per_service[service] += 1
        self.truth.server_errors += failed
        self.truth.durations_ns[service].append(duration_ns)
        if len(scope_spans.spans) >= SPANS_A_REQUEST:
            self._send(service)
        return span_id

    def _new_request(self, service: str) -> tuple[ExportTraceServiceRequest, ScopeSpans]:
        pod = self._numbers[service] % 5
        self._numbers[service] += 1
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(_attributes({
            "service.name": service, "service.version": "v1.2.3", "deployment.environment.name": "prod",
            "host.name": f"host-{pod}", "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "python",
            "telemetry.sdk.version": "1.30.0", "k8s.pod.name": f"pod-{service}-{pod}",
        }))  # fmt: skip
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name, scope_spans.scope.version = "opentelemetry.instrumentation.asgi", "0.50"
        self._open[service] = (request, scope_spans)
        return self._open[service]

    def _send(self, service: str) -> None:
        request, scope_spans = self._open.pop(service)
        self.requests.append((request.SerializeToString(), len(scope_spans.spans)))

    def flush(self) -> None:
        """Send what is left."""
        for service in list(self._open):
            self._send(service)


def _attributes(values: dict[str, str | int]) -> list[KeyValue]:
    return [
        KeyValue(key=key, value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value))
        for key, value in values.items()
    ]
