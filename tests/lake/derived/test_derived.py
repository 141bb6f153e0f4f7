"""Derived tables say what follows from the spans in the tables, whatever happened to the lake on the way."""

from __future__ import annotations

import shutil
import time
from itertools import count, product
from secrets import token_hex

import pytest

import lake
from lake.compaction import Compactor
from lake.merge import FEWEST_FILES, merge_due
from lake.promotion import promote
from lake.retention import keep
from lake.rewrite import rewrite_due
from lake.schema import DERIVED, ENDPOINT_MINUTES, EXCEPTIONS, SERVICE_EDGES, SPANS, TRACE_SUMMARIES
from lake.settings import LakeSettings
from tests.lake.checks import (
    DISK,
    STEPS,
    Clock,
    Stopped,
    absorb_and_stop,
    assert_derived,
    said,
    span_ids,
    table_of,
)
from tests.lake.derived.call_graphs import random_graph
from tests.lake.hours import another
from tests.lake.rows import Row, exception_event, span
from tests.lake.spans import START

OVER_S = START.timestamp() + 86_400
DAYS_LATER_S = time.time() + 10 * 86_400
"""When every file that was written late is a day old, by the clock of the machine."""
ONE_OF_EACH = STEPS[::4]
"""A step of each table but one, and of each kind; `tests.lake.test_compaction` has them all, with less traffic."""
NEW = tuple(table.name for table in DERIVED if table is not EXCEPTIONS)


def full(*values):
    """A case of the long form only."""
    return pytest.param(*values, marks=pytest.mark.full)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def compactor(lake_folder, clock):
    return Compactor(lake_folder, disk=DISK, clock=clock)


def traffic(seed: int = 3, *, parts: int) -> list[list[Row]]:
    """Spans of some traces of three hours, scattered over requests."""
    rows: list[Row] = []
    for graph in count(seed):
        rows += [row | {"trace_id": f"{graph:08x}{row['trace_id'][8:]}"} for row in random_graph(graph, alike=True)]
        if len(rows) >= max(parts, 20):
            break
    rows = [row | {"events": [exception_event(f"no item {number}")]} for number, row in enumerate(rows)]
    return [rows[number::parts] for number in range(parts)]


def assert_sound(lake_folder, batches):
    """Each span is there once, and the derived tables have what follows."""
    assert span_ids(lake_folder.path).total() == sum(map(len, batches))
    assert_derived(lake_folder.path)


# Crashes, retries, late spans, merge, rewrite, promotion


@pytest.mark.parametrize("step", [step if step in ONE_OF_EACH else full(step) for step in STEPS])
def test_derived_tables_follow_from_the_spans_wherever_compaction_ends(lake_folder, landing, clock, step):
    first, second, third = traffic(parts=3)
    landing.put("spans", *first)
    landing.put("spans", *second, request="a" * 64)
    assert absorb_and_stop(lake_folder, clock, step)
    landing.put("spans", *second, request="a" * 64)
    landing.put("spans", *third)
    Compactor(lake_folder, disk=DISK, clock=clock).absorb()
    assert_sound(lake_folder, [first, second, third])


@pytest.mark.parametrize(("seed", "merged"), [(3, 4), full(4, FEWEST_FILES), full(5, FEWEST_FILES)])
def test_derived_tables_follow_from_the_spans_through_retries_late_spans_merge_rewrite_and_promotion(
    lake_folder, landing, compactor, monkeypatch, seed, merged
):
    monkeypatch.setattr("lake.merge.FEWEST_FILES", merged)
    *batches, late, later = traffic(seed, parts=merged + 4)
    for batch in batches:
        request = token_hex(32)
        landing.put("spans", *batch, request=request)
        compactor.absorb()
        landing.put("spans", *batch, request=request)
    compactor.absorb()
    assert_sound(lake_folder, batches)
    assert merge_due(compactor)
    assert_sound(lake_folder, batches)
    assert rewrite_due(compactor, now_s=OVER_S)
    assert_sound(lake_folder, batches)
    landing.put("spans", *late)
    compactor.absorb()
    assert_derived(lake_folder.path, *(table.name for table in DERIVED if table is not SERVICE_EDGES))
    assert rewrite_due(compactor, now_s=DAYS_LATER_S)  # sides that come late find theirs gone, until the hour is made again
    assert_sound(lake_folder, [*batches, late])
    promote(lake_folder, "tenant")
    landing.put("spans", *later)
    landing.put("spans", *batches[0])  # in another request, so only the rewrite knows them again
    compactor.absorb()
    assert rewrite_due(compactor, now_s=DAYS_LATER_S)
    assert_sound(lake_folder, [*batches, late, later])


