"""What jobs did is known in every process, and how they are."""

import datetime as dt

import pytest

from lake.control import Control
from lake.control.job_runs import LATE_AFTER_S, JobRun, JobRuns, job_state
from lake.control.nodes import SERVER, Place
from lake.errors import CommitConflict, LeaseLost, Overloaded
from scheduler.ledger import Ledger, Stopped
from tests.scheduler.alerts.alerts import BEGAN

LAKE = Place("shop", "live")


class Clock:
    def __init__(self):
        self.elapsed_s = 0.0

    def now(self):
        return BEGAN + dt.timedelta(seconds=self.elapsed_s)

    def elapsed(self):
        return self.elapsed_s

    def work(self, seconds, did=None):
        def work():
            self.elapsed_s += seconds
            return did

        return work


def fails(error):
    def work():
        raise error

    return work


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def control(tmp_path):
    with Control(tmp_path) as control:
        yield control


@pytest.fixture
def ledger(control, clock):
    return Ledger(control.jobs, "node_1", now=clock.now, elapsed_s=clock.elapsed)


def test_runs_are_summed_and_known_elsewhere(control, ledger, clock, tmp_path):
    ledger.run("compact", 1, clock.work(2, {"rows": 10}), LAKE)
    ledger.run("compact", 1, clock.work(3, {"rows": 5, "files": 1}), LAKE)
    ledger.run("deliver", 1, clock.work(0))
    assert control.jobs.of() == []
    ledger.flush()
    with Control(tmp_path) as other:
        [server, compact] = other.jobs.of()
        assert (server.place, server.job, server.did) == (SERVER, "deliver", {})
        assert compact == JobRun(LAKE, "compact", "node_1", 1, 2, 0, BEGAN + dt.timedelta(seconds=2), 3,
                                 BEGAN + dt.timedelta(seconds=2), None, None, None, {"rows": 15, "files": 1})  # fmt: skip
        assert other.jobs.of(SERVER) == [server]


def test_a_failure_is_known_until_the_next_run_that_succeeds(control, ledger, clock):
    ledger.run("retain", 300, clock.work(1), LAKE)
    with pytest.raises(OSError, match="No space"):
        ledger.run("retain", 300, fails(OSError(28, "No space left on device")), LAKE)
    ledger.flush()
    [run] = control.jobs.of()
    assert (run.runs, run.failures, run.error_type) == (2, 1, "OSError")
    assert "No space" in (run.error or "")
    assert job_state(run, clock.now()) == "failing"
    clock.elapsed_s += 1
    ledger.run("retain", 300, clock.work(1), LAKE)
    ledger.flush()
    [run] = control.jobs.of()
    assert (job_state(run, clock.now()), run.failures, run.error_type) == ("ok", 1, "OSError")


@pytest.mark.parametrize("error", [LeaseLost("held"), CommitConflict("lost"), Stopped("told")])
def test_what_is_left_to_another_process_is_no_failure(control, ledger, error):
    with pytest.raises(type(error)):
        ledger.run("compact", 1, fails(error), LAKE)
    ledger.flush()
    assert control.jobs.of() == []


@pytest.mark.parametrize(("every_s", "silent_s"), [(1, LATE_AFTER_S), (300, 900)])
def test_a_job_is_late_when_it_was_silent_for_long(every_s, silent_s):
    run = JobRun(LAKE, "compact", "node_1", every_s, 1, 0, BEGAN, 5.0, BEGAN, None, None, None)
    ended = BEGAN + dt.timedelta(seconds=5)
    assert job_state(run, ended + dt.timedelta(seconds=silent_s)) == "ok"
    assert job_state(run, ended + dt.timedelta(seconds=silent_s + 1)) == "late"
    assert job_state(run, BEGAN - dt.timedelta(days=3)) == "ok"


def test_what_cannot_be_written_is_written_the_next_time(control, ledger, clock, monkeypatch, capsys):
    ledger.run("compact", 1, clock.work(1), LAKE)
    with monkeypatch.context() as patch:
        patch.setattr(JobRuns, "write", fails_to_write)
        ledger.flush()
    assert "not noted" in "".join(capsys.readouterr())
    ledger.flush()
    assert [run.job for run in control.jobs.of()] == ["compact"]


def fails_to_write(self, runs):
    raise Overloaded("locked")


def test_runs_go_with_their_project(control, ledger, clock):
    control.create_project("shop")
    ledger.run("compact", 1, clock.work(1), LAKE)
    ledger.flush()
    control.delete_project("shop", force=True)
    assert control.jobs.of() == []
