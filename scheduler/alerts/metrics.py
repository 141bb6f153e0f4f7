"""Metrics: what a rule can watch, under which names, in which unit.

Takes   names as people write them.
Gives   `Metric`: its one name, its unit, what it is read from, and whether nothing is a value of it.
Refuses names that are none (`InvalidParameter`).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lake.errors import InvalidParameter

Source = Literal["requests", "latency", "spans", "errors", "new_errors", "query"]
"""What a metric is read from: counts of requests, their histograms, counts of all spans, occurrences of errors, those of
errors that are new, or TQ."""


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that can be measured of a window."""

    name: str
    unit: str
    """`ms`, `ratio` (0 to 1), `per minute`, or empty for a number without one."""
    source: Source
    is_count: bool = False
    """Whether a window without any is a 0; of the others nothing is known there."""
    quantile: float | None = None


QUERY = Metric("query", "", "query", is_count=False)
"""Stands for the TQ of a rule."""

_METRICS = (
    *(Metric(f"latency_p{n}", "ms", "latency", quantile=n / 100) for n in (50, 90, 95, 99)),
    Metric("latency_avg", "ms", "latency"),
    Metric("latency_max", "ms", "latency"),
    Metric("apdex", "ratio", "latency"),
    Metric("error_rate", "ratio", "requests"),
    Metric("error_count", "", "requests", is_count=True),
    Metric("request_rate", "per minute", "requests", is_count=True),
    Metric("request_count", "", "requests", is_count=True),
    Metric("span_count", "", "spans", is_count=True),
    Metric("error_occurrences", "", "errors", is_count=True),
    Metric("new_error", "", "new_errors", is_count=True),
)

METRICS = MappingProxyType({metric.name: metric for metric in _METRICS})
"""By name, without the aliases."""

_STATISTICS = ("p50", "p90", "p95", "p99", "avg", "max")

ALIASES = MappingProxyType(
    {
        alias: f"latency_{statistic}"
        for statistic in _STATISTICS
        for alias in (f"{statistic}_latency", f"{statistic}_latency_ms", f"latency_{statistic}_ms")
    }
)
"""Other names of latencies, as other systems call them."""


def metric_named(name: str) -> Metric:
    """The metric of a name or alias.

    Raises:
        InvalidParameter: there is none.
    """
    found = METRICS.get(ALIASES.get(name, name))
    if found is None:
        raise InvalidParameter(
            "condition.metric", f"condition.metric: {name!r} is not known; it is one of {', '.join(METRICS)}"
        )
    return found
