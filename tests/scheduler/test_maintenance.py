"""Each lake of a data folder gets its work done, and none stands in the way of another."""

import shutil
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

import lake
from lake.compaction import Compactor
from lake.control.nodes import Place
from lake.folder import FILE_NAME, create_folder
from lake.lease import LEASE_S, Lease
from lake.merge import FEWEST_FILES
from lake.promotion import promote
from lake.rewrite import CLOSED_AFTER_S
from lake.schema import TABLES
from lake.settings import LakeSettings
from lake.tables import DeltaLog
from scheduler.maintenance import Maintenance, is_compaction_due
from tests.lake.rows import Landing, span
from tests.lake.spans import START

SETTINGS = LakeSettings(compaction_files=3, compaction_interval_s=5)
DAY_S = 86_400


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def maintenance(tmp_path, clock):
    maintenance = Maintenance(tmp_path, SETTINGS, monotonic_s=clock)
    yield maintenance
    maintenance.close()


@pytest.fixture
def put(tmp_path):
    """Lands a span in a lake, which is made if there is none."""
    landings = {}

    def put(name="shop/live", **known):
        path = tmp_path / name
        if name not in landings:
            landings[name] = Landing(create_folder(path))
        return landings[name].put("spans", span(**known))

    yield put
    for landing in landings.values():
        landing.end()


def stored(path):
    """Spans in the tables of a lake, without those that wait."""
    if not (path / "spans").exists():
        return 0
    return sum(file.row_count for file in DeltaLog(path, TABLES["spans"]).files())


# When


@pytest.mark.parametrize(
    ("files", "waited_s", "expected"),
    [
        (0, 0.0, False),
        (0, 1e9, False),
        (1, 0.0, False),
        (1, 4.9, False),
        (1, 5.0, True),
        (2, 4.9, False),
        (3, 0.0, True),
        (4, 0.0, True),
    ],
)
def test_when_compaction_is_due(files, waited_s, expected):
    assert is_compaction_due(files, waited_s, SETTINGS) is expected


def test_few_files_are_compacted_when_the_first_has_waited_long_enough(tmp_path, maintenance, clock, put):
    put()
    for elapsed_s, expected in ((0, 0), (4.9, 0), (5.0, 1)):
        clock.now_s = 1000 + elapsed_s
        maintenance.compact()
        assert stored(tmp_path / "shop/live") == expected


def test_many_files_are_compacted_at_once(tmp_path, maintenance, put):
    for count in (0, 0, 3):
        put()
        maintenance.compact()
        assert stored(tmp_path / "shop/live") == count


def test_the_wait_begins_again_with_the_next_file(tmp_path, maintenance, clock, put):
    put()
    maintenance.compact()
    clock.now_s += 5
    maintenance.compact()
    clock.now_s += 100
    put()
    maintenance.compact()
    assert stored(tmp_path / "shop/live") == 1
    clock.now_s += 5
    maintenance.compact()
    assert stored(tmp_path / "shop/live") == 2


# What


def compact_now(maintenance, clock):
    maintenance.compact()
    clock.now_s += 5
    maintenance.compact()


def test_every_lake_is_looked_after(tmp_path, maintenance, clock, put):
    names = ("a/live", "a/sandbox", "b/live")
    for name in names:
        put(name)
    compact_now(maintenance, clock)
    assert [stored(tmp_path / name) for name in names] == [1, 1, 1]


def test_what_is_no_lake_is_left_alone(tmp_path, maintenance, clock):
    (tmp_path / "tracelake.db").write_bytes(b"")
    (tmp_path / "project" / "notes").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with capture_logs() as logs:
        compact_now(maintenance, clock)
        maintenance.rewrite()
        maintenance.retain()
        maintenance.vacuum()
    assert sorted(tmp_path.rglob("*")) == before
    assert logs == []


def test_a_project_that_comes_later_is_looked_after_too(tmp_path, maintenance, clock, put):
    compact_now(maintenance, clock)
    put("late/live")
    compact_now(maintenance, clock)
    assert stored(tmp_path / "late/live") == 1


def test_files_that_have_become_many_are_merged_also_behind_a_damaged_landing_file(tmp_path, maintenance, clock, put):
    for _ in range(FEWEST_FILES - 1):
        put(start_time=START)
        compact_now(maintenance, clock)
    put("shop/live", start_time=START)
    with (damaged := put("shop/live", start_time=START)).path.open("r+b") as file:
        file.write(b"damaged")
    with capture_logs() as logs:
        compact_now(maintenance, clock)
    assert str(damaged.path) in str(logs[-1]["exc_info"])
    log = DeltaLog(tmp_path / "shop/live", TABLES["spans"])
    assert [(file.is_merged, file.row_count) for file in log.files()] == [(True, FEWEST_FILES)]


