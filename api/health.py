"""Health: whether this worker can do its work; asked without a key."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from litestar import Request, Response, route
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy.exc import SQLAlchemyError

from .answers import Answer
from .reference import described, query
from .state import Server


class Health(Answer, kw_only=True, frozen=True):
    """Whether the server can do its work."""

    status: Literal["ok"]
    uptime_seconds: Annotated[int | UnsetType, Meta(description="Only with `verbose`")] = UNSET
    db_ok: Annotated[bool | UnsetType, Meta(description="Only with `verbose`")] = UNSET


@route(
    "/health",
    http_method=["GET", "HEAD", "POST"],
    status_code=200,
    summary="Health check, without a key",
    tags=["Health"],
    operation_class=described(
        "It can", answer=Health, needs_key=False, parameters=[query("verbose", "1 for the details too")]
    ),
)
async def health(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """With `?verbose=1` also the uptime. POST too: the Ruby gem asks that way."""
    uptime_s = int(time.time() - request.app.state.started_at_s)
    try:
        await asyncio.to_thread(server.control.list_projects)
    except SQLAlchemyError:
        unhealthy = {"status": "unhealthy", "error": "Database unreachable", "uptime_seconds": uptime_s, "db_ok": False}
        return Response(unhealthy, status_code=503)
    is_verbose = request.query_params.get("verbose", "0") not in ("0", "false", "")
    return Response(Health(status="ok", uptime_seconds=uptime_s, db_ok=True) if is_verbose else Health(status="ok"))
