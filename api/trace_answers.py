"""Trace answers: what a trace looks like in JSON.

Takes   rows of `Lake.traces` and `Lake.trace_view`.
Gives   `TraceSummary`, an item of every list of traces, and `Trace`, one trace with its spans.
Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from .answers import Answer, Listed, SpanId, Timestamp, TraceId
from .times import iso, iso_ns

Status = Literal["ok", "error", "unset"]


class Http(Answer, kw_only=True, frozen=True):
    """HTTP as the root span has it."""

    method: str | None
    route: str | None
    status_code: int | None


class TraceSummary(Answer, kw_only=True, frozen=True):
    """A trace in a list."""

    trace_id: TraceId
    root_service: str | None
    root_operation: str | None
    root_missing: Annotated[bool, Meta(description="The root has not come (yet); the earliest span stands for it")]
    services: Annotated[list[str], Meta(description="Of any span, by name")]
    start_time: Timestamp
    end_time: Timestamp
    duration_ms: float
    span_count: int
    error_count: Annotated[int, Meta(description="Spans with the status error")]
    status: Status
    root_status: Status
    http: Http
    environment: str | None
    version: str | None
    git_sha: str | None


class TraceList(Listed[TraceSummary], kw_only=True, frozen=True):
    """Traces that started in a window, newest first."""

    start_time: Timestamp
    end_time: Timestamp


class SpanStatus(Answer, kw_only=True, frozen=True):
    """How a span ended."""

    code: Status
    message: str


class InstrumentationScope(Answer, kw_only=True, frozen=True):
    """What made a span."""

    name: str | None
    version: str | None


class SpanEvent(Answer, kw_only=True, frozen=True):
    """Something that happened during a span."""

    name: str
    time: Timestamp
    attributes: dict[str, Any]


class SpanLink(Answer, kw_only=True, frozen=True):
    """Another span that a span has to do with."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]


class Span(Answer, kw_only=True, frozen=True):
    """One span of a trace."""

    span_id: SpanId
    parent_span_id: str | None
    name: str
    service: str | None
    kind: str
    category: Annotated[str, Meta(description="http_server, http_client, db, search, job, view, command or internal")]
    start_time: Timestamp
    start_time_unix_nano: Annotated[str, Meta(description="Nanoseconds since the Unix epoch, more than a double can hold")]
    end_time: Timestamp
    duration_ms: float
    offset_ms: Annotated[float, Meta(description="Since the start of the trace")]
    depth: Annotated[int, Meta(description="Ancestors in the trace")]
    status: SpanStatus
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: InstrumentationScope
    events: list[SpanEvent]
    links: list[SpanLink]


class TraceError(Answer, kw_only=True, frozen=True):
    """An error that belongs to a trace."""

    id: str
    exception_class: str
    message: str
    fingerprint: str


class TraceDeploy(Answer, kw_only=True, frozen=True):
    """The deploy that a trace ran on."""

    id: str
    version: str | None
    git_sha: str | None
    deployed_at: Timestamp


class RepeatedQuery(Answer, kw_only=True, frozen=True):
    """A database query that comes again and again from one place: N+1."""

    pattern: Annotated[str, Meta(description="The statement without its values, or the name of the spans")]
    service: str | None
    caller_span_id: Annotated[str | None, Meta(description="The span that they are all called from")]
    count: int
    total_duration_ms: Annotated[float, Meta(description="The sum of all of them; some may run at the same time")]
    span_ids: Annotated[list[SpanId], Meta(description="By start")]


class Trace(TraceSummary, kw_only=True, frozen=True):
    """A trace with its spans."""

    root_span_id: SpanId
    truncated: Annotated[bool, Meta(description="There are more spans than are shown")]
    errors: list[TraceError]
    deploy: Annotated[TraceDeploy | None, Meta(description="The latest one of the root's service before it started")]
    n_plus_one: Annotated[list[RepeatedQuery], Meta(description="The most frequent first")]
    spans: Annotated[list[Span], Meta(description="By start")]


def listed(row: Mapping[str, Any]) -> TraceSummary:
    """One item of a list, from a row of `Lake.traces`."""
    return TraceSummary(**summary(row))


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `TraceSummary`, from a row of `Lake.traces`."""
    root = row["root"]
    return {
        "trace_id": row["trace_id"],
        "root_service": root["service"],
        "root_operation": root["operation"],
        "root_missing": root["missing"],
        "services": row["services"] or [],
        "start_time": iso_ns(row["start_ns"]),
        "end_time": iso_ns(row["end_ns"]),
        "duration_ms": (row["end_ns"] - row["start_ns"]) / 1e6,
        "span_count": row["span_count"],
        "error_count": row["error_count"],
        "status": row["status"],
        "root_status": root["status"],
        "http": Http(method=root["http_method"], route=root["http_route"], status_code=root["http_status_code"]),
        "environment": root["environment"],
        "version": root["version"],
        "git_sha": root["git_sha"],
    }


def repeated_query(found: Mapping[str, Any]) -> RepeatedQuery:
    """One finding of `lake.n_plus_one`."""
    same = ("pattern", "service", "caller_span_id", "count", "span_ids")
    return RepeatedQuery(**{name: found[name] for name in same}, total_duration_ms=found["total_duration_ns"] / 1e6)


def trace_deploy(row: Mapping[str, Any]) -> TraceDeploy:
    """The deploy of a trace, from a row of the view `deploys`."""
    return TraceDeploy(id=row["id"], version=row["version"], git_sha=row["git_sha"], deployed_at=iso(row["deployed_at"]))
