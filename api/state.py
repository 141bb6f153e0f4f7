"""State: what the handlers of one worker process share."""

from __future__ import annotations

from dataclasses import dataclass

from lake.control import Control
from lake.control.process import ProcessIdentity

from .bodies import Bodies
from .rates import Rates
from .settings import ServerSettings
from .sql_runner import SqlRunner
from .tenants import Tenants
from .traffic import TrafficLedger


@dataclass(frozen=True, slots=True)
class Server:
    """One worker process."""

    settings: ServerSettings
    control: Control
    identity: ProcessIdentity
    rates: Rates
    traffic: TrafficLedger
    tenants: Tenants
    bodies: Bodies
    sql: SqlRunner
    cursor_secret: bytes
    """Signs cursors; the same in every worker and after a restart."""

    def rate_limit(self, of_key: int | None) -> int:
        """Requests a minute.

        Args:
            of_key: limit of a key's own, None if it has none.
        """
        return of_key or self.settings.rate_limit_per_minute
