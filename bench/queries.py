"""Queries: how long the questions take that were put to the rivals too, over HTTP and in process."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import lake

from .bodies import Truth
from .ingest import Server
from .processes import cpu_s

RUNS = 20


@dataclass(frozen=True, slots=True)
class QueryRun:
    """One question: median time, and CPU of the server where it was asked over HTTP."""

    name: str
    median_ms: float
    server_cpu_ms: float | None = None


def measure(server: Server, truth: Truth) -> list[QueryRun]:
    """Ask each question `RUNS` times; wrong answers raise."""
    runs = [
        _over_http(server, "trace by id (HTTP)", [f"/v1/traces/{trace_id}" for trace_id in truth.trace_ids[:RUNS]]),
        _over_http(server, "traces of a service, 100 ms or longer, limit 20 (HTTP)",
                   ["/v1/traces?service=checkout&min_duration_ms=100&limit=20"] * RUNS),
        _searched(server, "search by service and duration", 'service.name = "checkout" AND duration > 100ms'),
        _searched(server, "search by an attribute with a column", "http.status_code = 500"),
        _searched(server, "search by an attribute in a map", 'network.protocol.version = "1.1"'),
        _searched(server, "search by structure", "{ kind = client } > { status = error }"),
    ]  # fmt: skip
    with lake.open(server.lake) as opened:
        runs.append(_in_process("spans with status 500, limit 20 (in process)", opened,
                                "SELECT trace_id, name FROM spans WHERE http_status_code = 500 LIMIT 20"))  # fmt: skip
        runs.append(_in_process("p95 by service over the hour (in process)", opened,
                                "SELECT service_name, quantile_cont(duration_ns, 0.95) FROM spans GROUP BY 1"))  # fmt: skip
        _check(opened, truth)
    return runs


def _searched(server: Server, name: str, query: str) -> QueryRun:
    """A search of the two hours until now, limit 20."""
    until = dt.datetime.now(dt.UTC)
    window = {"start_time": (until - dt.timedelta(hours=2)).isoformat(), "end_time": until.isoformat()}
    body = json.dumps({"query": query, "limit": 20, **window}).encode()
    return _over_http(server, f"{name}, limit 20 (HTTP)", ["/v1/traces/search"] * RUNS, body=body)


def _check(opened: lake.Lake, truth: Truth) -> None:
    found = opened.sql("SELECT count(*) AS spans, count(*) FILTER (http_status_code = 500) AS errors FROM spans").rows()[0]
    if (found["spans"], found["errors"]) != (truth.spans, truth.server_errors):
        raise RuntimeError(f"the lake has {found}, sent were {truth.spans} spans with {truth.server_errors} errors")


def _over_http(server: Server, name: str, paths: list[str], *, body: bytes | None = None) -> QueryRun:
    """How long answers take; a body is sent with POST."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)

    def ask(path: str) -> None:
        headers = {"Authorization": f"Bearer {server.live_key}"} | ({"Content-Type": "application/json"} if body else {})
        connection.request("POST" if body else "GET", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != http.HTTPStatus.OK or b'"trace_id"' not in answer:
            raise RuntimeError(f"{path}: {response.status} {answer[:200]!r}")

    ask(paths[0])  # opens files and fills caches
    before_s = cpu_s(server.pid)
    median_ms = _median_ms([partial(ask, path) for path in paths])
    return QueryRun(name, median_ms, (cpu_s(server.pid) - before_s) / len(paths) * 1e3)


def _in_process(name: str, opened: lake.Lake, query: str) -> QueryRun:
    opened.sql(query).arrow()
    return QueryRun(name, _median_ms([lambda: opened.sql(query).arrow()] * RUNS))


def _median_ms(calls: list[Callable[[], object]]) -> float:
    times = []
    for call in calls:
        start_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - start_s)
    return sorted(times)[len(times) // 2] * 1e3
