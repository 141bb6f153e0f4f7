"""Landing files become tables: each request once, in its hour, whatever happens to the compactor."""

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pytest

from lake import compaction, partitioning, tables
from lake.batches import REPEAT_WINDOW_S
from lake.compaction import Absorbed, Compactor, bounded, contiguous
from lake.errors import CommitConflict, LakeCorrupt, LeaseLost
from lake.folder import add_promotion
from lake.landing import LandingFile, LandingWriter, Request
from lake.lease import LEASE_S, Lease
from lake.schema import TABLES, Promoted
from lake.tables import DeltaLog, log_file
from tests.lake.checks import (
    DISK,
    SPAN_TABLES,
    STEPS,
    Clock,
    Stopped,
    assert_exactly_once,
    check_a_gap_waits,
    check_a_stop_at,
    check_a_stop_before_any_operation,
    check_fencing,
    check_landing_is_kept,
    land,
    span_ids,
    table_of,
)
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START, otlp_body, rows_of

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def compactor(lake_folder):
    return Compactor(lake_folder, disk=DISK)


@pytest.fixture
def bodies():
    """Three requests, every span of which has an exception."""
    return [otlp_body(4, traces=2, exceptions=True) for _ in range(3)]


def partitions(lake, name):
    """Day and hour of a table's files."""
    files = DeltaLog(lake.path, TABLES[name]).files()
    return {(file.partition.day.isoformat(), file.partition.hour) for file in files}


def watermarks(lake, writer):
    return [DeltaLog(lake.path, TABLES[name]).watermark(writer.writer) for name in SPAN_TABLES]


# Each request once


def test_every_request_is_in_the_tables_once(lake_folder, writer, compactor, bodies):
    for body in bodies:
        land(writer, body)
    assert compactor.absorb() == Absorbed(files=3, rows=12)
    assert compactor.absorb() == Absorbed()
    assert_exactly_once(lake_folder.path, bodies)
    assert watermarks(lake_folder, writer) == [3] * len(SPAN_TABLES)


def test_a_retry_in_the_same_landing_file_is_counted_once(lake_folder, writer, compactor, bodies):
    land(writer, bodies[0], bodies[1], bodies[0])
    assert compactor.absorb() == Absorbed(files=1, rows=8, duplicate_requests=1)
    assert_exactly_once(lake_folder.path, bodies[:2])


def test_a_retry_within_a_round_is_counted_once(lake_folder, writer, compactor, bodies):
    land(writer, bodies[0])
    land(writer, bodies[1], bodies[0])
    assert compactor.absorb().duplicate_requests == 1
    assert_exactly_once(lake_folder.path, bodies[:2])


def test_a_retry_in_a_later_round_is_counted_once(lake_folder, writer, compactor, bodies):
    land(writer, bodies[0])
    compactor.absorb()
    land(writer, bodies[0])
    land(writer, bodies[1])
    assert compactor.absorb() == Absorbed(files=2, rows=4, duplicate_requests=1)
    assert_exactly_once(lake_folder.path, bodies[:2])


def test_a_retry_after_a_restart_of_the_compactor_is_counted_once(lake_folder, writer, compactor, bodies):
    land(writer, bodies[0])
    compactor.absorb()
    compactor.lease.release()
    land(writer, bodies[0])
    assert Compactor(lake_folder, disk=DISK).absorb().duplicate_requests == 1
    assert_exactly_once(lake_folder.path, bodies[:1])


def test_a_retry_through_another_process_is_counted_once(lake_folder, writer, compactor, bodies):
    other = LandingWriter(lake_folder.path, "spans", now=START, disk=DISK)
    land(writer, bodies[0])
    land(other, bodies[0], bodies[1])
    other.close()
    compactor.absorb()
    assert_exactly_once(lake_folder.path, bodies[:2])


@pytest.mark.parametrize(("later_s", "times"), [(REPEAT_WINDOW_S - 60, 1), (REPEAT_WINDOW_S + 3601, 2)])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_request_counts_again_once_the_window_has_passed(lake_folder, writer, bodies, later_s, times, restarted):
    clock = Clock()
    compactor = Compactor(lake_folder, disk=DISK, clock=clock)
    land(writer, bodies[0])
    compactor.absorb()
    clock.now_s += later_s
    land(writer, bodies[0])
    (Compactor(lake_folder, disk=DISK, clock=clock) if restarted else compactor).absorb()
    assert set(span_ids(lake_folder.path).values()) == {times}


