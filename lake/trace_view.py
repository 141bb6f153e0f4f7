"""Trace view: one trace with what an answer about it shows.

Takes   the id of a trace, and the tables of a snapshot.
Gives   its spans, its summary, its errors, its deploy, queries that are repeated in it.
Refuses nothing.

A trace lies in few files and has few spans, so what counts is the work that does not depend on them: files are left out
by their bloom filters, since DuckDB takes some milliseconds to plan a file's many columns, and what follows from the
spans alone is computed from them without another query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import deploys, queries, render
from .derived.exceptions import exceptions_of
from .identity import latest_spans
from .n_plus_one import n_plus_one
from .occurrences import KEY_COLUMNS, occurrences
from .relations import ERROR_REACH, Ask, Relations, shifted
from .schema import TIMESTAMP, Promoted

_MOST_REPEATS = 4
"""How often a span is expected to have come at most; of a trace with more rows than that the end is not read."""

ERROR_COLUMNS = (*KEY_COLUMNS, "fingerprint", "location", "service_name", "environment", "git_sha", "version", "span_id")


@dataclass(frozen=True, slots=True)
class TraceView:
    """One trace as the API shows it."""

    snapshot: str
    """Token of the snapshot that it was read from."""
    summary: dict[str, Any]
    """What a row of `Lake.traces` says."""
    spans: str
    """JSON array of the spans by start."""
    errors: pa.Table
    """Its errors by time, with `ERROR_COLUMNS` of the view `errors`: an exception that was also reported is one."""
    deploy: dict[str, Any] | None
    """The deploy that it ran on, as a row of the view `deploys`."""
    n_plus_one: list[dict[str, Any]]
    """From `lake.n_plus_one`."""
    truncated: bool
    """The trace has more spans than were read."""


def spans_of(trace_id: str, relations: Relations, ask: Ask, *, max_spans: int) -> pa.Table:
    """The first spans of a trace by start, each once.

    Args:
        trace_id: as it is stored, in lower case.
    """
    source = relations.of("spans", trace_id=trace_id, trace_ids=[trace_id])
    values = {"trace_id": trace_id, "limit": max_spans * _MOST_REPEATS}
    return latest_spans(ask(queries.SPANS_OF_TRACE.format(source=source.text), values, source)).slice(0, max_spans)


def view(rows: pa.Table, relations: Relations, *, promoted: tuple[Promoted, ...], max_spans: int) -> TraceView | None:
    """What is shown of a trace, None if it has no spans.

    Args:
        rows: its spans by start, each once; if there are more than `max_spans`, the rest is not shown.
        promoted: every promotion of the lake.
    """
    if not rows.num_rows:
        return None
    shown = rows.slice(0, max_spans)
    summary = render.summary(shown)
    return TraceView(
        relations.snapshot.token,
        summary,
        render.spans_json(shown, promoted),
        _errors(shown, summary, relations),
        _deploy(summary, relations),
        n_plus_one(shown),
        truncated=rows.num_rows > max_spans,
    )


def _errors(spans: pa.Table, summary: Mapping[str, Any], relations: Relations) -> pa.Table:
    raised = exceptions_of(spans).select(ERROR_COLUMNS)
    reported = _reported(raised, summary, relations)
    found = occurrences(reported, raised)
    found = found.filter(pc.equal(found.column("trace_id"), summary["trace_id"]))
    return found.sort_by([("timestamp", "ascending"), ("id", "ascending")])


def _reported(raised: pa.Table, summary: Mapping[str, Any], relations: Relations) -> pa.Table:
    """The reports that may be about the trace: of its id, or of a request that one of its spans names."""
    start, end = (pa.scalar(summary[name] // 1000, TIMESTAMP).as_py() for name in ("start_ns", "end_ns"))
    since, until = shifted(start, -ERROR_REACH), shifted(end, ERROR_REACH)
    rows = relations.rows("errors", ERROR_COLUMNS, since=since, until=until)
    requests = pc.unique(raised.column("request_id").combine_chunks().drop_null())
    of_request = pc.is_in(rows.column("request_id"), value_set=requests)
    of_trace = pc.fill_null(pc.equal(rows.column("trace_id"), summary["trace_id"]), fill_value=False)
    return rows.filter(pc.or_(of_trace, of_request))


def _deploy(summary: Mapping[str, Any], relations: Relations) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = deploys.of_trace(deploys.deploys(relations), summary).to_pylist()
    return found[0] if found else None
