"""An hour that is over becomes few files with each span once, whatever happens while it does."""

import datetime as dt
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lake
from lake import rewrite as rewriting
from lake import trace_ranges
from lake.compaction import Compactor
from lake.derived.exceptions import exceptions_of
from lake.errors import CommitConflict, LakeCorrupt, LeaseLost
from lake.folder import LakeFolder, create_folder
from lake.identity import latest_spans
from lake.landing import conform
from lake.lease import LEASE_S, Lease
from lake.partitioning import OVERFLOW_HOURS
from lake.promotion import promote
from lake.rewrite import (
    CLOSED_AFTER_S,
    MAX_FRESH_FILES,
    ONCE_A_DAY_S,
    Hour,
    due,
    is_due,
    rewrite,
    rewrite_due,
)
from lake.schema import DERIVED, OVERFLOW_HOUR, SPAN_IDENTITY
from lake.tables import LiveFile, Partition
from tests.lake.checks import DISK, Clock, Stopped, StoppingDisk, assert_derived, table_of
from tests.lake.hours import PARTITION, another, at_step, contents, files_of, raised_span, rows_in
from tests.lake.rows import Row, deploy, error, request, span, table, trace_id
from tests.lake.spans import START

HOUR = Hour("spans", PARTITION)
HOUR_S = 3600
END_S = START.timestamp() + HOUR_S
OVER_S = END_S + CLOSED_AFTER_S
OVERFLOW = Partition(dt.date(1970, 1, 1), OVERFLOW_HOUR)


@pytest.fixture
def clock():
    clock = Clock()
    clock.now_s = OVER_S
    return clock


@pytest.fixture
def compactor(lake_folder, clock):
    return Compactor(lake_folder, disk=DISK, clock=clock)


# When


def file(*, rewritten=False, rows=100, age_s=0.0, partition=PARTITION):
    name = "hour-" if rewritten else "part-"
    return LiveFile(f"{partition.folder}/{name}x.parquet", partition, 1, rows, OVER_S - age_s)


FEW = [file(rewritten=True, rows=10_000)]


@pytest.mark.parametrize(
    ("files", "now_s", "expected"),
    [
        ([], OVER_S, False),
        ([file()], OVER_S, True),
        ([file()], OVER_S - 1, False),  # late spans are still expected
        ([file()], END_S - 1, False),  # the hour is not over
        ([file(rewritten=True)], OVER_S, False),  # done
        ([file(rewritten=True)] * 100, OVER_S + 10 * ONCE_A_DAY_S, False),
        ([*FEW, file(rows=500)], OVER_S, False),  # less than 5 %
        ([*FEW, file(rows=600)], OVER_S, True),
        ([*FEW, *[file(rows=1)] * MAX_FRESH_FILES], OVER_S, False),
        ([*FEW, *[file(rows=1)] * (MAX_FRESH_FILES + 1)], OVER_S, True),
        ([*FEW, file(rows=1, age_s=ONCE_A_DAY_S)], OVER_S, False),
        ([*FEW, file(rows=1, age_s=ONCE_A_DAY_S + 1)], OVER_S, True),
        ([*FEW, file(rows=1), file(rows=1, age_s=ONCE_A_DAY_S + 1)], OVER_S, True),
        ([*FEW, file(rows=1, age_s=-ONCE_A_DAY_S)], OVER_S, False),  # the clock was set back
        ([*FEW, *[file(rows=1)] * 100], OVER_S - 1, False),
    ],
)
def test_when_an_hour_is_due(files, now_s, expected):
    assert is_due(PARTITION, files, now_s=now_s) is expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([file(partition=OVERFLOW)], False),  # it is of no hour, so no row in it is late
        ([file(partition=OVERFLOW)] * (MAX_FRESH_FILES + 1), True),
        ([file(partition=OVERFLOW, age_s=ONCE_A_DAY_S + 1)], True),
        ([file(partition=OVERFLOW, rewritten=True, age_s=ONCE_A_DAY_S + 1)], False),
    ],
)
def test_when_the_overflow_partition_is_due(files, expected):
    assert is_due(OVERFLOW, files, now_s=OVER_S) is expected
    assert [hour.partition for hour in due("spans", files, now_s=OVER_S)] == [OVERFLOW] * expected


