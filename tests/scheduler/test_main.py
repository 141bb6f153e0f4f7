"""The scheduler process does its work and ends when it is told to."""

import os
import signal
import subprocess
import sys
import time
from subprocess import PIPE

import pytest

import lake
from lake.folder import create_folder
from lake.lease import Lease
from lake.schema import TABLES
from lake.tables import DeltaLog
from tests.faults.rounds import holder
from tests.lake.rows import Landing, deploy, span
from tests.servers import DEADLINE_S, wait_until


@pytest.fixture
def folders(tmp_path):
    return [create_folder(tmp_path / name / "live") for name in ("a", "b")]


@pytest.fixture
def start(tmp_path):
    """Starts the process; what is left of it at the end is killed."""
    processes = []

    def start(**environment):
        command = [sys.executable, "-m", "scheduler"]
        settings = {"TRACELAKE_DATA": str(tmp_path), "TRACELAKE_COMPACTION_FILES": "1"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TRACELAKE_")}
        process = subprocess.Popen(command, env=clean | settings | environment, stdout=PIPE, stderr=PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def rows_of(folder, name):
    if not (folder.path / name / "_delta_log" / f"{1:020}.json").exists():
        return 0
    return sum(file.row_count for file in DeltaLog(folder.path, TABLES[name]).files())


def compactor_of(folder):
    """The process that has the lease; nobody seems to have it in the moment when it is renewed."""
    found = []

    def is_known():
        found.append(holder(folder.path))
        return found[-1] != 0

    wait_until(is_known, lambda: "nobody has the lease")
    return found[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_compacts_every_lake_and_ends_with_its_leases_free(folders, start, number):
    landings = [Landing(folder) for folder in folders]
    for landing in landings:
        landing.put("spans", span())
        landing.put("deploys", deploy())
    process = start()
    names = ("spans", "deploys")
    wait_until(
        lambda: all(rows_of(folder, name) == 1 for folder in folders for name in names), lambda: "not all is compacted"
    )
    landings[0].put("spans", span())
    wait_until(lambda: rows_of(folders[0], "spans") == 2, lambda: "what came later is not compacted")
    process.send_signal(number)
    output, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert output == ""
    assert [line for line in log.splitlines() if "stopped" not in line] == []  # as it is if a round was going on
    for folder in folders:
        Lease(folder.path).hold(now_s=time.time())
    for landing in landings:
        landing.end()


def test_when_one_of_two_ends_the_other_goes_on_and_each_row_is_there_once(folders, start):
    folder = folders[0]
    landing = Landing(folder)
    processes = {process.pid: process for process in (start(), start())}
    for stored in (5, 10):
        for _ in range(5):
            landing.put("spans", span())
        wait_until(lambda: rows_of(folder, "spans") == stored, lambda: f"not {stored} rows are compacted")  # noqa: B023 - used here
        compactor = processes.pop(compactor_of(folder))
        compactor.send_signal(signal.SIGTERM)
        _, log = compactor.communicate(timeout=DEADLINE_S)
        assert compactor.returncode == 0
        assert "failed" not in log
    assert "another scheduler works, this one waits" in log
    assert "this scheduler works now" in log
    with lake.open(folder.path) as opened:
        counts = opened.sql("SELECT count(*) AS rows, count(DISTINCT span_id) AS spans FROM spans").rows()
    assert counts == [{"rows": 10, "spans": 10}]
    landing.end()


def test_it_ends_when_it_is_told_to_before_it_has_begun(folders, start):
    process = start()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode in (0, -signal.SIGTERM)  # before Python knows what to do with the signal


def test_a_wrong_setting_is_named(start):
    process = start(TRACELAKE_SPANS_DAYS="none")
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "TRACELAKE_SPANS_DAYS must be a whole number above 0, not 'none'" in log


def test_a_broken_lake_is_logged_and_the_other_is_compacted(folders, start):
    landing = Landing(folders[1])
    landing.put("spans", span())
    (folders[0].path / "lake.json").write_bytes(b"{")
    process = start()
    wait_until(lambda: rows_of(folders[1], "spans") == 1, lambda: "the other lake is not compacted")
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "maintenance failed" in log
    assert str(folders[0].path) in log
    landing.end()
