"""App: the Litestar application of one worker process; composition and nothing else.

Takes   `ServerSettings` and the control database.
Gives   every route, the shapes of errors, and an orderly end: what came in is stored before the process goes.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, route
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sqlalchemy.exc import SQLAlchemyError

from lake.control import Control

from . import ingest, traces
from .bodies import Inflight
from .home import home
from .logs import configure_logging
from .problems import answer
from .secret import cursor_secret
from .settings import ServerSettings
from .state import Server
from .tenants import Tenants

API_VERSION = "3.2.1"
"""Version of the reference that `/v1` serves."""


def create_app(settings: ServerSettings) -> Litestar:
    """The application for some settings."""
    configure_logging()
    control = Control(settings.data, url=settings.control_url)
    server = Server(
        settings=settings,
        control=control,
        tenants=Tenants(settings),
        inflight=Inflight(settings.lake.inflight_max_bytes),
        cursor_secret=cursor_secret(settings.data),
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await server.tenants.close()
        control.close()

    return Litestar(
        route_handlers=[home, health, *ingest.ROUTES, *traces.ROUTES],
        dependencies={"server": Provide(lambda: server, sync_to_thread=False)},
        exception_handlers={Exception: answer},
        lifespan=[lifespan],
        state=State({"started_at_s": time.time()}),
        openapi_config=OpenAPIConfig(title="Tracelake", version=API_VERSION),
        request_max_body_size=None,  # lake.settings decides, before and after inflation (api.bodies)
    )


def create_asgi() -> ASGIApp:
    """What granian runs: the application for the settings of the environment."""
    return with_request_id(create_app(ServerSettings.from_env(os.environ)))


def with_request_id(app: ASGIApp) -> ASGIApp:
    """Give each request an id, in its state and in the header of its answer; around everything, so that 404 has one too."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        number = f"req_{secrets.token_hex(5)}"
        scope["state"] = {**scope.get("state", {}), "request_id": number}

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(b"x-request-id", number.encode()), (b"x-api-version", API_VERSION.encode())]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await app(scope, receive, send_with_id)

    return middleware


@route("/health", http_method=["GET", "HEAD", "POST"], status_code=200, summary="Health check, without a key")
async def health(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """`{"status": "ok"}`; with `?verbose=1` also the uptime. POST too: the Ruby gem asks that way."""
    try:
        await asyncio.to_thread(server.control.list_projects)
    except SQLAlchemyError:
        return Response({"status": "unhealthy", "error": "Database unreachable", "db_ok": False}, status_code=503)
    content: dict[str, Any] = {"status": "ok"}
    if request.query_params.get("verbose"):
        content |= {"uptime_seconds": int(time.time() - request.app.state.started_at_s), "db_ok": True}
    return Response(content)
