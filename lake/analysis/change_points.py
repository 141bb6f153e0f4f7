"""Change points: nobody deployed, so when did it start, and which deploys lie near.

Takes   a value per minute, e.g. the logarithm of p50.
Gives   the minutes at which its level changes, how much, and the deploys within ten minutes.
Refuses nothing; a series that is too short has no changes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from .facts import Deploy
from .quantiles import Floats

MIN_MINUTES = 10
"""Between two changes: less is a spike."""

NEAR = dt.timedelta(minutes=10)
"""How far from a change a deploy may lie to be named."""

_PER_CHANGE = 5.0
"""What a change must explain, in variances times the logarithm of the length. 2 is the criterion of Schwarz where the noise
is known; it is estimated here, and with 5 one in twenty series of four hours without a change has one, at a drift whose
minutes correlate by 0.8."""

_MOST_CORRELATED = 0.9
_MAD_OF_NORMAL = 0.6745


def change_points(values: Floats) -> list[int]:
    """The places at which a new level begins.

    Optimal partitioning of the mean: Jackson et al., "An algorithm for optimal partitioning of data on an interval", IEEE
    Signal Processing Letters 12 (2005), with the pruning of Killick, Fearnhead and Eckley, "Optimal detection of
    changepoints with a linear computational cost", JASA 107 (2012). The penalty counts in long-run variances, or every drift
    would be a string of changes.

    Args:
        values: without NaN, one for each minute that has some.
    """
    count = len(values)
    if count < 2 * MIN_MINUTES:
        return []
    penalty = _PER_CHANGE * np.log(count) * max(long_run_variance(values), 1e-12)
    sums, squares = (np.concatenate(([0.0], np.cumsum(one))) for one in (values, values**2))
    best = np.full(count + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(count + 1, np.int64)
    starts = np.array([0])
    for end in range(MIN_MINUTES, count + 1):
        length = end - starts
        cost = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / length
        total = best[starts] + cost
        place = int(total.argmin())
        best[end], last[end] = total[place] + penalty, starts[place]
        starts = np.append(starts[total <= best[end]], end - MIN_MINUTES + 1)
    found = []
    end = count
    while last[end]:
        end = int(last[end])
        found.append(end)
    return found[::-1]


def long_run_variance(values: Floats) -> float:
    """The variance of a mean of the values times their number, where neighbours are alike and levels may change.

    From differences one and two minutes apart, which a few changes of level hardly touch: Tecuapetla-Gomez and Munk,
    "Autocovariance estimation in regression with a discontinuous signal and m-dependent errors", Scandinavian Journal of
    Statistics 44 (2017), for a first-order autoregression; their spread is told by medians.
    """
    one, two = (_variance(values[lag:] - values[:-lag]) for lag in (1, 2))
    if one == 0:
        return 0.0
    correlation = float(np.clip(two / one - 1, 0, _MOST_CORRELATED))
    return one * (1 + correlation) / (2 * (1 - correlation) ** 2)


def _variance(values: Floats) -> float:
    return float((np.median(np.abs(values)) / _MAD_OF_NORMAL) ** 2)


def changes(minutes: pl.DataFrame, deploys: Sequence[Deploy]) -> pl.DataFrame:
    """The changes of a series with the deploys that lie near each.

    Args:
        minutes: minute, log_value, ascending; minutes without requests are not there.
        deploys: of the services that could be the cause.

    Returns:
        minute, change_pct (the level after against the one before), minutes_before, minutes_after, deploys (ids, nearest
        first).
    """
    values = minutes["log_value"].to_numpy()
    places = change_points(values)
    levels = _levels(values, places)
    lengths = np.diff([0, *places, len(values)])
    begins: list[dt.datetime] = minutes["minute"].gather(places).to_list()
    rows = {
        "minute": begins,
        "change_pct": (np.exp(np.diff(levels)) - 1) * 100,
        "minutes_before": lengths[:-1],
        "minutes_after": lengths[1:],
        "deploys": [_near(begin, deploys) for begin in begins],
    }
    return pl.DataFrame(rows, schema=_SCHEMA | {"minute": minutes.schema["minute"]})


_SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "minute": pl.Datetime("us", "UTC"),
    "change_pct": pl.Float64,
    "minutes_before": pl.Int64,
    "minutes_after": pl.Int64,
    "deploys": pl.List(pl.String),
}


def _levels(values: Floats, places: list[int]) -> npt.NDArray[np.float64]:
    """The mean of each stretch between changes."""
    return np.array([part.mean() for part in np.split(values, places)]) if len(values) else np.zeros(1)


def _near(time: dt.datetime, deploys: Sequence[Deploy]) -> list[str]:
    near = [deploy for deploy in deploys if abs(deploy.deployed_at - time) <= NEAR]
    return [deploy.id for deploy in sorted(near, key=lambda one: (abs(one.deployed_at - time), one.id))]