def test_a_clock_set_back_forgets_no_request(lake_folder, writer, bodies):
    clock = Clock()
    compactor = Compactor(lake_folder, disk=DISK, clock=clock)
    land(writer, bodies[0])
    compactor.absorb()
    clock.now_s -= 3 * 3600
    land(writer, bodies[0])
    compactor.absorb()
    assert_exactly_once(lake_folder.path, bodies[:1])


def test_a_request_of_which_no_span_was_sound_is_counted_too(lake_folder, writer, compactor, bodies):
    nothing = otlp_body(1, start=dt.datetime(2262, 4, 12, tzinfo=dt.UTC))  # later than OTLP can say
    land(writer, nothing, bodies[0], nothing)
    assert compactor.absorb() == Absorbed(files=1, rows=4, duplicate_requests=1)
    rows = table_of(lake_folder.path, "batches", "row_count", "duplicate").to_pylist()
    assert sorted((row["row_count"], row["duplicate"]) for row in rows) == [(0, False), (0, True), (4, False)]


def test_requests_of_other_streams_are_not_dropped_as_repeats(lake_folder, compactor):
    writer = LandingWriter(lake_folder.path, "deploys", now=START, disk=DISK)
    schema = TABLES["deploys"].arrow_schema
    deploy = pa.Table.from_pylist([{"id": "deploy_1", "deployed_at": START, "ingested_at": START}], schema=schema)
    for _ in range(2):
        writer.commit(deploy, [Request("0" * 64, 1)])
    writer.close()
    assert compactor.absorb() == Absorbed(files=2, rows=2)


# Hours


def test_late_spans_go_to_the_hour_they_started_in(lake_folder, writer, compactor):
    land(writer, otlp_body(3))
    compactor.absorb()
    land(writer, otlp_body(2, start=START - 5 * HOUR, exceptions=True))
    compactor.absorb()
    assert partitions(lake_folder, "spans") == {("2026-11-23", 9), ("2026-11-23", 4)}
    assert partitions(lake_folder, "exceptions") == {("2026-11-23", 4)}


@pytest.mark.parametrize(
    ("start", "partition"),
    [
        (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), ("1970-01-01", 0)),
        (dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC), ("2026-11-24", 9)),
        (dt.datetime(2200, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC), ("2200-12-31", 23)),
        (dt.datetime(2262, 4, 11, 23, 47, 16, 849000, tzinfo=dt.UTC), ("2262-04-11", 23)),
    ],
)
def test_any_time_that_otlp_can_say_is_stored(lake_folder, writer, compactor, start, partition):
    body = otlp_body(1, start=start)
    land(writer, body)
    compactor.absorb()
    assert partitions(lake_folder, "spans") == {partition}
    assert table_of(lake_folder.path, "spans", "start_time").column("start_time").to_pylist() == [start]


def test_a_request_that_spans_over_a_thousand_hours_goes_to_one_partition(lake_folder, writer, compactor):
    wide = otlp_body(1001, start=START - 1001 * HOUR, step=HOUR)
    land(writer, otlp_body(2), wide, otlp_body(3))
    assert compactor.absorb().rows == 1006
    assert partitions(lake_folder, "spans") == {("1970-01-01", -1), ("2026-11-23", 9)}
    rows = {file.partition.hour: file.row_count for file in DeltaLog(lake_folder.path, TABLES["spans"]).files()}
    assert rows == {-1: 1001, 9: 5}


def test_requests_that_each_span_fewer_hours_keep_their_hours(lake_folder, writer, compactor, monkeypatch):
    monkeypatch.setattr(partitioning, "OVERFLOW_HOURS", 10)
    land(writer, otlp_body(8, start=START - 20 * HOUR, step=HOUR), otlp_body(8, start=START, step=HOUR))
    compactor.absorb()
    assert len(partitions(lake_folder, "spans")) == 16
    assert ("1970-01-01", -1) not in partitions(lake_folder, "spans")


def test_exceptions_lie_in_the_partition_of_their_spans(lake_folder, writer, compactor):
    # the rewrite of an hour makes its exceptions again from its spans: one that lay elsewhere would be lost or doubled
    starts = [START - i * HOUR for i in range(1001)]
    land(writer, otlp_body(1001, start=starts, exceptions=True), otlp_body(1, start=START - 3 * HOUR, exceptions=True))
    compactor.absorb()
    for name in ("spans", "exceptions"):
        rows = {file.partition.hour: file.row_count for file in DeltaLog(lake_folder.path, TABLES[name]).files()}
        assert rows == {-1: 1001, 6: 1}, name


# Order and bounds


def test_what_lies_behind_a_gap_waits(lake_folder, writer, bodies):
    check_a_gap_waits(lake_folder, writer, bodies)


