"""Jobs: what the scheduler process does, on APScheduler. The only module that knows APScheduler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from lake.control.heartbeat import HEARTBEAT_EVERY_S

from .maintenance import Maintenance

COMPACT_EVERY_S = 1
REWRITE_EVERY_S = 60
RETAIN_EVERY_S = 300
DELIVER_EVERY_S = 1
FORGET_EVERY_S = 3600
LOOK_EVERY_S = 15

_HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Job:
    """Something that happens on a timer, in a thread of its own."""

    name: str
    run: Callable[[], object]
    every_s: float


def build(
    maintenance: Maintenance, heartbeat: Callable[[], object] | None = None, others: Sequence[Job] = ()
) -> BackgroundScheduler:
    """A scheduler that has not been started.

    Args:
        heartbeat: what says that the process is alive; in a thread of its own, so that a long job does not make it silent.
        others: jobs that maintenance does not wait for, nor they for it.

    A job that is late runs once and not as often as it missed (`coalesce`), however late (`misfire_grace_time`).
    """
    logging.getLogger("apscheduler.scheduler").setLevel(
        logging.ERROR
    )  # a job whose last run goes on is left out, as it should
    scheduler = BackgroundScheduler(
        executors={
            "default": ThreadPoolExecutor(1),
            _HEARTBEAT: ThreadPoolExecutor(1),
            **{job.name: ThreadPoolExecutor(1) for job in others},
        },  # compaction, rewrite and retention write the same tables
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )
    for name, job, seconds in (
        ("compact", maintenance.compact, COMPACT_EVERY_S),
        ("rewrite", maintenance.rewrite, REWRITE_EVERY_S),
        ("retain", maintenance.retain, RETAIN_EVERY_S),
    ):
        scheduler.add_job(job, "interval", seconds=seconds, id=name)
    for other in others:
        scheduler.add_job(other.run, "interval", seconds=other.every_s, id=other.name, executor=other.name)
    if heartbeat is not None:
        scheduler.add_job(
            heartbeat,
            "interval",
            seconds=HEARTBEAT_EVERY_S,
            id=_HEARTBEAT,
            executor=_HEARTBEAT,
            next_run_time=datetime.now(UTC),
        )
    return scheduler
