"""Maintenance: each lake of a data folder kept in order, one step at a time.

Takes   the data folder and the settings.
Gives   compaction when enough has gathered, the rewrite of hours that are over, retention.
Refuses nothing: a lake that another process looks after is left to it, and a fault in one lake does not stop the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from lake.compaction import Compactor
from lake.errors import CommitConflict, LakeError, LeaseLost
from lake.folder import open_folder
from lake.retention import keep
from lake.rewrite import rewrite_due
from lake.settings import LakeSettings

log = structlog.get_logger()


def is_compaction_due(file_count: int, waited_s: float, settings: LakeSettings) -> bool:
    """Whether the landing files that wait are many or have waited long.

    Args:
        waited_s: seconds since the first of them was seen.
    """
    return file_count >= settings.compaction_files or (file_count > 0 and waited_s >= settings.compaction_interval_s)


class _Stopped(Exception):
    """The process is to end. Between any two steps that is safe: the next compactor goes on from what each table says."""


@dataclass(slots=True)
class _Lake:
    compactor: Compactor
    waiting_since_s: float | None = None
    """Monotonic seconds when a landing file was first seen waiting."""


@dataclass(slots=True)
class Maintenance:
    """All lakes of a data folder."""

    data: Path
    settings: LakeSettings
    monotonic_s: Callable[[], float] = time.monotonic
    now_s: Callable[[], float] = time.time
    _lakes: dict[Path, _Lake] = field(default_factory=dict)
    _is_stopping: bool = False

    def compact(self) -> None:
        """Absorb the landing of each lake where it is due."""
        self._each(self._compact)

    def rewrite(self) -> None:
        """Rewrite hours that are over."""
        self._each(lambda lake: rewrite_due(lake.compactor, now_s=self.now_s()))

    def retain(self) -> None:
        """Drop what is too old and delete what nobody needs."""
        self._each(lambda lake: keep(lake.compactor, self.settings, now_s=self.now_s()))

    def stop(self) -> None:
        """End the job under way, which may be in another thread, before its next step."""
        self._is_stopping = True

    def close(self) -> None:
        """Let other processes take over at once; no job may be under way."""
        for lake in self._lakes.values():
            lake.compactor.lease.release()

    def _compact(self, lake: _Lake) -> None:
        waiting = len(lake.compactor.waiting())
        now_s = self.monotonic_s()
        if not waiting:
            lake.waiting_since_s = None
        elif lake.waiting_since_s is None:
            lake.waiting_since_s = now_s
        if is_compaction_due(waiting, now_s - (lake.waiting_since_s or now_s), self.settings):
            done = lake.compactor.absorb()
            lake.waiting_since_s = None
            log.debug("compacted", lake=str(lake.compactor.lake.path), files=done.files, rows=done.rows)

    def _each(self, step: Callable[[_Lake], object]) -> None:
        for folder in sorted(self.data.glob("*/*/lake.json")):
            try:
                self._step()
                step(self._lake(folder.parent))
            except _Stopped:
                return
            except (LeaseLost, CommitConflict) as error:
                log.info("left to another process", lake=str(folder.parent), reason=str(error))
            except (LakeError, OSError) as error:
                log.error("maintenance failed", lake=str(folder.parent), exc_info=error)

    def _lake(self, folder: Path) -> _Lake:
        known = self._lakes.get(folder)
        lake = open_folder(folder)  # a promotion since the last time changes the tables
        if known is None or known.compactor.lake != lake:
            if known is not None:
                known.compactor.lease.release()
            known = self._lakes[folder] = _Lake(Compactor(lake, step=self._step))
        return known

    def _step(self, _: str = "") -> None:
        """Called before each step of a job."""
        if self._is_stopping:
            raise _Stopped
