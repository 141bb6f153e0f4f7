"""Models: what the server answers with, and what it is sent, as typed values.

Takes   JSON.
Gives   frozen structs with the names of the reference; times are aware datetimes. Fields that they do not have are ignored,
        so that a newer server can be asked.
Refuses JSON of another shape (`BadAnswer`, raised by `lake.client.calls`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list. `iter_...` goes through all of them."""

    data: list[T]
    has_more: bool = False
    next_cursor: str | None = None


class Http(Struct, frozen=True, kw_only=True):
    """What the root of a trace was as a request."""

    method: str | None = None
    route: str | None = None
    status_code: int | None = None


class TraceSummary(Struct, frozen=True, kw_only=True):
    """One trace of a list."""

    trace_id: str
    """32 hex digits."""
    root_service: str | None
    root_operation: str | None
    root_missing: bool = False
    """No span without a parent has come; the root is then the earliest span."""
    services: list[str]
    start_time: dt.datetime
    end_time: dt.datetime
    duration_ms: float
    span_count: int
    error_count: int
    status: str
    """`ok`, `error` or `unset`."""
    root_status: str | None = None
    http: Http = Http()
    environment: str | None = None
    version: str | None = None
    git_sha: str | None = None


class Status(Struct, frozen=True, kw_only=True):
    """How a span ended."""

    code: str
    """`ok`, `error` or `unset`."""
    message: str | None = None


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened in a span."""

    name: str
    time: dt.datetime
    attributes: dict[str, Any] = {}


class Link(Struct, frozen=True, kw_only=True):
    """Another span that a span has to do with."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class Scope(Struct, frozen=True, kw_only=True):
    """What made a span: a library and its version."""

    name: str | None = None
    version: str | None = None


class Span(Struct, frozen=True, kw_only=True):
    """One span of a trace."""

    span_id: str
    parent_span_id: str | None = None
    name: str
    service: str | None = None
    kind: str
    category: str | None = None
    start_time: dt.datetime
    start_time_unix_nano: str
    """The exact start: nanoseconds since the Unix epoch, as text."""
    end_time: dt.datetime
    duration_ms: float
    offset_ms: float = 0.0
    """From the start of the trace."""
    depth: int = 0
    """0 for a root."""
    status: Status
    attributes: dict[str, Any] = {}
    resource: dict[str, Any] = {}
    scope: Scope = Scope()
    events: list[Event] = []
    links: list[Link] = []


class ErrorOfTrace(Struct, frozen=True, kw_only=True):
    """An error that happened in a trace."""

    id: str
    exception_class: str
    message: str | None = None
    fingerprint: str


class Deploy(Struct, frozen=True, kw_only=True):
    """A deploy."""

    id: str
    version: str | None = None
    git_sha: str | None = None
    deployed_at: dt.datetime
    service: str | None = None
    """None: of all services."""
    environment: str | None = None
    deployer: str | None = None
    description: str | None = None


class RepeatedQuery(Struct, frozen=True, kw_only=True):
    """The same query many times in one trace: N+1."""

    pattern: str
    count: int
    total_duration_ms: float
    span_ids: list[str] = []


class Trace(TraceSummary, frozen=True, kw_only=True):
    """One trace with its spans."""

    root_span_id: str | None = None
    truncated: bool = False
    """It has more spans than these."""
    spans: list[Span]
    errors: list[ErrorOfTrace] = []
    deploy: Deploy | None = None
    """The latest one of its services before it started."""
    n_plus_one: list[RepeatedQuery] = []


class ErrorReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error to report; docs/ingest.md has every field."""

    exception_class: str
    message: str
    backtrace: Sequence[str] = ()
    service: str | None = None
    environment: str | None = None
    version: str | None = None
    git_sha: str | None = None
    fingerprint: str | None = None
    """What makes two errors the same one; computed by the server if absent."""
    timestamp: dt.datetime | None = None
    """When it happened; now if absent."""
    user_id: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    context: Mapping[str, Any] = {}
    params: Mapping[str, Any] = {}


class ReportedError(Struct, frozen=True, kw_only=True):
    """What became of a reported error."""

    id: str
    fingerprint: str


class DeployReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deploy to report; `version` or `git_sha` is needed."""

    version: str | None = None
    git_sha: str | None = None
    service: str | None = None
    """None: of all services."""
    environment: str | None = None
    deployer: str | None = None
    description: str | None = None
    deployed_at: dt.datetime | None = None
    """Now if absent."""


class ReportedDeploy(Struct, frozen=True, kw_only=True):
    """What became of a reported deploy."""

    id: str
    version: str | None = None
    deployed_at: dt.datetime


class Rejected(Struct, frozen=True, kw_only=True):
    """An item of a batch that was not stored."""

    index: int
    error: str


class Batch(Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    accepted: int
    errors: list[Rejected] = []


class SpansSent(Struct, frozen=True, kw_only=True):
    """What became of spans: all are stored but those that are counted here."""

    rejected_spans: int = 0
    error_message: str = ""
    """Why, if some were rejected."""
