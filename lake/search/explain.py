"""Explain: what a search ran and what it read.

Takes   the queries of a search while it runs, and the files of its snapshot.
Gives   `Step`s: SQL, values, and how much of files, row groups and bytes was read, of how much there is.
Refuses nothing.

DuckDB runs each query once more to say what it read, so an explained search takes twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from .. import queries
from ..relations import Relation
from ..snapshot import Snapshot
from .run import Ask


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was read of how much there is."""

    total: int
    read: int


@dataclass(frozen=True, slots=True)
class Step:
    """One query of a search."""

    purpose: str
    """`candidates`: traces that can be meant. `starts`: when they start. `spans`: all of theirs. `judge`: which are meant.
    `metrics`: numbers over time."""
    sql: str
    """As it ran; paths are those within the lake, `_members` and `_candidates` are what the step before found."""
    params: Mapping[str, Any]
    files: Pruned
    row_groups: Pruned
    bytes: Pruned
    rows: int
    """Rows of the answer."""


@dataclass(slots=True)
class Explainer:
    """Runs queries and keeps what they read."""

    snapshot: Snapshot
    run: Ask
    steps: list[Step] = field(default_factory=list)
    _totals: tuple[int, int, int] | None = None

    def ask(self, purpose: str, query: str, values: Mapping[str, Any], source: Relation) -> pa.Table:
        """Run a query as `run` does."""
        answer = self.run(purpose, query, values, source)
        analysed = self.run(purpose, f"EXPLAIN (ANALYZE, FORMAT json) {query}", values, source)
        profile = orjson.loads(analysed.column("explain_value")[0].as_py())
        files, row_groups, size = self._all()
        scans = [scan for root in profile["operator"] for scan in _scans(root)]
        step = Step(
            purpose,
            query.replace(f"{self.snapshot.lake.path}/", ""),
            dict(values),
            Pruned(files, sum(int(scan["extra_info"].get("Total Files Read", 0)) for scan in scans)),
            Pruned(row_groups, sum(scan.get("row_groups_scanned", 0) for scan in scans)),
            Pruned(size, profile["io"]["total_bytes_read"]),
            answer.num_rows,
        )
        self.steps.append(step)
        return answer

    def _all(self) -> tuple[int, int, int]:
        """Files, row groups and bytes of all spans of the snapshot."""
        if self._totals is None:
            spans = self.snapshot.tables["spans"]
            paths = [*spans.data_files(), *(str(file.path) for file in spans.tail)]
            groups = 0
            if paths:
                found = self.run("totals", queries.row_groups_of(paths), {}, Relation(""))
                groups = found.column("row_groups")[0].as_py()
            self._totals = len(paths), groups, sum(Path(path).stat().st_size for path in paths)
        return self._totals


def _scans(operator: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The reads of Parquet files below an operator of a plan."""
    if operator["extra_info"].get("Function") == "READ_PARQUET":
        yield operator
    for child in operator.get("children", ()):
        yield from _scans(child)
