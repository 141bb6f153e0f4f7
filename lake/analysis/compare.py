"""Compare: a deploy with the time before it, for latencies and for errors.

Takes   counts of the windows before and after the deploy and before and after each placebo, of an endpoint and of controls;
        any number of endpoints at once in the leading axes.
Gives   the test of each metric, and what it rests on.
Refuses nothing.

Window 0 is the deploy, the others are placebos. Side 0 is before, side 1 after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .effects import (
    MIN_CONTROLS,
    MIN_DAYS,
    MIN_SHARED_ERRORS,
    Booleans,
    Test,
    block_test,
    less_controls,
    log_odds,
    placebo_test,
    quasi_binomial_error,
    standardised_errors,
)
from .quantiles import Errors, Floats, log_quantile, mixed


@dataclass(frozen=True, slots=True)
class Evidence:
    """A test and what it rests on."""

    test: Test
    controls: npt.NDArray[np.int64]
    """(...): untouched services whose change was subtracted; 0 means none were."""
    calibrated: Booleans
    """(...): whether placebos of enough days told how much the endpoint moves anyway."""


def log_changes(counts: Floats, share: float, first_bin: int) -> Floats:
    """The difference after - before of a log quantile, in the mix of the requests after.

    Args:
        counts: (..., side, stratum, bin).
        share: which quantile.
        first_bin: number of the first bin.
    """
    mix = mixed(counts[..., 0, :, :], counts[..., 1, :, :])
    found: Floats = log_quantile(mix.after, share, first_bin) - log_quantile(mix.before, share, first_bin)
    return found


def error_changes(errors: Floats, counts: Floats) -> Floats:
    """The difference after - before of the log odds of an error, in the mix of the requests after.

    Args:
        errors: (..., side, stratum).
        counts: the same, requests.
    """
    before = standardised_errors(errors[..., 0, :], counts[..., 0, :], counts[..., 1, :])
    total = counts.sum(-1)
    found: Floats = log_odds(errors[..., 1, :].sum(-1), total[..., 1]) - log_odds(before, total[..., 0])
    return np.where((total > 0).all(-1), found, np.nan)


def shared_error_changes(errors: Floats, counts: Floats, usable: Booleans) -> Floats:
    """What the log odds of all controls together did, 0 where they have too few errors to tell.

    Errors are rare: the mean of log odds of single services, most of which have none, would be noise. One that has nearly
    none cannot have taken part in a disturbance of all.

    Args:
        errors: (..., control, window, side).
        counts: the same, requests.
        usable: (..., control, window).
    """
    wrong, total = (np.where(usable[..., None], values, 0).sum(-3) for values in (errors, counts))
    change = log_odds(wrong[..., 1], total[..., 1]) - log_odds(wrong[..., 0], total[..., 0])
    enough = wrong[..., 0, :].sum(-1) >= MIN_SHARED_ERRORS
    found: Floats = np.where(enough[..., None], change, 0.0)
    return found


def latency_evidence(
    theta: Floats, day: npt.NDArray[np.int64], errors: Errors, blocks: int, controls: Floats, usable: Booleans
) -> Evidence:
    """Test the change of a quantile.

    Args:
        theta: (..., window), of `log_changes`; NaN for a placebo that is not usable.
        day: (placebo,), the day of each.
        errors: of `standard_errors`, of window 0.
        blocks: of ten minutes in window 0, both sides together.
        controls: (..., control, window), of `log_changes`.
        usable: the same shape.
    """
    differences, count = less_controls(theta, controls, usable)
    controlled = count[..., 0] >= MIN_CONTROLS
    theta = np.where(controlled[..., None], differences, theta)
    theirs = np.where(usable[..., 0] & np.isfinite(controls[..., 0]), controls[..., 0], np.nan)
    noise = np.where(controlled, _standard_error_of_mean(theirs), 0)
    test = _calibrated_or_not(theta, day, np.hypot(errors.alone, noise), np.hypot(errors.in_blocks, noise), blocks)
    return Evidence(test, np.where(controlled, count[..., 0], 0), test.days >= MIN_DAYS)


def error_evidence(
    theta: Floats,
    day: npt.NDArray[np.int64],
    errors: Floats,
    counts: Floats,
    shared: Floats,
    controls: npt.NDArray[np.int64],
) -> Evidence:
    """Test the change of the error rate.

    Args:
        theta: (..., window), of `error_changes`.
        day: (placebo,), the day of each.
        errors: (..., side, block) of window 0.
        counts: the same, requests.
        shared: (..., window), of `shared_error_changes`.
        controls: (...), how many controls that is of.
    """
    error = quasi_binomial_error(errors, counts)
    controlled = controls >= MIN_CONTROLS
    theta = np.where(controlled[..., None], theta - shared, theta)
    test = _calibrated_or_not(theta, day, error, error, 2 * errors.shape[-1])
    return Evidence(test, np.where(controlled, controls, 0), test.days >= MIN_DAYS)


def _standard_error_of_mean(values: Floats) -> Floats:
    """Along the last axis, of what is not NaN; NaN for fewer than two."""
    known = np.isfinite(values)
    count = known.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0).sum(-1) / count
        squares = np.where(known, (values - mean[..., None]) ** 2, 0).sum(-1)
        found: Floats = np.sqrt(squares / (count - 1) / count)
    return found


def _calibrated_or_not(theta: Floats, day: npt.NDArray[np.int64], alone: Floats, in_blocks: Floats, blocks: int) -> Test:
    """The placebo test where enough days are known, the one of blocks elsewhere."""
    calibrated = placebo_test(theta[..., 0], theta[..., 1:], day, alone)
    plain = block_test(theta[..., 0], in_blocks, blocks - 2)
    known = calibrated.days >= MIN_DAYS
    return Test(*(np.where(known, getattr(calibrated, name), getattr(plain, name)) for name in Test.__slots__))
