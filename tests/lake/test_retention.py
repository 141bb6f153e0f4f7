"""What is too old goes, what a snapshot needs stays, and what is in no version goes in time."""

import datetime as dt
import os
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

import lake
from lake import trace_ranges
from lake.compaction import Compactor
from lake.errors import LeaseLost
from lake.landing import BLOCK, LandingWriter, Request, path_of
from lake.lease import LEASE_S, Lease
from lake.retention import LOW_DISK_KEEP_S, QUERY_S, SCRATCH_KEEP_S, Deleted, keep, keep_seconds, version_at
from lake.rewrite import Hour, rewrite
from lake.schema import TABLES
from lake.settings import LakeSettings
from lake.tables import CHECKPOINT_EVERY, Partition, log_file
from tests.lake.checks import DISK, SPAN_TABLES, Clock
from tests.lake.rows import Row, deploy, error, exception_event, request, span, table
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START

DAY_S = 86_400
SETTINGS = LakeSettings()
KEEP_S = SETTINGS.snapshot_keep_s + QUERY_S
NOW_S = START.timestamp()
HOUR = Partition(START.date(), START.hour)
STREAMS: dict[str, Callable[..., Row]] = {"spans": span, "errors": error, "deploys": deploy, "requests": request}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def compactor(lake_folder, clock):
    return Compactor(lake_folder, disk=DISK, clock=clock)


def set_times(folder, seconds, pattern="**/*"):
    """Give files and folders a time of last change."""
    for path in folder.glob(pattern):
        os.utime(path, (seconds, seconds))


def data_files(lake_folder, name="spans"):
    return {path.name for path in (lake_folder.path / name).glob("day=*/**/*.parquet")}


def live_files(compactor, name="spans"):
    return {file.path.rpartition("/")[2] for file in compactor.log(name).files()}


def count(lake_folder, name="spans"):
    with lake.open(lake_folder.path) as opened:
        return opened.sql(f"SELECT count(*) AS n FROM {name}").rows()[0]["n"]


def days_before(days):
    return START - dt.timedelta(days=days)


# What is too old


@pytest.mark.parametrize(
    ("stream", "time", "days"),
    [
        ("spans", "start_time", SETTINGS.spans_days),
        ("errors", "timestamp", SETTINGS.errors_days),
        ("deploys", "deployed_at", SETTINGS.deploys_days),
        ("requests", "timestamp", SETTINGS.requests_days),
    ],
)
def test_a_row_goes_when_its_time_and_its_ingest_are_older_than_the_days_of_its_table(
    landing, compactor, lake_folder, clock, stream, time, days
):
    make = STREAMS[stream]
    old, young = days_before(days + 1), days_before(days - 1)
    for when, ingested in ((old, old), (old, young), (young, old), (young, young)):
        landing.put(stream, make(**{time: when, "ingested_at": ingested}))
        compactor.absorb()
    alike = [t for t in TABLES.values() if t.landing == stream and t.retention == TABLES[stream].retention]
    assert keep(compactor, SETTINGS, now_s=NOW_S).expired_files == len(alike)
    assert count(lake_folder, stream) == 3
    assert keep(compactor, SETTINGS, now_s=NOW_S).expired_files == 0


def test_exceptions_are_kept_as_long_as_errors(landing, compactor, lake_folder):
    old = days_before(SETTINGS.spans_days + 1)
    landing.put("spans", span(1, start_time=old, ingested_at=old, events=[exception_event()]))
    compactor.absorb()
    keep(compactor, SETTINGS, now_s=NOW_S)
    assert (count(lake_folder, "spans"), count(lake_folder, "exceptions"), count(lake_folder, "errors")) == (0, 1, 1)
    keep(compactor, SETTINGS, now_s=NOW_S + (SETTINGS.errors_days - SETTINGS.spans_days) * DAY_S)
    assert count(lake_folder, "exceptions") == 0


def test_the_list_of_requests_is_kept_for_its_days(landing, compactor, lake_folder, clock):
    landing.put("spans", span())
    compactor.absorb()
    limit_s = clock.now_s + SETTINGS.batches_days * DAY_S
    assert keep(compactor, SETTINGS, now_s=limit_s - 1).expired_files == 0
    assert keep(compactor, SETTINGS, now_s=limit_s + 1).expired_files == 1
    assert count(lake_folder, "batches") == 0


