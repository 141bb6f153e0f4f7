"""The Delta tables: one winner per version, watermarks with the rows they are of, bounds that prune no true row."""

import datetime as dt
import errno
import os
import threading
import time
import zlib
from dataclasses import replace
from itertools import pairwise

import duckdb
import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from lake import tables
from lake.data_files import ROW_GROUP_ROWS, statistics
from lake.errors import CommitConflict, LakeCorrupt
from lake.partitioning import chunks, hours_of, partitioned
from lake.schema import DEPLOYS, ERRORS, SPANS, TABLES, TIMESTAMP, Column
from lake.tables import REWRITTEN, DeltaLog, Partition, log_file
from tests.lake.checks import check_one_of_two_appends_wins, check_one_of_two_rewrites_wins
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START, otlp_body, rows_of

DISK = UnflushedDisk()
HOUR = Partition(START.date(), START.hour)
LONG_AGO_S = 2 * 86_400


@pytest.fixture
def folder(lake_folder):
    return lake_folder.path


@pytest.fixture
def open_log(folder):
    """Opens the table `spans`, each time on a handle of its own."""

    def open_log(disk=DISK):
        return DeltaLog.open_or_create(folder, SPANS, disk=disk)

    return open_log


@pytest.fixture
def log(open_log):
    return open_log()


def rows(n=3, **what):
    """Spans in the order of the table."""
    return rows_of([otlp_body(n, **what)])[0].sort_by([(name, "ascending") for name in SPANS.sort])


def add(log, *, writer="w", sequence=1, n=3):
    """Commit a file of `n` rows with a watermark."""
    log.commit(add=[log.write(HOUR, rows(n))], watermarks={writer: sequence})


def row_count(log):
    return sum(file.row_count for file in log.files())


# One winner per version


def test_of_two_appends_on_stale_handles_one_wins(open_log):
    check_one_of_two_appends_wins(open_log(), open_log(), rows())


def test_of_two_rewrites_of_the_same_file_one_wins(open_log):
    check_one_of_two_rewrites_wins(open_log(), open_log(), rows())


def test_an_append_that_lost_to_a_rewrite_is_refused(open_log):
    rewriter, appender = open_log(), open_log()
    add(rewriter)
    appender.refresh()
    rewriter.commit(add=[rewriter.write(HOUR, rows(), prefix=REWRITTEN)], remove=rewriter.files())
    with pytest.raises(CommitConflict):
        add(appender, sequence=2)


def test_after_a_conflict_the_handle_is_at_the_newest_version(open_log):
    first, second = open_log(), open_log()
    for sequence in (1, 2, 3):
        add(first, sequence=sequence)
    with pytest.raises(CommitConflict):
        add(second)
    assert (second.version, second.watermark("w")) == (3, 3)
    add(second, sequence=4)
    assert second.watermark("w") == 4