def test_due_hours_come_oldest_first():
    hours = [Partition(dt.date(2026, 11, day), hour) for day, hour in ((22, 9), (21, 23), (22, 0))]
    files = [file(partition=hour) for hour in hours]
    assert [hour.partition for hour in due("spans", files, now_s=OVER_S)] == sorted(hours)


def test_only_so_many_hours_are_rewritten_at_once(landing, compactor, lake_folder):
    for hours in range(5):
        landing.put("spans", span(hours, start_time=START - dt.timedelta(hours=hours)))
        landing.put("requests", request(-hours * HOUR_S))
    assert [rewrite_due(compactor, now_s=OVER_S, max_hours=4) for _ in range(4)] == [4, 4, 2, 0]


# What


def test_after_a_rewrite_every_span_is_there_once_as_it_came_last(landing, compactor, lake_folder):
    same: Row = {"trace": 1, "span_id": "a" * 16}
    landing.put("spans", span(**same, name="last", ingested_s=9), span(2, name="other"))
    compactor.absorb()
    landing.put("spans", span(**same, name="first", ingested_s=1), span(**same, name="client", kind="client"))
    landing.put("spans", span(**same, name="later", start_ns=1), span(2, name="another"))
    assert rewrite_due(compactor, now_s=OVER_S) == 1
    found = contents(lake_folder)[0]
    assert sorted(key[-1] for key in found) == ["another", "client", "last", "later", "other"]
    assert set(found.values()) == {1}
    assert rewrite_due(compactor, now_s=OVER_S) == 0


