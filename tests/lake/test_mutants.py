"""Code that loses or doubles data on purpose, and the check that finds it out.

Each test puts a mutant in the place of a part and wants the check that holds the real part (`checks`, `power_loss`) to
fail. So none of these checks is one that cannot fail.

| mutant                                                      | check that kills it                                        |
|-------------------------------------------------------------|------------------------------------------------------------|
| files are not flushed (no fdatasync)                        | power loss                                                 |
| folders are not flushed                                     | power loss                                                 |
| a file has its name before it is flushed                    | power loss                                                 |
| a file has its name before it is written                    | power loss                                                 |
| new folders are not flushed into their parents              | power loss                                                 |
| a failed commit's number is given to other rows             | power loss, on a disk that fails                           |
| a writer takes the name it had before its restart           | power loss, with writers that restart                      |
| requests are decided while the landing file may vanish      | power loss, while compacting                               |
| delta-rs commits, and what it wrote is flushed afterwards   | power loss                                                 |
| a commit has its name before it is flushed                  | power loss                                                 |
| delta-rs checkpoints in place                               | power loss                                                 |
| the watermark is committed before its rows                  | crash before any file operation                            |
| the rows are committed before their watermark               | crash before any file operation                            |
| what `batches` decided is not read back                     | crash between two steps                                    |
| a repeated request is not recognised                        | crash between two steps                                    |
| a refused commit is tried again on the new version          | a compactor stopped past its lease; two stale appends      |
| a commit replaces one that is there (no compare-and-swap)   | a compactor stopped past its lease; two stale appends      |
| two rewrites both win                                       | two stale rewrites                                         |
| landing files go as soon as they are absorbed               | landing files stay for the snapshots that name them        |
| a gap in a writer's sequence is skipped                     | what lies behind a gap waits                               |
"""

import errno
import time

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, PostCommitHookProperties

from lake import compaction, landing, tables
from lake.batches import SeenRequests
from lake.compaction import Compactor
from lake.disk import TEMPORARY, replace_durably
from lake.errors import CommitConflict, LakeError
from lake.landing import LandingWriter
from lake.schema import PARTITIONS, SPANS
from lake.tables import DeltaLog, log_file
from tests.lake.checks import (
    DISK,
    SPAN_TABLES,
    check_a_gap_waits,
    check_a_stop_at,
    check_a_stop_before_any_operation,
    check_fencing,
    check_landing_is_kept,
    check_one_of_two_appends_wins,
    check_one_of_two_rewrites_wins,
)
from tests.lake.power_loss import Parts, Plan, check
from tests.lake.sim_disk import SimDisk
from tests.lake.spans import otlp_body, rows_of

FOUND_OUT = (AssertionError, LakeError)
PLANS = 80
"""Plans tried on a mutant at most. The real code passes ten thousand power losses in the long form."""


@pytest.fixture
def bodies():
    return [otlp_body(4, traces=2, exceptions=True) for _ in range(3)]


@pytest.fixture
def rows():
    return rows_of([otlp_body(3)])[0].sort_by([(name, "ascending") for name in SPANS.sort])


def assert_lost_by_power_loss(tmp_path, parts, *, plans=None):
    """Some plan shows that the mutant loses or doubles a request."""
    for plan in plans or map(Plan.of, range(PLANS)):
        try:
            check(plan, tmp_path / str(plan.seed), parts)
        except FOUND_OUT:
            return
    pytest.fail("no power loss showed the mutant")


# Durability


def test_no_flush_of_files_is_found_out(tmp_path):
    class NoFlush(SimDisk):
        def flush(self, path):
            pass

    assert_lost_by_power_loss(tmp_path, Parts(disk=NoFlush))


def test_no_flush_of_folders_is_found_out(tmp_path):
    class NoFolderFlush(SimDisk):
        def flush_folder(self, folder):
            pass

    assert_lost_by_power_loss(tmp_path, Parts(disk=NoFolderFlush))


def test_a_name_before_the_flush_is_found_out(tmp_path, monkeypatch):
    def write_named_first(disk, path, data):
        temporary = path.with_name(path.name + TEMPORARY)
        disk.write(temporary, data)
        disk.rename(temporary, path)
        disk.flush_folder(path.parent)
        disk.flush(path)

    monkeypatch.setattr(landing, "write_durably", write_named_first)
    monkeypatch.setattr(tables, "write_durably", write_named_first)
    # acknowledged is what is flushed in the end, so it takes another process that sees the file before
    plans = (Plan(("send", "send while compacting", "compact"), frozenset(), seed) for seed in range(PLANS))
    assert_lost_by_power_loss(tmp_path, Parts(), plans=plans)


