"""Error view: one group of errors with what an answer about it shows, and the page of a list of groups.

Takes   a fingerprint or filters, and the tables of a snapshot.
Gives   groups, the occurrences of one over time, its versions, and the deploys that may have to do with it.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import deploys, error_groups
from .error_groups import ErrorFilter, Sort
from .error_status import Decision, ErrorStatus
from .relations import Ask, Relations
from .time_buckets import Buckets, buckets

LIST_BUCKETS, VIEW_BUCKETS = 48, 288
"""Parts that the window of a list and of one group is cut into at most."""

_LATEST = 10


@dataclass(frozen=True, slots=True)
class ErrorView:
    """One group of errors as the API shows it."""

    snapshot: str
    """Token of the snapshot that it was read from."""
    group: dict[str, Any]
    """As a row of `Lake.error_groups`; `counts` in finer parts."""
    buckets: Buckets
    versions: pa.Table
    """version, git_sha, count, first_seen_at, last_seen_at of the occurrences in the window, the latest first."""
    deploy: pa.Table
    """The latest deploy of a service of the group before it was first seen, or no row."""
    deploys: pa.Table
    """Those of its services in the window, newest first."""
    latest: pa.Table
    """The ten newest occurrences in the window, with the columns of the view `errors`."""


def page(
    asked: ErrorFilter,
    lake: Relations,
    *,
    decisions: Mapping[str, Decision],
    status: ErrorStatus | None,
    sort: Sort,
    limit: int,
    after: tuple[Any, str] | None,
) -> pa.Table:
    """The groups of one page; arguments as `Lake.error_groups`."""
    rows = error_groups.happened(asked, lake)
    found = error_groups.seen(lake)
    groups = error_groups.judged(error_groups.with_seen(error_groups.grouped(rows), found), decisions)
    if status is not None:
        groups = groups.filter(pc.equal(groups.column("status"), status))
    groups = error_groups.page_of(groups, sort, limit=limit, after=after)
    groups = error_groups.with_versions(groups, found)
    return error_groups.with_counts(groups, rows, buckets(asked.since, asked.until, most=LIST_BUCKETS))


def view(asked: ErrorFilter, lake: Relations, ask: Ask, *, decisions: Mapping[str, Decision]) -> ErrorView | None:
    """One group, None if there has never been one; if nothing of it lies in the window, what was last said of it.

    Args:
        asked: with a fingerprint.
    """
    found = error_groups.seen(lake)
    found = found.filter(pc.equal(found.column("fingerprint"), asked.fingerprint))
    if not found.num_rows:
        return None
    rows = error_groups.happened(asked, lake)
    described = rows if rows.num_rows else _last(asked, lake, pc.max(found.column("last_at")).as_py())
    groups = error_groups.judged(error_groups.with_seen(error_groups.grouped(described), found), decisions)
    cut = buckets(asked.since, asked.until, most=VIEW_BUCKETS)
    groups = error_groups.with_counts(error_groups.with_versions(groups, found), rows, cut)
    group = groups.to_pylist()[0]
    if not rows.num_rows:
        group |= {"count": 0, "users": 0}
    concerned = deploys.of_services(
        deploys.with_predecessors(deploys.deploys(lake)), group["services"], group["environments"]
    )
    return ErrorView(
        lake.snapshot.token,
        group,
        cut,
        _versions(rows),
        deploys.up_to(concerned, group["first_seen_at"]).slice(0, 1),
        deploys.within(concerned, asked.since, asked.until),
        error_groups.complete(error_groups.newest(rows, limit=_LATEST, before=None), lake, ask),
    )


def _last(asked: ErrorFilter, lake: Relations, last_seen_at: dt.datetime) -> pa.Table:
    """The rows that say when a group was last seen, as they came."""
    moment = replace(asked, since=last_seen_at, until=last_seen_at + dt.timedelta(microseconds=1))
    return error_groups.as_they_came(moment, lake)


def _versions(rows: pa.Table) -> pa.Table:
    found = rows.group_by(["version", "git_sha"]).aggregate([("id", "count"), ("timestamp", "min"), ("timestamp", "max")])
    found = found.rename_columns(["version", "git_sha", "count", "first_seen_at", "last_seen_at"])
    return found.sort_by([("last_seen_at", "descending"), ("version", "descending"), ("git_sha", "descending")])


def occurrences(
    asked: ErrorFilter, lake: Relations, ask: Ask, *, limit: int, before: tuple[dt.datetime, str] | None
) -> pa.Table | None:
    """The newest occurrences of one group with all they say, None if there has never been one.

    Args:
        asked: with a fingerprint.
        before: time and id of the last occurrence of the page before.
    """
    if asked.fingerprint is not None and not is_known(asked.fingerprint, lake):
        return None
    newest = error_groups.newest(error_groups.happened(asked, lake), limit=limit, before=before)
    return error_groups.complete(newest, lake, ask)


def is_known(fingerprint: str, lake: Relations) -> bool:
    """Whether the lake keeps an error of this fingerprint."""
    found: bool = pc.any(pc.equal(error_groups.seen(lake).column("fingerprint"), fingerprint)).as_py() or False
    return found
