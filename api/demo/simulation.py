"""Simulation: requests played through the shop, any number at once.

Takes   a story, an endpoint, when requests to it start, and a random generator.
Gives   `Requests`: for each call when it was made in each request, how long it took and how it ended. Pure; the same
        generator gives the same requests.
Refuses nothing.

Every value is an array with one element a request, so a thousand requests cost hardly more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .model import Call, Detail, Endpoint, Failure, Time
from .story import Floats, Int64s, Story

Bools = npt.NDArray[np.bool_]

BEFORE_CHILDREN = 0.4
"""Share of its own time that a call takes before the calls below it."""
NONE = -1


@dataclass(frozen=True, slots=True)
class Visits:
    """One call in all the requests."""

    call: Call
    parent: int
    """Place of the call above in `Requests.visits`; `NONE` for the outermost."""
    made: Bools
    """In which requests it was made; the other arrays mean nothing in the rest."""
    start_ns: Int64s
    end_ns: Int64s
    http_status: Int64s
    """0 if there was no answer, or it is not HTTP."""
    failure: Int64s
    """Place in `call.failures` of what befell the call itself, or `NONE`."""
    failed: Bools
    """The one who called got nothing from it."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests to one endpoint."""

    visits: list[Visits]
    """The call above before those below."""
    details: dict[str, Int64s]
    releases: dict[str, Int64s]
    """Each service's release, as its place in `Story.releases`."""
    pods: dict[str, Int64s]

    def __len__(self) -> int:
        return len(self.visits[0].made)


def simulate(story: Story, endpoint: Endpoint, start_ns: Int64s, random: np.random.Generator) -> Requests:
    """Play requests through the shop.

    Args:
        start_ns: when they start.
    """
    run = _Run(story, start_ns, random)
    run.visit(endpoint.call, NONE, np.ones(len(start_ns), dtype=np.bool_), start_ns)
    return run.requests


def expected_spans(call: Call) -> float:
    """Spans of a request while nothing fails and no release is special."""
    return 0.0 if call.only else call.share * (1 + sum(map(expected_spans, call.children)))


def at(requests: Requests, place: int) -> dict[str, int]:
    """The details of one request."""
    return {name: int(values[place]) for name, values in requests.details.items()}


@dataclass(slots=True)
class _Answer:
    end_ns: Int64s
    http_status: Int64s
    failed: Bools


@dataclass(slots=True)
class _Below:
    """What the calls below a call have come to so far."""

    end_ns: Int64s
    failed: Bools
    http_status: Int64s = field(init=False)
    """Answer of the last one, or of the one that failed."""

    def __post_init__(self) -> None:
        self.http_status = np.zeros(len(self.end_ns), dtype=np.int64)

    def take(self, child: Call, made: Bools, answer: _Answer) -> None:
        self.end_ns = np.where(made, np.maximum(self.end_ns, answer.end_ns), self.end_ns)
        if not child.optional:
            self.http_status = np.where(made & ~self.failed, answer.http_status, self.http_status)
            self.failed = self.failed | (made & answer.failed)


