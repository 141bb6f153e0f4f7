"""State: what the handlers of one worker process share."""

from __future__ import annotations

from dataclasses import dataclass

from lake.control import Control

from .bodies import Bodies
from .rates import Rates
from .settings import ServerSettings
from .tenants import Tenants


@dataclass(frozen=True, slots=True)
class Server:
    """One worker process."""

    settings: ServerSettings
    control: Control
    rates: Rates
    tenants: Tenants
    bodies: Bodies
    cursor_secret: bytes
    """Signs cursors; the same in every worker and after a restart."""
