"""Effects: what changed at a deploy beyond what changes anyway, and how sure that is.

Takes   differences after - before (log quantiles, log odds) of the deploy and of placebo deploys, of the endpoint and of
        controls; any number of tests at once in the leading axes.
Gives   the effect with its interval, p-value and the smallest effect that would be seen.
Refuses nothing; what cannot be reckoned is NaN.

The idea: latencies drift and have hours of day, so a before-after test of requests as if they were independent finds
"regressions" every hour. Two things make the question a fair one. What moves every service at once is subtracted
(difference in differences). What moves an endpoint anyway is measured, on the same clock times of the days before, where
nothing was deployed (placebos in time), and the deploy must stand out from that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from .quantiles import Floats

Booleans = npt.NDArray[np.bool_]

ALPHA = 0.05
POWER = 0.80

MIN_DAYS = 3
"""Days with placebos that are needed to know how an endpoint moves anyway."""

MIN_CONTROLS = 3
MIN_CONTROL_REQUESTS = 200
"""In each window; a control with fewer adds more noise than it takes away."""

MIN_SHARED_ERRORS = 20
"""Errors of all controls together, below which they tell nothing of a disturbance that all services share."""


@dataclass(frozen=True, slots=True)
class Test:
    """The answer to: is this difference more than what happens anyway? All arrays have the shape of the question."""

    effect: Floats
    """The difference less the mean of the placebos."""
    spread: Floats
    """Standard error of the effect."""
    t: Floats
    freedom: Floats
    """Degrees of freedom of t."""
    p_value: Floats
    """Two-sided."""
    low: Floats
    """Lower end of the 95 % interval."""
    high: Floats
    p_higher: Floats
    """Probability that the effect is above 0: the distribution of t under a flat prior."""
    detectable: Floats
    """The smallest effect that is found with a probability of 80 %."""
    days: npt.NDArray[np.int64]
    """Days with placebos."""


def less_controls(theta: Floats, controls: Floats, usable: Booleans) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Subtract from each difference the mean one of untouched services, where there are enough of them.

    Difference in differences with weight 1: Angrist and Pischke, "Mostly Harmless Econometrics", chapter 5. A weight that is
    estimated is pulled towards 0 by the noise of the controls, and then a slowdown of all is blamed on the deploy.

    Args:
        theta: (..., window).
        controls: (..., control, window).
        usable: the same shape: which of them count.

    Returns:
        (..., window) differences, NaN where too few controls are usable; (..., window) how many were.
    """
    usable = usable & np.isfinite(controls)
    count = usable.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(usable, controls, 0).sum(-2) / count
    return np.where(count >= MIN_CONTROLS, theta - mean, np.nan), count


def placebo_test(theta: Floats, placebos: Floats, day: npt.NDArray[np.int64], floor: Floats) -> Test:
    """Compare a difference with those of placebo deploys.

    After Abadie, Diamond, Hainmueller, "Synthetic control methods for comparative case studies", JASA 105 (2010), section
    on placebo studies in time: the centre takes away what happens every day at that hour, the spread is what chance and
    drift do. As the placebos of one day overlap they count as about two independent ones: 2 days - 1 degrees of freedom.

    Args:
        theta: (...), of the deploy.
        placebos: (..., placebo); NaN where one is not usable.
        day: (placebo,), the day each belongs to.
        floor: (...), standard error of theta from requests alone: the spread cannot be less.
    """
    usable = np.isfinite(placebos)
    count = usable.sum(-1)
    days = np.stack([usable[..., day == d].any(-1) for d in np.unique(day)], -1).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.where(usable, placebos, 0).sum(-1) / count
        squares = np.where(usable, (placebos - centre[..., None]) ** 2, 0).sum(-1)
        spread = np.sqrt(squares / (count - 1))
        spread = np.maximum(spread, floor) * np.sqrt(1 + 1 / days)
        return _test(theta - centre, spread, 2.0 * days - 1, days)


def block_test(theta: Floats, error: Floats, freedom: Floats | float) -> Test:
    """The test where too few days are known: the standard error is that of blocks of ten minutes.

    Args:
        theta: (...).
        error: (...), standard error from blocks.
        freedom: blocks of both sides - 2.
    """
    freedom = np.broadcast_to(np.asarray(freedom, np.float64), theta.shape)
    return _test(theta, error, freedom, np.zeros(theta.shape, np.int64))


def _test(effect: Floats, spread: Floats, freedom: Floats, days: npt.NDArray[np.int64]) -> Test:
    """Student's t of an effect, and what follows from it."""
    known = freedom > 0
    freedom = np.where(known, freedom, np.nan)
    spread = np.where(known & (spread > 0), spread, np.nan)
    t = effect / spread
    reach = stats.t.ppf(1 - ALPHA / 2, freedom)
    return Test(
        effect=effect,
        spread=spread,
        t=t,
        freedom=freedom,
        p_value=2 * stats.t.sf(np.abs(t), freedom),
        low=effect - reach * spread,
        high=effect + reach * spread,
        p_higher=stats.t.cdf(t, freedom),
        # Bloom, "Minimum detectable effects", Evaluation Review 19 (1995)
        detectable=(reach + stats.t.ppf(POWER, freedom)) * spread,
        days=days,
    )


def log_odds(errors: Floats, count: Floats) -> Floats:
    """The empirical logit of a share, finite for none and for all: Cox and Snell, "Analysis of Binary Data", 2.1.6.

    Args:
        errors: (...); standardised counts need not be whole.
        count: (...).
    """
    found: Floats = np.log((errors + 0.5) / (count - errors + 0.5))
    return found


def standardised_errors(errors: Floats, count: Floats, count_after: Floats) -> Floats:
    """The errors that the side before would have had in the mix of the side after.

    Args:
        errors: (..., stratum), of the side before.
        count: the same, its requests.
        count_after: the same, requests of the side after.
    """
    has_like = count >= 1
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(has_like, errors / count, 0)
        share = np.where(has_like, count_after, 0)
        share = share / share.sum(-1, keepdims=True)
    found: Floats = (rate * share).sum(-1) * count.sum(-1)
    return found


def quasi_binomial_error(errors: Floats, count: Floats) -> Floats:
    """Standard error of a difference of log odds where errors come in bursts.

    The binomial variance times phi, Pearson's chi-square of the blocks over its degrees of freedom, at least 1: McCullagh
    and Nelder, "Generalized Linear Models", 2nd ed., section 4.5.

    Args:
        errors: (..., side, block).
        count: the same.
    """
    filled = count > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = errors.sum(-1, keepdims=True) / count.sum(-1, keepdims=True)
        expected = count * rate
        chi_square = np.where(filled & (rate > 0) & (rate < 1), (errors - expected) ** 2 / (expected * (1 - rate)), 0)
        freedom = filled.sum((-2, -1)) - 2
        phi = np.maximum(1, chi_square.sum((-2, -1)) / freedom)
    wrong, total = errors.sum(-1), count.sum(-1)
    variance = (1 / (wrong + 0.5) + 1 / (total - wrong + 0.5)).sum(-1)
    found: Floats = np.sqrt(np.where(freedom > 0, phi, 1) * variance)
    return found
