"""Commits: requests that arrive while one commit is running share the next.

Takes   items from any number of request handlers.
Gives   each its outcome, once the commit that holds it is durable.
Refuses nothing itself; what `store` raises reaches every item of the batch.

When only one client is sending, its item is stored at once. When a commit had several, as many are expected again, and
the next commit waits for them for a few milliseconds: many small commits are what costs most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

GATHER_S = 0.005
"""Seconds that a commit waits at most for requests that are expected."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class GroupCommit(Generic[Item, Outcome]):
    """One stream of commits, never two at a time. Belongs to one event loop."""

    def __init__(
        self, store: Callable[[Sequence[Item]], Sequence[Outcome]], executor: Executor, *, max_items: int = 256
    ) -> None:
        """
        Args:
            store: makes items durable, in a thread of `executor`; gives one outcome an item, in order.
            max_items: items in one commit.
        """
        self._store = store
        self._executor = executor
        self._max_items = max_items
        self._waiting: list[tuple[Item, asyncio.Future[Outcome]]] = []
        self._arrived = asyncio.Event()
        self._expected = 1
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Outcome:
        """Store one item; returns its outcome when it is durable."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def drain(self) -> None:
        """Return when nothing is waiting any more."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            await self._gather()
            batch, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
            await self._commit(batch)
            self._expected = len(batch) + len(self._waiting)

    async def _gather(self) -> None:
        """Wait until as many items have come as the last time, but not long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GATHER_S
        while len(self._waiting) < min(self._expected, self._max_items):
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def _commit(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        items = [item for item, _ in batch]
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._executor, self._store, items)
            pairs = list(zip(batch, outcomes, strict=True))
        except BaseException as error:  # a panic in a Rust extension is no Exception, and the clients wait all the same
            failure = error if isinstance(error, Exception) else RuntimeError(f"the commit ended early: {error!r}")
            for _, future in batch:
                if not future.done():
                    future.set_exception(failure)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
            return
        for (_, future), outcome in pairs:
            if not future.done():  # a client may have gone away
                future.set_result(outcome)
