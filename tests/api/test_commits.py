"""Group commit with stores that tests hold back and let go."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.commits import GroupCommit
from lake.errors import Overloaded

DEADLINE_S = 20


class Store:
    """Commits that wait until they are let go; remembers the batches and whether two ran at once."""

    def __init__(self, *, held=False):
        self.batches = []
        self.begun = threading.Semaphore(0)
        self.overlapped = False
        self._go = threading.Semaphore(0)
        self._held = held
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, items):
        with self._lock:
            self._running += 1
            self.overlapped |= self._running > 1
            self.batches.append(list(items))
        self.begun.release()
        if self._held:
            assert self._go.acquire(timeout=DEADLINE_S)
        with self._lock:
            self._running -= 1
        return [f"stored {item}" for item in items]

    def let_go(self, commits=1):
        self._go.release(commits)

    async def has_begun(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=DEADLINE_S)


def run(scenario, store, **options):
    """Run `scenario(commits)` on an event loop of its own."""

    async def main():
        async with asyncio.timeout(DEADLINE_S):
            return await scenario(GroupCommit(store, pool, **options))

    with ThreadPoolExecutor(4) as pool:
        return asyncio.run(main())


def test_an_item_that_is_alone_is_a_commit_of_its_own():
    store = Store()

    async def one_after_another(commits):
        return [await commits.submit(1), await commits.submit(2)]

    assert run(one_after_another, store) == ["stored 1", "stored 2"]
    assert store.batches == [[1], [2]]


def test_what_comes_while_a_commit_runs_is_the_next_one():
    store = Store(held=True)

    async def three_behind_one(commits):
        first = asyncio.create_task(commits.submit(0))
        await store.has_begun()
        others = [asyncio.create_task(commits.submit(n)) for n in (1, 2, 3)]
        await asyncio.sleep(0)  # each has put its item down
        store.let_go(2)
        return await asyncio.gather(first, *others)

    assert run(three_behind_one, store) == [f"stored {n}" for n in range(4)]
    assert store.batches == [[0], [1, 2, 3]]


def test_never_two_commits_at_a_time_and_everybody_gets_the_own_outcome():
    store = Store()

    async def many(commits):
        return await asyncio.gather(*(commits.submit(n) for n in range(1000)))

    assert run(many, store, max_items=16) == [f"stored {n}" for n in range(1000)]
    assert not store.overlapped
    assert max(len(batch) for batch in store.batches) == 16
    assert [item for batch in store.batches for item in batch] == list(range(1000))


def test_as_many_as_last_time_are_waited_for():
    """After a commit of three the next one gathers three, if they come in time."""
    store = Store()

    async def rounds(commits):
        await asyncio.gather(*(commits.submit(n) for n in (1, 2, 3)))
        first = asyncio.create_task(commits.submit(4))
        await asyncio.sleep(0)
        await asyncio.gather(first, commits.submit(5), commits.submit(6))

    run(rounds, store)
    assert store.batches == [[1, 2, 3], [4, 5, 6]]


def test_who_does_not_come_is_not_waited_for_long():
    store = Store()

    async def alone_after_company(commits):
        await asyncio.gather(*(commits.submit(n) for n in (1, 2, 3)))
        return await commits.submit(4)

    assert run(alone_after_company, store) == "stored 4"
    assert store.batches == [[1, 2, 3], [4]]


def test_an_error_reaches_every_item_and_the_next_commit_goes_on():
    failing = [True]

    def store(items):
        if failing.pop():
            failing.append(False)
            raise Overloaded("the disk is full")
        failing.append(False)
        return [None for _ in items]

    async def three_then_one(commits):
        outcomes = await asyncio.gather(*(commits.submit(n) for n in range(3)), return_exceptions=True)
        await commits.submit(4)
        return outcomes

    outcomes = run(three_then_one, store)
    assert [str(outcome) for outcome in outcomes] == ["the disk is full"] * 3
    assert all(isinstance(outcome, Overloaded) for outcome in outcomes)


def test_a_panic_in_an_extension_leaves_nobody_waiting_and_the_next_commit_goes_on():
    class PanicException(BaseException):
        """As Rust extensions raise it."""

    def store(items):
        if items == [1]:
            raise PanicException("attempt to add with overflow")
        return items

    async def one_then_another(commits):
        with pytest.raises(RuntimeError, match="attempt to add with overflow"):
            await commits.submit(1)
        return await commits.submit(2)

    assert run(one_then_another, store) == 2


def test_a_store_that_miscounts_leaves_nobody_waiting():
    async def two(commits):
        return await asyncio.gather(commits.submit(1), commits.submit(2), return_exceptions=True)

    outcomes = run(two, lambda _: ["only one"])
    assert [type(outcome) for outcome in outcomes] == [ValueError, ValueError]


@pytest.mark.parametrize("while_", ["waiting", "running"])
def test_a_client_that_goes_away_does_not_take_the_others_along(while_):
    store = Store(held=True)

    async def one_leaves(commits):
        first = asyncio.create_task(commits.submit(0))
        await store.has_begun()
        leaving, staying = (asyncio.create_task(commits.submit(n)) for n in (1, 2))
        await asyncio.sleep(0)
        if while_ == "running":
            store.let_go()
            await store.has_begun()
        leaving.cancel()
        store.let_go(2)
        outcome = await asyncio.gather(first, staying)
        assert leaving.cancelled() or (await asyncio.wait([leaving]) and leaving.cancelled())
        return outcome

    assert run(one_leaves, store) == ["stored 0", "stored 2"]
    assert store.batches == [[0], [1, 2]]


def test_drain_returns_when_everything_is_stored():
    store = Store(held=True)

    async def drained(commits):
        tasks = [asyncio.create_task(commits.submit(0))]
        await store.has_begun()
        tasks += [asyncio.create_task(commits.submit(n)) for n in (1, 2)]
        await asyncio.sleep(0)
        draining = asyncio.create_task(commits.drain())
        store.let_go()
        await store.has_begun()
        assert not draining.done()
        store.let_go()
        await draining
        return [await task for task in tasks]

    assert run(drained, store) == ["stored 0", "stored 1", "stored 2"]


def test_there_is_nothing_to_drain_before_the_first_item():
    run(lambda commits: commits.drain(), Store())
