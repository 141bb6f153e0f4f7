"""Nodes: the processes that collect spans, and how much each has taken in.

Takes   the control database.
Gives   the nodes that one lake may know of: the server's own processes, and the OpenTelemetry collectors of the lake's own
        project; of each the traffic of that lake alone.
Refuses more than `MAX_NODES` collectors for one lake (`ControlError`).

A node says that it is alive by a heartbeat; how well it is follows from the time since then (`status`). What has been silent
for `FORGET_AFTER` is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, delete, func, insert, or_, select, update

from ..errors import ControlError
from .access import changing, from_us, reading, to_us
from .database import node_minutes, node_traffic, nodes
from .process import Role

Status = Literal["healthy", "degraded", "offline"]
STATUSES: tuple[Status, ...] = ("healthy", "degraded", "offline")

HEALTHY_FOR = timedelta(seconds=30)
OFFLINE_AFTER = timedelta(seconds=120)
FORGET_AFTER = timedelta(days=7)
MINUTES = 60
"""Minutes that the traffic of each is kept of."""
MAX_NODES = 1000
"""Collectors of one lake."""


class Place(NamedTuple):
    """Where a node belongs: a lake, or the server itself."""

    project: str
    environment: str

    @property
    def is_server(self) -> bool:
        return self == SERVER


SERVER = Place("", "")
"""Of the server's own processes; no project has this name."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a node has taken in."""

    spans_received: int = 0
    spans_rejected: int = 0
    bytes_received: int = 0

    def __add__(self, other: Self) -> Traffic:
        return Traffic(
            self.spans_received + other.spans_received,
            self.spans_rejected + other.spans_rejected,
            self.bytes_received + other.bytes_received,
        )


@dataclass(frozen=True, slots=True)
class Description:
    """What a node says of itself; None leaves what is known as it is."""

    name: str | None = None
    cluster: str | None = None
    region: str | None = None
    version: str | None = None
    address: str | None = None
    started_at: datetime | None = None
    labels: Mapping[str, str] | None = None
    config: Mapping[str, Any] | None = None
    gauges: Mapping[str, float] | None = None
    """What it measures of itself at the moment: `cpu_percent`, `memory_bytes`."""
    draining: bool | None = None
    """Whether it shall take nothing more; told to collectors, which see to it themselves."""


@dataclass(frozen=True, slots=True)
class Node:
    """What is known of a node."""

    id: str
    place: Place
    role: Role
    name: str
    cluster: str
    region: str | None
    version: str | None
    address: str | None
    started_at: datetime | None
    last_heartbeat_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)
    draining: bool = False


def status(last_heartbeat_at: datetime, now: datetime) -> Status:
    """How a node is by the time since its heartbeat; one from the future is a clock that is wrong, and fresh."""
    silent = now - last_heartbeat_at
    if silent < HEALTHY_FOR:
        return "healthy"
    return "degraded" if silent <= OFFLINE_AFTER else "offline"


