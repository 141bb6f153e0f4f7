"""Jobs: what the scheduler process does, on APScheduler. The only module that knows APScheduler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from .maintenance import Maintenance

COMPACT_EVERY_S = 1
REWRITE_EVERY_S = 60
RETAIN_EVERY_S = 300
VACUUM_EVERY_S = 300
DELIVER_EVERY_S = 1
FORGET_EVERY_S = 3600
LOOK_EVERY_S = 15
SWEEP_EVERY_S = 10
"""Alert rules are judged once a minute, no later than this after the minute's spans have come."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something that happens on a timer, in a thread of its own."""

    name: str
    run: Callable[[], object]
    every_s: float
    is_everywhere: bool = False
    """Whether every scheduler of a data folder does it, also those that wait for their turn."""
    is_at_once: bool = False
    """Whether it runs as soon as the scheduler starts."""


def build(
    maintenance: Maintenance, others: Sequence[Job] = (), *, is_my_turn: Callable[[], bool] = lambda: True
) -> BackgroundScheduler:
    """A scheduler that has not been started.

    Args:
        others: jobs that maintenance does not wait for, nor they for it.
        is_my_turn: whether this process works, of several that were started on one data folder.

    A job that is late runs once and not as often as it missed (`coalesce`), however late (`misfire_grace_time`).
    """
    logging.getLogger("apscheduler.scheduler").setLevel(
        logging.ERROR
    )  # a job whose last run goes on is left out, as it should
    scheduler = BackgroundScheduler(
        executors={
            "default": ThreadPoolExecutor(1),  # compaction, rewrite, retention and vacuum work on the same tables
            **{job.name: ThreadPoolExecutor(1) for job in others},
        },
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )
    for name, every_s in intervals().items():
        run = _in_turn(getattr(maintenance, name), is_my_turn)
        scheduler.add_job(run, "interval", seconds=every_s, id=name)
    for job in others:
        work = job.run if job.is_everywhere else _in_turn(job.run, is_my_turn)
        first = {"next_run_time": datetime.now(UTC)} if job.is_at_once else {}
        scheduler.add_job(work, "interval", seconds=job.every_s, id=job.name, executor=job.name, **first)
    return scheduler


def intervals() -> dict[str, float]:
    """Seconds between two runs of each job of maintenance, by the name of its method."""
    return {"compact": COMPACT_EVERY_S, "rewrite": REWRITE_EVERY_S, "retain": RETAIN_EVERY_S, "vacuum": VACUUM_EVERY_S}


def _in_turn(run: Callable[[], object], is_my_turn: Callable[[], bool]) -> Callable[[], None]:
    def work() -> None:
        if is_my_turn():
            run()

    return work