def test_a_gap_holds_up_only_its_own_writer(tmp_path):
    files = [LandingFile(w, n, tmp_path) for w, n in (("a", 4), ("a", 5), ("a", 7), ("b", 2), ("c", 1))]
    run = contiguous(files, lambda writer: 3 if writer == "a" else 0)
    assert [(file.writer, file.sequence) for file in run] == [("a", 4), ("a", 5), ("c", 1)]


def test_a_round_takes_files_up_to_its_bound_and_at_least_one(tmp_path):
    files = [LandingFile("a", n, tmp_path) for n in range(1, 5)]
    assert bounded(files, lambda _: 40, 100) == files[:2]
    assert bounded(files, lambda _: 1000, 100) == files[:1]


OWN_STEPS, DERIVED_STEPS = STEPS[:6], STEPS[6:]
"""Steps of `batches` and `spans`, which every round takes, and those of the derived tables, of several rounds together."""


@pytest.fixture
def backlog(writer, bodies, monkeypatch):
    """Three landing files, each of which is a round; what derives from two of them is enough for a commit."""
    monkeypatch.setattr(compaction, "ROUND_MAX_ROWS", 5)
    monkeypatch.setattr(compaction, "DERIVED_MAX_ROWS", 8)
    for body in bodies:
        land(writer, body)


@pytest.mark.usefixtures("backlog")
def test_a_backlog_is_absorbed_in_bounded_rounds(lake_folder, bodies):
    steps: list[str] = []
    assert Compactor(lake_folder, disk=DISK, step=steps.append).absorb() == Absorbed(files=3, rows=12)
    assert steps == [*OWN_STEPS, *OWN_STEPS, *DERIVED_STEPS, *OWN_STEPS, *DERIVED_STEPS]
    assert_exactly_once(lake_folder.path, bodies)


@pytest.mark.usefixtures("backlog")
@pytest.mark.parametrize("taken", [6, 10, 12, 17, 24, 27, 30])
def test_a_crash_in_any_round_of_a_backlog_loses_and_doubles_nothing(lake_folder, bodies, taken):
    left = iter(range(taken))

    def stop(name):
        if next(left, None) is None:
            raise Stopped(name)

    clock = Clock()
    with pytest.raises(Stopped):
        Compactor(lake_folder, disk=DISK, clock=clock, step=stop).absorb()
    clock.now_s += LEASE_S + 1
    Compactor(lake_folder, disk=DISK, clock=clock).absorb()
    assert_exactly_once(lake_folder.path, bodies)


@pytest.mark.usefixtures("backlog")
def test_rows_that_were_derived_before_another_process_did_so_are_not_committed(lake_folder, bodies):
    clock = Clock()
    slept: list[str] = []

    def sleep(name):
        if name == "committed spans" and not slept:
            slept.append(name)
            clock.now_s += LEASE_S + 1
            other = Compactor(lake_folder, disk=DISK, clock=clock)
            other.absorb()
            other.lease.release()

    compactor = Compactor(lake_folder, disk=DISK, clock=clock, step=sleep)
    with pytest.raises(CommitConflict):
        compactor.absorb()
    assert_exactly_once(lake_folder.path, bodies)
    assert compactor.absorb() == Absorbed()


def test_what_comes_while_a_compaction_runs_is_for_the_next_one(lake_folder, writer, bodies):
    """Or under load it would never end, and leave a small file after each request."""
    land(writer, bodies[0])

    def send(step):
        if step == "committed spans":
            land(writer, bodies[1])

    compactor = Compactor(lake_folder, disk=DISK, step=send)
    assert compactor.absorb().files == 1
    assert len(compactor.waiting()) == 1


def test_a_landing_file_larger_than_a_round_becomes_files_of_a_rounds_size(lake_folder, writer, monkeypatch):
    monkeypatch.setattr(compaction, "ROUND_MAX_ROWS", 10)
    body = otlp_body(36, traces=9)
    land(writer, body)
    Compactor(lake_folder, disk=DISK).absorb()
    actions = DeltaLog(lake_folder.path, TABLES["spans"]).actions()
    assert sorted(actions.column("num_records").to_pylist()) == [4, 8, 8, 8, 8]
    bounds = sorted(zip(*(actions.column(f"{m}.trace_id").to_pylist() for m in ("min", "max")), strict=True))
    assert all(one[1] < following[0] for one, following in pairwise(bounds))
    assert_exactly_once(lake_folder.path, [body])


