"""Alert lake: an hour of spans of many services, made as columns, in the state that a running server keeps it in.

The last minute waits in the landing, as the spans of a busy server do; the rest is absorbed. The same seed gives the same
lake.
"""

from __future__ import annotations

import datetime as dt
import secrets
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lake.compaction import Compactor
from lake.folder import create_folder
from lake.landing import LandingWriter, Request
from lake.schema import SPANS, TIMESTAMP

ENDPOINTS = 20
_ROWS_A_COMMIT = 50_000
_TAIL = dt.timedelta(minutes=1)
_TAIL_COMMITS = 12
"""One every five seconds."""


def make(folder: Path, *, spans: int, services: int, until: dt.datetime) -> None:
    """Make a lake with `spans` spans in the hour before `until`."""
    lake = create_folder(folder)
    random = np.random.default_rng(1)
    since_us = int(until.timestamp() * 1e6) - 3_600_000_000
    at_us = np.sort(random.integers(since_us, since_us + 3_600_000_000, spans))
    waits = int(np.searchsorted(at_us, int((until - _TAIL).timestamp() * 1e6)))
    with_lease = Compactor(lake)
    writer = LandingWriter(folder, "spans", now=until)
    for first in range(0, waits, _ROWS_A_COMMIT):
        _commit(writer, _rows(random, at_us[first : min(first + _ROWS_A_COMMIT, waits)], services))
        with_lease.absorb()
    with_lease.lease.release()
    for part in np.array_split(at_us[waits:], _TAIL_COMMITS):
        _commit(writer, _rows(random, part, services))
    writer.close()


def _commit(writer: LandingWriter, rows: pa.Table) -> None:
    writer.commit(rows, [Request(secrets.token_hex(32), rows.num_rows)])


def _rows(random: np.random.Generator, at_us: npt.NDArray[np.int64], services: int) -> pa.Table:
    """Requests: one server span each, of a lognormal duration, two in a hundred failed."""
    count = len(at_us)
    service, endpoint = random.integers(0, services, count), random.integers(0, ENDPOINTS, count)
    failed = random.random(count) < 0.02
    routes = pa.array([f"/api/v1/resource{n}/{{id}}" for n in range(ENDPOINTS)]).take(pa.array(endpoint))
    names = pa.array([f"service-{n:02}" for n in range(services)])
    ids = [f"{a:016x}{b:016x}" for a, b in random.integers(0, 2**63, (count, 2))]
    known = {
        "trace_id": pa.array(ids),
        "span_id": pa.array([name[:16] for name in ids]),
        "name": routes,
        "kind": pa.repeat("server", count),
        "start_time": pa.array(at_us).cast(TIMESTAMP),
        "start_ns_remainder": pa.repeat(pa.scalar(0, pa.int16()), count),
        "duration_ns": pa.array(random.lognormal(17, 1, count).astype(np.int64)),
        "status": pa.array(np.where(failed, "error", "unset")),
        "service_name": names.take(pa.array(service)),
        "environment": pa.repeat("production", count),
        "http_method": pa.repeat("GET", count),
        "http_route": routes,
        "http_status_code": pa.array(np.where(failed, 500, 200)),
        "ingested_at": pa.array(at_us).cast(TIMESTAMP),
    }
    schema = SPANS.arrow_schema
    return pa.table([known.get(f.name, pa.nulls(count, f.type)) for f in schema], schema=schema)
