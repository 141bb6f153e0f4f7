"""Alerts: what one sweep of alert rules costs, against rules and against spans.

`python -m bench.alerts` makes lakes with an hour of spans of 50 services and sweeps them as the scheduler does: rules of
every metric, one in ten of them TQ, some on endpoints, environments and groups, over windows of 5 minutes to an hour. A
sweep is all of it: read, judged, written in one transaction. CPU-seconds of the process, all threads; the median of five
sweeps, each of a new minute.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lake.control import Control
from lake.control.nodes import Place
from lake.settings import LakeSettings
from scheduler.alerts.outbox import enqueue
from scheduler.alerts.rules import rule_of
from scheduler.alerts.store import AlertStore
from scheduler.alerts.sweep import Sweep
from scheduler.alerts.windows import LAG

from . import alert_lake

SERVICES = 50
SWEEPS = 5
UNTIL = dt.datetime(2026, 11, 25, 12, 0, 30, tzinfo=dt.UTC)

_METRICS = ("latency_p95", "error_rate", "latency_p99", "request_rate", "apdex", "error_count", "latency_avg", "span_count")
_WINDOWS = ("5m", "5m", "5m", "10m", "1h")


def conditions(count: int) -> list[dict[str, Any]]:
    """The conditions of `count` rules."""
    return [_query(number) if number % 10 == 9 else _metric(number) for number in range(count)]


def _metric(number: int) -> dict[str, Any]:
    """A rule on one service; one in eight on an endpoint of it, one in twenty with an alert for each endpoint."""
    condition: dict[str, Any] = {
        "metric": _METRICS[number % 8], "threshold": 1e9, "window": _WINDOWS[number % 5],
        "service": f"service-{number % SERVICES:02}", "for": "2m",
    }  # fmt: skip
    if number % 8 == 3:
        condition["operation"] = f"GET /api/v1/resource{number % alert_lake.ENDPOINTS}/{{id}}"
    if number % 20 == 7:
        condition["group_by"] = "endpoint"
    if number % 10 == 1:
        condition["environment"] = "production"
    return condition


def _query(number: int) -> dict[str, Any]:
    """A query of its own for each rule."""
    service = f"service-{number % SERVICES:02}"
    return {"query": f'{{ service.name = "{service}" && duration > {100 + number}ms }} | rate() > 1e9', "window": "5m"}


def measure(data: Path, rules: int) -> tuple[float, float]:
    """CPU and wall seconds of a sweep of so many rules over the lake of a data folder, medians."""
    now = UNTIL
    with Control(data) as control:
        store = AlertStore(control.engine, enqueue, lambda: now)
        place = Place("default", "live")
        for known in store.rules(place):
            store.delete(place, known.id)
        for number, condition in enumerate(conditions(rules)):
            store.create(place, rule_of({"name": f"rule {number}", "condition": condition, "channels": ["slack"]}))
        sweep = Sweep(data, LakeSettings(), store, now=lambda: now)
        cpu_s, wall_s = [], []
        for minute in range(SWEEPS + 1):
            now = UNTIL + LAG + dt.timedelta(minutes=minute - SWEEPS)
            began = time.process_time(), time.perf_counter()
            judged = sweep.run()
            cpu_s.append(time.process_time() - began[0])
            wall_s.append(time.perf_counter() - began[1])
            if len(judged) != rules or any(one.rule.last_error for one in judged):
                raise RuntimeError(f"{len(judged)} of {rules} rules were judged")
        sweep.close()
    return statistics.median(cpu_s[1:]), statistics.median(wall_s[1:])  # the first one opens files


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.alerts", description=__doc__)
    parser.add_argument("--spans", type=int, nargs="+", default=[100_000, 300_000, 1_000_000, 3_000_000])
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100, 500, 1000])
    options = parser.parse_args()
    print("| spans an hour | rules | CPU-s a sweep | wall s |")
    print("|---|---|---|---|")
    for spans in options.spans:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            with Control(data) as control:
                control.create_first_project()
            alert_lake.make(data / "default" / "live", spans=spans, services=SERVICES, until=UNTIL)
            for rules in options.rules:
                cpu_s, wall_s = measure(data, rules)
                print(f"| {spans:,} | {rules:,} | {cpu_s:.2f} | {wall_s:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
