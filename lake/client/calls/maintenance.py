"""Calls about maintenance: how the lake is kept."""

from __future__ import annotations

from ..call import Call, get
from ..models.maintenance import MaintenanceReport


def get_maintenance() -> Call[MaintenanceReport]:
    """The jobs that keep the lake and those of the server, what they did, and what waits."""
    return get("/v1/maintenance", MaintenanceReport)