def test_a_backfill_is_kept_as_long_as_what_happened_on_the_day_it_came(landing, compactor, lake_folder):
    landing.put("spans", span(1, start_time=days_before(300), ingested_at=START))
    compactor.absorb()
    keep(compactor, SETTINGS, now_s=NOW_S + (SETTINGS.spans_days - 1) * DAY_S)
    assert count(lake_folder) == 1
    keep(compactor, SETTINGS, now_s=NOW_S + (SETTINGS.spans_days + 1) * DAY_S)
    assert count(lake_folder) == 0


def test_a_file_goes_with_its_youngest_row(landing, compactor, lake_folder):
    for minutes in (0, 30):
        landing.put("spans", span(start_time=START + dt.timedelta(minutes=minutes), ingested_at=START))
    compactor.absorb()
    between_s = NOW_S + SETTINGS.spans_days * DAY_S + 900
    assert (
        keep(compactor, SETTINGS, now_s=between_s).expired_files == 2
    )  # the list of requests, and the summary, of which 0 minutes is the time
    assert count(lake_folder) == 2
    keep(compactor, SETTINGS, now_s=between_s + 1800)
    assert count(lake_folder) == 0


def test_days_are_a_setting(landing, compactor, lake_folder):
    landing.put("spans", span())
    compactor.absorb()
    keep(compactor, LakeSettings(spans_days=1), now_s=NOW_S + 2 * DAY_S)
    assert count(lake_folder) == 0


def test_what_is_dropped_leaves_the_disk_when_no_snapshot_needs_it(landing, compactor, lake_folder):
    old = days_before(100)
    landing.put("spans", span(start_time=old, ingested_at=old))
    compactor.absorb()
    set_times(lake_folder.path, NOW_S)
    assert keep(compactor, SETTINGS, now_s=NOW_S).data_files == 0
    dropped_s = log_file(lake_folder.path / "spans", compactor.log("spans").version).stat().st_mtime
    assert len(data_files(lake_folder)) == 1
    keep(compactor, SETTINGS, now_s=dropped_s + KEEP_S + 1)
    assert data_files(lake_folder) == set()


# What a snapshot needs


REPLACED = 6
"""Files of two compactions that the rewrite of an hour replaces, of spans, endpoint minutes and trace summaries."""


@pytest.fixture
def replaced(landing, compactor, lake_folder):
    """An hour of two files that were rewritten at `NOW_S`; the names of those."""
    for number in range(2):
        landing.put("spans", span(number))
        compactor.absorb()
    old = live_files(compactor)
    rewrite(compactor, Hour("spans", HOUR))
    set_times(lake_folder.path, NOW_S - DAY_S)
    for name in SPAN_TABLES:
        newest = log_file(lake_folder.path / name, compactor.log(name).version)
        os.utime(newest, (NOW_S, NOW_S))
    return old


FOREVER = LakeSettings(spans_days=9999, errors_days=9999, batches_days=9999)


@pytest.mark.parametrize(("age_s", "stays"), [(0, True), (KEEP_S - 1, True), (KEEP_S + 1, False), (DAY_S, False)])
def test_replaced_files_stay_until_no_snapshot_can_name_them(replaced, compactor, lake_folder, age_s, stays):
    done = keep(compactor, FOREVER, now_s=NOW_S + age_s)
    assert done.data_files == (0 if stays else REPLACED)
    assert data_files(lake_folder) == live_files(compactor) | (replaced if stays else set())
    assert count(lake_folder) == 2


def test_the_time_that_snapshots_are_kept_is_a_setting(replaced, compactor):
    settings = LakeSettings(snapshot_keep_s=10, spans_days=9999, errors_days=9999, batches_days=9999)
    assert keep(compactor, settings, now_s=NOW_S + 10 + QUERY_S - 1).data_files == 0
    assert keep(compactor, settings, now_s=NOW_S + 10 + QUERY_S + 1).data_files == REPLACED


