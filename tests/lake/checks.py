"""What must hold for a lake, whatever happened to it. The tests of the code and those of its mutants call the same checks.

Takes   the folder of a lake, and the request bodies whose clients had their answer.
Gives   nothing; an `AssertionError` says what does not hold.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake.compaction import Compactor
from lake.derived import DERIVATIONS, Spans
from lake.derived.edges import resolved
from lake.derived.endpoints import merged
from lake.derived.exceptions import exceptions_of
from lake.errors import CommitConflict
from lake.folder import LakeFolder
from lake.landing import LandingWriter
from lake.lease import LEASE_S
from lake.schema import ENDPOINT_MINUTES, SERVICE_EDGES, TABLES, TRACE_SUMMARIES
from lake.tables import REWRITTEN, DeltaLog, Partition
from tests.lake.sim_disk import UnflushedDisk
from tests.lake.spans import START, nanoseconds, rows_of

SPAN_TABLES = ("batches", "spans", *DERIVATIONS)
"""The tables that are made from the landing of spans, in the order of their commits."""


class Stopped(BaseException):
    """The process ends here. No code may handle it, as none can handle SIGKILL."""


DISK = UnflushedDisk()

_HOUR = Partition(START.date(), START.hour)


class Clock:
    """Seconds since the Unix epoch, moved by hand."""

    def __init__(self) -> None:
        self.now_s = START.timestamp()

    def __call__(self) -> float:
        return self.now_s


def table_of(lake: Path, name: str, *columns: str) -> pa.Table:
    """What the newest version of a table has in its files."""
    log = DeltaLog(lake, TABLES[name])
    schema = pa.schema([log.table.arrow_schema.field(column) for column in columns])
    return pa.concat_tables(
        [schema.empty_table(), *(pq.ParquetFile(log.folder / f.path).read(columns=list(columns)) for f in log.files())]
    )


def whole_table(lake: Path, name: str) -> pa.Table:
    """All columns of what the newest version of a table has in its files."""
    return table_of(lake, name, *TABLES[name].arrow_schema.names)


def span_ids(lake: Path) -> Counter[str]:
    """How often the table `spans` has each span."""
    return Counter(table_of(lake, "spans", "span_id").column("span_id").to_pylist())


@cache
def _sent(body: bytes) -> tuple[frozenset[str], frozenset[str], str]:
    """Ids of the spans and of the exceptions of a request, and its hash."""
    rows, (request,) = rows_of([body])
    ids, exceptions = rows.column("span_id").to_pylist(), exceptions_of(rows).column("id").to_pylist()
    return frozenset(ids), frozenset(exceptions), request.hash


def assert_exactly_once(lake: Path, acknowledged: Collection[bytes], *, perhaps: Collection[bytes] = ()) -> None:
    """Every span of what was acknowledged is in the tables once, and the derived tables say the same.

    Args:
        acknowledged: bodies of requests, each counted once however often it was sent.
        perhaps: bodies that may be there too, whole.
    """
    tables = {name: whole_table(lake, name) for name in SPAN_TABLES}
    found = Counter(tables["spans"].column("span_id").to_pylist())
    exceptions = Counter(tables["exceptions"].column("id").to_pylist())
    batches = tables["batches"].select(["request_hash", "duplicate"]).to_pylist()
    decided = Counter(batch["request_hash"] for batch in batches if not batch["duplicate"])
    wanted = list(dict.fromkeys(acknowledged))
    for body in dict.fromkeys(perhaps):
        if body not in wanted and _sent(body)[0] & found.keys():
            wanted.append(body)
    assert found == Counter(id_ for body in wanted for id_ in _sent(body)[0]), "spans"
    assert exceptions == Counter(id_ for body in wanted for id_ in _sent(body)[1]), "exceptions"
    _assert_follow(tables, DERIVATIONS)
    assert decided == Counter(_sent(body)[2] for body in wanted), "batches"


def assert_derived(lake: Path, *names: str) -> None:
    """The derived tables, or some of them, say what follows from the rows of `spans`."""
    names = names or tuple(DERIVATIONS)
    _assert_follow({name: whole_table(lake, name) for name in ("spans", *names)}, names)


def _assert_follow(tables: Mapping[str, pa.Table], names: Iterable[str]) -> None:
    spans = Spans(tables["spans"])
    for name in names:
        assert _put_together(name, tables[name]) == _put_together(name, DERIVATIONS[name].of(spans)), name


def said(lake: Path, name: str) -> list[str]:
    """What the rows of a table say, in order; of derived ones the same however many rows say it."""
    return _put_together(name, whole_table(lake, name))


def _put_together(name: str, rows: pa.Table) -> list[str]:
    together = {ENDPOINT_MINUTES.name: merged, SERVICE_EDGES.name: resolved}
    found = together[name](rows).to_pylist() if name in together else rows.to_pylist()
    return sorted(map(repr, _whole_traces(found) if name == TRACE_SUMMARIES.name else found))


def _whole_traces(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One summary of each trace and hour."""
    traces: dict[tuple[str, dt.datetime], list[dict[str, Any]]] = {}
    for row in rows:
        traces.setdefault((row["trace_id"], row["start_time"].replace(minute=0, second=0, microsecond=0)), []).append(row)
    return [_whole_trace(parts) for parts in traces.values()]