class _Run:
    def __init__(self, story: Story, start_ns: Int64s, random: np.random.Generator) -> None:
        self._story, self._start_ns, self._random = story, start_ns, random
        count = len(start_ns)
        self.requests = Requests(
            visits=[],
            details={detail.name: _draw(detail, count, random) for detail in story.shop.details},
            releases={s.name: story.release_numbers(s.name, start_ns) for s in story.shop.services},
            pods={s.name: random.integers(0, s.pods, count) for s in story.shop.services},
        )
        self._slowness = {s.name: story.slowness(s.name, start_ns) for s in story.shop.services}

    def visit(self, call: Call, parent: int, made: Bools, start_ns: Int64s) -> _Answer:
        """Make a call in the requests that make it, and the calls below it."""
        place = len(self.requests.visits)
        self.requests.visits.append(Visits(call, parent, made, *(start_ns,) * 4, made))  # its place; see the end
        failure = self._failures(call, made)
        own_ns = self._own_time(call, failure)
        before_ns = (own_ns * BEFORE_CHILDREN).astype(np.int64) if call.children else own_ns
        below = _Below(start_ns + before_ns, _is_first(call)[failure])
        for group in _groups(call):
            begin_ns, going_on = below.end_ns, made & ~below.failed
            for child in group:
                child_made = going_on & self._is_made(child)
                below.take(child, child_made, self.visit(child, place, child_made, begin_ns))
        # what would have failed after the calls below it does not come to that if one of those failed
        failure = np.where(below.failed & ~_is_first(call)[failure], NONE, failure)
        end_ns = below.end_ns + own_ns - before_ns
        http_status = _http_status(call, failure, below)
        failed = (failure != NONE) | below.failed | (http_status >= 400)
        self.requests.visits[place] = Visits(call, parent, made, start_ns, end_ns, http_status, failure, failed)
        for child in call.children:
            if child.delay is not None:
                self.visit(child, place, made & ~failed, end_ns + self._time(child.delay, child.service))
        return _Answer(end_ns, http_status, failed)

    def _is_made(self, call: Call) -> Bools:
        made = self._random.random(len(self._start_ns)) < call.share
        if call.only:
            made &= self._runs(call.service, call.only)
        if call.never:
            made &= ~self._runs(call.service, call.never)
        return made

    def _runs(self, service: str, version: str) -> Bools:
        fits = np.array([release.version == version for release in self._story.releases(service)])
        return fits[self.requests.releases[service]]

    def _failures(self, call: Call, made: Bools) -> Int64s:
        """What befalls each call, as a place in `call.failures`; the first one that does counts."""
        found = np.full(len(made), NONE)
        for number, failure in enumerate(call.failures):
            hit = made & (found == NONE) & (self._random.random(len(made)) < failure.rate) & self._can_be(failure, call)
            found[hit] = number
        return found

    def _can_be(self, failure: Failure, call: Call) -> Bools:
        can = np.ones(len(self._start_ns), dtype=np.bool_)
        if failure.version:
            can &= self._runs(call.service, failure.version)
        if failure.when:
            name, value = failure.when
            detail = next(d for d in self._story.shop.details if d.name == name)
            can &= self.requests.details[name] == detail.words.index(value)
        return can

    def _own_time(self, call: Call, failure: Int64s) -> Int64s:
        own_ns = self._time(call.time, call.service)
        for number, kind in enumerate(call.failures):
            if kind.lasts is not None:
                own_ns = np.where(failure == number, self._time(kind.lasts, call.service), own_ns)
        return own_ns

    def _time(self, time: Time, service: str) -> Int64s:
        draws: Floats = self._random.lognormal(np.log(time.median_ms * 1e6), time.sigma, len(self._start_ns))
        return (draws * self._slowness[service]).astype(np.int64)


def _draw(detail: Detail, count: int, random: np.random.Generator) -> Int64s:
    if detail.words:
        return random.choice(len(detail.words), count, p=detail.weights).astype(np.int64)
    return random.integers(detail.lowest, detail.highest, count, endpoint=True)


def _is_first(call: Call) -> Bools:
    """For each failure whether it comes before the calls below; one more element for `NONE`."""
    return np.array([failure.first for failure in call.failures] + [False])


def _groups(call: Call) -> Iterator[list[Call]]:
    """The calls below that it waits for; those of a group start together."""
    group: list[Call] = []
    for child in call.children:
        if child.delay is not None:
            continue
        if group and not child.together:
            yield group
            group = []
        group.append(child)
    if group:
        yield group


def _http_status(call: Call, failure: Int64s, below: _Below) -> Int64s:
    """What a call answers: its own failure, else what went wrong below it, else that all is well."""
    own = np.array([kind.http_status for kind in call.failures] + [0])[failure]
    if call.kind == "client":
        good = below.http_status if call.children else np.full_like(failure, call.http_status)
    elif call.http_status:
        # a client's mistake is passed on; a neighbour that does not work is a bad gateway, a database the service's own
        passed_on = np.where((below.http_status >= 400) & (below.http_status < 500), below.http_status, 502)
        broken = np.where(below.http_status == 0, 500, passed_on)
        good = np.where(below.failed, broken, call.http_status)
    else:
        return np.zeros_like(failure)
    return np.where(failure == NONE, good, own)
