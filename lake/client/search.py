"""Search: `Lake.search` and `Lake.search_metrics`, asked of a server.

Takes   the arguments that they take.
Gives   a `Call` whose answer has the same rows.
Refuses a reach that a server does not have (`InvalidParameter`).

The API says which traces a query means, page by page, but not all that a row of `Lake.search` has: times are in
microseconds there. So what the pages found is asked for in SQL, of the same snapshot.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from .. import queries
from ..errors import InvalidParameter
from .call import Call, continued
from .calls.traces import MAX_SEARCH_LIMIT, measure_traces, search_traces
from .errors import BadAnswer
from .frames import Result
from .models.paging import Page
from .models.search import Metrics
from .models.traces import FoundTrace
from .questions import pinned, sql
from .transport import Answer

_AROUND = dt.timedelta(hours=1)
_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_MATCHED = {"matched_spans": pa.int64(), "matched_span_ids": pa.list_(pa.string())}
_LABELS = pa.map_(pa.string(), pa.string())
_FIELDS = pa.list_(_LABELS)
_POINTS = pa.schema([("time", pa.timestamp("us", "UTC")), ("labels", _LABELS), ("value", pa.float64())])


def search(
    query: str,
    *,
    since: dt.datetime,
    until: dt.datetime,
    limit: int = 100,
    before: tuple[int, str] | None = None,
    around: dt.timedelta = _AROUND,
) -> Call[Result]:
    """Summaries of the traces that started in `[since, until)` and have spans that a query means, newest first.

    `search_traces` has the same traces as typed values, with one request a page.

    Args:
        query: TQ, see docs/search.md.
        limit: at least 1.
        before: start in nanoseconds since the epoch and trace id of the last row of the page before.
        around: a server always looks for spans of the traces an hour outside of the window.

    Returns:
        what `traces` returns, and matched_spans, matched_span_ids (the first three by start), and with `select`
        matched_fields (the fields of those three, as text).

    Raises:
        BadRequest: the query is none, or one of metrics.
        InvalidParameter: a time has no time zone, or `around` is not an hour.
    """
    _check(since, until, around)
    return _page(_Search(query, since, until, limit, before))


def search_metrics(
    query: str, *, since: dt.datetime, until: dt.datetime, step_s: float, around: dt.timedelta = _AROUND
) -> Call[Result]:
    """Numbers over time of the spans that started in `[since, until)` and that a query means.

    Args:
        query: TQ that ends with a metric, such as `{ status = error } | rate() by(service.name)`.
        step_s: seconds from one point to the next; the first one is at `since`.
        around: a server always looks for other spans of a trace an hour outside of the window.

    Returns:
        time (start of the step), labels (map), value (durations in seconds); by labels, then time.

    Raises:
        BadRequest: the query is none, or one of traces.
        InvalidParameter: a time has no time zone, or `around` is not an hour.
    """
    _check(since, until, around)
    call = measure_traces(query, start_time=since, end_time=until, step=step_s)
    return Call(call.request, lambda answer: _points(call.value(answer), answer))


def _check(since: dt.datetime, until: dt.datetime, around: dt.timedelta) -> None:
    queries.check_times(since=since, until=until)
    if around != _AROUND:
        raise InvalidParameter("around", "around is always an hour on a server: leave it out")


def _points(metrics: Metrics, answer: Answer) -> Result:
    labels = [list(series.labels.items()) for series in metrics.data for _ in series.points]
    points = [point for series in metrics.data for point in series.points]
    columns = [[time for time, _ in points], labels, [value for _, value in points]]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _POINTS, strict=True)]
    return Result(pa.Table.from_arrays(arrays, schema=_POINTS), snapshot=answer.headers.get("x-lake-snapshot"))


@dataclass(frozen=True, slots=True)
class _Search:
    """What is searched for."""

    query: str
    since: dt.datetime
    until: dt.datetime
    limit: int
    before: tuple[int, str] | None

    @property
    def before_time(self) -> dt.datetime:
        """The microsecond that the page before ended in; later traces were there, those that started in it may have been."""
        return self.until if self.before is None else _EPOCH + dt.timedelta(microseconds=self.before[0] // 1000)

    @property
    def end(self) -> dt.datetime:
        return min(self.until, self.before_time + _MICROSECOND)

    def is_full_with(self, found: Sequence[FoundTrace]) -> bool:
        """Whether these are enough, even if all of that microsecond were on the page before."""
        return sum(trace.start_time < self.before_time for trace in found) >= self.limit


def _page(asked: _Search) -> Call[Result]:
    first = search_traces(
        asked.query, start_time=asked.since, end_time=asked.end, limit=min(max(asked.limit, 1), MAX_SEARCH_LIMIT)
    )
    return Call(first.request, partial(_read, asked, first, ()))


def _read(asked: _Search, call: Call[Page[FoundTrace]], before: tuple[FoundTrace, ...], answer: Answer) -> Call[Result]:
    """What a page leads to: the next one, or the rows of all that was found."""
    page = call.value(answer)
    found = (*before, *page.data)
    if page.has_more and not asked.is_full_with(found):
        if not page.next_cursor or not page.data:
            raise BadAnswer("the search does not go on: a page of it is empty or leads nowhere")
        following = continued(call, page.next_cursor)
        return Call(following.request, partial(_read, asked, following, found))
    snapshot = answer.headers.get("x-lake-snapshot")
    if not snapshot:
        raise BadAnswer("the answer does not name its snapshot; is this a Tracelake server?")
    return pinned(_summaries(asked, found), snapshot)


def _summaries(asked: _Search, found: Sequence[FoundTrace]) -> Call[Result]:
    """The rows of the traces that were found."""
    reach = "SELECT * FROM spans WHERE start_time >= $first AND start_time < $last AND trace_id IN (SELECT unnest($ids))"
    params: dict[str, Any] = {
        "first": asked.since - _AROUND,
        "last": asked.until + _AROUND,
        "ids": [trace.trace_id for trace in found],
        "limit": asked.limit,
    }
    conditions = "true"
    if asked.before is not None:
        conditions = "(start_ns, trace_id) < ($before_ns, $before_id)"
        params["before_ns"], params["before_id"] = asked.before
    call = sql(queries.TRACES.format(spans=reach, conditions=conditions), params)
    return replace(call, read=lambda answer: _with_matches(call.value(answer), found))


def _with_matches(result: Result, found: Sequence[FoundTrace]) -> Result:
    """The rows with what matched in each."""
    table = result.arrow()
    by_id = {trace.trace_id: trace for trace in found}
    shown = [by_id[trace_id] for trace_id in table.column("trace_id").to_pylist()]
    for name, type_ in _MATCHED.items():
        table = table.append_column(name, pa.array([getattr(trace, name) for trace in shown], type_))
    if any(trace.matched_fields is not None for trace in found):
        fields = [[list(known.items()) for known in trace.matched_fields or ()] for trace in shown]
        table = table.append_column("matched_fields", pa.array(fields, _FIELDS))
    return Result(table, snapshot=result.snapshot)