def test_hours_that_are_over_are_rewritten(tmp_path, maintenance, clock, put):
    put(start_time=START, ingested_at=START)
    compact_now(maintenance, clock)
    log = DeltaLog(tmp_path / "shop/live", TABLES["spans"])
    maintenance.now_s = lambda: START.timestamp() + 3600 + CLOSED_AFTER_S - 1
    maintenance.rewrite()
    assert log.refresh() is False
    maintenance.now_s = lambda: START.timestamp() + 3600 + CLOSED_AFTER_S
    maintenance.rewrite()
    log.refresh()
    assert [file.is_rewritten for file in log.files()] == [True]


def test_what_was_done_is_noted_lake_by_lake(tmp_path, clock, put):
    noted = []

    def note(job, work, place):
        noted.append((job, place, dict(work())))

    maintenance = Maintenance(tmp_path, SETTINGS, monotonic_s=clock, note=note)
    put(start_time=START, ingested_at=START)
    compact_now(maintenance, clock)
    maintenance.now_s = lambda: START.timestamp() + (SETTINGS.spans_days + 1) * DAY_S
    maintenance.retain()
    maintenance.vacuum()
    maintenance.close()
    figures = {job: did for job, place, did in noted if place == Place("shop", "live")}
    assert figures["compact"]["rows"] == figures["compact"]["files"] == 1
    assert figures["retain"]["expired_files"] >= 1
    assert figures["vacuum"]["data_files"] >= 1


def test_what_a_rewrite_absorbs_is_noted_as_compacted_and_once(tmp_path, clock, put):
    noted = []

    def note(job, work, _place):
        noted.append((job, dict(work())))

    maintenance = Maintenance(tmp_path, SETTINGS, monotonic_s=clock, note=note)
    put(start_time=START, ingested_at=START)
    maintenance.rewrite()
    maintenance.compact()
    maintenance.compact()
    maintenance.close()
    assert noted == [("rewrite", {"hours": 1}), ("compact", {"files": 1, "rows": 1}), ("compact", {})]


def test_what_is_too_old_is_dropped(tmp_path, maintenance, clock, put):
    put(start_time=START, ingested_at=START)
    compact_now(maintenance, clock)
    maintenance.now_s = lambda: START.timestamp() + (SETTINGS.spans_days + 1) * DAY_S
    maintenance.retain()
    assert stored(tmp_path / "shop/live") == 0


def test_a_promotion_is_noticed(tmp_path, maintenance, clock, put):
    put()
    compact_now(maintenance, clock)
    folder = create_folder(tmp_path / "shop/live")
    promote(folder, "tenant")
    put(tenant="a", attribute_types="+")
    compact_now(maintenance, clock)
    with lake.open(folder.path) as opened:
        assert opened.sql("SELECT tenant FROM spans ORDER BY 1").rows() == [{"tenant": "a"}, {"tenant": None}]


def test_another_lake_at_the_place_of_a_deleted_one_is_begun_anew(tmp_path, maintenance, clock, put):
    for _ in range(3):
        put()
    compact_now(maintenance, clock)
    shutil.move(tmp_path / "shop", tmp_path.with_name(tmp_path.name + "-moved"))
    maintenance.compact()
    landing = Landing(create_folder(tmp_path / "shop/live"))
    landing.put("spans", span())
    with capture_logs() as logs:
        compact_now(maintenance, clock)
    assert stored(tmp_path / "shop/live") == 1
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    landing.end()


# Faults


def errors(logs):
    return [entry["lake"] for entry in logs if entry["event"] == "maintenance failed"]


def damaged_settings(path):
    (path / FILE_NAME).write_bytes(b"{")


def damaged_log(path):
    compactor = Compactor(create_folder(path))
    compactor.log("spans")
    compactor.lease.release()
    for commit in (path / "spans" / "_delta_log").iterdir():
        commit.write_bytes(b"{")


def damaged_landing(path):
    [file] = (path / "landing").rglob("*.parquet")
    file.write_bytes(b"none")


def a_file_for_a_folder(path):
    (path / "spans").write_bytes(b"")


@pytest.mark.parametrize("spoil", [damaged_settings, damaged_log, damaged_landing, a_file_for_a_folder])
def test_a_broken_lake_does_not_stop_the_others(tmp_path, maintenance, clock, put, spoil):
    names = ("a/live", "b/live", "c/live")
    for name in names:
        put(name)
    spoil(tmp_path / "b/live")
    with capture_logs() as logs:
        compact_now(maintenance, clock)
        maintenance.rewrite()
        maintenance.retain()
        maintenance.vacuum()
    assert [stored(tmp_path / name) for name in ("a/live", "c/live")] == [1, 1]
    assert set(errors(logs)) == {str(tmp_path / "b/live")}


