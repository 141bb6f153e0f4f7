"""Snapshot: one moment of a lake, as a list of files that never changes.

Takes   the Delta logs and the landing folder, looked at once.
Gives   `Snapshot`: one version of each table and the landing files beyond its watermark. Its `token` names it, so that an
        answer can be repeated for `LakeSettings.snapshot_keep_s`.
Refuses tokens that are none (`SnapshotInvalid`) or too old (`SnapshotExpired`).

The log is read before the landing is listed. A landing file that is absorbed in between is then in the list as well as in
a newer version that the snapshot does not know, so it counts once; and absorbed files are kept for `snapshot_keep_s`.

Rows of a file may have a column that was promoted a moment ago, so a snapshot is taken again when `lake.json` changed
meanwhile: `Snapshot.lake` has every promotion that its files can have.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from . import landing
from .compaction import contiguous
from .errors import SnapshotExpired, SnapshotInvalid
from .folder import LakeFolder, mark_of, open_folder
from .landing import LandingFile
from .schema import LANDINGS, Table, tables_of
from .tables import DeltaLog, log_file

_KEPT_VERSIONS = 32


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """One table of a snapshot."""

    table: Table
    folder: Path
    version: int
    """Delta version, -1 while the table does not exist."""
    actions: pa.Table | None
    """Its data files as `DeltaLog.actions` gives them, None while the table does not exist."""
    tail: tuple[LandingFile, ...]
    """Landing files that the version does not hold yet."""

    def data_files(
        self,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        time: str | None = None,
        trace_id: str | None = None,
    ) -> list[str]:
        """Paths of the data files that can hold rows with a time in `[since, until)` and this trace id.

        Args:
            time: the column that the times are of; by default the one that the table is partitioned by.
        """
        found = self._actions(since, until, time or self.table.time, trace_id)
        return [] if found is None else [f"{self.folder}/{path}" for path in found.column("path").to_pylist()]

    def row_count(self, *, since: dt.datetime, until: dt.datetime) -> int:
        """Rows in the data files that can hold some with a time in `[since, until)`."""
        found = self._actions(since, until, self.table.time, None)
        return 0 if found is None else pc.sum(found.column("num_records")).as_py() or 0

    def _actions(
        self, since: dt.datetime | None, until: dt.datetime | None, time: str, trace_id: str | None
    ) -> pa.Table | None:
        if self.actions is None or not self.actions.num_rows:
            return None
        mask = pa.repeat(True, self.actions.num_rows)
        for condition in self._conditions(since, until, time, trace_id):
            mask = pc.and_(mask, pc.fill_null(condition, fill_value=True))  # a file without statistics may hold anything
        return self.actions.filter(mask)

    def _conditions(
        self, since: dt.datetime | None, until: dt.datetime | None, time: str, trace_id: str | None
    ) -> Iterator[pa.ChunkedArray]:
        if since is not None:
            yield pc.greater_equal(self._bound("max", time), pa.scalar(since))
        if until is not None:
            yield pc.less(self._bound("min", time), pa.scalar(until))
        if trace_id is not None:
            yield pc.less_equal(self._bound("min", "trace_id"), trace_id)
            yield pc.greater_equal(self._bound("max", "trace_id"), trace_id)

    def _bound(self, which: str, column: str) -> pa.ChunkedArray:
        assert self.actions is not None  # noqa: S101 - callers checked
        return self.actions.column(f"{which}.{column}")


@dataclass(frozen=True)
class Snapshot:
    """One moment of a lake."""

    lake: LakeFolder
    tables: Mapping[str, TableSnapshot]

    @cached_property
    def token(self) -> str:
        """Text that names this snapshot, for `X-Lake-Snapshot` and `Lake.at`."""
        files: dict[str, set[LandingFile]] = {}
        for table in self.tables.values():
            files.setdefault(table.table.landing, set()).update(table.tail)
        content = {
            "t": {name: table.version for name, table in self.tables.items()},
            "l": {stream: _last_and_count(tail) for stream, tail in files.items() if tail},
        }
        return base64.urlsafe_b64encode(orjson.dumps(content)).decode("ascii").rstrip("=")


_Tail = dict[str, tuple[int, int]]
"""Writer to its last sequence in a tail and how many of its files are in it."""


def _last_and_count(tail: Iterable[LandingFile]) -> _Tail:
    found: _Tail = {}
    for file in tail:
        last, count = found.get(file.writer, (0, 0))
        found[file.writer] = max(last, file.sequence), count + 1
    return found


class SnapshotReader:
    """Takes snapshots of one lake; not for use by two threads at once."""

    def __init__(self, lake: LakeFolder, *, keep_s: int, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            keep_s: seconds that a replaced version stays readable.
            clock: seconds since the Unix epoch.
        """
        self._keep_s = keep_s
        self._clock = clock
        mark = mark_of(lake.path)  # before it is read: a change in between is seen by the first snapshot
        self._follow(open_folder(lake.path), mark)

    def _follow(self, lake: LakeFolder, mark: object) -> None:
        self._lake, self._mark = lake, mark
        self._tables = tables_of(lake.promoted)
        self._logs: dict[str, DeltaLog] = {}
        self._actions: dict[str, tuple[int, pa.Table]] = {}
        self._old_log = lru_cache(maxsize=_KEPT_VERSIONS)(self._open_version)

    def newest(self) -> Snapshot:
        """The lake as it is now.

        Raises:
            NotALake: it is gone.
            LakeCorrupt: the log of a table is damaged.
        """
        return self._taken(self._newest)

    def at(self, token: str) -> Snapshot:
        """The lake as it was when the token was made.

        Raises:
            SnapshotInvalid: the text is no token of this lake.
            SnapshotExpired: files it needs may be gone.
        """
        versions, tails = _parse(token)
        return self._taken(lambda: self._at(versions, tails))

    def _taken(self, take: Callable[[], Snapshot]) -> Snapshot:
        """A snapshot during which `lake.json` did not change."""
        while True:
            snapshot = take()
            mark = mark_of(self._lake.path)
            if mark == self._mark:
                return snapshot
            self._follow(open_folder(self._lake.path), mark)

    def _newest(self) -> Snapshot:
        logs = {name: self._log(name) for name in self._tables}
        return self._snapshot(logs, {stream: self._waiting(stream, self._lowest(stream, logs)) for stream in LANDINGS})

    def _waiting(self, stream: str, watermark: Callable[[str], int]) -> list[LandingFile]:
        """The landing files beyond the watermarks, without gaps but those of a damaged folder."""
        found = landing.waiting(self._lake.path, stream, watermark)
        if len(found) == len(contiguous(found, watermark)):
            return found
        # A listing may have a file and not the one that was made just before it. A second look finds all up to that one.
        last = {writer: highest for writer, (highest, _) in _last_and_count(found).items()}
        again = landing.waiting(self._lake.path, stream, watermark)
        return [file for file in again if file.sequence <= last.get(file.writer, 0)]

    def _at(self, versions: Mapping[str, int], tails: Mapping[str, _Tail]) -> Snapshot:
        if set(versions) != set(self._tables):
            raise SnapshotInvalid(_NOT_OF_THIS_LAKE)
        logs = {name: self._version(name, version) for name, version in versions.items()}
        files = {stream: self._tail(stream, self._lowest(stream, logs), tails.get(stream, {})) for stream in LANDINGS}
        return self._snapshot(logs, files)

    def _tail(self, stream: str, watermark: Callable[[str], int], tail: _Tail) -> list[LandingFile]:
        """The files that a token means."""
        waiting = landing.waiting(self._lake.path, stream, watermark)
        found = [file for file in waiting if file.sequence <= tail.get(file.writer, (0, 0))[0]]
        if _last_and_count(found) != tail:
            raise SnapshotExpired("landing files of this snapshot are gone: start again without it")
        return found

    def _snapshot(self, logs: Mapping[str, DeltaLog | None], tails: Mapping[str, list[LandingFile]]) -> Snapshot:
        tables = {name: self._table(table, logs[name], tails[table.landing]) for name, table in self._tables.items()}
        return Snapshot(self._lake, tables)

    def _table(self, table: Table, log: DeltaLog | None, waiting: list[LandingFile]) -> TableSnapshot:
        folder = self._lake.path / table.name
        if log is None:
            return TableSnapshot(table, folder, -1, None, tuple(waiting))
        absorbed = {writer: log.watermark(writer) for writer in {file.writer for file in waiting}}
        tail = tuple(file for file in waiting if file.sequence > absorbed[file.writer])
        return TableSnapshot(table, folder, log.version, self._actions_of(log), tail)

    def _actions_of(self, log: DeltaLog) -> pa.Table:
        known = self._actions.get(log.table.name)
        if known is None or known[0] != log.version:
            known = self._actions[log.table.name] = (log.version, log.actions())
        return known[1]

    def _lowest(self, stream: str, logs: Mapping[str, DeltaLog | None]) -> Callable[[str], int]:
        relevant = [logs[name] for name, table in self._tables.items() if table.landing == stream]
        return lambda writer: min(log.watermark(writer) if log else 0 for log in relevant)

    def _log(self, name: str) -> DeltaLog | None:
        """The newest version of a table, None while it does not exist."""
        if name in self._logs:
            self._logs[name].refresh()
        elif log_file(self._lake.path / name, 0).parent.exists():
            try:
                self._logs[name] = DeltaLog(self._lake.path, self._tables[name])
            except FileNotFoundError:  # being created this moment
                return None
        return self._logs.get(name)

    def _version(self, name: str, version: int) -> DeltaLog | None:
        newest = self._log(name)
        if version > (newest.version if newest else -1) or version < -1:
            raise SnapshotInvalid(_NOT_OF_THIS_LAKE)
        if newest is None or version == newest.version:
            return newest
        if self._replaced_before(name, version, self._clock() - self._keep_s):
            raise SnapshotExpired(f"this snapshot is more than {self._keep_s} s old and its files may be gone: start again")
        if version < 0:
            return None
        log = self._old_log(name, version)
        self._check_files(log, newest)
        return log

    def _replaced_before(self, name: str, version: int, then_s: float) -> bool:
        try:
            return log_file(self._lake.path / name, version + 1).stat().st_mtime < then_s
        except FileNotFoundError:  # even the log of it is gone
            return True

    def _check_files(self, log: DeltaLog, newest: DeltaLog) -> None:
        """Check that what was replaced since is still there: on a disk that runs low it goes sooner."""
        paths = log.actions().column("path")
        replaced = paths.filter(pc.invert(pc.is_in(paths, value_set=newest.actions().column("path").combine_chunks())))
        if not all((log.folder / path).exists() for path in replaced.to_pylist()):
            raise SnapshotExpired("data files of this snapshot are gone: start again without it")

    def _open_version(self, name: str, version: int) -> DeltaLog:
        try:
            return DeltaLog(self._lake.path, self._tables[name], version=version)
        except FileNotFoundError as error:
            raise SnapshotExpired("the log of this snapshot is gone: start again without it") from error


def _parse(token: str) -> tuple[dict[str, int], dict[str, _Tail]]:
    """Versions by table, and tails by stream."""
    try:
        content = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        versions = dict(content["t"])
        tails = {
            stream: {writer: (last, count) for writer, (last, count) in tail.items()}
            for stream, tail in content["l"].items()
        }
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotInvalid(_NO_TOKEN) from error
    numbers = [*versions.values(), *(n for tail in tails.values() for pair in tail.values() for n in pair)]
    if not all(type(number) is int for number in numbers):
        raise SnapshotInvalid(_NO_TOKEN)
    return versions, tails


_NO_TOKEN = "a snapshot is named by the text of X-Lake-Snapshot; this is none"  # noqa: S105 - no secret
_NOT_OF_THIS_LAKE = "this snapshot is not one of this lake: ask again without it"
