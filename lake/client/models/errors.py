"""Errors as the server shows them: groups by fingerprint, and their occurrences."""

from __future__ import annotations

import datetime as dt
from typing import Any

from msgspec import Struct

from .deploys import Deploy


class OccurrenceCounts(Struct, frozen=True, kw_only=True):
    """How often something occurred, in equal parts of the window."""

    start_time: dt.datetime
    """Of the first part."""
    bucket_s: int
    """Seconds of one part."""
    counts: list[int]


class ErrorVersion(Struct, frozen=True, kw_only=True):
    """A version that an error occurs in."""

    version: str | None = None
    git_sha: str | None = None


class ErrorGroup(Struct, frozen=True, kw_only=True):
    """Errors of one fingerprint."""

    fingerprint: str
    exception_class: str
    message: str
    """Of the latest occurrence."""
    location: str | None = None
    """Line of the application where it was raised."""
    status: str
    """`open`, `resolved` or `ignored`."""
    regressed: bool = False
    """It was resolved and has occurred again."""
    status_changed_at: dt.datetime | None = None
    status_changed_by: str | None = None
    """Id of the key that it was changed with."""
    count: int
    """Occurrences in the window."""
    users: int = 0
    services: list[str] = []
    environments: list[str] = []
    first_seen_at: dt.datetime
    last_seen_at: dt.datetime
    first: ErrorVersion = ErrorVersion()
    last: ErrorVersion = ErrorVersion()
    trace_id: str | None = None
    """The latest trace that it happened in."""
    occurrences: OccurrenceCounts | None = None


class VersionCount(ErrorVersion, frozen=True, kw_only=True):
    """How often an error occurs in a version, in the window."""

    count: int
    first_seen_at: dt.datetime
    last_seen_at: dt.datetime


class ErrorOccurrence(Struct, frozen=True, kw_only=True):
    """One error, as it was reported or as a span has it."""

    id: str
    timestamp: dt.datetime
    source: str
    """`reported`, or `span`: an exception event that nobody reported."""
    exception_class: str
    message: str
    backtrace: list[str] = []
    location: str | None = None
    service: str | None = None
    environment: str | None = None
    version: str | None = None
    git_sha: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    params: Any = None
    context: Any = None
    source_context: Any = None


class ErrorGroupDetail(ErrorGroup, frozen=True, kw_only=True):
    """Errors of one fingerprint, with what they may have to do with."""

    versions: list[VersionCount] = []
    """Of the occurrences in the window, the latest first."""
    deploy: Deploy | None = None
    """The latest one of its services before it was first seen."""
    deploys: list[Deploy] = []
    """Of its services in the window, newest first."""
    latest: list[ErrorOccurrence] = []
    """The newest occurrences in the window."""


class ErrorGroupStatus(Struct, frozen=True, kw_only=True):
    """What was decided about a group."""

    fingerprint: str
    status: str
    status_changed_at: dt.datetime
    status_changed_by: str
