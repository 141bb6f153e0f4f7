"""World: requests of services that drift, have hours of day, change their mix and fail in bursts - with or without a deploy.

Takes   a scenario and a generator of random numbers.
Gives   counts of many trials at once: an endpoint that is deployed and others that are not, on the day and on days before.
Refuses nothing.

A trial is a deploy at minute 0. Durations are log-normal in two strata (light and heavy payloads), a share of requests goes
a slow way whose extra time is Pareto distributed. Each endpoint drifts as an autoregression of minutes, all together as
another one. Scenarios of one background share the days before, trial by trial: most of the cost is there, and what differs
between two rows of the table is then the deploy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lake.analysis.quantiles import LOG_GROWTH, Floats

Integers = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

BINS = 400
FIRST_BIN = 728
"""Of durations of 1.8 ms; the last one holds all from 5 s."""

STRATA = 2
OFFSETS = (-60, -30, 0, 30, 60)
GUARD = 2
"""Minutes after a deploy that are left out."""

LATER = 30
"""Minute of a second deploy, if there is one."""

_MEDIAN_NS = 20e6
_HEAVY = np.log(2.0)
_SIGMA = 0.55
_SLOW_SHARE, _SLOW, _PARETO = 0.08, np.log(2.0), 2.5
_HEAVY_SHARE = 0.30
_ERROR_AUTOCORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class Background:
    """How services are when nobody deploys."""

    per_minute: float = 40.0
    ramp: float = 1.0
    """Durations an hour later, every day; half as much, in logarithms, for the controls."""
    own_drift: float = 0.03
    shared_drift: float = 0.02
    autocorrelation: float = 0.95
    controls: int = 4
    days: int = 7


@dataclass(frozen=True, slots=True)
class Errors:
    """How requests fail when nobody deploys."""

    rate: float = 0.01
    burst: float = 0.5
    """Coefficient of variation of the rate from minute to minute."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens at minute 0. Effects are factors of durations unless said otherwise."""

    name: str
    background: Background = Background()
    change: float = 1.0
    """Of the deployed endpoint."""
    tail: float = 1.0
    """The same of its slow way only."""
    shared: float = 1.0
    """Of all endpoints."""
    heavy: float = _HEAVY_SHARE
    """Share of heavy requests from then on."""
    neighbour: float = 1.0
    """Of one of the controls, which is deployed at the same time."""
    later: float = 1.0
    """Of the deployed endpoint from minute `LATER` on."""
    error_factor: float = 1.0
    """Of the error rate of the deployed endpoint."""
    errors: Errors = Errors()
    after_end: int = GUARD + 60
    """Minute at which the window after the deploy ends: another deploy of the service cuts it."""


