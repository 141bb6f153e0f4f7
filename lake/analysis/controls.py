"""Controls: endpoints that a deploy has nothing to do with, and what they did meanwhile.

Takes   minutes of endpoints, deploys and who calls whom.
Gives   the changes of the controls in the windows of the deploy and of its placebos.
Refuses nothing; there may be none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from .compare import log_changes
from .counts import Minutes, in_windows
from .effects import MIN_CONTROL_REQUESTS, Booleans
from .facts import Facts
from .quantiles import Floats
from .verdicts import QUANTILES, Metric
from .windows import Windows, minute_of, undisturbed

MAX_CONTROLS = 40
"""Endpoints that are controls at most, those with the most requests: more make the mean no better."""


@dataclass(frozen=True, slots=True)
class Controls:
    """Endpoints of services that nothing was done to."""

    changes: dict[Metric, Floats]
    """By quantile: (control, window)."""
    errors: Floats
    """(control, window, side)."""
    requests: Floats
    quiet: Booleans
    """(control, window): no deploy of its own in it."""

    @classmethod
    def of(cls, minutes: list[Minutes], quiet: list[Booleans], windows: Windows) -> Controls:
        """Of some endpoints that have requests enough.

        Args:
            minutes: of each one.
            quiet: (window,) of each one.
            windows: of the deploy.
        """
        counts = [in_windows(one, windows) for one in minutes]
        return cls(
            {name: _stacked([log_changes(c.histograms, q, c.first_bin) for c in counts]) for name, q in QUANTILES.items()},
            _stacked([c.errors.sum(-1) for c in counts], 2),
            _stacked([c.requests.sum(-1) for c in counts], 2),
            _stacked(quiet).astype(np.bool_),
        )

    @property
    def usable(self) -> Booleans:
        """(control, window)."""
        found: Booleans = self.quiet & (self.requests >= MIN_CONTROL_REQUESTS).all(-1)
        return found


def _stacked(values: list[Floats] | list[Booleans], further: int = 1) -> Floats:
    return np.stack(values) if values else np.zeros((0, 1, 2)[: further + 1])


def controls_of(service: str, facts: Facts, windows: Windows) -> Controls:
    """Endpoints of services that had no deploy in the windows of one of this service, and have no part in what it does.

    A service that waits for this one, over however many others, is slow when it is; one that it waits for has as much work
    as it gives it. Neither shows what happens anyway.
    """
    begin, end = windows.span
    deployed = {d.service for d in facts.deploys if begin <= minute_of(d.deployed_at) < end}
    if None in deployed:  # a deploy of every service
        return Controls.of([], [], windows)
    away = facts.callers_of(service) | facts.callees_of(service) | {service} | deployed
    rows = facts.minutes.filter(pl.col("service_name").is_not_null() & ~pl.col("service_name").is_in(list(away)))
    inside = (pl.col("minute").dt.epoch("s") // 60).is_between(begin, end, closed="left")
    busiest = (
        rows.filter(inside)
        .group_by("service_name", "endpoint")
        .agg(pl.col("span_count").sum())
        .filter(pl.col("span_count") >= 2 * MIN_CONTROL_REQUESTS)
        .sort("span_count", "service_name", "endpoint", descending=[True, False, False])
        .head(MAX_CONTROLS)
    )
    chosen = rows.join(busiest, on=["service_name", "endpoint"], how="semi").sort("service_name", "endpoint")
    found, quiet = [], []
    for (name, _), minutes in chosen.group_by("service_name", "endpoint", maintain_order=True):
        times = [d.deployed_at for d in facts.deploys if d.service in (name, None)]
        found.append(Minutes.of(minutes))
        quiet.append(np.append(True, undisturbed(windows, times)))
    return Controls.of(found, quiet, windows)
