"""Many small files become few while more come, and no row changes, whatever happens meanwhile."""

import datetime as dt
import shutil
from collections import Counter
from itertools import pairwise

import pytest

import lake
from lake import batches, merge, trace_ranges
from lake.compaction import Compactor
from lake.errors import CommitConflict, LakeCorrupt, LeaseLost
from lake.folder import LakeFolder
from lake.lease import LEASE_S, Lease
from lake.merge import FEWEST_FILES, SMALL_BYTES, SMALL_ROWS, merge_due, small_files
from lake.promotion import promote
from lake.rewrite import rewrite_due
from lake.schema import TABLES
from lake.tables import LiveFile, Partition
from tests.lake.checks import DISK, SPAN_TABLES, Clock, Stopped, StoppingDisk, assert_derived, said, table_of
from tests.lake.hours import PARTITION, another, at_step, contents, files_of, raised_span, rows_in
from tests.lake.rows import deploy, error, request, span
from tests.lake.spans import START

EARLIER = Partition(START.date(), START.hour - 1)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def compactor(lake_folder, clock):
    return Compactor(lake_folder, disk=DISK, clock=clock)


@pytest.fixture
def fill(landing, compactor):
    """Leaves a number of small files of spans in the hour, each with the same two spans and one of its own."""

    def fill(files=FEWEST_FILES):
        for number in range(files):
            same = [raised_span(i, span_id=f"{i:016x}", name=f"same {i}") for i in range(2)]
            landing.put("spans", *same, raised_span(100 + number, f"m{number}", name=f"own {number}"))
            compactor.absorb()

    return fill


# Which


def file(number=0, *, prefix="part-", rows=100, size=1000, partition=PARTITION, written_s=0.0):
    return LiveFile(f"{partition.folder}/{prefix}{number:04}.parquet", partition, size, rows, written_s)


MANY = [file(n) for n in range(FEWEST_FILES)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], 0),
        (MANY[:-1], 0),
        (MANY, FEWEST_FILES),
        ([*MANY, file(99)], FEWEST_FILES),  # the next merge takes the rest, so memory is bounded
        ([*MANY[:-1], file(99, rows=10**6)], FEWEST_FILES),  # what compaction made is merged once, however many rows
        ([*MANY[:-1], file(99, prefix="merged-", rows=SMALL_ROWS - 1)], FEWEST_FILES),
        ([*MANY[:-1], file(99, prefix="merged-", rows=SMALL_ROWS)], 0),
        ([*MANY[:-1], file(99, prefix="hour-")], 0),
        ([*MANY[:-1], file(99, size=SMALL_BYTES - 1)], FEWEST_FILES),
        ([*MANY[:-1], file(99, size=SMALL_BYTES)], 0),
        ([*MANY[:-1], file(99, partition=EARLIER)], 0),  # each partition for itself
    ],
)
def test_which_files_are_merged(files, expected):
    assert {partition: len(found) for partition, found in small_files(files).items()} == (
        {PARTITION: expected} if expected else {}
    )


def test_the_oldest_files_are_merged_first():
    files = [file(n, written_s=-n) for n in range(2 * FEWEST_FILES)]
    assert small_files(files)[PARTITION] == files[::-1][:FEWEST_FILES]


# What


def test_a_merge_changes_no_row(fill, compactor, lake_folder):
    fill()
    before = contents(lake_folder)
    assert merge_due(compactor) == (len(SPAN_TABLES) - 1) * FEWEST_FILES  # nobody calls anybody there
    assert contents(lake_folder) == before
    assert_derived(lake_folder.path)
    assert before[0].total() == 3 * FEWEST_FILES
    for name in ("spans", "exceptions"):
        assert [file.is_merged for file in files_of(compactor, name)] == [True]
    assert merge_due(compactor) == 0


def test_every_table_is_merged(landing, compactor, lake_folder):
    for _ in range(FEWEST_FILES):
        landing.put("spans", raised_span(kind="server"))
        landing.put("errors", error())
        landing.put("deploys", deploy())
        landing.put("requests", request())
        compactor.absorb()
    before = {name: said(lake_folder.path, name) for name in TABLES}
    assert merge_due(compactor) == len(TABLES) * FEWEST_FILES
    for name in TABLES:
        assert [file.is_merged for file in compactor.log(name).files()] == [True]
        assert said(lake_folder.path, name) == before[name]


def test_a_merged_file_is_sorted_as_its_table_is(fill, compactor):
    fill()
    merge_due(compactor)
    for name in ("spans", "exceptions"):
        keys = rows_in(compactor, files_of(compactor, name)[0], name).select(list(TABLES[name].sort)).to_pylist()
        order = [tuple(key.values()) for key in keys]
        assert order == sorted(order)


