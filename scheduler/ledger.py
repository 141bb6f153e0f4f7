"""Ledger: what the jobs of this process do, noted as they run.

Takes   each run of a job: for which lake, how long, what it did or how it failed.
Gives   the sums, written to the control database now and then: to write each run would cost more than most of them do.
Refuses nothing: what the database cannot take is written the next time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from lake.control.job_runs import JobRun, JobRuns
from lake.control.nodes import SERVER, Place
from lake.errors import CommitConflict, LakeError, LeaseLost, Overloaded

FLUSH_EVERY_S = 10


class Stopped(LakeError):
    """This process was told to end; what was begun is begun again by the next one."""


Figures = Mapping[str, float]
"""What a run did, in numbers."""

log = structlog.get_logger()


class Ledger:
    """The runs of the jobs of one process. Safe for use by several threads."""

    def __init__(
        self, jobs: JobRuns, node: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """
        Args:
            node: id of this process among the nodes.
        """
        self._jobs = jobs
        self._node = node
        self._now = now
        self._elapsed_s = elapsed_s
        self._known: dict[tuple[Place, str], JobRun] = {}
        self._changed: set[tuple[Place, str]] = set()
        self._lock = threading.Lock()

    def run(self, job: str, every_s: float, work: Callable[[], object], place: Place = SERVER) -> None:
        """Run a job and note it; its error is raised again. What was left to another process, or to later, is not noted.

        Args:
            work: what it does; if it gives `Figures`, they are added up.
        """
        started_at, began_s = self._now(), self._elapsed_s()
        try:
            did = work()
        except (LeaseLost, CommitConflict, Stopped):
            raise
        except Exception as error:
            self._note(job, every_s, place, started_at, self._elapsed_s() - began_s, error=error)
            raise
        self._note(job, every_s, place, started_at, self._elapsed_s() - began_s, did if isinstance(did, Mapping) else {})

    def flush(self) -> None:
        """Write what has changed."""
        with self._lock:
            changed, self._changed = self._changed, set()
            runs = [self._known[key] for key in changed]
        try:
            self._jobs.write(runs)
        except Overloaded as error:
            log.warning("runs of jobs not noted for the moment", reason=str(error))
            with self._lock:
                self._changed |= changed

    def _note(
        self, job: str, every_s: float, place: Place, started_at: datetime, duration_s: float, did: Figures | None = None,
        error: Exception | None = None,
    ) -> None:  # fmt: skip
        key = (place, job)
        with self._lock:
            new = JobRun(place, job, self._node, every_s, 0, 0, started_at, duration_s, None, None, None, None)
            known = self._known.get(key, new)
            known = replace(known, runs=known.runs + 1, started_at=started_at, duration_s=duration_s)
            if error is None:
                summed = {name: known.did.get(name, 0) + count for name, count in (did or {}).items()}
                known = replace(known, ok_at=started_at, did={**known.did, **summed})
            else:
                known = replace(known, failures=known.failures + 1, failed_at=started_at, error_type=type(error).__name__,
                                error=str(error) or type(error).__name__)  # fmt: skip
            self._known[key] = known
            self._changed.add(key)
