"""Endpoint report: what a deploy did to one endpoint.

Takes   the counted minutes of an endpoint and the changes of the controls.
Gives   one `Measured` per metric: values, test, and what it rests on.
Refuses nothing.

Two ways to compare. By the clock: the time after the deploy with the time before it, held against placebo deploys and
controls. By version: while old and new version answer at the same time, with each other; what drifts then drifts for both,
so neither is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from .compare import Evidence, error_changes, error_evidence, latency_evidence, log_changes, shared_error_changes
from .controls import Controls
from .counts import Counts, Minutes, counted, in_blocks, in_windows, side_of
from .effects import Booleans, block_test, standardised_errors
from .quantiles import Errors, Floats, log_quantile, mixed, standard_errors
from .verdicts import ENOUGH, MIN_ERRORS, MIN_MINUTES, QUANTILES, Metric
from .windows import BLOCK_MIN, WARM_UP_MIN, Integers, Windows

Mode = Literal["clock", "version"]

MIN_PLACEBO_REQUESTS = 20
"""On each side of a placebo."""

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Support:
    """What a test rests on."""

    p_higher: float
    p_value: float
    controls: int
    days: int
    calibrated: bool
    """Whether the spread is that of placebos, or both versions ran at once."""

    @classmethod
    def of(cls, evidence: Evidence) -> Support:
        """Of the evidence on one endpoint."""
        test = evidence.test
        return cls(
            float(test.p_higher),
            float(test.p_value),
            int(evidence.controls),
            int(test.days),
            bool(evidence.calibrated),
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one endpoint."""

    metric: Metric
    mode: Mode
    requests: tuple[int, int]
    before: float
    """As it was: ms, or share of failed requests."""
    before_mixed: float
    """In the mix of the requests after."""
    after: float
    ratio: float
    """after / before in one mix, less what controls and placebos did."""
    low: float
    high: float
    detectable: float
    """The smallest ratio above 1 that would be found with a probability of 80 %."""
    support: Support
    mix_distance: float
    enough: bool
    """Whether there are requests, minutes and errors enough to judge."""
    warm_up: float | None
    """p50 of the first ten minutes / before, as it was."""


def by_clock(minutes: Minutes, windows: Windows, quiet: Booleans, controls: Controls) -> list[Measured]:
    """Compare the time after a deploy with the time before it.

    Args:
        minutes: of the endpoint.
        windows: of the deploy.
        quiet: (placebo,): no deploy of the same service in it.
        controls: endpoints that nothing was done to.
    """
    now, all_windows = in_blocks(minutes, windows), in_windows(minutes, windows)
    usable = np.append(True, quiet & (all_windows.requests[1:].sum(-1) >= MIN_PLACEBO_REQUESTS).all(-1))
    blocks = int((now.requests.sum(-1) > 0).sum())
    distinct = _distinct_minutes(minutes.minute - windows.first, windows)
    warm_up = _warm_up(minutes, windows)
    found = []
    for metric, share in QUANTILES.items():
        theta = np.where(usable, log_changes(all_windows.histograms, share, minutes.first_bin), np.nan)
        errors = _errors_of(now, share)
        evidence = latency_evidence(theta, windows.days, errors, blocks, controls.changes[metric], controls.usable)
        found.append(_latency(metric, "clock", now, evidence, distinct, warm_up))
    theta = np.where(usable, error_changes(all_windows.errors, all_windows.requests), np.nan)
    shared = shared_error_changes(controls.errors, controls.requests, controls.usable)
    count = np.asarray(controls.usable[:, 0].sum())
    errors_, requests = now.errors.sum(-1), now.requests.sum(-1)
    evidence = error_evidence(theta, windows.days, errors_, requests, shared, count)
    return [*found, _error_rate("clock", now, evidence, distinct)]


