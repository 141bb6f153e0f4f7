"""Rounds: what a compactor is doing, seen from outside.

Takes   the folder of a lake.
Gives   how far its tables are, whether a round of compaction was cut in two, who has the lease; and lets that run out.
Refuses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from lake.schema import TABLES
from lake.tables import DeltaLog

LEASE = "compactor.lease"

_OF_SPANS = [table for table in TABLES.values() if table.landing == "spans"]


def data_files(path: Path) -> int:
    """Data files of the table `spans`, those of no version too: they are written before the commit that names them."""
    return sum(1 for _ in path.glob("spans/day=*/hour=*/*.parquet"))


def decisions(path: Path) -> int:
    """Versions of the table `batches`, the first to be committed in a round."""
    return sum(1 for _ in path.glob("batches/_delta_log/*.json"))


MOMENTS: dict[str, Callable[[Path], int]] = {"rows are written": data_files, "repeats are decided": decisions}
"""Steps inside a round: each time one is taken its number grows."""


def is_torn(path: Path) -> bool:
    """Whether a round has not been finished: files that no version names, or tables that are not equally far."""
    logs = [DeltaLog(path, table) for table in _OF_SPANS if (path / table.name / "_delta_log").exists()]
    writers = [folder.name for folder in (path / "landing" / "spans").iterdir()]
    if any(len({log.watermark(writer) for log in logs}) > 1 for writer in writers):
        return True
    named = sum(len(log.files()) for log in logs if log.table.name == "spans")
    return data_files(path) > named


def holder(path: Path) -> int:
    """The process that has the lease, 0 if none has."""
    return int(_lease(path).get("owner", "0-").partition("-")[0])


def end_lease(path: Path, name: str = LEASE) -> None:
    """Let the time of the lease be over, so that no test has to wait for it."""
    if lease := _lease(path, name):
        (path / name).write_bytes(orjson.dumps(lease | {"expires_at_s": time.time() - 1}))


def _lease(path: Path, name: str = LEASE) -> dict[str, Any]:
    """Owner and end of the lease; empty while nobody has taken it, and between the two steps of writing it."""
    content = (path / name).read_bytes() if (path / name).exists() else b""
    lease: dict[str, Any] = orjson.loads(content or b"{}")
    return lease
