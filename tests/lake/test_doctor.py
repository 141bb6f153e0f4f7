"""Whatever is wrong with a lake is found, and what helps is said."""

import errno
import os
import shlex
import shutil
import time

import click.testing
import orjson
import pytest

import lake
from api.commands.doctor import doctor
from lake.compaction import Compactor
from lake.doctor import examine, give_up
from lake.errors import LakeCorrupt, LakeError, NotALake
from lake.retention import keep
from lake.rewrite import Hour, rewrite
from lake.schema import TABLES
from lake.settings import LakeSettings
from lake.tables import Partition, log_file
from tests.lake.checks import DISK
from tests.lake.rows import deploy, error, exception_event, request, span, table
from tests.lake.spans import START

HOUR = Partition(START.date(), START.hour)


@pytest.fixture
def compactor(lake_folder):
    return Compactor(lake_folder, disk=DISK)


@pytest.fixture
def filled(landing, compactor, lake_folder):
    """A lake with a file in each table."""
    landing.put("spans", span(1, kind="client", peer_service="bank", events=[exception_event()]))
    landing.put("errors", error())
    landing.put("deploys", deploy())
    landing.put("requests", request())
    compactor.absorb()
    return lake_folder.path


def one(path, **known):
    """The only finding."""
    report = examine(path, **known)
    assert len(report.findings) == 1, report.findings
    assert report.is_healthy == (report.findings[0].severity == "warning")
    return report.findings[0]


def data_file(path, name="spans"):
    [found] = (path / name).glob("day=*/**/*.parquet")
    return found


def flip(path, place, bit=0):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


# Sound lakes


def test_a_new_lake_is_sound(lake_folder):
    report = examine(lake_folder.path)
    assert (report.findings, report.tables, report.waiting_files) == ((), (), 0)


def test_a_lake_in_use_is_sound(filled, landing, compactor):
    landing.put("spans", span(2))
    compactor.absorb()
    rewrite(compactor, Hour("spans", HOUR))  # leaves files for older snapshots
    keep(compactor, LakeSettings(), now_s=time.time())
    landing.put("spans", span(3))
    report = examine(filled)
    assert report.findings == ()
    assert report.is_healthy
    assert {state.name: state.rows for state in report.tables} == dict.fromkeys(TABLES, 1) | dict.fromkeys(
        ("batches", "spans", "endpoint_minutes", "trace_summaries"), 2
    )
    assert report.waiting_files == 1
    assert report.waiting_bytes > 0
    assert orjson.loads(orjson.dumps(report.as_dict()))["is_healthy"] is True


def test_progress_names_the_files_done_and_of_all(filled):
    seen = []
    examine(filled, progress=lambda *counts: seen.append(counts))
    assert seen == [(done, len(TABLES)) for done in range(len(TABLES))]


def test_what_is_no_lake_is_refused(tmp_path):
    with pytest.raises(NotALake):
        examine(tmp_path)


def test_examining_changes_nothing(filled, landing):
    landing.put("spans", span(2))

    def contents():
        return {path: path.read_bytes() for path in filled.rglob("*") if path.is_file()}

    before = contents()
    examine(filled)
    assert contents() == before


# Data files


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_data_file(filled, name):
    path = data_file(filled, name)
    path.unlink()
    finding = one(filled)
    assert (finding.severity, finding.place) == ("error", str(path))
    assert "the disk does not have it" in finding.problem
    assert "backup" in finding.remedy


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"x", lambda _: b""])
def test_a_data_file_of_another_size(filled, change):
    path = data_file(filled)
    path.write_bytes(change(path.read_bytes()))
    finding = one(filled, check_contents=False)
    assert f"it has {path.stat().st_size} bytes, the log says" in finding.problem