def spans_per_second(minutes: Mapping[int, Traffic], now: datetime) -> float:
    """Spans a second over the running minute and the one before.

    Args:
        minutes: traffic by minute since the Unix epoch.
    """
    now_s = now.timestamp()
    minute = int(now_s // 60)
    spans = sum(minutes.get(m, Traffic()).spans_received for m in (minute - 1, minute))
    return spans / (60 + now_s % 60)


class Nodes:
    """The nodes of one control database. Safe for use by several threads and processes."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        """Use `Control.nodes`."""
        self._engine = engine
        self._now = now

    def beat(self, place: Place, node_id: str, role: Role, said: Description) -> None:
        """Note that a node is alive, and what it says of itself; one that nobody knows is added.

        Raises:
            ControlError: the lake has too many collectors already.
        """
        with changing(self._engine) as connection:
            self._beat(connection, place, node_id, role, said)

    def take_in(self, traffic: Mapping[tuple[Place, str, bool], Traffic]) -> None:
        """Add traffic to what is known, in the running minute, and note that the collectors among the nodes are alive.

        Args:
            traffic: by lake, node, and whether the node is a collector of that lake. A collector beyond `MAX_NODES` is
                left out.
        """
        minute = int(self._now().timestamp() // 60)
        with changing(self._engine) as connection:
            for (place, node_id, is_collector), more in traffic.items():
                if is_collector:
                    try:
                        self._beat(connection, place, node_id, "collector", Description())
                    except ControlError:
                        continue
                key = {"project": place.project, "environment": place.environment, "node": node_id}
                _add(connection, node_traffic, key, more)
                _add(connection, node_minutes, {**key, "minute": minute}, more)

    def of(self, place: Place) -> list[Node]:
        """The nodes that a lake may know of, by name."""
        seen = or_(nodes.c.project == SERVER.project, _in(nodes, place))
        with reading(self._engine) as connection:
            rows = connection.execute(select(nodes).where(seen).order_by(nodes.c.name, nodes.c.id)).all()
        return [_node(row) for row in rows]

    def find(self, place: Place, node_id: str) -> Node | None:
        """A node that a lake may know of; None if there is none."""
        seen = or_(nodes.c.project == SERVER.project, _in(nodes, place))
        with reading(self._engine) as connection:
            row = connection.execute(select(nodes).where(seen, nodes.c.id == node_id)).first()
        return _node(row) if row else None

    def traffic(self, place: Place) -> dict[str, Traffic]:
        """What each node has taken in for a lake."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(node_traffic).where(_in(node_traffic, place))).all()
        return {row.node: _traffic(row) for row in rows}

    def minutes(self, place: Place) -> dict[str, dict[int, Traffic]]:
        """The same by node and minute since the Unix epoch, of the last `MINUTES`; minutes without traffic are not there."""
        first = int(self._now().timestamp() // 60) - MINUTES + 1
        with reading(self._engine) as connection:
            rows = connection.execute(select(node_minutes).where(_in(node_minutes, place), node_minutes.c.minute >= first))
            found: dict[str, dict[int, Traffic]] = {}
            for row in rows:
                found.setdefault(row.node, {})[row.minute] = _traffic(row)
        return found

    def change(self, place: Place, node_id: str, said: Description) -> Node | None:
        """Change what is known of a collector, without a heartbeat; None if there is none."""
        with changing(self._engine) as connection:
            if values := _values(said):
                connection.execute(update(nodes).where(*_wanted_id(place, node_id)).values(values))
            row = connection.execute(select(nodes).where(*_wanted_id(place, node_id))).one_or_none()
        return _node(row) if row else None

    def forget(self, place: Place, node_id: str) -> bool:
        """Forget a collector and its traffic; whether there was one. If it sends again, it is a new one."""
        with changing(self._engine) as connection:
            known = connection.execute(delete(nodes).where(*_wanted_id(place, node_id))).rowcount
            for table in (node_traffic, node_minutes):
                connection.execute(delete(table).where(*_wanted(table, place, node_id)))
        return known > 0

    def forget_silent(self) -> None:
        """Forget nodes that have long been silent, and minutes that nobody shows."""
        now = self._now()
        silent_since_us = to_us(now - FORGET_AFTER)
        with changing(self._engine) as connection:
            connection.execute(delete(nodes).where(nodes.c.last_heartbeat_at_us < silent_since_us))
            known = select(nodes.c.id)
            connection.execute(delete(node_traffic).where(node_traffic.c.node.not_in(known)))
            oldest = int(now.timestamp() // 60) - MINUTES
            connection.execute(delete(node_minutes).where(node_minutes.c.minute < oldest))

    def _beat(self, connection: Connection, place: Place, node_id: str, role: Role, said: Description) -> None:
        values = {**_values(said), "last_heartbeat_at_us": int(self._now().timestamp() * 1_000_000)}
        if connection.execute(update(nodes).where(*_wanted_id(place, node_id)).values(values)).rowcount:
            return
        if not place.is_server:
            if connection.execute(select(nodes.c.id).where(*_wanted_id(SERVER, node_id))).first() is not None:
                raise ControlError(f"nodes: {node_id} is a process of the server itself: choose another id")
            count = connection.execute(select(func.count()).select_from(nodes).where(_in(nodes, place))).scalar_one()
            if count >= MAX_NODES:
                raise ControlError(f"nodes: there are {count} collectors already, the limit is {MAX_NODES}: forget some")
        new = {"name": node_id, "cluster": "default", "labels": {}, "config": {}, "gauges": {}, "draining": False}
        names = {"project": place.project, "environment": place.environment, "id": node_id, "role": role}
        connection.execute(insert(nodes).values(new | names | values))


def forget_project(connection: Connection, project: str) -> None:
    """Delete every node and traffic of a project."""
    for table in (nodes, node_traffic, node_minutes):
        connection.execute(delete(table).where(table.c.project == project))


def _in(table: Table, place: Place) -> ColumnElement[bool]:
    return (table.c.project == place.project) & (table.c.environment == place.environment)


def _wanted_id(place: Place, node_id: str) -> tuple[ColumnElement[bool], ...]:
    return _in(nodes, place), nodes.c.id == node_id


def _wanted(table: Table, place: Place, node_id: str) -> tuple[ColumnElement[bool], ...]:
    return _in(table, place), table.c.node == node_id


def _add(connection: Connection, table: Table, key: Mapping[str, str | int], more: Traffic) -> None:
    """Add to the row of a key, or make it."""
    counts = asdict(more)
    wanted = [table.c[name] == value for name, value in key.items()]
    sums = {name: table.c[name] + count for name, count in counts.items()}
    if not connection.execute(update(table).where(*wanted).values(sums)).rowcount:
        connection.execute(insert(table).values({**key, **counts}))


def _values(said: Description) -> dict[str, Any]:
    """Columns of what a node says of itself."""
    values = {name: value for name, value in asdict(said).items() if value is not None}
    if (started_at := values.pop("started_at", None)) is not None:
        values["started_at_us"] = int(started_at.timestamp() * 1_000_000)
    return values


def _node(row: Row[Any]) -> Node:
    return Node(
        id=row.id,
        place=Place(row.project, row.environment),
        role=row.role,
        name=row.name,
        cluster=row.cluster,
        region=row.region,
        version=row.version,
        address=row.address,
        started_at=from_us(row.started_at_us) if row.started_at_us is not None else None,
        last_heartbeat_at=from_us(row.last_heartbeat_at_us),
        labels=row.labels,
        config=row.config,
        gauges=row.gauges,
        draining=row.draining,
    )


def _traffic(row: Row[Any]) -> Traffic:
    return Traffic(row.spans_received, row.spans_rejected, row.bytes_received)
