"""Metrics: `GET /metrics`, figures of a key's lake as Prometheus reads them.

Takes   a key.
Gives   what came in, what waits, what jobs did, how long requests took, messages about alerts, and who calls whom.
Refuses nothing. Figures of other lakes are not among them.

Ingest, jobs and messages are read from the control database, which all processes write to; requests from files that the
workers map (`api.measured`); the graph from the lake's own tables, since midnight UTC, when its counters begin again.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, route
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import lake
from lake.control import Control, Principal
from lake.control.job_runs import JOB_STATES, JobRun, job_state
from lake.control.nodes import SERVER, Place, Traffic
from lake.storage import Storage, storage
from scheduler.alerts.outbox import Outbox, enqueue
from scheduler.alerts.states import STATES, StateName
from scheduler.alerts.store import AlertStore

from . import measured
from .auth import authorized
from .reference import QUERY_ERRORS, described
from .state import Server

_CONNECTIONS = {"database": "database", "messaging": "messaging_system"}
"""Type of an edge -> `connection_type`, as service graphs of Tempo have it; of plain requests it is empty."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was read for one lake at one moment."""

    now: dt.datetime
    traffic: Mapping[str, Traffic]
    """By node."""
    jobs: Iterable[JobRun]
    messages: Mapping[tuple[str, str], int]
    """By type of channel and status."""
    alerts: Mapping[StateName, int]
    """By state."""
    storage: Storage
    edges: Iterable[Mapping[str, Any]]
    """Rows of `Lake.service_edges`."""


@route(
    "/metrics",
    http_method=["GET", "HEAD"],
    status_code=200,
    summary="Figures for Prometheus",
    tags=["Metrics"],
    operation_class=described("Figures in Prometheus' text format", QUERY_ERRORS, answers=("text/plain",)),
)
async def get_metrics(request: Request[Any, Any, Any], server: Server) -> Response[bytes]:
    """The figures of the key's lake in Prometheus' text format."""
    principal = await authorized(request, server, "read")
    tenant = await server.tenants.of(principal)
    now = dt.datetime.now(dt.UTC)
    of_lake, of_control = await asyncio.gather(
        server.tenants.ask(lambda: read_lake(tenant.lake, now)),
        asyncio.to_thread(read_control, server.control, principal),
    )
    text = await asyncio.to_thread(exposition, Figures(now, *of_control, *of_lake), principal)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def read_control(
    control: Control, principal: Principal
) -> tuple[Mapping[str, Traffic], list[JobRun], Mapping[tuple[str, str], int], Mapping[StateName, int]]:
    """What the control database knows of a lake."""
    place = Place(principal.project, principal.environment)
    messages = Outbox(control.engine).counts(place.project, place.environment)
    states = AlertStore(control.engine, enqueue).counts(place)
    return control.nodes.traffic(place), control.jobs.of(place, SERVER), messages, states


def read_lake(opened: lake.Lake, now: dt.datetime) -> tuple[Storage, list[dict[str, Any]]]:
    """What the files of a lake say: sizes, and the graph since midnight."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    until = max(now, midnight + dt.timedelta(minutes=1))
    return storage(opened.snapshot()), opened.service_edges(since=midnight, until=until).rows()


def exposition(figures: Figures, principal: Principal) -> bytes:
    """All figures as text."""
    registry = CollectorRegistry()
    registry.register(_Collected([*metrics(figures), *measured.requests(principal.project, principal.environment)]))
    return generate_latest(registry)


class _Collected(Collector):
    """Metrics that are there already."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


def metrics(figures: Figures) -> list[Metric]:
    """The figures as metrics."""
    return [
        *_of_ingest(figures.traffic),
        *_of_landing(figures.storage),
        *_of_jobs(figures.jobs, figures.now),
        *_of_alerts(figures.alerts),
        *_of_messages(figures.messages),
        *_of_graph(figures.edges),
    ]