def test_files_of_every_version_since_are_kept(landing, compactor, lake_folder):
    """Also those that came and went in between."""
    names = []
    for number in range(3):
        landing.put("spans", span(number))
        compactor.absorb()
        rewrite(compactor, Hour("spans", HOUR))
        names.append(live_files(compactor))
    set_times(lake_folder.path, NOW_S - DAY_S)
    log = compactor.log("spans")
    for version in range(3, log.version + 1):  # the second of three rewrites
        os.utime(log_file(log.folder, version), (NOW_S, NOW_S))
    keep(compactor, FOREVER, now_s=NOW_S + 1)
    assert data_files(lake_folder) >= names[0] | names[1] | names[2]


@pytest.mark.parametrize(("age_s", "stays"), [(KEEP_S - 1, True), (KEEP_S + 1, False)])
def test_files_of_a_killed_compaction_go_in_time(landing, compactor, lake_folder, age_s, stays):
    landing.put("spans", span())
    compactor.absorb()
    log = compactor.log("spans")
    stray = log.folder / log.write(HOUR, table(lake_folder, "spans", [span()])).path
    half = stray.with_name("part-x.parquet.tmp")
    half.write_bytes(b"half")
    set_times(lake_folder.path, NOW_S - DAY_S)
    for path in (stray, half):
        os.utime(path, (NOW_S, NOW_S))
    assert keep(compactor, FOREVER, now_s=NOW_S + age_s).data_files == (0 if stays else 2)
    assert (stray.exists(), half.exists()) == (stays, stays)
    assert count(lake_folder) == 1


def test_the_log_is_never_taken_for_data(landing, compactor, lake_folder):
    log = compactor.log("requests")
    while log.version < 50:
        log.commit()
    set_times(lake_folder.path, NOW_S - 2 * DAY_S)
    keep(compactor, FOREVER, now_s=NOW_S)
    assert list((lake_folder.path / "requests" / "_delta_log").glob("*.checkpoint.parquet"))


def test_snapshots_may_be_kept_longer_than_the_log_is(landing, compactor, lake_folder):
    """A version whose log is cleaned up has no snapshot any more, however long they shall be kept."""
    for number in range(2):
        landing.put("spans", span(number))
        compactor.absorb()
    rewrite(compactor, Hour("spans", HOUR))
    for name in SPAN_TABLES:
        log = compactor.log(name)
        while log.version < CHECKPOINT_EVERY + 2:
            log.commit()
        for version in range(CHECKPOINT_EVERY - 3):  # not quite up to the checkpoint
            log_file(log.folder, version).unlink()
    set_times(lake_folder.path, NOW_S - DAY_S)
    settings = replace(FOREVER, snapshot_keep_s=3 * DAY_S)
    done = keep(compactor, settings, now_s=NOW_S + 2 * DAY_S)
    assert (done.data_files, done.landing_files) == (0, 2)  # they are a day younger than that
    assert keep(compactor, settings, now_s=NOW_S + 3 * DAY_S).data_files == REPLACED
    assert data_files(lake_folder) == live_files(compactor)
    assert count(lake_folder) == 2


# Landing


def landed(lake_folder):
    return sorted(path.stem for path in (lake_folder.path / "landing").rglob("*.parquet"))


def test_landing_files_stay_until_every_table_has_them_long_enough(landing, compactor, lake_folder):
    landing.put("spans", span())
    compactor.absorb()
    set_times(lake_folder.path, NOW_S - DAY_S)
    last = log_file(lake_folder.path / "exceptions", compactor.log("exceptions").version)
    os.utime(last, (NOW_S, NOW_S))  # the others had it long before
    assert keep(compactor, FOREVER, now_s=NOW_S + KEEP_S - 1).landing_files == 0
    assert keep(compactor, FOREVER, now_s=NOW_S + KEEP_S + 1).landing_files == 1
    assert landed(lake_folder) == []


