"""A snapshot has each row once, whatever happens to the lake meanwhile, and can be had again by its name."""

import base64
import datetime as dt
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

import lake
from lake import landing as landing_module
from lake.compaction import Compactor
from lake.errors import SnapshotExpired, SnapshotInvalid
from lake.folder import create_folder
from lake.promotion import promote
from lake.retention import QUERY_S, keep
from lake.rewrite import Hour, rewrite
from lake.schema import TABLES, Promoted
from lake.settings import LakeSettings
from lake.snapshot import SnapshotReader
from lake.tables import CHECKPOINT_EVERY, DeltaLog, Partition, log_file
from tests.lake.checks import DISK, STEPS
from tests.lake.rows import deploy, error, exception_event, request, span
from tests.lake.spans import START

KEEP_S = LakeSettings().snapshot_keep_s
HOUR = Partition(START.date(), START.hour)


@pytest.fixture
def opened(lake_folder):
    with lake.open(lake_folder.path) as opened:
        yield opened


@pytest.fixture
def compactor(lake_folder):
    return Compactor(lake_folder, disk=DISK)


def counts(lake, *names):
    """Rows of some tables and how many of them are different ones."""
    keys = {"spans": "span_id", "exceptions": "id", "batches": "writer || sequence"}
    query = " UNION ALL ".join(f"SELECT count(*) AS n, count(DISTINCT {keys[n]}) AS d FROM {n}" for n in names or keys)
    return [(row["n"], row["d"]) for row in lake.sql(query).rows()]


def put_span(landing, trace=1, **known):
    return landing.put("spans", span(trace, events=[exception_event()], **known))


