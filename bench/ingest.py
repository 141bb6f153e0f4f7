"""Ingest: a fresh server takes the bodies, and everything it does because of them is counted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lake

from .bodies import Bodies
from .load import send
from .processes import Meter, PeakMemory, Used, wait_idle

PORT = 3479
SPANS_PATH = "/ingest/v1/traces"
_START_S = 60


@dataclass(frozen=True, slots=True)
class Server:
    """A running `tracelake serve` on a folder of its own."""

    pid: int
    url: str
    data: Path
    ingest_key: str
    live_key: str

    @property
    def lake(self) -> Path:
        return self.data / "default" / "live"


@dataclass(frozen=True, slots=True)
class IngestRun:
    """One row of the table."""

    workers: int
    connections: int
    spans: int
    at_ack: Used
    """Until the last answer."""
    until_idle: Used
    """Until everything is in the tables and the server rests."""
    p50_ms: float
    p99_ms: float
    refused: int
    peak_mib: float
    live_bytes: int
    """Size of all live data files of all tables."""

    @property
    def spans_per_cpu_s(self) -> float:
        return self.spans / self.until_idle.server_cpu_s

    @property
    def spans_per_s(self) -> float:
        return self.spans / self.at_ack.wall_s

    @property
    def bytes_per_span(self) -> float:
        return self.live_bytes / self.spans


@contextmanager
def running(workers: int) -> Iterator[Server]:
    """A server on an empty folder."""
    with tempfile.TemporaryDirectory(prefix="tracelake-bench-") as folder:
        data = Path(folder)
        keys = {kind: _new_key(data, kind) for kind in ("ingest", "live")}
        argv = [_command(), "serve", "--no-lab", "--port", str(PORT), "--workers", str(workers), "--data", folder]
        process = subprocess.Popen(argv)
        try:
            url = f"http://127.0.0.1:{PORT}"
            _wait_healthy(url)
            yield Server(process.pid, url, data, keys["ingest"], keys["live"])
        finally:
            process.terminate()
            process.wait()


def _command() -> str:
    return str(Path(sys.executable).parent / "tracelake")


def _new_key(data: Path, kind: str) -> str:
    argv = [_command(), "keys", "create", "--data", str(data), "--kind", kind]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def _wait_healthy(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()  # noqa: S310 - our own address
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def measure(server: Server, bodies: Bodies, *, workers: int, connections: int) -> IngestRun:
    """Send the bodies and wait until nothing is left to do."""
    with PeakMemory(server.pid) as memory:
        meter = Meter(server.pid)
        sent = send(server.url + SPANS_PATH, server.ingest_key, bodies.requests, connections=connections)
        at_ack = meter.read()
        wait_idle(server.pid)
        until_idle = meter.read()
    latencies = sorted(sent.latencies_s)
    return IngestRun(
        workers,
        connections,
        sent.spans,
        at_ack,
        until_idle,
        latencies[len(latencies) // 2] * 1e3,
        latencies[int(len(latencies) * 0.99)] * 1e3,
        sum(sent.refused.values()),
        memory.peak_mib,
        live_bytes(server.lake),
    )


def live_bytes(path: Path) -> int:
    """Size of the data files of the current versions; fails while something waits in the landing."""
    with lake.open(path) as opened:
        tables = opened.snapshot().tables.values()
        waiting = sum(len(table.tail) for table in tables)
        if waiting:
            raise RuntimeError(f"{waiting} landing files are not compacted yet")
        return sum(sum(t.actions.column("size_bytes").to_pylist()) for t in tables if t.actions is not None)