def test_a_trace_has_one_summary_of_each_hour_after_the_rewrite(lake_folder, landing, compactor):
    for batch in traffic(parts=5):
        landing.put("spans", *batch)
        compactor.absorb()
    assert table_of(lake_folder.path, "trace_summaries", "trace_id").num_rows > len(
        said(lake_folder.path, "trace_summaries")
    )
    rewrite_due(compactor, now_s=OVER_S)
    assert table_of(lake_folder.path, "trace_summaries", "trace_id").num_rows == len(
        said(lake_folder.path, "trace_summaries")
    )


def test_every_span_counts_once_in_every_snapshot(lake_folder, landing):
    with lake.open(lake_folder.path) as opened:

        def counted():
            (found,) = opened.sql(
                "SELECT (SELECT sum(span_count) FROM endpoint_minutes) AS minutes,"
                " (SELECT sum(span_count) FROM trace_summaries) AS summaries, (SELECT count(*) FROM spans) AS spans"
            ).rows()
            return found

        batches = traffic(parts=2)
        for batch in batches:
            landing.put("spans", *batch)
        seen = [counted()]
        compactor = Compactor(lake_folder, disk=DISK, step=lambda _: seen.append(counted()))
        compactor.absorb()
        rewrite_due(compactor, now_s=OVER_S)
        total = sum(map(len, batches))
        assert len(seen) > len(STEPS)
        assert all(found == {"minutes": total, "summaries": total, "spans": total} for found in seen)


def test_spans_over_too_many_hours_to_part_are_derived_from_all_the_same(lake_folder, landing, compactor, monkeypatch):
    monkeypatch.setattr("lake.partitioning.OVERFLOW_HOURS", 2)
    (rows,) = traffic(parts=1)
    spread = [span(start_ns=hour * 3_600_000_000_000, kind="client", peer_service="bank") for hour in range(4)]
    landing.put("spans", *rows)
    landing.put("spans", *spread)
    compactor.absorb()
    assert_sound(lake_folder, [rows, spread])
    rewrite_due(compactor, now_s=OVER_S)
    rewrite_due(compactor, now_s=compactor.log("spans").files()[0].written_at_s + 90_000)
    assert_sound(lake_folder, [rows, spread])


# A lake that is older than the tables


def made_older(lake_folder, tables=NEW, *, landing_files):
    """Take away the derived tables, and the absorbed landing files but for the newest few."""
    for name in tables:
        shutil.rmtree(lake_folder.path / name)
    absorbed = sorted((lake_folder.path / "landing" / "spans").rglob("*.parquet"))
    for path in absorbed[: len(absorbed) - landing_files]:
        path.unlink()


_SOME = (NEW, (SERVICE_EDGES.name,), (*NEW, EXCEPTIONS.name), (TRACE_SUMMARIES.name,))
OLDER = list(product(_SOME, (0, 1, 3), (False, True)))
"""Tables that the lake is older than, landing files that are left, and whether its hours are rewritten."""
SOME_OLDER = [(_SOME[0], 0, False), (_SOME[1], 1, True), (_SOME[2], 3, False), (_SOME[3], 0, True)]


