"""A small shop for notebooks: ninety minutes of orders, a deploy that makes them slower, errors; all through the real ways.

Takes   a folder, and names to use for services and spans.
Gives   a lake: OTLP bodies through the wire, landing and compaction, and a tail that waits in the landing.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from lake.compaction import Compactor
from lake.folder import create_folder
from lake.landing import LandingWriter, Request
from lake.wire.reports import decode_deploy
from tests.lake.spans import nanoseconds, rows_of

START = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
MINUTES = 90
ORDERS_A_MINUTE = 12
DEPLOYED_AT = START + dt.timedelta(minutes=45)
EARLIER_DEPLOY = START + dt.timedelta(minutes=15)
SPANS_A_TRACE = 6

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Words:
    """What the shop calls its things."""

    gateway: str = "api-gateway"
    service: str = "orders"
    database: str = "SELECT stock"
    route: str = "/orders"
    statement: str = "SELECT quantity FROM stock WHERE item = $1"
    exception: str = "OutOfStock"
    message: str = "no item 7 left"
    version: str = "v2.4.0"


_WORDS = Words()
HOSTILE = Words(
    gateway='<img src=x onerror="window.__pwned=1">',
    service="</script><script>window.__pwned=2</script>",
    database="$\\href{javascript:window.__pwned=3}{SELECT}$ {{7*7}} '\"",
    route="/<svg onload=window.__pwned=4>",
    statement="javascript:window.__pwned=5 <iframe srcdoc='<script>parent.__pwned=6</script>'>",
    exception="<img src=x onerror=window.__pwned=7>",
    message="[click](javascript:window.__pwned=8) <b>bold</b>",
    version="<img src=x onerror=window.__pwned=9>",
)
"""The same shop, named by somebody who would like to run a script in the notebook of whoever looks."""


def make_shop(folder: Path, words: Words = _WORDS, *, minutes: int = MINUTES, deploys: bool = True) -> Path:
    """A lake with `minutes` of orders; the last requests wait in the landing, as they do in a running server."""
    lake = create_folder(folder)
    bodies = _bodies(words, minutes)
    _land(folder, bodies[: -len(bodies) // 4])
    if deploys:
        land_deploy(folder, service=words.gateway, version="v9", at=EARLIER_DEPLOY)
        land_deploy(folder, service=words.service, version=words.version, at=DEPLOYED_AT)
    compactor = Compactor(lake)
    compactor.absorb()
    compactor.lease.release()
    _land(folder, bodies[-len(bodies) // 4 :])
    return folder


def _land(folder: Path, bodies: Sequence[bytes]) -> None:
    writer = LandingWriter(folder, "spans", now=START)
    writer.commit(*rows_of(bodies))
    writer.close()


def land_deploy(folder: Path, *, service: str | None, version: str, at: dt.datetime) -> None:
    """A deploy as it is reported, waiting in the landing."""
    report = {"version": version, "service": service, "deployed_at": at.isoformat()}
    rows: pa.Table = decode_deploy(
        json.dumps(report).encode(), ingested_at_us=nanoseconds(START) // 1000, idempotency_key=None
    ).table
    writer = LandingWriter(folder, "deploys", now=START)
    writer.commit(rows, [Request("0" * 64, rows.num_rows)])
    writer.close()


def _bodies(words: Words, minutes: int) -> list[bytes]:
    rnd = random.Random(7)  # noqa: S311 - repeatable, not secret
    bodies = []
    for minute in range(minutes):
        begin = START + dt.timedelta(minutes=minute)
        spans: dict[str, list[Span]] = {words.gateway: [], words.service: [], "mail": []}
        for number in range(ORDERS_A_MINUTE):
            at_ns = nanoseconds(begin) + int((number + rnd.random()) * 60e9 / ORDERS_A_MINUTE)
            _order(spans, words, rnd, at_ns, slow=begin >= DEPLOYED_AT)
        bodies.append(_request(spans))
    return bodies


def _order(spans: dict[str, list[Span]], words: Words, rnd: random.Random, at_ns: int, *, slow: bool) -> None:
    """One order: the gateway asks the service, which asks its database twice and sends a mail."""
    trace, ids = rnd.randbytes(16), [rnd.randbytes(8) for _ in range(SPANS_A_TRACE)]
    first_ns = int(rnd.lognormvariate(1.5, 0.3) * _MS)
    second_ns = int(rnd.lognormvariate(3.6 if slow else 1.5, 0.4) * _MS)
    own_ns = first_ns + second_ns + 4 * _MS
    fails = rnd.random() < 0.03

    def span(place: int, parent: int | None, name: str, kind: Span.SpanKind.ValueType, after_ns: int, ns: int) -> Span:
        return Span(
            trace_id=trace,
            span_id=ids[place],
            parent_span_id=b"" if parent is None else ids[parent],
            name=name,
            kind=kind,
            start_time_unix_nano=at_ns + after_ns,
            end_time_unix_nano=at_ns + after_ns + ns,
        )

    route = _texts({"http.request.method": "POST", "http.route": words.route})
    root = span(0, None, f"POST {words.route}", Span.SPAN_KIND_SERVER, 0, own_ns + 5 * _MS)
    call = span(1, 0, f"POST {words.route}", Span.SPAN_KIND_CLIENT, 1 * _MS, own_ns + 3 * _MS)
    answer = span(2, 1, f"POST {words.route}", Span.SPAN_KIND_SERVER, 2 * _MS, own_ns)
    queries = [
        span(3, 2, words.database, Span.SPAN_KIND_CLIENT, 3 * _MS, first_ns),
        span(4, 2, words.database, Span.SPAN_KIND_CLIENT, 4 * _MS + first_ns, second_ns),
    ]
    mail = span(5, 2, "send mail", Span.SPAN_KIND_CONSUMER, own_ns, 9 * _MS)
    for one in (root, call, answer):
        one.attributes.extend(route)
    for query in queries:
        query.attributes.extend(_texts({"db.system.name": "postgresql", "db.query.text": words.statement}))
    if fails:
        answer.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=words.message))
        raised = _texts({"exception.type": words.exception, "exception.message": words.message})
        answer.events.append(Span.Event(name="exception", time_unix_nano=at_ns + own_ns, attributes=raised))
    spans[words.gateway] += [root, call]
    spans[words.service] += [answer, *queries]
    spans["mail"].append(mail)


def _request(spans: Mapping[str, Sequence[Span]]) -> bytes:
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=_texts({"service.name": service})), scope_spans=[ScopeSpans(spans=some)]
            )
            for service, some in spans.items()
        ]
    ).SerializeToString()


def _texts(attributes: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]