def age_log(lake_folder, seconds):
    """Make every commit so far look older."""
    for path in lake_folder.path.glob("*/_delta_log/*.json"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


# Each row once


def test_a_row_is_in_every_snapshot_once_between_landing_and_the_last_commit(lake_folder, landing, opened):
    seen = []
    compactor = Compactor(
        lake_folder, disk=DISK, step=lambda step: seen.append((step, counts(opened, "spans", "exceptions")))
    )
    for i in range(3):
        put_span(landing, i)
    assert counts(opened, "spans", "exceptions") == [(3, 3), (3, 3)]
    compactor.absorb()
    assert [step for step, _ in seen] == list(STEPS)
    assert {step for step, found in seen if found != [(3, 3), (3, 3)]} == set()
    assert counts(opened, "spans", "exceptions") == [(3, 3), (3, 3)]


def test_a_row_is_in_every_snapshot_once_while_its_hour_is_rewritten(landing, compactor, opened):
    for i in range(4):
        put_span(landing, i)
        compactor.absorb()
    seen = []
    compactor.step = lambda step: seen.append((step, counts(opened, "spans", "exceptions")))
    rewrite(compactor, Hour("spans", HOUR))
    assert {"rewrite exceptions", "rewrite spans", "rewritten spans"} <= {step for step, _ in seen}
    assert {step for step, found in seen if found != [(4, 4), (4, 4)]} == set()


def test_a_file_that_is_absorbed_while_a_snapshot_is_taken_counts_once(lake_folder, landing, compactor, monkeypatch):
    put_span(landing)
    reader = SnapshotReader(lake_folder, keep_s=KEEP_S)
    waiting = landing_module.waiting

    def absorbed_meanwhile(*args):
        monkeypatch.setattr(landing_module, "waiting", waiting)
        compactor.absorb()  # between the look at the logs and the listing
        return waiting(*args)

    monkeypatch.setattr(landing_module, "waiting", absorbed_meanwhile)
    taken = reader.newest()
    assert compactor.log("spans").watermark(taken.tables["spans"].tail[0].writer) == 1
    assert (taken.tables["spans"].version, len(taken.tables["spans"].tail)) == (-1, 1)


def test_files_that_no_version_has_are_not_read(lake_folder, landing, compactor, opened):
    put_span(landing, 1)
    compactor.absorb()
    log = compactor.log("spans")
    rows = opened.sql("SELECT * FROM spans").arrow()
    log.write(HOUR, rows)  # a compaction that was killed before its commit
    (landing.put("spans", span(2)).path.parent / "0000000003.parquet.tmp").write_bytes(b"half a file")
    assert counts(opened, "spans") == [(2, 2)]


def test_a_listing_that_misses_a_file_made_just_before_the_last_one_is_made_again(landing, lake_folder, monkeypatch):
    """Files may be made while a folder is listed, and the older one of two may be missed."""
    for i in range(3):
        put_span(landing, i)
    waiting, looks = landing_module.waiting, []

    def misses_one(*args):
        looks.append(args)
        found = waiting(*args)
        return [file for file in found if file.sequence != 2] if len(looks) == 1 else found

    monkeypatch.setattr(landing_module, "waiting", misses_one)
    taken = SnapshotReader(lake_folder, keep_s=KEEP_S).newest()
    assert [file.sequence for file in taken.tables["spans"].tail] == [1, 2, 3]


def test_what_is_made_during_the_second_look_is_not_in_the_snapshot(landing, lake_folder, monkeypatch):
    for i in range(3):
        put_span(landing, i)
    waiting, looks = landing_module.waiting, []

    def grows(*args):
        looks.append(args)
        found = waiting(*args)
        if len(looks) == 1:
            put_span(landing, 9)
            return [file for file in found if file.sequence != 2]
        return found

    monkeypatch.setattr(landing_module, "waiting", grows)
    taken = SnapshotReader(lake_folder, keep_s=KEEP_S).newest()
    assert [file.sequence for file in taken.tables["spans"].tail] == [1, 2, 3]


def test_files_behind_a_lost_one_are_read_and_named_all_the_same(landing, lake_folder, opened):
    files = [put_span(landing, i) for i in range(3)]
    files[1].path.unlink()
    assert counts(opened, "spans") == [(2, 2)]
    assert counts(opened.at(opened.snapshot()), "spans") == [(2, 2)]


# The same answer again


@pytest.fixture
def busy(lake_folder, landing, compactor, opened):
    """A lake with data files and a tail in every stream, and the token of that moment."""
    for tail in (False, True):
        put_span(landing, 1 + tail)
        landing.put("errors", error())
        landing.put("deploys", deploy())
        landing.put("requests", request())
        if not tail:
            compactor.absorb()
    return opened.snapshot().token


QUESTIONS = (
    "SELECT * FROM spans ORDER BY span_id",
    "SELECT * FROM errors ORDER BY id",
    "SELECT * FROM exceptions ORDER BY id",
    "SELECT * FROM deploys ORDER BY id",
    "SELECT * FROM requests ORDER BY request_id",
    "SELECT * FROM batches ORDER BY writer, sequence",
)


def answers(lake):
    return [lake.sql(question).arrow() for question in QUESTIONS]


def test_a_token_repeats_its_answers_through_compaction_rewrite_and_retention(lake_folder, landing, compactor, opened, busy):
    before = answers(opened)
    assert [len(answer) for answer in before] == [2, 4, 2, 2, 2, 1]

    def later():
        put_span(landing, 3)
        landing.put("errors", error("another"))

    def rewritten():
        compactor.absorb()
        for name in ("spans", "errors"):
            rewrite(compactor, Hour(name, HOUR))

    for change in (later, compactor.absorb, rewritten, lambda: keep(compactor, LakeSettings(), now_s=time.time())):
        change()
        assert answers(opened.at(busy)) == before
    assert len(answers(opened)[0]) == 3


def test_a_token_made_before_a_table_was_there_repeats_its_answers(landing, compactor, opened):
    put_span(landing)
    token = opened.snapshot().token
    compactor.absorb()
    put_span(landing)
    compactor.absorb()
    assert counts(opened.at(token), "spans", "exceptions") == [(1, 1), (1, 1)]


def test_a_token_repeats_its_answers_in_another_process(lake_folder, landing, compactor, opened, busy):
    before = [len(answer) for answer in answers(opened)]
    put_span(landing)
    compactor.absorb()
    script = (
        "import sys, lake; at = lake.open(sys.argv[1]).at(sys.argv[2]);"
        "print([at.sql(question).arrow().num_rows for question in sys.argv[3:]])"
    )
    command = [sys.executable, "-c", script, str(lake_folder.path), busy, *QUESTIONS]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == str(before)


def test_a_token_made_before_a_promotion_repeats_its_answers(lake_folder, landing, compactor, opened):
    landing.put("spans", span(attributes=[("tenant", "a")], attribute_types="s"))
    compactor.absorb()
    landing.put("spans", span(attributes=[("tenant", "b")], attribute_types="s"))
    token = opened.snapshot().token
    promote(lake_folder, "tenant")
    landing.put("spans", span(tenant="c", attribute_types="+"))
    compactor.absorb()
    assert opened.at(token).sql("SELECT tenant FROM spans ORDER BY 1").rows() == [{"tenant": "a"}, {"tenant": "b"}]


def test_a_snapshot_object_is_as_good_as_its_token(opened, busy):
    taken = opened.snapshot()
    assert taken.token == busy
    assert opened.at(taken).snapshot().token == busy


# Expired


def test_a_replaced_snapshot_expires_after_its_time(lake_folder, landing, compactor, opened, busy):
    put_span(landing)
    compactor.absorb()
    age_log(lake_folder, KEEP_S - 30)
    opened.at(busy)
    age_log(lake_folder, 60)
    with pytest.raises(SnapshotExpired, match="more than 3600 s old"):
        opened.at(busy)


def test_a_snapshot_that_nothing_replaced_never_expires(lake_folder, opened, busy):
    age_log(lake_folder, 10 * KEEP_S)
    assert counts(opened.at(busy), "spans") == [(2, 2)]


def test_a_snapshot_of_before_a_table_was_there_expires_too(lake_folder, landing, compactor, opened):
    put_span(landing)
    token = opened.snapshot().token
    compactor.absorb()
    age_log(lake_folder, 2 * KEEP_S)
    with pytest.raises(SnapshotExpired):
        opened.at(token)


def test_a_lake_at_an_expired_snapshot_says_so_at_its_next_question(lake_folder, landing, compactor, opened, busy):
    at = opened.at(busy)
    put_span(landing)
    compactor.absorb()
    age_log(lake_folder, 2 * KEEP_S)
    with pytest.raises(SnapshotExpired):
        at.sql("SELECT 1")


def test_no_snapshot_outlives_its_files(lake_folder, landing, compactor, opened):
    """Up to the moment a token expires retention keeps all it needs, and a minute more for the query."""
    put_span(landing, 1)
    compactor.absorb()
    put_span(landing, 2)
    token = opened.snapshot().token
    compactor.absorb()
    rewrite(compactor, Hour("spans", HOUR))
    replaced_s = log_file(lake_folder.path / "batches", 2).stat().st_mtime  # it is committed first
    for path in lake_folder.path.rglob("*.parquet"):  # else their own youth protects them
        os.utime(path, (0, 0))
    for age_s in (KEEP_S - 1, KEEP_S + QUERY_S - 1):
        keep(compactor, LakeSettings(spans_days=9999), now_s=replaced_s + age_s)
    at = SnapshotReader(lake_folder, keep_s=KEEP_S, clock=lambda: replaced_s + KEEP_S).at(token)
    files = [*at.tables["spans"].data_files(), *(str(file.path) for file in at.tables["spans"].tail)]
    assert len(files) == 2
    assert all(Path(file).exists() for file in files)
    late = SnapshotReader(lake_folder, keep_s=KEEP_S, clock=lambda: replaced_s + KEEP_S + 60)
    with pytest.raises(SnapshotExpired):
        late.at(token)


def test_a_snapshot_whose_data_files_went_early_is_expired(landing, compactor, opened, busy):
    """A disk that runs low lets retention delete sooner."""
    old = compactor.log("spans").files()
    put_span(landing)
    compactor.absorb()
    rewrite(compactor, Hour("spans", HOUR))
    for file in old:
        (compactor.log("spans").folder / file.path).unlink()
    with pytest.raises(SnapshotExpired, match="data files of this snapshot are gone"):
        opened.at(busy)


def test_a_snapshot_whose_landing_files_went_early_is_expired(landing, compactor, opened):
    file = put_span(landing)
    token = opened.snapshot().token
    compactor.absorb()
    file.path.unlink()
    with pytest.raises(SnapshotExpired, match="landing files of this snapshot are gone"):
        opened.at(token)


def test_a_snapshot_whose_log_is_cleaned_up_is_expired(lake_folder, landing, compactor, opened, busy):
    log = compactor.log("spans")
    while log.version < CHECKPOINT_EVERY + 2:
        log.commit()
    for version in range(CHECKPOINT_EVERY):
        log_file(log.folder, version).unlink()
    with lake.open(lake_folder.path) as another:
        assert counts(another, "spans") == [(2, 2)]
        with pytest.raises(SnapshotExpired):
            another.at(busy)


# No tokens


def token_of(content):
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


VERSIONS = dict.fromkeys(TABLES, -1)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "nonsense",
        "ünïcode",
        "a" * 10_000,
        "../../etc/passwd",
        token_of([]),
        token_of({}),
        token_of({"t": {}, "l": {}}),
        token_of({"t": [1], "l": {}}),
        token_of({"t": VERSIONS}),
        token_of({"t": VERSIONS | {"spans": "1"}, "l": {}}),
        token_of({"t": VERSIONS | {"spans": True}, "l": {}}),
        token_of({"t": VERSIONS | {"spans": 1.0}, "l": {}}),
        token_of({"t": VERSIONS | {"spans": 5}, "l": {}}),
        token_of({"t": VERSIONS | {"spans": 2**63 - 1}, "l": {}}),
        token_of({"t": VERSIONS | {"spans": -2}, "l": {}}),
        token_of({"t": VERSIONS | {"other": 1}, "l": {}}),
        token_of({"t": VERSIONS, "l": {"spans": {"w": 1}}}),
        token_of({"t": VERSIONS, "l": {"spans": {"w": [1, 2, 3]}}}),
        token_of({"t": VERSIONS, "l": {"spans": {"w": ["1", 2]}}}),
        token_of({"t": VERSIONS, "l": []}),
    ],
)
def test_what_is_no_token_of_the_lake_is_refused(opened, token):
    with pytest.raises(SnapshotInvalid) as refused:
        opened.at(token)
    assert not isinstance(refused.value, SnapshotExpired)


