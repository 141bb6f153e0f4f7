"""Admission: how many queries run at once, and who waits.

Takes   the id of a key, for each query of it.
Gives   a place: a few queries at once, one of a key.
Refuses a query when too many wait already, or when it has waited for long: `Overloaded`.

A key may take half of the places to wait in, so that one that asks a lot leaves room for the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lake.errors import Overloaded


class Admission:
    """The places of one process; for use on one event loop."""

    def __init__(self, *, at_once: int, waiting: int, wait_s: float) -> None:
        """
        Args:
            at_once: queries that run.
            waiting: queries that wait; beyond, they are refused.
            wait_s: seconds after which a query that waits is refused.
        """
        self._at_once = at_once
        self._places = waiting
        self._wait_s = wait_s
        self._running: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[None]:
        """A place for one query of a key, for as long as the context is open.

        Raises:
            Overloaded: there is none, and none to wait in.
        """
        if not self._is_free(key):
            await self._wait(key)
        self._running.add(key)
        try:
            yield
        finally:
            self._running.remove(key)
            async with self._changed:
                self._changed.notify_all()

    def _is_free(self, key: str) -> bool:
        return key not in self._running and len(self._running) < self._at_once

    async def _wait(self, key: str) -> None:
        if self._waiting.total() >= self._places or self._waiting[key] >= self._places // 2:
            raise Overloaded("too many queries wait already: ask again in a moment", retry_after_s=self._wait_s / 2)
        self._waiting[key] += 1
        try:
            async with asyncio.timeout(self._wait_s), self._changed:
                await self._changed.wait_for(lambda: self._is_free(key))
        except TimeoutError:
            raise Overloaded(
                f"the query has waited for {self._wait_s:g} s, and others still run: ask again in a moment",
                retry_after_s=self._wait_s / 2,
            ) from None
        finally:
            self._waiting[key] -= 1
