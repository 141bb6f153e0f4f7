"""Verdicts: what a test means for somebody who has to decide.

Takes   tests of one report.
Gives   q-values and one of six verdicts for each.
Refuses nothing.

A verdict needs more than significance: the change must be of a size that matters, and where controls, history or quiet were
missing it is only suspected. What is never said is "no regression": a report says which size it has excluded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from .quantiles import Floats

Verdict = Literal["regressed", "improved", "suspect", "no evidence", "inconclusive", "insufficient data"]

Metric = Literal["p50", "p95", "p99", "errors"]

QUANTILES: dict[Metric, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

JUDGED: tuple[Metric, ...] = ("p50", "p95", "errors")
"""p99 is shown with its interval and never judged."""

ENOUGH: dict[Metric, int] = {"p50": 200, "p95": 500, "p99": 2000, "errors": 200}
"""Requests on each side."""

MIN_MINUTES = 10
"""Distinct minutes with requests on each side."""

MIN_ERRORS = 5
"""On one side at least."""

ALPHA = 0.05
MIN_CHANGE = 0.05
MIN_CHANGE_MS = 2.0
MIN_RATE_RATIO = 1.25
MIN_RATE_CHANGE = 0.002
EXCLUDED_CHANGE = 0.10
"""An interval inside of -+ this is "no evidence" of a change."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric of one endpoint, as far as a verdict needs it."""

    metric: Metric
    before: float
    """ms, or share of requests that failed; in the mix of the requests after."""
    ratio: float
    """after / before that is due to the deploy."""
    low: float
    high: float
    q_value: float
    """NaN for what is not judged."""
    enough: bool
    """Whether there are requests, minutes and errors enough."""
    well_founded: bool
    """Controls and history were there, and no other deploy that could explain it."""


def q_values(p_values: Sequence[float]) -> Floats:
    """The false discovery rate at which each test would be called: NaN where there is no p-value.

    Benjamini and Hochberg, "Controlling the false discovery rate", JRSS B 57 (1995).
    """
    values = np.asarray(p_values, np.float64)
    known = np.isfinite(values)
    found = np.full(values.shape, np.nan)
    if known.any():
        found[known] = stats.false_discovery_control(values[known])
    return found


def verdict(finding: Finding) -> Verdict:
    """The verdict on one finding."""
    if not finding.enough:
        return "insufficient data"
    if not all(map(math.isfinite, (finding.ratio, finding.low, finding.high))):
        return "inconclusive"
    if finding.q_value < ALPHA and _matters(finding, finding.ratio):
        if not finding.well_founded:
            return "suspect"
        return "regressed" if finding.ratio > 1 else "improved"
    return "no evidence" if _excludes(finding) else "inconclusive"


def _matters(finding: Finding, ratio: float) -> bool:
    """Whether a change is of a size that somebody would act upon."""
    change = abs(ratio - 1) * finding.before
    if finding.metric == "errors":
        return change >= MIN_RATE_CHANGE and max(ratio, 1 / ratio if ratio else math.inf) >= MIN_RATE_RATIO
    return abs(ratio - 1) >= MIN_CHANGE and change >= MIN_CHANGE_MS


def _excludes(finding: Finding) -> bool:
    """Whether the interval has no change in it that is large."""
    if finding.metric == "errors":
        return not any(_matters(finding, end) for end in (finding.low, finding.high))
    return finding.low >= 1 - EXCLUDED_CHANGE and finding.high <= 1 + EXCLUDED_CHANGE