def test_landing_files_that_wait_are_never_deleted(landing, compactor, lake_folder):
    landing.put("spans", span(1))
    compactor.absorb()
    landing.put("spans", span(2))
    landing.put("deploys", deploy())
    landing.end()
    set_times(lake_folder.path, NOW_S - 100 * DAY_S)
    assert keep(compactor, FOREVER, now_s=NOW_S).landing_files == 1
    assert landed(lake_folder) == ["0000000001", "0000000002"]
    assert (count(lake_folder), count(lake_folder, "deploys")) == (2, 1)


def test_the_folder_of_a_writer_that_is_no_more_goes_after_its_files(landing, compactor, lake_folder):
    writer = landing.put("spans", span()).path.parents[1]
    compactor.absorb()
    landing.end()
    set_times(lake_folder.path, NOW_S - DAY_S)
    for _ in range(3):  # files, then the block, then the folder
        keep(compactor, FOREVER, now_s=NOW_S + KEEP_S)
        set_times(lake_folder.path / "landing", NOW_S - DAY_S)
    assert not writer.exists()
    landing.put("spans", span())
    compactor.absorb()
    assert count(lake_folder) == 2


def test_the_folder_of_a_living_writer_stays_and_so_does_its_sequence(landing, compactor, lake_folder):
    writer = landing.put("spans", span()).path.parents[1]
    compactor.absorb()
    for _ in range(3):
        set_times(lake_folder.path, NOW_S - DAY_S)
        keep(compactor, FOREVER, now_s=NOW_S + KEEP_S)
    assert writer.exists()
    assert landing.put("spans", span()).sequence == 2
    compactor.absorb()
    assert count(lake_folder) == 2


def test_a_folder_that_a_writer_has_just_made_stays(lake_folder, compactor):
    """Between making it and locking it nobody can tell that the writer lives."""
    block = path_of(lake_folder.path / "landing" / "spans" / "20261123T090000-new", 1).parent
    block.mkdir(parents=True)
    os.utime(block, (NOW_S, NOW_S))
    compactor.absorb()
    set_times(lake_folder.path, NOW_S - DAY_S, "*/_delta_log/*")
    keep(compactor, FOREVER, now_s=NOW_S + 1)
    assert block.exists()


def test_only_the_newest_block_of_a_living_writer_stays_empty(lake_folder, compactor, monkeypatch):
    monkeypatch.setattr("lake.landing.BLOCK", 2)
    writer = LandingWriter(lake_folder.path, "spans", now=START, disk=UnflushedDisk())
    rows = table(lake_folder, "spans", [span()])
    blocks = [writer.commit(rows, [Request(f"{i:064x}", 1)]).path.parent for i in range(4)]
    compactor.absorb()
    for _ in range(2):
        set_times(lake_folder.path, NOW_S - DAY_S)
        keep(compactor, FOREVER, now_s=NOW_S + KEEP_S)
    assert [block.exists() for block in dict.fromkeys(blocks)] == [False, False, True]
    assert BLOCK > 2
    writer.commit(rows, [Request("f" * 64, 1)])
    compactor.absorb()
    assert count(lake_folder) == 5
    writer.close()


def test_half_written_landing_files_of_the_dead_go_in_time(landing, compactor, lake_folder):
    half = landing.put("spans", span()).path.with_name("0000000002.parquet.tmp")
    half.write_bytes(b"half")
    compactor.absorb()
    landing.end()
    set_times(lake_folder.path, NOW_S - DAY_S)
    os.utime(half, (NOW_S, NOW_S))
    keep(compactor, FOREVER, now_s=NOW_S + KEEP_S - 1)
    assert half.exists()
    keep(compactor, FOREVER, now_s=NOW_S + KEEP_S + 1)
    assert not half.exists()


# Rewrites that were killed


@pytest.mark.parametrize(("age_s", "stays"), [(SCRATCH_KEEP_S - 1, True), (SCRATCH_KEEP_S + 1, False)])
def test_what_a_killed_rewrite_put_aside_goes_after_a_day(lake_folder, compactor, age_s, stays):
    left = lake_folder.path / trace_ranges.SCRATCH / "abc"
    left.mkdir(parents=True)
    (left / "0.arrow").write_bytes(b"rows")
    os.utime(left, (NOW_S, NOW_S))
    keep(compactor, SETTINGS, now_s=NOW_S + age_s)
    assert left.exists() is stays


