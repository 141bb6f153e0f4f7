"""Two compactors on one lake: one is stopped in the middle of a round, past its lease, and goes on later."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

from lake.control.process import FOLDER
from lake.lease import LEASE_S
from scheduler.turn import LEASE_NAME
from tests.faults.checker import assert_settles, check
from tests.faults.load import Ledger, Load, deliver_waiting
from tests.faults.rounds import LEASE, data_files, decisions, end_lease, holder, is_torn
from tests.servers import DEADLINE_S, running, state, wait_until


@pytest.fixture
def server(tmp_path, settings):
    with running(tmp_path / "data", settings=settings) as server:
        yield server


@pytest.mark.parametrize(
    "runs_out", [False, pytest.param(True, marks=pytest.mark.full)], ids=["the lease is ended", "the lease runs out"]
)
def test_a_compactor_that_was_stopped_past_its_lease_and_goes_on_changes_nothing(server, runs_out):
    ledger, lake = Ledger(), server.lake
    server.start_scheduler()
    with Load(server.url, server.sending, ledger):
        stopped = stop_inside_a_round(lake)
        if not runs_out:
            end_lease(lake)
            end_lease(server.data / FOLDER, LEASE_NAME)
        wait_until(lambda: holder(lake) != stopped, lambda: "nobody takes the lease", timeout_s=LEASE_S + DEADLINE_S)
        rounds = decisions(lake)
        wait_until(lambda: decisions(lake) > rounds + 1, lambda: "the other compactor does nothing")
        os.kill(stopped, signal.SIGCONT)
        wait_until(lambda: state(stopped) != "T", lambda: "it does not go on")
        rounds = decisions(lake)
        wait_until(lambda: decisions(lake) > rounds + 1, lambda: "nobody compacts any more")
        verdict = check(lake, ledger, is_settled=False)
        assert verdict.is_sound, verdict
    deliver_waiting(server.url, server.sending, ledger)
    assert_settles(lake, ledger)
    assert not ledger.unforeseen


def stop_inside_a_round(lake: Path) -> int:
    """Stop the compactor before it has committed all that its round is to commit; returns its process."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        files = data_files(lake)
        wait_until(lambda: data_files(lake) > files, lambda: "nothing is compacted", poll_s=0.001)  # noqa: B023 - used here
        compactor = holder(lake)
        os.kill(compactor, signal.SIGSTOP)
        wait_until(lambda: state(compactor) == "T", lambda: "it does not stop")  # noqa: B023 - used here
        if is_torn(lake) and is_free(lake / LEASE) and is_free(lake.parents[1] / FOLDER / LEASE_NAME):
            return compactor
        os.kill(compactor, signal.SIGCONT)
        assert time.monotonic() < deadline, "no round was caught before its end"


def is_free(file: Path) -> bool:
    """Whether nobody holds the lock of a file: a process that is stopped while it does would stop all others."""
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
