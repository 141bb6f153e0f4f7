"""Measured: how many requests there are and how long they take, in all workers of a server.

Takes   each request, when its answer has begun.
Gives   a histogram by project, route and status; `requests` puts the figures of all workers together.
Refuses nothing.

The workers share their figures through files that they map (`prometheus_client`'s mode for several processes). The server
process empties their folder when it starts (`api.server`): figures begin again with the server, as Prometheus expects.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from lake.control import Principal

from .server import METRICS_VARIABLE

REQUESTS = "tracelake_http_request_duration_seconds"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_METHODS = frozenset(HttpMethod)
"""Other words may stand in their place in a request; each would take memory of every worker for good."""

_registry = CollectorRegistry()
_durations = Histogram(
    REQUESTS,
    "Seconds until an answer began, by route and status",
    ("project", "environment", "method", "route", "status"),
    buckets=_BUCKETS,
    registry=_registry,
)


def with_measures(app: ASGIApp) -> ASGIApp:
    """Measure each request of a key; those of nobody are nobody's figures."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or (principal := scope["state"].get("principal")) is None:
            await app(scope, receive, send)
            return
        request: HTTPScope = scope
        began_s = time.monotonic()

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(principal, request, message["status"], time.monotonic() - began_s)
            await send(message)

        await app(scope, receive, send_measured)

    return middleware


def _note(principal: Principal, scope: HTTPScope, status: int, duration_s: float) -> None:
    route = scope.get("path_template") or "(none)"  # what is no route is not told apart: anybody can make up paths
    method = scope["method"] if scope["method"] in _METHODS else "(other)"
    labels = (principal.project, principal.environment, method, route, status)
    _durations.labels(*map(str, labels)).observe(duration_s)


def requests(project: str, environment: str) -> Iterable[Metric]:
    """The figures of one lake, of all workers; without the labels that say which lake it is."""
    registry = _registry
    if os.environ.get(METRICS_VARIABLE):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types there
    for metric in registry.collect():
        own = Metric(metric.name, metric.documentation, metric.type)
        for sample in metric.samples:
            labels = dict(sample.labels)
            if (labels.pop("project", None), labels.pop("environment", None)) == (project, environment):
                own.add_sample(sample.name, labels, sample.value)
        if own.samples:
            yield own
