"""Methods: what ours and what naive ones say of simulated trials.

Takes   counts of `bench.impact.world`.
Gives   p-values (or yes and no) by method.
Refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from lake.analysis.compare import (
    Evidence,
    error_changes,
    error_evidence,
    latency_evidence,
    log_changes,
    shared_error_changes,
)
from lake.analysis.effects import MIN_CONTROL_REQUESTS, Booleans, block_test, placebo_test
from lake.analysis.quantiles import Errors, Floats, log_quantile, mixed, standard_errors
from lake.analysis.verdicts import Metric

from .world import FIRST_BIN, Day, History, Integers, Scenario

METRICS: tuple[Metric, ...] = ("p50", "p95", "errors")

SHARES: dict[Metric, float] = {"p50": 0.50, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class Known:
    """What the days before tell, reckoned once for all scenarios of a background."""

    changes: dict[Metric, Floats]
    """By quantile: (trial, endpoint, placebo)."""
    errors: Floats
    counts: Floats
    day: Integers

    @classmethod
    def of(cls, past: History, scenario: Scenario, random: np.random.Generator) -> Known:
        """Compare the windows of the days before."""
        windows = past.windows(scenario.after_end)
        changes = {name: log_changes(windows, share, FIRST_BIN) for name, share in SHARES.items()}
        return cls(changes, *past.failures(scenario.errors, scenario.after_end, random), past.day)


def ours(scenario: Scenario, now: Day, known: Known) -> dict[Metric, Evidence]:
    """The method of `lake.analysis`, by metric."""
    usable = _usable(scenario, now, known)
    found: dict[Metric, Evidence] = {}
    for name in SHARES:
        theta, errors = _changes(now, known, name)
        found[name] = latency_evidence(theta[:, 0], known.day, errors, _blocks(now), theta[:, 1:], usable)
    found["errors"] = _errors(now, known, usable)
    return found


def _blocks(now: Day) -> int:
    """Blocks that have requests."""
    return int((now.counts[:, 0].sum(0) > 0).sum())


def _usable(scenario: Scenario, now: Day, known: Known) -> Booleans:
    """(trial, control, window): a service that was deployed at the same time is no control."""
    usable = np.ones((*now.counts[:, 1:].shape[:2], 1 + len(known.day)), np.bool_)
    usable[:, 0, :] = scenario.neighbour == 1.0
    counts = np.concatenate((now.counts[:, 1:].sum(-1)[:, :, None], known.counts[:, 1:]), 2)
    found: Booleans = usable & (counts >= MIN_CONTROL_REQUESTS).all(-1)
    return found


def _changes(now: Day, known: Known, name: Metric) -> tuple[Floats, Errors]:
    """(trial, endpoint, window) changes of a quantile, and the standard errors of those of the deployed endpoint."""
    share, summed = SHARES[name], now.blocks.sum(3)
    change = log_changes(summed, share, FIRST_BIN)
    before, after = now.blocks[:, 0, 0], now.blocks[:, 0, 1]
    errors = standard_errors(before, after, mixed(summed[:, 0, 0], summed[:, 0, 1]), share, FIRST_BIN)
    return np.concatenate((change[..., None], known.changes[name]), -1), errors


def _errors(now: Day, known: Known, usable: Booleans) -> Evidence:
    wrong, count = (
        np.concatenate((today.sum(-1)[:, :, None], before), 2)
        for today, before in ((now.errors, known.errors), (now.counts, known.counts))
    )
    theta = error_changes(wrong[:, 0, ..., None], count[:, 0, ..., None])
    shared = shared_error_changes(wrong[:, 1:], count[:, 1:], usable)
    return error_evidence(theta, known.day, now.errors[:, 0], now.counts[:, 0], shared, usable[..., 0].sum(-1))


def naive(now: Day, known: Known) -> dict[str, Booleans]:
    """What others would call significant, by method."""
    before, after = now.blocks[:, 0].sum((2, 3)).transpose(1, 0, 2)
    wrong, count = now.errors[:, 0].sum(-1), now.counts[:, 0].sum(-1)
    return {
        "Welch t": _welch(now.sums) < 0.05,
        "p95 > +10 %": log_quantile(after, 0.95, FIRST_BIN) - log_quantile(before, 0.95, FIRST_BIN) > np.log(1.1),
        "Mann-Whitney": _mann_whitney(before, after) < 0.05,
        "M-W of minutes": np.asarray(
            stats.mannwhitneyu(now.minute_means[:, 0], now.minute_means[:, 1], axis=-1, nan_policy="omit").pvalue
        )
        < 0.05,
        "iid p50": _plain(now, in_blocks=False) < 0.05,
        "blocks p50": _plain(now, in_blocks=True) < 0.05,
        "placebo p50": _placebo(now, known) < 0.05,
        "Fisher": _fisher(wrong, count) < 0.05,
    }


def _welch(sums: Floats) -> Floats:
    count, mean = sums[..., 0], sums[..., 1] / sums[..., 0]
    deviation = np.sqrt((sums[..., 2] / count - mean**2) * count / (count - 1))
    pairs = [(mean[:, side], deviation[:, side], count[:, side]) for side in (0, 1)]
    found: Floats = np.asarray(stats.ttest_ind_from_stats(*pairs[0], *pairs[1], equal_var=False).pvalue)
    return found


def _mann_whitney(before: Floats, after: Floats) -> Floats:
    """The normal approximation with ties, from histograms."""
    both, m, n = before + after, before.sum(-1), after.sum(-1)
    lower = np.cumsum(before, -1) - before / 2
    u = (after * lower).sum(-1)
    total = m + n
    variance = m * n / 12 * (total + 1 - (both**3 - both).sum(-1) / (total * (total - 1)))
    found: Floats = 2 * stats.norm.sf(np.abs(u - m * n / 2) / np.sqrt(variance))
    return found


def _plain(now: Day, *, in_blocks: bool) -> Floats:
    """p50 with the standard error of requests or blocks and nothing else: what a bootstrap gives."""
    one = now.blocks[:, 0].sum(3, keepdims=True)
    summed = one.sum(2)
    errors = standard_errors(one[:, 0], one[:, 1], mixed(summed[:, 0], summed[:, 1]), 0.5, FIRST_BIN)
    error, freedom = (errors.in_blocks, _blocks(now) - 2.0) if in_blocks else (errors.alone, np.inf)
    return block_test(log_changes(summed, 0.5, FIRST_BIN), error, freedom).p_value


def _placebo(now: Day, known: Known) -> Floats:
    """p50 with mix and placebos, without controls."""
    theta, errors = _changes(now, known, "p50")
    return placebo_test(theta[:, 0, 0], theta[:, 0, 1:], known.day, errors.alone).p_value


def _fisher(wrong: Floats, count: Floats) -> Floats:
    """Fisher's exact test, two-sided by doubling."""
    total, all_wrong = count.sum(-1), wrong.sum(-1)
    law = stats.hypergeom(total, all_wrong, count[:, 1])
    tails = np.minimum(law.cdf(wrong[:, 1]), law.sf(wrong[:, 1] - 1))
    found: Floats = np.minimum(1, 2 * tails)
    return found
