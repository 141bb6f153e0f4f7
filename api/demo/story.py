"""Story: a shop in time, the nine days that end at a moment.

Takes   a shop, the end of its history and a seed.
Gives   for any time: how busy the shop is, which release of a service runs, how fast the machines are. Pure; times in
        nanoseconds since the Unix epoch, whole arrays of them.

Customers sleep: the traffic of a day follows a von Mises curve, and of the nine days each is busier than the one before,
because a sale is coming. The busiest hour is that of the youngest deploy, wherever on earth the demo is started, so that
there are enough requests around it to judge it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .model import Deploy, Release, Shop

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DAYS = 9
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
_STEP_NS = 60 * 10**9

PEAK = 1.8
"""Concentration of the day's traffic: at the peak 3 times the mean, at night a twelfth of it."""
GROWTH = (0.45, 1.55)
"""Traffic at the beginning and at the end of the history, in the measure of its mean."""

LOAD_SHARE = 0.06
"""How much slower everything is in the busiest hour than in the quietest."""
WEATHER_SHARE = 0.012
WEATHER_PERIODS_NS = (37 * 60 * 10**9, 3.1 * HOUR_NS, 11.3 * HOUR_NS)


@dataclass(frozen=True)
class Story:
    """A shop from `start_ns` on; after `end_ns` it goes on as it was then."""

    shop: Shop
    end_ns: int
    seed: int = 1

    @property
    def start_ns(self) -> int:
        return self.end_ns - DAYS * DAY_NS

    @property
    def peak_ns(self) -> int:
        """The busiest moment of the last day."""
        return max(self.deployed_ns(deploy) for deploy in self.shop.deploys)

    def rhythm(self, at_ns: Int64s) -> Floats:
        """How busy the hour of the day is: from near 0 at night to 1 at the peak."""
        angle = 2 * np.pi * (at_ns - self.peak_ns) / DAY_NS
        busy: Floats = np.exp(PEAK * (np.cos(angle) - 1))
        return busy

    def traffic(self, at_ns: Int64s) -> Floats:
        """Requests in a unit of time, relative to other times."""
        elapsed = (at_ns - self.start_ns) / (DAYS * DAY_NS)
        traffic: Floats = self.rhythm(at_ns) * np.interp(elapsed, (0, 1), GROWTH)
        return traffic

    def moments(self, low: float, high: float, count: int, random: np.random.Generator) -> Int64s:
        """Times of requests, in order, between two shares of the traffic of the whole history.

        Args:
            low: share of the traffic before the first of them, from 0.
            high: share of the traffic up to the last of them, up to 1.
        """
        shares = np.sort(random.uniform(low, high, count))
        offsets = np.interp(shares, self._cumulated, np.arange(len(self._cumulated)) * float(_STEP_NS))
        moments: Int64s = self.start_ns + offsets.astype(np.int64)
        return moments

    @cached_property
    def _cumulated(self) -> Floats:
        """Share of the traffic before each minute of the history."""
        minutes = np.arange(self.start_ns, self.end_ns, _STEP_NS)
        total = np.concatenate(([0.0], np.cumsum(self.traffic(minutes))))
        shares: Floats = total / total[-1]
        return shares

    def releases(self, service: str) -> tuple[Release, ...]:
        """The releases of a service, one after the other."""
        return tuple(release for _, release in self._releases[service])

    def release_numbers(self, service: str, at_ns: Int64s) -> Int64s:
        """Which of its releases runs at each time, as its place in `releases`."""
        since = np.array([since_ns for since_ns, _ in self._releases[service]])
        return np.searchsorted(since, at_ns, side="right").astype(np.int64) - 1

    @cached_property
    def _releases(self) -> dict[str, list[tuple[int, Release]]]:
        """The releases of each service and since when they run; the first one always has."""
        found = {s.name: [(np.iinfo(np.int64).min, Release(s.name, s.version))] for s in self.shop.services}
        for deploy in self.shop.deploys:
            found[deploy.service].append((self.deployed_ns(deploy), deploy.release))
        return found

    def deployed_ns(self, deploy: Deploy) -> int:
        """Since when its version runs."""
        return self.end_ns - int(deploy.age.total_seconds() * 1e9)

    def words(self, details: Mapping[str, int]) -> dict[str, str]:
        """The details of a request as text."""
        return {detail.name: detail.text(details[detail.name]) for detail in self.shop.details}

    def slowness(self, service: str, at_ns: Int64s) -> Floats:
        """Factor of all times of a service: load, and a weather of its own that nobody can explain."""
        name = f"{self.seed} {service}".encode()
        phases = np.random.default_rng(list(name)).uniform(0, 2 * np.pi, len(WEATHER_PERIODS_NS))
        weather = sum(
            np.sin(2 * np.pi * (at_ns - self.start_ns) / period_ns + phase)
            for period_ns, phase in zip(WEATHER_PERIODS_NS, phases, strict=True)
        )
        slowness: Floats = 1 + LOAD_SHARE * self.rhythm(at_ns) + WEATHER_SHARE * weather
        return slowness