def test_a_token_of_another_lake_is_refused(tmp_path, opened, busy):
    with lake.open(create_folder(tmp_path / "other").path) as other, pytest.raises(SnapshotInvalid):
        other.at(busy)


def test_a_token_that_claims_files_which_never_were_is_expired(opened):
    with pytest.raises(SnapshotExpired):
        opened.at(token_of({"t": VERSIONS, "l": {"spans": {"nobody": [3, 3]}}}))


# While the lake changes


def test_an_open_lake_notices_a_promotion(lake_folder, landing, opened):
    landing.put("spans", span(attributes=[("tenant", "a")], attribute_types="s"))
    assert "tenant" not in opened.sql("SELECT * FROM spans").columns
    promote(lake_folder, "tenant")
    landing.put("spans", span(tenant="b", attribute_types="+"))
    assert opened.sql("SELECT tenant FROM spans ORDER BY 1").rows() == [{"tenant": "a"}, {"tenant": "b"}]
    assert [p.column for p in opened.folder.promoted][-1] == "tenant"


def test_a_promotion_during_a_snapshot_is_noticed_by_it(lake_folder, landing, monkeypatch):
    """The files are listed after the promotion, so one of them may have its column."""
    reader = SnapshotReader(lake_folder, keep_s=KEEP_S)
    waiting = landing_module.waiting
    promotions: list[Promoted] = []

    def promoted_meanwhile(*args):
        if not promotions:
            promotions.append(promote(lake_folder, "tenant"))
            landing.put("spans", span(tenant="b", attribute_types="+"))
        return waiting(*args)

    monkeypatch.setattr(landing_module, "waiting", promoted_meanwhile)
    taken = reader.newest()
    assert len(taken.tables["spans"].tail) == 1
    assert "tenant" in [column.name for column in taken.tables["spans"].table.columns]