def by_version(minutes: Minutes, is_new: npt.NDArray[np.bool_], windows: Windows) -> list[Measured] | None:
    """Compare the new version with the old one in the minutes in which both answered, if there are enough.

    The standard error is that of leaving out one block of ten minutes after the other, of both versions at once: what drifts
    for both falls out. Shao and Wu, "A general theory for jackknife variance estimation", Annals of Statistics 17 (1989).

    Args:
        minutes: of the endpoint.
        is_new: of each row.
        windows: of the deploy.
    """
    minute = minutes.minute - windows.first
    inside = (minute >= windows.before[0]) & (minute < windows.after[1])
    both = np.intersect1d(minute[inside & is_new], minute[inside & ~is_new])
    if len(both) < MIN_MINUTES:
        return None
    chosen = np.isin(minute, both)
    blocks = -(-len(both) // BLOCK_MIN)
    block = np.minimum(both.searchsorted(minute) // BLOCK_MIN, blocks - 1)
    now = counted(minutes, np.where(chosen, is_new * blocks + block, -1), (2, blocks))
    if (now.requests.sum((1, 2)) < ENOUGH["p50"]).any() or blocks < 2:
        return None
    found = []
    for metric, share in QUANTILES.items():
        left_out = log_changes(_leaving_one_out(now.histograms), share, minutes.first_bin)
        theta = log_changes(now.histograms.sum(1), share, minutes.first_bin)
        error = np.maximum(_jackknife(left_out), _errors_of(now, share).alone)
        found.append(_latency(metric, "version", now, _concurrent(theta, error, blocks), len(both), None))
    left_out = error_changes(_leaving_one_out(now.errors), _leaving_one_out(now.requests))
    theta = error_changes(now.errors.sum(1), now.requests.sum(1))
    rate, total = now.errors.sum((1, 2)), now.requests.sum((1, 2))
    binomial = np.sqrt((1 / (rate + 0.5) + 1 / (total - rate + 0.5)).sum())
    evidence = _concurrent(theta, np.maximum(_jackknife(left_out), binomial), blocks)
    return [*found, _error_rate("version", now, evidence, len(both))]


def _leaving_one_out(values: Floats) -> Floats:
    """(block, side, ...) of (side, block, ...): the sums without each block."""
    found: Floats = (values.sum(1, keepdims=True) - values).swapaxes(0, 1)
    return found


def _jackknife(left_out: Floats) -> Floats:
    blocks = len(left_out)
    found: Floats = np.sqrt((blocks - 1) / blocks * ((left_out - left_out.mean()) ** 2).sum())
    return found


def _concurrent(theta: Floats, error: Floats, blocks: int) -> Evidence:
    test = block_test(np.asarray(theta), error, blocks - 1.0)
    return Evidence(test, np.asarray(0), np.asarray(True))


def _errors_of(now: Counts, share: float) -> Errors:
    before, after = now.histograms
    return standard_errors(before, after, mixed(before.sum(0), after.sum(0)), share, now.first_bin)


def _distinct_minutes(minute: Integers, windows: Windows) -> int:
    """Minutes with requests, of the side that has fewer."""
    side = side_of(minute, windows.before, windows.after)
    return min(len(np.unique(minute[side == one])) for one in (0, 1))


def _warm_up(minutes: Minutes, windows: Windows) -> float | None:
    """p50 of the minutes right after the deploy / before."""
    start = windows.after[0] if windows.together > 1 else 0
    side = side_of(minutes.minute - windows.first, windows.before, (start, start + WARM_UP_MIN))
    counts = counted(minutes, side, (2,)).histograms.sum(-2)
    if (counts.sum(-1) < MIN_PLACEBO_REQUESTS).any():
        return None
    before, after = log_quantile(counts, 0.5, minutes.first_bin)
    return float(np.exp(after - before))


def _latency(metric: Metric, mode: Mode, now: Counts, evidence: Evidence, distinct: int, warm_up: float | None) -> Measured:
    share, summed, test = QUANTILES[metric], now.histograms.sum(1), evidence.test
    mix = mixed(summed[0], summed[1])
    sides = (summed[0].sum(0), mix.before, summed[1].sum(0))
    before, before_mixed, after = (float(np.exp(log_quantile(side, share, now.first_bin))) / _NS_PER_MS for side in sides)
    requests = _pair(now.requests.sum((1, 2)))
    return Measured(
        metric=metric,
        mode=mode,
        requests=requests,
        before=before,
        before_mixed=before_mixed,
        after=after,
        ratio=float(np.exp(test.effect)),
        low=float(np.exp(test.low)),
        high=float(np.exp(test.high)),
        detectable=float(np.exp(test.detectable)),
        support=Support.of(evidence),
        mix_distance=float(mix.distance),
        enough=min(requests) >= ENOUGH[metric] and distinct >= MIN_MINUTES,
        warm_up=warm_up,
    )


def _error_rate(mode: Mode, now: Counts, evidence: Evidence, distinct: int) -> Measured:
    wrong, total, summed, test = now.errors.sum(1), now.requests.sum(1), now.histograms.sum(1), evidence.test
    requests, errors = _pair(total.sum(-1)), wrong.sum(-1)
    before, after = (float(errors[side]) / max(1, requests[side]) for side in (0, 1))
    before_mixed = float(np.nan_to_num(standardised_errors(wrong[0], total[0], total[1]))) / max(1, requests[0])
    # half an error stands for none
    ratio = partial(_rate_ratio, max(before_mixed, 0.5 / max(1, requests[0])))
    return Measured(
        metric="errors",
        mode=mode,
        requests=requests,
        before=before,
        before_mixed=before_mixed,
        after=after,
        ratio=ratio(float(test.effect)),
        low=ratio(float(test.low)),
        high=ratio(float(test.high)),
        detectable=ratio(float(test.detectable)),
        support=Support.of(evidence),
        mix_distance=float(mixed(summed[0], summed[1]).distance),
        enough=min(requests) >= ENOUGH["errors"] and distinct >= MIN_MINUTES and bool(max(errors) >= MIN_ERRORS),
        warm_up=None,
    )


def _rate_ratio(rate: float, log_odds_ratio: float) -> float:
    """What a change of log odds means for a rate."""
    odds = rate / max(1e-12, 1 - rate) * np.exp(log_odds_ratio)
    return float(odds / (1 + odds) / rate)


def _pair(values: Floats) -> tuple[int, int]:
    return int(values[0]), int(values[1])
