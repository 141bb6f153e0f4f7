"""A query in the sandbox sees what the same query sees on the files."""

import json

import pyarrow as pa
import pytest

import lake
from lake.compaction import Compactor
from lake.folder import open_folder
from lake.landing import LandingWriter
from lake.promotion import promote
from lake.schema import TABLES
from tests.lake.sandbox.conftest import asker, make_lake
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START, otlp_body, rows_of


def land(folder, **what):
    """Spans in the landing of a lake, as a writer of its own brings them."""
    rows, requests = rows_of([otlp_body(20, exceptions=True, **what)], promoted=open_folder(folder).promoted)
    writer = LandingWriter(folder, "spans", now=START, disk=UnflushedDisk())
    writer.commit(rows, requests)
    writer.close()


def absorb(folder):
    compactor = Compactor(open_folder(folder), disk=UnflushedDisk())
    compactor.absorb()
    compactor.lease.release()


@pytest.fixture(scope="module", params=["landing", "tables", "both"])
def opened(request, tmp_path_factory):
    """A lake whose rows wait, are absorbed, or both."""
    folder = make_lake(tmp_path_factory.mktemp("views") / "lake", "shop")
    if request.param != "landing":
        absorb(folder)
    if request.param == "both":
        land(folder)
    with lake.open(folder) as opened:
        yield opened


EMPTY = ("batches", "errors", "deploys", "requests")
"""Tables that may be so where spans are all there is; `errors` the view is not."""


@pytest.mark.parametrize("view", TABLES)
def test_every_view_is_that_of_the_files(opened, sandbox, view):
    query = f"SELECT * FROM {view}"
    answer = asker(opened, sandbox)(query, format="arrow")
    found, expected = pa.ipc.open_stream(answer.content).read_all(), opened.sql(query).arrow()
    assert found.schema == expected.schema
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist()))
    assert found.num_rows or view in EMPTY
    assert len(json.loads(asker(opened, sandbox)(query).content)) == expected.num_rows


def test_views_are_joined_as_on_the_files(opened, sandbox):
    query = (
        "SELECT s.name, count(*) AS spans, count(e.id) AS errors FROM spans s LEFT JOIN errors e USING (trace_id, span_id) "
        "WHERE s.attributes IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    assert json.loads(asker(opened, sandbox)(query).content) == opened.sql(query).rows()


def test_a_promoted_attribute_has_its_column_in_old_files_too(sandbox, tmp_path):
    folder = make_lake(tmp_path / "lake", "shop")
    land(folder, attributes={"user.tier": "gold"})
    absorb(folder)
    promote(open_folder(folder), "user.tier")
    land(folder, attributes={"user.tier": "gold"})
    with lake.open(folder) as opened:
        answer = asker(opened, sandbox)("SELECT count(*) AS n FROM spans WHERE user_tier = 'gold'")
    assert json.loads(answer.content) == [{"n": 40}]


def test_a_snapshot_is_read_as_it_was_though_its_files_were_absorbed_since(sandbox, tmp_path):
    folder = make_lake(tmp_path / "lake", "shop")
    with lake.open(folder) as opened:
        before = opened.at(opened.snapshot())
        land(folder)
        absorb(folder)
        count = "SELECT count(*) AS n FROM spans"
        assert json.loads(asker(before, sandbox)(count).content) == [{"n": 3}]
        assert json.loads(asker(opened, sandbox)(count).content) == [{"n": 23}]
