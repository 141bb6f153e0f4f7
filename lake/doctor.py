"""Doctor: what is wrong with a lake, and what to do about it.

Takes   the folder of a lake.
Gives   `Report`: findings, each with a remedy, and how much waits in the landing. `examine` changes nothing; `give_up` puts
        an empty file in the place of a landing file that is lost, so that those behind it go on.
Refuses folders that are no lake (`NotALake`), and to give up a file that is not lost (`LakeError`).
"""

from __future__ import annotations

import shlex
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from . import landing
from .compaction import contiguous
from .disk import Disk
from .errors import LakeCorrupt, LakeError
from .folder import LakeFolder, open_folder
from .landing import LandingFile
from .retention import unneeded_data
from .schema import LANDINGS, Table, tables_of
from .tables import DeltaLog, LiveFile

Severity = Literal["error", "warning"]

_STALE_TAIL_S = 60
"""Seconds after which a landing file should have been compacted."""

_STRAY_S = 86_400
"""Seconds after which retention should have deleted a file that is in no version."""

_CHUNK_BYTES = 2**20

_RESTORE = "restore the file from a backup; until then queries over its hour fail"
_START = "start the scheduler (`tracelake serve`), or run `tracelake compact`"


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
        check_contents: also read every data file and verify its checksum.
        progress: called with the number of files done and of all.

    Raises:
        NotALake: the folder holds none.
    """
    lake = open_folder(path)
    tables = tables_of(lake.promoted)
    logs, findings = _open_logs(lake, tables.values())
    files = [(log, file) for log in logs.values() for file in log.files()]
    for done, (log, file) in enumerate(files):
        progress(done, len(files))
        findings.extend(_examine_file(log.folder / file.path, file, check_contents=check_contents))
    broken = {Path(finding.place).name for finding in findings if Path(finding.place).parent == lake.path}
    waiting: list[LandingFile] = []
    for stream in LANDINGS:
        names = [table.name for table in tables.values() if table.landing == stream]
        if not broken.intersection(names):  # else nobody knows what waits
            schema = tables[stream].arrow_schema
            found, problems = _examine_stream(lake.path, stream, [logs.get(name) for name in names], schema)
            waiting.extend(found)
            findings.extend(problems)
    findings.extend(finding for log in logs.values() for finding in _strays(log))
    return Report(
        str(path),
        tuple(_state(log) for log in logs.values()),
        len(waiting),
        sum(file.path.stat().st_size for file in waiting),
        tuple(findings),
    )


def give_up(path: Path, lost: Path) -> None:
    """Put an empty file in the place of a landing file that is damaged or missing; a damaged one is kept beside it.

    Args:
        path: folder of the lake.
        lost: the landing file, as a finding names it.

    Raises:
        NotALake: the folder holds none.
        LakeError: no finding says that this file is lost.
    """
    findings = examine(path, check_contents=False).findings
    if lost.resolve() not in {Path(f.place).resolve() for f in findings if "--give-up" in f.remedy}:
        raise LakeError(f"{lost} is no lost landing file of {path}: `tracelake doctor` names those")
    disk = Disk()
    if lost.exists():
        disk.rename(lost, lost.with_suffix(".damaged"))
    stream = lost.parents[2].name
    landing.write_empty(lost, tables_of(open_folder(path).promoted)[stream].arrow_schema, disk=disk)


def _open_logs(lake: LakeFolder, tables: Iterable[Table]) -> tuple[dict[str, DeltaLog], list[Finding]]:
    """The logs of the tables that have begun."""
    logs: dict[str, DeltaLog] = {}
    findings = []
    for table in tables:
        folder = lake.path / table.name
        if not _has_begun(folder):
            continue
        try:
            _check_commits(folder)
            logs[table.name] = DeltaLog(lake.path, table)
        except (FileNotFoundError, LakeCorrupt) as error:
            findings.append(_damaged_log(folder, error))
    return logs, findings


def _damaged_log(table: Path, error: Exception) -> Finding:
    remedy = "restore _delta_log from a backup; rows that still wait in the landing are safe"
    return Finding("error", str(table), f"the Delta log cannot be read: {error}", remedy)


def _check_commits(table: Path) -> None:
    """Look for what Delta readers take for a commit that changes nothing.

    Raises:
        LakeCorrupt: a file of the log has no commit.
    """
    for path in table.glob("_delta_log/*.json"):
        if not path.stat().st_size:
            raise LakeCorrupt(f"{path} is empty")


def _has_begun(folder: Path) -> bool:
    """Whether a table has a log or data. Its folders alone are what a crash leaves while compaction makes the table."""
    return any(any(folder.glob(names)) for names in ("_delta_log/*.json", "_delta_log/*.parquet", "day=*/hour=*/*"))


def _examine_file(path: Path, file: LiveFile, *, check_contents: bool) -> Iterator[Finding]:
    problem = _problem(path, file, check_contents=check_contents)
    if problem:
        yield Finding("error", str(path), problem, _RESTORE)


def _problem(path: Path, file: LiveFile, *, check_contents: bool) -> str | None:
    """What is wrong with a data file, if anything."""
    if not path.exists():
        return "the log names it, the disk does not have it"
    if path.stat().st_size != file.size_bytes:
        return f"it has {path.stat().st_size} bytes, the log says {file.size_bytes}"
    try:
        if check_contents and (checksum := _checksum(path)) != file.checksum:
            return f"its bytes have the checksum {checksum:08x}, its name says {file.checksum:08x}"
        rows: int = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        return f"it cannot be read: {error}"
    return None if rows == file.row_count else f"it has {rows} rows, the log says {file.row_count}"


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _examine_stream(
    lake: Path, stream: str, logs: Sequence[DeltaLog | None], schema: pa.Schema
) -> tuple[list[LandingFile], list[Finding]]:
    """The files of a stream that wait, and what is wrong with them.

    Args:
        logs: of the tables that are made from it, None for one that has not begun.
    """

    def lowest(writer: str) -> int:
        return min(log.watermark(writer) if log else 0 for log in logs)

    waiting = landing.waiting(lake, stream, lowest)
    findings = [
        Finding("error", str(file.path), why, _or_give_up(file.path)) for file in waiting if (why := _damage(file, schema))
    ]
    for path, behind in _missing(waiting, lowest):
        problem = f"it is missing, and {behind} later ones of its writer are not compacted before it is there"
        findings.append(Finding("error", str(path), problem, _or_give_up(path)))
    stale = [file for file in waiting if time.time() - file.path.stat().st_mtime > _STALE_TAIL_S]
    if stale:
        problem = f"{len(stale)} files wait for more than {_STALE_TAIL_S} s"
        findings.append(Finding("warning", str(lake / "landing" / stream), problem, _START))
    return waiting, findings


def _damage(file: LandingFile, schema: pa.Schema) -> str | None:
    try:
        landing.read_rows(file, schema)
    except LakeCorrupt as error:
        return f"it cannot be read: {error.__cause__ or error}"
    return None


def _missing(waiting: Sequence[LandingFile], watermark: Callable[[str], int]) -> Iterator[tuple[Path, int]]:
    """The first missing file of each writer that has a gap, and how many lie behind it."""
    found = contiguous(waiting, watermark)
    behind = set(waiting) - set(found)
    for writer in sorted({file.path.parents[1] for file in behind}):
        last = max((file.sequence for file in found if file.writer == writer.name), default=watermark(writer.name))
        path = landing.path_of(writer, last + 1)
        if not path.exists():  # else it was made while the landing was listed
            yield path, sum(file.writer == writer.name for file in behind)


def _or_give_up(path: Path) -> str:
    return (
        f"restore the file from a backup; if there is none, `tracelake doctor --give-up {shlex.quote(str(path))}` loses its "
        "rows and lets those behind it go on"
    )


def _strays(log: DeltaLog) -> Iterator[Finding]:
    try:
        strays = unneeded_data(log, time.time() - _STRAY_S)
    except (FileNotFoundError, LakeCorrupt, orjson.JSONDecodeError) as error:  # before a checkpoint: readers do not see it
        yield _damaged_log(log.folder, error)
        return
    if strays:
        problem = f"{len(strays)} files are in no version for more than {_STRAY_S // 3600} h, so retention does not run"
        yield Finding("warning", str(log.folder), problem, _START)


def _state(log: DeltaLog) -> TableState:
    files = log.files()
    return TableState(
        log.table.name, log.version, len(files), sum(f.row_count for f in files), sum(f.size_bytes for f in files)
    )
