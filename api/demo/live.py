"""Live: requests to the shop right now, traced by the OpenTelemetry SDK.

Takes   a story, the address of a server and an ingest key.
Gives   spans over OTLP/HTTP (protobuf, gzip), a tracer provider for each pod, context handed over in W3C headers.
Refuses nothing; what the server does not take is the exporter's to retry and to warn about.

A request is simulated like those of the history and then played in real time. Its spans have the simulated times: those
of a program that only sleeps would have the timer's.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import numpy as np
import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .ending import ending
from .model import Endpoint, filled
from .reports import request_error
from .resources import SCOPE_VERSION, resource_attributes
from .sender import ERROR_PATH, SPANS_PATH, Sender
from .simulation import NONE, Requests, Visits, at, simulate
from .state import DemoError
from .story import Story

REQUESTS_PER_S = 2.0
EXPORT_EVERY_MS = 1000
REPORTERS = 4
"""Connections for error reports."""

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_PROPAGATOR = TraceContextTextMapPropagator()

log = structlog.get_logger()


class Tracing:
    """The tracers of all pods; one processor exports for all, as a Collector would."""

    def __init__(self, story: Story, exporter: SpanExporter) -> None:
        self._story = story
        self._processor: SpanProcessor = BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS)
        self._providers: dict[tuple[str, int, int], TracerProvider] = {}

    def tracer(self, service: str, release: int, pod: int, scope: str) -> Tracer:
        """The tracer of an instrumentation in a pod."""
        key = (service, release, pod)
        if key not in self._providers:
            attributes = resource_attributes(self._story.shop, self._story.releases(service)[release], pod)
            provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource(dict(attributes)), shutdown_on_exit=False)
            provider.add_span_processor(self._processor)
            self._providers[key] = provider
        return self._providers[key].get_tracer(scope, SCOPE_VERSION)

    def close(self) -> None:
        """Export what has ended."""
        self._processor.shutdown()


class Traffic:
    """Customers' requests, one after the other and at the same time."""

    def __init__(self, story: Story, tracing: Tracing, sender: Sender, random: np.random.Generator) -> None:
        self._story, self._tracing, self._sender, self._random = story, tracing, sender, random
        self._weights = np.array([endpoint.weight for endpoint in story.shop.endpoints])
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """No further requests; those that run are ended at once."""
        self._stop.set()

    async def run(self, requests_per_s: float) -> None:
        """Make requests until told to stop; returns when all have ended."""
        async with asyncio.TaskGroup() as tasks:
            while not self._stop.is_set():
                which = self._random.choice(len(self._weights), p=self._weights / self._weights.sum())
                tasks.create_task(self.play(self._story.shop.endpoints[which]))
                await self._until(time.time_ns() + int(self._random.exponential(1e9 / requests_per_s)))

    async def play(self, endpoint: Endpoint) -> None:
        """One request, now."""
        requests = simulate(self._story, endpoint, np.array([time.time_ns()]), self._random)
        await _Played(self._story, self._tracing, self._sender, requests, self._until).visit(0, Context())

    async def _until(self, at_ns: int) -> None:
        """Return at a time, or when told to stop."""
        try:
            async with asyncio.timeout(max(0.0, (at_ns - time.time_ns()) / 1e9)):
                await self._stop.wait()
        except TimeoutError:
            return


