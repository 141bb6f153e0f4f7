"""Sequential: how sure one must be at each of several looks, so that looking early does not cry wolf more often.

Takes   the share of all information that each look has.
Gives   the two-sided level of each look.
Refuses nothing.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from .windows import LOOKS_MIN

_GRID = 601


def spent(information: float, alpha: float) -> float:
    """The false-alarm probability that may be used up: almost none early, all at the end.

    O'Brien-Fleming like spending, half of it on each side: Lan and DeMets, "Discrete sequential boundaries for clinical
    trials", Biometrika 70 (1983).

    Args:
        information: share of all information, 0 to 1.
        alpha: at the end.
    """
    return float(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(information)))


@functools.lru_cache(maxsize=64)
def levels(information: tuple[float, ...], alpha: float = 0.05) -> tuple[float, ...]:
    """The two-sided level of each look, such that all of them together have a false alarm with probability `alpha`.

    The sum of independent increments is carried from look to look by numerical integration: Armitage, McPherson and Rowe,
    "Repeated significance tests on accumulating data", JRSS A 132 (1969). Where increments are not independent, as under
    drift, the tests of later looks repeat what earlier ones saw, and false alarms are fewer than `alpha`.

    Args:
        information: share of all information at each look, ascending; 1 at the last one.
        alpha: of all looks.
    """
    found: list[float] = []
    density, grid, before = np.ones(1), np.zeros(1), 0.0
    for share in information:
        left = spent(share, alpha) - (spent(before, alpha) if before else 0.0)
        step = np.sqrt(share - before)
        bound = _bound(density, grid, step, left)
        found.append(float(2 * stats.norm.sf(bound / np.sqrt(share))))
        further = np.linspace(-bound, bound, _GRID)
        moves = stats.norm.pdf((further[:, None] - grid) / step) / step
        width = further[1] - further[0]
        density, grid, before = moves @ density * width, further, share
    return tuple(found)


def _bound(mass: npt.NDArray[np.float64], grid: npt.NDArray[np.float64], step: float, left: float) -> float:
    """Where the sum must lie after a step to stop with the probability that is left.

    Args:
        mass: probability at each point of the grid before the step.
    """

    def excess(bound: float) -> float:
        outside = stats.norm.sf((bound - grid) / step) + stats.norm.cdf((-bound - grid) / step)
        return float(np.log(max((mass * outside).sum(), 1e-300)) - np.log(left))

    return float(optimize.brentq(excess, 1e-6, 12.0))


def level_of(look_min: int, width_min: int) -> float:
    """The level of a look at a report over `width_min` minutes, where all earlier looks were taken too.

    Args:
        look_min: one of `LOOKS_MIN`, or `width_min`.
        width_min: minutes of the whole window after the deploy.
    """
    minutes = sorted({look for look in LOOKS_MIN if look < width_min} | {width_min})
    return levels(tuple(minute / width_min for minute in minutes))[minutes.index(look_min)]
