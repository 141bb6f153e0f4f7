"""Minute counts: what requests and spans did in some windows, for many selections at once.

Takes   rows of `endpoint_minutes`, or spans where a window is too short for them; which of them each rule is about.
Gives   for each selection and each of its series the counts and latencies of every window.
Refuses nothing.

Rows are read once, however many rules and windows look at them: as they are where the time is short, and summed up by DuckDB
where it is long, so that memory stays bounded. Quantiles come from histograms and are off by at most one percent
(`lake.derived.histogram`); a quantile is the one of nearest rank.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lake.derived import DERIVATIONS, Spans
from lake.derived.histogram import BIN, ZERO_BIN, middle_ns
from lake.derived.spans import MINUTE_US, SOURCE_COLUMNS, integers
from lake.relations import Ask, Relation, Relations
from lake.schema import TIMESTAMP
from lake.services import DEFAULT_CLUSTER

from .rules import SPANS_BELOW_S, Condition, GroupBy

Series = tuple[tuple[str, str], ...]
"""Labels of a series: none, `service`, or `service` and `endpoint`."""

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HELD_FOR = dt.timedelta(hours=2)
"""Time whose rows are held in memory as they are."""

_MAX_CELLS = 4_000_000
"""Numbers that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of `endpoint_minutes` are looked at, and what is told apart."""

    service: str | None
    operation: str | None
    environment: str | None
    cluster: str | None
    group_by: GroupBy | None
    requests_only: bool

    @classmethod
    def of(cls, condition: Condition) -> Selection:
        """What a condition is about. An operation may be any span; without one only requests count, if they can."""
        return cls(
            condition.service,
            condition.operation,
            condition.environment,
            condition.cluster,
            condition.group_by,
            requests_only=condition.measure.source != "spans" and condition.operation is None,
        )


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one length."""

    length: dt.timedelta
    ends: tuple[dt.datetime, ...]
    """Whole minutes, oldest first; only one where the length is below `SPANS_BELOW_S`."""

    @property
    def since(self) -> dt.datetime:
        return self.ends[0] - self.length

    @property
    def until(self) -> dt.datetime:
        return self.ends[-1]

    @property
    def is_short(self) -> bool:
        """Whether it is read from spans."""
        return self.length.total_seconds() < SPANS_BELOW_S

    @property
    def slots(self) -> int:
        """In how many parts the time is counted: minutes, or one where there is but one window."""
        return 1 if len(self.ends) == 1 else int((self.until - self.since).total_seconds() // 60)

    @property
    def bounds(self) -> tuple[Integers, Integers]:
        """The slots in which each window begins and before which it ends."""
        if self.slots == 1:
            return np.zeros(1, np.int64), np.ones(1, np.int64)
        width = int(self.length.total_seconds() // 60)
        last = np.array([int((end - self.since).total_seconds() // 60) for end in self.ends])
        return last - width, last


@dataclass(frozen=True)
class Measured:
    """What each of some series did in each window: arrays of one row per series and one column per window."""

    series: tuple[Series, ...]
    spans: Integers
    errors: Integers
    middles_ns: Floats
    """The duration that stands for each bin of the histograms."""
    histograms: Integers
    """Series, window, bin."""

    @cached_property
    def _below(self) -> Integers:
        """Durations up to each bin."""
        found: Integers = np.cumsum(self.histograms, axis=2)
        return found

    def quantile_ms(self, share: float) -> Floats:
        """The quantile of nearest rank; NaN where there is nothing."""
        rank = np.ceil(share * self._below[:, :, -1]).astype(np.int64)
        place = np.argmax(self._below >= rank[:, :, None], axis=2)
        return self._known(self.middles_ns[place] / 1e6)

    def mean_ms(self) -> Floats:
        total = np.maximum(self._below[:, :, -1], 1)
        return self._known(self.histograms @ self.middles_ns / total / 1e6)

    def max_ms(self) -> Floats:
        last = len(self.middles_ns) - 1 - np.argmax(self.histograms[:, :, ::-1] > 0, axis=2)
        return self._known(self.middles_ns[last] / 1e6)

    def apdex(self, threshold_ms: float) -> Floats:
        """(satisfied + tolerated / 2) / all: up to T, and up to 4 T (Apdex technical specification 1.1, section 3)."""
        satisfied, tolerated = (
            self.histograms[:, :, self.middles_ns <= times * threshold_ms * 1e6].sum(axis=2) for times in (1, 4)
        )
        return self._known((satisfied + tolerated) / 2 / np.maximum(self._below[:, :, -1], 1))

    def _known(self, values: Floats) -> Floats:
        return np.where(self._below[:, :, -1] > 0, values, np.nan)


class MinuteCounts:
    """What was read of some windows."""

    def __init__(self, windows: Windows, rows: pa.Table) -> None:
        """
        Args:
            rows: the columns of `endpoint_minutes` that `HELD_COLUMNS` names, of the time of the windows; with `slot` in
                the place of `minute` if they were summed up.
        """
        self.windows = windows
        self._service = _Words(rows, "service_name")
        order, self._begins = self._service.order
        self._codes = self._service.codes[order]
        self._words = {name: _Words(rows, name).ordered(order) for name in ("endpoint", "environment", "cluster")}
        self._is_request = rows.column("is_request").to_numpy()[order]
        self._spans = integers(rows, "span_count")[order]
        self._errors = integers(rows, "error_count")[order]
        self._slot = _slots(windows, rows)[order]
        bins, counts = (rows.column(name).combine_chunks() for name in ("latency_bins", "latency_counts"))
        lengths = np.diff(bins.offsets.to_numpy().astype(np.int64))
        self._offsets = np.concatenate(([0], np.cumsum(lengths[order])))
        moved = np.repeat(bins.offsets.to_numpy()[:-1][order] - self._offsets[:-1], lengths[order])
        entries = np.arange(self._offsets[-1]) + moved
        self._counted = counts.values.to_numpy()[entries]
        of_entry = bins.values.to_numpy()[entries].astype(np.int64) - ZERO_BIN
        self._bins = np.flatnonzero(np.bincount(of_entry, minlength=1))
        places = np.zeros(self._bins[-1] + 1 if len(self._bins) else 1, np.int64)
        places[self._bins] = np.arange(len(self._bins))
        self._place = places[of_entry]
        self._middles_ns = middle_ns((self._bins + ZERO_BIN).astype(BIN))

    @cached_property
    def is_silent(self) -> npt.NDArray[np.bool_]:
        """In which windows the lake has no span at all."""
        counts = np.bincount(self._slot, self._spans, minlength=self.windows.slots)
        below = np.concatenate(([0], np.cumsum(counts)))
        begins, ends = self.windows.bounds
        found: npt.NDArray[np.bool_] = below[ends] == below[begins]
        return found

    def measured(self, selection: Selection) -> Iterator[Measured]:
        """The series of a selection, a part of them at a time."""
        rows = self._rows(selection)
        if not len(rows):
            return
        series, names = self._series(selection, rows)
        most = max(1, _MAX_CELLS // (self.windows.slots * max(1, len(self._bins))))
        for first in range(0, len(names), most):
            part = (series >= first) & (series < first + most) if len(names) > most else slice(None)
            yield self._measured(rows[part], series[part] - first, tuple(names[first : first + most]))

    def _rows(self, selection: Selection) -> Integers:
        """The numbers of the rows that are looked at."""
        first, last = 0, len(self._codes)
        if selection.service is not None:
            code = self._service.code(selection.service)
            first, last = (self._begins[code], self._begins[code + 1]) if code >= 0 else (0, 0)
        part = slice(first, last)
        keep = np.ones(last - first, np.bool_)
        wanted = (("endpoint", selection.operation), ("environment", selection.environment), ("cluster", selection.cluster))
        for name, word in wanted:
            if word is not None:
                keep &= self._words[name].codes[part] == self._words[name].code(word)
        if selection.requests_only:
            keep &= self._is_request[part]
        if selection.group_by is not None:
            keep &= self._codes[part] != self._service.code("")  # a service without a name is none
        return np.flatnonzero(keep) + first

    def _series(self, selection: Selection, rows: Integers) -> tuple[Integers, list[Series]]:
        """The number of the series of each row, and the labels of each series."""
        if selection.group_by is None:
            return np.zeros(len(rows), np.int64), [()]
        services, endpoints = self._service.names, self._words["endpoint"]
        if selection.group_by == "service":
            codes, series = np.unique(self._codes[rows], return_inverse=True)
            return series, [(("service", services[code]),) for code in codes]
        size = len(endpoints.names)
        codes, series = np.unique(self._codes[rows] * size + endpoints.codes[rows], return_inverse=True)
        return series, [(("service", services[code // size]), ("endpoint", endpoints.names[code % size])) for code in codes]

    def _measured(self, rows: Integers, series: Integers, names: tuple[Series, ...]) -> Measured:
        slots, bins = self.windows.slots, len(self._bins)
        cells = series * slots + self._slot[rows]
        spans, errors = (self._summed(cells, len(names), 1, of[rows])[:, :, 0] for of in (self._spans, self._errors))
        lengths = self._offsets[rows + 1] - self._offsets[rows]
        entries = np.arange(lengths.sum()) + np.repeat(self._offsets[rows] - (np.cumsum(lengths) - lengths), lengths)
        of_bins = np.repeat(cells * bins, lengths) + self._place[entries]
        histograms = self._summed(of_bins, len(names), bins, self._counted[entries])
        return Measured(names, spans, errors, self._middles_ns, histograms)

    def _summed(self, cells: Integers, series: int, bins: int, counts: Integers) -> Integers:
        """The sums of each window: series, window, bin.

        Args:
            cells: number of series, slot and bin in one.
        """
        slots = self.windows.slots
        # weights are floats, exact up to 2^53
        sums = np.bincount(cells, counts, minlength=series * slots * bins).astype(np.int64).reshape(series, slots, bins)
        if slots == 1:
            return sums
        below = np.concatenate((np.zeros((series, 1, bins), np.int64), np.cumsum(sums, axis=1)), axis=1)
        begins, ends = self.windows.bounds
        found: Integers = below[:, ends] - below[:, begins]
        return found


class _Words:
    """A column of words as numbers."""

    def __init__(self, rows: pa.Table, name: str) -> None:
        encoded = pc.dictionary_encode(rows.column(name).combine_chunks())
        self.codes: Integers = encoded.indices.to_numpy().astype(np.int64)
        self.names: list[str] = encoded.dictionary.to_pylist()
        self._code = {word: code for code, word in enumerate(self.names)}

    def code(self, word: str) -> int:
        """The number of a word, -1 if no row has it."""
        return self._code.get(word, -1)

    @property
    def order(self) -> tuple[Integers, list[int]]:
        """The rows by word, and where in them each word begins."""
        order = np.argsort(self.codes, kind="stable")
        return order, np.searchsorted(self.codes[order], np.arange(len(self.names) + 1)).tolist()

    def ordered(self, order: Integers) -> Self:
        """The same with the rows in another order."""
        self.codes = self.codes[order]
        return self


def _slots(windows: Windows, rows: pa.Table) -> Integers:
    if windows.slots == 1:
        return np.zeros(len(rows), np.int64)
    if "slot" in rows.column_names:
        return integers(rows, "slot")
    return (integers(rows, "minute") - int(windows.since.timestamp()) * 1_000_000) // MINUTE_US


_KEYS = {
    "service_name": "coalesce(service_name, '')",
    "endpoint": "endpoint",
    "environment": "coalesce(environment, '')",
    "cluster": f"coalesce(cluster, '{DEFAULT_CLUSTER}')",
}

_LISTED_KEYS = ", ".join(f"{text} AS {name}" for name, text in _KEYS.items())

_AS_THEY_ARE = f"""
    SELECT minute, {_LISTED_KEYS}, is_request, span_count, error_count, latency_bins, latency_counts
    FROM ({{rows}}) WHERE {{where}}
"""


class MinuteReader:
    """Reads windows out of the tables of a lake; what was read for one is not read again for another."""

    def __init__(self, tables: Relations, ask: Ask, windows: Collection[Windows]) -> None:
        """
        Args:
            windows: those that will be read.
        """
        self._tables = tables
        self._ask = ask
        held = [one for one in windows if not one.is_short and one.until - one.since <= HELD_FOR]
        self._held = (min(one.since for one in held), max(one.until for one in held)) if held else None

    def read(self, windows: Windows, selections: Sequence[Selection]) -> MinuteCounts:
        """Read some windows.

        Args:
            selections: everything that will be asked of them.
        """
        if windows.is_short:
            return MinuteCounts(windows, self._from_spans(windows))
        if windows.until - windows.since > HELD_FOR:
            return MinuteCounts(windows, self._summed_up(windows, selections))
        minutes = self._rows.column("minute")
        since, until = (pa.scalar(time, TIMESTAMP) for time in (windows.since, windows.until))
        return MinuteCounts(windows, self._rows.filter(pc.and_(pc.greater_equal(minutes, since), pc.less(minutes, until))))

    @cached_property
    def _rows(self) -> pa.Table:
        """The rows of all windows that are not long."""
        assert self._held is not None  # noqa: S101 - who reads one has named it
        since, until = self._held
        source = self._tables.of("endpoint_minutes", since=since, until=until)
        text = _AS_THEY_ARE.format(rows=source.text, where="minute >= $since AND minute < $until")
        return self._ask(text, {"since": since, "until": until}, source)

    def _summed_up(self, windows: Windows, selections: Sequence[Selection]) -> pa.Table:
        """Sums of a long time, with no more told apart than is asked for."""
        needed = {
            "service_name": True,
            "endpoint": any(s.operation is not None or s.group_by == "endpoint" for s in selections),
            "environment": any(s.environment is not None for s in selections),
            "cluster": any(s.cluster is not None for s in selections),
        }
        listed = ", ".join(f"{text if needed[name] else repr('')} AS {name}" for name, text in _KEYS.items())
        source = self._tables.of("endpoint_minutes", since=windows.since, until=windows.until)
        slot = "0" if windows.slots == 1 else f"(epoch_us(minute) - epoch_us($since)) // {MINUTE_US}"
        text = _SUMS.format(rows=source.text, slot=slot, keys=listed)
        return self._ask(text, {"since": windows.since, "until": windows.until}, source)

    def _from_spans(self, windows: Windows) -> pa.Table:
        """Rows of `endpoint_minutes` made of the spans of one window."""
        spans = self._tables.of("spans", since=windows.since, until=windows.until, columns=SOURCE_COLUMNS)
        columns = ", ".join(SOURCE_COLUMNS)
        text = f"SELECT {columns} FROM ({spans.text}) WHERE start_time >= $since AND start_time < $until"
        rows = self._ask(text, {"since": windows.since, "until": windows.until}, spans)
        counted = DERIVATIONS["endpoint_minutes"].of(Spans(rows))
        return self._ask(
            _AS_THEY_ARE.format(rows="SELECT * FROM _counted", where="true"), {}, Relation("", {"_counted": counted})
        )


_SUMS = """
    WITH w AS MATERIALIZED (
        SELECT ({slot})::BIGINT AS slot, {keys}, is_request, span_count, error_count, latency_bins, latency_counts
        FROM ({rows}) WHERE minute >= $since AND minute < $until),
    c AS (
        SELECT slot, service_name, endpoint, environment, cluster, is_request, sum(span_count)::BIGINT AS span_count,
            sum(error_count)::BIGINT AS error_count
        FROM w GROUP BY ALL),
    b AS (
        SELECT slot, service_name, endpoint, environment, cluster, is_request, bin, sum(counted)::BIGINT AS counted
        FROM (SELECT * EXCLUDE (latency_bins, latency_counts), unnest(latency_bins) AS bin, unnest(latency_counts) AS counted
            FROM w)
        GROUP BY ALL),
    h AS (
        SELECT slot, service_name, endpoint, environment, cluster, is_request, list(bin) AS latency_bins,
            list(counted) AS latency_counts
        FROM b GROUP BY ALL)
    SELECT * FROM c JOIN h USING (slot, service_name, endpoint, environment, cluster, is_request)
"""
