"""The scheduler process does its work and ends when it is told to."""

import os
import signal
import subprocess
import sys
import time

import pytest

from lake.folder import create_folder
from lake.lease import Lease
from lake.schema import TABLES
from lake.tables import DeltaLog
from tests.lake.rows import Landing, deploy, span

DEADLINE_S = 60


@pytest.fixture
def folders(tmp_path):
    return [create_folder(tmp_path / name / "live") for name in ("a", "b")]


@pytest.fixture
def start(tmp_path):
    """Starts the process; what is left of it at the end is killed."""
    processes = []

    def start(**environment):
        command = [sys.executable, "-m", "scheduler"]
        settings = {"TRACELAKE_DATA": str(tmp_path), "TRACELAKE_COMPACTION_INTERVAL_S": "1"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TRACELAKE_")}
        process = subprocess.Popen(command, env=clean | settings | environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_until(condition):
    """Look again and again until it holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows_of(folder, name):
    if not (folder.path / name / "_delta_log" / f"{1:020}.json").exists():
        return 0
    return sum(file.row_count for file in DeltaLog(folder.path, TABLES[name]).files())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_compacts_every_lake_and_ends_with_its_leases_free(folders, start, number):
    landings = [Landing(folder) for folder in folders]
    for landing in landings:
        landing.put("spans", span())
        landing.put("deploys", deploy())
    process = start()
    wait_until(lambda: all(rows_of(folder, name) == 1 for folder in folders for name in ("spans", "deploys")))
    landings[0].put("spans", span())
    wait_until(lambda: rows_of(folders[0], "spans") == 2)
    process.send_signal(number)
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "error" not in log
    for folder in folders:
        Lease(folder.path).hold(now_s=time.time())
    for landing in landings:
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
    wait_until(lambda: rows_of(folders[1], "spans") == 1)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "maintenance failed" in log
    assert str(folders[0].path) in log
    landing.end()
