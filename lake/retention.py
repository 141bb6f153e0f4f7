"""Retention: what is too old goes, and what no snapshot needs any more is deleted.

Takes   a compactor (for its lease and logs), the settings and the time.
Gives   Delta commits that drop files whose rows are all too old; then fewer files on the disk.
Refuses to delete anything that a snapshot of the last `snapshot_keep_s` can name.

A row is too old when both its time and its ingest lie more than the table's days back, so a backfill is kept as long as
what happened on the day it came. Files that are in no version, such as those of a compaction that was killed, go with
the others once they are old enough.

Ages are told by the clock of the machine and the times of files. A clock that is set back only makes everything younger:
what is due goes later. One that is set forward by three days makes everything three days older while it is wrong, and
what retention drops then is gone when it is right again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow.compute as pc

from . import landing, trace_ranges
from .compaction import Compactor
from .disk import TEMPORARY
from .schema import LANDINGS
from .settings import LakeSettings
from .tables import DeltaLog, log_file

LOW_DISK_SHARE = 0.10
"""Share of free disk below which replaced files are kept for `LOW_DISK_KEEP_S` only."""
LOW_DISK_KEEP_S = 60

QUERY_S = 60
"""Seconds that files are kept beyond the age of the oldest snapshot, for the queries that run on it."""

SCRATCH_KEEP_S = 86_400
"""Seconds after which what a rewrite put aside is no rewrite's any more."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What one run removed."""

    expired_files: int = 0
    """Data files dropped from the tables for their age."""
    data_files: int = 0
    """Data files deleted from the disk."""
    landing_files: int = 0
    """Landing files deleted from the disk."""


def keep(compactor: Compactor, settings: LakeSettings, *, now_s: float) -> Deleted:
    """Drop what is too old and delete what nobody needs.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
    """
    dropped = expire(compactor, settings, now_s=now_s)
    deleted = vacuum(compactor, settings, now_s=now_s)
    return Deleted(dropped.expired_files, deleted.data_files, deleted.landing_files)


def expire(compactor: Compactor, settings: LakeSettings, *, now_s: float) -> Deleted:
    """Drop what is too old from the tables; its files stay for the snapshots that name them.

    Raises:
        LeaseLost: another process compacts this lake.
        CommitConflict: another process committed in between.
    """
    compactor.lease.hold(now_s=now_s)
    return Deleted(expired_files=sum(_drop_expired(compactor.log(name), settings, now_s) for name in compactor.tables))


def vacuum(compactor: Compactor, settings: LakeSettings, *, now_s: float) -> Deleted:
    """Delete the files that no table names and no snapshot can.

    Raises:
        LeaseLost: another process compacts this lake.
    """
    compactor.lease.hold(now_s=now_s)
    folder = compactor.lake.path
    usage = shutil.disk_usage(folder)
    then_s = now_s - keep_seconds(settings, free_share=usage.free / usage.total)
    _delete_scratch(folder, now_s - SCRATCH_KEEP_S)
    return Deleted(
        data_files=sum(_delete_data(compactor.log(name), then_s) for name in compactor.tables),
        landing_files=sum(_delete_landing(compactor, stream, then_s) for stream in LANDINGS),
    )


def keep_seconds(settings: LakeSettings, *, free_share: float) -> int:
    """How long replaced files are kept: less when the disk runs low.

    Args:
        free_share: free part of the disk, 0 to 1.
    """
    usual = settings.snapshot_keep_s + QUERY_S
    return usual if free_share > LOW_DISK_SHARE else min(LOW_DISK_KEEP_S, usual)


def _delete_scratch(folder: Path, then_s: float) -> None:
    """Remove what a rewrite that was killed left behind."""
    for left in folder.glob(f"{trace_ranges.SCRATCH}/*"):
        if left.stat().st_mtime < then_s:
            shutil.rmtree(left, ignore_errors=True)


