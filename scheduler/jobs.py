"""Jobs: maintenance on APScheduler. The only module that knows APScheduler."""

from __future__ import annotations

import logging

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from .maintenance import Maintenance

COMPACT_EVERY_S = 1
REWRITE_EVERY_S = 60
RETAIN_EVERY_S = 300


def build(maintenance: Maintenance) -> BackgroundScheduler:
    """A scheduler that has not been started.

    A job that is late runs once and not as often as it missed (`coalesce`), however late (`misfire_grace_time`).
    """
    logging.getLogger("apscheduler.scheduler").setLevel(
        logging.ERROR
    )  # a job whose last run goes on is left out, as it should
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(1)},  # compaction, rewrite and retention write the same tables
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone="UTC",
    )
    for name, job, seconds in (
        ("compact", maintenance.compact, COMPACT_EVERY_S),
        ("rewrite", maintenance.rewrite, REWRITE_EVERY_S),
        ("retain", maintenance.retain, RETAIN_EVERY_S),
    ):
        scheduler.add_job(job, "interval", seconds=seconds, id=name)
    return scheduler