def test_of_many_commits_at_once_each_version_has_one_winner(open_log):
    logs = [open_log() for _ in range(6)]
    ready = threading.Barrier(len(logs))
    won = []

    def work(number):
        ready.wait()
        for _ in range(4):
            try:
                add(logs[number], writer=f"w{number}", sequence=logs[number].watermark(f"w{number}") + 1)
            except CommitConflict:
                continue
            won.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(logs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = open_log()
    assert newest.version == len(won) > 0
    assert len(newest.files()) == len(won)
    assert {f"w{n}": newest.watermark(f"w{n}") for n in range(6)} == {f"w{n}": won.count(n) for n in range(6)}


def test_a_table_that_two_create_at_once_is_one_table(folder, monkeypatch):
    class Slow(UnflushedDisk):
        def link(self, source, target):
            if target.name == log_file(folder, 0).name and not target.exists():
                add(DeltaLog.open_or_create(folder, SPANS, disk=DISK))
            super().link(source, target)

    slow = DeltaLog.open_or_create(folder, SPANS, disk=Slow())
    assert (slow.version, row_count(slow)) == (1, 3)


# Watermarks


def test_every_version_has_the_watermarks_of_its_rows(folder, log):
    for sequence in (1, 2, 5):
        add(log, sequence=sequence)
    found = []
    for version in range(log.version + 1):
        at = DeltaLog(folder, SPANS, version=version)
        found.append((row_count(at), at.watermark("w")))
    assert found == [(0, 0), (3, 1), (6, 2), (9, 5)]


def test_a_round_of_repeats_alone_still_moves_the_watermark(log):
    log.commit(watermarks={"w": 7})
    assert (log.watermark("w"), log.files()) == (7, [])


def test_a_writer_that_is_quiet_for_years_keeps_its_watermark(log, folder):
    add(log)
    actions = [orjson.loads(line) for line in log_file(folder / "spans", 1).read_bytes().splitlines()]
    (transaction,) = (action["txn"] for action in actions if "txn" in action)
    assert "lastUpdated" not in transaction  # readers let it expire by that
    assert "delta.setTransactionRetentionDuration" in DeltaTable(folder / "spans").metadata().configuration


def test_a_forgotten_writer_is_gone_from_the_next_checkpoint(open_log, log, monkeypatch):
    monkeypatch.setattr(tables, "CHECKPOINT_EVERY", 2)
    add(log, writer="dead")
    add(log, writer="alive")
    assert sorted(log.checkpointed_writers()) == ["alive", "dead"]
    log.commit(forget=["dead"])
    assert (log.watermark("dead"), log.watermark("alive")) == (0, 1)
    add(log, writer="alive", sequence=2)
    assert log.checkpointed_writers() == ["alive"]
    assert (open_log().watermark("dead"), open_log().watermark("alive")) == (0, 2)


def test_a_table_without_a_checkpoint_names_no_writers(log):
    add(log)
    assert log.checkpointed_writers() == []


# Checkpoints and clean-up


@pytest.fixture
def often(monkeypatch):
    """A checkpoint every five versions."""
    monkeypatch.setattr(tables, "CHECKPOINT_EVERY", 5)


def make_old(folder, *, until):
    """Let the log up to a version be older than it is kept."""
    for path in (folder / "spans/_delta_log").iterdir():
        if path.name[:20].isdigit() and int(path.name[:20]) <= until:
            then = time.time() - LONG_AGO_S + int(path.name[:20])
            os.utime(path, (then, then))


def log_names(folder):
    return sorted(path.name for path in (folder / "spans/_delta_log").iterdir())


def test_checkpoints_keep_rows_and_watermarks(open_log, log, folder, often):
    for sequence in range(1, 13):
        add(log, writer=f"w{sequence % 2}", sequence=sequence)
    assert [name for name in log_names(folder) if "checkpoint" in name] == [
        f"{5:020}.checkpoint.parquet", f"{10:020}.checkpoint.parquet", "_last_checkpoint",
    ]  # fmt: skip
    for version in range(11):  # what is read now comes from the checkpoint
        log_file(folder / "spans", version).unlink()
    fresh = open_log()
    assert (fresh.version, row_count(fresh), fresh.watermark("w0"), fresh.watermark("w1")) == (12, 36, 12, 11)
    assert pl.read_delta(str(folder / "spans")).height == 36


def test_clean_up_of_the_log_keeps_rows_and_watermarks(open_log, log, folder, often):
    for sequence in range(1, 10):
        add(log, sequence=sequence)
    make_old(folder, until=7)
    add(log, sequence=10)
    assert log_names(folder)[0] == f"{5:020}.checkpoint.parquet"  # what versions 6 and later are read from
    fresh = open_log()
    assert (fresh.version, row_count(fresh), fresh.watermark("w")) == (10, 30, 10)
    for version in (8, 9):
        assert DeltaLog(folder, SPANS, version=version).watermark("w") == version


def test_a_handle_that_slept_through_a_clean_up_finds_the_newest_version(open_log, log, folder, often):
    sleeper = open_log()
    for sequence in range(1, 10):
        add(log, sequence=sequence)
    make_old(folder, until=9)
    add(log, sequence=10)
    assert not log_file(folder / "spans", 1).exists()
    assert sleeper.refresh()
    assert (sleeper.version, sleeper.watermark("w")) == (10, 10)
    assert not sleeper.refresh()


def test_a_commit_on_a_handle_that_slept_through_a_clean_up_is_refused(open_log, log, folder, often):
    sleeper = open_log()
    for sequence in range(1, 10):
        add(log, sequence=sequence)
    make_old(folder, until=9)
    add(log, sequence=10)
    with pytest.raises(CommitConflict):
        add(sleeper)
    assert sleeper.version == 10
    assert not log_file(folder / "spans", 1).exists()


def test_a_temporary_file_in_the_log_is_ignored_and_swept_once_it_is_old(open_log, log, folder, often):
    left = [folder / "spans/_delta_log" / f"{1:020}.json.{name}.tmp" for name in ("old", "new")]
    for path in left:
        path.write_bytes(b'{"add"')
    os.utime(left[0], (time.time() - LONG_AGO_S,) * 2)
    for sequence in range(1, 6):
        add(log, sequence=sequence)
    assert [path.exists() for path in left] == [False, True]
    assert row_count(open_log()) == 15


def test_a_checkpoint_that_fails_takes_nothing_back(open_log, log, often):
    class Full(UnflushedDisk):
        def write(self, path, data):
            if "checkpoint" in path.name:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write(path, data)

    full = open_log(Full())
    for sequence in range(1, 5):
        add(full, sequence=sequence)
    with pytest.raises(OSError, match="No space left"):
        add(full, sequence=5)
    assert (full.version, full.watermark("w"), row_count(full)) == (5, 5, 15)
    add(full, sequence=6)
    assert open_log().watermark("w") == 6


# Durable before visible


class Recording(UnflushedDisk):
    """Notes what is flushed and what gets its name."""

    def __init__(self):
        self.steps = []

    def flush(self, path):
        self.steps.append(f"flush {_kind(path)}")

    def rename(self, source, target):
        self.steps.append(f"rename {_kind(target)}")
        super().rename(source, target)

    def link(self, source, target):
        self.steps.append(f"link {_kind(target)}")
        super().link(source, target)

    def flush_folder(self, folder):
        self.steps.append(f"flush_folder {folder.name}")


def _kind(path):
    name = path.name
    return "data" if "part-" in name else "checkpoint" if "checkpoint" in name else "commit"


def test_rows_are_durable_before_the_commit_is_and_the_commit_before_it_has_its_name(open_log, often):
    log = open_log(disk := Recording())
    disk.steps.clear()
    add(log)
    assert disk.steps == [
        "flush_folder lake", "flush_folder spans", "flush_folder day=2026-11-23",  # a new partition
        "flush data", "rename data", "flush_folder hour=9",
        "flush_folder _delta_log",  # version 0 may be somebody else's, and only visible yet
        "flush commit", "link commit", "flush_folder _delta_log",
    ]  # fmt: skip
    disk.steps.clear()
    log.commit(watermarks={"w": 2})
    assert disk.steps == ["flush commit", "link commit", "flush_folder _delta_log"]


def test_a_checkpoint_is_durable_before_it_has_its_name_and_before_its_log_goes(open_log, folder, often):
    cleaned = []

    class Watching(Recording):
        def rename(self, source, target):
            super().rename(source, target)
            cleaned.append(not log_file(folder / "spans", 0).exists())

    log = open_log(disk := Watching())
    for sequence in range(1, 5):
        log.commit(watermarks={"w": sequence})
    make_old(folder, until=5)
    disk.steps.clear()
    log.commit(watermarks={"w": 5})
    assert disk.steps == [
        "flush commit", "link commit", "flush_folder _delta_log",
        "flush checkpoint", "rename checkpoint", "flush_folder _delta_log",
        "flush checkpoint", "rename checkpoint", "flush_folder _delta_log",
    ]  # fmt: skip
    assert not any(cleaned)


def test_a_commit_whose_name_could_not_be_flushed_is_found_and_flushed_by_the_next(open_log, folder):
    class Failing(Recording):
        failing = False

        def flush_folder(self, folder):
            if self.failing:
                raise OSError(errno.EIO, "Input/output error")
            super().flush_folder(folder)

    log = open_log(disk := Failing())
    log.commit(watermarks={"w": 1})
    disk.failing = True
    with pytest.raises(OSError, match="Input/output error"):
        log.commit(watermarks={"w": 2})
    disk.failing = False
    assert log.refresh()
    assert log.watermark("w") == 2
    disk.steps.clear()
    log.commit(watermarks={"w": 3})
    assert disk.steps[0] == "flush_folder _delta_log"


def test_a_file_is_in_no_version_until_it_is_committed(log):
    log.write(HOUR, rows())
    log.refresh()
    assert log.files() == []


# Data files


def parquet_of(log, count=3, **what):
    file = log.write(HOUR, rows(count, **what))
    return file, pq.ParquetFile(log.folder / file.path)


def test_a_file_has_a_bloom_filter_on_the_trace_id_only(log):
    _, parquet = parquet_of(log, 50)
    group = parquet.metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert [c.path_in_schema for c in columns if c.bloom_filter_offset is not None] == ["trace_id"]


def test_a_bloom_filter_fits_the_traces_of_a_row_group(log):
    _, few = parquet_of(log, 2000, traces=20)
    _, many = parquet_of(log, 2000, traces=1000)
    lengths = [file.metadata.row_group(0).column(0).bloom_filter_length for file in (few, many)]
    assert lengths[0] * 8 < lengths[1]


def test_a_table_without_bloom_columns_has_no_filter(folder):
    log = DeltaLog.open_or_create(folder, DEPLOYS, disk=DISK)
    deploy = {"id": "d", "deployed_at": START, "ingested_at": START}
    file = log.write(HOUR, pa.Table.from_pylist([deploy], schema=DEPLOYS.arrow_schema))
    group = pq.read_metadata(log.folder / file.path).row_group(0)
    assert [group.column(i).bloom_filter_offset for i in range(group.num_columns)] == [None] * group.num_columns


def test_row_groups_have_the_size_that_duckdb_reads_best(log):
    many = rows(1).take(pa.array(np.zeros(ROW_GROUP_ROWS + 5, dtype=np.int64)))
    file = log.write(HOUR, many)
    metadata = pq.read_metadata(log.folder / file.path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [ROW_GROUP_ROWS, 5]


def test_columns_of_nearly_unique_values_have_no_dictionary_and_the_others_have(log):
    _, parquet = parquet_of(log, 50, attributes={"k": "v"})
    group = parquet.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert not any(columns[name].has_dictionary_page for name in SPANS.plain)
    for name in ("name", "service_name", "attributes.key_value.key", "attributes.key_value.value"):
        assert columns[name].has_dictionary_page, name


def test_partition_columns_are_in_the_log_and_not_in_the_file(log, folder):
    add(log)
    (file,) = log.files()
    assert not {"day", "hour"} & set(pq.read_schema(log.folder / file.path).names)
    spans = pl.read_delta(str(folder / "spans"))
    assert set(spans["day"]) == {START.date()}
    assert set(spans["hour"]) == {9}


def test_the_name_of_a_file_has_its_checksum(log):
    add(log)
    (file,) = log.files()
    content = (log.folder / file.path).read_bytes()
    assert (file.checksum, file.size_bytes) == (zlib.crc32(content), len(content))


def test_rewritten_files_are_known_by_their_names(log):
    log.commit(add=[log.write(HOUR, rows()), log.write(HOUR, rows(), prefix=REWRITTEN)])
    assert sorted(file.is_rewritten for file in log.files()) == [False, True]


@pytest.mark.parametrize("number", [0, 1, -1, 23, 24, 495_633, -100_000])
def test_an_hour_and_its_number_are_the_same(number):
    assert Partition.of_hour_number(number).hour_number == number


# Bounds


@settings(deadline=None, max_examples=50)
@given(st.lists(st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 998999)), min_size=1))  # noqa: DTZ001
def test_bounds_of_times_are_rounded_outwards_to_milliseconds(times):
    times = [time.replace(tzinfo=dt.UTC) for time in times]
    table = replace(DEPLOYS, statistics=("deployed_at",))
    bounds = orjson.loads(statistics(table, pa.table({"deployed_at": pa.array(times, TIMESTAMP)})))
    low, high = (dt.datetime.fromisoformat(bounds[which]["deployed_at"]) for which in ("minValues", "maxValues"))
    millisecond = dt.timedelta(milliseconds=1)
    assert low <= min(times) < low + millisecond
    assert high - millisecond < max(times) <= high


