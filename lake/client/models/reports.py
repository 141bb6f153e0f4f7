"""Reports: what a server is sent, and what it says became of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct


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


class StoredError(Struct, frozen=True, kw_only=True):
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


class StoredDeploy(Struct, frozen=True, kw_only=True):
    """What became of a reported deploy."""

    id: str
    version: str | None = None
    deployed_at: dt.datetime


class Rejected(Struct, frozen=True, kw_only=True):
    """An item of a batch that was not stored."""

    index: int
    error: str


class StoredBatch(Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    accepted: int
    errors: list[Rejected] = []


class SpansSent(Struct, frozen=True, kw_only=True):
    """What became of spans: all are stored but those that are counted here."""

    rejected_spans: int = 0
    error_message: str = ""
    """Why, if some were rejected."""
