"""Which requests repeat an earlier one, decided once."""

import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.batches import REPEAT_WINDOW_S, SeenRequests, batch_rows, decided_repeats, repeats_in
from lake.data_files import Partition
from lake.landing import LandingFile, Request
from lake.partitioning import hours_of, partitioned
from lake.schema import BATCHES
from lake.tables import DeltaLog
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START

NOW_S = START.timestamp()
DAY_S = 86_400


@pytest.fixture
def log(lake_folder):
    return DeltaLog.open_or_create(lake_folder.path, BATCHES, disk=UnflushedDisk())


def hash_of(text):
    return sha256(text.encode()).hexdigest()


def landed(tmp_path, *requests, writer="w", sequence=1):
    """A landing file with these requests, each named by a text."""
    return LandingFile(writer, sequence, tmp_path / str(sequence)), [Request(hash_of(text), 2) for text in requests]


def decide(log, seen, *files, now_s=NOW_S):
    """Decide on the requests of some files and commit that; which of them are repeats."""
    seen.follow(log, now_s=now_s)
    rows = batch_rows(files, seen, now_s=now_s)
    parts = partitioned(rows, hours_of(rows, BATCHES.time), BATCHES, max_rows=1000)
    log.commit(add=[log.write(partition, part) for partition, part in parts])
    seen.add(rows.column("request_hash").to_pylist(), now_s=now_s, version=log.version)
    return rows.column("duplicate").to_pylist()


def test_a_row_says_where_its_request_lies(tmp_path):
    files = [landed(tmp_path, "a", "b", sequence=3), landed(tmp_path, "a", writer="v", sequence=1)]
    rows = batch_rows(files, SeenRequests(), now_s=NOW_S)
    assert rows.schema.equals(BATCHES.arrow_schema)
    assert rows.to_pylist() == [
        {"request_hash": hash_of(text), "writer": writer, "sequence": sequence, "position": position,
         "row_count": 2, "duplicate": duplicate, "ingested_at": START}
        for text, writer, sequence, position, duplicate in [
            ("a", "w", 3, 0, False), ("b", "w", 3, 1, False), ("a", "v", 1, 0, True),
        ]
    ]  # fmt: skip


def test_files_without_requests_give_no_rows(tmp_path):
    assert batch_rows([landed(tmp_path)], SeenRequests(), now_s=NOW_S).num_rows == 0


@pytest.mark.parametrize("remembered", [True, False])
def test_a_request_seen_before_is_a_repeat_whoever_remembers_it(log, tmp_path, remembered):
    seen = SeenRequests()
    assert decide(log, seen, landed(tmp_path, "a", "b")) == [False, False]
    later = seen if remembered else SeenRequests()
    assert decide(log, later, landed(tmp_path, "c", "b", "a", sequence=2)) == [False, True, True]


def test_a_repeat_of_a_repeat_is_one(log, tmp_path):
    seen = SeenRequests()
    assert [decide(log, seen, landed(tmp_path, "a", sequence=n)) for n in (1, 2, 3)] == [[False], [True], [True]]


@pytest.mark.parametrize(
    ("later_s", "repeat"),
    [(0, True), (REPEAT_WINDOW_S - 1, True), (REPEAT_WINDOW_S + 3600, False), (-7200, True), (40 * DAY_S, False)],
)
@pytest.mark.parametrize("remembered", [True, False])
def test_a_repeat_counts_as_one_for_a_day(log, tmp_path, later_s, repeat, remembered):
    seen = SeenRequests()
    decide(log, seen, landed(tmp_path, "a"))
    later = seen if remembered else SeenRequests()
    assert decide(log, later, landed(tmp_path, "a", sequence=2), now_s=NOW_S + later_s) == [repeat]


def test_a_clock_that_jumps_ahead_and_back_forgets_nothing(log, tmp_path):
    seen = SeenRequests()
    decide(log, seen, landed(tmp_path, "a"))
    seen.follow(log, now_s=NOW_S + 40 * DAY_S)
    assert decide(log, seen, landed(tmp_path, "a", sequence=2)) == [True]