def test_the_last_millisecond_there_is_has_no_upper_bound():
    last = dt.datetime.max.replace(tzinfo=dt.UTC)
    bounds = orjson.loads(
        statistics(replace(DEPLOYS, statistics=("deployed_at",)), pa.table({"deployed_at": pa.array([last], TIMESTAMP)}))
    )
    assert bounds["maxValues"] == {}
    assert bounds["minValues"] == {"deployed_at": "9999-12-31T23:59:59.999Z"}


@pytest.mark.parametrize("microsecond", [0, 1, 499, 500, 999, 999_001, 999_999])
def test_no_reader_prunes_a_row_by_bounds_of_times(log, folder, microsecond):
    start = START.replace(microsecond=microsecond)
    log.commit(add=[log.write(HOUR, rows(1, start=start))])
    path = str(folder / "spans")
    exact = pl.scan_delta(path).filter(pl.col("start_time") == start)
    assert exact.collect().height == 1
    assert pl.scan_delta(path).filter(pl.col("start_time") >= start).collect().height == 1
    assert DeltaTable(path).to_pyarrow_table(filters=[("start_time", "=", start)]).num_rows == 1
    actions = log.actions()
    assert actions.column("min.start_time").to_pylist()[0] <= start <= actions.column("max.start_time").to_pylist()[0]


