"""Stores: lakes that hold what was sent, in landing files, in compacted files, or in both.

Takes   requests of sent spans.
Gives   an open lake.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import lake
from lake.compaction import Compactor
from lake.folder import create_folder
from lake.landing import LandingWriter, Request
from tests.lake.search.sent import Sent, body
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START, rows_of

STATES = ("landing", "compacted", "mixed")


def stored(path: Path, requests: Sequence[Sequence[Sent]], state: str) -> lake.Lake:
    """A new lake with these requests, a second apart."""
    folder = create_folder(path)
    writer = LandingWriter(path, "spans", now=START, disk=UnflushedDisk())
    last = {"landing": -1, "compacted": len(requests) - 1, "mixed": len(requests) // 2}[state]
    for place, spans in enumerate(requests):
        content = body(spans)
        rows, _ = rows_of([content], ingested_at=START + dt.timedelta(seconds=place))
        writer.commit(rows, [Request(sha256(content).hexdigest(), rows.num_rows)])
        if place == last:
            compactor = Compactor(folder, disk=UnflushedDisk())
            compactor.absorb()
            compactor.lease.release()
    writer.close()
    return lake.open(path)
