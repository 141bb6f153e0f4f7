"""Impact: the facts around a deploy, out of a snapshot, and the report of them.

Takes   a deploy and the tables `endpoint_minutes`, `service_edges`, `deploys`, `errors` and `exceptions` of a snapshot.
Gives   the report of `lake.analysis.impact`.
Refuses nothing; values are checked by `lake.store`.

Only minutes that a report looks at are read: those of the deploy, and those of the same clock time on the seven days before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from . import deploys, topology
from .analysis.facts import Deploy, Facts
from .analysis.impact import Report, impact
from .analysis.windows import GUARD_MIN, PLACEBO_DAYS, PLACEBO_OFFSETS_MIN
from .error_groups import ErrorFilter, happened
from .relations import Relations
from .services import MinuteFilter, whole_minutes

_MINUTE_COLUMNS = (
    "minute", "service_name", "endpoint", "is_request", "environment", "service_version", "span_count", "error_count",
    "latency_bins", "latency_counts",
)  # fmt: skip

_OCCURRENCE_COLUMNS = ("service_name", "fingerprint", "exception_class", "message", "timestamp")

_GROUP_MAX_MIN = 120
"""How much longer than its own window a row of deploys in a row may take; a window never ends later than now."""


def report(deploy: Mapping[str, Any], relations: Relations, now: dt.datetime, *, width_min: int) -> Report:
    """Report what a deploy did.

    Args:
        deploy: a row of `lake.deploys.deploys`.
        relations: of the snapshot.
        now: nothing later is looked at.
        width_min: minutes compared on each side.
    """
    at, environment = deploy["deployed_at"], deploy["environment"]
    begin = at - dt.timedelta(minutes=width_min)
    end = min(now, at + dt.timedelta(minutes=GUARD_MIN + width_min + _GROUP_MAX_MIN))
    week_before = at - dt.timedelta(days=PLACEBO_DAYS)
    calls = topology.edges(MinuteFilter(*whole_minutes(begin, max(begin, end)), environment=environment), relations)
    errors = happened(ErrorFilter(week_before, max(end, week_before), environment=environment), relations)
    facts = Facts(
        minutes=_minutes(relations, at, end, width_min, environment),
        deploys=_deploys(relations, week_before - dt.timedelta(days=1), environment),
        calls=pl.DataFrame(calls.select(["source", "target"])),
        occurrences=pl.DataFrame(errors.select(_OCCURRENCE_COLUMNS)),
    )
    return impact(_of_row(deploy), facts, now, width_min=width_min)


def _minutes(
    relations: Relations, at: dt.datetime, end: dt.datetime, width_min: int, environment: str | None
) -> pl.DataFrame:
    """The minutes around the deploy, and around the same clock time on the days before."""
    reach = dt.timedelta(minutes=max(PLACEBO_OFFSETS_MIN) + 1)
    begin = at - dt.timedelta(minutes=width_min)
    parts = []
    for day in range(PLACEBO_DAYS + 1):
        ago = dt.timedelta(days=day)
        since, until = (begin, end) if not day else (begin - ago - reach, end - ago + reach)
        rows = relations.rows("endpoint_minutes", _MINUTE_COLUMNS, since=since, until=until)
        minute = rows.column("minute")
        wanted = pc.and_(
            pc.greater_equal(minute, pa.scalar(since, minute.type)), pc.less(minute, pa.scalar(until, minute.type))
        )
        wanted = pc.and_(wanted, rows.column("is_request"))
        if environment is not None:
            wanted = pc.and_(wanted, pc.fill_null(pc.equal(rows.column("environment"), environment), False))
        parts.append(rows.filter(wanted))
    return pl.DataFrame(pa.concat_tables(parts))


def _deploys(relations: Relations, since: dt.datetime, environment: str | None) -> list[Deploy]:
    """The deploys since a time to an environment or to none that is named."""
    rows = deploys.deploys(relations).to_pylist()
    return [
        _of_row(row)
        for row in rows
        if row["deployed_at"] >= since and (environment is None or row["environment"] in (environment, None))
    ]


def _of_row(row: Mapping[str, Any]) -> Deploy:
    return Deploy(row["id"], row["deployed_at"], row["service_name"], row["version"])
