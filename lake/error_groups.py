"""Error groups: occurrences of the same error, as lists of errors show them.

Takes   a window and filters, the errors and exceptions of a snapshot, and what people decided about groups.
Gives   one row per fingerprint: what it is, where and when it occurs, whether it is open, resolved or ignored.
Refuses nothing; values are checked by `lake.store`.

What is counted lies in the window and passes the filters. When a group was first and last seen, and in which version, is
said of all that the lake keeps: so a new error can be told from one that is back. A backtrace is not read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .error_status import Decision
from .occurrences import occurrences
from .relations import ERROR_REACH, Ask, Relations, shifted
from .schema import ERRORS, TIMESTAMP
from .time_buckets import Buckets

Sort = Literal["last_seen", "first_seen", "count"]
"""What groups are sorted by, the highest first."""

SORTS: tuple[Sort, ...] = get_args(Sort)

_SORT_COLUMNS: Mapping[Sort, str] = {"last_seen": "last_seen_at", "first_seen": "first_seen_at", "count": "count"}

_SHOWN = (
    "id", "timestamp", "exception_class", "message", "fingerprint", "location", "service_name", "environment", "git_sha",
    "version", "user_id", "request_id", "trace_id", "span_id", "ingested_at",
)  # fmt: skip
"""Columns of an occurrence that groups are made from: those that are small."""

_SEEN = ("fingerprint", "timestamp", "version", "git_sha")


@dataclass(frozen=True, slots=True)
class ErrorFilter:
    """Which occurrences are counted, and which groups are shown."""

    since: dt.datetime
    until: dt.datetime
    service: str | None = None
    environment: str | None = None
    text: str | None = None
    """Stands in the class, the message or the location of some occurrence, in any case of letters."""
    fingerprint: str | None = None


def happened(asked: ErrorFilter, lake: Relations) -> pa.Table:
    """The occurrences that are counted, each once, without their large columns; no order."""
    since, until = shifted(asked.since, -ERROR_REACH), shifted(asked.until, ERROR_REACH)
    return _filtered(occurrences(*_read(lake, since, until)), asked)


def as_they_came(asked: ErrorFilter, lake: Relations) -> pa.Table:
    """The reports and events that pass the filters, as `happened` has them but each for itself."""
    reported, raised = _read(lake, asked.since, asked.until)
    return _filtered(pa.concat_tables([reported, raised]), asked)


def _read(lake: Relations, since: dt.datetime, until: dt.datetime) -> tuple[pa.Table, pa.Table]:
    """At least the reports and the events of a time."""
    reported, raised = (
        lake.rows(name, _SHOWN, since=since, until=until, time="timestamp") for name in ("errors", "exceptions")
    )
    return reported, raised


def _filtered(rows: pa.Table, asked: ErrorFilter) -> pa.Table:
    times = rows.column("timestamp")
    wanted = pc.and_(
        pc.greater_equal(times, pa.scalar(asked.since, TIMESTAMP)), pc.less(times, pa.scalar(asked.until, TIMESTAMP))
    )
    for column, value in (
        ("service_name", asked.service), ("environment", asked.environment), ("fingerprint", asked.fingerprint),
    ):  # fmt: skip
        if value is not None:
            wanted = pc.and_(wanted, pc.equal(rows.column(column), value))
    return _with_text(rows.filter(wanted), asked.text)


def _with_text(rows: pa.Table, text: str | None) -> pa.Table:
    """The occurrences of the groups of which one has the text."""
    if text is None:
        return rows
    has_text = pa.repeat(pa.scalar(False), rows.num_rows)
    for column in ("exception_class", "message", "location"):
        found = pc.match_substring(rows.column(column), text, ignore_case=True)
        has_text = pc.or_(has_text, pc.fill_null(found, fill_value=False))
    fingerprints = rows.column("fingerprint")
    return rows.filter(pc.is_in(fingerprints, value_set=fingerprints.filter(has_text).combine_chunks()))


def grouped(rows: pa.Table) -> pa.Table:
    """One row per fingerprint, from occurrences as `happened` gives them.

    Returns:
        fingerprint, exception_class, message, location, trace_id (of the latest one that has it), count, users (how many
        different ones), services and environments (lists).
    """
    rows = rows.sort_by([("timestamp", "ascending"), ("id", "ascending")])
    latest = ("exception_class", "message", "location", "trace_id")
    groups = rows.group_by("fingerprint", use_threads=False).aggregate(
        [
            *((name, "last") for name in latest),
            ("id", "count"),
            ("user_id", "count_distinct"),
            ("service_name", "distinct"),
            ("environment", "distinct"),
        ]
    )
    names = ["fingerprint", *latest, "count", "users", "services", "environments"]
    groups = groups.rename_columns(names)
    for name in ("services", "environments"):
        groups = groups.set_column(names.index(name), name, _without_nulls(groups.column(name)))
    return groups


def _without_nulls(lists: pa.ChunkedArray) -> pa.Array:
    """The items of each list that are known, sorted."""
    listed = lists.combine_chunks()
    items = pa.table({"row": pc.list_parent_indices(listed), "item": listed.flatten()})
    items = items.filter(items.column("item").is_valid()).sort_by([("row", "ascending"), ("item", "ascending")])
    offsets = np.searchsorted(items.column("row").to_numpy(), np.arange(len(listed) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items.column("item").combine_chunks())


def seen(lake: Relations) -> pa.Table:
    """When fingerprints occur in which version, in all that the lake keeps: reports and events alike, paired or not.

    Returns:
        fingerprint, version, git_sha, first_at, last_at; several rows may have the same first three.
    """
    return pa.concat_tables([lake.digest(name, _SEEN, digest_of_seen) for name in ("errors", "exceptions")])


def digest_of_seen(rows: pa.Table) -> pa.Table:
    """The columns of `seen` from the columns `_SEEN` of some rows."""
    found = rows.group_by(["fingerprint", "version", "git_sha"]).aggregate([("timestamp", "min"), ("timestamp", "max")])
    return found.rename_columns(["fingerprint", "version", "git_sha", "first_at", "last_at"])


def with_seen(groups: pa.Table, found: pa.Table) -> pa.Table:
    """Groups with `first_seen_at` and `last_seen_at`.

    Args:
        found: from `seen`; has every fingerprint of the groups.
    """
    ends = found.group_by("fingerprint").aggregate([("first_at", "min"), ("last_at", "max")])
    places = pc.index_in(_whole(groups, "fingerprint"), value_set=_whole(ends, "fingerprint"))
    for name, column in (("first_seen_at", "first_at_min"), ("last_seen_at", "last_at_max")):
        groups = groups.append_column(name, _whole(ends, column).take(places))
    return groups


def with_versions(groups: pa.Table, found: pa.Table) -> pa.Table:
    """Groups with version and git_sha of the first and the last occurrence that names one; arguments as `with_seen`."""
    wanted = _whole(groups, "fingerprint")
    known = pc.or_(found.column("version").is_valid(), found.column("git_sha").is_valid())
    named = found.filter(pc.and_(pc.is_in(found.column("fingerprint"), value_set=wanted), known))
    for word, time, order in (("first", "first_at", "ascending"), ("last", "last_at", "descending")):
        by_time = named.sort_by([(time, order), ("version", order), ("git_sha", order)])
        places = pc.index_in(wanted, value_set=_whole(by_time, "fingerprint"))  # the first place of each
        for name in ("version", "git_sha"):
            groups = groups.append_column(f"{word}_{name}", _whole(by_time, name).take(places))
    return groups


def _whole(rows: pa.Table, name: str) -> pa.Array:
    return rows.column(name).combine_chunks()


def judged(groups: pa.Table, decisions: Mapping[str, Decision]) -> pa.Table:
    """Groups with `status` and `regressed`.

    A group that nobody decided about is open. A resolved one that occurs again is open, and regressed.

    Args:
        groups: with `fingerprint` and `last_seen_at`.
        decisions: by fingerprint.
    """
    decided = pa.array(decisions.keys(), pa.string())
    places = pc.index_in(_whole(groups, "fingerprint"), value_set=decided)
    status = pa.array([decision.status for decision in decisions.values()], pa.string()).take(places)
    decided_at = pa.array([decision.decided_at for decision in decisions.values()], TIMESTAMP).take(places)
    is_back = pc.greater(groups.column("last_seen_at").combine_chunks(), decided_at)
    regressed = pc.fill_null(pc.and_(pc.equal(status, "resolved"), is_back), fill_value=False)
    status = pc.if_else(regressed, "open", pc.fill_null(status, "open"))
    return groups.append_column("status", status).append_column("regressed", regressed)


def page_of(groups: pa.Table, sort: Sort, *, limit: int, after: tuple[Any, str] | None) -> pa.Table:
    """The first groups in an order, or those that come after a position in it.

    Args:
        after: value of the sort column and fingerprint of the last group of the page before.
    """
    column = _SORT_COLUMNS[sort]
    if after is not None:
        value = pa.scalar(after[0], groups.schema.field(column).type)
        later = pc.and_(pc.equal(groups.column(column), value), pc.less(groups.column("fingerprint"), after[1]))
        groups = groups.filter(pc.or_(pc.less(groups.column(column), value), later))
    return groups.sort_by([(column, "descending"), ("fingerprint", "descending")]).slice(0, limit)


def with_counts(groups: pa.Table, rows: pa.Table, buckets: Buckets) -> pa.Table:
    """Groups with `counts`: for each a list of how many occurrences there are in each bucket.

    Args:
        rows: the occurrences that the groups were made from.
    """
    places = pc.index_in(rows.column("fingerprint"), value_set=_whole(groups, "fingerprint"))
    known = places.is_valid()
    bucket = buckets.of(rows.column("timestamp").filter(known))
    cell = places.filter(known).to_numpy().astype(np.int64) * buckets.count + bucket
    counts = np.bincount(cell, minlength=groups.num_rows * buckets.count)
    offsets = np.arange(groups.num_rows + 1, dtype=np.int32) * buckets.count
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(counts, pa.int64()))
    return groups.append_column("counts", lists)


def newest(rows: pa.Table, *, limit: int, before: tuple[dt.datetime, str] | None) -> pa.Table:
    """The newest of some occurrences.

    Args:
        before: time and id of the last one of the page before.
    """
    if before is not None:
        time = pa.scalar(before[0], TIMESTAMP)
        same_time = pc.and_(pc.equal(rows.column("timestamp"), time), pc.less(rows.column("id"), before[1]))
        rows = rows.filter(pc.or_(pc.less(rows.column("timestamp"), time), same_time))
    return rows.sort_by([("timestamp", "descending"), ("id", "descending")]).slice(0, limit)


def complete(rows: pa.Table, lake: Relations, ask: Ask) -> pa.Table:
    """Some occurrences with all columns of the view `errors`, in the same order.

    Args:
        rows: occurrences as `happened` gives them; few.
    """
    rest = [name for name in ERRORS.arrow_schema.names if name not in _SHOWN]
    every = _stored(rows, rest, lake, ask)
    # a report that came twice has two rows of one id: the one that counts came when the occurrence says
    places = pc.index_in(_id_and_time(rows), value_set=_id_and_time(every))
    for name in rest:
        rows = rows.append_column(name, every.column(name).combine_chunks().take(places))
    return rows.select([*ERRORS.arrow_schema.names, "source"])


def _stored(rows: pa.Table, columns: Sequence[str], lake: Relations, ask: Ask) -> pa.Table:
    """These columns of the reports and events of some ids."""
    schema = pa.schema([ERRORS.arrow_schema.field(name).with_nullable(True) for name in ("id", "ingested_at", *columns)])
    parts = [schema.empty_table()]
    if rows.num_rows:
        times = rows.column("timestamp")
        since, until = pc.min(times).as_py(), pc.max(times).as_py() + dt.timedelta(microseconds=1)
        values = {"ids": rows.column("id").to_pylist()}
        for name in ("errors", "exceptions"):
            if not lake.is_empty(name, since=since, until=until, time="timestamp"):
                source = lake.of(name, since=since, until=until, time="timestamp")
                query = f"SELECT {', '.join(schema.names)} FROM ({source.text}) WHERE list_contains($ids, id)"
                parts.append(ask(query, values, source).cast(schema))
    return pa.concat_tables(parts)


def _id_and_time(rows: pa.Table) -> pa.Array:
    times = rows.column("ingested_at").cast(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(rows.column("id"), times, " ").combine_chunks()