def older_id(value):
    return "+".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize(
    ("tables", "landing_files", "is_rewritten"),
    [case if case in SOME_OLDER else full(*case) for case in OLDER],
    ids=older_id,
)
def test_a_lake_that_is_older_than_the_derived_tables_gets_all_of_them(
    lake_folder, landing, compactor, clock, tables, landing_files, is_rewritten
):
    *batches, late, new = traffic(parts=5)
    for batch in batches:
        landing.put("spans", *batch)
    compactor.absorb()
    if is_rewritten:
        rewrite_due(compactor, now_s=OVER_S)
    made_older(lake_folder, tables, landing_files=landing_files)
    landing.put("spans", *late)
    compactor = another(lake_folder, clock)
    compactor.absorb()
    rewrite_due(compactor, now_s=OVER_S)
    assert_sound(lake_folder, [*batches, late])
    landing.put("spans", *new)
    compactor.absorb()
    assert_sound(lake_folder, [*batches, late, new])
    assert compactor.waiting() == []


@pytest.mark.parametrize(
    ("is_rewritten", "first", "every"), [(False, 0, 7), (True, 3, 7), full(False, 0, 1), full(True, 0, 1)]
)
def test_a_lake_that_is_older_gets_its_derived_rows_wherever_the_rewrite_ends(
    lake_folder, landing, compactor, clock, is_rewritten, first, every
):
    (batch,) = traffic(parts=1)
    landing.put("spans", *batch)
    compactor.absorb()
    if is_rewritten:
        rewrite_due(compactor, now_s=OVER_S)
    made_older(lake_folder, landing_files=0)
    for allowed in count(first, every):
        taken: list[str] = []

        def step(name, taken=taken, allowed=allowed):
            taken.append(name)
            if len(taken) > allowed:
                raise Stopped(name)

        shutil.copytree(lake_folder.path, lake_folder.path.with_name("copy"))
        try:
            rewrite_due(another(lake_folder, clock, step=step), now_s=OVER_S)
        except Stopped:
            rewrite_due(another(lake_folder, clock), now_s=OVER_S)
        assert_sound(lake_folder, [batch])
        assert rewrite_due(another(lake_folder, clock), now_s=OVER_S) == 0
        shutil.rmtree(lake_folder.path)
        lake_folder.path.with_name("copy").rename(lake_folder.path)
        if len(taken) <= allowed:
            break
    assert allowed >= 3 + len(DERIVED)


# Counts outlive spans


def test_late_spans_of_an_hour_whose_spans_are_gone_take_no_counts_away(lake_folder, landing, compactor, clock):
    settings = LakeSettings(spans_days=1, rollups_days=90, errors_days=90)

    def put(number, day):
        events = [exception_event(f"no item {number}")]
        known = {"kind": "client", "peer_service": "bank", "events": events}
        landing.put("spans", span(number, ingested_s=day * 86_400, start_ns=number, **known))
        compactor.absorb()
        rewrite_due(compactor, now_s=clock.now_s)

    def there():
        minutes = table_of(lake_folder.path, ENDPOINT_MINUTES.name, "span_count").column("span_count").to_pylist()
        calls = table_of(lake_folder.path, SERVICE_EDGES.name, "call_count").column("call_count").to_pylist()
        exceptions = table_of(lake_folder.path, EXCEPTIONS.name, "id").num_rows
        return span_ids(lake_folder.path).total(), sum(minutes), sum(calls), exceptions

    clock.now_s += 7200
    put(1, day=0)
    put(2, day=0)
    for day in (10, 20):
        clock.now_s = START.timestamp() + day * 86_400
        keep(compactor, settings, now_s=clock.now_s)
        assert there()[0] == 0
        put(day, day=day)
        put(day + 1, day=day)
    assert there() == (2, 6, 6, 6)


@pytest.mark.parametrize("days", [1, 400])
def test_derived_tables_are_kept_for_the_days_of_their_setting(lake_folder, landing, compactor, days):
    landing.put("spans", span(kind="client", peer_service="bank"))
    compactor.absorb()
    now_s = START.timestamp() + 90 * 86_400
    keep(compactor, LakeSettings(rollups_days=days, spans_days=400), now_s=now_s)
    kept = 0 if days == 1 else 1
    assert [len(compactor.log(name).files()) for name in NEW] == [kept, kept, 1]


def test_the_last_derived_table_is_kept_as_long_as_spans_are():
    """Or an hour would seem to be older than it."""
    assert DERIVED[-1].retention == SPANS.retention