def _drop_expired(log: DeltaLog, settings: LakeSettings, now_s: float) -> int:
    days: int = getattr(settings, log.table.retention)
    limit = dt.datetime.fromtimestamp(now_s, dt.UTC) - dt.timedelta(days=days)
    actions = log.actions()
    if not actions.num_rows:
        return 0
    old = pc.and_(pc.less(actions.column(f"max.{log.table.time}"), limit), pc.less(actions.column("max.ingested_at"), limit))
    paths = set(actions.filter(old).column("path").to_pylist())
    if paths:
        log.commit(remove=[file for file in log.files() if file.path in paths])
    return len(paths)


def version_at(log: DeltaLog, then_s: float) -> int | None:
    """The newest version that was committed by `then_s`, None if there is none."""
    low, high = -1, log.version
    while low < high:
        middle = (low + high + 1) // 2
        path = log_file(log.folder, middle)
        if path.exists() and path.stat().st_mtime > then_s:
            high = middle - 1
        else:  # a commit whose log is cleaned up is older than any snapshot
            low = middle
    return low if low >= 0 else None


def _log_at(log: DeltaLog, then_s: float) -> DeltaLog | None:
    """A table as it was at `then_s`, None if it was not there yet.

    The log is cleaned up after a day. If that is sooner than asked for, the oldest version that can still be opened: no
    snapshot can name an older one.
    """
    first = version_at(log, then_s)
    for version in range(log.version + 1 if first is None else first, log.version + 1):
        if log_file(log.folder, version).exists():
            with contextlib.suppress(FileNotFoundError):  # what it is made from is cleaned up
                return DeltaLog(log.folder.parent, log.table, version=version)
    return None


def unneeded_data(log: DeltaLog, then_s: float) -> list[Path]:
    """The data files that no version since `then_s` has, and that were not written after it."""
    first = _log_at(log, then_s)
    if first is None:
        return []
    needed = set(first.actions().column("path").to_pylist())
    for version in range(first.version + 1, log.version + 1):
        needed |= _added(log_file(log.folder, version))
    found: list[Path] = []
    for path in log.folder.rglob("*.parquet*"):
        name = path.relative_to(log.folder).as_posix()
        if not name.startswith("_delta_log") and name not in needed and path.stat().st_mtime < then_s:
            found.append(path)
    return found


def _delete_data(log: DeltaLog, then_s: float) -> int:
    paths = unneeded_data(log, then_s)
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _added(commit: Path) -> set[str]:
    actions = [orjson.loads(line) for line in commit.read_bytes().splitlines()]
    return {action["add"]["path"] for action in actions if "add" in action}


def _delete_landing(compactor: Compactor, stream: str, then_s: float) -> int:
    """Delete landing files that every table had absorbed by `then_s`, and the folders of writers that are no more."""
    if not (compactor.lake.path / "landing" / stream).exists():
        return 0
    old: list[DeltaLog] = []
    for table in compactor.tables.values():
        if table.landing == stream:
            then = _log_at(compactor.log(table.name), then_s)
            if then is None:
                return 0
            old.append(then)

    def absorbed(writer: str) -> int:
        return min(log.watermark(writer) for log in old)

    files = landing.absorbed(compactor.lake.path, stream, absorbed)
    for file in files:
        file.path.unlink(missing_ok=True)
    for writer in landing.writers(compactor.lake.path, stream):
        _tidy(writer, then_s)
    return len(files)


def _tidy(writer: Path, then_s: float) -> None:
    """Remove empty blocks of a writer, but not the newest while it lives, and then the folder of a dead one.

    A folder that changed lately is left: a writer that is just beginning has made it and has no lock yet.
    """
    alive = landing.is_alive(writer)
    blocks = sorted(path for path in writer.iterdir() if path.is_dir())
    for block in blocks if not alive else blocks[:-1]:
        for left in block.glob(f"*{TEMPORARY}"):
            if left.stat().st_mtime < then_s:
                left.unlink(missing_ok=True)
        if block.stat().st_mtime < then_s:
            with contextlib.suppress(OSError):  # it still has files
                block.rmdir()
    if not alive and writer.stat().st_mtime < then_s and not any(path.is_dir() for path in writer.iterdir()):
        (writer / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            writer.rmdir()
