"""Health: whether this worker can do its work; asked without a key."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from litestar import Request, Response, route
from sqlalchemy.exc import SQLAlchemyError

from .reference import described
from .state import Server


@route(
    "/health",
    http_method=["GET", "HEAD", "POST"],
    status_code=200,
    summary="Health check, without a key",
    operation_class=described('{"status": "ok"}', needs_key=False),
)
async def health(request: Request[Any, Any, Any], server: Server) -> Response[Any]:
    """With `?verbose=1` also the uptime. POST too: the Ruby gem asks that way."""
    details = {"uptime_seconds": int(time.time() - request.app.state.started_at_s)}
    try:
        await asyncio.to_thread(server.control.list_projects)
    except SQLAlchemyError:
        unhealthy = {"status": "unhealthy", "error": "Database unreachable"}
        return Response(unhealthy | details | {"db_ok": False}, status_code=503)
    is_verbose = request.query_params.get("verbose", "0") not in ("0", "false", "")
    return Response({"status": "ok"} | (details | {"db_ok": True} if is_verbose else {}))
