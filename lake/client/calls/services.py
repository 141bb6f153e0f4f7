"""Calls about services; what they count, they count by whole minutes."""

from __future__ import annotations

import datetime as dt

from ..call import Call, get, time
from ..models.paging import Page
from ..models.services import Endpoint, Service, TopologyAnswer


def list_services(*, time_window: str | None = None, cluster: str | None = None) -> Call[Page[Service]]:
    """All services that had spans in a window until now, by name.

    Args:
        time_window: `1h` (without it), `6h` or `24h`.
        cluster: only this one; spans that name none are of `default`.
    """
    return get("/v1/services", Page[Service], time_window=time_window, cluster=cluster)


def get_topology(*, time_window: str | None = None, cluster: str | None = None) -> Call[TopologyAnswer]:
    """Which services call which in a window until now, and what else they call: databases, queues, other addresses.

    Args:
        time_window: `1h` (without it), `6h` or `24h`.
        cluster: only this one; spans that name none are of `default`.
    """
    return get("/v1/topology", TopologyAnswer, time_window=time_window, cluster=cluster)


def list_endpoints(
    *,
    service: str | None = None,
    environment: str | None = None,
    cluster: str | None = None,
    start_time: dt.datetime | None = None,
    end_time: dt.datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[Endpoint]]:
    """One page of what services do and call in `[start_time, end_time)`; by service, endpoint and kind.

    Args:
        start_time: without it an hour before `end_time`.
        end_time: without it now.
        limit: endpoints of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    return get(
        "/v1/endpoints",
        Page[Endpoint],
        service=service,
        environment=environment,
        cluster=cluster,
        start_time=time("start_time", start_time),
        end_time=time("end_time", end_time),
        limit=limit,
        cursor=cursor,
    )
