"""A fresh lake, its writer, and spans for it."""

import secrets

import pytest

from lake.folder import create_folder
from lake.landing import LandingWriter, Request
from tests.lake.rows import Landing
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START, otlp_body, rows_of


@pytest.fixture
def lake_folder(tmp_path):
    """A new, empty lake."""
    return create_folder(tmp_path / "lake")


@pytest.fixture
def writer(lake_folder):
    """A landing writer of its spans."""
    writer = LandingWriter(lake_folder.path, "spans", now=START, disk=UnflushedDisk())
    yield writer
    writer.close()


@pytest.fixture
def make_spans():
    """Rows of `n` new spans; see `otlp_body` for what can be said about them."""

    def make(n=10, *, ingested_at=START, **what):
        return rows_of([otlp_body(n, **what)], ingested_at=ingested_at)[0]

    return make


@pytest.fixture
def commit(writer):
    """Lands rows as one request and returns the landing file; `request` is the hash of its body."""

    def land(rows, *, request=None):
        return writer.commit(rows, [Request(request or secrets.token_hex(32), rows.num_rows)])

    return land


@pytest.fixture
def landing(lake_folder):
    """Writers of all landing streams of the lake."""
    landing = Landing(lake_folder)
    yield landing
    landing.end()
