"""Lakes without a server, for the commands that work on files."""

from __future__ import annotations

from pathlib import Path

from lake.folder import create_folder
from lake.landing import LandingWriter
from tests.lake.spans import START, otlp_body, rows_of


def make_lake(data: Path, *, spans: int, project: str = "default", environment: str = "live") -> Path:
    """A lake whose landing holds some spans in one file; returns its folder."""
    folder = create_folder(data / project / environment).path
    rows, requests = rows_of([otlp_body(spans)])
    writer = LandingWriter(folder, "spans", now=START)
    writer.commit(rows, requests)
    writer.close()
    return folder