def test_what_the_window_has_left_is_forgotten(log, tmp_path):
    seen = SeenRequests()
    for hour in range(60):
        decide(log, seen, landed(tmp_path, str(hour), sequence=hour + 1), now_s=NOW_S + hour * 3600)
    assert len(seen._hours) <= 26


def test_equal_prefixes_are_not_taken_for_equal_requests(log, tmp_path):
    seen = SeenRequests()
    first, second = ("ab" * 8 + end * 24 for end in ("00", "01"))
    files = [(LandingFile("w", n, tmp_path), [Request(hash_, 1)]) for n, hash_ in enumerate((first, second, second), 1)]
    assert [decide(log, seen, file) for file in files] == [[False], [False], [True]]


def test_a_version_that_somebody_else_made_is_followed(log, lake_folder, tmp_path):
    seen, other = SeenRequests(), DeltaLog(lake_folder.path, BATCHES, disk=UnflushedDisk())
    decide(log, seen, landed(tmp_path, "a"))
    other.refresh()
    decide(other, SeenRequests(), landed(tmp_path, "b", writer="v"))
    log.refresh()
    assert decide(log, seen, landed(tmp_path, "b", "a", "c", sequence=2)) == [True, True, False]


def test_a_new_handle_of_the_same_version_is_followed(log, lake_folder, tmp_path):
    seen = SeenRequests()
    decide(log, seen, landed(tmp_path, "a"))
    new = DeltaLog(lake_folder.path, BATCHES, disk=UnflushedDisk())  # as after a promotion
    assert decide(new, seen, landed(tmp_path, "b", sequence=2)) == [False]
    assert decide(new, seen, landed(tmp_path, "b", "a", sequence=3)) == [True, True]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_of_equal_requests_exactly_the_first_counts(tmp_path_factory, files, rnd: random.Random):
    lake = tmp_path_factory.mktemp("lake")
    log = DeltaLog.open_or_create(lake, BATCHES, disk=UnflushedDisk())
    seen, known = SeenRequests(), set()
    for sequence, requests in enumerate(files, 1):
        if rnd.random() < 0.3:
            seen = SeenRequests()  # the compactor is restarted
        if requests:
            found = decide(log, seen, landed(lake, *map(str, requests), sequence=sequence))
            for request, repeat in zip(requests, found, strict=True):
                assert repeat == (request in known)
                known.add(request)


# What was decided is read back


def test_decisions_are_found_by_file(log, tmp_path):
    seen = SeenRequests()
    files = [landed(tmp_path, *requests, sequence=n) for n, requests in enumerate([("a", "b"), ("b", "c", "a"), ("d",)], 1)]
    for file in files:
        decide(log, seen, file)
    assert decided_repeats(log, [file for file, _ in files]) == {files[1][0]: [0, 2]}
    assert decided_repeats(log, [files[0][0], files[2][0]]) == {}


def test_decisions_on_files_of_other_writers_are_not_taken(log, tmp_path):
    seen = SeenRequests()
    mine, other = landed(tmp_path, "a", writer="a"), landed(tmp_path, "a", writer="c")
    decide(log, seen, mine, other)
    between = LandingFile("b", 1, tmp_path)
    assert decided_repeats(log, [between]) == {}
    assert decided_repeats(log, [other[0]]) == {other[0]: [0]}


def test_a_table_without_files_has_decided_nothing(log, tmp_path):
    assert decided_repeats(log, [LandingFile("w", 1, tmp_path)]) == {}


def test_repeats_in_rows_are_those_of_the_files_asked_for(tmp_path):
    files = [landed(tmp_path, "a", "a", sequence=1), landed(tmp_path, "a", sequence=2)]
    rows = batch_rows(files, SeenRequests(), now_s=NOW_S)
    assert repeats_in(rows, [files[0][0]]) == {files[0][0]: [1]}


def test_decisions_lie_in_the_hour_they_were_made(log, tmp_path):
    decide(log, SeenRequests(), landed(tmp_path, "a"))
    assert [file.partition for file in log.files()] == [Partition(START.date(), START.hour)]