@dataclass(frozen=True, slots=True)
class History:
    """The days before; endpoint 0 is the deployed one."""

    histograms: Floats
    """(trial, endpoint, day, segment, stratum, bin)."""
    counts: Integers
    """(trial, endpoint, day, minute)."""
    bounds: Integers
    """Minutes at which segments begin, and the last one ends."""

    @property
    def day(self) -> Integers:
        """(placebo,): the day of each."""
        return np.repeat(np.arange(self.counts.shape[2]), len(OFFSETS))

    def windows(self, after_end: int) -> Floats:
        """(trial, endpoint, placebo, side, stratum, bin)."""
        return _windows(self.histograms, self.bounds[:-1], after_end)

    def failures(self, errors: Errors, after_end: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Errors and requests: (trial, endpoint, placebo, side)."""
        wrong = random.binomial(self.counts, _error_rate(self.counts.shape, errors, random))
        minutes = np.arange(self.bounds[0], self.bounds[-1])
        found = [_windows(values.astype(np.float64), minutes, after_end) for values in (wrong, self.counts)]
        return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Day:
    """Counts of the day of the deploy."""

    blocks: Floats
    """(trial, endpoint, side, block, stratum, bin)."""
    errors: Floats
    """(trial, endpoint, side, block)."""
    counts: Floats
    minute_means: Floats
    """(trial, side, minute) of the deployed endpoint, ms; NaN for a minute without requests."""
    sums: Floats
    """(trial, side, power): number, sum and sum of squares of its durations in ms."""


def history(background: Background, trials: int, random: np.random.Generator) -> History:
    """The days before, of some trials."""
    edges = (-60, 0, GUARD, LATER, GUARD + 60)
    bounds = np.array(sorted({offset + edge for offset in OFFSETS for edge in edges}))
    shape = (trials, background.controls + 1, background.days, bounds[-1] - bounds[0])
    requests = _requests(shape, Scenario("", background), None, random)
    return History(_histograms(requests, shape, bounds), requests.count.sum(0), bounds)


def day(scenario: Scenario, trials: int, random: np.random.Generator) -> Day:
    """The day of the deploy, of some trials."""
    end = scenario.after_end
    bounds = np.array([*range(-60, 1, 10), *range(GUARD, end, 10), end])
    minutes = np.arange(-60, end)
    shape = (trials, scenario.background.controls + 1, 1, len(minutes))
    requests = _requests(shape, scenario, minutes, random)
    count = requests.count.sum(0)
    rate = _error_rate(shape, scenario.errors, random)
    rate[:, 0, :, minutes >= 0] *= scenario.error_factor
    wrong = random.binomial(count, np.minimum(rate, 1))
    starts = np.searchsorted(minutes, bounds[:-1])
    errors, counts = (_sides(np.add.reduceat(values[:, :, 0], starts, -1).astype(np.float64)) for values in (wrong, count))
    blocks = _sides(_histograms(requests, shape, bounds)[:, :, 0])
    return Day(blocks, errors, counts, *_moments(requests, shape))


def _windows(values: Floats, begins: Integers, after_end: int) -> Floats:
    """(trial, endpoint, placebo, side, ...) of (trial, endpoint, day, segment, ...)."""
    found = []
    for offset in OFFSETS:
        edges = ((offset - 60, offset), (offset + GUARD, offset + after_end))
        inside = [(begins >= low) & (begins < high) for low, high in edges]
        found.append(np.stack([values[:, :, :, segments].sum(3) for segments in inside], 3))
    windows = np.stack(found, 3)
    return windows.reshape(*windows.shape[:2], -1, *windows.shape[4:])


def _sides(values: Floats) -> Floats:
    """(trial, endpoint, side, block, ...) of (trial, endpoint, segment, ...); a block that is cut off is empty."""
    before, after = values[:, :, :6], values[:, :, 7:]
    missing = np.zeros((*after.shape[:2], 6 - after.shape[2], *after.shape[3:]))
    return np.stack((before, np.concatenate((after, missing), 2)), 2)


@dataclass(frozen=True, slots=True)
class _Requests:
    """Requests in the order of their classes: light, heavy, and both again for those that go the slow way."""

    count: Integers
    """(class, trial, endpoint, day, minute)."""
    logs: Singles
    """Logarithm of the duration of each request in ns."""


def _requests(
    shape: tuple[int, ...],
    scenario: Scenario,
    minutes: Integers | None,
    random: np.random.Generator,
) -> _Requests:
    """The requests of each minute.

    Args:
        shape: (trial, endpoint, day, minute).
        minutes: those after the deploy; None on a day without one.
    """
    after = np.zeros(shape[-1], np.bool_) if minutes is None else minutes >= 0
    background = scenario.background
    level = _drift(shape, background, random)
    heavy, tail = np.full(shape, _HEAVY_SHARE, np.float32), np.zeros(shape, np.float32)
    heavy[:, 0, :, after] = scenario.heavy
    tail[:, 0, :, after] = np.log(scenario.tail)
    if minutes is not None:
        level += np.float32(np.log(scenario.shared)) * after
        level[:, 0] += np.log(scenario.change) * after + np.log(scenario.later) * (minutes >= LATER)
        level[:, 1] += np.log(scenario.neighbour) * after
    light = 1 - heavy
    shares = np.stack((light, heavy)) * np.float32(1 - _SLOW_SHARE), np.stack((light, heavy)) * np.float32(_SLOW_SHARE)
    count = random.poisson(background.per_minute * np.concatenate(shares))
    level += np.float32(np.log(_MEDIAN_NS))
    fast = np.stack((level, level + np.float32(_HEAVY)))
    levels = np.concatenate((fast, fast + (tail + np.float32(_SLOW))))
    return _Requests(count, _durations(count, levels, random))


def _drift(shape: tuple[int, ...], background: Background, random: np.random.Generator) -> Singles:
    """Logarithm of what durations of each minute are multiplied with."""
    factor = background.autocorrelation
    level = np.float32(background.own_drift) * _autoregression(shape, factor, random)
    level += np.float32(background.shared_drift) * _autoregression((shape[0], 1, *shape[2:]), factor, random)
    ramp = np.log(background.ramp) * (np.arange(shape[-1]) - shape[-1] / 2).astype(np.float32) / 60
    level[:, 0] += ramp
    level[:, 1:] += ramp / 2
    return level


def _error_rate(shape: tuple[int, ...], errors: Errors, random: np.random.Generator) -> Floats:
    """The share of requests that fail, by minute."""
    sigma = np.sqrt(np.log(1 + errors.burst**2))
    rate = errors.rate * np.exp(sigma * _autoregression(shape, _ERROR_AUTOCORRELATION, random) - sigma**2 / 2)
    return np.asarray(np.minimum(rate, 0.5), np.float64)


def _autoregression(shape: tuple[int, ...], factor: float, random: np.random.Generator) -> Singles:
    """Stationary AR(1) of variance 1 along the last axis."""
    found = random.standard_normal(shape, np.float32)
    found[..., 1:] *= np.float32(np.sqrt(1 - factor**2))
    for place in range(1, shape[-1]):
        found[..., place] += np.float32(factor) * found[..., place - 1]
    return found


def _durations(count: Integers, levels: Singles, random: np.random.Generator) -> Singles:
    """The logarithm of the duration in ns of each request."""
    logs = random.standard_normal(int(count.sum()), np.float32)
    logs *= np.float32(_SIGMA)
    logs += np.repeat(levels.ravel(), count.ravel())
    slow = logs[int(count[:STRATA].sum()) :]
    slow += random.standard_exponential(len(slow), np.float32) / np.float32(_PARETO)
    return logs


def _histograms(requests: _Requests, shape: tuple[int, ...], bounds: Integers) -> Floats:
    """(trial, endpoint, day, segment, stratum, bin).

    Args:
        bounds: minutes at which segments begin, and the last one ends.
    """
    segments = len(bounds) - 1
    segment = np.searchsorted(bounds, np.arange(bounds[0], bounds[-1]), "right") - 1
    place = (np.arange(np.prod(shape[:3]))[:, None] * segments + segment).ravel()
    classes = [place * STRATA, place * STRATA + 1] * 2
    key = np.repeat(np.concatenate(classes) * BINS, requests.count.ravel())
    bins = (requests.logs * np.float32(1 / LOG_GROWTH) - np.float32(FIRST_BIN)).astype(np.int32)
    key += np.clip(bins, 0, BINS - 1, out=bins)
    cells = int(np.prod(shape[:3])) * segments
    found = np.bincount(key, minlength=cells * STRATA * BINS).astype(np.float64)
    return found.reshape(*shape[:3], segments, STRATA, BINS)


def _moments(requests: _Requests, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """What the naive methods look at, of endpoint 0."""
    trials, _, _, minutes = shape
    minute = np.arange(minutes) - 60
    wanted = np.zeros(requests.count.shape, np.bool_)
    wanted[:, :, 0] = (minute < 0) | (minute >= GUARD)
    duration_ms = np.exp(requests.logs[np.repeat(wanted.ravel(), requests.count.ravel())].astype(np.float64)) / 1e6
    at = np.arange(trials)[:, None] * 2 + (minute >= 0)
    of_minute = at * 60 + np.where(minute < 0, minute + 60, minute - GUARD)
    at, of_minute = (
        np.repeat(np.broadcast_to(places[:, None, None], requests.count.shape)[wanted], requests.count[wanted])
        for places in (at, of_minute)
    )
    sums = [np.bincount(at, weights=duration_ms**power, minlength=trials * 2) for power in (0, 1, 2)]
    count, total = (np.bincount(of_minute, weights=w, minlength=trials * 120) for w in (None, duration_ms))
    with np.errstate(invalid="ignore"):
        means = (total / count).reshape(trials, 2, 60)
    return means, np.stack(sums, -1).astype(np.float64).reshape(trials, 2, 3)