# Disk and clock


@pytest.mark.parametrize(
    ("free_share", "snapshot_keep_s", "expected"),
    [
        (1.0, 3600, 3600 + QUERY_S),
        (0.11, 3600, 3600 + QUERY_S),
        (0.10, 3600, LOW_DISK_KEEP_S),
        (0.0, 3600, LOW_DISK_KEEP_S),
        (0.0, 1, LOW_DISK_KEEP_S),
    ],
)
def test_how_long_replaced_files_are_kept(free_share, snapshot_keep_s, expected):
    settings = LakeSettings(snapshot_keep_s=snapshot_keep_s)
    assert keep_seconds(settings, free_share=free_share) == min(expected, snapshot_keep_s + QUERY_S)


def test_a_disk_that_runs_low_is_freed_sooner(replaced, compactor, lake_folder, monkeypatch):
    usage = shutil.disk_usage(lake_folder.path)
    low = usage._replace(free=usage.total // 20)
    monkeypatch.setattr("lake.retention.shutil.disk_usage", lambda _: low)
    assert keep(compactor, FOREVER, now_s=NOW_S + LOW_DISK_KEEP_S - 1).data_files == 0
    assert keep(compactor, FOREVER, now_s=NOW_S + LOW_DISK_KEEP_S + 1).data_files == REPLACED
    assert count(lake_folder) == 2


@pytest.mark.parametrize("back_s", [3600, 3 * DAY_S])
def test_a_clock_that_is_set_back_deletes_nothing_early(replaced, compactor, lake_folder, clock, back_s):
    """What was replaced seems to come from the future, and goes when it would have anyway."""
    clock.now_s -= back_s
    done = keep(compactor, SETTINGS, now_s=NOW_S - back_s)
    assert (done.expired_files, done.data_files) == (0, 0)
    assert count(lake_folder) == 2
    assert data_files(lake_folder) == live_files(compactor) | replaced


def test_versions_from_before_the_clock_was_set_back_are_kept_all_the_longer(landing, compactor, lake_folder):
    for number in range(4):
        landing.put("spans", span(number))
        compactor.absorb()
    log = compactor.log("spans")
    set_times(lake_folder.path, NOW_S - DAY_S)
    for version in (1, 2):  # committed while the clock was three days ahead
        os.utime(log_file(log.folder, version), (NOW_S + 3 * DAY_S,) * 2)
    assert version_at(log, NOW_S) not in (1, 2)
    keep(compactor, FOREVER, now_s=NOW_S)
    assert data_files(lake_folder) == live_files(compactor)


def test_a_clock_that_is_set_forward_makes_everything_older_while_it_is_wrong(landing, compactor, lake_folder):
    """Nothing can tell it from three days without work; see the docstring of `lake.retention`."""
    young = days_before(SETTINGS.spans_days - 2)
    landing.put("spans", span(start_time=young, ingested_at=young))
    landing.put("spans", span(start_time=START, ingested_at=START))
    compactor.absorb()
    keep(compactor, SETTINGS, now_s=NOW_S + 3 * DAY_S)
    assert count(lake_folder) == 1
    keep(compactor, SETTINGS, now_s=NOW_S)
    assert count(lake_folder) == 1


@pytest.mark.parametrize(("then_s", "version"), [(0, None), (9, None), (10, 0), (19, 0), (20, 1), (35, 2), (40, 3), (99, 3)])
def test_the_version_of_a_time(compactor, then_s, version):
    log = compactor.log("deploys")
    while log.version < 3:
        log.commit()
    for number in range(4):
        os.utime(log_file(log.folder, number), (10 * (number + 1),) * 2)
    assert version_at(log, then_s) == version


# Others


def test_retention_needs_the_lease(compactor, lake_folder, clock):
    clock.now_s += LEASE_S + 1
    Lease(lake_folder.path).hold(now_s=clock.now_s)
    with pytest.raises(LeaseLost):
        keep(compactor, SETTINGS, now_s=clock.now_s)


def test_an_empty_lake_has_nothing_to_delete(compactor):
    assert keep(compactor, SETTINGS, now_s=NOW_S + 100 * DAY_S) == Deleted()