def _whole_trace(parts: list[dict[str, Any]]) -> dict[str, Any]:
    start_ns = [nanoseconds(part["start_time"]) + part["start_ns_remainder"] for part in parts]
    root_ns = [ns + part["root_offset_ns"] for ns, part in zip(start_ns, parts, strict=True)]
    first_ns = min(start_ns)
    first = parts[start_ns.index(first_ns)]

    def rank(place: int) -> tuple[object, ...]:
        part = parts[place]
        return part["root_missing"], root_ns[place], -part["root_duration_ns"], part["root_span_id"], part["root_kind"]

    root = min(range(len(parts)), key=rank)
    return parts[root] | {
        "start_time": first["start_time"],
        "start_ns_remainder": first["start_ns_remainder"],
        "duration_ns": max(ns + part["duration_ns"] for ns, part in zip(start_ns, parts, strict=True)) - first_ns,
        "root_offset_ns": root_ns[root] - first_ns,
        "span_count": sum(part["span_count"] for part in parts),
        "error_count": sum(part["error_count"] for part in parts),
        "services": sorted({name for part in parts for name in part["services"]}),
        "ingested_at": max(part["ingested_at"] for part in parts),
    }


def land(writer: LandingWriter, *bodies: bytes) -> None:
    """Store some requests in one commit."""
    writer.commit(*rows_of(bodies))


def absorb_and_stop(lake: LakeFolder, clock: Clock, step: str, *, compactor: type[Compactor] = Compactor) -> bool:
    """Compact and end before the named step; whether it came to that step. The lease is over afterwards."""

    def stop(name: str) -> None:
        if name == step:
            raise Stopped(step)

    try:
        compactor(lake, disk=DISK, clock=clock, step=stop).absorb()
    except Stopped:
        return True
    finally:
        clock.now_s += LEASE_S + 1
    return False


STEPS = tuple(f"{step} {table}" for table in SPAN_TABLES for step in ("write", "commit", "committed"))
"""Every step of a round of compaction, in order."""


def check_a_stop_at(
    step: str, lake: LakeFolder, writer: LandingWriter, bodies: Sequence[bytes], *, compactor: type[Compactor] = Compactor
) -> None:
    """A compactor ends before `step` and another one takes over: each request counts once. Needs three bodies."""
    clock = Clock()
    land(writer, bodies[0], bodies[1], bodies[0])
    assert absorb_and_stop(lake, clock, step, compactor=compactor)
    land(writer, bodies[1], bodies[2])  # a retry of one that may be decided already
    compactor(lake, disk=DISK, clock=clock).absorb()
    assert_exactly_once(lake.path, bodies[:3])


def check_fencing(
    lake: LakeFolder, writer: LandingWriter, bodies: Sequence[bytes], *, compactor: type[Compactor] = Compactor
) -> None:
    """A compactor sleeps past its lease, another one does its work, it wakes up and goes on: each request counts once."""
    clock = Clock()
    land(writer, *bodies)

    def sleep(name: str) -> None:
        if name == "commit spans":
            clock.now_s += LEASE_S + 1
            compactor(lake, disk=DISK, clock=clock).absorb()

    conflict = raised_by(compactor(lake, disk=DISK, clock=clock, step=sleep).absorb)
    assert_exactly_once(lake.path, bodies)
    assert isinstance(conflict, CommitConflict)


