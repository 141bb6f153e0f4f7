"""Rows of any table for tests, from dictionaries that say what a test cares about.

Takes   dictionaries; what they leave out has a default.
Gives   Arrow rows as ingest makes them, and a landing to put them in.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from lake.folder import LakeFolder, open_folder
from lake.landing import LandingFile, LandingWriter, Request
from lake.schema import tables_of
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START

Row = dict[str, Any]

_numbers = itertools.count(1)


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span(trace: int | str = 1, **known: Any) -> Row:
    """A span of a trace, named by a number or its whole id; `start_ns` and `ingested_s` count from `START`."""
    start_ns = known.pop("start_ns", 0)
    row = {
        "trace_id": trace if isinstance(trace, str) else trace_id(trace),
        "span_id": f"{next(_numbers):016x}",
        "name": "GET /",
        "kind": "internal",
        "start_time": START + dt.timedelta(microseconds=start_ns // 1000),
        "start_ns_remainder": start_ns % 1000,
        "duration_ns": 1_000_000,
        "status": "unset",
        "service_name": "shop",
        "ingested_at": START + dt.timedelta(seconds=known.pop("ingested_s", 0)),
    }
    return row | known


def exception_event(message: str = "no item", at_s: float = 0, exception_class: str = "OutOfStock") -> Row:
    """An event of a span; `at_s` counts from `START`."""
    return {
        "name": "exception",
        "time": START + dt.timedelta(seconds=at_s),
        "time_ns_remainder": 0,
        "attributes": [("exception.type", exception_class), ("exception.message", message)],
        "attribute_types": "ss",
    }


def error(message: str = "no item", at_s: float = 0, **known: Any) -> Row:
    """A reported error; `at_s` and `ingested_s` count from `START`."""
    row = {
        "id": f"err_{next(_numbers):020x}",
        "timestamp": START + dt.timedelta(seconds=at_s),
        "exception_class": "OutOfStock",
        "message": message,
        "backtrace": [],
        "fingerprint": "f",
        "ingested_at": START + dt.timedelta(seconds=known.pop("ingested_s", 0)),
    }
    return row | known


def deploy(at_s: float = 0, **known: Any) -> Row:
    row = {
        "id": f"deploy_{next(_numbers):020x}",
        "deployed_at": START + dt.timedelta(seconds=at_s),
        "version": "1",
        "ingested_at": START,
    }
    return row | known


def request(at_s: float = 0, **known: Any) -> Row:
    row = {
        "request_id": f"{next(_numbers):x}",
        "timestamp": START + dt.timedelta(seconds=at_s),
        "method": "GET",
        "path": "/",
        "status_code": 200,
        "total_ms": 2.5,
        "db_ms": 0.5,
        "db_count": 1,
        "view_ms": 1.0,
        "ingested_at": START,
    }
    return row | known


def table(lake: LakeFolder, name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows with every column of the table."""
    return pa.Table.from_pylist(list(rows), schema=tables_of(lake.promoted)[name].arrow_schema)


class Landing:
    """Writers of all landing streams of one lake."""

    def __init__(self, lake: LakeFolder) -> None:
        self.lake = lake
        self._writers: dict[str, LandingWriter] = {}

    def put(self, stream: str, *rows: Row, request: str | None = None) -> LandingFile:
        """Land rows as one request; `request` is the hash of its body."""
        return self.put_table(stream, table(open_folder(self.lake.path), stream, rows), request=request)

    def put_table(self, stream: str, rows: pa.Table, *, request: str | None = None) -> LandingFile:
        if stream not in self._writers:
            self._writers[stream] = LandingWriter(self.lake.path, stream, now=START, disk=UnflushedDisk())
        return self._writers[stream].commit(rows, [Request(request or secrets.token_hex(32), rows.num_rows)])

    def end(self) -> None:
        """Let the writers go as the end of their process does; what is put next comes from new ones."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
