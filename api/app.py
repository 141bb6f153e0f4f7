"""App: the Litestar application of one worker process; composition and nothing else.

Takes   `ServerSettings` and the control database.
Gives   every route, the shapes of errors, and an orderly end: what came in is stored before the process goes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from litestar import Litestar, MediaType, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from lake.control import Control
from lake.control.heartbeat import Heartbeat
from lake.control.nodes import Description
from lake.control.process import claim
from lake.sandbox.parent import Sandbox

from . import (
    alert_rules,
    alerts,
    deliveries,
    deploys,
    errors,
    ingest,
    keys,
    maintenance,
    metrics,
    nodes,
    removed,
    search,
    services,
    sql,
    traces,
)
from .bodies import Bodies, Inflight
from .headers import with_headers
from .health import health
from .home import home
from .limits import with_limits
from .logs import configure_logging
from .measured import with_measures
from .problems import answer
from .rates import Rates
from .reference import openapi_config
from .secret import cursor_secret
from .segments import with_segments
from .settings import SELF_TRACE_KEY, ServerSettings, url_of
from .sql_runner import SqlRunner
from .state import Server
from .tenants import Tenants
from .traffic import TrafficLedger, keep_noted

DESCRIBED_ROUTES = [
    health,
    *alert_rules.ROUTES,
    *alerts.ROUTES,
    *deliveries.ROUTES,
    *deploys.ROUTES,
    *errors.ROUTES,
    *ingest.ROUTES,
    *keys.ROUTES,
    *maintenance.ROUTES,
    *metrics.ROUTES,
    *nodes.ROUTES,
    *search.ROUTES,
    *services.ROUTES,
    *sql.ROUTES,
    *traces.ROUTES,
]


def open_server(settings: ServerSettings, *, sandbox: Sandbox | None = None) -> Server:
    """What the handlers share, for some settings.

    Args:
        sandbox: where SQL runs; by default a new one.
    """
    tenants = Tenants(settings)
    control = Control(settings.data, url=settings.control_url)
    identity = claim(settings.data, "api")
    return Server(
        settings=settings,
        control=control,
        identity=identity,
        rates=Rates(settings.data),
        traffic=TrafficLedger(control.nodes, identity.node_id),
        tenants=tenants,
        bodies=Bodies(Inflight(settings.lake.inflight_max_bytes), settings.lake.body_max_bytes, tenants.ingest_pool),
        sql=SqlRunner(settings, sandbox or Sandbox()),
        cursor_secret=cursor_secret(settings.data),
    )


def create_app(server: Server) -> Litestar:
    """The application of a worker."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        noting = asyncio.create_task(keep_noted(server.traffic, _heartbeat(server), server.control.nodes))
        yield
        noting.cancel()
        await asyncio.wait([noting])
        server.sql.close()
        await server.tenants.close()
        await server.traffic.flush()
        server.identity.close()
        server.rates.close()
        server.control.close()

    return Litestar(
        route_handlers=[home, *removed.ROUTES, *DESCRIBED_ROUTES],
        dependencies={"server": Provide(lambda: server, sync_to_thread=False)},
        exception_handlers={Exception: answer},
        before_request=options,
        lifespan=[lifespan],
        state=State({"started_at_s": time.time()}),
        openapi_config=openapi_config(DESCRIBED_ROUTES),
        logging_config=None,  # api.logs decides
        request_max_body_size=None,  # lake.settings decides, before and after inflation (api.bodies)
    )


async def options(request: Request[Any, Any, Any]) -> Response[None] | None:
    """The answer to OPTIONS; None for other methods.

    Litestar's own names the methods of the first function of a path only, where several share it.
    """
    if request.method != "OPTIONS":
        return None
    [methods] = [route.methods for route in request.app.routes if route.path_format == request.scope["path_template"]]
    return Response(None, status_code=204, headers={"Allow": ", ".join(sorted(methods))}, media_type=MediaType.TEXT)


def _heartbeat(server: Server) -> Heartbeat:
    """What a worker says of itself."""
    settings = server.settings
    said = Description(
        cluster=settings.cluster,
        region=settings.region or None,
        version=version("tracelake"),
        address=f"{settings.host}:{settings.port}",
        config={
            "workers": settings.workers,
            "rate_limit_per_minute": settings.rate_limit_per_minute,
            "body_max_bytes": settings.lake.body_max_bytes,
            "inflight_max_bytes": settings.lake.inflight_max_bytes,
        },
    )
    return Heartbeat(server.control, server.identity, said)


def self_traced(app: ASGIApp, server: Server, key: str) -> ASGIApp:
    """The application with its requests traced into a lake of this server.

    Args:
        key: that the spans are sent with.
    """
    from .self_trace import SelfTrace  # noqa: PLC0415 - who does not trace needs no SDK

    return SelfTrace(url_of(server.settings), key, server.identity.node_id).around(app)


def create_asgi() -> ASGIApp:
    """What granian runs: the application for the settings of the environment."""
    configure_logging()
    settings = ServerSettings.from_env(os.environ)
    server = open_server(settings)
    measured = with_measures(create_app(server))
    if key := os.environ.get(SELF_TRACE_KEY):
        measured = self_traced(measured, server, key)
    limited = with_limits(measured, server.control, server.rates, default_limit=settings.rate_limit_per_minute)
    return with_headers(with_segments(limited))
