"""Services as the server shows them: their health, who calls whom, and their endpoints."""

from __future__ import annotations

import datetime as dt

from msgspec import Struct


class Latency(Struct, frozen=True, kw_only=True):
    """How long calls took, in milliseconds; None where there were none."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    avg: float | None = None


class ServiceDeploy(Struct, frozen=True, kw_only=True):
    """The latest deploy of a service."""

    id: str
    version: str | None = None
    git_sha: str | None = None
    deployed_at: dt.datetime


class Service(Struct, frozen=True, kw_only=True):
    """A service that had spans in the window."""

    name: str
    environments: list[str] = []
    clusters: list[str] = []
    versions: list[str] = []
    language: str | None = None
    first_seen_at: dt.datetime
    """First minute with spans in the window."""
    last_seen_at: dt.datetime
    span_count: int
    request_count: int
    """Spans of kind server or consumer, and roots."""
    error_count: int
    error_rate: float
    """Share of the requests, 0 to 1."""
    throughput_rpm: float
    """Requests per minute of the window."""
    latency_ms: Latency
    operation_count: int
    depends_on: list[str] = []
    """Ids of the nodes of the topology that it calls."""
    last_deploy: ServiceDeploy | None = None


class TopologyNode(Struct, frozen=True, kw_only=True):
    """A service, or what services call."""

    id: str
    """The service's name, or `db:`, `queue:` or `external:` and a name."""
    name: str
    type: str
    """`service`, `database`, `queue` or `external`."""
    cluster: str
    request_count: int
    error_count: int
    error_rate: float
    latency_ms: Latency


class TopologyEdge(Struct, frozen=True, kw_only=True):
    """Calls from one node to another."""

    source: str
    target: str
    call_count: int
    error_count: int
    error_rate: float
    latency_ms: Latency
    """As the caller sees it; of messages, as the consumer does."""
    type: str
    """`http`, `rpc`, `messaging`, `database` or `other`."""
    inferred: bool = False
    """There is no parent link; one span lies within the other."""


class TopologyAnswer(Struct, frozen=True, kw_only=True):
    """Who calls whom."""

    time_window: str
    cluster: str | None = None
    start_time: dt.datetime
    end_time: dt.datetime
    generated_at: dt.datetime
    nodes: list[TopologyNode]
    edges: list[TopologyEdge]


class Endpoint(Struct, frozen=True, kw_only=True):
    """What a service does, or calls."""

    service: str | None = None
    endpoint: str
    """Method and route, else rpc or messaging operation, else the span's name."""
    kind: str
    is_request: bool
    """Its spans are requests to the service."""
    request_count: int
    error_count: int
    error_rate: float
    throughput_rpm: float
    latency_ms: Latency
    first_seen_at: dt.datetime
    last_seen_at: dt.datetime
