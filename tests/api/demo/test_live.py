"""Live traffic: the real SDK records what the history has."""

import asyncio
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from api.demo.calls import serve
from api.demo.live import Tracing, Traffic
from api.demo.model import Endpoint, Failure, Raised, Time
from api.demo.otlp import Encoder, draw_ids
from api.demo.sender import Sender
from api.demo.shop import SHOP
from api.demo.simulation import simulate

UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def recorded(story):
    """The spans of two requests to each endpoint, as the SDK exported them, and the time it took."""
    exporter = InMemorySpanExporter()
    tracing = Tracing(story, exporter)

    async def play():
        with Sender(UNREACHABLE, "none", lost_retries=0) as sender:
            traffic = Traffic(story, tracing, sender, np.random.default_rng(4))
            await asyncio.gather(*(traffic.play(endpoint) for endpoint in story.shop.endpoints * 2))

    began_ns = time.time_ns()
    asyncio.run(play())
    tracing.close()
    return exporter.get_finished_spans(), began_ns, time.time_ns()


def test_a_request_is_one_trace_with_the_gateway_above(story, recorded):
    spans, _, _ = recorded
    roots = [span for span in spans if span.parent is None]
    assert {span.resource.attributes["service.name"] for span in roots} == {"api-gateway"}
    assert len({span.context.trace_id for span in spans}) == len(roots) == 2 * len(story.shop.endpoints)
    known = {(span.context.trace_id, span.context.span_id) for span in spans}
    assert all((span.context.trace_id, span.parent.span_id) in known for span in spans if span.parent)


def test_context_comes_from_headers_where_another_process_takes_over(recorded):
    spans, _, _ = recorded
    taken_over = [span for span in spans if span.kind in (SpanKind.SERVER, SpanKind.CONSUMER) and span.parent]
    assert taken_over
    assert all(span.parent.is_remote for span in taken_over)
    assert not any(span.parent.is_remote for span in spans if span.kind in (SpanKind.CLIENT, SpanKind.PRODUCER))


def test_spans_lie_in_the_time_in_which_they_were_played(recorded):
    spans, began_ns, ended_ns = recorded
    assert all(began_ns <= span.start_time <= span.end_time <= ended_ns for span in spans)


def shapes(request):
    """What spans of an OTLP request look like, whatever their values: of each (service, name) one that did not fail."""
    return {
        (service, span.name): (
            span.kind,
            span.flags,
            scope_spans.scope.name,
            scope_spans.scope.version,
            [(pair.key, pair.value.WhichOneof("value")) for pair in resource_spans.resource.attributes],
            [(pair.key, pair.value.WhichOneof("value")) for pair in span.attributes],
        )
        for resource_spans in request.resource_spans
        for service in [next(p.value.string_value for p in resource_spans.resource.attributes if p.key == "service.name")]
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
        if span.status.code == 0
    }


def test_live_spans_have_the_shape_of_those_of_the_history(story, recorded):
    spans, _, _ = recorded
    live = shapes(encode_spans(spans))
    random = np.random.default_rng(1)
    past = []
    for endpoint in story.shop.endpoints:
        requests = simulate(story, endpoint, np.full(300, story.end_ns - 1), random)
        past.append((requests, draw_ids(requests, random)))
    body, _ = Encoder(story).body(past)
    history = shapes(type(encode_spans([])).FromString(body))
    assert len(live) > 30
    assert live == {key: history[key] for key in live}


class Telling(InMemorySpanExporter):
    """Keeps spans, and tells a loop that there are some."""

    def first_of(self, loop):
        self._loop, self._exported = loop, asyncio.Event()
        return self._exported

    def export(self, spans):
        result = super().export(spans)
        self._loop.call_soon_threadsafe(self._exported.set)
        return result


def test_told_to_stop_it_ends_the_requests_that_run_and_makes_no_more(story):
    exporter = Telling()
    tracing = Tracing(story, exporter)

    async def run():
        exported = exporter.first_of(asyncio.get_running_loop())
        with Sender(UNREACHABLE, "none", lost_retries=0) as sender:
            traffic = Traffic(story, tracing, sender, np.random.default_rng(5))
            running = asyncio.create_task(traffic.run(requests_per_s=200))
            await asyncio.wait_for(exported.wait(), timeout=30)
            traffic.stop()
            await asyncio.wait_for(running, timeout=30)

    asyncio.run(run())
    tracing.close()
    spans = exporter.get_finished_spans()
    assert all(span.end_time for span in spans)
    known = {span.context.span_id for span in spans}
    assert all(span.parent.span_id in known for span in spans if span.parent)


def test_an_exception_is_an_event_of_its_span_and_traffic_goes_on_without_the_error_reporter(story):
    raised = Raised("catalog.Broken", "product {product}", ("/app/catalog/api.py:7 show: raise Broken(product)",))
    failure = Failure(1.0, http_status=500, raised=raised, reported=True)
    broken = serve("catalog", "GET /products", takes=Time(2), failures=(failure,))
    exporter = InMemorySpanExporter()
    tracing = Tracing(replace(story, shop=replace(SHOP, endpoints=(Endpoint(1, broken),))), exporter)

    async def play():
        with Sender(UNREACHABLE, "none", lost_retries=0) as sender:
            await Traffic(story, tracing, sender, np.random.default_rng(6)).play(Endpoint(1, broken))

    asyncio.run(play())
    tracing.close()
    [span] = exporter.get_finished_spans()
    [event] = span.events
    said, ended = dict(event.attributes or {}), dict(span.attributes or {})
    assert re.fullmatch(r"product \d{5}", str(said["exception.message"]))
    assert str(said["exception.stacktrace"]).splitlines()[-1] == span.status.description
    assert span.status.description == f"catalog.Broken: {said['exception.message']}"
    assert ended["error.type"] == "catalog.Broken"
    assert ended["http.response.status_code"] == 500