def test_a_damaged_landing_file_holds_up_only_its_own_writer(lake_folder, writer, compactor, bodies):
    other = LandingWriter(lake_folder.path, "spans", now=START, disk=DISK)
    land(other, bodies[0])
    damaged = writer.commit(*rows_of([bodies[1]])).path
    land(writer, bodies[2])
    content = damaged.read_bytes()
    damaged.write_bytes(content[:200] + bytes(8) + content[208:])
    with pytest.raises(LakeCorrupt, match=damaged.name):
        compactor.absorb()
    assert_exactly_once(lake_folder.path, bodies[:1])
    damaged.write_bytes(content)
    compactor.absorb()
    assert_exactly_once(lake_folder.path, bodies)
    other.close()


def test_landing_files_stay_for_the_snapshots_that_name_them(lake_folder, writer, bodies):
    check_landing_is_kept(lake_folder, writer, bodies)


def test_the_files_of_a_dead_writer_are_absorbed(lake_folder, bodies):
    program = """
        import os, sys
        from pathlib import Path
        from lake.landing import LandingWriter
        from tests.lake.checks import land
        from tests.lake.spans import START
        writer = LandingWriter(Path(sys.argv[1]), "spans", now=START)
        for body in sys.argv[2:]:
            land(writer, bytes.fromhex(body))
        os._exit(9)
    """
    assert run(program, lake_folder.path, *(body.hex() for body in bodies)).returncode == 9
    Compactor(lake_folder, disk=DISK).absorb()
    assert_exactly_once(lake_folder.path, bodies)


def test_a_dead_writers_watermark_goes_after_its_last_file(lake_folder, writer, bodies, monkeypatch):
    monkeypatch.setattr(tables, "CHECKPOINT_EVERY", 1)
    compactor = Compactor(lake_folder, disk=DISK)
    dead = LandingWriter(lake_folder.path, "spans", now=START, disk=DISK)
    folder = dead.commit(*rows_of([bodies[0]])).path.parent.parent
    dead.close()
    land(writer, bodies[1])
    compactor.absorb()
    assert watermarks(lake_folder, dead) == [1] * len(SPAN_TABLES)
    shutil.rmtree(folder)
    land(writer, bodies[2])
    compactor.absorb()
    assert watermarks(lake_folder, dead) == [0] * len(SPAN_TABLES)
    assert watermarks(lake_folder, writer) == [2] * len(SPAN_TABLES)
    assert_exactly_once(lake_folder.path, bodies)


def test_a_power_loss_brings_back_no_file_of_a_forgotten_writer(lake_folder, writer, bodies, monkeypatch):
    monkeypatch.setattr(tables, "CHECKPOINT_EVERY", 1)
    land(writer, bodies[0])
    disk = RecordingDisk()
    compactor = Compactor(lake_folder, disk=disk)
    compactor.absorb()
    (stream := lake_folder.path / "landing/spans").joinpath(writer.writer).rename(lake_folder.path / "away")
    other = LandingWriter(lake_folder.path, "spans", now=START, disk=DISK)
    land(other, bodies[1])
    disk.steps.clear()
    compactor.absorb()
    assert disk.steps.index(stream) < disk.steps.index(log_file(lake_folder.path / "batches", 2))
    other.close()


# Crashes


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_between_two_steps_loses_and_doubles_nothing(step, lake_folder, writer, bodies):
    check_a_stop_at(step, lake_folder, writer, bodies)


@pytest.mark.parametrize("step", ["committed batches", "commit spans"])
def test_the_kill_of_the_process_between_two_steps_loses_and_doubles_nothing(step, lake_folder, writer, bodies):
    program = """
        import os, sys
        from pathlib import Path
        from lake.compaction import Compactor
        from lake.folder import open_folder
        Compactor(open_folder(Path(sys.argv[1])), step=lambda name: name == sys.argv[2] and os._exit(9)).absorb()
    """
    land(writer, bodies[0], bodies[1])
    assert run(program, lake_folder.path, step).returncode == 9
    land(writer, bodies[1], bodies[2])
    clock = Clock()
    clock.now_s = dt.datetime.now(dt.UTC).timestamp() + LEASE_S + 1
    Compactor(lake_folder, disk=DISK, clock=clock).absorb()
    assert_exactly_once(lake_folder.path, bodies)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.full)])
def test_a_crash_before_any_file_operation_loses_and_doubles_nothing(lake_folder, writer, bodies, every):
    assert check_a_stop_before_any_operation(lake_folder, writer, bodies, every=every) > 30


# Two compactors


def test_a_second_compactor_is_kept_out_by_the_lease(lake_folder, writer, compactor, bodies):
    land(writer, *bodies)
    compactor.absorb()
    with pytest.raises(LeaseLost):
        Compactor(lake_folder, disk=DISK).absorb()