def test_a_name_before_the_write_is_found_out(tmp_path, monkeypatch):
    def write_in_place(disk, path, data):
        disk.write(path, data)
        disk.flush_folder(path.parent)

    monkeypatch.setattr(landing, "write_durably", write_in_place)
    monkeypatch.setattr(tables, "write_durably", write_in_place)
    assert_lost_by_power_loss(tmp_path, Parts())


def test_new_folders_that_are_not_flushed_are_found_out(tmp_path, monkeypatch):
    def make_folders(disk, folder):
        for parent in [*reversed(folder.parents), folder]:
            if not parent.exists():
                disk.make_folder(parent)

    monkeypatch.setattr(landing, "make_folders_durably", make_folders)
    assert_lost_by_power_loss(tmp_path, Parts())


def test_a_number_that_is_given_twice_is_found_out(tmp_path):
    class SameNumber(LandingWriter):
        def _open(self):
            if not hasattr(self, "writer"):
                super()._open()

    class FailsAfterCompaction(SimDisk):
        """The file of a commit was absorbed when its last step fails."""

        def flush_folder(self, folder):
            awaited = self.meanwhile
            super().flush_folder(folder)
            if awaited and not self.meanwhile:
                raise OSError(errno.EIO, "Input/output error")

    actions = ("send", "send while compacting", *("send", "compact") * 3)
    plans = [Plan(actions, frozenset(), seed) for seed in range(PLANS)]
    check(plans[0], tmp_path / "real", Parts(disk=FailsAfterCompaction))
    assert_lost_by_power_loss(tmp_path, Parts(disk=FailsAfterCompaction, writer=SameNumber), plans=plans)


def test_a_name_that_is_used_again_is_found_out(tmp_path):
    class SameName(LandingWriter):
        def _open(self):
            super()._open()
            self.writer = "always-the-same"

    plans = (Plan(("send", "writer restarts", "send", "compact"), frozenset(), seed) for seed in range(PLANS))
    assert_lost_by_power_loss(tmp_path, Parts(writer=SameName), plans=plans)


def test_a_decision_on_a_landing_file_that_may_vanish_is_found_out(tmp_path):
    class Hasty(Compactor):
        def _make_durable(self, files):
            pass

    plans = (Plan(("send", "send while compacting"), frozenset(), seed) for seed in range(PLANS * 3))
    assert_lost_by_power_loss(tmp_path, Parts(compactor=Hasty), plans=plans)


class FlushedAfterwards(DeltaLog):
    """As it is with delta-rs alone."""

    def commit(self, *, add=(), remove=(), watermarks=None, forget=()):
        now_ms = int(time.time() * 1000)
        wanted = self.version + 1
        self._delta.create_write_transaction(
            [AddAction(f.path, f.size_bytes, f.partition.values, now_ms, data_change=True, stats=f.statistics) for f in add],
            "append",
            pa.schema([*self.table.arrow_schema, *(pa.field(c.name, c.type, c.nullable) for c in PARTITIONS)]),
            [c.name for c in PARTITIONS],
            commit_properties=CommitProperties(
                max_commit_retries=0, app_transactions=[Transaction(w, n, None) for w, n in (watermarks or {}).items()]
            ),
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=False),
        )
        self._disk.flush(log_file(self.folder, wanted))
        self._disk.flush_folder(self.folder / "_delta_log")
        self._delta.update_incremental()


def test_a_commit_that_is_flushed_afterwards_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "DeltaLog", FlushedAfterwards)
    # it takes a flush that fails after a commit, on which the next one is built; the first place is one where it does now
    plans = (Plan(("send", "compact") * 3, frozenset({place}), place) for place in (78, *range(60, 60 + PLANS, 2)))
    assert_lost_by_power_loss(tmp_path, Parts(), plans=plans)


def test_a_commit_that_has_its_name_before_it_is_flushed_is_found_out(tmp_path, monkeypatch):
    def create_named_first(disk, path, data):
        temporary = path.with_name(f"{path.name}.{time.monotonic_ns()}{TEMPORARY}")
        disk.write(temporary, data)
        disk.link(temporary, path)
        disk.unlink(temporary)
        disk.flush_folder(path.parent)
        disk.flush(path)

    monkeypatch.setattr(tables, "create_durably", create_named_first)
    assert_lost_by_power_loss(tmp_path, Parts())