def test_traces_of_many_rows_go_to_files_that_do_not_overlap(landing, compactor, lake_folder, monkeypatch):
    monkeypatch.setattr(trace_ranges, "RANGE_ROWS", 40)
    monkeypatch.setattr(trace_ranges, "_SAMPLE_EVERY", 5)
    for number in range(FEWEST_FILES):
        landing.put("spans", *(span((number * 7 + i) % 60) for i in range(10)))
        compactor.absorb()
    before = contents(lake_folder)
    merge_due(compactor)
    assert contents(lake_folder) == before
    ranges = sorted(
        (ids[0], ids[-1])
        for file in files_of(compactor)
        for ids in [rows_in(compactor, file).column("trace_id").to_pylist()]
    )
    assert len(ranges) >= 3
    assert all(left[1] < right[0] for left, right in pairwise(ranges))
    assert list((lake_folder.path / trace_ranges.SCRATCH).iterdir()) == []


def test_files_stay_few_however_many_come(fill, compactor, lake_folder):
    counts = []
    for _ in range(5 * FEWEST_FILES):
        fill(1)
        merge_due(compactor)
        counts.append(len(files_of(compactor)))
    assert max(counts) < FEWEST_FILES
    assert contents(lake_folder)[0].total() == 3 * 5 * FEWEST_FILES


def test_a_table_that_nothing_came_for_is_not_made(fill, compactor, lake_folder):
    fill()
    merge_due(compactor)
    assert not (lake_folder.path / "deploys").exists()


def test_files_from_before_and_after_a_promotion_are_merged_together(landing, compactor, lake_folder):
    landing.put("spans", span(1, attributes=[("tenant", "a")], attribute_types="s"))
    compactor.absorb()
    promote(lake_folder, "tenant")
    for _ in range(FEWEST_FILES - 1):
        landing.put("spans", span(2, tenant="b", attribute_types="+"))
        compactor.absorb()
    merge_due(compactor)
    assert [file.is_merged for file in files_of(compactor)] == [True]
    with lake.open(lake_folder.path) as opened:
        query = "SELECT tenant, count(*) AS n FROM spans GROUP BY ALL ORDER BY ALL"
        assert opened.sql(query).rows() == [{"tenant": "a", "n": 1}, {"tenant": "b", "n": FEWEST_FILES - 1}]


def test_a_merged_hour_is_rewritten_when_it_is_over(fill, compactor, lake_folder):
    fill()
    merge_due(compactor)
    rewrite_due(compactor, now_s=START.timestamp() + 2 * 3600)
    spans, exceptions = contents(lake_folder)
    assert set(spans.values()) == set(exceptions.values()) == {1}
    assert len(spans) == len(exceptions) == FEWEST_FILES + 2


def test_late_spans_are_merged_before_they_bring_about_a_rewrite(fill, landing, compactor, lake_folder):
    over_s = START.timestamp() + 2 * 3600
    landing.put("spans", *(span(n) for n in range(2000)))
    rewrite_due(compactor, now_s=over_s)
    fill()
    merge_due(compactor)
    rewrite_due(compactor, now_s=over_s)
    assert sorted(file.is_rewritten for file in files_of(compactor)) == [False, True]


# Repeats


def test_a_repeat_of_a_request_from_before_a_merge_is_one_after_it(commit, make_spans, compactor, lake_folder, monkeypatch):
    hashes = [f"{n:064x}" for n in range(FEWEST_FILES)]
    for hash_ in hashes:
        commit(make_spans(2), request=hash_)
        compactor.absorb()
    merge_due(compactor)
    monkeypatch.setattr(batches, "_recent", lambda *_: pytest.fail("the table was read again, though no request is new"))
    commit(make_spans(2), request="f" * 64)
    compactor.absorb()
    monkeypatch.undo()
    commit(make_spans(2), request=hashes[3])
    assert compactor.absorb().duplicate_requests == 1
    assert table_of(lake_folder.path, "spans", "span_id").num_rows == 2 * (FEWEST_FILES + 1)


def test_after_a_merge_by_another_process_the_table_is_read_again(commit, make_spans, compactor, lake_folder, clock):
    for number in range(FEWEST_FILES):
        commit(make_spans(2), request=f"{number:064x}")
        compactor.absorb()
    other = another(lake_folder, clock)
    commit(make_spans(2), request="f" * 64)
    other.absorb()
    merge_due(other)
    clock.now_s += LEASE_S + 1
    commit(make_spans(2), request="f" * 64)
    assert compactor.absorb().duplicate_requests == 1


# Snapshots