def _of_ingest(traffic: Mapping[str, Traffic]) -> list[Metric]:
    spans = CounterMetricFamily("tracelake_ingest_spans", "Spans that were taken in", labels=("node",))
    rejected = CounterMetricFamily("tracelake_ingest_rejected_spans", "Spans that were refused", labels=("node",))
    size = CounterMetricFamily("tracelake_ingest_bytes", "Bytes of request bodies, as they came", labels=("node",))
    for node, one in sorted(traffic.items()):
        spans.add_metric([node], one.spans_received)
        rejected.add_metric([node], one.spans_rejected)
        size.add_metric([node], one.bytes_received)
    return [spans, rejected, size]


def _of_landing(stored: Storage) -> list[Metric]:
    found: list[Metric] = [
        GaugeMetricFamily("tracelake_landing_files", "Landing files that are not in every table", stored.waiting_files),
        GaugeMetricFamily("tracelake_landing_bytes", "Bytes of them", stored.waiting_bytes),
        GaugeMetricFamily("tracelake_tables_bytes", "Bytes of the tables", stored.table_bytes),
    ]
    if stored.oldest_waiting_s is not None:
        text = "When the oldest of them was written, in Unix seconds"
        found.append(GaugeMetricFamily("tracelake_landing_oldest_timestamp_seconds", text, stored.oldest_waiting_s))
    return found


def _of_jobs(jobs: Iterable[JobRun], now: dt.datetime) -> list[Metric]:
    names = ("job", "scope")
    runs = CounterMetricFamily("tracelake_job_runs", "Runs of jobs (compact is compaction)", labels=names)
    failures = CounterMetricFamily("tracelake_job_failures", "Runs that failed", labels=names)
    did = CounterMetricFamily("tracelake_job_done", "What runs did: rows, files, hours", labels=(*names, "what"))
    took = GaugeMetricFamily("tracelake_job_last_duration_seconds", "Seconds of the last run", labels=names)
    well = GaugeMetricFamily("tracelake_job_last_success_timestamp_seconds", "When one last succeeded", labels=names)
    states = GaugeMetricFamily("tracelake_job_state", "1 for the state that a job is in", labels=(*names, "state"))
    for run in jobs:
        labels = [run.job, "server" if run.place.is_server else "lake"]
        runs.add_metric(labels, run.runs)
        failures.add_metric(labels, run.failures)
        took.add_metric(labels, run.duration_s)
        for what, count in sorted(run.did.items()):
            did.add_metric([*labels, what], count)
        if run.ok_at is not None:
            well.add_metric(labels, run.ok_at.timestamp())
        for state in JOB_STATES:
            states.add_metric([*labels, state], float(job_state(run, now) == state))
    return [runs, failures, did, took, well, states]


def _of_alerts(alerts: Mapping[StateName, int]) -> list[Metric]:
    found = GaugeMetricFamily("tracelake_alerts", "Alerts by state", labels=("state",))
    for state in STATES:
        found.add_metric([state], alerts.get(state, 0))
    return [found]


def _of_messages(messages: Mapping[tuple[str, str], int]) -> list[Metric]:
    text = "Messages about alerts of the last 30 days"
    found = GaugeMetricFamily("tracelake_alert_deliveries", text, labels=("channel", "status"))
    for (channel, status), count in sorted(messages.items()):
        found.add_metric([channel, status], count)
    return [found]


def _of_graph(edges: Iterable[Mapping[str, Any]]) -> list[Metric]:
    """The service graph, under the names that Tempo gives it."""
    names = ("client", "server", "connection_type")
    calls = CounterMetricFamily("traces_service_graph_request", "Calls since midnight UTC", labels=names)
    failed = CounterMetricFamily("traces_service_graph_request_failed", "Those that failed", labels=names)
    seconds = SummaryMetricFamily("traces_service_graph_request_server_seconds", "Seconds that they took", labels=names)
    for edge in edges:
        labels = [edge["source"], edge["target"], _CONNECTIONS.get(edge["type"], "")]
        calls.add_metric(labels, edge["call_count"])
        failed.add_metric(labels, edge["error_count"])
        seconds.add_metric(labels, edge["call_count"], edge["call_count"] * (edge["avg_ns"] or 0) / 1e9)
    return [calls, failed, seconds]


ROUTES = [get_metrics]
