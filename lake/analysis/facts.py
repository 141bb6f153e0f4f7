"""Facts: what a deploy report is made of.

Takes   nothing.
Gives   `Deploy` and `Facts`, and who waits for whom.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Deploy:
    """A deploy."""

    id: str
    deployed_at: dt.datetime
    service: str | None = None
    """None: of every service whose version changed then."""
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known around a deploy; of one environment, or deploys of one would look like those of another."""

    minutes: pl.DataFrame
    """Rows of `endpoint_minutes` from `windows.REACH` before the deploy to the end of its window; with `stratum` where
    requests are told apart by something that a deploy cannot change: route, tenant, size, region."""
    deploys: Sequence[Deploy]
    """All of that time, the reported one too."""
    calls: pl.DataFrame
    """source, target: who calls whom."""
    occurrences: pl.DataFrame
    """service_name, fingerprint, exception_class, message, timestamp: errors, each once."""

    def callers_of(self, service: str) -> set[str]:
        """The services that wait for one, over any number of others."""
        return self._reached(service, "target", "source")

    def callees_of(self, service: str) -> set[str]:
        """The services that one waits for, over any number of others."""
        return self._reached(service, "source", "target")

    def _reached(self, service: str, origin: str, end: str) -> set[str]:
        found, new = {service}, {service}
        while new:
            new = set(self.calls.filter(pl.col(origin).is_in(list(new)))[end].drop_nulls()) - found
            found |= new
        return found - {service}
