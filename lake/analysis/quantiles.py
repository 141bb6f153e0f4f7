"""Quantiles: of binned durations, for one mix of requests, and how far chance may move them.

Takes   counts in the 2 % bins of `lake.derived.histogram`, any number of histograms at once in the leading axes.
Gives   logarithms of quantiles in nanoseconds, and standard errors of those.
Refuses nothing; a histogram without entries has the quantile NaN.

Everything is reckoned, nothing drawn by lot: the same counts give the same answer twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..derived.histogram import GROWTH

Floats = npt.NDArray[np.float64]

LOG_GROWTH = math.log(GROWTH)

MIN_STRATUM = 20
"""Requests that a stratum has on either side, or it is pooled with the other small ones: a weight of a third on five
requests would be noise."""


@dataclass(frozen=True, slots=True)
class Mix:
    """The requests before a deploy, weighted as if they had come in the mix of those after it.

    Direct standardisation: Rothman, Greenland, Lash, "Modern Epidemiology", 3rd ed., chapter 4. Small strata are one.
    """

    before: Floats
    """(..., bin): shares of the weighted requests before."""
    after: Floats
    """(..., bin): shares of the requests after that have a like before."""
    weight: Floats
    """(..., stratum + 1): what one request before counts in each stratum; the last one is the pool of the small."""
    pooled: npt.NDArray[np.bool_]
    """(..., stratum): which strata are in the pool."""
    distance: Floats
    """(...): total variation distance of the two mixes, from 0 (the same) to 1 (nothing in common)."""


def mixed(before: Floats, after: Floats) -> Mix:
    """Weigh the requests before like those after.

    Args:
        before: (..., stratum, bin), counts.
        after: the same.
    """
    count_before, count_after = before.sum(-1), after.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [_of_total(count) for count in (count_before, count_after)]
        pooled = np.minimum(count_before, count_after) < MIN_STRATUM
        if before.shape[-2] == 1:
            pooled = np.zeros_like(pooled)
        counts = [_with_pool(count, pooled) for count in (count_before, count_after)]
        known = counts[0] > 0
        weight = np.where(known, counts[1] / counts[0] / np.where(known, counts[1], 0).sum(-1, keepdims=True), 0)
        per_stratum = np.where(pooled, weight[..., -1:], weight[..., :-1])
        has_like = np.where(pooled, known[..., -1:], known[..., :-1])
        weighted = np.einsum("...s,...sb->...b", per_stratum, before)
        alike = np.einsum("...s,...sb->...b", has_like.astype(np.float64), after)
        alike = _of_total(alike)
    return Mix(weighted, alike, weight, pooled, np.abs(shares[0] - shares[1]).sum(-1) / 2)


def _of_total(counts: Floats) -> Floats:
    found: Floats = counts / counts.sum(-1, keepdims=True)
    return found


def _with_pool(counts: Floats, pooled: npt.NDArray[np.bool_]) -> Floats:
    """(..., stratum + 1): the strata that stand for themselves, and the sum of the others."""
    small = np.where(pooled, counts, 0)
    return np.concatenate((counts - small, small.sum(-1, keepdims=True)), -1)


def log_quantile(weights: Floats, share: Floats | float, first_bin: int) -> Floats:
    """The natural logarithm of a quantile in nanoseconds, linear within its bin on the logarithmic scale.

    The inverse of the distribution function whose steps are spread over their bins: the error is that of the bin, at most
    2 %, and moves little between two histograms of like shape.

    Args:
        weights: (..., bin), not negative.
        share: (...) or one for all, from 0 to 1.
        first_bin: number of the first bin.
    """
    below = np.cumsum(weights, -1)
    rank = np.asarray(share) * below[..., -1]
    # the first bin that reaches the rank and has something in it
    place = np.minimum((below < rank[..., None]).sum(-1), weights.shape[-1] - 1)
    mass = np.take_along_axis(weights, place[..., None], -1)[..., 0]
    reached = np.take_along_axis(below, place[..., None], -1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = 1 - (reached - rank) / mass
        found: Floats = np.where(below[..., -1] > 0, (first_bin + place + np.clip(inside, 0, 1)) * LOG_GROWTH, np.nan)
    return found


def share_below(weights: Floats, log_value: Floats, first_bin: int) -> Floats:
    """The weight below a value, the inverse of `log_quantile` where that is one.

    Args:
        weights: (..., bin).
        log_value: (...), logarithm of nanoseconds.
        first_bin: number of the first bin.
    """
    place = np.nan_to_num(log_value / LOG_GROWTH - first_bin)
    inside = np.clip(place[..., None] - np.arange(weights.shape[-1]), 0, 1)
    found: Floats = (weights * inside).sum(-1)
    return found


def mean_ns(weights: Floats, first_bin: int) -> Floats:
    """The mean duration, each request counted as the middle of its bin.

    Args:
        weights: (..., bin).
        first_bin: number of the first bin.
    """
    middles = np.exp((first_bin + np.arange(weights.shape[-1]) + 0.5) * LOG_GROWTH)
    with np.errstate(invalid="ignore"):
        found: Floats = (weights * middles).sum(-1) / weights.sum(-1)
    return found


@dataclass(frozen=True, slots=True)
class Errors:
    """Standard errors of a difference of log quantiles."""

    alone: Floats
    """(...): as if requests were independent of each other."""
    in_blocks: Floats
    """(...): as if only blocks of ten minutes were."""


def standard_errors(before: Floats, after: Floats, mix: Mix, share: float, first_bin: int) -> Errors:
    """How far chance moves the difference of the log quantiles of two sides.

    The variance of a share is reckoned from the residuals of independent units (requests, or blocks of them) by Taylor
    linearisation, then carried over to the quantile by looking at the quantiles of share -+ one standard error: Woodruff,
    "Confidence intervals for medians and other position measures", JASA 47 (1952); with clusters: Francisco and Fuller,
    "Quantile estimation with a complex survey design", Annals of Statistics 19 (1991). It is what a bootstrap with
    multinomial weights converges to.

    Args:
        before: (..., block, stratum, bin), counts whose sum over the blocks `mix` was made of.
        after: the same.
        mix: of `mixed`.
        share: which quantile.
        first_bin: number of the first bin.
    """
    parts = []
    after_count = after.sum((-3, -2, -1))
    for counts, weights, is_before in ((before, mix.before, True), (after, mix.after, False)):
        quantile = log_quantile(weights, share, first_bin)
        below, total = share_below(counts, quantile[..., None, None], first_bin), counts.sum(-1)
        if is_before:
            alone, in_blocks = _variances_by_stratum(below, total, mix)
        else:
            alone = share * (1 - share) / np.maximum(after_count, 1)
            in_blocks = _of_blocks((below - share * total).sum(-1) / np.maximum(after_count, 1)[..., None])
        parts.append([_carried_over(weights, share, variance, first_bin) for variance in (alone, in_blocks)])
    return Errors(*(np.hypot(of_before, of_after) for of_before, of_after in zip(*parts, strict=True)))


def _variances_by_stratum(below: Floats, total: Floats, mix: Mix) -> tuple[Floats, Floats]:
    """Variance of the weighted share before, for requests and for blocks as the units; (..., block, stratum) both."""
    pooled = mix.pooled[..., None, :]
    below, total = _with_pool(below, pooled), _with_pool(total, pooled)
    count = total.sum(-2)
    share = below.sum(-2) / np.maximum(count, 1)
    alone: Floats = (mix.weight**2 * count * share * (1 - share)).sum(-1)
    residual = (mix.weight[..., None, :] * (below - share[..., None, :] * total)).sum(-1)
    return alone, _of_blocks(residual)


def _of_blocks(residual: Floats) -> Floats:
    blocks = residual.shape[-1]
    found: Floats = (residual**2).sum(-1) * (blocks / max(1, blocks - 1))
    return found


def _carried_over(weights: Floats, share: float, variance: Floats, first_bin: int) -> Floats:
    step = np.sqrt(variance)
    high, low = (log_quantile(weights, np.clip(share + sign * step, 0, 1), first_bin) for sign in (1, -1))
    return (high - low) / 2
