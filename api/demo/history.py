"""History: nine days of the shop, sent through the ordinary ingest.

Takes   a story and how many spans it shall have; a sender.
Gives   deploys, errors and spans, acknowledged. Parts of some thousand spans, each of a short time, over several
        connections; what was acknowledged is noted in the data folder.
Refuses nothing; what the server refuses stops it (`DemoError`).

A part depends on nothing but the story and its number. Parts are noted in order, so after an interruption the few that
had overtaken another are sent a second time: the server knows them by their Idempotency-Key for a day, and after that by
their spans, which are the same.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from . import reports
from .otlp import Encoder, draw_ids
from .reports import Report
from .sender import DEPLOYS_PATH, ERROR_PATH, ERRORS_PATH, Sender
from .simulation import expected_spans, simulate
from .state import State
from .story import Int64s, Story

PART_SPANS = 6000
"""Spans of one request, about."""
CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Part:
    """A short time of the history."""

    body: bytes
    """OTLP request."""
    span_count: int
    errors: list[Report]


class History:
    """All that was before the demo was started."""

    def __init__(self, story: Story, span_count: int) -> None:
        """
        Args:
            span_count: how many spans in all, about.
        """
        self.story = story
        self.span_count = span_count
        self._encoder = Encoder(story)

    @cached_property
    def part_count(self) -> int:
        return max(1, math.ceil(self.span_count / PART_SPANS))

    @cached_property
    def requests_a_part(self) -> int:
        """Customers' requests in each part."""
        each = sum(
            weight * expected_spans(endpoint.call)
            for endpoint, weight in zip(self.story.shop.endpoints, self._weights, strict=True)
        )
        return max(1, round(self.span_count / each / self.part_count))

    @cached_property
    def _weights(self) -> list[float]:
        total = sum(endpoint.weight for endpoint in self.story.shop.endpoints)
        return [endpoint.weight / total for endpoint in self.story.shop.endpoints]

    def part(self, number: int) -> Part:
        """Make one part, from 0; the same one every time."""
        random = np.random.default_rng((self.story.seed, number))
        low, high = number / self.part_count, (number + 1) / self.part_count
        return self.played(self.story.moments(low, high, self.requests_a_part, random), random)

    def played(self, start_ns: Int64s, random: np.random.Generator) -> Part:
        """Requests of customers, each to an endpoint that chance chooses.

        Args:
            start_ns: when they start.
        """
        which = random.choice(len(self._weights), len(start_ns), p=self._weights)
        requests = [
            simulate(self.story, endpoint, start_ns[which == place], random)
            for place, endpoint in enumerate(self.story.shop.endpoints)
        ]
        identified = [(some, draw_ids(some, random)) for some in requests]
        body, count = self._encoder.body(identified)
        errors = [error for some, ids in identified for error in reports.request_errors(self.story, some, ids)]
        return Part(body, count, errors)


class Dispatch:
    """Sends what is missing of a history and notes it."""

    def __init__(self, history: History, state: State, data: Path, sender: Sender) -> None:
        self._history, self._state, self._data, self._sender = history, state, data, sender
        self._name = f"demo {state.seed} {state.end_ns} {state.span_count}"
        self._lock = threading.Lock()
        self._sent: set[int] = set()

    def run(self, stop: threading.Event, progress: Callable[[int], None]) -> bool:
        """Send what is missing.

        Args:
            stop: when set, no further part is begun.
            progress: called with the number of spans of each part that was acknowledged.

        Returns:
            Whether the history is complete.
        """
        if self._state.is_complete:
            return True
        self._send_reports()
        missing = range(self._state.parts_sent, self._history.part_count)
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="history") as threads:
            done = [threads.submit(self._send_part, number, stop, progress) for number in missing]
            try:
                for part in done:
                    part.result()
            except BaseException:
                stop.set()
                raise
        if stop.is_set():
            return False
        self._note(self._history.part_count, is_complete=True)
        return True

    def _send_reports(self) -> None:
        story = self._history.story
        for path, all_reports in ((DEPLOYS_PATH, reports.deploys(story)), (ERROR_PATH, reports.job_errors(story))):
            for number, report in enumerate(all_reports):
                self._sender.post_json(path, report, idempotency_key=f"{self._name} {path} {number}")

    def _send_part(self, number: int, stop: threading.Event, progress: Callable[[int], None]) -> None:
        if stop.is_set():
            return
        part = self._history.part(number)
        self._sender.post_spans(part.body, idempotency_key=f"{self._name} spans {number}")
        if part.errors:
            self._sender.post_json(ERRORS_PATH, {"errors": part.errors}, idempotency_key=f"{self._name} errors {number}")
        progress(part.span_count)
        with self._lock:
            self._sent.add(number)
            sent = self._state.parts_sent
            while sent in self._sent:
                sent += 1
            if sent > self._state.parts_sent:
                self._note(sent)

    def _note(self, parts: int, *, is_complete: bool = False) -> None:
        self._state = self._state.with_sent(parts, is_complete=is_complete)
        self._state.write(self._data)