def test_a_checkpoint_in_place_is_found_out(tmp_path, monkeypatch):
    class InPlace(DeltaLog):
        def _checkpoint(self, version):
            DeltaTable(self.folder, version=version).create_checkpoint()

    monkeypatch.setattr(compaction, "DeltaLog", InPlace)
    plans = (Plan(("send", "compact") * 4, frozenset(), seed) for seed in range(PLANS))
    assert_lost_by_power_loss(tmp_path, Parts(), plans=plans)


# Rows and watermarks in one commit


class WatermarkFirst(DeltaLog):
    def commit(self, *, add=(), remove=(), watermarks=None, forget=()):
        super().commit(watermarks=watermarks, forget=forget)
        super().commit(add=add, remove=remove)


class RowsFirst(DeltaLog):
    def commit(self, *, add=(), remove=(), watermarks=None, forget=()):
        super().commit(add=add, remove=remove)
        super().commit(watermarks=watermarks, forget=forget)


@pytest.mark.parametrize("mutant", [WatermarkFirst, RowsFirst])
def test_rows_and_watermark_in_two_commits_are_found_out(lake_folder, writer, bodies, monkeypatch, mutant):
    monkeypatch.setattr(compaction, "DeltaLog", mutant)
    with pytest.raises(AssertionError, match="|".join(SPAN_TABLES)):
        # before the 60th operation no rows are committed, and a commit has more than four
        check_a_stop_before_any_operation(lake_folder, writer, bodies, first=60, every=4)


# Repeats


def test_decisions_that_are_not_read_back_are_found_out(lake_folder, writer, bodies, monkeypatch):
    monkeypatch.setattr(compaction, "decided_repeats", lambda log, files: {})
    with pytest.raises(AssertionError, match="spans"):
        check_a_stop_at("write spans", lake_folder, writer, bodies)


def test_repeats_that_are_not_recognised_are_found_out(lake_folder, writer, bodies, monkeypatch):
    monkeypatch.setattr(SeenRequests, "repeats", lambda self, hashes, *, now_s: [False] * len(hashes))
    with pytest.raises(AssertionError, match="spans"):
        check_a_stop_at("committed batches", lake_folder, writer, bodies)


# One winner


class TriedAgain(DeltaLog):
    def commit(self, **what):
        try:
            super().commit(**what)
        except CommitConflict:
            super().commit(**what)


def test_a_commit_that_is_tried_again_is_found_out(lake_folder, rows):
    logs = [TriedAgain.open_or_create(lake_folder.path, SPANS, disk=DISK) for _ in range(2)]
    with pytest.raises(AssertionError):
        check_one_of_two_appends_wins(logs[0], logs[1], rows)


def test_a_commit_that_is_tried_again_after_the_lease_is_found_out(lake_folder, writer, bodies, monkeypatch):
    monkeypatch.setattr(compaction, "DeltaLog", TriedAgain)
    with pytest.raises(AssertionError, match="spans"):
        check_fencing(lake_folder, writer, bodies)


def test_a_commit_that_replaces_another_is_found_out(lake_folder, rows, monkeypatch):
    logs = [DeltaLog.open_or_create(lake_folder.path, SPANS, disk=DISK) for _ in range(2)]
    monkeypatch.setattr(tables, "create_durably", replace_durably)
    with pytest.raises(AssertionError):
        check_one_of_two_appends_wins(logs[0], logs[1], rows)


def test_a_commit_that_replaces_another_after_the_lease_is_found_out(lake_folder, writer, bodies, monkeypatch):
    monkeypatch.setattr(tables, "create_durably", replace_durably)
    with pytest.raises(AssertionError):
        check_fencing(lake_folder, writer, bodies)


def test_two_rewrites_that_both_win_are_found_out(lake_folder, rows):
    logs = [TriedAgain.open_or_create(lake_folder.path, SPANS, disk=DISK) for _ in range(2)]
    with pytest.raises(AssertionError):
        check_one_of_two_rewrites_wins(logs[0], logs[1], rows)


# Landing files


def test_landing_files_that_go_at_once_are_found_out(lake_folder, writer, bodies):
    class Greedy(Compactor):
        def absorb(self):
            files = self.waiting()
            done = super().absorb()
            for file in files:
                file.path.unlink()
            return done

    with pytest.raises(AssertionError):
        check_landing_is_kept(lake_folder, writer, bodies, compactor=Greedy)


def test_a_gap_that_is_skipped_is_found_out(lake_folder, writer, bodies, monkeypatch):
    monkeypatch.setattr(compaction, "contiguous", lambda files, watermark: sorted(files))
    with pytest.raises(AssertionError, match="spans"):
        check_a_gap_waits(lake_folder, writer, bodies)
