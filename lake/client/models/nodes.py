"""Nodes as the server shows them, and what a collector says of itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType


class NodeMetrics(Struct, frozen=True, kw_only=True):
    """What a node does. Spans and bytes are those of the project that asks; None is what it does not measure."""

    spans_per_second: float = 0.0
    """Over the running minute and the one before."""
    spans_received_total: int = 0
    spans_rejected_total: int = 0
    bytes_received_total: int = 0
    buffer_spans: float | None = None
    buffer_bytes: float | None = None
    flush_lag_ms: float | None = None
    cpu_percent: float | None = None
    memory_bytes: float | None = None
    disk_used_bytes: float | None = None


class CollectorNode(Struct, frozen=True, kw_only=True):
    """A process that collects spans."""

    node_id: str
    name: str
    role: str
    """`api` and `scheduler` are processes of the server, a `collector` is the project's own."""
    cluster: str
    region: str | None = None
    status: str
    """`healthy`, `degraded` or `offline`."""
    draining: bool = False
    """It shall take nothing more."""
    version: str | None = None
    address: str | None = None
    started_at: dt.datetime | None = None
    last_heartbeat_at: dt.datetime
    uptime_seconds: float | None = None
    labels: dict[str, str] = {}
    metrics: NodeMetrics = NodeMetrics()


class NodeMinute(Struct, frozen=True, kw_only=True):
    """A minute of a node."""

    time: dt.datetime
    spans_received: int
    spans_rejected: int
    bytes_received: int


class CollectorNodeDetail(CollectorNode, frozen=True, kw_only=True):
    """A process that collects spans, with its settings and its last hour."""

    config: dict[str, Any] = {}
    recent: list[NodeMinute] = []
    """The last 60 minutes, the running one last."""


class ForgottenNode(Struct, frozen=True, kw_only=True):
    """A node that is not known any more."""

    node_id: str
    deleted: bool


class Gauges(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a collector measures of itself."""

    buffer_spans: float | UnsetType = UNSET
    buffer_bytes: float | UnsetType = UNSET
    flush_lag_ms: float | UnsetType = UNSET
    cpu_percent: float | UnsetType = UNSET
    memory_bytes: float | UnsetType = UNSET
    disk_used_bytes: float | UnsetType = UNSET


class NodeRegistration(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A collector that presents itself; what is left out stays as it was."""

    node_id: str | UnsetType = UNSET
    """The one that it sends as X-Mesh-Node-Id."""
    name: str | UnsetType = UNSET
    cluster: str | UnsetType = UNSET
    region: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    labels: Mapping[str, str] | UnsetType = UNSET
    config: Mapping[str, str | int | float | bool | None] | UnsetType = UNSET
    metrics: Gauges | UnsetType = UNSET


class NodeChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to change of a collector; what is left out stays."""

    name: str | UnsetType = UNSET
    cluster: str | UnsetType = UNSET
    labels: Mapping[str, str] | UnsetType = UNSET
    """All of them."""
    draining: bool | UnsetType = UNSET
