"""`python -m bench.impact`: false alarms and power of deploy reports beside naive methods (docs/impact.md)."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from scipy import stats

from lake.analysis.compare import Evidence
from lake.analysis.effects import MIN_CONTROLS, Booleans
from lake.analysis.quantiles import Floats, log_quantile
from lake.analysis.verdicts import ALPHA, ENOUGH, MIN_ERRORS, Finding, Metric, verdict

from .methods import METRICS, SHARES, Known, naive, ours
from .scenarios import ROWS, Row
from .world import FIRST_BIN, Background, Day, Errors, day, history

AT_ONCE = 25
"""Trials that are in memory at once."""

FIXED_SEED = 20261125

HEADINGS = (
    "% of trials", "p50", "p95", "errors", "any q < .05", "regressed",
    "Welch", "p95 > 10 %", "M-W", "M-W minutes", "iid p50", "blocks p50", "placebo p50", "Fisher", "bar", "",
)  # fmt: skip
"""Ours: share of tests with p < 0.05 and their Wilson intervals. Then naive methods, of which Fisher's is for errors."""


def main() -> int:
    """Simulate and print; 1 if a row misses its bar."""
    parser = argparse.ArgumentParser(prog="python -m bench.impact", description=__doc__)
    parser.add_argument("--trials", type=int, default=2000, help="trials of each row, a multiple of 25")
    parser.add_argument("--seed", type=int, default=FIXED_SEED, help="of the random numbers; 0 for a fresh one")
    parser.add_argument("--rows", default="", help="only those whose name contains this")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    seed = options.seed or int.from_bytes(os.urandom(6))
    versions = (f"{name} {version(name)}" for name in ("tracelake", "numpy", "scipy"))
    print(f"{', '.join(versions)}, python {sys.version.split()[0]}; {options.trials} trials a row, seed {seed}")
    rows = [row for row in ROWS if options.rows in row.scenario.name]
    print("| " + " | ".join(HEADINGS) + " |")
    met = [_print_row(row, alarms) for row, alarms in _run(rows, options.trials, seed, options.processes)]
    return 0 if all(met) else 1


@dataclass(frozen=True, slots=True)
class Alarms:
    """What was said of the trials of a row: True is an alarm."""

    ours: dict[str, Booleans]
    report: Booleans
    """Any q-value below 0.05."""
    regressed: Booleans
    """A verdict "regressed", which wants a change that matters too."""
    naive: dict[str, Booleans]


def _run(rows: Sequence[Row], trials: int, seed: int, processes: int) -> Iterator[tuple[Row, Alarms]]:
    """The rows, those of one background one after another because they share what it costs to simulate the days before."""
    backgrounds = list(dict.fromkeys(row.scenario.background for row in rows))
    ordered = [[row for row in rows if row.scenario.background == background] for background in backgrounds]
    seeds = np.random.SeedSequence(seed).spawn(len(backgrounds))
    with ProcessPoolExecutor(processes) as pool:
        for group, found in zip(ordered, pool.map(_simulated, ordered, itertools.repeat(trials), seeds), strict=True):
            yield from zip(group, found, strict=True)


def _simulated(rows: Sequence[Row], trials: int, seed: np.random.SeedSequence) -> list[Alarms]:
    """All trials of the rows of one background."""
    background: Background = rows[0].scenario.background
    found: list[list[Alarms]] = [[] for _ in rows]
    for part in seed.spawn(trials // AT_ONCE):
        past, errors, *days = (np.random.Generator(np.random.SFC64(one)) for one in part.spawn(2 + len(rows)))
        before, known = history(background, AT_ONCE, past), dict[tuple[Errors, int], Known]()
        for row, random, alarms in zip(rows, days, found, strict=True):
            scenario = row.scenario
            kind = (scenario.errors, scenario.after_end)
            if kind not in known:
                known[kind] = Known.of(before, scenario, errors)
            now = day(scenario, AT_ONCE, random)
            alarms.append(_alarms(ours(scenario, now, known[kind]), now, naive(now, known[kind])))
    return [_joined(parts) for parts in found]


def _alarms(evidence: dict[Metric, Evidence], now: Day, others: dict[str, Booleans]) -> Alarms:
    p_values = np.stack([np.nan_to_num(evidence[name].test.p_value, nan=1.0) for name in METRICS], -1)
    q_values = np.asarray(stats.false_discovery_control(p_values, axis=-1))
    regressed = [_has_regressed(name, evidence[name], now, q_values[:, place]) for place, name in enumerate(METRICS)]
    return Alarms(
        {name: p_values[:, place] < ALPHA for place, name in enumerate(METRICS)},
        np.asarray((q_values < ALPHA).any(-1)),
        np.any(regressed, axis=0),
        others,
    )


def _has_regressed(metric: Metric, evidence: Evidence, now: Day, q_values: Floats) -> Booleans:
    """Whether a report would say so: the rules of `lake.analysis.report_table`, trial by trial."""
    count, wrong = now.counts[:, 0].sum(-1), now.errors[:, 0].sum(-1)
    enough = count.min(-1) >= ENOUGH[metric]
    if metric == "errors":
        before = wrong[:, 0] / count[:, 0]
        enough &= wrong.max(-1) >= MIN_ERRORS
    else:
        before = np.exp(log_quantile(now.blocks[:, 0, 0].sum((1, 2)), SHARES[metric], FIRST_BIN)) / 1e6
    ratio, low, high = (np.exp(values) for values in (evidence.test.effect, evidence.test.low, evidence.test.high))
    founded = evidence.calibrated & (evidence.controls >= MIN_CONTROLS)
    columns = zip(before, ratio, low, high, q_values, enough, founded, strict=True)
    return np.array([verdict(Finding(metric, *column)) == "regressed" for column in columns])


def _joined(parts: list[Alarms]) -> Alarms:
    return Alarms(
        {name: np.concatenate([part.ours[name] for part in parts]) for name in parts[0].ours},
        np.concatenate([part.report for part in parts]),
        np.concatenate([part.regressed for part in parts]),
        {name: np.concatenate([part.naive[name] for part in parts]) for name in parts[0].naive},
    )


def _print_row(row: Row, alarms: Alarms) -> bool:
    """Print a row; whether it keeps to its bar."""
    met = all(one.mean() <= row.at_most for one in alarms.ours.values())
    met &= row.metric is None or bool(alarms.ours[row.metric].mean() >= row.at_least)
    cells = [*(_percent(one) for one in alarms.ours.values()), _percent(alarms.report), _percent(alarms.regressed)]
    others = [f"{100 * one.mean():.0f}" for one in alarms.naive.values()]
    bar = f"<= {100 * row.at_most:.0f}" if row.at_most < 1 else f">= {100 * row.at_least:.0f}" if row.at_least else ""
    print("| " + " | ".join([row.scenario.name, *cells, *others, bar, "" if met else "MISSED"]) + " |", flush=True)
    return met


def _percent(alarms: Booleans) -> str:
    """Share in percent with its 95 % interval of Wilson, JASA 22 (1927)."""
    interval = stats.binomtest(int(alarms.sum()), len(alarms)).proportion_ci(method="wilson")
    return f"{100 * alarms.mean():.1f} ({100 * interval.low:.1f}-{100 * interval.high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
