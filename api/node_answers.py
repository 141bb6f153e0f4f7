"""Node answers: what nodes look like in JSON, and what may be said of them.

Takes   nodes and traffic (`lake.control.nodes`), and what the lake of the key has on the disk (`lake.storage`).
Gives   `NodeView`: a node with the traffic of one project; the bodies of `/v1/nodes` as `Description`.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from lake.control.nodes import MINUTES, Description, Node, Place, Status, Traffic, spans_per_second, status
from lake.control.process import Role
from lake.storage import Storage

from .answers import Answer, Listed, Timestamp
from .json_body import Body
from .times import iso

NodeId = Annotated[str, Meta(pattern="^[A-Za-z0-9_.:-]{1,64}$")]
Text = Annotated[str, Meta(min_length=1, max_length=100)]
Labels = Annotated[dict[Text, Annotated[str, Meta(max_length=255)]], Meta(max_length=64)]
Config = Annotated[dict[Text, str | int | float | bool | None], Meta(max_length=64)]
Gauge = Annotated[float, Meta(ge=0)]


class NodeMetrics(Answer, kw_only=True, frozen=True):
    """What a node does. Spans and bytes are those of the project that asks; null is what the node does not measure."""

    spans_per_second: Annotated[float, Meta(description="Over the running minute and the one before")]
    spans_received_total: int
    spans_rejected_total: int
    bytes_received_total: int
    buffer_spans: float | None
    buffer_bytes: float | None
    flush_lag_ms: float | None
    cpu_percent: float | None
    memory_bytes: float | None
    disk_used_bytes: float | None


class CollectorNode(Answer, kw_only=True, frozen=True):
    """A process that collects spans."""

    node_id: str
    name: str
    role: Annotated[
        Role, Meta(description="api and scheduler are processes of the server, a collector is the project's own")
    ]
    cluster: str
    region: str | None
    status: Annotated[
        Status, Meta(description="By the last heartbeat: healthy up to 30 s, degraded up to 120 s, then offline")
    ]
    draining: Annotated[bool, Meta(description="It shall take nothing more")]
    version: str | None
    address: str | None
    started_at: Timestamp | None
    last_heartbeat_at: Timestamp
    uptime_seconds: float | None
    labels: dict[str, str]
    metrics: NodeMetrics


class NodeMinute(Answer, kw_only=True, frozen=True):
    """A minute of a node."""

    time: Timestamp
    spans_received: int
    spans_rejected: int
    bytes_received: int


class CollectorNodeDetail(CollectorNode, kw_only=True, frozen=True):
    """A process that collects spans, with its settings and its last hour."""

    config: dict[str, Any]
    recent: Annotated[list[NodeMinute], Meta(description="The last 60 minutes, the running one last")]


class CollectorNodeList(Listed[CollectorNode], kw_only=True, frozen=True):
    """Nodes by name."""


class ForgottenNode(Answer, kw_only=True, frozen=True):
    """A node that is not known any more."""

    node_id: str
    deleted: Literal[True]


class Gauges(Body, kw_only=True, frozen=True):
    """What a collector measures of itself."""

    buffer_spans: Gauge | UnsetType = UNSET
    buffer_bytes: Gauge | UnsetType = UNSET
    flush_lag_ms: Gauge | UnsetType = UNSET
    cpu_percent: Gauge | UnsetType = UNSET
    memory_bytes: Gauge | UnsetType = UNSET
    disk_used_bytes: Gauge | UnsetType = UNSET


class NodeRegistration(Body, kw_only=True, frozen=True):
    """A collector that presents itself."""

    node_id: Annotated[NodeId | UnsetType, Meta(description="The one that it sends as X-Mesh-Node-Id; made if absent")] = (
        UNSET
    )
    name: Text | UnsetType = UNSET
    cluster: Text | UnsetType = UNSET
    region: Text | UnsetType = UNSET
    version: Text | UnsetType = UNSET
    address: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    config: Config | UnsetType = UNSET
    metrics: Gauges | UnsetType = UNSET


class NodeHeartbeat(Body, kw_only=True, frozen=True):
    """A collector that is alive."""

    metrics: Gauges | UnsetType = UNSET


class NodeChange(Body, kw_only=True, frozen=True):
    """What to change of a collector; what is absent stays."""

    name: Text | UnsetType = UNSET
    cluster: Text | UnsetType = UNSET
    labels: Annotated[Labels | UnsetType, Meta(description="All of them")] = UNSET
    draining: bool | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a key may see of nodes, at one moment."""

    place: Place
    now: dt.datetime
    totals: Mapping[str, Traffic]
    minutes: Mapping[str, Mapping[int, Traffic]]
    """By node and minute since the Unix epoch."""
    stored: Storage
    """Of the lake of the key."""

    def fields(self, node: Node) -> dict[str, Any]:
        """The fields of `CollectorNode`."""
        uptime = (self.now - node.started_at).total_seconds() if node.started_at else None
        return {
            "node_id": node.id,
            "name": node.name,
            "role": node.role,
            "cluster": node.cluster,
            "region": node.region,
            "status": status(node.last_heartbeat_at, self.now),
            "draining": node.draining,
            "version": node.version,
            "address": node.address,
            "started_at": iso(node.started_at) if node.started_at else None,
            "last_heartbeat_at": iso(node.last_heartbeat_at),
            "uptime_seconds": uptime,
            "labels": dict(node.labels),
            "metrics": self._metrics(node),
        }

    def detail(self, node: Node) -> CollectorNodeDetail:
        minutes, last = self.minutes.get(node.id, {}), int(self.now.timestamp() // 60)
        recent = [self._minute(m, minutes.get(m, Traffic())) for m in range(last - MINUTES + 1, last + 1)]
        return CollectorNodeDetail(**self.fields(node), config=dict(node.config), recent=recent)

    def _metrics(self, node: Node) -> NodeMetrics:
        total = self.totals.get(node.id, Traffic())
        gauges = {**self._landing(), **node.gauges} if node.role == "scheduler" else node.gauges
        return NodeMetrics(
            spans_per_second=round(spans_per_second(self.minutes.get(node.id, {}), self.now), 3),
            spans_received_total=total.spans_received,
            spans_rejected_total=total.spans_rejected,
            bytes_received_total=total.bytes_received,
            **{name: gauges.get(name) for name in Gauges.__struct_fields__},
        )

    def _landing(self) -> dict[str, float]:
        """What the scheduler has before it in the lake of the key: the landing is its buffer."""
        oldest_s = self.stored.oldest_waiting_s
        lag_s = max(0.0, self.now.timestamp() - oldest_s) if oldest_s is not None else 0.0
        return {
            "buffer_bytes": self.stored.waiting_bytes,
            "flush_lag_ms": round(lag_s * 1000, 3),
            "disk_used_bytes": self.stored.table_bytes + self.stored.waiting_bytes,
        }

    def _minute(self, minute: int, traffic: Traffic) -> NodeMinute:
        return NodeMinute(
            time=iso(dt.datetime.fromtimestamp(minute * 60, dt.UTC)),
            spans_received=traffic.spans_received,
            spans_rejected=traffic.spans_rejected,
            bytes_received=traffic.bytes_received,
        )


def description(said: NodeRegistration | NodeHeartbeat | NodeChange) -> Description:
    """What a body says, in the words of `lake.control.nodes`."""
    given = {name: value for name in said.__struct_fields__ if (value := getattr(said, name)) is not UNSET}
    given.pop("node_id", None)
    if metrics := given.pop("metrics", None):
        gauges = {name: getattr(metrics, name) for name in metrics.__struct_fields__}
        given["gauges"] = {name: value for name, value in gauges.items() if value is not UNSET}
    return Description(**given)
