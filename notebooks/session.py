"""Session: the questions of the bundled notebooks, asked of a lake.

Takes   a lake, in a folder or on a server, and for most questions a `Look`: one endpoint of one service, in one stretch of
        time.
Gives   Polars frames; with nothing to look at (`None`) and on an empty lake, the same frames without rows.
Refuses a folder that holds no lake and a server that does not answer: `NoLake`, which a notebook shows as one sentence.

`lake.sql` answers everything else; these are the questions that would take a screen of SQL.
"""

from __future__ import annotations

import datetime as dt
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import polars as pl

import lake as lakes
from lake.client import RemoteLake
from lake.errors import LakeError, NotALake

DEFAULT_LAKE = "data/default/live"
AROUND = dt.timedelta(minutes=90)
"""How much before and after a deploy a `Look` takes in."""

_COMPARED = dt.timedelta(hours=1)
_ENOUGH_REQUESTS = 50
_STEPS_MINUTES = (1, 2, 5, 10, 15, 30, 60)
_REQUESTS_A_STEP = 10
_MAX_STEPS = 500


Lake = lakes.Lake | RemoteLake
"""A lake in a folder or on a server; both answer the same questions."""


class NoLake(NotALake):
    """There is no lake to open; the message says how to get one."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback, which would tell nothing more."""
        return [str(self)]


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at: the requests that one endpoint of a service answered in `[since, until)`."""

    service: str
    endpoint: str
    """Method and route, `POST /orders`; the name of the span where there is no route."""
    since: dt.datetime
    until: dt.datetime
    deployed_at: dt.datetime | None = None
    """The deploy that is the reason for looking."""

    def __str__(self) -> str:
        return f"{self.service}: {self.endpoint}"

    @property
    def where(self) -> dict[str, object]:
        """Values for a query."""
        return {"service": self.service, "endpoint": self.endpoint, "since": self.since, "until": self.until}


@overload
def open_lake(path: str | Path) -> lakes.Lake: ...


@overload
def open_lake(path: None = None) -> Lake: ...


def open_lake(path: str | Path | None = None) -> Lake:
    """The lake of this notebook.

    Without a path and with `TRACELAKE_URL` set it is the lake of the key in `TRACELAKE_KEY` on that server.

    Args:
        path: its folder; by default that of `TRACELAKE_LAKE`, which `tracelake serve` sets, else `data/default/live`.

    Raises:
        NoLake: the folder holds none, or the server does not answer.
    """
    if path is None and (url := os.environ.get("TRACELAKE_URL")):
        return _connected(url, os.environ.get("TRACELAKE_KEY", ""))
    folder = Path(path or os.environ.get("TRACELAKE_LAKE") or DEFAULT_LAKE)
    try:
        return lakes.open(folder)
    except NotALake as error:
        raise NoLake(
            f"{error}.\nA project has its lake once data has come: send some, then run this again."
            '\nIf yours lies elsewhere, name its folder, open_lake("data/shop/live"), or set TRACELAKE_LAKE.'
        ) from None


def _connected(url: str, key: str) -> RemoteLake:
    try:
        client = lakes.connect(url, key)
        try:
            client.snapshot()  # a wrong address or key is known here, and not in the middle of the notebook
        except LakeError:
            client.close()
            raise
    except LakeError as error:
        raise NoLake(
            f"{error}.\nThis notebook asks the server that TRACELAKE_URL names ({url}), with the key in TRACELAKE_KEY."
        ) from None
    return client


def overview(lake: Lake) -> pl.DataFrame:
    """What the lake holds: table, rows, and the times of the first and the last one."""
    return lake.sql(_OVERVIEW).pl()


def services(lake: Lake) -> pl.DataFrame:
    """Each service: spans, requests that it answered, share of them that failed, p50 and p95 in ms; the busiest first."""
    return lake.sql(_SERVICES).pl()


def largest_change(lake: Lake) -> Look | None:
    """The endpoint whose p95 grew most from the hour before a deploy of its service to the hour after.

    Where no deploy has enough requests on both sides: the busiest endpoint in the last three hours. None in a lake without
    requests. The largest of many differences is where to look first, and proves nothing by itself.
    """
    found = lake.sql(_CHANGES, {"around": _COMPARED, "enough": _ENOUGH_REQUESTS}).rows()
    if found:
        at = found[0]["deployed_at"]
        return Look(found[0]["service"], found[0]["endpoint"], at - AROUND, at + AROUND, at)
    found = lake.sql(_BUSIEST, {"window": 2 * AROUND}).rows()
    if not found:
        return None
    until = found[0]["latest"] + dt.timedelta(minutes=1)
    return Look(found[0]["service"], found[0]["endpoint"], until - 2 * AROUND, until)


def latency(lake: Lake, look: Look | None) -> pl.DataFrame:
    """The requests of a look by time: start, step_minutes, requests, errors, p50_ms, p95_ms.

    A step is one minute, or as many as it takes to have enough requests in it for a percentile.
    """
    look = look or _NOTHING
    by_minute = lake.sql(_REQUESTS_BY_MINUTE, look.where).pl()["requests"].cast(pl.Float64)
    busy = by_minute.median()
    minutes = (look.until - look.since) / dt.timedelta(minutes=1)
    step = step_minutes(busy if isinstance(busy, float) else 0.0, minutes)
    return lake.sql(_LATENCY, look.where | {"step": step}).pl()


def step_minutes(requests_a_minute: float, minutes: float) -> int:
    """Minutes in one step: the fewest that hold requests enough for a percentile, in not too many steps."""
    for step in _STEPS_MINUTES:
        if requests_a_minute * step >= _REQUESTS_A_STEP and minutes / step <= _MAX_STEPS:
            return step
    return max(_STEPS_MINUTES[-1], math.ceil(minutes / _MAX_STEPS))


def deploys(lake: Lake, look: Look | None) -> pl.DataFrame:
    """Deploys of all services in the time of a look: deployed_at, service, version, own (of the look's own service)."""
    return lake.sql(_DEPLOYS, (look or _NOTHING).where).pl()


def slow_trace(lake: Lake, look: Look | None) -> str | None:
    """The trace of a request that took as long as the p95 of the look, after the deploy if there is one: slow, not freak."""
    look = look or _NOTHING
    found = lake.sql(_SLOW, look.where | {"since": look.deployed_at or look.since}).rows()
    return str(found[0]["trace_id"]) if found else None


def trace(lake: Lake, trace_id: str | None) -> pl.DataFrame:
    """The spans of a trace by start; no rows if there is no such trace."""
    return lake.trace(trace_id or "").pl()


def recent_errors(lake: Lake, *, limit: int = 10) -> pl.DataFrame:
    """Errors, those seen last first: last_seen, first_seen, times, service, error, trace_id of the last one.

    Args:
        limit: how many different ones.
    """
    return lake.sql(_ERRORS, {"limit": limit}).pl()


_NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NOTHING = Look("", "", _NEVER, _NEVER)
"""Has no time, so every question about it has an answer without rows."""

_ENTRY = "(kind IN ('server', 'consumer') OR parent_span_id IS NULL)"
"""Spans that are a request to their service: what somebody waits for, not what it does meanwhile."""

_ENDPOINT = "CASE WHEN http_route IS NULL THEN name ELSE concat_ws(' ', http_method, http_route) END"

_LOOK = f"""FROM spans WHERE {_ENTRY} AND start_time >= $since AND start_time < $until
    AND coalesce(service_name, '') = $service AND {_ENDPOINT} = $endpoint"""

_OVERVIEW = """
    SELECT 'spans' AS "table", count(*) AS rows, min(start_time) AS first, max(start_time) AS last FROM spans
    UNION ALL SELECT 'errors', count(*), min(timestamp), max(timestamp) FROM errors
    UNION ALL SELECT 'deploys', count(*), min(deployed_at), max(deployed_at) FROM deploys
    UNION ALL SELECT 'requests', count(*), min(timestamp), max(timestamp) FROM requests
"""

_SERVICES = f"""
    SELECT service_name AS service, count(*) AS spans, count(*) FILTER ({_ENTRY}) AS requests,
        100 * count(*) FILTER ({_ENTRY} AND status = 'error') / nullif(count(*) FILTER ({_ENTRY}), 0) AS failed_percent,
        quantile_cont(duration_ns, 0.5) FILTER ({_ENTRY}) / 1e6 AS p50_ms,
        quantile_cont(duration_ns, 0.95) FILTER ({_ENTRY}) / 1e6 AS p95_ms
    FROM spans GROUP BY service ORDER BY spans DESC, service
"""

_CHANGES = f"""
    WITH compared AS (
        SELECT d.deployed_at, coalesce(s.service_name, '') AS service, {_ENDPOINT} AS endpoint,
            count(*) FILTER (start_time < deployed_at) AS before, count(*) FILTER (start_time >= deployed_at) AS after,
            quantile_cont(duration_ns, 0.95) FILTER (start_time < deployed_at) AS p95_before,
            quantile_cont(duration_ns, 0.95) FILTER (start_time >= deployed_at) AS p95_after
        FROM deploys d JOIN spans s ON d.service_name IS NULL OR d.service_name = s.service_name
        WHERE {_ENTRY} AND start_time >= deployed_at - $around::INTERVAL AND start_time < deployed_at + $around::INTERVAL
        GROUP BY ALL
    )
    SELECT deployed_at, service, endpoint FROM compared
    WHERE before >= $enough AND after >= $enough
    ORDER BY p95_after / greatest(p95_before, 1) DESC, deployed_at DESC, endpoint LIMIT 1
"""

_BUSIEST = f"""
    -- a clock that runs ahead does not decide what is recent
    WITH newest AS (SELECT coalesce(max(start_time) FILTER (start_time < now() + INTERVAL 1 HOUR), max(start_time)) AS latest
        FROM spans WHERE {_ENTRY})
    SELECT coalesce(service_name, '') AS service, {_ENDPOINT} AS endpoint, any_value(latest) AS latest FROM spans, newest
    WHERE {_ENTRY} AND start_time >= latest - $window::INTERVAL AND start_time <= latest
    GROUP BY service, endpoint ORDER BY count(*) DESC, service, endpoint LIMIT 1
"""

_REQUESTS_BY_MINUTE = f"SELECT count(*) AS requests {_LOOK} GROUP BY time_bucket(INTERVAL 1 MINUTE, start_time)"

_LATENCY = f"""
    SELECT time_bucket(to_minutes($step), start_time) AS start, $step::BIGINT AS step_minutes,
        count(*) AS requests, count(*) FILTER (status = 'error') AS errors,
        quantile_cont(duration_ns, 0.5) / 1e6 AS p50_ms, quantile_cont(duration_ns, 0.95) / 1e6 AS p95_ms
    {_LOOK} GROUP BY start ORDER BY start
"""

_DEPLOYS = """
    SELECT deployed_at, coalesce(service_name, 'all services') AS service,
        coalesce(version, left(git_sha, 7), '') AS version,
        coalesce(service_name = $service, true) AS own
    FROM deploys WHERE deployed_at >= $since AND deployed_at < $until AND $endpoint IS NOT NULL ORDER BY deployed_at, id
"""

_SLOW = f"""
    WITH requests AS (SELECT trace_id, duration_ns {_LOOK})
    SELECT trace_id FROM requests
    ORDER BY abs(duration_ns - (SELECT quantile_cont(duration_ns, 0.95) FROM requests)), trace_id LIMIT 1
"""

_ERRORS = """
    SELECT max(timestamp) AS last_seen, min(timestamp) AS first_seen, count(*) AS times,
        arg_max(service_name, timestamp) AS service,
        arg_max(exception_class || ': ' || message, timestamp) AS error, arg_max(trace_id, timestamp) AS trace_id
    FROM errors GROUP BY fingerprint ORDER BY last_seen DESC, fingerprint LIMIT $limit
"""
