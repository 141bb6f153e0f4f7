"""Readings: what the windows of many rules say, each window read once.

Takes   conditions with the ends of the windows that they have to be judged on, and the tables of a lake.
Gives   for each condition and window a reading per series, and what a series reads that is not there.
Refuses nothing: what cannot be read is a reading that says why, for the rules that need it.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lake.errors import LakeError
from lake.relations import Ask, Relations
from lake.search import Query

from .error_counts import ErrorCounts, new_errors_in, occurrences_in
from .metrics import Metric
from .minute_counts import Floats, Integers, Measured, MinuteCounts, MinuteReader, Selection, Series, Windows
from .problems import problem_of
from .query_values import QueryValues, values_of
from .rules import SPANS_BELOW_S, Condition
from .states import Reading

MAX_SERIES = 1_000
"""Series of one rule."""

_NOTHING = Reading()


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition and the windows to read for it."""

    condition: Condition
    ends: tuple[dt.datetime, ...]
    """Oldest first, at least one."""


@dataclass(frozen=True, slots=True)
class Read:
    """What one window says of one condition."""

    series: Mapping[Series, Reading] = field(default_factory=dict)
    absent: Reading = _NOTHING
    """What a series reads that is not among them."""


def read_all(asked: Sequence[Asked], tables: Relations, ask: Ask) -> list[list[Read]]:
    """Read what each condition asks for; in the same order, one `Read` for each of its ends."""
    found: list[list[Read]] = [[] for _ in asked]
    by_windows = defaultdict(list)
    for place, one in enumerate(asked):
        for windows in _windows(one):
            by_windows[windows].append(place)
    minutes = MinuteReader(tables, ask, by_windows)
    for windows, places in by_windows.items():  # those of one condition in order
        conditions = [asked[place].condition for place in places]
        for place, reads in zip(places, _OneLength(windows, tables, ask, minutes).read(conditions), strict=True):
            found[place].extend(reads)
    return found


def _windows(asked: Asked) -> Iterator[Windows]:
    length = dt.timedelta(seconds=asked.condition.window_s)
    if asked.condition.window_s < SPANS_BELOW_S:
        yield from (Windows(length, (end,)) for end in asked.ends)
    else:
        yield Windows(length, asked.ends)


class _OneLength:
    """Windows of one length, and the conditions on them."""

    def __init__(self, windows: Windows, tables: Relations, ask: Ask, minutes: MinuteReader) -> None:
        self.windows = windows
        self._tables = tables
        self._ask = ask
        self._minutes = minutes

    def read(self, conditions: Sequence[Condition]) -> list[list[Read]]:
        """The readings of each condition, one for each window."""
        by_source = defaultdict(list)
        for place, condition in enumerate(conditions):
            source = condition.measure.source
            by_source[self._errors if "error" in source else self._queries if source == "query" else self._counts].append(
                place
            )
        found: dict[int, list[Read]] = {}
        for read_some, places in by_source.items():
            some = [conditions[place] for place in places]
            try:
                reads = read_some(some)
            except LakeError as error:
                failed = Reading(problem=problem_of(error))
                reads = [[Read({}, failed)] * len(self.windows.ends)] * len(some)
            found |= dict(zip(places, reads, strict=True))
        return [found[place] for place in range(len(conditions))]

    def _counts(self, conditions: Sequence[Condition]) -> list[list[Read]]:
        selections = [Selection.of(condition) for condition in conditions]
        counts = self._minutes.read(self.windows, selections)
        measured: dict[Selection, list[Measured]] = {}
        for selection in selections:
            if selection not in measured:
                measured[selection] = list(counts.measured(selection))
        return [
            self._of_counts(condition, counts, measured[selection])
            for condition, selection in zip(conditions, selections, strict=True)
        ]

    def _of_counts(self, condition: Condition, counts: MinuteCounts, measured: Sequence[Measured]) -> list[Read]:
        metric = condition.measure
        absent = [Reading(0.0) if metric.is_count and not silent else _NOTHING for silent in counts.is_silent]
        if condition.min_requests > 1:
            absent = [_NOTHING] * len(absent)
        least = 0 if metric.is_count and condition.min_requests == 1 else condition.min_requests
        parts = [(one.series, values_in(condition, metric, one), one.spans) for one in measured]
        return [
            _limited(Read(dict(_readings(parts, place, least)), absent[place])) for place in range(len(self.windows.ends))
        ]

    def _errors(self, conditions: Sequence[Condition]) -> list[list[Read]]:
        known: dict[str, ErrorCounts] = {}
        found = []
        for condition in conditions:
            source = condition.measure.source
            if source not in known:
                make = occurrences_in if source == "errors" else new_errors_in
                known[source] = make(self.windows, self._tables)
            counted = list(known[source].counted(Selection.of(condition)))
            found.append([_errors(counted, place) for place in range(len(self.windows.ends))])
        return found

    def _queries(self, conditions: Sequence[Condition]) -> list[list[Read]]:
        texts = list(dict.fromkeys(condition.query or "" for condition in conditions))
        queries: list[Query] = [next(c.counts_query for c in conditions if c.query == text) for text in texts]
        values = dict(zip(texts, values_of(queries, self.windows, self._tables, self._ask), strict=True))
        return [self._of_query(condition, values[condition.query or ""]) for condition in conditions]

    def _of_query(self, condition: Condition, values: QueryValues) -> list[Read]:
        if values.problem is not None:
            return [Read({}, Reading(problem=values.problem))] * len(self.windows.ends)
        absent = Reading(0.0) if condition.measure.is_count else _NOTHING
        return [_limited(Read({series: Reading(value) for series, value in one.items()}, absent)) for one in values.windows]


def values_in(condition: Condition, metric: Metric, measured: Measured) -> Floats:
    """The value of a metric, for each series and window; NaN where there is none."""
    if metric.source == "latency":
        return _latency(condition, metric, measured)
    if metric.name == "error_rate":
        return np.where(measured.spans > 0, measured.errors / np.maximum(measured.spans, 1), np.nan)
    if metric.name == "error_count":
        return measured.errors.astype(np.float64)
    if metric.name == "request_rate":
        return measured.spans.astype(np.float64) * (60 / condition.window_s)
    return measured.spans.astype(np.float64)


def _latency(condition: Condition, metric: Metric, measured: Measured) -> Floats:
    if metric.quantile is not None:
        return measured.quantile_ms(metric.quantile)
    if metric.name == "apdex":
        return measured.apdex(condition.apdex_threshold_ms)
    return measured.mean_ms() if metric.name == "latency_avg" else measured.max_ms()


def _readings(
    parts: Sequence[tuple[Sequence[Series], Floats, Integers]], place: int, least: int
) -> Iterator[tuple[Series, Reading]]:
    """The reading of each series in one window; a series with nothing in it is not there."""
    for series, values, spans in parts:
        for labels, value, count in zip(series, values[:, place].tolist(), spans[:, place].tolist(), strict=True):
            if count:
                yield labels, Reading(value) if count >= least and value == value else _NOTHING  # noqa: PLR0124 - NaN


def _errors(counted: Sequence[tuple[Series, Integers]], place: int) -> Read:
    numbers = {series: int(counts[place]) for series, counts in counted}
    return _limited(Read({series: Reading(float(n)) for series, n in numbers.items() if n}, Reading(0.0)))


def _limited(read: Read) -> Read:
    if len(read.series) <= MAX_SERIES:
        return read
    return Read({}, Reading(problem=f"the rule has {len(read.series)} series, at most {MAX_SERIES} can be: filter it"))
