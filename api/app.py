"""App: the Litestar application of one worker process; composition and nothing else.

Takes   `ServerSettings` and the control database.
Gives   every route, the shapes of errors, and an orderly end: what came in is stored before the process goes.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from lake.control import Control

from . import ingest, traces
from .bodies import Bodies, Inflight
from .health import health
from .home import home
from .logs import configure_logging
from .problems import answer
from .reference import API_VERSION, openapi_config
from .secret import cursor_secret
from .settings import ServerSettings
from .state import Server
from .tenants import Tenants

_HEADERS = [
    (b"x-api-version", API_VERSION.encode()),
    (b"cache-control", b"no-store"),  # an answer holds what one key may see
    (b"x-content-type-options", b"nosniff"),
]

_ROUTES = [health, *ingest.ROUTES, *traces.ROUTES]


def create_app(settings: ServerSettings) -> Litestar:
    """The application for some settings."""
    configure_logging()
    control = Control(settings.data, url=settings.control_url)
    tenants = Tenants(settings)
    server = Server(
        settings=settings,
        control=control,
        tenants=tenants,
        bodies=Bodies(Inflight(settings.lake.inflight_max_bytes), settings.lake.body_max_bytes, tenants.ingest_pool),
        cursor_secret=cursor_secret(settings.data),
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await server.tenants.close()
        control.close()

    return Litestar(
        route_handlers=[home, *_ROUTES],
        dependencies={"server": Provide(lambda: server, sync_to_thread=False)},
        exception_handlers={Exception: answer},
        lifespan=[lifespan],
        state=State({"started_at_s": time.time()}),
        openapi_config=openapi_config(_ROUTES),
        logging_config=None,  # api.logs decides
        request_max_body_size=None,  # lake.settings decides, before and after inflation (api.bodies)
    )


def create_asgi() -> ASGIApp:
    """What granian runs: the application for the settings of the environment."""
    return with_headers(create_app(ServerSettings.from_env(os.environ)))


def with_headers(app: ASGIApp) -> ASGIApp:
    """Give each answer its headers and each request an id, in its state too; around everything, so that 404 has them."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        number = f"req_{secrets.token_hex(5)}"
        scope["state"] = {**scope.get("state", {}), "request_id": number}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode()), *_HEADERS]
            await send(message)

        await app(scope, receive, send_with_headers)

    return middleware