def test_a_changed_bit_anywhere_in_a_data_file(filled):
    """In pages, page headers, bloom filters, statistics and the footer."""
    path = data_file(filled)
    size = path.stat().st_size
    for place in (*range(0, size, size // 37), size - 1):
        flip(path, place, place % 8)
        finding = one(filled)
        assert finding.place == str(path)
        assert "checksum" in finding.problem
        flip(path, place, place % 8)
    assert examine(filled).findings == ()


def test_a_quick_look_leaves_contents_alone(filled):
    path = data_file(filled)
    flip(path, path.stat().st_size // 3)
    assert examine(filled, check_contents=False).findings == ()


def test_a_data_file_that_is_another_one(filled, compactor, lake_folder):
    path = data_file(filled)
    log = compactor.log("spans")
    rows = table(lake_folder, "spans", [span(1), span(2)])
    other = log.folder / log.write(HOUR, rows).path
    shutil.move(other, path)
    assert "bytes, the log says" in one(filled).problem


def test_a_data_file_that_is_none(filled):
    path = data_file(filled)
    path.write_bytes(b"x" * path.stat().st_size)
    assert "cannot be read" in one(filled, check_contents=False).problem


@pytest.mark.parametrize("age_s", [0, 100_000])
def test_strays_are_a_matter_of_retention_when_they_are_old(filled, compactor, lake_folder, age_s):
    log = compactor.log("spans")
    stray = log.folder / log.write(HOUR, table(lake_folder, "spans", [span()])).path
    for version in range(log.version + 1):
        age(log_file(log.folder, version), 200_000)
    age(stray, age_s)
    if not age_s:
        assert examine(filled).findings == ()
        return
    finding = one(filled)
    assert (finding.severity, finding.place) == ("warning", str(filled / "spans"))
    assert "1 files are in no version" in finding.problem
    assert "tracelake compact" in finding.remedy
    keep(compactor, LakeSettings(), now_s=time.time())  # as that command does
    assert not stray.exists()
    assert examine(filled).findings == ()


def test_an_old_file_that_was_dropped_lately_is_no_stray(filled, compactor):
    for path in filled.rglob("*"):
        age(path, 100_000)
    log = compactor.log("spans")
    log.commit(remove=log.files())  # the file stays, for older snapshots
    assert data_file(filled).exists()
    assert examine(filled).findings == ()


def test_a_data_file_that_the_disk_does_not_give(filled, monkeypatch):
    def fails(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("lake.doctor._checksum", fails)
    findings = examine(filled).findings
    assert len(findings) == len(TABLES)
    assert all("cannot be read: [Errno 5]" in finding.problem for finding in findings)


# Logs


@pytest.mark.parametrize("name", ["spans", "deploys"])
def test_a_missing_log(filled, name):
    shutil.rmtree(filled / name / "_delta_log")
    finding = one(filled)
    assert (finding.severity, finding.place) == ("error", str(filled / name))
    assert "the Delta log cannot be read" in finding.problem
    assert "restore _delta_log" in finding.remedy


@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{"), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_log(filled, landing, compactor, spoil):
    landing.put("deploys", deploy())
    compactor.absorb()
    spoil(log_file(filled / "deploys", 1))
    finding = one(filled)
    assert finding.place == str(filled / "deploys")


def test_a_damaged_commit_before_a_checkpoint(filled, landing, compactor, monkeypatch):
    """The table can be opened, but retention stops at it."""
    monkeypatch.setattr("lake.tables.CHECKPOINT_EVERY", 4)
    log = compactor.log("deploys")
    while log.version < 4:
        landing.put("deploys", deploy())
        compactor.absorb()
    for version in (0, 1):
        age(log_file(log.folder, version), 100_000)
    assert examine(filled).findings == ()
    log_file(log.folder, 2).write_bytes(b"{")
    finding = one(filled)
    assert (finding.severity, finding.place) == ("error", str(log.folder))
    assert "restore _delta_log" in finding.remedy


def test_a_table_that_a_crash_left_without_a_log_is_no_damage(lake_folder):
    (lake_folder.path / "spans" / "_delta_log").mkdir(parents=True)
    assert examine(lake_folder.path).findings == ()


# Landing


@pytest.fixture
def three_wait(landing):
    return [landing.put("spans", span(number)).path for number in range(3)]


def test_a_gap_in_the_landing(lake_folder, three_wait):
    three_wait[1].unlink()
    finding = one(lake_folder.path)
    assert (finding.severity, finding.place) == ("error", str(three_wait[1]))
    assert "it is missing, and 1 later ones of its writer are not compacted" in finding.problem
    assert "--give-up" in finding.remedy


def test_a_gap_at_the_end_of_a_block(lake_folder, landing, compactor, monkeypatch):
    monkeypatch.setattr("lake.landing.BLOCK", 2)
    paths = [landing.put("spans", span(number)).path for number in range(4)]
    compactor.absorb()
    paths += [landing.put("spans", span(number)).path for number in range(3)]
    paths[4].unlink()
    finding = one(lake_folder.path)
    assert finding.place == str(paths[4])
    assert "2 later ones" in finding.problem


def test_a_changed_bit_in_the_values_of_a_landing_file(lake_folder, three_wait):
    """Their pages have checksums, unlike their headers."""
    path = three_wait[1]
    for value in (b"GET /", b"shop", b"internal"):
        place = path.read_bytes().index(value)
        flip(path, place)
        finding = one(lake_folder.path)
        assert (finding.severity, finding.place) == ("error", str(path))
        assert "it cannot be read" in finding.problem
        assert "--give-up" in finding.remedy
        flip(path, place)
    assert examine(lake_folder.path).findings == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-10],
        lambda content: content.replace(b"trace_id", b"trace_iD"),
        lambda content: content.replace(b"tracelake.requests", b"tracelake.requestz"),
        lambda content: content.replace(b'",1]]', b'",2]]'),
        lambda content: content.replace(b'",1]]', b'",1]}'),
        lambda _: b"",
    ],
)
def test_a_damaged_landing_file(lake_folder, three_wait, change):
    changed = change(three_wait[1].read_bytes())
    assert changed != three_wait[1].read_bytes()
    three_wait[1].write_bytes(changed)
    finding = one(lake_folder.path)
    assert finding.place == str(three_wait[1])
    assert "it cannot be read" in finding.problem


def test_a_stale_tail(lake_folder, three_wait, compactor):
    age(three_wait[0], 100)
    finding = one(lake_folder.path)
    assert (finding.severity, finding.place) == ("warning", str(lake_folder.path / "landing" / "spans"))
    assert "1 files wait for more than 60 s" in finding.problem
    assert "tracelake compact" in finding.remedy
    compactor.absorb()  # as that command does
    assert examine(lake_folder.path).findings == ()


def test_absorbed_landing_files_do_not_wait(filled):
    for path in filled.glob("landing/**/*.parquet"):
        age(path, 1000)
        flip(path, 100)  # nobody needs them any more but older snapshots
    assert examine(filled).findings == ()


def test_everything_at_once(filled, landing):
    paths = [landing.put("errors", error()).path for _ in range(3)]
    paths[0].unlink()
    age(paths[1], 100)
    data_file(filled, "spans").unlink()
    flip(data_file(filled, "deploys"), 100)
    shutil.rmtree(filled / "requests" / "_delta_log")
    places = {finding.place.removeprefix(str(filled)).split("/")[1] for finding in examine(filled).findings}
    assert places == {"landing", "spans", "deploys", "requests"}


# Past what is lost


@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: flip(path, 200), lambda path: path.write_bytes(b"")]
)
def test_a_lost_landing_file_can_be_given_up(lake_folder, three_wait, compactor, spoil):
    spoil(three_wait[1])
    was_there = three_wait[1].exists()
    if was_there:
        with pytest.raises(LakeCorrupt):
            compactor.absorb()
    give_up(lake_folder.path, three_wait[1])
    assert examine(lake_folder.path).findings == ()
    for _ in range(2):
        with lake.open(lake_folder.path) as opened:
            assert opened.sql("SELECT count(*) AS n FROM spans").rows() == [{"n": 2}]
            assert opened.errors().rows() == []
            assert len(opened.traces(since=START, until=START.replace(hour=23)).rows()) == 2
        compactor.absorb()
    assert compactor.waiting() == []
    assert three_wait[1].with_suffix(".damaged").exists() == was_there


