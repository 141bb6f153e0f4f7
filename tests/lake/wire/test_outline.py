"""Large requests are counted exactly before they are decoded."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lake.errors import TooLarge, WireError
from lake.wire.limits import Limits
from lake.wire.outline import check_outline
from tests.lake.wire.requests import EVERYTHING, protobuf_of

ATTRIBUTES_PER_SPAN = 16


def request() -> ExportTraceServiceRequest:
    """Two resources, two scopes, three spans."""
    return protobuf_of(EVERYTHING)


def test_a_request_at_its_limits_is_fine() -> None:
    sent = request()
    resource_spans = sent.resource_spans[0]
    spans = [span for scope_spans in resource_spans.scope_spans for span in scope_spans.spans]
    events, links = ([part for span in spans for part in parts(span)] for parts in (lambda s: s.events, lambda s: s.links))
    scopes = [scope_spans.scope for scope_spans in resource_spans.scope_spans]
    attributes = sum(len(holder.attributes) for holder in [resource_spans.resource, *scopes, *spans, *events, *links])
    max_spans = -(-attributes // ATTRIBUTES_PER_SPAN)
    while attributes < max_spans * ATTRIBUTES_PER_SPAN:
        (links if attributes % 2 else events)[0].attributes.add(key="one more")
        attributes += 1
    limits = Limits(max_spans=max_spans, max_resources=2)
    check_outline(sent.SerializeToString(), limits)
    for holder in (resource_spans.resource, scopes[0], spans[0], events[0], links[0]):
        one_more = holder.attributes.add()
        with pytest.raises(TooLarge, match=f"{max_spans * 16} attributes, this one has {attributes + 1}"):
            check_outline(sent.SerializeToString(), limits)
        holder.attributes.remove(one_more)


@pytest.mark.parametrize("count", [20, 21])
@pytest.mark.parametrize("what", ["resources", "scopes", "entity references", "spans", "events", "links"])
def test_one_thing_too_many_is_named(what: str, count: int) -> None:
    sent = request()
    resource_spans = sent.resource_spans[0]
    scope_spans = resource_spans.scope_spans[0]
    things: Any = {
        "resources": sent.resource_spans,
        "scopes": resource_spans.scope_spans,
        "entity references": resource_spans.resource.entity_refs,
        "spans": scope_spans.spans,
        "events": scope_spans.spans[0].events,
        "links": scope_spans.spans[0].links,
    }[what]
    elsewhere = {"scopes": 0, "spans": 1}.get(what, 0)
    while len(things) + elsewhere < count:
        things.add()
    limits = Limits(max_spans=20, max_resources=20)
    if count <= 20:
        check_outline(sent.SerializeToString(), limits)
    else:
        with pytest.raises(TooLarge, match=f"a request may hold 20 {what}, this one has 21: send smaller batches"):
            check_outline(sent.SerializeToString(), limits)


def test_what_is_no_request_has_no_outline() -> None:
    with pytest.raises(WireError, match="not an OTLP trace request"):
        check_outline(request().SerializeToString()[:-1], Limits(max_spans=100, max_resources=100))