def test_a_row_is_in_every_snapshot_once_while_its_files_are_merged(fill, lake_folder, clock):
    fill()
    seen: list[tuple[str, Counter[str], str]] = []
    with lake.open(lake_folder.path) as opened:

        def look(step):
            names = Counter(row["name"] for row in opened.sql("SELECT name FROM spans").rows())
            seen.append((step, names, opened.snapshot().token))

        merge_due(another(lake_folder, clock, step=look))
        assert [step for step, _, _ in seen if "spans" in step] == [
            "merge a part of spans", "commit the merge of spans", "merged spans",
        ]  # fmt: skip
        for _, names, token in seen:
            assert names == seen[0][1]
            again = opened.at(token).sql("SELECT name FROM spans").rows()
            assert Counter(row["name"] for row in again) == names


# Crashes and others at the same time


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.full)])
def test_a_merge_that_is_killed_before_an_operation_on_the_disk_changes_no_row(fill, lake_folder, clock, tmp_path, every):
    fill()
    before = contents(lake_folder)
    for operations in range(0, 10_000, every):
        copy = LakeFolder(tmp_path / f"copy-{operations}", lake_folder.promoted)
        shutil.copytree(lake_folder.path, copy.path)
        try:
            merge_due(another(copy, clock, disk=StoppingDisk(operations)))
            break
        except Stopped:
            assert contents(copy) == before
            merge_due(another(copy, clock))
            assert contents(copy) == before
            shutil.rmtree(copy.path)
    assert operations > 10


STEPS = ["merge a part of spans", "commit the merge of spans"]


@pytest.mark.parametrize("step", STEPS)
def test_a_merge_that_meets_an_append_changes_nothing(landing, fill, lake_folder, clock, step):
    fill()
    before = contents(lake_folder)[0]

    def append(other):
        landing.put("spans", span(99, name="appended"))
        other.absorb()

    with pytest.raises(CommitConflict):
        merge_due(at_step(lake_folder, clock, step, append))
    after = contents(lake_folder)[0]
    assert [key[-1] for key in after - before] == ["appended"]
    merge_due(another(lake_folder, clock))
    assert contents(lake_folder)[0] == after


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("work", [merge_due, lambda other: rewrite_due(other, now_s=START.timestamp() + 2 * 3600)])
def test_of_two_that_replace_the_same_files_one_wins(fill, lake_folder, clock, step, work):
    fill()
    names = contents(lake_folder)[0].keys()
    with pytest.raises(CommitConflict):
        merge_due(at_step(lake_folder, clock, step, work))
    again = contents(lake_folder)[0]
    assert again.keys() == names
    assert again.total() in (len(names), 3 * FEWEST_FILES)  # rewritten, or merged once


def test_a_partition_that_another_process_rewrote_since_it_was_planned_is_not_doubled(landing, fill, lake_folder, clock):
    """A compactor plans two partitions, sleeps past its lease in the first one, and goes on when nobody holds it."""
    compactor = another(lake_folder, clock)
    for number in range(FEWEST_FILES):
        landing.put("spans", span(200 + number, start_time=START - dt.timedelta(hours=1)))
        compactor.absorb()
    compactor.lease.release()
    fill()
    before = contents(lake_folder)[0]

    def rewrite_all(other):
        rewrite_due(other, now_s=START.timestamp() + 2 * 3600)
        other.lease.release()

    with pytest.raises(CommitConflict):
        merge_due(at_step(lake_folder, clock, "merged spans", rewrite_all))
    after = contents(lake_folder)[0]
    assert after.keys() == before.keys()
    assert set(after.values()) == {1}


def test_a_merge_needs_the_lease(fill, lake_folder, compactor, clock):
    fill()
    clock.now_s += LEASE_S + 1
    Lease(lake_folder.path).hold(now_s=clock.now_s)
    with pytest.raises(LeaseLost):
        merge_due(compactor)
    assert not any(file.is_merged for file in files_of(compactor))


# Damage


def test_a_damaged_file_does_not_stop_the_merge_of_other_partitions(landing, fill, lake_folder, compactor):
    for number in range(FEWEST_FILES):
        landing.put("spans", span(200 + number, start_time=START - dt.timedelta(hours=1)))
        compactor.absorb()
    fill()
    (compactor.log("spans").folder / files_of(compactor, partition=EARLIER)[0].path).unlink()
    with pytest.raises(LakeCorrupt, match="tracelake doctor"):
        merge_due(compactor)
    assert {file.is_merged for file in files_of(compactor, partition=EARLIER)} == {False}
    assert {file.is_merged for file in files_of(compactor)} == {True}


def test_the_bounds_of_a_merge_fit_together():
    """A merge makes files that are small again, or as large as a part; both are few."""
    assert SMALL_ROWS * 2 <= trace_ranges.RANGE_ROWS
    assert merge.FEWEST_FILES > 1
