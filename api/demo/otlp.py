"""OTLP: simulated requests as the protobuf body that a Collector would send.

Takes   `Requests` of the simulation, and a random generator for the ids.
Gives   one serialized ExportTraceServiceRequest, and the ids for who refers to its spans.
Refuses nothing.

Spans of the same call that ended the same way differ in a few bytes only: ids, times and details, all of fixed width. So
such a span is serialized once by the protobuf library, and each span is a copy of it with other bytes in those places,
made for all requests at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, SpanFlags, Status

from .ending import Ending, ending
from .model import Call, Detail, filled
from .resources import SCOPE_VERSION, resource_attributes
from .simulation import NONE, Requests, Visits
from .story import Int64s, Story

Bytes = npt.NDArray[np.uint8]
"""One row a span."""

_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2
"""Field numbers in ExportTraceServiceRequest, ResourceSpans and ScopeSpans."""
_KINDS = {
    "internal": Span.SpanKind.SPAN_KIND_INTERNAL,
    "server": Span.SpanKind.SPAN_KIND_SERVER,
    "client": Span.SpanKind.SPAN_KIND_CLIENT,
    "producer": Span.SpanKind.SPAN_KIND_PRODUCER,
    "consumer": Span.SpanKind.SPAN_KIND_CONSUMER,
}
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

_EMPTY, _OTHER = 1, 2
"""Two fillings of a template; where they differ is where the value goes."""
_IDS_AND_TIMES = {"trace_id": 16, "span_id": 8, "parent_span_id": 8, "start": 8, "end": 8}
"""Holes of every span and their width in bytes."""


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of some requests."""

    traces: Bytes
    spans: list[Bytes]
    """For each call of `Requests.visits`."""


def draw_ids(requests: Requests, random: np.random.Generator) -> Ids:
    """Ids for requests."""
    count = len(requests)
    return Ids(
        traces=random.integers(0, 256, (count, 16), dtype=np.uint8),
        spans=[random.integers(0, 256, (count, 8), dtype=np.uint8) for _ in requests.visits],
    )


@dataclass(frozen=True, slots=True)
class _Template:
    """A serialized span with its holes."""

    content: Bytes
    holes: Mapping[str, npt.NDArray[np.intp]]
    """Offsets of each occurrence of a value: one row an occurrence."""