def test_a_sound_file_cannot_be_given_up(filled, landing, three_wait, tmp_path):
    for path in (three_wait[0], data_file(filled), tmp_path / "other", filled / "landing"):
        with pytest.raises(LakeError, match="no lost landing file"):
            give_up(filled, path)
    assert all(path.exists() for path in three_wait)


def test_a_missing_data_file_is_nothing_that_can_be_given_up(filled):
    path = data_file(filled)
    path.unlink()
    with pytest.raises(LakeError, match="no lost landing file"):
        give_up(filled, path)


# The command


def run(path, *options):
    """`tracelake doctor` on a lake that lies where the command looks for it."""
    return click.testing.CliRunner().invoke(
        doctor, ["--data", str(path.parents[1]), "--project", path.parent.name, *options]
    )


@pytest.fixture
def project(lake_folder, tmp_path):
    path = tmp_path / "data" / "shop" / "live"
    shutil.copytree(lake_folder.path, path)
    return path


@pytest.mark.usefixtures("filled")
def test_the_command_says_what_is_wrong_and_how_to_go_on(project):
    assert run(project).exit_code == 0
    path = data_file(project)
    content = path.read_bytes()
    path.unlink()
    found = run(project)
    assert found.exit_code == 1
    assert f"error: {path}" in found.stdout
    assert "What to do: restore the file from a backup" in found.stdout
    report = orjson.loads(run(project, "--json", "--quick").stdout)
    assert [finding["severity"] for finding in report["findings"]] == ["error"]
    path.write_bytes(content)
    assert run(project).exit_code == 0


def test_the_command_gives_up_what_it_is_told_to(landing, project):
    paths = [project / "landing" / "spans" / "w" / "000000" / f"{number:010}.parquet" for number in (1, 2)]
    lost, behind = paths
    behind.parent.mkdir(parents=True)
    shutil.copy(landing.put("spans", span()).path, behind)
    found = run(project)
    assert str(lost) in found.stdout
    remedy = found.stdout.partition("`tracelake doctor ")[2].partition("`")[0]
    assert run(project, *shlex.split(remedy)).exit_code == 0
    assert lost.exists()
