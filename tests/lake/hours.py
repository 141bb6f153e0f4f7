"""One hour of a lake in tests of what replaces its files: what it has, and others who work on it at the same time.

Takes   the folder of a lake, and a clock that is moved by hand.
Gives   the rows and files of the hour, spans with an exception, compactors of other processes.
Refuses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake.compaction import Compactor
from lake.folder import LakeFolder
from lake.lease import LEASE_S
from lake.schema import SPAN_IDENTITY
from lake.tables import LiveFile, Partition
from tests.lake.checks import DISK, Clock, table_of
from tests.lake.rows import Row, exception_event, span
from tests.lake.spans import START

PARTITION = Partition(START.date(), START.hour)


def raised_span(trace: int = 1, message: str = "no item", **known: Any) -> Row:
    """A span with an exception event."""
    return span(trace, events=[exception_event(message)], **known)


def contents(lake_folder: LakeFolder) -> list[Counter[tuple[Any, ...]]]:
    """Spans and exceptions in the tables, each with how often it is there."""
    spans = table_of(lake_folder.path, "spans", *SPAN_IDENTITY, "name").to_pylist()
    exceptions = table_of(lake_folder.path, "exceptions", "id", "message").to_pylist()
    return [Counter(tuple(row.values()) for row in rows) for rows in (spans, exceptions)]


def files_of(compactor: Compactor, name: str = "spans", partition: Partition = PARTITION) -> list[LiveFile]:
    """The files that a partition of a table has."""
    return [file for file in compactor.log(name).files() if file.partition == partition]


def rows_in(compactor: Compactor, file: LiveFile, name: str = "spans") -> pa.Table:
    """The rows of one file."""
    return pq.ParquetFile(compactor.log(name).folder / file.path).read()


def another(lake_folder: LakeFolder, clock: Clock, **known: Any) -> Compactor:
    """The compactor of another process, which takes the lease over because it has run out."""
    clock.now_s += LEASE_S + 1
    return Compactor(lake_folder, clock=clock, **({"disk": DISK} | known))


def at_step(lake_folder: LakeFolder, clock: Clock, wanted: str, action: Callable[[Compactor], object]) -> Compactor:
    """A compactor during whose step another process acts, as if it had taken the lease over."""
    acted: list[str] = []

    def step(name: str) -> None:
        if name == wanted and not acted:
            acted.append(name)
            action(another(lake_folder, clock))
            clock.now_s += LEASE_S + 1

    return another(lake_folder, clock, step=step)
