"""Removed: what was once there, and what to use now.

Takes   anything under `/v2`.
Gives   nothing.
Refuses it with 404, in the shape of every error, and says where to go.
"""

from __future__ import annotations

from litestar import route

from .problems import NotFound


@route(["/v2", "/v2/{rest:path}"], http_method=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def removed_v2() -> None:
    """Name the migration."""
    raise NotFound("API v2 was removed: the same resources are under /v1; see 'Migrating from v2' in docs/http-api.md")


ROUTES = [removed_v2]
