"""Storage: what a lake takes on the disk, and what waits in its landing.

Takes   a snapshot.
Gives   `Storage`: bytes of the tables, and files, bytes and age of the landing that is not yet in all of them.
Refuses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Storage:
    """Sizes at one moment."""

    table_bytes: int
    """Of the files that the newest version of each table names."""
    waiting_files: int
    waiting_bytes: int
    oldest_waiting_s: float | None
    """When the oldest waiting file was written, in seconds since the Unix epoch; None if nothing waits."""


def storage(snapshot: Snapshot) -> Storage:
    """The storage of a lake."""
    waiting = list(_found({file.path for table in snapshot.tables.values() for file in table.tail}))
    return Storage(
        table_bytes=sum(
            pc.sum(table.actions.column("size_bytes")).as_py() or 0
            for table in snapshot.tables.values()
            if table.actions is not None
        ),
        waiting_files=len(waiting),
        waiting_bytes=sum(file.st_size for file in waiting),
        oldest_waiting_s=min((file.st_mtime for file in waiting), default=None),
    )


def _found(paths: set[Path]) -> Iterator[os.stat_result]:
    for path in paths:
        try:
            yield path.stat()
        except FileNotFoundError:  # absorbed and deleted since the snapshot was taken
            continue
