"""Batches: which ingested requests repeat an earlier one.

Takes   landing files and their requests' hashes, and the table `batches` as it stands.
Gives   rows of `batches`: one per request, with the decision whether its rows count.
Refuses nothing.

A client that did not get its answer sends the whole request again (OTLP retries are at-least-once), so a request whose
hash came within the last 24 h is a repeat. The decision is made once, where `batches` is committed; whoever needs it
later reads it from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .errors import LakeCorrupt
from .landing import LandingFile, Request
from .schema import BATCHES
from .tables import DeltaLog

REPEAT_WINDOW_S = 24 * 3600
"""Seconds within which the same request counts as a repeat."""

_HOUR_S = 3600


class SeenRequests:
    """The hashes of the last 24 h, as sorted 64-bit prefixes: 8 bytes a request.

    A prefix only says that a look at the table is worth it; the table has the whole hash.
    """

    def __init__(self) -> None:
        self._version = -1
        self._hours: dict[int, npt.NDArray[np.uint64]] = {}
        self._log: DeltaLog | None = None
        self._oldest = 0
        """Hour that the window begins with."""

    def follow(self, log: DeltaLog, *, now_s: float) -> None:
        """Catch up with the table and forget what is older than the window."""
        oldest = int(now_s - REPEAT_WINDOW_S) // _HOUR_S
        if log.version != self._version or oldest < self._oldest:  # a clock that was set back has forgotten too much
            self._hours = {}
            for hour, hashes in _recent(log, now_s):
                self._add(hour, _prefixes(hashes.to_pylist()))
            self._version = log.version
        self._log, self._oldest = log, oldest
        self._hours = {hour: known for hour, known in self._hours.items() if hour >= oldest}

    def repeats(self, hashes: list[str], *, now_s: float) -> npt.NDArray[np.bool_]:
        """Which of these requests came before, in the window or earlier in the list itself."""
        prefixes = _prefixes(hashes)
        suspected = np.zeros(len(hashes), dtype=np.bool_)
        for known in self._hours.values():
            suspected |= np.isin(prefixes, known)
        confirmed = self._confirmed({hashes[i] for i in np.flatnonzero(suspected)}, now_s)
        _, first = np.unique(np.array(hashes), return_index=True)
        again = np.ones(len(hashes), dtype=np.bool_)
        again[first] = False
        return again | np.isin(np.array(hashes), sorted(confirmed))

    def _confirmed(self, suspects: set[str], now_s: float) -> set[str]:
        if not suspects or self._log is None:
            return set()
        wanted = pa.array(sorted(suspects))
        return {
            hash_
            for _, hashes in _recent(self._log, now_s)
            for hash_ in hashes.filter(pc.is_in(hashes, value_set=wanted)).to_pylist()
        }

    def add(self, hashes: list[str], *, now_s: float, version: int) -> None:
        """Remember requests that version `version` of the table has."""
        self._add(int(now_s) // _HOUR_S, _prefixes(hashes))
        self._version = version

    def moved(self, before: int, after: int) -> None:
        """Know that between two versions of the table its rows only went to other files."""
        if self._version == before:
            self._version = after

    def _add(self, hour: int, prefixes: npt.NDArray[np.uint64]) -> None:
        known = self._hours.get(hour)
        self._hours[hour] = np.unique(prefixes if known is None else np.concatenate((known, prefixes)))


def _recent(log: DeltaLog, now_s: float) -> list[tuple[int, pa.ChunkedArray]]:
    """Hour and hashes of each data file that reaches into the window."""
    oldest = int(now_s - REPEAT_WINDOW_S) // _HOUR_S
    return [
        (file.partition.hour_number, _read(log, file.path, ["request_hash"]).column(0))
        for file in log.files()
        if file.partition.hour_number >= oldest
    ]


def _read(log: DeltaLog, path: str, columns: list[str]) -> pa.Table:
    """
    Raises:
        LakeCorrupt: the file is damaged.
    """
    try:
        return pq.ParquetFile(log.folder / path).read(columns=columns)
    except pa.ArrowInvalid as error:
        raise LakeCorrupt(f"{log.folder / path} is damaged ({error}): `tracelake doctor` says what to do") from error


def _prefixes(hashes: Iterable[str]) -> npt.NDArray[np.uint64]:
    """The first 64 bits of each hexadecimal hash."""
    return np.fromiter((int(hash_[:16], 16) for hash_ in hashes), dtype=np.uint64)


def batch_rows(files: Sequence[tuple[LandingFile, list[Request]]], seen: SeenRequests, *, now_s: float) -> pa.Table:
    """One row per request of some landing files, in order, with the decision on each."""
    requests = [(file, position, r) for file, rs in files for position, r in enumerate(rs)]
    hashes = [request.hash for _, _, request in requests]
    columns = {
        "request_hash": hashes,
        "writer": [file.writer for file, _, _ in requests],
        "sequence": [file.sequence for file, _, _ in requests],
        "position": [position for _, position, _ in requests],
        "row_count": [request.row_count for _, _, request in requests],
        "duplicate": seen.repeats(hashes, now_s=now_s) if hashes else [],
        "ingested_at": [int(now_s * 1e6)] * len(hashes),
    }
    schema = BATCHES.arrow_schema
    return pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema)


Repeats = dict[LandingFile, list[int]]
"""Landing file to the positions of the requests in it that are repeats."""


def repeats_in(rows: pa.Table, files: Iterable[LandingFile]) -> Repeats:
    """The repeats that some rows of `batches` name, as far as they are in `files`."""
    by_place = {(file.writer, file.sequence): file for file in files}
    marked = rows.filter(rows.column("duplicate"))
    found: Repeats = {}
    for writer, sequence, position in zip(
        *(marked.column(name).to_pylist() for name in ("writer", "sequence", "position")), strict=True
    ):
        if (writer, sequence) in by_place:
            found.setdefault(by_place[writer, sequence], []).append(position)
    return found


def decided_repeats(log: DeltaLog, files: Sequence[LandingFile]) -> Repeats:
    """The repeats in files that the table decided on earlier."""
    actions = log.actions()
    if not actions.num_rows:
        return {}
    names = pa.array(sorted({file.writer for file in files}))
    lowest, highest = min(file.sequence for file in files), max(file.sequence for file in files)
    overlap = pc.and_(
        pc.and_(
            pc.less_equal(actions.column("min.writer"), names[-1]),
            pc.greater_equal(actions.column("max.writer"), names[0]),
        ),
        pc.and_(
            pc.less_equal(actions.column("min.sequence"), highest),
            pc.greater_equal(actions.column("max.sequence"), lowest),
        ),
    )
    found: Repeats = {}
    for path in actions.filter(overlap).column("path").to_pylist():
        found |= repeats_in(_read(log, path, ["writer", "sequence", "position", "duplicate"]), files)
    return found