class _Played:
    """One request and its spans."""

    def __init__(
        self,
        story: Story,
        tracing: Tracing,
        sender: Sender,
        requests: Requests,
        until: Callable[[int], Awaitable[None]],
    ) -> None:
        self._story, self._tracing, self._sender, self._requests, self._until = story, tracing, sender, requests, until
        self._words = story.words(at(requests, 0))

    async def visit(self, place: int, context: Context) -> None:
        """Make a call, and those below it."""
        visits = self._requests.visits[place]
        call, end_ns = visits.call, int(visits.end_ns[0])
        await self._until(int(visits.start_ns[0]))
        span = self._tracer(visits).start_span(
            filled(call.name, self._words),
            context,
            kind=_KINDS[call.kind],
            attributes=self._filled(call.attributes),
            start_time=int(visits.start_ns[0]),
        )
        here = set_span_in_context(span, context)
        waited_for = [child for child in self._below(place) if self._requests.visits[child].call.delay is None]
        await asyncio.gather(*(self.visit(child, self._handed_over(child, here)) for child in waited_for))
        await self._until(end_ns)
        self._end(span, visits)
        span.end(end_ns)
        await self._report(span, visits)
        later = [child for child in self._below(place) if child not in waited_for]
        await asyncio.gather(*(self.visit(child, self._handed_over(child, here)) for child in later))

    def _below(self, place: int) -> list[int]:
        return [
            number for number, visits in enumerate(self._requests.visits) if visits.parent == place and bool(visits.made[0])
        ]

    def _tracer(self, visits: Visits) -> Tracer:
        service = visits.call.service
        release, pod = int(self._requests.releases[service][0]), int(self._requests.pods[service][0])
        return self._tracing.tracer(service, release, pod, visits.call.scope)

    def _handed_over(self, place: int, context: Context) -> Context:
        """The context as the call finds it: in another process, what the headers say."""
        if self._requests.visits[place].call.kind not in ("server", "consumer"):
            return context
        headers: dict[str, str] = {}
        _PROPAGATOR.inject(headers, context)
        return _PROPAGATOR.extract(headers)

    def _end(self, span: Span, visits: Visits) -> None:
        end = ending(
            visits.call,
            http_status=int(visits.http_status[0]),
            failure=int(visits.failure[0]),
            failed=bool(visits.failed[0]),
        )
        span.set_attributes(self._filled(end.attributes))
        if end.raised:
            span.add_event("exception", self._filled(end.raised.attributes), int(visits.end_ns[0]))
        if end.is_error:
            span.set_status(Status(StatusCode.ERROR, filled(end.message, self._words) or None))

    async def _report(self, span: Span, visits: Visits) -> None:
        """Report an error as the services do, beside the span."""
        number = int(visits.failure[0])
        if number == NONE or not visits.call.failures[number].reported:
            return
        ids = span.get_span_context()
        trace_id, span_id = f"{ids.trace_id:032x}", f"{ids.span_id:016x}"
        report = request_error(
            self._story, self._requests, visits, visits.call.failures[number], 0, trace_id=trace_id, span_id=span_id
        )
        try:
            await asyncio.to_thread(partial(self._sender.post_json, ERROR_PATH, report, idempotency_key=trace_id + span_id))
        except DemoError as error:  # a service goes on without its error reporter
            log.warning("error not reported", reason=str(error))

    def _filled(self, attributes: Mapping[str, str | int]) -> dict[str, str | int]:
        return {key: filled(v, self._words) if isinstance(v, str) else v for key, v in attributes.items()}


async def _run(traffic: Traffic, stop: threading.Event, requests_per_s: float) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, traffic.stop)
    if not stop.is_set():  # the signal may have come before there was a handler here
        await traffic.run(requests_per_s)


def run(story: Story, url: str, key: str, stop: threading.Event, *, requests_per_s: float = REQUESTS_PER_S) -> None:
    """Make requests until SIGTERM or SIGINT; returns when their spans are sent.

    Args:
        stop: set if such a signal has come already.
    """
    headers = {"Authorization": f"Bearer {key}"}
    tracing = Tracing(story, OTLPSpanExporter(endpoint=url + SPANS_PATH, headers=headers, compression=Compression.Gzip))
    with Sender(url, key, connections=REPORTERS, lost_retries=1) as sender:
        asyncio.run(_run(Traffic(story, tracing, sender, np.random.default_rng()), stop, requests_per_s))
    tracing.close()
