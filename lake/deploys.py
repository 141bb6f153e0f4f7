"""Deploys: which one came before what.

Takes   the table `deploys` of a snapshot.
Gives   every deploy once with its predecessor, pages of them, and the latest one before a time.
Refuses nothing.

A deploy without a service is one of every service of the project. Deploys are few, so they are kept in memory and no SQL
is planned for them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .relations import Relations
from .schema import DEPLOYS, TIMESTAMP
from .wire.arrays import booleans

_SERIES = ("service_name", "environment")
"""Deploys that are equal in these follow each other."""

_NEWEST_FIRST = [("deployed_at", "descending"), ("id", "descending")]
_PREDECESSOR = ("id", "version", "git_sha", "deployed_at")


def deploys(lake: Relations) -> pa.Table:
    """Every deploy, newest first. A repeated Idempotency-Key gives the same id; then the one that came first counts."""
    rows = lake.rows("deploys", DEPLOYS.arrow_schema.names).sort_by([("id", "ascending"), ("ingested_at", "ascending")])
    if rows.num_rows:
        ids = _whole(rows, "id")
        is_repeat = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
        rows = rows.filter(booleans(np.append(True, ~is_repeat)))
    return rows.sort_by(_NEWEST_FIRST)


def with_predecessors(rows: pa.Table) -> pa.Table:
    """Deploys with `predecessor`: `_PREDECESSOR` of the deploy before it of the same service and environment, or null.

    Args:
        rows: every deploy.
    """
    rows = rows.sort_by([*((name, "ascending") for name in _SERIES), ("deployed_at", "ascending"), ("id", "ascending")])
    return rows.append_column("predecessor", _predecessors(rows)).sort_by(_NEWEST_FIRST)


def _predecessors(rows: pa.Table) -> pa.Array:
    """The row before each, if it is of the same series."""
    follows = np.zeros(rows.num_rows, dtype=np.bool_)
    if rows.num_rows:
        follows[1:] = True
    for name in _SERIES:
        codes = pc.fill_null(_whole(rows, name).dictionary_encode().indices, -1).to_numpy(zero_copy_only=False)
        follows[1:] &= codes[1:] == codes[:-1]
    before = pa.array(np.arange(rows.num_rows) - 1, mask=~follows)
    fields = [_whole(rows, name).take(before) for name in _PREDECESSOR]
    return pa.StructArray.from_arrays(fields, names=_PREDECESSOR, mask=booleans(~follows))


def _whole(rows: pa.Table, name: str) -> pa.Array:
    return rows.column(name).combine_chunks()


def of_services(rows: pa.Table, services: Sequence[str], environments: Sequence[str]) -> pa.Table:
    """The deploys of one of these services or of every service, in one of these environments or in none that is named.

    Args:
        environments: none means that nothing is known about them, and any will do.
    """
    wanted = _is_in(rows.column("service_name"), services)
    if environments:
        wanted = pc.and_(wanted, _is_in(rows.column("environment"), environments))
    return rows.filter(wanted)


def of_trace(rows: pa.Table, trace: Mapping[str, Any]) -> pa.Table:
    """The deploy that a trace ran on, or no row: the latest one before it started.

    It is one of the root's service or of every service; if there is none, one of another service of the trace. Where trace
    and deploy both name an environment it is the same.

    Args:
        rows: deploys, newest first.
        trace: a row of `Lake.traces`.
    """
    root = trace["root"]
    before = up_to(rows, pa.scalar(trace["start_ns"] // 1000, TIMESTAMP).as_py())
    environments = [root["environment"]] if root["environment"] else []
    found = of_services(before, [root["service"]] if root["service"] else [], environments)
    return (found if found.num_rows else of_services(before, trace["services"], environments)).slice(0, 1)


def asked_for(rows: pa.Table, *, since: dt.datetime | None, until: dt.datetime | None, service: str | None) -> pa.Table:
    """The deploys in `[since, until)`, as far as there are bounds, of one service if named; newest first, then by id."""
    at = rows.column("deployed_at")
    wanted = [pc.is_valid(at)]
    if since is not None:
        wanted.append(pc.greater_equal(at, pa.scalar(since, TIMESTAMP)))
    if until is not None:
        wanted.append(pc.less(at, pa.scalar(until, TIMESTAMP)))
    if service is not None:
        wanted.append(pc.equal(rows.column("service_name"), service))
    return rows.filter(reduce(pc.and_, wanted)).sort_by([("deployed_at", "descending"), ("id", "ascending")])


def up_to(rows: pa.Table, time: dt.datetime) -> pa.Table:
    """The deploys at or before a time."""
    return rows.filter(pc.less_equal(rows.column("deployed_at"), pa.scalar(time, TIMESTAMP)))


def page(
    lake: Relations,
    *,
    since: dt.datetime,
    until: dt.datetime,
    service: str | None,
    environment: str | None,
    limit: int,
    before: tuple[dt.datetime, str] | None,
) -> pa.Table:
    """The newest deploys of a window; arguments as `Lake.deploy_page`."""
    rows = within(with_predecessors(deploys(lake)), since, until)
    if service is not None:
        rows = of_services(rows, [service], [])
    if environment is not None:
        rows = rows.filter(pc.equal(rows.column("environment"), environment))
    return (rows if before is None else older(rows, before)).slice(0, limit)


def within(rows: pa.Table, since: dt.datetime, until: dt.datetime) -> pa.Table:
    """The deploys in `[since, until)`."""
    times = rows.column("deployed_at")
    return rows.filter(
        pc.and_(pc.greater_equal(times, pa.scalar(since, TIMESTAMP)), pc.less(times, pa.scalar(until, TIMESTAMP)))
    )


def older(rows: pa.Table, than: tuple[dt.datetime, str]) -> pa.Table:
    """The deploys that come after a time and id in the order of lists, newest first."""
    times, time = rows.column("deployed_at"), pa.scalar(than[0], TIMESTAMP)
    same_time = pc.and_(pc.equal(times, time), pc.less(rows.column("id"), than[1]))
    return rows.filter(pc.or_(pc.less(times, time), same_time))


def _is_in(column: pa.ChunkedArray, values: Sequence[str]) -> pa.ChunkedArray:
    return pc.or_(pc.is_null(column), pc.is_in(column, value_set=pa.array(values, pa.string())))