def test_every_column_that_is_pruned_by_has_its_bounds_in_the_log(log):
    add(log)
    assert {f"{which}.{column}" for which in ("min", "max") for column in SPANS.statistics} <= set(
        log.actions().column_names
    )


def test_bounds_of_the_largest_numbers_are_exact(log):
    spans = rows(1).set_column(
        SPANS.arrow_schema.get_field_index("duration_ns"), "duration_ns", pa.array([2**63 - 1], pa.int64())
    )
    log.commit(add=[log.write(HOUR, spans)])
    assert log.actions().column("max.duration_ns").to_pylist() == [2**63 - 1]


def test_a_column_that_is_null_in_every_row_has_no_bounds(log):
    add(log)
    assert log.actions().column("max.http_status_code").to_pylist() == [None]
    assert log.actions().column("null_count.http_status_code").to_pylist() == [3]


# Rows into files


def spans_of(lengths):
    """Traces of these lengths, in order of their ids, at the same moment."""
    ids = pa.array([f"{number:032x}" for number in range(len(lengths))])
    column = ids.take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
    return pa.table({"trace_id": column, "start_time": pa.repeat(pa.scalar(START, TIMESTAMP), len(column))})


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=30))
def test_files_hold_at_most_their_rows_and_disjoint_traces(lengths):
    spans = spans_of(lengths)
    files = partitioned(spans, hours_of(spans, "start_time"), SPANS, max_rows=10)
    parts = [part.column("trace_id").to_pylist() for _, part in files]
    assert [id_ for part in parts for id_ in part] == spans.column("trace_id").to_pylist()
    for part in parts:
        assert len(part) <= 10 or len(set(part)) == 1  # a trace too long for a file has one of its own
    for one, following in pairwise(parts):
        assert one[-1] < following[0]
        assert len(one) + following.count(following[0]) > 10  # no file ends before it has to