def raised_by(action: Callable[[], object]) -> Exception | None:
    """The exception that the action raises, if any."""
    try:
        action()
    except Exception as error:  # the caller asserts which one it is
        return error
    return None


def check_one_of_two_appends_wins(first: DeltaLog, second: DeltaLog, rows: pa.Table) -> None:
    """Two handles at the same version, of which the second is stale once the first has committed."""
    files = [log.write(_HOUR, rows) for log in (first, second)]
    first.commit(add=files[:1], watermarks={"w": 1})
    conflict = raised_by(lambda: second.commit(add=files[1:], watermarks={"w": 1}))
    assert isinstance(conflict, CommitConflict)
    assert [file.path for file in DeltaLog(first.folder.parent, first.table).files()] == [files[0].path]


def check_one_of_two_rewrites_wins(first: DeltaLog, second: DeltaLog, rows: pa.Table) -> None:
    """Two rewrites of the same file from the same version."""
    first.commit(add=[first.write(_HOUR, rows)])
    second.refresh()
    old = first.files()
    new = [log.write(_HOUR, rows, prefix=REWRITTEN) for log in (first, second)]
    first.commit(add=new[:1], remove=old)
    conflict = raised_by(lambda: second.commit(add=new[1:], remove=old))
    assert isinstance(conflict, CommitConflict)
    assert [file.path for file in DeltaLog(first.folder.parent, first.table).files()] == [new[0].path]


def check_a_gap_waits(
    lake: LakeFolder, writer: LandingWriter, bodies: Sequence[bytes], *, compactor: type[Compactor] = Compactor
) -> None:
    """What lies behind a missing landing file is not absorbed before that is there again."""
    files = [writer.commit(*rows_of([body])) for body in bodies]
    away = lake.path / "away"
    files[1].path.rename(away)
    compactor(lake, disk=DISK, clock=(clock := Clock())).absorb()
    assert_exactly_once(lake.path, bodies[:1])
    away.rename(files[1].path)
    clock.now_s += LEASE_S + 1
    compactor(lake, disk=DISK, clock=clock).absorb()
    assert_exactly_once(lake.path, bodies)


def check_landing_is_kept(
    lake: LakeFolder, writer: LandingWriter, bodies: Sequence[bytes], *, compactor: type[Compactor] = Compactor
) -> None:
    """Compaction leaves the landing files that older snapshots name."""
    files = [writer.commit(*rows_of([body])) for body in bodies]
    compactor(lake, disk=DISK).absorb()
    assert [file.path for file in files if not file.path.exists()] == []


class StoppingDisk(UnflushedDisk):
    """The process ends before one of its file operations."""

    def __init__(self, operations: int) -> None:
        self._left = operations

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Stopped

    def write(self, path: Path, data: bytes | memoryview) -> None:
        self._count()
        super().write(path, data)

    def flush(self, path: Path) -> None:
        self._count()

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._count()
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        self._count()
        super().unlink(path)

    def flush_folder(self, folder: Path) -> None:
        self._count()

    def make_folder(self, folder: Path) -> None:
        self._count()
        super().make_folder(folder)


def check_a_stop_before_any_operation(
    lake: LakeFolder, writer: LandingWriter, bodies: Sequence[bytes], *, first: int = 0, every: int = 1
) -> int:
    """A compactor ends before one of its file operations and another one takes over, for each of them or every n-th.

    Args:
        first: the operation to begin with.

    Returns:
        How many file operations there are, to within `every`.
    """
    land(writer, *bodies)
    for operations in count(first, every):
        copy = replace(lake, path=lake.path.with_name(f"{lake.path.name}-{operations}"))
        shutil.copytree(lake.path, copy.path)
        clock = Clock()
        try:
            Compactor(copy, clock=clock, disk=StoppingDisk(operations)).absorb()
            return operations
        except Stopped:
            clock.now_s += LEASE_S + 1
        Compactor(copy, clock=clock, disk=DISK).absorb()
        assert_exactly_once(copy.path, bodies)
    raise AssertionError("it never ends")