class Encoder:
    """Serializes requests of one story; keeps the templates."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._details = {detail.name: detail for detail in story.shop.details}
        self._templates: dict[tuple[Call, int, int, bool], _Template] = {}
        self._resources: dict[tuple[str, int, int], bytes] = {}

    def body(self, requests: list[tuple[Requests, Ids]]) -> tuple[bytes, int]:
        """All the spans of some requests as one body, and how many they are."""
        spans: dict[tuple[str, int, int], dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        count = 0
        for some, ids in requests:
            for place, visits in enumerate(some.visits):
                for rows, template in self._endings(visits):
                    count += len(rows)
                    made = self._spans(some, ids, place, rows, template)
                    for resource, part in self._by_resource(visits.call.service, some, rows, made):
                        spans[resource][visits.call.scope].append(part)
        return b"".join(self._resource_spans(resource, scopes) for resource, scopes in spans.items()), count

    def _endings(self, visits: Visits) -> Iterator[tuple[Int64s, _Template]]:
        """The requests in which a call was made, by how it ended."""
        rows = np.flatnonzero(visits.made)
        outcomes = np.stack((visits.http_status[rows], visits.failure[rows], visits.failed[rows]), axis=1)
        distinct, which = np.unique(outcomes, axis=0, return_inverse=True)
        for number, (http_status, failure, failed) in enumerate(distinct.tolist()):
            yield rows[which == number], self._template(visits, http_status, failure, bool(failed))

    def _template(self, visits: Visits, http_status: int, failure: int, failed: bool) -> _Template:
        key = (visits.call, http_status, failure, failed)
        if key not in self._templates:
            end = ending(visits.call, http_status=http_status, failure=failure, failed=failed)
            self._templates[key] = _template(visits, end, self._details)
        return self._templates[key]

    def _spans(self, requests: Requests, ids: Ids, place: int, rows: Int64s, template: _Template) -> Bytes:
        """Copies of a template with the values of some requests."""
        visits = requests.visits[place]
        made = np.tile(template.content, (len(rows), 1))
        for name, offsets in template.holes.items():
            if name in self._details:
                value = _digits(self._details[name], requests.details[name][rows])
            elif name == "trace_id":
                value = ids.traces[rows]
            elif name == "span_id":
                value = ids.spans[place][rows]
            elif name == "parent_span_id":
                value = ids.spans[visits.parent][rows]
            else:
                value = _fixed64(visits.start_ns[rows] if name == "start" else visits.end_ns[rows])
            for occurrence in offsets:
                made[:, occurrence] = value
        return made

    def _by_resource(
        self, service: str, requests: Requests, rows: Int64s, spans: Bytes
    ) -> Iterator[tuple[tuple[str, int, int], bytes]]:
        """Spans by the pod that recorded them."""
        pods = np.stack((requests.releases[service][rows], requests.pods[service][rows]), axis=1)
        distinct, which = np.unique(pods, axis=0, return_inverse=True)
        for number, (release, pod) in enumerate(distinct.tolist()):
            yield (service, release, pod), spans[which == number].tobytes()

    def _resource_spans(self, key: tuple[str, int, int], scopes: Mapping[str, list[bytes]]) -> bytes:
        if key not in self._resources:
            service, release, pod = key
            attributes = resource_attributes(self._story.shop, self._story.releases(service)[release], pod)
            resource = ResourceSpans(resource=Resource(attributes=_attributes(attributes)))
            self._resources[key] = resource.SerializeToString()
        parts = [self._resources[key]]
        for name, spans in scopes.items():
            scope = ScopeSpans(scope=InstrumentationScope(name=name, version=SCOPE_VERSION)).SerializeToString()
            parts.append(_field(_SCOPE_SPANS, scope + b"".join(spans)))
        return _field(_RESOURCE_SPANS, b"".join(parts))


def _template(visits: Visits, end: Ending, details: Mapping[str, Detail]) -> _Template:
    holes = [*_IDS_AND_TIMES, *details]
    empty = _serialized(visits, end, details, dict.fromkeys(holes, _EMPTY))
    found = {}
    for name in holes:
        other = _serialized(visits, end, details, dict.fromkeys(holes, _EMPTY) | {name: _OTHER})
        offsets = np.flatnonzero(empty != other)
        if len(offsets):
            found[name] = offsets.reshape(-1, _IDS_AND_TIMES.get(name) or details[name].width)
    return _Template(empty, found)


def _serialized(visits: Visits, end: Ending, details: Mapping[str, Detail], fillings: Mapping[str, int]) -> Bytes:
    """A span as it stands in ScopeSpans, every byte of a value the same."""
    call = visits.call
    words = {name: str(fillings[name]) * detail.width for name, detail in details.items()}
    ids = {name: bytes([fillings[name]]) * _IDS_AND_TIMES[name] for name in _IDS_AND_TIMES}
    start_ns, end_ns = (int.from_bytes(ids[name], "little") for name in ("start", "end"))
    span = Span(
        trace_id=ids["trace_id"],
        span_id=ids["span_id"],
        parent_span_id=ids["parent_span_id"] if visits.parent != NONE else b"",
        flags=_REMOTE if visits.parent != NONE and call.kind in ("server", "consumer") else _LOCAL,
        name=call.name,
        kind=_KINDS[call.kind],
        start_time_unix_nano=start_ns,
        end_time_unix_nano=end_ns,
        attributes=_attributes({**call.attributes, **end.attributes}, words),
        events=_events(end, end_ns, words),
        status=Status(
            code=Status.StatusCode.STATUS_CODE_ERROR if end.is_error else Status.StatusCode.STATUS_CODE_UNSET,
            message=filled(end.message, words),
        ),
    )
    return np.frombuffer(_field(_SPANS, span.SerializeToString()), dtype=np.uint8)


def _events(end: Ending, at_ns: int, words: Mapping[str, str]) -> list[Span.Event]:
    if end.raised is None:
        return []
    return [Span.Event(name="exception", time_unix_nano=at_ns, attributes=_attributes(end.raised.attributes, words))]


def _attributes(values: Mapping[str, str | int], words: Mapping[str, str] | None = None) -> list[KeyValue]:
    return [
        KeyValue(
            key=key,
            value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=filled(value, words or {})),
        )
        for key, value in values.items()
    ]


def _digits(detail: Detail, values: Int64s) -> Bytes:
    """Values of a detail as text, one row a value."""
    if detail.words:
        return np.array([list(word.encode()) for word in detail.words], dtype=np.uint8)[values]
    places = 10 ** np.arange(detail.width - 1, -1, -1)
    return (values[:, None] // places % 10 + ord("0")).astype(np.uint8)


def _fixed64(values: Int64s) -> Bytes:
    return cast("Bytes", np.ascontiguousarray(values, dtype="<i8").view(np.uint8).reshape(-1, 8))


def _field(number: int, content: bytes) -> bytes:
    """A message as field `number` of another: tag, length, content (protobuf wire type 2)."""
    head = bytearray([number << 3 | 2])
    length = len(content)
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content