def test_a_file_has_at_most_a_million_rows():
    parts = chunks(spans_of([999_995, 10, 999_990, 20]), SPANS)
    assert [part.num_rows for part in parts] == [999_995, 1_000_000, 20]


def test_rows_that_are_not_sorted_by_trace_are_cut_where_a_file_is_full():
    errors = pa.table({"trace_id": pa.array([None, "a", "b"] * 8, pa.string()), "fingerprint": ["f"] * 24,
                       "timestamp": pa.repeat(pa.scalar(START, TIMESTAMP), 24)})  # fmt: skip
    files = partitioned(errors, hours_of(errors, "timestamp"), ERRORS, max_rows=10)
    assert [part.num_rows for _, part in files] == [10, 10, 4]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=40))
def test_rows_go_to_the_partition_of_their_hour_in_the_order_of_the_table(places):
    times = [START + dt.timedelta(hours=hour, microseconds=number) for number, (hour, _) in enumerate(places)]
    ids = [str(trace) for _, trace in places]
    table = pa.table({"trace_id": ids, "start_time": pa.array(times, TIMESTAMP)})
    parts = list(partitioned(table, hours_of(table, "start_time"), SPANS, max_rows=1000))
    assert [partition for partition, _ in parts] == sorted({Partition(time.date(), time.hour) for time in times})
    found = []
    for partition, part in parts:
        pairs = list(zip(part.column("trace_id").to_pylist(), part.column("start_time").to_pylist(), strict=True))
        assert pairs == sorted(pairs)
        assert {Partition(time.date(), time.hour) for _, time in pairs} == {partition}
        found += pairs
    assert sorted(found) == sorted(zip(ids, times, strict=True))


# Logs that are not as they should be


def test_a_table_that_is_not_there_is_said_not_to_be(folder):
    with pytest.raises(FileNotFoundError, match="no such table"):
        DeltaLog(folder, SPANS)


