"""Calls about errors and deploys."""

from __future__ import annotations

import datetime as dt

from ..call import JSON, Call, encoded, get, reader, segment, time
from ..models.deploys import Deploy
from ..models.errors import ErrorGroup, ErrorGroupDetail, ErrorGroupStatus, ErrorOccurrence
from ..models.impact import DeployImpact
from ..models.paging import Page
from ..transport import Request


def list_errors(  # noqa: PLR0913 - the filters of the API
    *,
    service: str | None = None,
    environment: str | None = None,
    status: str | None = None,
    q: str | None = None,
    sort: str | None = None,
    start_time: dt.datetime | None = None,
    end_time: dt.datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[ErrorGroup]]:
    """One page of the groups of errors that occurred in `[start_time, end_time)`.

    Args:
        status: `open`, `resolved` or `ignored`.
        q: text in the class, message or location of some occurrence, in any case of letters.
        sort: `last_seen` (without it), `first_seen` or `count`; the highest first.
        start_time: without it a day before `end_time`.
        end_time: without it now.
        limit: groups of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    return get(
        "/v1/errors",
        Page[ErrorGroup],
        service=service,
        environment=environment,
        status=status,
        q=q,
        sort=sort,
        start_time=time("start_time", start_time),
        end_time=time("end_time", end_time),
        limit=limit,
        cursor=cursor,
    )


def get_error(
    fingerprint: str, *, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
) -> Call[ErrorGroupDetail]:
    """One group of errors with its versions, the deploys around it and its newest occurrences.

    Args:
        start_time: without it a day before `end_time`.
        end_time: without it now.

    Raises:
        NotFound: there is no such error.
    """
    window = {"start_time": time("start_time", start_time), "end_time": time("end_time", end_time)}
    return get(f"/v1/errors/{segment('fingerprint', fingerprint)}", ErrorGroupDetail, **window)


def list_occurrences(
    fingerprint: str,
    *,
    start_time: dt.datetime | None = None,
    end_time: dt.datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[ErrorOccurrence]]:
    """One page of the occurrences of a group of errors, newest first.

    Args:
        start_time: without it a day before `end_time`.
        end_time: without it now.
        limit: occurrences of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.

    Raises:
        NotFound: there is no such error.
    """
    return get(
        f"/v1/errors/{segment('fingerprint', fingerprint)}/occurrences",
        Page[ErrorOccurrence],
        start_time=time("start_time", start_time),
        end_time=time("end_time", end_time),
        limit=limit,
        cursor=cursor,
    )


def set_error_status(fingerprint: str, status: str) -> Call[ErrorGroupStatus]:
    """Resolve, ignore or open a group of errors; a resolved one is open again when it occurs once more.

    Args:
        status: `open`, `resolved` or `ignored`.

    Raises:
        NotFound: there is no such error.
        PermissionDenied: the key has not the scope `admin`.
    """
    path = f"/v1/errors/{segment('fingerprint', fingerprint)}"
    request = Request("PATCH", path, headers={"Content-Type": JSON}, body=encoded({"status": status}))
    return Call(request, reader(ErrorGroupStatus))


def list_deploys(
    *,
    service: str | None = None,
    environment: str | None = None,
    start_time: dt.datetime | None = None,
    end_time: dt.datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[Deploy]]:
    """One page of the deploys in `[start_time, end_time)`, newest first, each with the one before it.

    Args:
        service: its own deploys, and those of every service.
        start_time: without it seven days before `end_time`.
        end_time: without it now.
        limit: deploys of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    return get(
        "/v1/deploys",
        Page[Deploy],
        service=service,
        environment=environment,
        start_time=time("start_time", start_time),
        end_time=time("end_time", end_time),
        limit=limit,
        cursor=cursor,
    )


def get_deploy(deploy_id: str) -> Call[Deploy]:
    """One deploy, with the one before it of the same service and environment.

    Raises:
        NotFound: there is no such deploy.
    """
    return get(f"/v1/deploys/{segment('deploy_id', deploy_id)}", Deploy)


def get_deploy_impact(deploy_id: str, *, window: int | None = None) -> Call[DeployImpact]:
    """What a deploy did to its service, beyond what changes anyway (docs/impact.md).

    Args:
        window: minutes that are compared on each side: 15, 60 or 240; without it 60.

    Raises:
        NotFound: there is no such deploy.
    """
    return get(f"/v1/deploys/{segment('deploy_id', deploy_id)}/impact", DeployImpact, window=window)
