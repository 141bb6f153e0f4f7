"""Which traces a search finds of many, in which order and in how many looks; what it does not do."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import lake
from lake.compaction import Compactor
from lake.errors import InvalidParameter, QueryTimeout
from lake.folder import open_folder
from lake.promotion import promote
from lake.search import InvalidQuery, run
from lake.settings import LakeSettings
from tests.lake.rows import span, trace_id
from tests.lake.search import asked, sent
from tests.lake.search.stores import stored
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
SINCE, UNTIL, AROUND = START + 10 * SECOND, START + 45 * SECOND, 12 * SECOND


@pytest.fixture(scope="module")
def requests():
    return sent.some_requests(11, traces=80)


@pytest.fixture(scope="module")
def spread(tmp_path_factory, requests):
    """A lake whose traces start within a minute, of which a search may look at a part."""
    opened = stored(tmp_path_factory.mktemp("spread") / "lake", requests, "mixed")
    yield opened
    opened.close()


def listed(opened, query, **known):
    rows = opened.search(query, **{"since": SINCE, "until": UNTIL, "around": AROUND, "limit": 1000} | known).rows()
    return [(row["start_ns"], row["trace_id"]) for row in rows]


def expected(query, requests):
    """Start and id of the traces of the window, newest first."""
    in_reach = [
        span
        for span in sent.latest(requests)
        if (SINCE - AROUND - START) <= dt.timedelta(microseconds=span.start_ns // 1000) < (UNTIL + AROUND - START)
    ]
    starts: dict[str, int] = {}
    for known in in_reach:
        starts[known.trace_id] = min(starts.get(known.trace_id, 2**63), sent.BASE_NS + known.start_ns)
    since_ns, until_ns = (int((time - START) / SECOND) * 10**9 + sent.BASE_NS for time in (SINCE, UNTIL))
    found = [(starts[id_], id_) for id_ in asked.answer(query, in_reach) if since_ns <= starts[id_] < until_ns]
    return sorted(found, reverse=True)


@pytest.fixture(params=["one slice", "many slices"])
def slicing(request, monkeypatch):
    """Whether a window is looked through at once, or in slices with few traces judged at a time."""
    if request.param == "many slices":
        monkeypatch.setattr(run, "_FEW_SPANS", 0)
        monkeypatch.setattr(run, "_GROWTH", 2)


@pytest.mark.usefixtures("slicing")
@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("limit", [1, 3])
def test_pages_of_a_window_are_its_traces_newest_first(spread, requests, number, limit):
    query = asked.query(1000 + number)
    whole = expected(query, requests)
    assert listed(spread, query.text, limit=limit) == whole[:limit]
    pages: list[tuple[int, str]] = []
    while page := listed(spread, query.text, limit=limit, before=pages[-1] if pages else None):
        pages += page
        if len(pages) > 6:  # the rest at once
            limit = 1000
    assert pages == whole


def test_a_trace_that_matches_late_is_listed_by_its_start(lake_folder, landing, monkeypatch):
    monkeypatch.setattr(run, "_FEW_SPANS", 0)
    minute = 60 * 10**9
    landing.put("spans", span(1, name="x", start_ns=0), span(1, name="late", start_ns=59 * minute))
    landing.put("spans", *(span(10 + n, name="late", start_ns=n * minute) for n in range(1, 50)))
    with lake.open(lake_folder.path) as opened:
        rows = opened.search("{ name = 'late' }", since=START, until=START + HOUR, limit=3).rows()
        assert [row["trace_id"] for row in rows] == [trace_id(59), trace_id(58), trace_id(57)]
        every = opened.search("{ name = 'late' }", since=START, until=START + HOUR, limit=100).rows()
        assert every[-1]["trace_id"] == trace_id(1)


def test_a_span_that_came_again_counts_as_it_came_last(lake_folder, landing):
    first = span(1, span_id="1" * 16, status="error", duration_ns=5)
    landing.put("spans", first)
    landing.put("spans", first | {"status": "ok", "ingested_at": START + SECOND})
    landing.put("spans", first | {"status": "ok", "ingested_at": START + SECOND})
    with lake.open(lake_folder.path) as opened:
        assert listed_ids(opened, "status = error") == []
        [row] = opened.search("status = ok", since=START, until=START + HOUR).rows()
        assert (row["matched_spans"], row["span_count"], row["error_count"]) == (1, 1, 0)


def listed_ids(opened, query):
    return [row["trace_id"] for row in opened.search(query, since=START, until=START + HOUR).rows()]


def test_a_column_promoted_later_is_found_in_older_and_newer_rows(lake_folder, landing):
    landing.put("spans", span(1, attributes=[("tier", "gold")], attribute_types="s"))
    promote(open_folder(lake_folder.path), "tier")
    landing.put("spans", span(2, tier="gold"), span(3, tier="silver"), span(4, attributes=[("tier", "gold")], start_ns=1))
    with lake.open(lake_folder.path) as opened:
        for query in ("tier = 'gold'", "span.tier LIKE 'g%'", "{ .tier != nil && !(.tier = 'silver') }"):
            assert sorted(listed_ids(opened, query)) == [trace_id(1), trace_id(2), trace_id(4)]
        assert listed_ids(opened, "resource.tier = 'gold'") == []


INJECTIONS = [
    "' OR 1=1 --",
    "'; DROP TABLE members; --",
    '"]::VARCHAR',
    "$v1",
    "{spans}",
    "\\'",
    "%s",
    "\0",
    "x'||'y",
    "${}",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_what_a_query_compares_with_is_never_part_of_the_sql(lake_folder, landing, text):
    landing.put("spans", span(1, name=text, attributes=[(text, text)], attribute_types="s"), span(2))
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    query = f"{{ name = {quoted} && .{quoted} = {quoted} && .{quoted} IN ({quoted}) }} | by(.{quoted}) | select(.{quoted})"
    with lake.open(lake_folder.path) as opened:
        found, steps = opened.explain_search(query, since=START, until=START + HOUR)
        [row] = found.rows()
        assert (row["trace_id"], row["matched_fields"]) == (trace_id(1), [[(f".{quoted}", text)]])
        assert text == "$v1" or not any(text in step.sql for step in steps)


def test_a_search_that_takes_too_long_is_stopped(lake_folder, landing):
    landing.put("spans", *(span(n) for n in range(1, 200)))
    with lake.open(lake_folder.path, LakeSettings(search_timeout_s=0)) as opened, pytest.raises(QueryTimeout, match="0 s"):
        opened.search("{ } >> { }", since=START, until=START + HOUR)


def test_a_time_without_a_zone_is_refused(spread):
    with pytest.raises(InvalidParameter, match="since"):
        spread.search("{ }", since=dt.datetime(2026, 1, 1), until=UNTIL)  # noqa: DTZ001 - that is the point


def test_a_query_of_metrics_finds_no_traces(spread):
    with pytest.raises(InvalidQuery, match="search_metrics"):
        listed(spread, "{ } | rate()")


def test_an_empty_lake_has_no_traces(lake_folder):
    with lake.open(lake_folder.path) as opened:
        assert listed_ids(opened, "{ } > { } | count() > 0") == []


def test_an_explained_search_says_what_it_read_of_what_there_is(tmp_path, requests):
    with stored(tmp_path / "lake", requests, "mixed") as opened:
        found, steps = opened.explain_search("resource.region = 'eu-1'", since=SINCE, until=UNTIL, limit=2)
        assert found.rows() == opened.search("resource.region = 'eu-1'", since=SINCE, until=UNTIL, limit=2).rows()
        assert [step.purpose for step in steps[:3]] == ["candidates", "spans", "judge"]
        candidates, _, judge = steps[:3]
        assert "eu-1" in candidates.params.values()
        assert candidates.files.total == candidates.files.read == 3  # two landing files and what the others became
        assert candidates.bytes.read > 0
        spans = opened.snapshot().tables["spans"]
        paths = [*map(Path, spans.data_files()), *(file.path for file in spans.tail)]
        assert candidates.bytes.total == sum(path.stat().st_size for path in paths)
        assert 0 < candidates.row_groups.read <= candidates.row_groups.total
        assert judge.files.read == 0  # it looks at what was read before
        assert str(opened.path) not in candidates.sql


def test_files_of_other_hours_are_not_read(lake_folder, landing):
    for hour in range(4):
        landing.put("spans", span(hour + 1, start_ns=hour * 3600 * 10**9))
    Compactor(lake_folder, disk=UnflushedDisk()).absorb()
    with lake.open(lake_folder.path) as opened:
        begin = START + 3 * HOUR
        _, steps = opened.explain_search("name = 'GET /'", since=begin, until=begin + HOUR, around=dt.timedelta(0))
        assert {(step.files.read, step.files.total) for step in steps[:2]} == {(1, 4)}