def test_another_lake_at_the_place_of_a_deleted_one_is_noticed(lake_folder, landing, compactor, opened, tmp_path):
    for i in range(3):
        put_span(landing, i)
        compactor.absorb()
    assert counts(opened, "spans") == [(3, 3)]
    lake_folder.path.rename(tmp_path / "moved")
    create_folder(lake_folder.path)
    landing.end()
    put_span(landing, 9)
    Compactor(lake_folder, disk=DISK).absorb()
    assert counts(opened, "spans") == [(1, 1)]


@pytest.mark.parametrize("readers", [2])
def test_readers_see_whole_answers_while_everything_changes(lake_folder, landing, readers):
    """Compaction, rewrite and retention run while threads count: what was landed before a question is in its answer."""
    landed, wrong, questions = [0], [], [0] * readers
    finished = threading.Event()
    opened = lake.open(lake_folder.path)

    def count(number):
        while not finished.is_set():
            least = landed[0]
            spans, exceptions = counts(opened.at(opened.snapshot()), "spans", "exceptions")
            most = landed[0] + 1
            questions[number] += 1
            if not least <= spans[0] == spans[1] <= most or not least <= exceptions[0] == exceptions[1] <= most:
                wrong.append((least, spans, exceptions, most))

    with ThreadPoolExecutor(readers) as pool:
        running = [pool.submit(count, number) for number in range(readers)]
        try:
            compactor = Compactor(lake_folder, disk=DISK)
            while min(questions) < 30 and not any(task.done() for task in running):
                put_span(landing, landed[0])
                landed[0] += 1
                compactor.absorb()
                if landed[0] % 3 == 0:
                    rewrite(compactor, Hour("spans", HOUR))
                keep(compactor, LakeSettings(spans_days=9999, errors_days=9999), now_s=time.time())
        finally:
            finished.set()
        for task in running:
            task.result()
    opened.close()
    assert wrong == []
    assert min(questions) >= 30


