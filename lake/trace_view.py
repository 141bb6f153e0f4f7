"""Trace view: one trace with what an answer about it shows.

Takes   the id of a trace, and the tables of a snapshot.
Gives   its spans, its summary, its errors.
Refuses nothing.

A trace lies in few files and has few spans, so what counts is the work that does not depend on them: files are left out
by their bloom filters, since DuckDB takes some milliseconds to plan a file's many columns, and what follows from the
spans alone is computed from them without another query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import queries, render
from .exceptions import exceptions_of
from .identity import latest_spans
from .relations import ERROR_REACH, Relation, Relations, shifted
from .schema import ERRORS, TIMESTAMP, Promoted

Ask = Callable[[str, Mapping[str, Any], Relation], pa.Table]
"""Runs a query with some values over a relation."""

_MOST_REPEATS = 4
"""How often a span is expected to have come at most; of a trace with more rows than that the end is not read."""

_NOTHING = Relation("")
_EXCEPTIONS = "_exceptions"


@dataclass(frozen=True, slots=True)
class TraceView:
    """One trace as the API shows it."""

    summary: dict[str, Any]
    """What a row of `Lake.traces` says."""
    spans: str
    """JSON array of the spans by start."""
    errors: pa.Table
    """Its errors by time, with the columns of the view `errors`: an exception that was also reported is one."""
    truncated: bool
    """The trace has more spans than were read."""


def spans_of(trace_id: str, relations: Relations, ask: Ask, *, max_spans: int) -> pa.Table:
    """The first spans of a trace by start, each once.

    Args:
        trace_id: as it is stored, in lower case.
    """
    source = relations.of("spans", trace_id=trace_id, choose=partial(_with_trace, trace_id, ask))
    values = {"trace_id": trace_id, "limit": max_spans * _MOST_REPEATS}
    return latest_spans(ask(queries.SPANS_OF_TRACE.format(source=source.text), values, source)).slice(0, max_spans)


def _with_trace(trace_id: str, ask: Ask, files: list[str]) -> list[str]:
    if len(files) < 2:
        return files
    return sorted(ask(queries.files_with("trace_id", trace_id, files), {}, _NOTHING).column(0).to_pylist())


def view(
    rows: pa.Table, relations: Relations, ask: Ask, *, promoted: tuple[Promoted, ...], max_spans: int
) -> TraceView | None:
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
        summary,
        render.spans_json(shown, promoted),
        _errors(shown, summary, relations, ask),
        truncated=rows.num_rows > max_spans,
    )


def _errors(spans: pa.Table, summary: Mapping[str, Any], relations: Relations, ask: Ask) -> pa.Table:
    raised = exceptions_of(spans)
    reported = _reported(raised, summary, relations, ask)
    if reported.num_rows:
        tables = {"_reported": reported, _EXCEPTIONS: raised}
        query = queries.errors("SELECT * FROM _reported", f"SELECT * FROM {_EXCEPTIONS}")
        found = ask(f"SELECT * FROM ({query}) WHERE trace_id = $trace_id", {"trace_id": summary["trace_id"]},
                    Relation("", tables))  # fmt: skip
    else:
        found = raised
    return found.sort_by([("timestamp", "ascending"), ("id", "ascending")])


def _reported(raised: pa.Table, summary: Mapping[str, Any], relations: Relations, ask: Ask) -> pa.Table:
    """The reports that may be about the trace: of its id, or of a request that one of its spans names."""
    start, end = (pa.scalar(summary[name] // 1000, TIMESTAMP).as_py() for name in ("start_ns", "end_ns"))
    since, until = shifted(start, -ERROR_REACH), shifted(end, ERROR_REACH)
    if relations.is_empty("errors", since=since, until=until):
        return ERRORS.arrow_schema.empty_table()
    source = relations.of("errors", since=since, until=until)
    requests = pc.unique(raised.column("request_id").drop_null()).to_pylist()
    query = f"SELECT * FROM ({source.text}) WHERE trace_id = $trace_id OR list_contains($requests, request_id)"
    return ask(query, {"trace_id": summary["trace_id"], "requests": requests}, source)
