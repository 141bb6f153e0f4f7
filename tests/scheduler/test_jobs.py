"""Maintenance runs on a timer, one job at a time."""

import datetime as dt
import threading
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_SUBMITTED

from lake.settings import LakeSettings
from scheduler import jobs
from scheduler.maintenance import Maintenance


class Recorded(Maintenance):
    """Maintenance that notes which of its jobs run at the same time."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, LakeSettings())
        self.running: list[str] = []
        self.together: list[list[str]] = []
        self.done = {name: threading.Event() for name in ("compact", "rewrite", "retain", "vacuum")}

    def _note(self, name: str) -> None:
        self.running.append(name)
        self.together.append(list(self.running))
        self.running.remove(name)
        self.done[name].set()

    def compact(self) -> None:
        self._note("compact")

    def rewrite(self) -> None:
        self._note("rewrite")

    def retain(self) -> None:
        self._note("retain")

    def vacuum(self) -> None:
        self._note("vacuum")


def test_every_job_has_its_interval(tmp_path):
    scheduler = jobs.build(Maintenance(tmp_path, LakeSettings()))
    intervals = {job.id: job.trigger.interval.total_seconds() for job in scheduler.get_jobs()}
    assert intervals == {
        "compact": jobs.COMPACT_EVERY_S,
        "rewrite": jobs.REWRITE_EVERY_S,
        "retain": jobs.RETAIN_EVERY_S,
        "vacuum": jobs.VACUUM_EVERY_S,
    }


def test_jobs_run_again_and_again_and_never_two_at_once(tmp_path, monkeypatch):
    for name in ("COMPACT_EVERY_S", "REWRITE_EVERY_S", "RETAIN_EVERY_S", "VACUUM_EVERY_S"):
        monkeypatch.setattr(jobs, name, 0.02)
    maintenance = Recorded(tmp_path)
    scheduler = jobs.build(maintenance)
    enough = threading.Event()
    runs: list[str] = []

    def count(event):
        runs.append(event.job_id)
        if min(map(runs.count, maintenance.done)) >= 3:
            enough.set()

    scheduler.add_listener(count, EVENT_JOB_EXECUTED)
    scheduler.start()
    try:
        assert enough.wait(30)
    finally:
        scheduler.shutdown()
    assert all(len(running) == 1 for running in maintenance.together)


def test_a_job_that_is_due_waits_for_the_one_that_is_running(tmp_path, monkeypatch):
    for name in ("COMPACT_EVERY_S", "REWRITE_EVERY_S", "RETAIN_EVERY_S", "VACUUM_EVERY_S"):
        monkeypatch.setattr(jobs, name, 0.02)
    maintenance = Recorded(tmp_path)
    all_due = threading.Event()
    due: set[str] = set()

    def count(event):
        due.add(event.job_id)
        if due == set(maintenance.done):
            all_due.set()

    waited = threading.Event()
    began_meanwhile: list[bool] = []

    def slow(self):
        if not waited.is_set():
            assert all_due.wait(30)
            others = (self.done["rewrite"], self.done["retain"])
            for other in others:
                other.clear()
            began_meanwhile.extend(other.wait(0.2) for other in others)
            waited.set()

    monkeypatch.setattr(Recorded, "compact", slow)
    scheduler = jobs.build(maintenance)
    scheduler.add_listener(count, EVENT_JOB_SUBMITTED)
    scheduler.start()
    try:
        assert waited.wait(60)
        assert began_meanwhile == [False, False]
        assert all(maintenance.done[name].wait(30) for name in ("rewrite", "retain"))
    finally:
        scheduler.shutdown()


def test_a_job_that_is_hours_late_runs_once(tmp_path):
    maintenance = Recorded(tmp_path)
    scheduler = jobs.build(maintenance)
    now = dt.datetime.now(dt.UTC)
    scheduler.get_job("retain").modify(next_run_time=now - dt.timedelta(hours=3, seconds=jobs.RETAIN_EVERY_S / 2))
    runs: list[str] = []
    scheduler.add_listener(lambda event: runs.append(event.job_id), EVENT_JOB_EXECUTED)
    scheduler.start()
    try:
        assert maintenance.done["retain"].wait(30)
        assert now < scheduler.get_job("retain").next_run_time <= now + dt.timedelta(seconds=jobs.RETAIN_EVERY_S + 60)
    finally:
        scheduler.shutdown()
    assert runs.count("retain") == 1


def test_who_waits_for_the_turn_does_only_what_every_scheduler_does(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "COMPACT_EVERY_S", 0.02)
    maintenance, turn, beats, told = Recorded(tmp_path), threading.Event(), threading.Semaphore(0), threading.Event()
    others = [jobs.Job("beat", beats.release, 0.02, is_everywhere=True, is_at_once=True), jobs.Job("tell", told.set, 0.02)]
    scheduler = jobs.build(maintenance, others, is_my_turn=turn.is_set)
    scheduler.start()
    try:
        assert all(beats.acquire(timeout=30) for _ in range(5))
        assert not maintenance.together
        assert not told.is_set()
        turn.set()
        assert maintenance.done["compact"].wait(30)
        assert told.wait(30)
    finally:
        scheduler.shutdown()


def test_a_job_that_fails_runs_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(jobs, "COMPACT_EVERY_S", 0.02)
    maintenance = Recorded(tmp_path)
    monkeypatch.setattr(Recorded, "compact", lambda self: 1 / 0)
    scheduler = jobs.build(maintenance)
    failed = threading.Semaphore(0)
    scheduler.add_listener(lambda _: failed.release(), EVENT_JOB_ERROR)
    scheduler.start()
    try:
        assert all(failed.acquire(timeout=30) for _ in range(3))
    finally:
        scheduler.shutdown()
    assert "ZeroDivisionError" in caplog.text


def test_shutting_down_waits_for_the_job_that_is_running(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "COMPACT_EVERY_S", 0.02)
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(self):
        began.set()
        go_on.wait(30)
        ended.set()

    monkeypatch.setattr(Recorded, "compact", slow)
    scheduler = jobs.build(Recorded(tmp_path))
    scheduler.start()
    assert began.wait(30)
    threading.Timer(0.05, go_on.set).start()
    scheduler.shutdown()
    assert ended.is_set()
