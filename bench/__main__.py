"""`python -m bench`: all measurements, as the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import version

from . import ingest, queries
from .bodies import make

_HEADINGS = ("workers", "connections", "spans/s", "spans/CPU-s", "p50 ms", "p99 ms", "503", "peak MiB", "B/span", "others")
_PACKAGES = ("tracelake", "duckdb", "pyarrow", "deltalake", "ptars", "litestar", "granian")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--connections", type=int, nargs="+", default=[4, 16])
    options = parser.parse_args()
    print(", ".join(f"{name} {version(name)}" for name in _PACKAGES), f"python {sys.version.split()[0]}")
    answers: list[queries.QueryRun] = []
    print(_row(*_HEADINGS))
    for workers in options.workers:
        for connections in options.connections:
            bodies = make(options.spans, end_ns=time.time_ns())
            with ingest.running(workers) as server:
                run = ingest.measure(server, bodies, workers=workers, connections=connections)
                answers = answers or queries.measure(server, bodies.truth)
            print(_ingest_row(run), flush=True)
    for answer in answers:
        cpu = "" if answer.server_cpu_ms is None else f"{answer.server_cpu_ms:.1f}"
        print(_row(answer.name, f"{answer.median_ms:.1f}", cpu))
    return 0


def _ingest_row(run: ingest.IngestRun) -> str:
    return _row(
        run.workers,
        run.connections,
        f"{run.spans_per_s:,.0f}",
        f"{run.spans_per_cpu_s:,.0f}",
        f"{run.p50_ms:.0f}",
        f"{run.p99_ms:.0f}",
        run.refused,
        f"{run.peak_mib:.0f}",
        f"{run.bytes_per_span:.1f}",
        f"{run.until_idle.others_share:.2f}",
    )


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
