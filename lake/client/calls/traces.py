"""Calls about traces."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from ..call import JSON, Call, encoded, get, reader, segment, time
from ..errors import PROTOBUF
from ..models.paging import Page
from ..models.search import FoundTraces, Metrics
from ..models.traces import FoundTrace, Trace, TraceSummary
from ..retries import Repeat
from ..transport import Request

MAX_SEARCH_LIMIT = 500
"""Traces of a page of a search at most."""


def list_traces(
    *,
    service: str | None = None,
    start_time: dt.datetime | None = None,
    end_time: dt.datetime | None = None,
    min_duration_ms: int | None = None,
    status: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[TraceSummary]]:
    """One page of the traces that started in `[start_time, end_time)`, newest first.

    Args:
        service: some span of the trace is of it.
        start_time: without it an hour before `end_time`.
        end_time: without it now.
        min_duration_ms: from the first start to the last end, at least.
        status: `ok`, `error` or `unset`.
        limit: traces of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    return get(
        "/v1/traces",
        Page[TraceSummary],
        service=service,
        start_time=time("start_time", start_time),
        end_time=time("end_time", end_time),
        min_duration_ms=min_duration_ms,
        status=status,
        limit=limit,
        cursor=cursor,
    )


def get_trace(trace_id: str) -> Call[Trace]:
    """One trace with its spans, errors and deploy.

    Args:
        trace_id: 32 hex digits, any case.

    Raises:
        NotFound: there is no such trace.
    """
    return get(f"/v1/traces/{segment('trace_id', trace_id)}", Trace)


def export_trace(trace_id: str) -> Call[bytes]:
    """One trace exactly as it was sent: an ExportTraceServiceRequest in protobuf.

    Args:
        trace_id: 32 hex digits, any case.

    Raises:
        NotFound: there is no such trace.
    """
    path = f"/v1/traces/{segment('trace_id', trace_id)}"
    return Call(Request("GET", path, headers={"Accept": PROTOBUF}), lambda answer: answer.body)


def search_traces(
    query: str,
    *,
    start_time: dt.datetime,
    end_time: dt.datetime,
    limit: int | None = None,
    cursor: str | None = None,
    snapshot: str | None = None,
) -> Call[Page[FoundTrace]]:
    """One page of the traces that started in `[start_time, end_time)` and have spans that a query means, newest first.

    Args:
        query: TQ, see docs/search.md.
        limit: traces of a page, 1 to 500; without it 100.
        cursor: `next_cursor` of the page before, with the same query and times.
        snapshot: token of the one to search; without it the newest.

    Raises:
        BadRequest: the query is none; the message shows where.
    """
    body = _window(query, start_time, end_time) | {"limit": limit, "cursor": cursor, "snapshot": snapshot}
    return Call(_ask("/v1/traces/search", body), reader(Page[FoundTrace]))


def explain_search(
    query: str,
    *,
    start_time: dt.datetime,
    end_time: dt.datetime,
    limit: int | None = None,
    cursor: str | None = None,
    snapshot: str | None = None,
) -> Call[FoundTraces]:
    """What `search_traces` answers, and each SQL that was run for it with the files, row groups and bytes that it read.

    It takes about twice as long as the search alone.

    Raises:
        BadRequest: the query is none; the message shows where.
    """
    body = _window(query, start_time, end_time) | {"limit": limit, "cursor": cursor, "snapshot": snapshot}
    return Call(_ask("/v1/traces/search", body | {"explain": True}), reader(FoundTraces))


def measure_traces(
    query: str, *, start_time: dt.datetime, end_time: dt.datetime, step: float, snapshot: str | None = None
) -> Call[Metrics]:
    """Numbers over time of the spans that a query means, such as their rate by service.

    Args:
        query: TQ that ends with a metric, see docs/search.md.
        start_time: the first point.
        step: seconds from one point to the next.
        snapshot: token of the one to measure; without it the newest.

    Raises:
        BadRequest: the query is none, or one of traces.
    """
    body = _window(query, start_time, end_time) | {"step": step, "snapshot": snapshot}
    return Call(_ask("/v1/traces/metrics", body), reader(Metrics))


def _window(query: str, start_time: dt.datetime, end_time: dt.datetime) -> dict[str, object]:
    return {"query": query, "start_time": time("start_time", start_time), "end_time": time("end_time", end_time)}


def _ask(path: str, body: Mapping[str, object]) -> Request:
    given = encoded({name: value for name, value in body.items() if value is not None})
    return Request("POST", path, headers={"Content-Type": JSON}, body=given, repeat=Repeat.UNLESS_WORKING)