def test_a_compactor_that_wakes_up_past_its_lease_finds_its_commit_refused(lake_folder, writer, bodies):
    check_fencing(lake_folder, writer, bodies)


@pytest.mark.parametrize("step", ["commit batches", "commit spans"])
def test_a_process_that_is_stopped_past_its_lease_changes_nothing_when_it_goes_on(step, lake_folder, writer, bodies):
    program = """
        import os, signal, sys
        from pathlib import Path
        from lake.compaction import Compactor
        from lake.errors import CommitConflict
        from lake.folder import open_folder

        def stop(name):
            if name == sys.argv[2]:
                os.kill(os.getpid(), signal.SIGSTOP)

        try:
            Compactor(open_folder(Path(sys.argv[1])), step=stop).absorb()
        except CommitConflict:
            sys.exit(7)
    """
    land(writer, *bodies)
    process = start(program, lake_folder.path, step)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    clock = Clock()
    clock.now_s = dt.datetime.now(dt.UTC).timestamp() + LEASE_S + 1
    Compactor(lake_folder, disk=DISK, clock=clock).absorb()
    assert_exactly_once(lake_folder.path, bodies)
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=60) == 7
    assert_exactly_once(lake_folder.path, bodies)


def test_a_compactor_that_lost_a_race_goes_on_from_what_the_winner_left(lake_folder, writer, bodies):
    clock = Clock()
    lease = Lease(lake_folder.path)
    land(writer, bodies[0])
    loser = Compactor(lake_folder, disk=DISK, clock=clock, lease=lease)
    loser.absorb()
    land(writer, bodies[1])
    Compactor(lake_folder, disk=DISK, clock=clock, lease=lease).absorb()
    land(writer, bodies[1], bodies[2])
    assert loser.absorb() == Absorbed(files=1, rows=4, duplicate_requests=1)
    assert_exactly_once(lake_folder.path, bodies)


# Promotions

TENANT = Promoted("tenant", "tenant", "+", "span")


def test_a_column_promoted_on_an_existing_lake_is_filled_from_then_on(lake_folder, writer, compactor):
    compacted, waiting, new = (otlp_body(2, attributes={"tenant": name}) for name in ("a", "b", "c"))
    land(writer, compacted)
    compactor.absorb()
    land(writer, waiting)
    promoted = add_promotion(lake_folder, TENANT)
    writer.commit(*rows_of([new], promoted=promoted.promoted))
    compactor.lease.release()
    Compactor(promoted, disk=DISK).absorb()
    spans = pl.read_delta(str(lake_folder.path / "spans"))
    found = zip(spans["tenant"], (entries or {} for entries in spans["attributes"]), strict=True)
    assert Counter((column, entries.get("tenant")) for column, entries in found) == {
        (None, "a"): 2, (None, "b"): 2, ("c", None): 2,
    }  # fmt: skip
    assert_exactly_once(lake_folder.path, [compacted, waiting, new])


def test_a_compactor_from_before_a_promotion_drops_no_value(lake_folder, writer, compactor):
    land(writer, otlp_body(1))
    compactor.absorb()
    promoted = add_promotion(lake_folder, TENANT)
    writer.commit(*rows_of([otlp_body(2, attributes={"tenant": "c"})], promoted=promoted.promoted))
    compactor.absorb()
    assert pl.read_delta(str(lake_folder.path / "spans"))["tenant"].drop_nulls().to_list() == ["c", "c"]


def test_a_lake_without_the_promotion_is_read_as_before(lake_folder, writer, compactor):
    land(writer, otlp_body(1))
    compactor.absorb()
    assert set(pl.scan_delta(str(lake_folder.path / "spans")).collect_schema()) == {
        *TABLES["spans"].arrow_schema.names, "day", "hour",
    }  # fmt: skip


# Power loss between landing and batches


def test_the_name_of_a_landing_file_is_flushed_before_its_requests_are_decided(lake_folder, writer, bodies):
    block = writer.commit(*rows_of(bodies)).path.parent
    disk = RecordingDisk()
    Compactor(lake_folder, disk=disk).absorb()
    assert disk.steps.index(block) < disk.steps.index(log_file(lake_folder.path / "batches", 1))


class RecordingDisk(UnflushedDisk):
    """Notes which folders are flushed and which commits get their name."""

    def __init__(self):
        self.steps = []

    def flush_folder(self, folder):
        self.steps.append(folder)

    def link(self, source, target):
        self.steps.append(target)
        super().link(source, target)


def run(program, *args):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, args)], check=False, timeout=120, capture_output=True
    )


def start(program, *args):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), *map(str, args)])
