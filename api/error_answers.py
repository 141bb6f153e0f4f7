"""Error answers: what groups of errors and their occurrences look like in JSON.

Takes   rows of `Lake.error_groups`, `Lake.error_view` and `Lake.error_occurrences`.
Gives   `ErrorGroup`, an item of the list; `ErrorGroupDetail`, one with what belongs to it; `ErrorOccurrence`.
Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lake.error_status import Decision, ErrorStatus
from lake.error_view import ErrorView
from lake.time_buckets import Buckets

from .answers import Answer, Listed, Timestamp
from .deploy_answers import Deploy, deploy
from .json_body import Body
from .times import iso


class OccurrenceCounts(Answer, kw_only=True, frozen=True):
    """How often something occurred, in equal parts of the window."""

    start_time: Annotated[Timestamp, Meta(description="Of the first part: the window's start, or up to one part before")]
    bucket_s: Annotated[int, Meta(description="Seconds of one part")]
    counts: list[int]


class ErrorVersion(Answer, kw_only=True, frozen=True):
    """A version that an error occurs in."""

    version: str | None
    git_sha: str | None


class ErrorGroup(Answer, kw_only=True, frozen=True):
    """Errors of one fingerprint."""

    fingerprint: str
    exception_class: str
    message: Annotated[str, Meta(description="Of the latest occurrence")]
    location: Annotated[str | None, Meta(description="Line of the application where it was raised")]
    status: Annotated[ErrorStatus, Meta(description="open, resolved or ignored; a resolved one that occurs again is open")]
    regressed: Annotated[bool, Meta(description="It was resolved and has occurred again")]
    status_changed_at: Annotated[Timestamp | None, Meta(description="When the status was set, null if never")]
    status_changed_by: Annotated[str | None, Meta(description="Id of the key that it was set with")]
    count: Annotated[int, Meta(description="Occurrences in the window that pass the filters")]
    users: Annotated[int, Meta(description="How many different user ids they have")]
    services: list[str]
    environments: list[str]
    first_seen_at: Annotated[Timestamp, Meta(description="In all that is kept, also before the window")]
    last_seen_at: Annotated[Timestamp, Meta(description="In all that is kept, also after the window")]
    first: Annotated[ErrorVersion, Meta(description="The first version that is known to have it")]
    last: Annotated[ErrorVersion, Meta(description="The last version that is known to have it")]
    trace_id: Annotated[str | None, Meta(description="The latest trace that it happened in")]
    occurrences: OccurrenceCounts


class ErrorGroupList(Listed[ErrorGroup], kw_only=True, frozen=True):
    """Groups of the errors in a window."""

    start_time: Timestamp
    end_time: Timestamp


class VersionCount(ErrorVersion, kw_only=True, frozen=True):
    """How often an error occurs in a version, in the window."""

    count: int
    first_seen_at: Timestamp
    last_seen_at: Timestamp


class ErrorOccurrence(Answer, kw_only=True, frozen=True):
    """One error, as it was reported or as a span has it."""

    id: str
    timestamp: Timestamp
    source: Annotated[str, Meta(description="reported, or span: an exception event that nobody reported")]
    exception_class: str
    message: str
    backtrace: list[str]
    location: str | None
    service: str | None
    environment: str | None
    version: str | None
    git_sha: str | None
    user_id: str | None
    request_id: str | None
    trace_id: str | None
    span_id: str | None
    params: Annotated[Any, Meta(description="As it was reported")]
    context: Annotated[Any, Meta(description="As it was reported")]
    source_context: Annotated[Any, Meta(description="As it was reported")]


class ErrorOccurrenceList(Listed[ErrorOccurrence], kw_only=True, frozen=True):
    """Occurrences of one group in a window, newest first."""

    start_time: Timestamp
    end_time: Timestamp


class ErrorGroupDetail(ErrorGroup, kw_only=True, frozen=True):
    """Errors of one fingerprint, with what they may have to do with."""

    start_time: Timestamp
    end_time: Timestamp
    versions: Annotated[list[VersionCount], Meta(description="Of the occurrences in the window, the latest first")]
    deploy: Annotated[Deploy | None, Meta(description="The latest one of its services before it was first seen")]
    deploys: Annotated[list[Deploy], Meta(description="Of its services in the window, newest first")]
    latest: Annotated[list[ErrorOccurrence], Meta(description="The newest occurrences in the window, up to 10")]


class ErrorGroupChange(Body, kw_only=True, frozen=True):
    """What is decided about a group."""

    status: ErrorStatus


class ErrorGroupStatus(Answer, kw_only=True, frozen=True):
    """What was decided about a group."""

    fingerprint: str
    status: ErrorStatus
    status_changed_at: Timestamp
    status_changed_by: str


def group_fields(row: Mapping[str, Any], buckets: Buckets, decision: Decision | None) -> dict[str, Any]:
    """The fields of `ErrorGroup`, from a row of `Lake.error_groups` or the group of a view."""
    same = ("fingerprint", "exception_class", "message", "location", "status", "regressed", "count", "users", "services",
            "environments", "trace_id")  # fmt: skip
    return {
        **{name: row[name] for name in same},
        "status_changed_at": iso(decision.decided_at) if decision else None,
        "status_changed_by": decision.decided_by if decision else None,
        "first_seen_at": iso(row["first_seen_at"]),
        "last_seen_at": iso(row["last_seen_at"]),
        "first": ErrorVersion(version=row["first_version"], git_sha=row["first_git_sha"]),
        "last": ErrorVersion(version=row["last_version"], git_sha=row["last_git_sha"]),
        "occurrences": OccurrenceCounts(start_time=iso(buckets.start), bucket_s=buckets.size_s, counts=row["counts"]),
    }


def view_fields(view: ErrorView) -> dict[str, Any]:
    """The fields of `ErrorGroupDetail` that `ErrorGroup` has not, without its window."""
    found = view.deploy.to_pylist()
    return {
        "versions": [
            VersionCount(**row | {name: iso(row[name]) for name in ("first_seen_at", "last_seen_at")})
            for row in view.versions.to_pylist()
        ],
        "deploy": deploy(found[0]) if found else None,
        "deploys": [deploy(row) for row in view.deploys.to_pylist()],
        "latest": [occurrence(row) for row in view.latest.to_pylist()],
    }


def occurrence(row: Mapping[str, Any]) -> ErrorOccurrence:
    """One occurrence, from a row of `Lake.error_occurrences`."""
    same = ("id", "source", "exception_class", "message", "backtrace", "location", "environment", "version", "git_sha",
            "user_id", "request_id", "trace_id", "span_id")  # fmt: skip
    return ErrorOccurrence(
        **{name: row[name] for name in same},
        timestamp=iso(row["timestamp"]),
        service=row["service_name"],
        **{name: _json(row[name]) for name in ("params", "context", "source_context")},
    )


def _json(text: str | None) -> Any:  # noqa: ANN401 - whatever was reported
    """JSON that is stored as text, as it stands."""
    return None if text is None else msgspec.Raw(text.encode())
