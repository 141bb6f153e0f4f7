"""Call graphs for tests of edges: spans of services that call each other, and a plain reckoning of who calls whom.

Takes   a seed.
Gives   rows of `spans`, and the calls that follow from them by the words of `lake.derived.edges`, found span by span.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa

from lake.schema import SPANS
from tests.lake.rows import Row, span
from tests.lake.spans import START

MS = 1_000_000
HOUR_NS = 3_600_000_000_000
HTTP = {"http_method": "GET"}
QUEUE = {"messaging_system": "kafka", "messaging_destination": "orders"}
SERVICES = {"web": "eu", "cart": "eu", "pay": "us", "mail": None}
"""Services and the clusters that they run in."""

Calls = dict[tuple[object, ...], tuple[int, int, dict[int, int]]]
"""By minute and words: calls, failed ones, and how many lie in each bin of durations."""

WORDS = ("source", "source_type", "target", "target_type", "type", "inferred", "environment", "cluster", "target_cluster")


def spans_table(rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SPANS.arrow_schema)


@dataclass
class Graph:
    """Some traces of services that call each other."""

    random: Random
    alike: bool
    """Whether all callees of a client are of one service and end the same way."""
    rows: list[Row] = field(default_factory=list)
    _durations: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, kind: str, service: str, start_ns: int, duration_ns: int, parent: Row | None, **known: Any) -> Row:
        """A span; no two last equally long, so that "the shortest" is always one."""
        known = {"status": "error" if self.random.random() < 0.2 else "unset"} | known
        row = span(
            known.pop("trace", parent["trace_id"] if parent else 1),
            kind=kind,
            service_name=service,
            cluster=SERVICES[service],
            environment=None if service == "mail" else "live",
            start_ns=start_ns,
            duration_ns=max(0, duration_ns) + next(self._durations),
            parent_span_id=parent["span_id"] if parent else None,
            **known,
        )
        self.rows.append(row)
        return row

    def trace(self, number: int) -> None:
        """A request from outside, late in an hour or somewhere in it, and what follows from it."""
        start_ns = self.random.choice((0, HOUR_NS - 40 * MS, HOUR_NS - 5 * MS, 2 * HOUR_NS - 20 * MS))
        root = self.add("server", "web", start_ns, 80 * MS, None, trace=number, **HTTP)
        for place in range(self.random.randint(1, 5)):
            self._call(root, start_ns + place * 12 * MS)

    def _call(self, parent: Row, start_ns: int) -> None:
        service = self.random.choice(list(SERVICES))
        choice = self.random.randint(0, 7)
        if choice == 0:
            self.add("client", service, start_ns, 3 * MS, parent, db_system="postgresql", db_namespace=self._perhaps("shop"))
        elif choice == 1:
            self._publish(service, start_ns, parent)
        elif choice == 2:
            self.add("server", service, start_ns, MS, None, trace=parent["trace_id"])
        else:
            known = {"peer_service": self._perhaps("stripe"), "server_address": self._perhaps("api.test")}
            client = self.add("client", service, start_ns, 10 * MS, parent, **known, **HTTP)
            self._answers(client, start_ns)

    def _answers(self, client: Row, start_ns: int) -> None:
        """The servers of a call: none, one that knows its caller or not, or more after a retry."""
        service, status = self.random.choice(list(SERVICES)), self.random.choice(("error", "unset"))
        skew_ns = self.random.choice((-3, 1, 1, 1, 4, 9)) * MS
        for attempt in range(self.random.choice((0, 1, 1, 1, 2, 3))):
            if not self.alike:
                service, status = self.random.choice(list(SERVICES)), self.random.choice(("error", "unset"))
            parent = client if self.random.random() < 0.7 else None
            known = {"trace": client["trace_id"], "status": status, "server_address": self._perhaps("api.test")}
            known |= {"http_status_code": self.random.choice((200, 404, None))}
            self.add("server", service, start_ns + skew_ns + attempt * 2 * MS + attempt, MS, parent, **known)

    def _publish(self, service: str, start_ns: int, parent: Row) -> None:
        producer = self.add("producer", service, start_ns, MS, parent, **QUEUE)
        for number in range(self.random.randint(0, 2)):
            later_ns = self.random.choice((2 * MS, 50 * MS, HOUR_NS)) + number
            caller = producer if self.random.random() < 0.7 else None
            known = QUEUE if self.random.random() < 0.8 else {}
            consumer = self.random.choice(list(SERVICES))
            self.add("consumer", consumer, start_ns + later_ns, 5 * MS, caller, trace=parent["trace_id"], **known)

    def _perhaps(self, text: str) -> str | None:
        return self.random.choice((text, None))


def random_graph(seed: int, *, alike: bool = False) -> list[Row]:
    """Spans of some traces, in the order in which they came about."""
    random = Random(seed)  # noqa: S311 - the same graph for the same seed
    graph = Graph(random, alike)
    for number in range(1, random.randint(2, 4)):
        graph.trace(number)
    return graph.rows


def start_us(row: Row) -> int:
    start_time: dt.datetime = row["start_time"]
    return (start_time - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)


def hour_of(row: Row) -> int:
    return start_us(row) // 3_600_000_000


def end_us(row: Row) -> int:
    return start_us(row) + int(row["duration_ns"]) // 1000


def plain_calls(rows: list[Row]) -> Calls:
    """Who calls whom in some spans, one look after the other."""
    calls = _Reckoning()
    callers = [row for row in rows if row["kind"] in ("client", "producer") and not _database(row)]
    callees = [row for row in rows if row["kind"] in ("server", "consumer")]
    for row in rows:
        if row["kind"] == "client" and _database(row):
            calls.lone_caller(row)
    answered: set[str] = set()
    found: set[str] = set()
    for caller in callers:
        children = [row for row in callees if _is_child(row, caller) and _may_answer(caller, row)]
        answered |= {caller["span_id"] for _ in children}
        if caller["kind"] == "client":
            children = sorted(children, key=lambda row: (hour_of(row) != hour_of(caller), start_us(row)))[:1]
        for child in children:
            calls.pair(caller, child, inferred=False)
            found.add(child["span_id"])
    for server in callees:
        if server["span_id"] in found or server.get("parent_span_id") or _queue(server):
            continue
        around = [row for row in callers if row["span_id"] not in answered and _lies_within(server, row)]
        if around:
            client = min(around, key=lambda row: int(row["duration_ns"]))
            calls.pair(client, server, inferred=True)
            found |= {client["span_id"], server["span_id"]}
    for caller in callers:
        if caller["span_id"] not in answered | found and _peer(caller):
            calls.lone_caller(caller)
    for callee in callees:
        if callee["span_id"] not in found and _queue(callee):
            calls.lone_consumer(callee)
    return calls.found()


def _outlasts_its_hour(caller: Row) -> bool:
    return caller["kind"] == "producer" or end_us(caller) // 3_600_000_000 > hour_of(caller)


def _is_child(callee: Row, caller: Row) -> bool:
    return (callee["trace_id"], callee.get("parent_span_id")) == (caller["trace_id"], caller["span_id"])


def _may_answer(caller: Row, callee: Row) -> bool:
    return hour_of(caller) == hour_of(callee) or _outlasts_its_hour(caller)


def _lies_within(server: Row, client: Row) -> bool:
    addresses = {row.get("server_address") for row in (server, client)} - {None}
    return (
        client["trace_id"] == server["trace_id"]
        and hour_of(client) == hour_of(server)
        and not _outlasts_its_hour(client)
        and start_us(client) <= start_us(server)
        and end_us(server) <= end_us(client)
        and len(addresses) < 2
        and client["service_name"] != server["service_name"]
    )


def _database(row: Row) -> str | None:
    return _named("db", row.get("db_system"), row.get("db_namespace"))


def _queue(row: Row) -> str | None:
    if row["kind"] == "server":
        return None
    return _named("queue", row.get("messaging_system"), row.get("messaging_destination"))


def _peer(row: Row) -> tuple[str, str] | None:
    """Whom a caller calls by what it says itself, and what that is."""
    if database := _database(row):
        return database, "database"
    if queue := _named("queue", row.get("messaging_system"), row.get("messaging_destination")):
        return queue, "queue"
    if row.get("peer_service"):
        return row["peer_service"], "external"
    return (f"external:{row['server_address']}", "external") if row.get("server_address") else None


def _named(prefix: str, first: str | None, second: str | None) -> str | None:
    if first is None:
        return None
    return f"{prefix}:{first}" if second is None else f"{prefix}:{first}/{second}"


def _technology(row: Row) -> str:
    known = {"db_system": "database", "messaging_system": "messaging", "rpc_system": "rpc", "http_method": "http"}
    return next((word for column, word in known.items() if row.get(column) is not None), "other")


def _failed(row: Row) -> bool:
    return row["status"] == "error" or (row["kind"] == "server" and (row.get("http_status_code") or 0) >= 500)


class _Reckoning:
    """Calls, counted one by one."""

    def __init__(self) -> None:
        self._durations: dict[tuple[object, ...], list[int]] = {}
        self._errors: Counter[tuple[object, ...]] = Counter()

    def _call(self, row: Row, duration_ns: int, failed: bool, **words: object) -> None:
        key = (start_us(row) // 60_000_000, *(words.get(name) for name in WORDS))
        self._durations.setdefault(key, []).append(duration_ns)
        self._errors[key] += failed

    def pair(self, caller: Row, callee: Row, *, inferred: bool) -> None:
        if caller["service_name"] == callee["service_name"]:
            return
        self._call(
            caller,
            (callee if caller["kind"] == "producer" else caller)["duration_ns"],
            _failed(caller) or _failed(callee),
            source=caller["service_name"],
            source_type="service",
            target=callee["service_name"],
            target_type="service",
            type=_technology(caller),
            inferred=inferred,
            environment=caller.get("environment") or callee.get("environment"),
            cluster=caller.get("cluster"),
            target_cluster=callee.get("cluster"),
        )

    def lone_caller(self, row: Row) -> None:
        peer = _peer(row)
        assert peer
        self._call(
            row, row["duration_ns"], _failed(row), source=row["service_name"], source_type="service", target=peer[0],
            target_type=peer[1], type=_technology(row), inferred=False, environment=row.get("environment"),
            cluster=row.get("cluster"),
        )  # fmt: skip

    def lone_consumer(self, row: Row) -> None:
        self._call(
            row, row["duration_ns"], _failed(row), source=_queue(row), source_type="queue", target=row["service_name"],
            target_type="service", type=_technology(row), inferred=False, environment=row.get("environment"),
            target_cluster=row.get("cluster"),
        )  # fmt: skip

    def found(self) -> Calls:
        return {
            key: (len(durations), self._errors[key], dict(Counter(map(_bin, durations))))
            for key, durations in self._durations.items()
        }


def _bin(duration_ns: int) -> int:
    return int(math.log(duration_ns) / math.log(1.02)) if duration_ns else -1


def calls_in(edges: pa.Table) -> Calls:
    """What rows of the role `edge` say; each call that is alike has to be in one row."""
    found: Calls = {}
    for row in edges.to_pylist():
        assert row["role"] == "edge"
        key = (start_us(row) // 60_000_000, *(row[name] for name in WORDS))
        assert key not in found
        bins = dict(zip(row["latency_bins"], row["latency_counts"], strict=True))
        found[key] = (row["call_count"], row["error_count"], bins)
    return found


assert START.minute == 0, "the graphs lie about the end of the hour that begins at START"