def test_what_is_not_known_to_repeat_is_kept_as_it_is(landing, compactor, lake_folder):
    """Reports, deploys and requests have no identity that a rewrite could know."""
    for _ in range(3):
        landing.put("errors", error(id="err_1"))
        landing.put("deploys", deploy(id="deploy_1"))
        landing.put("requests", request(request_id="r"))
        compactor.absorb()
    assert rewrite_due(compactor, now_s=OVER_S) == 3
    for name in ("errors", "deploys", "requests"):
        assert table_of(lake_folder.path, name, "ingested_at").num_rows == 3
        assert [file.is_rewritten for file in files_of(compactor, name)] == [True]


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 40 rows, so that an hour of a test has several."""
    monkeypatch.setattr(trace_ranges, "RANGE_ROWS", 40)
    monkeypatch.setattr(trace_ranges, "_SAMPLE_EVERY", 5)


@pytest.mark.usefixtures("small_parts")
def test_the_new_files_are_sorted_and_their_traces_apart(landing, compactor, lake_folder):
    for number in range(20):
        landing.put("spans", *(raised_span((number * 7 + i) % 60, start_ns=i) for i in range(10)))
        compactor.absorb()
    before = contents(lake_folder)
    rewrite(compactor, HOUR)
    assert contents(lake_folder) == before
    tables = sorted(
        (rows_in(compactor, file) for file in files_of(compactor)), key=lambda t: t.column("trace_id")[0].as_py()
    )
    assert len(tables) >= 4
    for rows in tables:
        assert rows.num_rows <= 2 * trace_ranges.RANGE_ROWS
        order = pc.sort_indices(rows, sort_keys=[("trace_id", "ascending"), ("start_time", "ascending")])
        assert rows.take(order).select(["trace_id", "start_time"]) == rows.select(["trace_id", "start_time"])
    for left, right in pairwise(tables):
        assert left.column("trace_id")[-1].as_py() < right.column("trace_id")[0].as_py()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("gathered_bytes", [1, 2**20])
def test_exceptions_are_those_that_the_spans_of_the_hour_have(landing, compactor, lake_folder, monkeypatch, gathered_bytes):
    """Also where a span that came again has other ones, or none."""
    monkeypatch.setattr(rewriting, "_DERIVED_MAX_BYTES", gathered_bytes)
    for number in range(12):
        landing.put("spans", *(raised_span(number * 10 + i, f"m{number}", span_id=f"{i:016x}") for i in range(10)))
    landing.put("spans", *(span(i, span_id=f"{i:016x}", ingested_s=5) for i in range(5)))
    landing.put("spans", raised_span(7, "changed", span_id=f"{7:016x}", ingested_s=5))
    compactor.absorb()
    rewrite(compactor, HOUR)
    assert derived_again(compactor) == contents(lake_folder)[1]
    assert contents(lake_folder)[1].total() == 115
    assert len(files_of(compactor, "exceptions")) == (1 if gathered_bytes > 1 else len(files_of(compactor)))


def derived_again(compactor):
    spans = pa.concat_tables([rows_in(compactor, file) for file in compactor.log("spans").files()])
    rows = exceptions_of(conform(spans, compactor.tables["spans"].arrow_schema))
    return Counter(tuple(row.values()) for row in rows.select(["id", "message"]).to_pylist())


def test_an_hour_whose_exceptions_are_all_gone_has_no_file_of_them(landing, compactor):
    landing.put("spans", raised_span(1, span_id="a" * 16))
    landing.put("spans", span(1, span_id="a" * 16, ingested_s=1))
    compactor.absorb()
    rewrite(compactor, HOUR)
    assert files_of(compactor, "exceptions") == []


def test_late_spans_are_taken_in_by_the_next_rewrite(landing, compactor, lake_folder):
    landing.put("spans", raised_span(1, "before", span_id="a" * 16), span(2))
    rewrite_due(compactor, now_s=OVER_S)
    landing.put("spans", span(1, span_id="a" * 16, ingested_s=9), raised_span(3, "late"))
    assert rewrite_due(compactor, now_s=OVER_S) >= 1
    spans, exceptions = contents(lake_folder)
    assert spans.total() == 3
    assert [message for _, message in exceptions] == ["late"]


def test_files_from_before_and_after_a_promotion_are_rewritten_together(landing, compactor, lake_folder):
    landing.put("spans", span(1, attributes=[("tenant", "a"), ("size", "1")], attribute_types="si"))
    compactor.absorb()
    promote(lake_folder, "tenant")
    landing.put("spans", span(2, tenant="b", attributes=[("size", "2")], attribute_types="+i"))
    compactor.absorb()
    rewrite(compactor, HOUR)
    assert [file.is_rewritten for file in files_of(compactor)] == [True]
    with lake.open(lake_folder.path) as opened:
        query = "SELECT tenant, attributes['size'] AS size FROM spans ORDER BY 1"
        assert opened.sql(query).rows() == [{"tenant": "a", "size": "1"}, {"tenant": "b", "size": "2"}]


def test_a_column_that_the_compactor_does_not_know_is_never_dropped(landing, compactor, lake_folder):
    landing.put("spans", span(1))
    compactor.absorb()
    stale = Compactor(lake_folder, disk=DISK, clock=compactor.clock, lease=compactor.lease)
    promote(lake_folder, "tenant")
    landing.put("spans", span(2, tenant="b", attribute_types="+"))
    compactor.absorb()
    with pytest.raises(CommitConflict, match="promoted"):
        rewrite(stale, HOUR)
    assert contents(lake_folder)[0].total() == 2
    rewrite_due(stale, now_s=OVER_S)  # it looks at the lake first
    with lake.open(lake_folder.path) as opened:
        assert opened.sql("SELECT tenant FROM spans ORDER BY 1").rows() == [{"tenant": "b"}, {"tenant": None}]


# The overflow partition


def test_spans_of_a_request_over_too_many_hours_keep_their_exceptions_through_every_rewrite(landing, compactor, lake_folder):
    far = [raised_span(1, start_time=START - dt.timedelta(hours=h)) for h in range(OVERFLOW_HOURS + 1)]
    landing.put("spans", *far)
    landing.put("spans", raised_span(2), span(3))
    compactor.absorb()
    assert {file.partition for file in compactor.log("spans").files()} == {OVERFLOW, PARTITION}
    before = contents(lake_folder)
    for partition in (PARTITION, OVERFLOW, PARTITION):
        rewrite(compactor, Hour("spans", partition))
        assert contents(lake_folder) == before
    assert all(file.is_rewritten for name in ("spans", "exceptions") for file in compactor.log(name).files())


# Crashes


@pytest.fixture
def hour(landing, compactor, lake_folder):
    """An hour with repeats, of which the last ones have no exception any more; what must be left of it."""
    for number in range(3):
        landing.put("spans", *(raised_span(i, span_id=f"{i:016x}", ingested_s=number) for i in range(30)))
        compactor.absorb()
    landing.put("spans", *(span(i, span_id=f"{i:016x}", ingested_s=9) for i in range(10)))
    compactor.absorb()
    spans, exceptions = contents(lake_folder)
    assert (spans.total(), len(spans), exceptions.total(), len(exceptions)) == (100, 30, 90, 30)
    return Counter(spans.keys())


def assert_healed(lake_folder, clock, spans):
    """The next run leaves each span once, and the exceptions that they have."""
    compactor = another(lake_folder, clock)
    rewrite_due(compactor, now_s=OVER_S)
    found, exceptions = contents(lake_folder)
    assert found == spans
    assert exceptions == derived_again(compactor)
    assert exceptions.total() == 20
    assert_derived(lake_folder.path)
    assert rewrite_due(compactor, now_s=OVER_S) == 0


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("stop_before", range(5 + len(DERIVED)))
def test_a_rewrite_that_is_killed_at_any_step_loses_and_doubles_nothing(lake_folder, clock, hour, stop_before):
    steps: list[str] = []

    def step(name):
        steps.append(name)
        if len(steps) > stop_before:
            raise Stopped(name)

    with pytest.raises(Stopped):
        rewrite(another(lake_folder, clock, step=step), HOUR)
    spans, exceptions = contents(lake_folder)
    assert spans.keys() == hour.keys()
    assert len(exceptions) in (20, 30)
    assert_healed(lake_folder, clock, hour)


def test_every_step_of_a_rewrite_is_stopped_at(lake_folder, clock, hour):
    steps: list[str] = []
    rewrite(another(lake_folder, clock, step=steps.append), HOUR)
    derived = [f"rewrite {table.name}" for table in DERIVED]
    assert steps == ["rewrite a part of spans", *derived, "rewrite spans", "rewritten spans"]


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.full)])
def test_a_rewrite_that_is_killed_before_an_operation_on_the_disk_heals(lake_folder, clock, hour, tmp_path, every):
    for operations in range(0, 10_000, every):
        copy = LakeFolder(tmp_path / f"copy-{operations}", lake_folder.promoted)
        shutil.copytree(lake_folder.path, copy.path)
        try:
            rewrite(another(copy, clock, disk=StoppingDisk(operations)), HOUR)
            break
        except Stopped:
            assert_healed(copy, clock, hour)
            shutil.rmtree(copy.path)
    assert operations > 10


def test_what_a_rewrite_puts_aside_is_gone_when_it_ends(lake_folder, clock, hour, monkeypatch):
    monkeypatch.setattr(trace_ranges, "RANGE_ROWS", 40)
    monkeypatch.setattr(trace_ranges, "_SAMPLE_EVERY", 5)
    with pytest.raises(Stopped):
        rewrite(another(lake_folder, clock, step=stop), HOUR)
    rewrite(another(lake_folder, clock), HOUR)
    assert list((lake_folder.path / trace_ranges.SCRATCH).iterdir()) == []


def stop(name):
    raise Stopped(name)


# Others at the same time


@pytest.mark.parametrize("step", ["rewrite a part of spans", "rewrite exceptions", "rewrite spans"])
def test_a_rewrite_that_meets_an_append_changes_nothing(landing, lake_folder, clock, hour, step):
    def append(other):
        landing.put("spans", raised_span(99, "appended", name="appended"))
        other.absorb()

    with pytest.raises(CommitConflict):
        rewrite(at_step(lake_folder, clock, step, append), HOUR)
    spans, exceptions = contents(lake_folder)
    assert (spans.total(), len(spans)) == (101, 31)
    assert [message for _, message in exceptions].count("appended") == 1
    rewrite_due(another(lake_folder, clock), now_s=OVER_S)
    spans, exceptions = contents(lake_folder)
    assert (spans.total(), exceptions.total()) == (31, 21)


@pytest.mark.parametrize("step", ["rewrite a part of spans", "rewrite exceptions", "rewrite spans"])
def test_of_two_rewrites_of_an_hour_one_wins(lake_folder, clock, hour, step):
    with pytest.raises(CommitConflict):
        rewrite(at_step(lake_folder, clock, step, lambda other: rewrite(other, HOUR)), HOUR)
    assert_healed(lake_folder, clock, hour)


def test_an_hour_that_another_process_rewrote_since_it_was_planned_is_not_doubled(landing, lake_folder, clock, hour):
    """A compactor plans several hours, sleeps past its lease in the first one, and goes on when nobody holds it."""
    earlier = START - dt.timedelta(hours=1)
    landing.put("spans", *(raised_span(50, start_time=earlier) for _ in range(3)))

    def rewrite_all(other):
        rewrite_due(other, now_s=OVER_S)
        other.lease.release()

    compactor = at_step(lake_folder, clock, "rewritten spans", rewrite_all)
    rewrite_due(compactor, now_s=OVER_S)
    spans, exceptions = contents(lake_folder)
    assert set(spans.values()) == set(exceptions.values()) == {1}
    assert (spans.total(), exceptions.total()) == (33, 23)


def test_a_rewrite_waits_until_exceptions_have_what_spans_have(landing, lake_folder, compactor, clock, hour):
    """A compaction ended between the two commits: exceptions made from the spans now would come a second time."""
    landing.put("spans", raised_span(99, "between"))

    def end(name):
        if name == "write exceptions":
            raise Stopped(name)

    with pytest.raises(Stopped):
        another(lake_folder, clock, step=end).absorb()
    other = another(lake_folder, clock)
    before = contents(lake_folder)
    with pytest.raises(CommitConflict, match="lag behind spans"):
        rewrite(other, HOUR)
    assert contents(lake_folder) == before
    rewrite_due(other, now_s=OVER_S)
    spans, exceptions = contents(lake_folder)
    assert (spans.total(), exceptions.total()) == (31, 21)


def test_a_rewrite_needs_the_lease(landing, lake_folder, compactor, clock):
    landing.put("spans", span())
    compactor.absorb()
    clock.now_s += LEASE_S + 1
    Lease(lake_folder.path).hold(now_s=clock.now_s)
    with pytest.raises(LeaseLost):
        rewrite(compactor, HOUR)
    assert not any(file.is_rewritten for file in files_of(compactor))


# Damage


def damage(path):
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [damage, lambda path: path.unlink()])
def test_an_hour_with_a_damaged_file_does_not_stop_the_others(landing, lake_folder, compactor, spoil):
    for hours in range(3):
        landing.put("spans", span(hours, start_time=START - dt.timedelta(hours=hours)))
    compactor.absorb()
    bad = files_of(compactor)[0]
    spoil(compactor.log("spans").folder / bad.path)
    with pytest.raises(LakeCorrupt, match="tracelake doctor"):
        rewrite_due(compactor, now_s=OVER_S)
    assert {f.partition: f.is_rewritten for f in compactor.log("spans").files()} == {
        Partition(START.date(), START.hour - hours): hours != 0 for hours in range(3)
    }


def test_a_damaged_landing_file_does_not_stop_a_rewrite(landing, lake_folder, compactor):
    landing.put("spans", span(1))
    compactor.absorb()
    damage(landing.put("spans", span(2)).path)
    with pytest.raises(LakeCorrupt, match="tracelake doctor"):
        rewrite_due(compactor, now_s=OVER_S)
    assert [file.is_rewritten for file in files_of(compactor)] == [True]


# Ranges of traces


@pytest.fixture
def sorted_files(lake_folder, compactor):
    """Writes spans of these traces into files, each sorted; returns their paths."""

    def write(*contents):
        log = compactor.log("spans")
        paths = []
        for traces in contents:
            rows = table(lake_folder, "spans", [span(trace) for trace in sorted(traces)])
            paths.append(log.folder / log.write(PARTITION, rows).path)
        return paths

    return write


def parts_of(paths, lake_folder, row_count):
    schema = table(lake_folder, "spans", []).schema
    found = trace_ranges.parts(paths, schema, row_count, lake_folder.path / trace_ranges.SCRATCH)
    return [part for part in found if part.num_rows]


@pytest.mark.usefixtures("small_parts")
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_parts_have_every_row_once_and_traces_whole(tmp_path_factory, data):
    lake_folder = create_folder(tmp_path_factory.mktemp("lake"))
    log = Compactor(lake_folder, disk=DISK).log("spans")
    traces = st.lists(st.integers(0, data.draw(st.sampled_from([0, 3, 500]))), min_size=1, max_size=80)
    paths = []
    for ids in data.draw(st.lists(traces, min_size=1, max_size=6)):
        rows = table(lake_folder, "spans", [span(id_) for id_ in sorted(ids)])
        paths.append(log.folder / log.write(PARTITION, rows).path)
    everything = pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])
    found = parts_of(paths, lake_folder, everything.num_rows)
    assert Counter(pa.concat_tables(found).column("span_id").to_pylist()) == Counter(
        everything.column("span_id").to_pylist()
    )
    bounds = [pc.min_max(part.column("trace_id")).as_py() for part in found]
    assert all(left["max"] < right["min"] for left, right in pairwise(bounds))
    largest_trace = max(Counter(everything.column("trace_id").to_pylist()).values())
    slack = largest_trace + 5 * len(paths)
    assert all(part.num_rows <= trace_ranges.RANGE_ROWS + slack for part in found)


@pytest.mark.usefixtures("small_parts")
def test_ids_that_all_begin_alike_are_cut_into_parts_all_the_same(lake_folder, sorted_files):
    """Not every client makes ids at random: some begin with the time."""
    paths = sorted_files(*(range(n, 400, 10) for n in range(10)))
    assert len(parts_of(paths, lake_folder, 400)) == 10


@pytest.mark.usefixtures("small_parts")
def test_a_trace_larger_than_a_part_stays_whole(lake_folder, sorted_files):
    paths = sorted_files([1] * 90 + list(range(2, 102)), [1] * 60)
    found = parts_of(paths, lake_folder, 250)
    assert len(found) >= 3
    assert [part.column("trace_id").to_pylist().count(trace_id(1)) for part in found] == [150] + [0] * (len(found) - 1)
    assert all(part.num_rows <= 60 for part in found[1:])


@pytest.mark.usefixtures("small_parts")
def test_every_file_is_read_once_for_its_rows_however_many_parts_there_are(lake_folder, sorted_files, monkeypatch):
    paths = sorted_files(*(range(n, 400, 10) for n in range(10)))
    reads: Counter[Path] = Counter()
    opened = trace_ranges.opened

    def counted(path):
        reads[path] += 1
        return opened(path)

    monkeypatch.setattr(trace_ranges, "opened", counted)
    parts_of(paths, lake_folder, 400)
    assert reads == dict.fromkeys(paths, 2)  # once for a sample of its trace ids


def test_few_rows_are_one_part_without_a_scratch_folder(lake_folder, sorted_files):
    paths = sorted_files([1, 2], [3])
    assert [part.num_rows for part in parts_of(paths, lake_folder, 3)] == [3]
    assert not (lake_folder.path / trace_ranges.SCRATCH).exists()


SOME = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 2), st.sampled_from(["client", "server"]), st.integers(0, 1), st.integers(0, 3)
    ),
    max_size=25,
)


@given(SOME)
def test_of_equal_spans_the_one_stays_that_came_last(tmp_path_factory, spans):
    rows = [
        span(trace, span_id=f"{id_:016x}", kind=kind, start_ns=start, ingested_s=ingested, name=str(place))
        for place, (trace, id_, kind, start, ingested) in enumerate(spans)
    ]
    latest: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in SPAN_IDENTITY)
        if key not in latest or (row["ingested_at"], row["name"]) > (latest[key]["ingested_at"], latest[key]["name"]):
            latest[key] = row
    found = latest_spans(table(LakeFolder(tmp_path_factory.getbasetemp()), "spans", rows))
    assert sorted(found.column("name").to_pylist()) == sorted(row["name"] for row in latest.values())
    order = [(r["trace_id"], r["start_time"]) for r in found.to_pylist()]
    assert order == sorted(order)
