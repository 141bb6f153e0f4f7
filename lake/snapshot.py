"""Snapshot: one moment of a lake, as a list of files that never changes.

Takes   the Delta logs and the landing folder, looked at once.
Gives   `Snapshot`: one version of each table and the landing files beyond its watermark. Its `token` names it, so that an
        answer can be repeated for `LakeSettings.snapshot_keep_s`.
Refuses tokens that are none (`SnapshotInvalid`) or too old (`SnapshotExpired`).

The log is read before the landing is listed. A landing file that is absorbed in between is then in the list as well as in
a newer version that the snapshot does not know, so it counts once; and absorbed files are kept for `snapshot_keep_s`.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from . import landing
from .errors import SnapshotExpired, SnapshotInvalid
from .folder import LakeFolder
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
        self, *, since: dt.datetime | None = None, until: dt.datetime | None = None, trace_id: str | None = None
    ) -> list[str]:
        """Paths of the data files that can hold rows with a time in `[since, until)` and this trace id."""
        if self.actions is None or not self.actions.num_rows:
            return []
        mask = pa.repeat(True, self.actions.num_rows)
        for condition in self._conditions(since, until, trace_id):
            mask = pc.and_(mask, pc.fill_null(condition, fill_value=True))  # a file without statistics may hold anything
        return [f"{self.folder}/{path}" for path in self.actions.filter(mask).column("path").to_pylist()]

    def _conditions(
        self, since: dt.datetime | None, until: dt.datetime | None, trace_id: str | None
    ) -> Iterator[pa.ChunkedArray]:
        if since is not None:
            yield pc.greater_equal(self._bound("max", self.table.time), pa.scalar(since))
        if until is not None:
            yield pc.less(self._bound("min", self.table.time), pa.scalar(until))
        if trace_id is not None:
            yield pc.less_equal(self._bound("min", "trace_id"), trace_id)
            yield pc.greater_equal(self._bound("max", "trace_id"), trace_id)

    def _bound(self, which: str, column: str) -> pa.ChunkedArray:
        assert self.actions is not None  # noqa: S101 - callers checked
        return self.actions.column(f"{which}.{column}")


@dataclass(frozen=True)
class Snapshot:
    """One moment of a lake."""

    tables: Mapping[str, TableSnapshot]

    @cached_property
    def token(self) -> str:
        """Text that names this snapshot, for `X-Lake-Snapshot` and `Lake.at`."""
        last: dict[str, dict[str, int]] = {}
        for table in self.tables.values():
            stream = last.setdefault(table.table.landing, {})
            for file in table.tail:
                stream[file.writer] = max(stream.get(file.writer, 0), file.sequence)
        content = {"t": {name: t.version for name, t in self.tables.items()}, "l": {k: v for k, v in last.items() if v}}
        return base64.urlsafe_b64encode(orjson.dumps(content)).decode("ascii").rstrip("=")


class SnapshotReader:
    """Takes snapshots of one lake; not for use by two threads at once."""

    def __init__(self, lake: LakeFolder, *, keep_s: int, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            keep_s: seconds that a replaced version stays readable.
            clock: seconds since the Unix epoch.
        """
        self._lake = lake
        self._keep_s = keep_s
        self._clock = clock
        self._tables = tables_of(lake.promoted)
        self._logs: dict[str, DeltaLog] = {}
        self._actions: dict[str, tuple[int, pa.Table]] = {}
        self._old_log = lru_cache(maxsize=_KEPT_VERSIONS)(self._open_version)

    def newest(self) -> Snapshot:
        """The lake as it is now."""
        logs = {name: self._log(name) for name in self._tables}
        tails = {stream: landing.waiting(self._lake.path, stream, self._lowest(stream, logs)) for stream in LANDINGS}
        return self._snapshot(logs, tails)

    def at(self, token: str) -> Snapshot:
        """The lake as it was when the token was made.

        Raises:
            SnapshotInvalid: the text is no token of this lake.
            SnapshotExpired: files it needs may be gone.
        """
        versions, last = _parse(token)
        if set(versions) != set(self._tables):
            raise SnapshotInvalid("this snapshot is not one of this lake: ask again without it")
        logs = {name: self._version(name, version) for name, version in versions.items()}
        tails = {
            stream: [
                file
                for file in landing.waiting(self._lake.path, stream, self._lowest(stream, logs))
                if file.sequence <= last.get(stream, {}).get(file.writer, 0)
            ]
            for stream in LANDINGS
        }
        return self._snapshot(logs, tails)

    def _snapshot(self, logs: Mapping[str, DeltaLog | None], tails: Mapping[str, list[LandingFile]]) -> Snapshot:
        return Snapshot({name: self._table(table, logs[name], tails[table.landing]) for name, table in self._tables.items()})

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
        if version < 0:
            return None
        if self._replaced_before(name, version, self._clock() - self._keep_s):
            raise SnapshotExpired(f"this snapshot is more than {self._keep_s} s old and its files may be gone: start again")
        return self._old_log(name, version)

    def _replaced_before(self, name: str, version: int, then_s: float) -> bool:
        newest = self._log(name)
        if newest is None or version > newest.version:
            raise SnapshotInvalid("this snapshot is not one of this lake: ask again without it")
        if version == newest.version:
            return False
        try:
            return log_file(self._lake.path / name, version + 1).stat().st_mtime < then_s
        except FileNotFoundError:  # even the log of it is gone
            return True

    def _open_version(self, name: str, version: int) -> DeltaLog:
        try:
            return DeltaLog(self._lake.path, self._tables[name], version=version)
        except FileNotFoundError as error:
            raise SnapshotExpired("the log of this snapshot is gone: start again without it") from error


def _parse(token: str) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Versions by table and last sequences by stream and writer."""
    try:
        content = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        versions, last = content["t"], content["l"]
        numbers = [*versions.values(), *(n for stream in last.values() for n in stream.values())]
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotInvalid("a snapshot is named by the text of X-Lake-Snapshot; this is none") from error
    if not all(type(number) is int for number in numbers):
        raise SnapshotInvalid("a snapshot is named by the text of X-Lake-Snapshot; this is none")
    return versions, last
