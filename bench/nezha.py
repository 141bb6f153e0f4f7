"""`python -m bench.nezha FOLDER`: finds the service of each fault that was injected into Online Boutique, from spans alone.

Takes   a folder with spans (Parquet) and faults (JSON) of two days: Nezha (FSE 2023, MIT licence,
        https://github.com/IntelligentDDS/Nezha), its CSV converted column by column.
Gives   how many faults have their service first, and among the first three; and how many quiet windows raise an alarm.
Refuses nothing; a fault without spans is a miss.

The method was chosen on the first day alone. The second one was run afterwards.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from scipy import stats

from lake.analysis.suspects import calls_made, deviations, suspects, timings

DAYS = ("2022-08-22", "2022-08-23")

FAULT_S = 180
"""A fault's window: the traces that begin so soon after it."""

QUIET_AFTER_S = 300
"""Traces that begin so long after the fault before them, or before any, are quiet. They are cut where faults are."""

MIN_TRACES = 100
"""Of a quiet window that is asked about."""

ALARM = 7.0
"""A score from which somebody would be told: above that of every quiet window of the first day."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day."""

    faults: list[dict[str, Any]]
    slower: pl.DataFrame
    calls: pl.DataFrame
    traces: dict[int, int]
    """By window; those of faults have the number of the fault, quiet ones have negative numbers."""

    @property
    def quiet(self) -> list[int]:
        """The quiet windows."""
        return [window for window in self.traces if window < 0]

    def ranked(self, window: int) -> pl.DataFrame:
        """The suspects of a window, by what is quiet otherwise."""
        quiet = [other for other in self.quiet if other != window]
        return suspects(*(deviations(rows, window, quiet) for rows in (self.slower, self.calls)))


def main() -> int:
    """Print the tables; 1 if fewer than 24 faults have their service first."""
    parser = argparse.ArgumentParser(prog="python -m bench.nezha", description=__doc__)
    parser.add_argument("folder", type=Path, help="has 2022-08-22.parquet, 2022-08-22-faults.json and those of the 23rd")
    folder = parser.parse_args().folder
    versions = ", ".join(f"{name} {version(name)}" for name in ("tracelake", "polars", "numpy"))
    print(f"{versions}, python {sys.version.split()[0]}")
    print("| day | faults | without spans | first | among the first 3 | told, of those with spans | quiet windows | told |")
    days = [_read(folder, day) for day in DAYS]
    first = sum(_print_day(name, [day]) for name, day in zip(DAYS, days, strict=True))
    _print_day("both", days)
    _print_kinds(days)
    return 0 if first >= 24 else 1


def _read(folder: Path, day: str) -> Day:
    faults = orjson.loads((folder / f"{day}-faults.json").read_bytes())
    spans = pl.read_parquet(folder / f"{day}.parquet").unique(["TraceID", "SpanID"], keep="first", maintain_order=True)
    spans = spans.select(
        trace_id="TraceID",
        span_id="SpanID",
        parent_span_id="ParentID",
        service_name=_service(pl.col("PodName")),
        operation="OperationName",
        start_ns="StartTimeUnixNano",
        duration_ns=pl.col("EndTimeUnixNano") - pl.col("StartTimeUnixNano"),
    )
    times = np.array([int(fault["inject_timestamp"]) for fault in faults])
    spans = spans.with_columns(pl.Series("window", _windows(spans, times))).filter(pl.col("window").is_not_null())
    traces = dict(spans.group_by("window").agg(pl.col("trace_id").n_unique()).sort("window").rows())
    return Day(faults, timings(spans), calls_made(spans), traces)


def _service(pod: pl.Expr) -> pl.Expr:
    """The deployment that a pod is of: without the two parts that Kubernetes adds."""
    return pod.str.replace(r"-[0-9a-f]+-[a-z0-9]+$", "")


def _windows(spans: pl.DataFrame, times: np.ndarray[Any, np.dtype[np.int64]]) -> list[int | None]:
    """The window of each span by when its trace began."""
    began_s = spans.select(pl.col("start_ns").min().over("trace_id") / 1e9).to_series().to_numpy()
    fault = np.searchsorted(times, began_s, "right") - 1
    since_s = np.where(fault >= 0, began_s - times[np.maximum(fault, 0)], np.inf)
    window = pl.Series(np.where(since_s < FAULT_S, fault, -2 - fault))
    known = pl.Series((since_s < FAULT_S) | (since_s >= QUIET_AFTER_S))
    return window.zip_with(known, pl.Series([None], dtype=pl.Int64).extend_constant(None, len(window) - 1)).to_list()


def _places(day: Day) -> list[int | None]:
    """The place of each fault's service among the suspects, from 1; None without spans."""
    found: list[int | None] = []
    for window, fault in enumerate(day.faults):
        service = pl.select(_service(pl.lit(fault["inject_pod"]))).item()
        names = day.ranked(window)["service_name"].to_list() if window in day.traces else []
        found.append(names.index(service) + 1 if service in names else None)
    return found


def _print_day(name: str, days: list[Day]) -> int:
    """Print the row of some days; how many faults have their service first."""
    places = [place for day in days for place in _places(day)]
    faults = [day.ranked(window)["score"][0] >= ALARM for day in days for window in day.traces if window >= 0]
    quiet = [
        day.ranked(window)["score"][0] >= ALARM for day in days for window in day.quiet if day.traces[window] >= MIN_TRACES
    ]
    first, three = (sum(place is not None and place <= limit for place in places) for limit in (1, 3))
    cells = (
        name, len(places), sum(place is None for place in places), _share(first, len(places)), _share(three, len(places)),
        _share(sum(faults), len(faults)), len(quiet), _share(sum(quiet), len(quiet)),
    )  # fmt: skip
    print("| " + " | ".join(map(str, cells)) + " |")
    return first


def _print_kinds(days: list[Day]) -> None:
    """Print the faults by kind."""
    faults, first = Counter[str](), Counter[str]()
    for day in days:
        for fault, place in zip(day.faults, _places(day), strict=True):
            faults[fault["inject_type"]] += 1
            first[fault["inject_type"]] += place == 1
    print("\n| kind | faults | first |")
    for kind, count in sorted(faults.items()):
        print(f"| {kind} | {count} | {first[kind]} |")


def _share(count: int, total: int) -> str:
    """A count with its share and Wilson interval."""
    interval = stats.binomtest(count, total).proportion_ci(method="wilson")
    return f"{count} = {100 * count / total:.1f} % ({100 * interval.low:.0f}-{100 * interval.high:.0f})"


if __name__ == "__main__":
    sys.exit(main())
