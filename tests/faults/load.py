"""Load: clients that send OTLP as SDKs do, and the ledger of what the server has promised them.

Takes   the address and key of a server.
Gives   `Load`, senders in threads, and `Ledger`, what they sent and which of it was acknowledged.
Refuses nothing: a sender whose server is gone tries again, as OTLP asks of clients.

A request is in the ledger as acknowledged only after its 2xx was read to the end. All span ids of a request are made
from its name, so that one query tells how much of which request is there.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

RANDOM = secrets.SystemRandom()

NAME_LENGTH = 16
"""Hex digits of a request's name, with which the ids of its traces begin."""

_SPANS_A_TRACE = 8
_HOUR_NS = 3600 * 10**9
_RETRY_S = 0.1
_PAUSE_S = 0.02
"""Seconds between two requests of a sender: it is the fault that is tested, not how much a server can take."""
_OK_OR_PASSING = (503,)
"""Statuses besides 2xx that a sender may meet: it sends the request again."""


@dataclass(frozen=True, slots=True)
class Request:
    """One OTLP request as often as it is sent."""

    name: str
    body: bytes
    spans: int

    @property
    def trace_id(self) -> str:
        """The first of its traces."""
        return f"{self.name}{1:016x}"


def make_request(spans: int, *, hours_ago: int = 0) -> Request:
    """A request of new spans in traces of 8; the last span has an exception event."""
    name = secrets.token_hex(NAME_LENGTH // 2)
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=f"service-{name[0]}")))
    scope = resource.scope_spans.add()
    start_ns = time.time_ns() - hours_ago * _HOUR_NS
    for number in range(spans):
        span = scope.spans.add(
            trace_id=bytes.fromhex(f"{name}{number // _SPANS_A_TRACE + 1:016x}"),
            span_id=(number + 1).to_bytes(8, "big"),
            name="SELECT orders",
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=start_ns + number,
            end_time_unix_nano=start_ns + number + 1_000_000,
        )
        span.attributes.append(KeyValue(key="db.system.name", value=AnyValue(string_value="postgresql")))
        span.attributes.append(KeyValue(key="row", value=AnyValue(int_value=number)))
    span.status.code = Status.STATUS_CODE_ERROR
    event = span.events.add(name="exception", time_unix_nano=start_ns)
    event.attributes.append(KeyValue(key="exception.type", value=AnyValue(string_value="TimeoutError")))
    event.attributes.append(KeyValue(key="exception.message", value=AnyValue(string_value=f"request {name}")))
    return Request(name, message.SerializeToString(), spans)


@dataclass
class Ledger:
    """What was sent, and what of it the server has promised to keep. Safe for use by several threads."""

    sent: dict[str, Request] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    """How often each status was answered."""
    broken: Counter[str] = field(default_factory=Counter)
    """How often a connection broke before the answer was read, by how."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Request] = []

    def take(self, make: Callable[[], Request]) -> Request:
        """What to send now: a request that waits to be sent again, else the one that is made."""
        with self._lock:
            request = self._waiting.pop(0) if self._waiting else make()
            self.sent[request.name] = request
            self.attempts[request.name] += 1
            return request

    @property
    def is_complete(self) -> bool:
        """Whether everything that was sent is acknowledged."""
        with self._lock:
            return len(self.acknowledged) == len(self.sent)

    def answered(self, request: Request, status: int) -> None:
        """Note an answer that was read to the end."""
        with self._lock:
            self.statuses[status] += 1
            if 200 <= status < 300:
                self.acknowledged.add(request.name)
            else:
                self._waiting.append(request)

    def not_answered(self, request: Request, error: Exception) -> None:
        """Note that nobody knows what became of a request; it is sent again."""
        with self._lock:
            self.broken[type(error).__name__] += 1
            self._waiting.append(request)

    def acknowledged_now(self) -> frozenset[str]:
        """The names of the requests that are acknowledged at this moment."""
        with self._lock:
            return frozenset(self.acknowledged)

    def sent_now(self) -> dict[str, tuple[int, int]]:
        """By name the spans of each request, and how often it has been sent up to this moment."""
        with self._lock:
            return {name: (request.spans, self.attempts[name]) for name, request in self.sent.items()}

    @property
    def acknowledged_spans(self) -> int:
        return sum(self.sent[name].spans for name in self.acknowledged)

    @property
    def unforeseen(self) -> dict[int, int]:
        """Statuses that are neither success nor a passing fault."""
        return {s: n for s, n in self.statuses.items() if not 200 <= s < 300 and s not in _OK_OR_PASSING}


class Load:
    """Senders that run while the context is open, each with one connection."""

    def __init__(self, url: str, headers: dict[str, str], ledger: Ledger, *, senders: int = 4) -> None:
        self._url = f"{url}/ingest/v1/traces"
        self._headers = headers | {"Content-Type": "application/x-protobuf"}
        self._ledger = ledger
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(senders)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=30) as client:
            while not self._stop.is_set():
                request = self._ledger.take(
                    lambda: make_request(RANDOM.randint(20, 200), hours_ago=RANDOM.choice((0, 0, 2)))
                )
                is_acknowledged = deliver(client, self._url, self._ledger, request)
                self._stop.wait(_PAUSE_S if is_acknowledged else _RETRY_S)


def deliver(client: httpx.Client, url: str, ledger: Ledger, request: Request) -> bool:
    """Send a request once; whether it was acknowledged."""
    try:
        status = client.post(url, content=request.body).status_code
    except httpx.TransportError as error:
        ledger.not_answered(request, error)
        return False
    ledger.answered(request, status)
    return 200 <= status < 300


def deliver_waiting(url: str, headers: dict[str, str], ledger: Ledger) -> None:
    """Send one request more, after all that must be sent again."""
    with httpx.Client(headers=headers | {"Content-Type": "application/x-protobuf"}, timeout=30) as client:
        last = make_request(8)
        while last.name not in ledger.acknowledged or not ledger.is_complete:
            if not deliver(client, f"{url}/ingest/v1/traces", ledger, ledger.take(lambda: last)):
                time.sleep(_RETRY_S)
