"""Sent: spans as a test made them, in plain Python, and the requests that carry them.

Takes   a seed.
Gives   `Sent` spans of broken and whole traces, with repeats, and OTLP requests of them.
Refuses nothing.

Nothing here knows how a lake stores anything: what an evaluator says of these spans is what a search must find.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from tests.lake.spans import START, nanoseconds

Attributes = Mapping[str, str | int | float | bool]

BASE_NS = nanoseconds(START)
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
MS = 1_000_000


@dataclass(frozen=True)
class Event:
    name: str
    after_ns: int
    """Since the start of its span."""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    trace: int
    span: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """One span. Numbers stand for ids."""

    trace: int
    id: int
    parent: int | None = None
    name: str = "GET /"
    kind: str = "internal"
    start_ns: int = 0
    """Since `START`."""
    duration_ns: int = MS
    status: str = "unset"
    status_message: str | None = None
    attributes: Attributes = field(default_factory=dict)
    resource: Attributes = field(default_factory=lambda: {"service.name": "shop"})
    scope: tuple[str | None, str | None] = (None, None)
    scope_attributes: Attributes = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def trace_id(self) -> str:
        return f"{self.trace:032x}"

    @property
    def span_id(self) -> str:
        return f"{self.id:016x}"

    @property
    def identity(self) -> tuple[object, ...]:
        return self.trace, self.id, self.kind, self.start_ns


def body(spans: Iterable[Sent]) -> bytes:
    """One OTLP request."""
    request = ExportTraceServiceRequest()
    for span in spans:
        name, version = span.scope
        scope = InstrumentationScope(name=name or "", version=version or "", attributes=_key_values(span.scope_attributes))
        request.resource_spans.append(
            ResourceSpans(
                resource=Resource(attributes=_key_values(span.resource)),
                scope_spans=[ScopeSpans(scope=scope, spans=[_span(span)])],
            )
        )
    return request.SerializeToString()


def _span(span: Sent) -> Span:
    start_ns = BASE_NS + span.start_ns
    return Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=b"" if span.parent is None else span.parent.to_bytes(8, "big"),
        name=span.name,
        kind=KINDS.index(span.kind),  # type: ignore[arg-type]  # an enum of protobuf
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + span.duration_ns,
        status=Status(code=STATUSES.index(span.status), message=span.status_message or ""),  # type: ignore[arg-type]
        attributes=_key_values(span.attributes),
        events=[
            Span.Event(name=event.name, time_unix_nano=start_ns + event.after_ns, attributes=_key_values(event.attributes))
            for event in span.events
        ],
        links=[
            Span.Link(
                trace_id=link.trace.to_bytes(16, "big"), span_id=link.span.to_bytes(8, "big"),
                attributes=_key_values(link.attributes),
            )
            for link in span.links
        ],
    )  # fmt: skip


def _key_values(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _any_value(value: str | float | bool) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)


def latest(requests: Sequence[Sequence[Sent]]) -> list[Sent]:
    """Every span once, as it came last."""
    found = {span.identity: span for request in requests for span in request}
    return list(found.values())


def some_requests(seed: int, *, traces: int = 40, count: int = 6) -> list[list[Sent]]:
    """The spans of some traces, in the order they are sent; some come again, the same or changed."""
    rnd = random.Random(seed)  # noqa: S311 - repeatable, not secret
    spans = [span for number in range(1, traces + 1) for span in _trace(rnd, number)]
    rnd.shuffle(spans)
    requests: list[list[Sent]] = [[] for _ in range(count)]
    for span in spans:
        place = rnd.randrange(count)
        requests[place].append(span)
        if rnd.random() < 0.15 and place + 1 < count:
            again = span if rnd.random() < 0.5 else _changed(rnd, span)
            requests[rnd.randrange(place + 1, count)].append(again)
    return requests


def _trace(rnd: random.Random, number: int) -> list[Sent]:
    count = rnd.choice([1, 2, 3, 5, 8, 13])
    begin_ns = rnd.randrange(60_000) * MS + rnd.choice([0, 1, 999])
    ids = [number * 100 + place for place in range(count)]
    found = []
    for place, id_ in enumerate(ids):
        parents: Sequence[int | None] = [None] if place == 0 else [*ids[:place], *ids[max(0, place - 2) : place], None, 7]
        if rnd.random() < 0.04:
            parents = ids  # a later one or itself: circles
        found.append(
            _filled(rnd, Sent(number, id_, rnd.choice(parents), start_ns=begin_ns + place * rnd.choice([0, MS, 7])))
        )
    return found


def _changed(rnd: random.Random, span: Sent) -> Sent:
    other = _filled(rnd, span)
    return replace(other, kind=span.kind, start_ns=span.start_ns)


def _filled(rnd: random.Random, span: Sent) -> Sent:
    return replace(
        span,
        name=rnd.choice(["GET /", "GET /cart", "POST /pay", "SELECT", "100% sure_thing"]),
        kind=rnd.choice(KINDS),
        duration_ns=rnd.choice([0, 1, MS, 99 * MS, 100 * MS, 100 * MS + 1, 2_000 * MS]),
        status=rnd.choice(["unset", "unset", "ok", "error"]),
        status_message=rnd.choice([None, None, "boom", "time out"]),
        attributes=_drawn(rnd, SPAN_ATTRIBUTES),
        resource=_drawn(rnd, RESOURCE_ATTRIBUTES),
        scope=rnd.choice([(None, None), ("asgi", "0.5"), ("http", None)]),
        scope_attributes=_drawn(rnd, {"short": ("a", "b", None)}),
        events=tuple(_event(rnd) for _ in range(rnd.choice([0, 0, 1, 2]))),
        links=tuple(
            Link(rnd.randrange(1, 9), 5, _drawn(rnd, {"why": ("retry", None)})) for _ in range(rnd.choice([0, 0, 0, 1]))
        ),
    )


def _event(rnd: random.Random) -> Event:
    attributes = _drawn(rnd, {"exception.type": ("ValueError", "KeyError", None), "n": (1, 2, "x", None)})
    return Event(rnd.choice(["exception", "log"]), rnd.choice([0, MS, 5 * MS]), attributes)


def _drawn(rnd: random.Random, choices: Mapping[str, Sequence[str | float | bool | None]]) -> Attributes:
    drawn = {key: rnd.choice(values) for key, values in choices.items()}
    return {key: value for key, value in drawn.items() if value is not None}


SPAN_ATTRIBUTES: Mapping[str, Sequence[str | float | bool | None]] = {
    "http.response.status_code": (200, 404, 500, "503", None, None, None),
    "http.status_code": (200, 500, "504", None, None, None, None),
    "http.route": ("/", "/cart/{id}", None),
    "db.system": ("postgresql", "redis", None, None, None),
    "db.system.name": ("mysql", "redis", None, None, None),
    "customer.tier": ("gold", "silver", "Gold", None),
    "retries": (0, 1, 2, 10, "many", "3", "9", None, None),
    "ratio": (0.5, 1.5, -2.5, None),
    "cached": (True, False, None),
    "odd key!": ("x", "y z", None, None),
    "error": (True, None, None),
    "shared": ("of span", None, None),
    "service.name": ("not a service", None, None, None),
}
RESOURCE_ATTRIBUTES: Mapping[str, Sequence[str | float | bool | None]] = {
    "service.name": ("cart", "pay", "api-gateway", "shop", None),
    "service.version": ("1", "2", "10", None),
    "deployment.environment": ("prod", "test", None),
    "region": ("eu-1", "us-2", None),
    "shared": ("of resource", None),
    "retries": (7, None),
}

UNTIL = START + dt.timedelta(minutes=30)
