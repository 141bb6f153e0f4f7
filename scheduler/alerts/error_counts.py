"""Error counts: occurrences of errors in some windows, and fingerprints that were never seen before.

Takes   the errors and exceptions of a snapshot.
Gives   for each selection and each of its series the number in every window.
Refuses nothing.

An error that is reported and raised is one occurrence (`lake.occurrences`). A fingerprint is new in the window that has its
first occurrence of all that the lake keeps, in whatever service that was.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lake.derived.grouping import groups
from lake.error_groups import ErrorFilter, happened, seen, with_seen
from lake.relations import Relations

from .minute_counts import Integers, Selection, Series, Windows

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class ErrorCounts:
    """The occurrences of some windows."""

    def __init__(self, windows: Windows, rows: pa.Table) -> None:
        """
        Args:
            rows: timestamp, service_name, environment; in order of time.
        """
        self.windows = windows
        self._rows = rows
        self._at_us: Integers = rows.column("timestamp").cast(pa.int64()).to_numpy()

    def counted(self, selection: Selection) -> Iterator[tuple[Series, Integers]]:
        """The number in each window, of each series that has any."""
        wanted = np.ones(self._rows.num_rows, np.bool_)
        for name, word in (("service_name", selection.service), ("environment", selection.environment)):
            if word is not None:
                wanted &= _is(self._rows.column(name), word)
        if selection.group_by is None:
            yield (), self._in_windows(self._at_us[wanted])
            return
        services = self._rows.column("service_name")
        for service in pc.unique(services.filter(pa.array(wanted))).drop_null().to_pylist():
            yield (("service", service),), self._in_windows(self._at_us[wanted & _is(services, service)])

    def _in_windows(self, at_us: Integers) -> Integers:
        ends = np.array([(end - _EPOCH) // dt.timedelta(microseconds=1) for end in self.windows.ends])
        begins = ends - self.windows.length // dt.timedelta(microseconds=1)
        found: Integers = np.searchsorted(at_us, ends) - np.searchsorted(at_us, begins)
        return found


def occurrences_in(windows: Windows, tables: Relations) -> ErrorCounts:
    """Every occurrence of some windows."""
    rows = happened(ErrorFilter(windows.since, windows.until), tables)
    return ErrorCounts(windows, _in_order(rows))


def new_errors_in(windows: Windows, tables: Relations) -> ErrorCounts:
    """The first occurrence of each fingerprint that came up in some windows."""
    rows = happened(ErrorFilter(windows.since, windows.until), tables).sort_by("timestamp")
    first = rows.take(pa.array(groups(rows.column("fingerprint")).example)) if rows.num_rows else rows
    first = with_seen(first, seen(tables)).drop_columns(["timestamp"])  # that of its event may be a little earlier
    return ErrorCounts(windows, _in_order(first.rename_columns({"first_seen_at": "timestamp"})))


def _in_order(rows: pa.Table) -> pa.Table:
    return rows.select(["timestamp", "service_name", "environment"]).sort_by("timestamp")


def _is(column: pa.ChunkedArray, word: str) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.fill_null(pc.equal(column, word), fill_value=False).to_numpy()
    return found