def test_an_old_version_is_opened_once_for_many_questions(landing, compactor, opened, busy, monkeypatch):
    put_span(landing)
    compactor.absorb()
    opened.at(busy)
    versions = []
    original = DeltaLog.__init__

    def counted(self, *args, version=None, **known):
        versions.append(version)
        original(self, *args, version=version, **known)

    monkeypatch.setattr(DeltaLog, "__init__", counted)
    opened.at(busy).sql("SELECT count(*) FROM spans").arrow()
    assert versions == []


def test_files_are_left_out_by_time_and_trace(landing, compactor, opened):
    hour = dt.timedelta(hours=1)
    landing.put("spans", span("a" * 32), span("b" * 32, start_time=START + hour))
    compactor.absorb()
    table = opened.snapshot().tables["spans"]
    assert len(table.data_files()) == 2
    assert len(table.data_files(since=START + hour)) == 1
    assert len(table.data_files(until=START + hour)) == 1
    assert len(table.data_files(until=START)) == 0
    assert len(table.data_files(trace_id="a" * 32)) == 1
    assert len(table.data_files(trace_id="0" * 32)) == 0
    exceptions = opened.snapshot().tables["exceptions"]
    assert exceptions.data_files(since=START, time="timestamp", trace_id="a" * 32) == []
