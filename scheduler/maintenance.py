"""Maintenance: each lake of a data folder kept in order, one step at a time.

Takes   the data folder and the settings.
Gives   compaction when enough has gathered, the merge of small files, the rewrite of hours that are over, retention, and the
        removal of files that nobody needs.
Refuses nothing: a lake that another process looks after is left to it, and a fault in one lake does not stop the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import structlog

from lake.compaction import Absorbed, Compactor
from lake.control.nodes import Place
from lake.errors import CommitConflict, LeaseLost
from lake.folder import FILE_NAME, mark_of, open_folder
from lake.merge import merge_due
from lake.retention import Deleted, expire, vacuum
from lake.rewrite import rewrite_due
from lake.settings import LakeSettings

from .ledger import Figures, Stopped

log = structlog.get_logger()


def _figures(did: Absorbed | Deleted) -> dict[str, float]:
    """What was done and is not nothing."""
    return {name: count for name, count in asdict(did).items() if count}


def is_compaction_due(file_count: int, waited_s: float, settings: LakeSettings) -> bool:
    """Whether the landing files that wait are many or have waited long.

    Args:
        waited_s: seconds since the first of them was seen.
    """
    return file_count >= settings.compaction_files or (file_count > 0 and waited_s >= settings.compaction_interval_s)


@dataclass(slots=True)
class _Lake:
    compactor: Compactor
    mark: object
    """Another one once the folder holds another lake, or the same with another promotion."""
    waiting_since_s: float | None = None
    """Monotonic seconds when a landing file was first seen waiting."""
    told: Absorbed = field(default_factory=Absorbed)
    """What was noted of all that the compactor absorbed."""


@dataclass(slots=True)
class Maintenance:
    """All lakes of a data folder. Its jobs are for one thread; `stop` is for any."""

    data: Path
    settings: LakeSettings
    monotonic_s: Callable[[], float] = time.monotonic
    now_s: Callable[[], float] = time.time
    note: Callable[[str, Callable[[], object], Place], object] = lambda _job, work, _place: work()
    """Runs a job of one lake, and notes what it did (`scheduler.ledger`)."""
    _lakes: dict[Path, _Lake] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def compact(self) -> None:
        """Absorb the landing of each lake where it is due, and make few files of those that have become many."""
        self._each("compact", self._compact)

    def rewrite(self) -> None:
        """Rewrite hours that are over."""
        self._each("rewrite", lambda lake: {"hours": rewrite_due(lake.compactor, now_s=self.now_s())})

    def retain(self) -> None:
        """Drop what is too old."""
        self._each("retain", lambda lake: _figures(expire(lake.compactor, self.settings, now_s=self.now_s())))

    def vacuum(self) -> None:
        """Delete the files that nobody needs."""
        self._each("vacuum", lambda lake: _figures(vacuum(lake.compactor, self.settings, now_s=self.now_s())))

    def stop(self) -> None:
        """End the job that is running before its next step, and begin no other."""
        self._stopping.set()

    def close(self) -> None:
        """Let other processes take over at once; when no job is running any more."""
        for folder in list(self._lakes):
            self._forget(folder)

    def _compact(self, lake: _Lake) -> Figures:
        waiting = len(lake.compactor.waiting())
        now_s = self.monotonic_s()
        if not waiting:
            lake.waiting_since_s = None
        elif lake.waiting_since_s is None:
            lake.waiting_since_s = now_s
        merged = (
            self._absorb(lake) if is_compaction_due(waiting, now_s - (lake.waiting_since_s or now_s), self.settings) else 0
        )
        # a rewrite absorbs too, and a run that ended in an error is not noted: both are told by the next run
        did, lake.told = lake.compactor.absorbed - lake.told, lake.compactor.absorbed
        return _figures(did) | ({"merged_files": merged} if merged else {})

    def _absorb(self, lake: _Lake) -> int:
        """Absorb the landing; returns how many small files were merged afterwards."""
        lake.waiting_since_s = None  # also if it fails: it is tried again after the interval, not at once
        try:
            done = lake.compactor.absorb()
            log.debug("compacted", lake=str(lake.compactor.lake.path), files=done.files, rows=done.rows)
        finally:  # a damaged landing file stays until somebody sees to it
            merged = merge_due(lake.compactor)
        return merged

    def _each(self, job: str, work: Callable[[_Lake], Figures]) -> None:
        folders = {path.parent for path in self.data.glob(f"*/*/{FILE_NAME}")}
        for folder in self._lakes.keys() - folders:
            self._forget(folder)
        for folder in sorted(folders):
            if self._stopping.is_set():
                return
            try:
                self.note(job, partial(self._work, work, folder), Place(folder.parent.name, folder.name))
            except Stopped:
                log.info("stopped", lake=str(folder))
            except (LeaseLost, CommitConflict) as error:
                log.info("left to another process", lake=str(folder), reason=str(error))
            except Exception as error:  # whatever one lake brings about, the others get their turn
                log.error("maintenance failed", lake=str(folder), exc_info=error)

    def _work(self, work: Callable[[_Lake], Figures], folder: Path) -> Figures:
        return work(self._lake(folder))

    def _lake(self, folder: Path) -> _Lake:
        mark = mark_of(folder)
        if folder in self._lakes and self._lakes[folder].mark != mark:
            self._forget(folder)
        if folder not in self._lakes:
            self._lakes[folder] = _Lake(Compactor(open_folder(folder), step=self._step), mark)
        return self._lakes[folder]

    def _forget(self, folder: Path) -> None:
        lake = self._lakes.pop(folder)
        try:
            if folder.exists():
                lake.compactor.lease.release()
        except OSError as error:  # it runs out by itself; the leases of the other lakes are still to be released
            log.error("maintenance failed", lake=str(folder), exc_info=error)

    def _step(self, name: str) -> None:
        if self._stopping.is_set():
            raise Stopped(f"told to stop before: {name}")