def test_an_error_that_nobody_foresaw_stops_only_its_lake(tmp_path, maintenance, clock, put, monkeypatch):
    for name in ("a/live", "b/live"):
        put(name)
    absorb = Compactor.absorb

    def fails_in_a(self):
        if self.lake.path.parent.name == "a":
            raise ZeroDivisionError
        return absorb(self)

    monkeypatch.setattr(Compactor, "absorb", fails_in_a)
    with capture_logs() as logs:
        compact_now(maintenance, clock)
    assert errors(logs) == [str(tmp_path / "a/live")]
    assert stored(tmp_path / "b/live") == 1


def test_what_failed_is_tried_again_after_the_interval_and_not_at_once(tmp_path, maintenance, clock, put):
    damaged = put()
    content = damaged.path.read_bytes()
    damaged.path.write_bytes(b"none")
    with capture_logs() as logs:
        compact_now(maintenance, clock)
        for _ in range(4):
            clock.now_s += 1
            maintenance.compact()
        assert len(errors(logs)) == 1
        damaged.path.write_bytes(content)
        clock.now_s += 5
        maintenance.compact()
    assert len(errors(logs)) == 1
    assert stored(tmp_path / "shop/live") == 1


def test_a_lake_that_another_process_compacts_is_left_to_it(tmp_path, maintenance, clock, put):
    put("a/live")
    put("b/live")
    other = Lease(tmp_path / "a/live")
    other.hold(now_s=maintenance.now_s())
    with capture_logs() as logs:
        compact_now(maintenance, clock)
        maintenance.rewrite()
        maintenance.retain()
        maintenance.vacuum()
    assert (stored(tmp_path / "a/live"), stored(tmp_path / "b/live")) == (0, 1)
    assert errors(logs) == []
    assert {entry["lake"] for entry in logs if entry["event"] == "left to another process"} == {str(tmp_path / "a/live")}
    other.release()
    compact_now(maintenance, clock)
    assert stored(tmp_path / "a/live") == 1


# The end


def test_closing_gives_every_lease_up(tmp_path, maintenance, clock, put):
    for name in ("a/live", "b/live"):
        put(name)
    compact_now(maintenance, clock)
    with pytest.raises(lake.errors.LeaseLost):
        Lease(tmp_path / "a/live").hold(now_s=maintenance.now_s())
    maintenance.close()
    for name in ("a/live", "b/live"):
        Lease(tmp_path / name).hold(now_s=maintenance.now_s())


def test_a_lease_that_cannot_be_given_up_keeps_no_other(tmp_path, maintenance, clock, put):
    for name in ("a/live", "b/live"):
        put(name)
    compact_now(maintenance, clock)
    lease = tmp_path / "a/live" / "compactor.lease"
    lease.unlink()
    lease.mkdir()
    with capture_logs() as logs:
        maintenance.close()
    assert errors(logs) == [str(tmp_path / "a/live")]
    Lease(tmp_path / "b/live").hold(now_s=maintenance.now_s())


def test_closing_leaves_the_lease_of_another_process(tmp_path, maintenance, clock, put):
    put()
    compact_now(maintenance, clock)
    other = Lease(tmp_path / "shop/live")
    other.hold(now_s=maintenance.now_s() + LEASE_S + 1)
    maintenance.close()
    with pytest.raises(lake.errors.LeaseLost):
        Lease(tmp_path / "shop/live").hold(now_s=maintenance.now_s() + LEASE_S + 1)


def test_what_is_told_to_stop_ends_before_its_next_step_and_begins_nothing_more(
    tmp_path, maintenance, clock, put, monkeypatch
):
    for name in ("a/live", "b/live"):
        put(name)
    write = DeltaLog.write

    def stopped_meanwhile(self, *args, **known):
        maintenance.stop()
        return write(self, *args, **known)

    monkeypatch.setattr(DeltaLog, "write", stopped_meanwhile)
    with capture_logs() as logs:
        compact_now(maintenance, clock)
        maintenance.rewrite()
    assert [stored(tmp_path / name) for name in ("a/live", "b/live")] == [0, 0]
    assert [(entry["event"], entry["lake"]) for entry in logs] == [("stopped", str(tmp_path / "a/live"))]
    monkeypatch.setattr(DeltaLog, "write", write)
    maintenance.close()
    again = replace(maintenance, _stopping=type(maintenance._stopping)(), _lakes={})
    compact_now(again, clock)
    assert [stored(tmp_path / name) for name in ("a/live", "b/live")] == [1, 1]
    again.close()