def test_a_version_that_is_not_there_is_said_not_to_be(log, folder):
    with pytest.raises(FileNotFoundError, match="no version 7"):
        DeltaLog(folder, SPANS, version=7)


@pytest.mark.parametrize("content", [b'{"commitInfo', bytes(300)])
def test_a_damaged_log_is_not_taken_for_an_empty_table(log, folder, content):
    add(log)
    log_file(folder / "spans", 1).write_bytes(content)
    with pytest.raises(LakeCorrupt, match="_delta_log cannot be read"):
        DeltaLog(folder, SPANS)
    with pytest.raises(LakeCorrupt):
        DeltaLog.open_or_create(folder, SPANS, disk=DISK)


def test_a_missing_version_is_not_taken_for_an_empty_table(log, folder):
    for sequence in (1, 2):
        add(log, sequence=sequence)
    log_file(folder / "spans", 1).unlink()
    with pytest.raises(LakeCorrupt):
        DeltaLog(folder, SPANS)


# Readers that know Delta alone


def leaves(kind):
    if pa.types.is_nested(kind):
        return [leaf for i in range(kind.num_fields) for leaf in leaves(kind.field(i).type)]
    return [kind]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_no_column_has_a_type_that_delta_does_not_know(table):
    kinds = {leaf for field in table.arrow_schema for leaf in leaves(field.type)}
    assert not [kind for kind in kinds if pa.types.is_unsigned_integer(kind)]
    assert {kind for kind in kinds if pa.types.is_timestamp(kind)} == {TIMESTAMP}
    assert (TIMESTAMP.unit, TIMESTAMP.tz) == ("us", "UTC")


def test_commits_are_what_delta_says(log, folder):
    add(log)
    log.commit(add=[log.write(HOUR, rows(2), prefix=REWRITTEN)], remove=log.files(), watermarks={"v": 4})
    path = str(folder / "spans")
    actions = [orjson.loads(line) for line in log_file(folder / "spans", 2).read_bytes().splitlines()]
    moved = [content for action in actions for kind, content in action.items() if kind in ("add", "remove")]
    assert [file["dataChange"] for file in moved] == [True, True]  # or delta-rs would let two rewrites both win
    assert DeltaTable(path).to_pyarrow_table().num_rows == pl.read_delta(path).height == 2
    assert DeltaTable(path).transaction_version("v") == 4
    assert DeltaTable(path, version=1).to_pyarrow_table().num_rows == 3
    files = DeltaTable(path).file_uris()
    assert duckdb.execute("SELECT count(*) FROM read_parquet($1)", [files]).fetchone() == (2,)
    assert [entry["operation"] for entry in DeltaTable(path).history()] == ["WRITE", "WRITE", "CREATE TABLE"]


def test_delta_itself_can_go_on_where_tracelake_stopped(log, folder):
    add(log)
    DeltaTable(folder / "spans").create_checkpoint()
    DeltaTable(folder / "spans").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert pl.read_delta(str(folder / "spans")).height == 3
    add(log, sequence=2)
    assert row_count(log) == 6


def test_a_column_that_was_promoted_is_in_the_schema_from_the_next_opening(log, folder):
    add(log)
    wider = replace(SPANS, columns=(*SPANS.columns, Column("tenant", pa.string(), "`tenant`")))
    promoted = DeltaLog.open_or_create(folder, wider, disk=DISK)
    assert promoted.version == 2
    assert DeltaLog.open_or_create(folder, wider, disk=DISK).version == 2
    with_column = rows(1).append_column("tenant", pa.array(["a"]))
    promoted.commit(add=[promoted.write(HOUR, with_column)])
    spans = pl.read_delta(str(folder / "spans"))
    assert spans["tenant"].sort().to_list() == [None, None, None, "a"]
    assert DeltaTable(folder / "spans").metadata().id == DeltaTable(folder / "spans", version=0).metadata().id


def test_the_hours_of_rows_are_those_of_their_time():
    times = pa.array([dt.datetime(1969, 12, 31, 23, 59, tzinfo=dt.UTC), START], TIMESTAMP)
    hours = hours_of(pa.table({"t": times}), "t")
    assert [Partition.of_hour_number(int(hour)) for hour in hours] == [Partition(dt.date(1969, 12, 31), 23), HOUR]
    assert pc.hour(times).to_pylist() == [23, 9]
