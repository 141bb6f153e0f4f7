"""Deploys as the server shows them."""

from __future__ import annotations

import datetime as dt

from msgspec import Struct


class Predecessor(Struct, frozen=True, kw_only=True):
    """The deploy of the same service and environment before another one."""

    id: str
    version: str | None = None
    git_sha: str | None = None
    deployed_at: dt.datetime


class Deploy(Struct, frozen=True, kw_only=True):
    """A deploy."""

    id: str
    version: str | None = None
    git_sha: str | None = None
    deployed_at: dt.datetime
    service: str | None = None
    """None: of all services."""
    environment: str | None = None
    deployer: str | None = None
    description: str | None = None
    predecessor: Predecessor | None = None
