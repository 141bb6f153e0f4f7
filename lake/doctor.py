"""Doctor: what is wrong with a lake, and what to do about it.

Takes   the folder of a lake; changes nothing.
Gives   `Report`: findings, each with a remedy, and how much waits in the landing.
Refuses folders that are no lake (`NotALake`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from . import landing
from .compaction import contiguous
from .errors import LakeCorrupt
from .folder import LakeFolder, open_folder
from .landing import LandingFile
from .schema import LANDINGS, tables_of
from .tables import DeltaLog, LiveFile

Severity = Literal["error", "warning"]

_STALE_TAIL_S = 60
"""Seconds after which a landing file should have been compacted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    severity: Severity
    place: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TableState:
    """One table in numbers."""

    name: str
    version: int
    files: int
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """The state of a lake."""

    path: str
    tables: tuple[TableState, ...]
    waiting_files: int
    waiting_bytes: int
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"is_healthy": self.is_healthy}


def examine(path: Path, *, check_contents: bool = True, progress: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Compare log with files and landing with watermarks.

    Args:
        check_contents: also read every page of every file and verify its checksum.
        progress: called with the number of files done and of all.

    Raises:
        NotALake: the folder holds none.
    """
    lake = open_folder(path)
    logs, findings = _open_logs(lake)
    files = [(log, file) for log in logs.values() for file in log.files()]
    for done, (log, file) in enumerate(files):
        progress(done, len(files))
        findings.extend(_examine_file(log, file, check_contents=check_contents))
    waiting: list[LandingFile] = []
    for stream in LANDINGS:
        found, problems = _examine_stream(lake, stream, logs)
        waiting.extend(found)
        findings.extend(problems)
    findings.extend(_strays(logs))
    return Report(
        str(path),
        tuple(_state(log) for log in logs.values()),
        len(waiting),
        sum(file.path.stat().st_size for file in waiting),
        tuple(findings),
    )


def _open_logs(lake: LakeFolder) -> tuple[dict[str, DeltaLog], list[Finding]]:
    logs: dict[str, DeltaLog] = {}
    findings = []
    for name, table in tables_of(lake.promoted).items():
        if not _has_begun(lake.path / name):
            continue
        try:
            logs[name] = DeltaLog(lake.path, table)
        except (FileNotFoundError, LakeCorrupt) as error:
            findings.append(
                Finding(
                    "error",
                    str(lake.path / name),
                    f"the Delta log cannot be read: {error}",
                    "restore _delta_log from a backup; rows that still wait in the landing are safe",
                )
            )
    return logs, findings


def _has_begun(folder: Path) -> bool:
    """Whether a table has a log or data. Its folders alone are what a crash leaves while compaction makes the table."""
    return any(any(folder.glob(names)) for names in ("_delta_log/*.json", "_delta_log/*.parquet", "day=*/hour=*/*"))


def _examine_file(log: DeltaLog, file: LiveFile, *, check_contents: bool) -> Iterator[Finding]:
    path = log.folder / file.path
    if not path.exists():
        yield Finding(
            "error",
            str(path),
            "the log names it, the disk does not have it",
            "restore the file from a backup; until then queries over its hour fail",
        )
        return
    if path.stat().st_size != file.size_bytes:
        yield Finding(
            "error",
            str(path),
            f"it has {path.stat().st_size} bytes, the log says {file.size_bytes}",
            "restore the file from a backup",
        )
        return
    problem = _unreadable(path, file.row_count, check_contents=check_contents)
    if problem:
        yield Finding("error", str(path), problem, "restore the file from a backup")


def _unreadable(path: Path, row_count: int | None, *, check_contents: bool) -> str | None:
    """Why a Parquet file cannot be read, None if it can."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=check_contents) as parquet:
            rows: int = parquet.metadata.num_rows
            if check_contents:
                rows = sum(batch.num_rows for batch in parquet.iter_batches())
    except (pa.ArrowException, OSError) as error:
        return f"it cannot be read: {error}"
    return None if row_count in (None, rows) else f"it has {rows} rows, the log says {row_count}"


def _examine_stream(lake: LakeFolder, stream: str, logs: dict[str, DeltaLog]) -> tuple[list[LandingFile], list[Finding]]:
    """The files of a stream that wait, and what is wrong with them."""
    own = [logs.get(table.name) for table in tables_of(lake.promoted).values() if table.landing == stream]

    def lowest(writer: str) -> int:
        return min(log.watermark(writer) if log else 0 for log in own)

    waiting = landing.waiting(lake.path, stream, lowest)
    findings = [
        Finding("error", str(file.path), problem, "restore the file from a backup, or move it away to lose its rows")
        for file in waiting
        if (problem := _unreadable(file.path, None, check_contents=True))
    ]
    behind_gap = sorted(set(waiting) - set(contiguous(waiting, lowest)))
    if behind_gap:
        findings.append(
            Finding(
                "error",
                str(behind_gap[0].path),
                "a landing file before it is missing, so it and later ones are not compacted",
                "restore the missing file from a backup",
            )
        )
    stale = [file for file in waiting if time.time() - file.path.stat().st_mtime > _STALE_TAIL_S]
    if stale:
        findings.append(
            Finding(
                "warning",
                str(lake.path / "landing" / stream),
                f"{len(stale)} files wait for more than {_STALE_TAIL_S} s",
                "start the scheduler (`tracelake serve`), or run `tracelake compact`",
            )
        )
    return waiting, findings


def _strays(logs: dict[str, DeltaLog]) -> Iterator[Finding]:
    for log in logs.values():
        live = {file.path for file in log.files()}
        on_disk = {path.relative_to(log.folder).as_posix() for path in log.folder.glob("day=*/hour=*/*") if path.is_file()}
        if strays := on_disk - live:
            yield Finding(
                "warning",
                str(log.folder),
                f"{len(strays)} files are in no current version",
                "nothing to do: retention deletes them once no snapshot needs them",
            )


def _state(log: DeltaLog) -> TableState:
    files = log.files()
    return TableState(
        log.table.name, log.version, len(files), sum(f.row_count for f in files), sum(f.size_bytes for f in files)
    )
