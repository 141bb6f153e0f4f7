"""Bodies: copies of templates say what the simulation says."""

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from api.demo.ending import ending
from api.demo.model import Detail, filled
from api.demo.otlp import Encoder, draw_ids
from api.demo.resources import resource_attributes
from api.demo.simulation import at, simulate
from api.demo.story import HOUR_NS

KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]


@pytest.fixture(scope="module", params=range(10))
def requests(story, request):
    """100 requests to each endpoint, over the time of both bad deploys, and their ids."""
    random = np.random.default_rng(request.param)
    start_ns = np.sort(random.integers(story.end_ns - 30 * HOUR_NS, story.end_ns, 100))
    made = simulate(story, story.shop.endpoints[request.param], start_ns, random)
    return made, draw_ids(made, random)


def plain(values):
    """OTLP attributes as a dictionary."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in values}


def test_every_span_is_in_the_body_with_its_ids_times_attributes_and_ending(story, requests):
    made, ids = requests
    body, count = Encoder(story).body([requests])
    found: dict[tuple[bytes, bytes], tuple[Span, dict[str, object], str]] = {}
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = plain(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            found |= {(s.trace_id, s.span_id): (s, resource, scope_spans.scope.name) for s in scope_spans.spans}
    assert len(found) == count == sum(int(visits.made.sum()) for visits in made.visits)
    for place, visits in enumerate(made.visits):
        for row in np.flatnonzero(visits.made):
            span, resource, scope = found[ids.traces[row].tobytes(), ids.spans[place][row].tobytes()]
            words = story.words(at(made, int(row)))
            end = ending(
                visits.call, http_status=visits.http_status[row], failure=visits.failure[row], failed=visits.failed[row]
            )
            expected = {
                key: filled(value, words) if isinstance(value, str) else value
                for key, value in {**visits.call.attributes, **end.attributes}.items()
            }
            service = visits.call.service
            release = story.releases(service)[made.releases[service][row]]
            parent = b"" if visits.parent < 0 else ids.spans[visits.parent][row].tobytes()
            assert plain(span.attributes) == expected
            assert resource == resource_attributes(story.shop, release, int(made.pods[service][row]))
            assert (span.name, KINDS[span.kind], scope) == (visits.call.name, visits.call.kind, visits.call.scope)
            assert (span.start_time_unix_nano, span.end_time_unix_nano) == (visits.start_ns[row], visits.end_ns[row])
            assert span.parent_span_id == parent
            assert span.status.code == (2 if end.is_error else 0)
            assert [event.name for event in span.events] == (["exception"] if end.raised else [])
            assert [event.time_unix_nano for event in span.events] == [visits.end_ns[row]] * len(span.events)


def test_no_placeholder_of_a_detail_is_left_in_a_body(story, requests):
    body, _ = Encoder(story).body([requests])
    for detail in story.shop.details:
        assert f"{{{detail.name}}}".encode() not in body


def test_a_client_error_is_an_error_of_the_client_span_alone(story, requests):
    made, _ = requests
    for visits in made.visits:
        ended = ending(visits.call, http_status=404, failure=-1, failed=True)
        assert ended.is_error == (visits.call.kind != "server")


def test_values_of_a_detail_have_one_length():
    number, word = Detail("order", 1_000_000, 9_999_999), Detail("currency", words=("EUR", "USD"))
    assert {len(number.text(value)) for value in (1_000_000, 9_999_999)} == {number.width}
    assert [word.text(0), word.text(1), word.width] == ["EUR", "USD", 3]
